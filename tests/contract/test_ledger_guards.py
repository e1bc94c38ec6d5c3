"""What is asked before an intent is recorded: every guard in one table; then the window, late opt-outs, and sizes that
tell calls apart.

The figures to the shilling are in `test_ledger_money`, `test_ledger_day_budget`, `test_ledger_canary`; what a person
says in `test_ledger_control`; repeats in `test_ledger_repeats`. `max_recipients` is asked at each start, because a plan
never grows while it is sent: `tests/e2e/test_cli_guards.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from mambo_io import accounting, control
from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import Ledger
from mambo_io.model import CallResult, ChunkState, Outcome
from mambo_io.planning import write_suppressions
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, suppressions
from mambo_io.window import KAMPALA, Window
from support.ledgers import (
    TEXT,
    Run,
    good_reply,
    msisdn,
    no_answer,
    plan,
    rows_of,
    suppressed,
)

# --- every guard -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guard:
    """How a campaign of three calls of UGX 100 is stopped after the first, and how it goes on."""

    hold: Hold | None
    stop: Callable[[Run], object] = lambda _: None
    go_on: Callable[[Run], object] = lambda _: None
    first_answer: Callable[[ClaimedCall], CallResult] = good_reply
    canaries: int = 0
    goes_to: Sequence[int] = (3, 4, 5, 6)  # the rows that are messaged after that


def limit(**limits: Any) -> Callable[[Run], None]:
    return lambda run: run.limit(**limits)


def read_balance(balance_ugx: int) -> Callable[[Run], None]:
    return lambda run: accounting.record_reading(run.connection, "main", balance_ugx, who="officer", now=run.now)


def say(what: Callable[..., object], **words: Any) -> Callable[[Run], object]:
    return lambda run: what(run.connection, run.campaign, who="Grace", now=run.now, **words)


def another_edition_sends_to_row(row: int) -> Callable[[Run], object]:
    others = [other for other in range(1, 7) if other != row]

    def send(run: Run) -> None:
        run.limit(repeat_guard_days=7)
        Run.of(run.connection, plan(6, edition="2", opted_out=others)).claim_one()

    return send


GUARDS = {
    "window": Guard(Hold.WINDOW, limit(window=Window.parse("08:00-09:00")), limit(window=Window.parse("08:00-20:00"))),
    "budget of the campaign": Guard(Hold.BUDGET, limit(max_cost_ugx=199), limit(max_cost_ugx=300)),
    "budget of the day": Guard(Hold.DAY_BUDGET, limit(max_cost_per_day_ugx=199), limit(max_cost_per_day_ugx=300)),
    "balance": Guard(Hold.BALANCE, read_balance(99), read_balance(200)),
    "canary": Guard(
        Hold.CANARY,
        go_on=lambda run: run.sender.waive_canary(run.now),
        first_answer=lambda call: good_reply(call, sms_cost=101),
        canaries=1,
    ),
    "pause": Guard(Hold.PAUSED, say(control.hold, note=None), say(control.resume, note=None)),
    "cancel": Guard(Hold.CANCELLED, say(control.cancel, note=None), goes_to=()),
    "approval": Guard(
        Hold.APPROVAL,
        lambda run: control.await_approval(run.connection, run.campaign),
        say(control.approve, digest="plan"),
    ),
    "opt-out": Guard(
        None, lambda run: write_suppressions(run.connection, run.campaign.id, suppressed(3, 4)), goes_to=(5, 6)
    ),
    "repeat": Guard(None, another_edition_sends_to_row(4), goes_to=(3, 5, 6)),
}


@pytest.mark.parametrize("name", GUARDS)
def test_every_guard_stops_before_money_is_spent_and_goes_on_where_it_stopped(
    store: Store, connection: Connection, name: str
) -> None:
    """It is asked in the claim after the one that it let through, in that run and in the next."""
    guard = GUARDS[name]
    run = Run.of(connection, plan(2, 2, 2, canaries=guard.canaries))
    call = run.claim_one()
    run.settle(call, guard.first_answer(call))
    guard.stop(run)
    if guard.hold is not None:
        assert run.try_to_claim(want=3) == (0, guard.hold)
        run = Run(connection, run.campaign, limits=run.limits)
        assert run.try_to_claim(want=3) == (0, guard.hold)
        assert [row["chunk"] for row in rows_of(store, attempts)] == [1], "no other call was made, or may have been"
        guard.go_on(run)
        run = Run(connection, run.campaign, limits=run.limits)
    claimed: list[int] = []
    while (exchange := run.exchange(want=3)).hold is None:
        claimed += [row for call in exchange.calls for row in call.rows]
    assert claimed == list(guard.goes_to)
    assert exchange.hold is (Hold.NOTHING_LEFT if claimed else Hold.CANCELLED)


# --- window ----------------------------------------------------------------------------------------------------------


def test_no_call_is_handed_out_outside_the_window(connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1, 1))
    run.limit(window=Window.parse("08:00-20:00"))
    found = {}
    for time in ("07:59:59.999999", "08:00:00", "19:59:59.999999", "20:00:00"):
        run.now = datetime.fromisoformat(f"2026-03-02T{time}").replace(tzinfo=KAMPALA)
        found[time] = run.try_to_claim()
    assert found == {
        "07:59:59.999999": (0, Hold.WINDOW),
        "08:00:00": (1, None),
        "19:59:59.999999": (1, None),
        "20:00:00": (0, Hold.WINDOW),
    }


def test_an_answer_is_recorded_when_the_window_has_closed(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1))
    call = run.claim_one()
    run.limit(window=Window.parse("08:00-09:00"))
    assert run.exchange(run.end(call, good_reply(call))).hold is Hold.WINDOW
    assert [row["state"] for row in rows_of(store, chunks)] == [ChunkState.ACCEPTED, ChunkState.PLANNED]


# --- opt-outs --------------------------------------------------------------------------------------------------------


def test_who_opted_out_after_the_plan_is_left_out_of_the_call(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(3, 2, 2, labels=[0, 1, 0]))
    in_flight, *_ = run.claim()
    write_suppressions(connection, run.campaign.id, suppressed(1, 4, 6, 7))

    [smaller] = run.claim()
    assert (smaller.rows, smaller.expected_ugx, smaller.label) == ((5,), 50, None)
    assert run.try_to_claim(want=2) == (0, None), "nobody is left in the third call"
    assert run.exchange().hold is Hold.NOTHING_LEFT
    run.exchange(run.end(in_flight, good_reply(in_flight)), run.end(smaller, good_reply(smaller)), want=0)

    ledger = Ledger(store)
    people = ledger.results(run.campaign)
    assert people.select("row", "outcome", "reason", "chunk").rows() == [
        (1, "accepted", None, 1),  # too late: the call was on its way
        (2, "accepted", None, 1),
        (3, "accepted", None, 1),
        (4, "rejected", "opted_out", None),
        (5, "accepted", None, 2),
        (6, "rejected", "opted_out", None),
        (7, "rejected", "opted_out", None),
    ]
    assert people["message"].to_list() == [TEXT] * 7, "what they would have been sent"
    assert [(row["state"], row["recipients_count"], row["expected_ugx"]) for row in rows_of(store, chunks)] == [
        (ChunkState.ACCEPTED, 3, 150),
        (ChunkState.ACCEPTED, 1, 50),
        (ChunkState.SKIPPED, 0, 0),
    ]
    totals = ledger.totals(run.campaign)
    assert totals.outcomes == {Outcome.REJECTED: 3, Outcome.ACCEPTED: 4}
    assert (totals.charged_ugx, totals.estimated_ugx, sum(totals.estimates.values())) == (200, 350, 200)
    assert ledger.rejected(run.campaign) == {"opted_out": 3}


def test_a_call_of_which_nobody_is_left_is_passed_over(connection: Connection) -> None:
    run = Run.of(connection, plan(2, 1, 1, opted_out=[1, 2]))
    assert [call.chunk for call in run.claim(2)] == [2]
    assert [call.chunk for call in run.claim(2)] == [3]


def test_who_opted_out_of_everything_is_left_out_of_every_campaign(connection: Connection) -> None:
    run = Run.of(connection, plan(3, opted_out=[2]))
    with connection.begin():
        everywhere = {"campaign_id": 0, "since_us": 0, "source": "phone call"}
        connection.execute(insert(suppressions), [{"msisdn": msisdn(row), **everywhere} for row in (2, 3)])
    assert run.claim_one().rows == (1,)


def test_the_opt_outs_of_one_campaign_are_not_those_of_another(connection: Connection) -> None:
    Run.of(connection, plan(1, name="other", opted_out=[1]))
    assert Run.of(connection, plan(1)).claim_one().rows == (1,)


# --- sizes that tell calls apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "want", "claimed"),
    [
        pytest.param([0, 1, 2, 0, 1, 2], [3], [0, 1, 2], id="in the order of the plan"),
        pytest.param([0, 1, 2, 0, 1, 2], [2, 1], [0, 1, 2], id="apart from what is in flight"),
        pytest.param([0, 0, 1, 1, 2], [2], [0, 1], id="apart from each other"),
        pytest.param([0, 0, 0], [2], [0, 0], id="alike when there is no other"),
        pytest.param([None, None, 0, 1], [2, 1], [None, 0, 1], id="calls of odd sizes, too"),
    ],
)
def test_calls_that_are_out_together_have_different_sizes_where_they_can(
    connection: Connection, labels: list[int | None], want: list[int], claimed: list[int | None]
) -> None:
    run = Run.of(connection, plan(*[2] * len(labels), labels=labels))
    assert [call.label for most in want for call in run.claim(most)] == claimed


def test_the_size_of_an_unknown_call_is_avoided_also_by_the_next_run(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(*[2] * 6, labels=[0, 0, 1, 0, 1, 0]))
    run.settle(run.claim_one(), no_answer())
    answered = run.claim_one()
    assert answered.label == 1
    run.settle(answered, good_reply(answered))
    assert Run(connection, Ledger(store).get("clinic-day")).claim_one().label == 1
