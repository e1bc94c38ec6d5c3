"""What an account may spend in a day of Kampala, over all its campaigns, whatever became of their calls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import Connection

from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import Ledger
from mambo_io.model import CallResult
from mambo_io.planning import write_plan
from mambo_io.sender import Hold
from mambo_io.settled import record_sent
from mambo_io.store import Store
from mambo_io.tables import attempts
from mambo_io.window import KAMPALA, day_start
from support.ledgers import NO_LIMITS, NOON, Run, bad_reply, good_reply, no_answer, no_connection, plan, rows_of

# How an earlier call of UGX 100 ended, and how much of the day it takes.
TAKEN: dict[str, tuple[Callable[[ClaimedCall], CallResult] | None, int]] = {
    "in flight": (None, 100),
    "unknown": (lambda _: no_answer(), 100),
    "accepted at an unknown cost": (lambda call: good_reply(call, sms_cost="free?"), 100),
    "accepted for less": (lambda call: good_reply(call, sms_cost=60), 60),
    "accepted for more": (lambda call: good_reply(call, sms_cost=140), 140),
    "refused": (lambda call: bad_reply(call, 400), 0),
    "not sent": (lambda _: no_connection(), 0),
}


def at(time: str) -> datetime:
    """A moment in Kampala."""
    return datetime.fromisoformat(time).replace(tzinfo=KAMPALA)


@pytest.mark.parametrize("ended", TAKEN)
def test_the_day_holds_to_the_shilling_whatever_became_of_the_calls_of_other_campaigns(
    store: Store, connection: Connection, ended: str
) -> None:
    result, taken_ugx = TAKEN[ended]
    other = Run.of(connection, plan(2, name="other"))
    call = other.claim_one()
    if result is not None:
        other.settle(call, result(call))
    assert Ledger(store).spent_since("main", day_start(NOON)) == taken_ugx

    run = Run.of(connection, plan(2, 2))
    run.limit(max_cost_per_day_ugx=taken_ugx + 99)
    assert run.try_to_claim() == (0, Hold.DAY_BUDGET), "one shilling short"
    run.limit(max_cost_per_day_ugx=taken_ugx + 100)
    assert run.try_to_claim(want=2) == (1, Hold.DAY_BUDGET)


def test_what_a_settlement_finds_out_counts_to_the_day_of_the_call(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2))
    run.settle(run.claim_one(), no_answer())
    [attempt] = (row["id"] for row in rows_of(store, attempts))
    record_sent(
        connection,
        run.campaign,
        attempt,
        cost_ugx=50,
        everybody=False,
        reason="settled",
        evidence="the balance",
        who="settlement",
        now=NOON,
    )
    run.limit(max_cost_per_day_ugx=149)
    assert run.try_to_claim() == (0, Hold.DAY_BUDGET)
    run.limit(max_cost_per_day_ugx=150)
    assert run.try_to_claim() == (1, None)


def test_it_stops_before_the_money_is_spent_and_goes_on_with_the_next_day_in_kampala(connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2, 2, 2), now=at("2026-03-02T23:59:58"))
    run.limit(max_cost_per_day_ugx=250)
    assert run.try_to_claim(want=4) == (2, Hold.DAY_BUDGET)
    run.now = at("2026-03-02T23:59:59.999999")
    assert run.try_to_claim(want=4) == (0, Hold.DAY_BUDGET)
    run.now = at("2026-03-03T00:00:00")
    assert run.try_to_claim(want=4) == (2, None), "what is still in flight was asked for yesterday"


def test_another_account_has_a_day_of_its_own(connection: Connection) -> None:
    Run.of(connection, plan(2, name="other", account="second")).claim_one()
    run = Run.of(connection, plan(2))
    run.limit(max_cost_per_day_ugx=100)
    assert run.try_to_claim() == (1, None)


def test_two_campaigns_side_by_side_share_the_day(store: Store) -> None:
    """Each with a connection of its own, all at once, call by call: together they spend the day and not a shilling
    more. A day of 950 has room for nine calls of 100."""
    limits = {"max_cost_per_day_ugx": 950}

    def send(name: str) -> int:
        with store.writer() as connection:
            run = Run(connection, Ledger(store).get(name), limits=NO_LIMITS)
            run.limit(**limits)
            made = 0
            while (exchange := run.exchange()).hold is None:
                [call] = exchange.calls
                run.settle(call, good_reply(call))
                made += 1
            assert exchange.hold is Hold.DAY_BUDGET
            return made

    names = ["clinic-day", "flour-day", "water-day"]
    with store.writer() as connection:
        for name in names:
            write_plan(connection, plan(*[2] * 10, name=name), who="tester")
    with ThreadPoolExecutor(len(names)) as threads:
        assert sum(threads.map(send, names)) == 9
    assert Ledger(store).spent_since("main", day_start(NOON)) == 900
