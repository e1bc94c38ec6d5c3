"""Ledgers that an earlier version wrote: what has changed since, and how such a ledger is brought up to date.

A new version of the schema: raise `SCHEMA_VERSION`, add a step here, and run `tests/support/make_old_ledger.py`, whose
files are what the step is tested with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.schema import DropView

from mambo_io.tables import SCHEMA_VERSION, create_results, deliveries, ledger_meta, rejected_recipients, results


def can_upgrade(version: int) -> bool:
    return version in _STEPS


def upgrade(connection: Connection, version: int) -> None:
    """Bring a ledger of this version up to date, in the open transaction of `connection`.

    A sender of the version before may be at work on it: tables that it knows may gain nothing that it has to fill.
    """
    connection.execute(DropView(results))
    for step in range(version, SCHEMA_VERSION):
        _STEPS[step](connection)
    connection.execute(create_results)
    is_version = ledger_meta.c.key == "schema_version"
    connection.execute(ledger_meta.update().where(is_version).values(value=str(SCHEMA_VERSION)))


def copy_before_upgrade(path: Path, version: int) -> Path:
    """Where a SQLite ledger is copied to as it was: `ledger.db.version-1`, beside it."""
    return path.with_name(f"{path.name}.version-{version}")


def _from_1(connection: Connection) -> None:
    """Delivery reports; the rejected rows are counted through an index."""
    deliveries.create(connection)
    rejected_recipients.create(connection)


_STEPS: dict[int, Callable[[Connection], None]] = {1: _from_1}
