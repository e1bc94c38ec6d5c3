"""The repeat guard inside a claim: whom another edition has sent the same text since the plan is left out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import CallResult, ChunkState, Outcome
from mambo_io.planning import write_plan, write_suppressions
from mambo_io.sender import Hold
from mambo_io.settled import record_not_sent
from mambo_io.store import Store
from mambo_io.store_errors import LedgerFailed
from mambo_io.tables import attempts, chunks
from pipelines import reconciliation
from pipelines.summary import summarize
from support.ledgers import (
    NOON,
    Run,
    bad_reply,
    good_reply,
    no_answer,
    no_connection,
    number,
    plan,
    rows_of,
    suppressed,
    view_of,
)

WEEK = {"repeat_guard_days": 7}


def guarded(connection: Connection, *sizes: int, days: int = 7, **planned: Any) -> Run:
    run = Run.of(connection, plan(*sizes, **planned))
    run.limit(repeat_guard_days=days)
    return run


def rows_claimed(run: Run) -> list[int]:
    """Everybody who is claimed until nothing is left."""
    rows: list[int] = []
    while (exchange := run.exchange(want=2)).hold is None:
        rows += [row for call in exchange.calls for row in call.rows]
    assert exchange.hold is Hold.NOTHING_LEFT
    return sorted(rows)


# What became of another edition's call to the people in rows 2 and 3, and whom it leaves for this one.
ENDS: dict[str, tuple[Callable[[ClaimedCall], CallResult] | None, list[int]]] = {
    "accepted": (good_reply, []),
    "in flight": (None, []),
    "unknown": (lambda _: no_answer(), []),
    "unverified": (lambda call: good_reply(call, recipients_count=1), []),
    "unsupported": (lambda call: good_reply(call, unsupported=[number(3)]), [3]),
    "refused": (lambda call: bad_reply(call, 400), [2, 3]),
    "not sent": (lambda _: no_connection(), [2, 3]),
}


@pytest.mark.parametrize("ended", ENDS)
@pytest.mark.parametrize("seen_in_flight", [False, True], ids=["seen when it had ended", "seen in flight, too"])
def test_what_became_of_the_other_call_decides_at_the_claim(
    connection: Connection, ended: str, seen_in_flight: bool
) -> None:
    result, expected = ENDS[ended]
    run = guarded(connection, 1, 1, 1)
    other = Run.of(connection, plan(3, name="other", opted_out=[1]))
    call = other.claim_one()
    if seen_in_flight:
        assert run.claim_one().rows == (1,), "of whom the other call knows nothing"
    else:
        expected = [1, *expected]
    if result is not None:
        other.settle(call, result(call))
    assert rows_claimed(run) == expected


def by_test(connection: Connection) -> None:
    Run.of(connection, plan(1, edition="test-1", is_test=True)).claim_one()


def by(**planned: Any) -> Callable[[Connection], None]:
    def call(connection: Connection) -> None:
        Run.of(connection, plan(1, **{"edition": "2"} | planned)).claim_one()

    return call


OTHERS: dict[str, tuple[Callable[[Connection], None], dict[str, Any], list[int]]] = {
    "the next edition": (by(), {}, [2]),
    "another campaign": (by(name="other"), {}, [2]),
    "another text": (by(message="Clinic day is Monday."), {}, [1, 2]),
    "another account": (by(account="second"), {}, [1, 2]),
    "a test to one's own phone": (by_test, {}, [1, 2]),
    "repeats were allowed at the plan": (by(), {"settings": {"allow_repeat": True}}, [1, 2]),
    "the guard is switched off": (by(), {"days": 0}, [1, 2]),
    "seen by the plan": (by(), {"settings": {"repeats_seen_to": 1, "sending": WEEK}}, [1, 2]),
    "seen by a plan that looked less far back": (
        by(),
        {"settings": {"repeats_seen_to": 1, "sending": WEEK}, "days": 8},
        [2],
    ),
    "after what the plan has seen": (by(), {"settings": {"repeats_seen_to": 0, "sending": WEEK}}, [2]),
}


@pytest.mark.parametrize("case", OTHERS)
def test_whose_call_it_was_and_what_the_campaign_says_decide(connection: Connection, case: str) -> None:
    call, planned, expected = OTHERS[case]
    run = guarded(connection, 1, 1, **planned)
    call(connection)
    assert rows_claimed(run) == expected


def test_everything_since_the_plan_counts_however_long_it_was_paused(store: Store, connection: Connection) -> None:
    """A plan is sent in part; while it rests another edition sends to some of the others; the next day it goes on."""
    run = guarded(connection, 1, 2, 2, 1)
    first = run.claim_one()
    run.settle(first, good_reply(first))
    other = Run.of(connection, plan(1, 1, 1, 1, edition="2", opted_out=[1, 4]))
    assert rows_claimed(other) == [2, 3]

    again = Run(connection, Ledger(store).get("clinic-day", "1"), now=NOON + timedelta(days=6))
    again.limit(repeat_guard_days=7)
    assert rows_claimed(again) == [4, 5, 6]


@pytest.mark.parametrize(("later", "expected"), [(timedelta(days=7), [2]), (timedelta(days=7, seconds=1), [1, 2])])
def test_a_text_counts_for_so_many_days(connection: Connection, later: timedelta, expected: list[int]) -> None:
    run = guarded(connection, 1, 1)
    by()(connection)
    run.now += later
    assert rows_claimed(run) == expected


def test_who_is_left_out_has_a_reason_and_every_figure_adds_up(store: Store, connection: Connection) -> None:
    run = guarded(connection, 3, 2, 1, labels=[0, 1, None])
    other = Run.of(connection, plan(1, 1, 1, 1, 1, 1, name="other", opted_out=[3, 6]))
    assert rows_claimed(other) == [1, 2, 4, 5]
    write_suppressions(connection, run.campaign.id, suppressed(2))

    [smaller] = run.claim()
    assert (smaller.rows, smaller.expected_ugx, smaller.label) == ((3,), 50, None)
    run.settle(smaller, good_reply(smaller))
    assert run.try_to_claim() == (0, None), "nobody is left in the second call"
    last = run.claim_one()
    run.settle(last, good_reply(last))

    ledger, row = Ledger(store), run.campaign
    people = ledger.results(row)
    assert people.select("row", "outcome", "reason", "chunk", "message").rows() == [
        (1, "rejected", "already_sent", None, row.message),
        (2, "rejected", "opted_out", None, row.message),
        (3, "accepted", None, 1, row.message),
        (4, "rejected", "already_sent", None, row.message),
        (5, "rejected", "already_sent", None, row.message),
        (6, "accepted", None, 3, row.message),
    ]
    assert people.to_dicts() == view_of(store, row).to_dicts()
    of_chunks = rows_of(store, chunks, campaign_id=row.id)
    assert [(each["state"], each["recipients_count"], each["expected_ugx"]) for each in of_chunks] == [
        (ChunkState.ACCEPTED, 1, 50),
        (ChunkState.SKIPPED, 0, 0),
        (ChunkState.ACCEPTED, 1, 50),
    ]
    assert ledger.totals(row).outcomes == {Outcome.REJECTED: 4, Outcome.ACCEPTED: 2}
    assert ledger.rejected(row) == {"already_sent": 3, "opted_out": 1}
    summary = summarize(ledger, row, command="")
    assert (summary.estimated_ugx, summary.charged_ugx) == (300, 100)
    assert summary.differences == {
        "opted out after the plan": 50,
        "sent the same text by another edition after the plan": 150,
    }
    [sums] = reconciliation.by_campaign(reconciliation.read_books(store, ["clinic-day"])).to_dicts()
    assert (sums["difference_ugx"], sums["of_not_sent_ugx"], sums["unexplained_ugx"]) == (-200, -200, 0)


def test_a_call_that_was_planned_again_leaves_its_people_to_whoever_comes_first(
    store: Store, connection: Connection
) -> None:
    """Known to have been unknown, then found not sent; whoever claims them first sends, and the other does not."""
    run = guarded(connection, 1, 2)
    other = Run.of(connection, plan(3, edition="2"))
    other.limit(repeat_guard_days=7)
    call = other.claim_one()
    other.settle(call, no_answer())
    assert run.try_to_claim() == (0, None), "row 1 is left out"
    found: dict[str, Any] = {"reason": "settled", "evidence": "the balance", "who": "Grace", "now": NOON}
    record_not_sent(connection, other.campaign, call.attempt_id, at_the_end=False, **found)
    assert run.claim_one().rows == (2, 3)
    assert other.claim_one().rows == (1,)


def test_a_claim_that_could_not_be_written_has_looked_at_nothing(tmp_path: Path, empty_ledger: Path) -> None:
    """SQLite gives another edition's call the very number that the lost one had; PostgreSQL gives none twice."""
    with Store(str(shutil.copy(empty_ledger, tmp_path))) as store, store.writer() as connection:
        run = guarded(connection, 1, 1)
        failing = "BEFORE UPDATE ON chunks WHEN NEW.chunk = 2 BEGIN SELECT RAISE(ABORT, 'full'); END"
        with connection.begin():
            connection.execute(text(f"CREATE TRIGGER failing {failing}"))
        with pytest.raises(LedgerFailed):
            run.claim(2)
        with connection.begin():
            connection.execute(text("DROP TRIGGER failing"))
        by()(connection)
        assert [row["id"] for row in rows_of(store, attempts)] == [1]
        assert rows_claimed(run) == [2]


