"""Putting a backup in the ledger's place, and what a person has to confirm before anything is sent from it.

A backup does not know what was sent after it was made: people it calls planned may have got their message, and whole
campaigns may be missing. So nothing is sent from it before a person has looked, and said so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, delete, func, insert, select

from mambo_io import statements
from mambo_io.errors import StoreError
from mambo_io.event_log import add_event
from mambo_io.ledger import Ledger, campaign_row, to_us
from mambo_io.locks import holder_of
from mambo_io.model import FINAL_STATES, CampaignState
from mambo_io.places import parse_url
from mambo_io.sqlite_file import MOVED, check_its_own_log, note_beside, write_note
from mambo_io.store import MOVED_TO, Store, locks_folder
from mambo_io.store_errors import WRITABLE, StoreBusy
from mambo_io.tables import SCHEMA_VERSION, attempts, campaigns, events, ledger_meta
from mambo_io.upgrades import copy_before_upgrade
from mambo_io.window import KAMPALA

_UNCONFIRMED = "restored"  # in ledger_meta, with the time, while nobody has confirmed


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was put in place. It ends with call `newest_call`; `calls_noted` is the newest that was made.

    `open_campaigns` were unfinished when it was made. `replaced` is where the ledger lies that was there before, or
    its log where no more was left of it.
    `was_moved`: the ledger had been moved to another store, and it is not known how many calls were made from that.
    """

    path: Path
    newest_call: int
    calls_noted: int
    open_campaigns: tuple[str, ...]
    replaced: Path | None
    was_moved: bool


def restore(url: str, backup: Path, *, who: str, now: datetime) -> Restored:
    """Put a copy of `backup` in the place of the SQLite ledger at `url`; nothing is sent from it before `confirm`.

    The ledger that is there is kept under another name; `backup` may be that very file. Raises `StoreError` when it is
    no ledger or damaged, or a campaign is being sent; nothing was changed then.
    """
    location = parse_url(url)
    if location.get_backend_name() != "sqlite":
        fix = "Use pg_restore, and then `mambo store restore` without a file."
        raise StoreError("a PostgreSQL store is restored with its own tools", fix=fix)
    path = Path(location.database or "")
    incoming = path.with_name(f"{path.name}.restoring")
    try:
        with nobody_sends(path):
            _copy(backup, incoming)
            with Store(str(incoming)) as store:
                newest_call, labels = _mark(store, who=who, now=now)
            replaced = _set_aside(path, now)
            incoming.replace(path)
            calls_noted = note_beside(path).newest_call
            was_moved = calls_noted == MOVED
            write_note(path, newest_call)
    except OSError as error:
        raise StoreError(f"the backup cannot be put in place ({error.strerror})", file=path, fix=WRITABLE) from None
    finally:
        for file in (
            *_files(incoming),
            *(copy_before_upgrade(incoming, version) for version in range(1, SCHEMA_VERSION)),
        ):
            file.unlink(missing_ok=True)
    return Restored(path, newest_call, newest_call if was_moved else calls_noted, labels, replaced, was_moved)


def mark_restored(store: Store, *, who: str, now: datetime) -> tuple[int, tuple[str, ...]]:
    """A person says that PostgreSQL's own tools have put an older state of this ledger in its place, which nothing in
    it tells. As after `restore`: calls in flight in it are unknown, and nothing is sent before `confirm`.

    Returns its newest call, and the campaigns that are not finished in it. Raises `StoreBusy` while one is being sent.
    """
    with store.writer() as connection, ExitStack() as held:
        for row in Ledger(store).campaigns():  # so that no sender begins before it is marked
            held.enter_context(store.lock(row.label, connection))
        return _mark(store, who=who, now=now)


def confirm(connection: Connection, *, who: str, now: datetime) -> None:
    """A person says that what a restored backup has left to send may be sent; recorded."""
    with connection.begin():
        if connection.execute(delete(ledger_meta).where(ledger_meta.c.key == _UNCONFIRMED)).rowcount == 0:
            raise StoreError("there is nothing to confirm", fix="Only a ledger that was restored asks for it.")
        add_event(connection, None, "restore_confirmed", None, who, now)
        # Also in the history of each edition that says it was restored.
        e = events.c
        last = select(func.max(e.id)).where(e.kind == "restored", e.campaign_id.is_(None)).scalar_subquery()
        marked = select(e.campaign_id).where(e.kind == "restored", e.id > last)
        for row in connection.execute(select(campaigns).where(campaigns.c.id.in_(marked)).order_by(campaigns.c.id)):
            add_event(connection, campaign_row(row), "restore_confirmed", None, who, now)


