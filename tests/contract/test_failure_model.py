"""The failure model against the ledger: what stands there when this happens to the second of three calls.

The real send loop sends six people, two a call, on both stores; after the second call the server is well again. Waits
are as long as the rules say, on a clock that runs a thousand times as fast.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from mambo_io.client import AsyncMamboClient
from mambo_io.model import ChunkState, Verdict
from mambo_io.settings import load_settings
from mambo_io.side_file import SideFile
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, metadata, results
from pipelines import sending
from pipelines.alerts import of_summary
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.sending import Patience, RunEnd, SendLoop
from pipelines.summary import stop_text
from support import failure_model
from support.failure_model import CALLED, KEY, ROWS, SECRET, SHORT_S, Row, answer_well, served
from support.ledgers import NO_LIMITS, Run, plan
from support.lists import campaign_of
from support.raw_server import Behaviour, Call, close_at_once, reset_at_once, serving

PATIENT_S = 20.0
OUTCOMES = {"a": "accepted", "s": "unsupported", "v": "unverified"}
_NAMES = (f"case-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Any]]:
    """A ledger of each kind, and its writer; the campaigns of the rows stand in it side by side."""
    if request.param == "sqlite":
        url = str(shutil.copy(request.getfixturevalue("empty_ledger"), tmp_path_factory.mktemp("rows")))
    else:
        url = request.getfixturevalue("ledger_database")
    with Store(url, create=True) as store, store.writer() as connection:
        yield store, connection


@pytest.fixture(autouse=True)
def _fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the send loop waits for passes a thousand times as fast; and it gives up after two tries."""
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: 1000 * time.monotonic()))
    monkeypatch.setattr(sending, "_LONGEST_SLEEP_S", 0.002)
    monkeypatch.setattr(sending, "MAX_TRIES_IN_A_ROW", 2)


def only_to_the_second(does: Behaviour) -> Behaviour:
    connections = itertools.count(1)

    async def behave(call: Call) -> None:
        await (does if next(connections) == 2 else answer_well)(call)

    return behave


def send(store: Store, connection: Connection, api: str, *, timeout_s: float = PATIENT_S) -> tuple[Run, RunEnd]:
    """Send three calls of two people each through `api`."""
    name = next(_NAMES)
    run = Run.of(connection, plan(2, 2, 2, name=name, account=name))
    run.sender.side_file = SideFile(store.aside(run.campaign.id), "run")  # for what the ledger does not take
    patience = Patience(wait_for_window=False, pause_after_unknown=2, pause_after_refused=2)

    async def calls() -> RunEnd:
        async with AsyncMamboClient(base_url=api, api_key=KEY, timeout_s=timeout_s) as client:
            return await SendLoop(run.sender, client, replace(NO_LIMITS, concurrency=1), patience).run()

    return run, asyncio.run(calls())


