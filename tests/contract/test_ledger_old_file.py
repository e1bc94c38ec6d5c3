"""Ledgers as earlier versions wrote them, byte for byte: today's code upgrades them, reads them, goes on with them."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import inspect, text, update
from sqlalchemy.exc import IntegrityError

from mambo_io.calls_left import unknown_calls
from mambo_io.errors import StoreError
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState, CanaryState, ChunkState, Outcome
from mambo_io.planning import write_plan
from mambo_io.restored import restore
from mambo_io.store import Store
from mambo_io.tables import SCHEMA_VERSION, campaigns, ledger_meta, metadata
from support.cli import dump
from support.environment import REPOSITORY
from support.ledgers import NOON, Run, msisdn, number, plan, rows_of
from support.postgres import PostgresServer

DATA = REPOSITORY / "tests" / "data"
VERSIONS = range(1, SCHEMA_VERSION + 1)


def old_file(version: int, folder: Path) -> Path:
    """A copy of the file: opening a ledger, even for reading, writes files beside it."""
    return Path(shutil.copy(DATA / f"ledger-v{version}.db", folder / "ledger.db"))


def load_dump(version: int, url: str) -> None:
    """The same ledger in an empty PostgreSQL database."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute((DATA / f"ledger-v{version}.sql").read_text(encoding="utf-8").encode())


@pytest.fixture(params=VERSIONS, ids=lambda version: f"v{version}")
def version(request: pytest.FixtureRequest) -> int:
    """Of the program that wrote the ledger."""
    written: int = request.param
    return written


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, version: int, tmp_path: Path) -> str:
    """Where the ledger of that version lies."""
    if request.param == "sqlite":
        return str(old_file(version, tmp_path))
    database: str = request.getfixturevalue("postgres_url")
    load_dump(version, database)
    return database


@pytest.fixture
def old(url: str) -> Iterator[Store]:
    with Store(url) as store:
        yield store


def test_its_campaigns_are_all_there(old: Store) -> None:
    flour_day, clinic_day = Ledger(old).campaigns()
    assert (clinic_day.label, clinic_day.state, clinic_day.first_call_at, clinic_day.kept_columns) == (
        *("clinic-day/1", CampaignState.SENDING, NOON, ("client_id",)),
    )
    assert (flour_day.label, flour_day.state, flour_day.canary, flour_day.ended_at) == (
        *("flour-day/2026-03-02", CampaignState.COMPLETE, CanaryState.AGREED, NOON + timedelta(minutes=1)),
    )


def test_its_results_have_an_outcome_in_every_row(old: Store, version: int) -> None:
    ledger = Ledger(old)
    people = ledger.results(ledger.get("clinic-day"))
    assert people.select("row", "e164", "outcome", "reason", "charged_ugx", "attempt", "client_id").rows() == [
        (1, number(1), "accepted", None, 51, 1, "c1"),
        (2, number(2), "unsupported", "unsupported", 0, 1, "c2"),
        (3, number(3), "accepted", None, 50, 1, "c3"),
        (4, number(4), "unverified", "unverified", 50, 2, "c4"),
        (5, number(5), "unverified", "unverified", 50, 2, "c5"),
        (6, number(6), "refused", "http_400", None, 3, "c6"),
        (7, number(7), "refused", "http_400", None, 3, "c7"),
        (8, number(8), "unknown", "no_answer", None, 4, "c8"),
        (9, number(9), "unknown", "no_answer", None, 4, "c9"),
        (10, number(10), "in_flight", None, None, 5, "c10"),
        (11, number(11), "cancelled", "cancelled", None, None, "c11"),
        (12, None, "rejected", "missing", None, None, "c12"),
    ]
    reported = "delivered" if version > 1 else "not_reported"
    assert people["delivery"].to_list() == [reported, None, "not_reported", *[None] * 9]
    complete = ledger.results(ledger.get("flour-day"))
    assert complete.select("row", "outcome", "reason", "charged_ugx", "chunk").rows() == [
        (1, "accepted", None, 50, 4),
        (2, "rejected", "opted_out", None, None),
        (3, "accepted", None, 50, 5),
        (4, "accepted", None, 50, 2),
        (5, "accepted", None, 50, 2),
        (6, "rejected", "opted_out", None, None),
    ]


def test_its_totals_add_up(old: Store) -> None:
    ledger = Ledger(old)
    totals = ledger.totals(ledger.get("clinic-day"))
    assert totals.outcomes == {
        Outcome.REJECTED: 1,
        Outcome.UNSUPPORTED: 1,
        Outcome.UNVERIFIED: 2,
        Outcome.ACCEPTED: 2,
        Outcome.IN_FLIGHT: 1,
        Outcome.UNKNOWN: 2,
        Outcome.REFUSED: 2,
        Outcome.CANCELLED: 1,
    }
    assert (totals.rows, totals.estimated_ugx, totals.charged_ugx, totals.exposed_ugx) == (12, 550, 201, 150)
    assert totals.unsupported_estimate_ugx == 50
    complete = ledger.totals(ledger.get("flour-day"))
    assert complete.calls == {ChunkState.ACCEPTED: 3, ChunkState.SPLIT: 1, ChunkState.SKIPPED: 1}
    assert (complete.rows, complete.estimated_ugx, complete.charged_ugx, complete.exposed_ugx) == (6, 300, 200, 0)


def test_what_it_says_of_the_account_and_of_who_was_sent_what_still_counts(old: Store) -> None:
    ledger = Ledger(old)
    assert ledger.last_balance("main") == (8_000, NOON + timedelta(minutes=2))
    assert ledger.credentials_latch("second") == "Invalid credentials"
    sent = ledger.sent_pairs("main", NOON, other_than=("", ""))
    assert set(sent["msisdn"]) == {msisdn(row) for row in (1, 3, 4, 5, 8, 9, 10)}


