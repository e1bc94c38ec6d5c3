"""Ledgers that an earlier version wrote: what has changed since, and how such a ledger is brought up to date.

A new version of the schema: raise `SCHEMA_VERSION`, add a step here, and run `tests/support/make_old_ledger.py`, whose
files are what the step is tested with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, MetaData, Table, column, insert, inspect, select, text
from sqlalchemy import table as table_of

from mambo_io.model import CampaignState
from mambo_io.tables import (
    SCHEMA_VERSION,
    archives,
    attempts_by_time,
    campaigns,
    create_results,
    deliveries,
    drop_results,
    ledger_meta,
    rejected_recipients,
)


def can_upgrade(version: int) -> bool:
    return version in _STEPS


def upgrade(connection: Connection, version: int) -> None:
    """Bring a ledger of this version up to date, in the open transaction of `connection`.

    A sender of the version before may be at work on it: tables that it knows may gain nothing that it has to fill.
    """
    connection.execute(drop_results)
    for step in range(version, SCHEMA_VERSION):
        _STEPS[step](connection)
    connection.execute(create_results)
    is_version = ledger_meta.c.key == "schema_version"
    connection.execute(ledger_meta.update().where(is_version).values(value=str(SCHEMA_VERSION)))


def copy_before_upgrade(path: Path, version: int) -> Path:
    """Where a SQLite ledger is copied to as it was: `ledger.db.version-1`, beside it."""
    return path.with_name(f"{path.name}.version-{version}")


def _from_1(connection: Connection) -> None:
    """Delivery reports; the rejected rows are counted, and what a day has cost is summed, through an index. Campaigns
    that await approval, were skipped, are held by a person, or are tests. What was estimated of who differs."""
    deliveries.create(connection)
    rejected_recipients.create(connection)
    attempts_by_time.create(connection)
    connection.execute(text("ALTER TABLE recipient_exceptions ADD COLUMN estimated_ugx BIGINT"))
    if connection.dialect.name == "sqlite":
        _rebuild(connection, campaigns)
        return
    kind = campaigns.c.state.type.compile(connection.dialect)  # as wide as its longest value
    states = ", ".join(f"'{state}'" for state in CampaignState)
    for change in (
        "DROP CONSTRAINT known_campaignstate",
        f"ALTER COLUMN state TYPE {kind}",
        f"ADD CONSTRAINT known_campaignstate CHECK (state IN ({states}))",
        "ADD COLUMN held_by TEXT",
        "ADD COLUMN is_test BOOLEAN DEFAULT false NOT NULL",
    ):
        connection.execute(text(f"ALTER TABLE campaigns {change}"))


def _from_2(connection: Connection) -> None:
    """Campaigns whose people were erased, or are archived; the view knows people without a number."""
    archives.create(connection, checkfirst=True)
    if "erased_at_us" not in [each["name"] for each in inspect(connection).get_columns(campaigns.name)]:
        connection.execute(text("ALTER TABLE campaigns ADD COLUMN erased_at_us BIGINT"))


def _rebuild(connection: Connection, table: Table) -> None:
    """Give a SQLite table today's columns and checks, which it cannot change in place.

    The connection must not enforce foreign keys: in between the table is gone that others refer to.
    """
    before = Table(table.name, MetaData(), autoload_with=connection)
    after = table.to_metadata(MetaData(), name=f"{table.name}_new")
    after.create(connection)
    columns = [each.name for each in before.columns]
    connection.execute(insert(after).from_select(columns, select(*(before.c[name] for name in columns))))
    sequence = table_of("sqlite_sequence", column("name"), column("seq"))  # the newest id that was ever given, …
    newest = connection.scalar(select(sequence.c.seq).where(sequence.c.name == str(before.name)))
    if newest is not None:  # … where the table kept that before
        connection.execute(sequence.delete().where(sequence.c.name == after.name))
        connection.execute(sequence.insert().values(name=after.name, seq=newest))
    before.drop(connection)
    connection.execute(text(f"ALTER TABLE {after.name} RENAME TO {table.name}"))
    if broken := connection.execute(text("PRAGMA foreign_key_check")).all():
        raise AssertionError(f"{len(broken)} rows refer to nothing after the upgrade")


_STEPS: dict[int, Callable[[Connection], None]] = {1: _from_1, 2: _from_2}