class Found:
    """What the ledger says of a run: of one of its calls, and of each of its six people."""

    def __init__(self, connection: Connection, run: Run, *, call: int) -> None:
        with connection.begin():
            here = {"campaign_id": run.campaign.id, "chunk": call}
            self.state: ChunkState = connection.execute(select(chunks.c.state).filter_by(**here)).scalar_one()
            made = connection.execute(select(attempts).filter_by(**here).order_by(attempts.c.id))
            self.attempts = [dict(attempt._mapping) for attempt in made]
            people = connection.execute(
                select(results).where(results.c.campaign_id == run.campaign.id).order_by(results.c.row)
            ).all()
        assert tuple(person.e164 for person in people[2:4]) == CALLED
        self.people = [(person.outcome, person.reason) for person in people]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_stands_in_the_ledger(
    row: Row, shared: tuple[Store, Connection], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store, connection = shared
    nobody_connects = row.does is None or row.https  # then it happens to the first call
    with served(row, None if row.does is None or row.https else only_to_the_second(row.does)) as (api, _):
        run, end = send(store, connection, api, timeout_s=PATIENT_S if row.patient else SHORT_S)

    ending = row.ending
    assert end.reason == ("nothing_left" if ending.rest_is_sent else ending.stop_reason)
    found = Found(connection, run, call=1 if nobody_connects else 2)
    assert found.state is ending.call
    first, *again = found.attempts
    assert first["verdict"] is row.verdict
    assert first["reason"] in row.reason.split(" or ")
    if row.verdict is not Verdict.ACCEPTED:
        assert first["exposed_ugx"] == (100 if row.verdict is Verdict.UNKNOWN else None)
    assert [(attempt["verdict"], attempt["reason"]) for attempt in again] == _again(row)

    assert found.people[2:4] == _people(row, first["reason"])
    assert found.people[:2] == [("planned" if nobody_connects else "accepted", None)] * 2
    assert found.people[4:] == [("accepted" if ending.rest_is_sent else "planned", None)] * 2

    assert SECRET not in f"{end} {first} {caplog.text}"
    assert not secret_in(store, connection)


@pytest.mark.parametrize("does", [close_at_once, reset_at_once])
def test_a_connection_that_ends_at_once_is_in_doubt_or_made_again_and_never_both(
    does: Behaviour, shared: tuple[Store, Connection]
) -> None:
    """Whether the body was begun before the end was noticed is a race."""
    store, connection = shared
    with serving(only_to_the_second(does)) as server:
        run, _ = send(store, connection, server.url)

    found = Found(connection, run, call=2)
    verdicts = [attempt["verdict"] for attempt in found.attempts]
    match found.state:
        case ChunkState.UNKNOWN:
            assert verdicts == [Verdict.UNKNOWN]
        case ChunkState.ACCEPTED:
            assert verdicts == [Verdict.NOT_SENT, Verdict.ACCEPTED]
        case other:
            pytest.fail(f"the call is {other}")
    assert found.people[:2] == found.people[4:] == [("accepted", None)] * 2


ENDINGS = {repr(row.ending): row for row in reversed(ROWS.values()) if row.patient}


@pytest.mark.parametrize("row", ENDINGS.values(), ids=ENDINGS.keys())
def test_how_a_campaign_ends(row: Row, store_url: str, tmp_path: Path) -> None:
    """One row of each ending, as `mambo send --direct` sends it."""
    people = "\n".join(["phone", *(f"077200000{number}" for number in range(1, 7)), ""])
    two_a_call = "chunk_size = 2\ncanary_size = 2\nconcurrency = 1\ncalls_per_second = 0\nwindow = 'any'"
    campaign = campaign_of(tmp_path, people, sections=f"[sending]\n{two_a_call}")
    with served(row, None if row.does is None or row.https else only_to_the_second(row.does)) as (api, _):
        settings = load_settings(base_url=api, api_key=KEY, store=store_url)
        prepared = prepare(campaign, edition="1", account="main", ledger=None)
        summary = send_edition(campaign, settings, edition="1", prepared=prepared, command="mambo send")

    assert (summary.state, summary.stop_reason) == (row.ending.state, row.ending.stop_reason)
    if row.reason == "bad_certificate":
        told = stop_text(summary.stop_reason, summary.stop_detail)
        assert told == "the certificate of 127.0.0.1 cannot be trusted; the key was not sent"
    assert summary.exit_code == (0 if row.ending.stop_reason is None else 3)
    assert (of_summary(summary) is None) == (row.ending.stop_reason is None), "nobody is told of a good end alone"
    assert SECRET not in repr(summary)
    with Store(store_url) as store, store.writer() as connection:
        assert not secret_in(store, connection)

    # Sent again, it goes on with what is planned, and with nothing else.
    with serving(answer_well) as server:
        settings = load_settings(base_url=server.url, api_key=KEY, store=store_url)
        again = send_edition(campaign, settings, edition="1", prepared=None, command="mambo send")
    kept = {outcome: count for outcome, count in summary.outcomes.items() if outcome not in ("accepted", "planned")}
    assert again.outcomes == {"accepted": 6 - sum(kept.values())} | kept


def _people(row: Row, reason: str) -> list[tuple[str, str | None]]:
    """Outcome and reason that the two people of the call are to have."""
    match row.ending.call:
        case ChunkState.ACCEPTED:
            outcomes = [OUTCOMES[letter] for letter in row.people]
            return [(outcome, None if outcome == "accepted" else outcome) for outcome in outcomes]
        case ChunkState.SPLIT:
            return [("accepted", None)] * 2
        case ChunkState.PLANNED:
            return [("planned", None)] * 2
        case state:
            return [(state, reason)] * 2


def _again(row: Row) -> list[tuple[Verdict, str]]:
    """The further attempts of the call."""
    if row.ending == failure_model.DONE_AGAIN:
        return [(Verdict.ACCEPTED, "ok")]
    return [(row.verdict, row.reason)] if row.ending == failure_model.GIVEN_UP else []


def secret_in(store: Store, connection: Connection) -> bool:
    """Whether the key stands in any file of a SQLite ledger, or in any row of a PostgreSQL one."""
    if store.path is not None:
        return any(SECRET.encode() in path.read_bytes() for path in store.path.parent.rglob("*.db*") if path.is_file())
    found = " UNION ALL ".join(f"SELECT 1 FROM {name} t WHERE t::text LIKE '%{SECRET}%'" for name in metadata.tables)
    with connection.begin():
        return connection.execute(text(found)).first() is not None
