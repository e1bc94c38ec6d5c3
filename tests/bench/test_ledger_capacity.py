"""What a ledger carries: calls a second from one and from several senders, and what a person and a call take of disk.

A call is one commit here, which settles the call before it and records the next intent; no HTTP in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from mambo_io.doubts import account_history
from mambo_io.ledger import to_us
from mambo_io.planning import write_plan
from mambo_io.store import Store
from support import postgres
from support.environment import REPOSITORY
from support.ledgers import Run, good_reply, plan

CARRYING = (sys.executable, "-m", "support.carrying")


@pytest.fixture(scope="module")
def durable_server() -> Iterator[postgres.PostgresServer]:
    """Its commits reach the disk, as a ledger's do."""
    with postgres.running(fsync=True) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def durable_url(
    request: pytest.FixtureRequest, durable_server: postgres.PostgresServer, tmp_path: Path
) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    with durable_server.database() as url:
        yield url


@pytest.mark.parametrize(
    ("senders", "accounts"), [(1, 1), (2, 1), (4, 1), (4, 4)], ids=["1", "2", "4", "4 of an account each"]
)
def test_calls_a_second(durable_url: str, senders: int, accounts: int, table_row: Callable[..., None]) -> None:
    Store(durable_url, create=True).close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(REPOSITORY / "tests")])}
    with ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen(
                    [*CARRYING, durable_url, f"sender-{number}", f"account-{number % accounts}"],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                )
            )
            for number in range(senders)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        rates = [float(process.communicate()[0]) for process in processes]
    table_row(
        f"ledger, {senders} senders, {accounts} accounts",
        durable_url.partition(":")[0].partition("+")[0],
        reached=f"{sum(rates):,.0f} calls/s in all; each {min(rates):,.0f} to {max(rates):,.0f}",
        wanted="-",
    )


def test_an_old_ledger(durable_server: postgres.PostgresServer, table_row: Callable[..., None]) -> None:
    """A million calls of the account in the last week, one of them unknown: what a claim takes, and what a settlement
    reads before it concludes anything."""
    calls = 1_000_000
    with durable_server.database() as url, Store(url, create=True) as store, store.writer() as connection:
        run = Run(connection, write_plan(connection, plan(*[10] * 600), who="bench"), now=datetime.now(UTC))
        rates = [_calls_a_second(run)]
        with connection.begin():
            connection.execute(
                text(
                    "INSERT INTO attempts (campaign_id, chunk, account, run, epoch, intent_at_us, ended_at_us,"
                    " submitted_count, expected_ugx, verdict, charged_ugx, exposed_ugx, balance_after_ugx, raw_reply)"
                    " SELECT :campaign, 1, 'main', 'old', 1, :week_ago + n * 604800, :week_ago + n * 604800 + 100000,"
                    " 10, 500, CASE n WHEN 0 THEN 'unknown' ELSE 'accepted' END, CASE n WHEN 0 THEN NULL ELSE 500 END,"
                    " CASE n WHEN 0 THEN 500 END, 1000000, repeat('x', 250)"
                    " FROM generate_series(CAST(0 AS bigint), :calls - 1) n"
                ),
                {"campaign": run.campaign.id, "week_ago": to_us(run.now - timedelta(days=7)), "calls": calls},
            )
            connection.execute(text("ANALYZE attempts"))
        rates.append(_calls_a_second(run))
        began = time.perf_counter()
        found = account_history(connection, "main", 0, None)
        read_s = time.perf_counter() - began
        assert found is not None
        assert len(found.calls) >= calls
    table_row(
        "a claim, in a ledger with a million more calls",
        f"postgresql ({rates[0]:,.0f} calls/s without them)",
        reached=f"{rates[1]:,.0f} calls/s",
        wanted="-",
    )
    table_row("a settlement that reads a million calls", "postgresql", reached=f"{read_s:.1f} s", wanted="-")


def _calls_a_second(run: Run) -> float:
    began = time.perf_counter()
    for _ in range(300):
        [call] = run.claim()
        run.exchange(run.end(call, good_reply(call, balance_ugx=1_000_000)), want=0)
    return 300 / (time.perf_counter() - began)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_room_on_disk(
    kind: str, durable_server: postgres.PostgresServer, tmp_path: Path, table_row: Callable[..., None]
) -> None:
    """From how much more ten times the people take in as many calls, and as many people in ten times the calls."""

    def size(calls: int, people: int) -> int:
        with durable_server.database() as url:
            store = str(tmp_path / f"{calls}-{people}.db") if kind == "sqlite" else url
            return _size(store, calls, people)

    few, more_people, more_calls = size(1000, 10), size(1000, 100), size(10_000, 10)
    person = (more_people - few) / (1000 * 90)
    call = (more_calls - few - person * 9000 * 10) / 9000
    table_row(
        "room in the ledger",
        kind,
        reached=f"{person:,.0f} bytes a person, {call:,.0f} bytes a call (its reply among them)",
        wanted="-",
    )


def _size(url: str, calls: int, people: int) -> int:
    """By how much a campaign of that many calls, all accepted, makes a new ledger grow; in bytes."""
    with Store(url, create=True) as store, store.writer() as connection:
        before = _bytes(store)
        planned = plan(*[people] * calls, message="Clinic day is Friday. Bring your card.")
        run = Run(connection, write_plan(connection, planned, who="bench"))
        while made := run.claim(16):
            run.exchange(*(run.end(call, good_reply(call, balance_ugx=1_000_000)) for call in made), want=0)
        return _bytes(store) - before


def _bytes(store: Store) -> int:
    with store.reader() as connection:
        if store.is_sqlite:
            pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            return int(connection.scalar(text(pages)) or 0)
        return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
