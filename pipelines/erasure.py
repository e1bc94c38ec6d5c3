"""Personal data that goes: people of finished campaign editions, and one number from all of them.

Rows and tables first, commit by commit; then the space that they took is written anew. Whatever kills it in between,
the same once more ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from mambo_io.archived_people import in_archives
from mambo_io.archives import archive_of
from mambo_io.archiving import bring_back, no_imports
from mambo_io.erasing import check_erasable, editions, ended, erase_edition, record_erased
from mambo_io.errors import InputError, Stopped
from mambo_io.forgetting import Forgotten, erase_person
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.leftovers import leftover_of, with_leftovers
from mambo_io.model import CampaignState
from mambo_io.overwriting import overwrite_file, overwrite_space, remove_copies, zero_what_is_freed
from mambo_io.planning import delete_broken
from mambo_io.restored import nobody_sends
from mambo_io.side_file import side_files
from mambo_io.store import Store


@dataclass(frozen=True, slots=True)
class Choice:
    """Campaign editions to erase, and of others why they cannot be."""

    editions: tuple[CampaignRow, ...]
    left: tuple[str, ...] = ()
    erased: tuple[CampaignRow, ...] = ()  # before


@dataclass(frozen=True, slots=True)
class Overwritten:
    """What became of the files. `others` may hold the same people, and are not ours to remove."""

    removed: tuple[Path, ...]
    others: tuple[Path, ...]
    notes: tuple[str, ...]


def choose(store: Store, name: str, edition: str | None) -> Choice:
    """One edition of a campaign, or all of them, tests included.

    Raises `InputError` when there is none, or one of them is not finished or has a call of which nobody knows.
    """
    known = [row for row in _editions(store) if row.name == name and edition in (None, row.edition)]
    if not known:
        Ledger(store).get(name, edition)  # which says what there is
    with store.writer() as connection:
        erased = ended(connection)
        to_erase = [row for row in known if row.id not in erased]
        for row in to_erase:
            check_erasable(connection, row)
    return Choice(tuple(to_erase), erased=tuple(row for row in known if row.id in erased))


def choose_older(store: Store, days: int, now: datetime) -> Choice:
    """Every edition that ended so many days ago, or was planned then and never sent; why others of them are left."""
    to_erase: list[CampaignRow] = []
    left: list[str] = []
    with store.writer() as connection:
        erased = ended(connection)
        for row in editions(connection):
            if row.id in erased or (row.ended_at or row.planned_at) > now - timedelta(days=days):
                continue
            try:
                check_erasable(connection, row)
            except InputError as obstacle:
                left.append(obstacle.message)
            else:
                to_erase.append(row)
    return Choice(tuple(to_erase), tuple(left))


def erase_editions(
    store: Store,
    rows: Sequence[CampaignRow],
    *,
    who: str,
    now: datetime,
    on_progress: Callable[[CampaignRow, int], None] = lambda *_: None,
) -> Overwritten:
    """Erase the people of these editions. Raises `StoreBusy` while something is sent, `Stopped` when it is not done."""
    with _nobody_sends(store):  # asked now, when nothing is changed yet
        pass
    removed: list[Path] = []
    for row in rows:
        with store.locked_writer(row.label) as connection:
            zero_what_is_freed(connection)
            if row.state is CampaignState.PLANNING:  # what a planner that was killed has left
                delete_broken(connection, row.name, row.edition)
                continue
            removed += _brought_back(store, connection, row, who=who, now=now)
            current = next(each for each in editions(connection) if each.id == row.id)
            for done in erase_edition(connection, current, who=who, now=now):
                on_progress(row, done)
            for path in side_files(store.aside(row.id)):
                overwrite_file(path)
                removed.append(path)
    overwritten = _overwrite(store, removed)
    with store.writer() as connection:
        for row in rows:
            if row.state is not CampaignState.PLANNING:
                record_erased(connection, row, who=who, now=now)
    return overwritten


def forget(store: Store, msisdn: int, *, who: str, now: datetime) -> tuple[Forgotten, Overwritten]:
    """Erase one number (the digits of E.164). Raises what `erase_person` and `erase_editions` raise."""
    with _nobody_sends(store):
        pass
    for path in naming_side_files(store, msisdn):
        raise InputError(
            "holds a reply that names the number and that the ledger has not taken yet",
            file=path,
            fix="Nothing was erased. `mambo status` says whose it is; `mambo send` or `mambo settle` records it first.",
        )
    removed: list[Path] = []
    with store.reader() as connection, connection.begin():
        left = with_leftovers(connection)
    to_bring_back = _archived_with(store, msisdn) | left
    for row in _editions(store):
        if row.id not in to_bring_back:
            continue
        with store.locked_writer(row.label) as connection:
            removed += _brought_back(store, connection, row, who=who, now=now)
    with store.writer() as connection:
        zero_what_is_freed(connection)
        forgotten = erase_person(connection, msisdn, who=who, now=now)
    if _archived_with(store, msisdn):
        raise Stopped("An edition with the number was archived meanwhile. The same command once more ends it.")
    return forgotten, _overwrite(store, removed)


def naming_side_files(store: Store, msisdn: int) -> list[Path]:
    """The files of replies beside the ledger that name the number."""
    digits = str(msisdn)[3:].encode()
    files = [path for row in _editions(store) for path in side_files(store.aside(row.id))]
    return [path for path in files if digits in path.read_bytes()]


def _brought_back(store: Store, connection: Connection, row: CampaignRow, *, who: str, now: datetime) -> list[Path]:
    """Bring the people of an archived edition back, to be erased; the file goes, and is named."""
    with connection.begin():
        file = archive_of(connection, row.id) or leftover_of(connection, row.id)
    if file is None:
        return []
    with no_imports(store, connection):
        for _ in bring_back(store, connection, row, who=who, now=now):
            pass
    return [file.file]


def _archived_with(store: Store, msisdn: int) -> set[int]:
    """The ids of the archived editions that have or name the number."""
    with store.reader() as connection, connection.begin():
        return set(in_archives(connection, msisdn))


def days_of(text: str) -> int:
    """`180d` as 180. Raises `InputError`."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})d", text)
    if found is None:
        raise InputError("is no number of days", key="--older-than", value=text, fix="Write it as 180d.")
    return int(found[1])


def _editions(store: Store) -> list[CampaignRow]:
    with store.reader() as connection:
        return editions(connection)


@contextmanager
def _nobody_sends(store: Store) -> Iterator[None]:
    """SQLite: its file becomes shorter, which a sender would take for damage. PostgreSQL: a sender waits meanwhile."""
    if store.path is None:
        yield
    else:
        with nobody_sends(store.path):
            yield


def _overwrite(store: Store, removed: Sequence[Path]) -> Overwritten:
    with _nobody_sends(store):
        notes = overwrite_space(store)
        copies, others = remove_copies(store.path) if store.path is not None else ([], [])
    return Overwritten((*removed, *copies), tuple(others), notes)