def unconfirmed_since(connection: Connection) -> str | None:
    """When a backup was put in the ledger's place that nobody has confirmed yet (`2026-11-26 at 12:30`, in Kampala)."""
    return connection.scalar(select(ledger_meta.c.value).where(ledger_meta.c.key == _UNCONFIRMED))


def check_confirmed(connection: Connection) -> None:
    """Raise `StoreError` while nobody has confirmed a backup that was put in the ledger's place."""
    if (when := unconfirmed_since(connection)) is not None:
        raise StoreError(
            f"the ledger is a backup, put in place on {when}: it does not know what was sent since it was made",
            fix="Find out what was (the provider's own list of messages tells), then: mambo store confirm --by NAME.",
        )


@contextmanager
def nobody_sends(path: Path) -> Iterator[None]:
    """Hold every lock of the ledger at `path`; raises `StoreBusy` when one of them is taken."""
    with ExitStack() as held:
        for file in sorted(locks_folder(path).glob("*.lock")):
            lock = FileLock(file, preserve_lock_file=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StoreBusy(
                    f"a campaign is being sent{holder_of(file)}", file=path, fix="Stop it, then try again."
                ) from None
            held.callback(lock.release)
        yield


def _copy(backup: Path, target: Path) -> None:
    """A copy of a SQLite database, its log included, as a new file that only its owner may read."""
    if not backup.is_file():
        raise StoreError("there is no such file", file=backup, fix="Name a file that `mambo store backup` wrote.")
    check_its_own_log(backup, note_beside(backup))
    os.close(os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            [[verdict]] = copy.execute("PRAGMA quick_check(1)").fetchall()
            with suppress(sqlite3.OperationalError):  # no ledger at all, which is told later
                copy.execute("DELETE FROM ledger_meta WHERE key = ?", (MOVED_TO,))
                copy.commit()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise StoreError(f"is no good copy of a ledger ({verdict})", file=backup, fix="Take another backup.")


def _mark(store: Store, *, who: str, now: datetime) -> tuple[int, tuple[str, ...]]:
    """Block sending from the ledger; returns its newest call, and the campaigns that are not finished."""
    with store.writer() as connection, connection.begin():
        newest_call = connection.scalar(select(func.max(attempts.c.id))) or 0
        unfinished = select(campaigns).where(campaigns.c.state.not_in((*FINAL_STATES, CampaignState.PLANNING)))
        open_campaigns = [campaign_row(row) for row in connection.execute(unfinished.order_by(campaigns.c.id))]
        connection.execute(delete(ledger_meta).where(ledger_meta.c.key == _UNCONFIRMED))
        when = f"{now.astimezone(KAMPALA):%Y-%m-%d at %H:%M}"
        connection.execute(insert(ledger_meta), {"key": _UNCONFIRMED, "value": when})
        add_event(connection, None, "restored", f"it ends with call {newest_call}", who, now)
        for row in open_campaigns:
            add_event(connection, row, "restored", f"{row.state} in the backup", who, now)
            # Calls that were in flight when it was made were made; of what they came to it knows nothing.
            here = {"the_campaign": row.id}
            connection.execute(statements.ORPHANED_ATTEMPTS, here | {"now_us": to_us(now)})
            connection.execute(statements.ORPHANED_CHUNKS, here)
    return newest_call, tuple(row.label for row in open_campaigns)


def _set_aside(path: Path, now: datetime) -> Path | None:
    """Give the ledger that is there another name, and its log with it."""
    name = f"{path.name}.replaced-{now.astimezone(KAMPALA):%Y%m%d-%H%M%S}"
    database, log, shared_memory = _files(path)
    shared_memory.unlink(missing_ok=True)
    kept_log = log.replace(path.with_name(f"{name}-wal")) if log.exists() else None
    if not database.exists():
        return kept_log
    return database.replace(path.with_name(name))


def _files(path: Path) -> tuple[Path, Path, Path]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