def test_what_was_in_flight_is_unknown_to_whoever_goes_on_with_it(old: Store) -> None:
    ledger = Ledger(old)
    with old.writer() as connection:
        run = Run(connection, ledger.get("clinic-day"))
        assert run.orphans == 1
        assert run.claim(5) == (), "nothing else is left to be sent"
    assert [call.name for call in unknown_calls(ledger.store, run.campaign)] == [
        "clinic-day/1/c0004",
        "clinic-day/1/c0005",
    ]


# --- the upgrade -----------------------------------------------------------------------------------------------------


def schema_of(store: Store) -> dict[str, Any]:
    """The columns of every table and view with their types, the indexes and checks of every table, in no order."""
    with store.reader() as connection:
        found = inspect(connection)
        columns = {
            name: [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)]
            for name in metadata.tables
        }
        tables = found.get_table_names()
        indexes = {name: sorted(str(index["name"]) for index in found.get_indexes(name)) for name in tables}
        checks = {
            # The values only: PostgreSQL writes the rest anew when a dump is read.
            name: sorted((str(check["name"]), re.findall(r"'(\w+)'", check["sqltext"])) for check in found_checks)
            for name, found_checks in ((name, found.get_check_constraints(name)) for name in tables)
        }
        return {"columns": columns, "indexes": indexes, "checks": checks}


def test_an_upgraded_ledger_has_the_tables_and_the_view_of_a_new_one(
    old: Store, version: int, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    assert old.upgraded_from == (version if version < SCHEMA_VERSION else None)
    with contextlib.ExitStack() as stack:
        url = str(tmp_path / "new.db") if old.is_sqlite else stack.enter_context(postgres_server.database())
        new = stack.enter_context(Store(url, create=True))
        assert schema_of(old) == schema_of(new)
        assert rows_of(old, ledger_meta) == rows_of(new, ledger_meta)


def test_a_plan_that_is_replaced_after_the_upgrade_gets_an_id_of_its_own(old: Store) -> None:
    """The events of one plan are not those of another: no id is given twice."""
    with old.writer() as connection:
        deleted, written = (write_plan(connection, plan(1, name="new-day"), who="officer") for _ in range(2))
    assert 2 < deleted.id < written.id


def test_every_state_has_its_place_in_an_upgraded_ledger(old: Store) -> None:
    with old.writer() as connection:
        for state in CampaignState:
            with connection.begin():
                connection.execute(update(campaigns).where(campaigns.c.id == 2).values(state=state))
        with pytest.raises(IntegrityError, match="known_campaignstate"), connection.begin():
            connection.execute(text("UPDATE campaigns SET state = 'gone' WHERE id = 2"))


def test_a_ledger_is_upgraded_once(old: Store, url: str) -> None:
    with Store(url) as again:
        assert again.upgraded_from is None


def test_a_copy_of_the_file_as_it_was_stays_beside_it(tmp_path: Path) -> None:
    ledger = old_file(1, tmp_path)
    before = dump(ledger)
    (tmp_path / "ledger.db.version-1").write_bytes(b"half of a copy, from an upgrade that was killed")
    Store(str(ledger)).close()

    copy = tmp_path / "ledger.db.version-1"
    assert dump(copy) == before
    assert copy.stat().st_mode & 0o077 == 0, "it holds everybody's numbers"
    assert dump(ledger) != before
    Store(str(ledger)).close()
    assert dump(copy) == before, "the copy is of before the upgrade, not of later"


def test_a_ledger_that_cannot_be_copied_is_not_upgraded(tmp_path: Path) -> None:
    ledger = old_file(1, tmp_path)
    before = dump(ledger)
    (tmp_path / "ledger.db.version-1").mkdir()
    with pytest.raises(StoreError, match=r"ledger\.db: the store cannot be used"):
        Store(str(ledger))
    assert dump(ledger) == before


def test_two_processes_may_open_an_old_ledger_at_once(url: str, version: int) -> None:
    together = threading.Barrier(2)

    def open_it(_: int) -> int | None:
        together.wait()
        with Store(url) as store:
            assert Ledger(store).get("clinic-day").rows == 12
            return store.upgraded_from

    with ThreadPoolExecutor(2) as threads:
        upgraded = list(threads.map(open_it, range(2)))
    assert sorted(upgraded, key=str) == ([version, None] if version < SCHEMA_VERSION else [None, None])


def test_a_backup_of_an_earlier_version_is_upgraded_when_it_is_put_in_place(tmp_path: Path) -> None:
    backup = old_file(1, tmp_path).rename(tmp_path / "backup.db")
    restored = restore(str(tmp_path / "ledger.db"), backup, who="jane", now=NOON)
    assert restored.open_campaigns == ("clinic-day/1",)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix not in (".db-wal", ".db-shm")) == [
        "backup.db",
        "ledger.db",
        "ledger.db.newest-call",
    ]


def test_a_kept_column_of_a_name_that_is_ours_by_now_is_renamed(tmp_path: Path) -> None:
    """`delivery` was an ordinary column of a list when its campaign was sent."""
    ledger = old_file(1, tmp_path)
    with contextlib.closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("""UPDATE campaigns SET kept_columns = '["delivery"]' WHERE name = 'clinic-day'""")
        connection.execute("""UPDATE recipients SET kept = '{"delivery":"at the gate"}' WHERE campaign_id = 1""")
    with Store(str(ledger)) as store:
        people = Ledger(store).results(Ledger(store).get("clinic-day"))
    assert people.columns[-2:] == ["delivery", "delivery_"]
    assert set(people["delivery_"]) == {"at the gate"}
