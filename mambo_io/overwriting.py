"""Overwriting what was erased: a row that is deleted or changed stays in the files until its space is written again.

SQLite: freed space is written with zeros, the log is copied into the database and cut, the database is written anew.
PostgreSQL: the tables that held it are written anew (VACUUM FULL), and so are the samples of their values that the
planner keeps. What the server's log (WAL), its replicas and backups hold is beyond this program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from mambo_io.errors import Stopped
from mambo_io.store import Store
from mambo_io.tables import (
    SCHEMA_VERSION,
    account_entries,
    attempts,
    campaigns,
    chunks,
    deliveries,
    events,
    recipients,
    suppressions,
    unsupported,
)
from mambo_io.upgrades import copy_before_upgrade

_PERSONAL = (
    *(recipients, chunks, attempts, unsupported, deliveries, suppressions, events, campaigns, account_entries),
)
_ZEROS = bytes(1 << 20)


def zero_what_is_freed(connection: Connection) -> None:
    """SQLite writes zeros over what this connection deletes, from now on."""
    if connection.dialect.name == "sqlite":
        _pragma(connection, "secure_delete = ON")


def overwrite_space(store: Store, *, wait_s: float = 30) -> tuple[str, ...]:
    """Write anew what the store's files hold; returns what a person has to do besides. No transaction may be open.

    Takes about as long as copying them, and SQLite as much room again. Raises `Stopped` when somebody else uses the
    store, for at most `wait_s`, or may not do that: what is erased stays erased, and the same once more goes on.
    """
    with store.writer() as connection:
        return _vacuum_sqlite(connection, wait_s) if store.is_sqlite else _vacuum_postgresql(connection)


def remove_copies(ledger: Path) -> tuple[list[Path], list[Path]]:
    """Remove the copies of a SQLite ledger that upgrades left beside it: they hold everybody who was in it then.

    Returns those, and the other SQLite databases in the folder: ledgers that were replaced, backups perhaps.
    """
    copies = [copy_before_upgrade(ledger, version) for version in range(1, SCHEMA_VERSION)]
    removed = [copy for copy in copies if copy.exists()]
    for copy in removed:
        for file in (copy, copy.with_name(f"{copy.name}-wal"), copy.with_name(f"{copy.name}-shm")):
            overwrite_file(file)
    return removed, list(_databases_beside(ledger))


def overwrite_file(path: Path) -> None:
    """Write zeros over a file and remove it; nothing, where there is none."""
    with suppress(FileNotFoundError):
        with path.open("r+b") as file:
            left = path.stat().st_size
            while left > 0:
                left -= file.write(_ZEROS[:left])
            os.fsync(file.fileno())
        path.unlink()


def _databases_beside(ledger: Path) -> Iterator[Path]:
    for path in sorted(ledger.parent.iterdir()):
        with suppress(OSError):
            if path != ledger and path.is_file():
                with path.open("rb") as file:
                    if file.read(16) == b"SQLite format 3\0":
                        yield path


def _vacuum_sqlite(connection: Connection, wait_s: float) -> tuple[str, ...]:
    _pragma(connection, f"busy_timeout = {round(wait_s * 1000)}")
    _pragma(connection, "secure_delete = ON")
    _cut_log(connection)  # the zeros reach the file before it becomes shorter
    _statement(connection, "VACUUM")
    _cut_log(connection)
    return ()


def _cut_log(connection: Connection) -> None:
    [(busy, *_)] = _pragma(connection, "wal_checkpoint(TRUNCATE)")
    if busy:
        raise Stopped(
            "It is erased, but its space is not overwritten yet: somebody reads the ledger just now. The same command "
            "ends it."
        )


def _pragma(connection: Connection, pragma: str) -> list[tuple[int, ...]]:
    return _statement(connection, f"PRAGMA {pragma}")


def _statement(connection: Connection, statement: str) -> list[tuple[int, ...]]:
    """Past SQLAlchemy, which would begin a transaction."""
    cursor = connection.connection.cursor()
    try:
        return list(cursor.execute(statement).fetchall())
    finally:
        cursor.close()


def _vacuum_postgresql(connection: Connection) -> tuple[str, ...]:
    connection.execution_options(isolation_level="AUTOCOMMIT")  # a VACUUM is no part of a transaction
    names = [table.name for table in _PERSONAL]
    kept = [name for name in names if not _is_written_anew(connection, name, "FULL, ANALYZE")]
    if kept:
        raise Stopped(
            f"It is erased, but its space is not overwritten: the database's user does not own {', '.join(kept)}. "
            "Let the owner start the same command, which ends it."
        )
    if _is_written_anew(connection, "pg_statistic", "FULL"):
        return ()
    return (
        "The planner's statistics may still hold some values. Let the database's owner type: VACUUM FULL pg_statistic",
    )


def _is_written_anew(connection: Connection, name: str, how: str) -> bool:
    """PostgreSQL only warns of a table that it leaves as it is; one that it writes anew gets another file."""
    its_file = select(func.pg_relation_filenode(name))
    before = connection.scalar(its_file)
    connection.execute(text(f"VACUUM ({how}) {name}"))
    return connection.scalar(its_file) != before
