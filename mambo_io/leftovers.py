"""Files of archives that are to go: their people stand in the ledger, because they came back, or never left it.

A note in `ledger_meta` says which file that is, from the commit that lets the people stand in the ledger alone, or
before the file is begun, until it is gone; so whatever is killed, the next command about the edition removes it. The
note has the file's digest: the archive of another ledger that came to the same place since then stays.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from mambo_io.archives import digest_of
from mambo_io.errors import InputError
from mambo_io.overwriting import overwrite_file
from mambo_io.tables import ledger_meta

_PREFIX = "archive_to_remove:"  # and the id of the campaign edition
_key, _value = ledger_meta.c.key, ledger_meta.c.value


@dataclass(frozen=True, slots=True)
class Leftover:
    """`file` is ours if it has this SHA-256; null while it is not there yet. `aside` is a folder of our own beside it,
    in which it is written, and overwritten: half of it must not bear its name."""

    file: Path
    digest: str | None
    aside: Path


def add_note(connection: Connection, campaign_id: int, file: Path, digest: str | None) -> Leftover:
    """In the open transaction, in the place of an older one."""
    delete_note(connection, campaign_id)
    note = Leftover(file, digest, file.with_name(f".{secrets.token_hex(8)}"))
    connection.execute(insert(ledger_meta), {"key": f"{_PREFIX}{campaign_id}", "value": _written(note)})
    return note


def set_digest(connection: Connection, campaign_id: int, note: Leftover, digest: str) -> None:
    """In the open transaction: `file` is about to get its name."""
    written = _written(Leftover(note.file, digest, note.aside))
    connection.execute(update(ledger_meta).where(_key == f"{_PREFIX}{campaign_id}").values(value=written))


def delete_note(connection: Connection, campaign_id: int) -> None:
    """In the open transaction."""
    connection.execute(delete(ledger_meta).where(_key == f"{_PREFIX}{campaign_id}"))


def leftover_of(connection: Connection, campaign_id: int) -> Leftover | None:
    """In the open transaction."""
    value = connection.scalar(select(_value).where(_key == f"{_PREFIX}{campaign_id}"))
    if value is None:
        return None
    note = json.loads(value)
    file = Path(note["file"])
    return Leftover(file, note["digest"], file.with_name(note["aside"]))


def with_leftovers(connection: Connection) -> set[int]:
    """The ids of the campaign editions that have one. In the open transaction."""
    return {int(key.removeprefix(_PREFIX)) for key, _ in _notes(connection)}


def copy_notes(connection: Connection, into: Connection) -> None:
    """To another ledger, in the open transactions."""
    into.execute(delete(ledger_meta).where(_key.startswith(_PREFIX)))
    for key, value in _notes(connection):
        into.execute(insert(ledger_meta), {"key": key, "value": value})


def remove_leftover(connection: Connection, campaign_id: int) -> Path | None:
    """Overwrite and remove the file that is left of an archive, where one is; no transaction may be open.

    Returns what it was. Raises `InputError` when it cannot be removed, or its folder is not there, as one that is not
    mounted. The caller holds the edition's lock.
    """
    with connection.begin():
        note = leftover_of(connection, campaign_id)
    if note is None:
        return None
    try:
        note.file.parent.stat()
        if note.file.exists() and digest_of(note.file) == note.digest:
            note.aside.mkdir(mode=0o700, exist_ok=True)
            note.file.replace(note.aside / note.file.name)
        if note.aside.exists():
            for path in note.aside.rglob("*"):
                if path.is_file():
                    overwrite_file(path)
            shutil.rmtree(note.aside)
    except OSError as error:
        raise InputError(
            f"has people who are in the ledger, and cannot be removed ({error.strerror})",
            file=note.file,
            fix="Mount its folder, or make it anew if it is gone for good; the same command once more ends it.",
        ) from None
    with connection.begin():
        delete_note(connection, campaign_id)
    return note.file


def _written(note: Leftover) -> str:
    return json.dumps({"file": str(note.file), "digest": note.digest, "aside": note.aside.name})


def _notes(connection: Connection) -> Iterator[tuple[str, str]]:
    yield from connection.execute(select(_key, _value).where(_key.startswith(_PREFIX))).tuples().all()