def test_editions_that_run_side_by_side_send_a_text_to_nobody_twice(store: Store) -> None:
    """Each with a connection of its own, all at once, call by call, and another text of theirs to the same people."""
    names = ["clinic-day", "flour-day", "water-day"]
    sizes = [3, 1, 2, 2, 3, 1, 4, 4]
    with store.writer() as connection:
        for turn, name in enumerate(names):
            write_plan(connection, plan(*sizes[turn:], *sizes[:turn], name=name), who="tester")
        apart = write_plan(connection, plan(*sizes, name="apart", message="Another text."), who="tester")

    def send(campaign: CampaignRow) -> list[int]:
        with store.writer() as connection:
            run = Run(connection, campaign)
            run.limit(repeat_guard_days=7)
            sent: list[int] = []
            while (exchange := run.exchange(want=2)).hold is None:
                ends = [run.end(call, good_reply(call)) for call in exchange.calls]
                sent += [row for call in exchange.calls for row in call.rows]
                run.exchange(*ends, want=0)
            return sent

    with ThreadPoolExecutor(len(names) + 1) as threads:
        found = list(threads.map(send, [*map(Ledger(store).get, names), apart]))
    assert Counter(row for rows in found[:-1] for row in rows) == dict.fromkeys(range(1, 21), 1)
    assert sorted(found[-1]) == list(range(1, 21)), "of another text it keeps nobody back"
