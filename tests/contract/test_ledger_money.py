"""What a campaign may spend, what its account has left, and how many calls a second the account may make."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import OperationalError

from mambo_io import accounting, statements
from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import Ledger, to_us
from mambo_io.model import CallResult
from mambo_io.planning import Plan
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import accounts
from support.ledgers import (
    NOON,
    Run,
    bad_reply,
    good_reply,
    no_answer,
    no_connection,
    plan,
    rows_of,
)

SECOND = timedelta(seconds=1)


# --- budget ----------------------------------------------------------------------------------------------------------


# How a call of UGX 100 ended, and how much of the budget it takes.
TAKEN: dict[str, tuple[Callable[[ClaimedCall], CallResult] | None, int]] = {
    "in flight": (None, 100),
    "unknown": (lambda _: no_answer(), 100),
    "accepted at an unknown cost": (lambda call: good_reply(call, sms_cost="free?"), 100),
    "accepted for less": (lambda call: good_reply(call, sms_cost=60), 60),
    "accepted for more": (lambda call: good_reply(call, sms_cost=140), 140),
    "accepted for nothing": (lambda call: good_reply(call, unsupported=call.request.recipients), 0),
    "refused": (lambda call: bad_reply(call, 400), 0),
    "not sent": (lambda _: no_connection(), 0),
}


@pytest.mark.parametrize("restarted", [False, True], ids=["the same run", "the next run"])
def test_the_budget_holds_to_the_shilling_whatever_became_of_the_call_before(
    store: Store, connection: Connection, restarted: bool
) -> None:
    found = {}
    for edition, (name, (result, taken_ugx)) in enumerate(TAKEN.items()):
        run = Run.of(connection, plan(2, 2, 2, edition=str(edition)))
        call = run.claim_one()
        if result is not None:
            run.settle(call, result(call))
        if restarted:
            run = Run(connection, Ledger(store).get("clinic-day", str(edition)))
        run.limit(max_cost_ugx=taken_ugx + 99)
        one_shilling_short = run.try_to_claim()
        run.limit(max_cost_ugx=taken_ugx + 100)
        found[name] = (one_shilling_short, run.try_to_claim())
    assert found == dict.fromkeys(TAKEN, ((0, Hold.BUDGET), (1, None)))


def test_calls_claimed_together_share_the_budget(connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2, 2, 2))
    run.limit(max_cost_ugx=399)
    assert run.try_to_claim(want=4) == (3, Hold.BUDGET)


# --- balance ---------------------------------------------------------------------------------------------------------


def read_balance(run: Run, balance_ugx: int, account: str = "main") -> None:
    accounting.record_reading(run.connection, account, balance_ugx, who="officer", now=run.now)


def balance(store: Store) -> int | None:
    known = Ledger(store).last_balance("main")
    return None if known is None else known[0]


def test_a_balance_of_this_run_must_cover_what_is_open_and_the_next_call(connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2, 2, 2))
    unanswered, _ = run.claim(2)
    run.settle(unanswered, no_answer())
    read_balance(run, 299)
    assert run.try_to_claim() == (0, Hold.BALANCE), "100 in flight, 100 unknown, and 100 for the next"
    read_balance(run, 300)
    assert run.try_to_claim(want=2) == (1, Hold.BALANCE)


def test_the_account_pays_for_all_its_campaigns(store: Store, connection: Connection) -> None:
    other = Run.of(connection, plan(2, name="other"))
    other.settle(other.claim_one(), no_answer())
    for account, expected in (("main", (0, Hold.BALANCE)), ("second", (1, None))):
        run = Run.of(connection, plan(2, name=f"of-{account}", account=account))
        read_balance(run, 199, account)
        assert run.try_to_claim() == expected
    assert Ledger(store).last_balance("second") == (199, NOON)
    assert Ledger(store).last_balance("third") is None


def account_is_free(store: Store) -> bool:
    """Whether a claim of another campaign could look at the account now. SQLite lets one writer in at a time."""
    if store.path is not None:
        with contextlib.closing(sqlite3.connect(store.path, timeout=0)) as other_file:
            try:
                other_file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    with store.writer() as other:
        try:
            other.execute(select(accounts).with_for_update(nowait=True))
        except OperationalError:
            return False
        return True


def test_two_campaigns_of_an_account_are_not_decided_about_at_the_same_time(
    store: Store, connection: Connection
) -> None:
    """Each would see the balance without the other's call."""
    run = Run.of(connection, plan(1))
    before_each_commit: list[bool] = []
    event.listen(connection, "commit", lambda _: before_each_commit.append(account_is_free(store)))
    run.claim_one()
    assert before_each_commit == [False]
    assert account_is_free(store)


def test_two_campaigns_may_be_the_first_of_their_account(store: Store, connection: Connection) -> None:
    failures: list[Exception] = []

    def second_campaign() -> None:
        try:
            with store.writer() as other:
                Run.of(other, plan(1, name="second"))
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    campaign = threading.Thread(target=second_campaign)
    with connection.begin():
        connection.execute(statements.ADD_ACCOUNT, {"the_account": "main"})
        campaign.start()
    campaign.join()
    assert failures == []
    assert Run.of(connection, plan(1)).claim_one().rows == (1,)


def test_a_balance_from_before_the_run_stops_nothing(connection: Connection) -> None:
    """Somebody may have topped up since. If not, the API refuses the first call, which costs nothing."""
    planned = plan(2, 2)
    accounting.record_reading(connection, "main", 0, who="officer", now=NOON - SECOND)
    run = Run.of(connection, planned)
    call = run.claim_one()
    run.settle(call, good_reply(call, balance_ugx=0))
    assert run.try_to_claim() == (0, Hold.BALANCE), "now it is known"


def test_of_overlapping_replies_the_lowest_balance_counts_and_then_the_latest(
    store: Store, connection: Connection
) -> None:
    run = Run.of(connection, plan(1, 1, 1, 1))
    first, second, third = run.claim(3)
    found = []
    for call, said_ugx in ((second, 900), (first, 950), (third, 850)):
        run.now += SECOND
        run.settle(call, good_reply(call, balance_ugx=said_ugx))
        found.append(balance(store))
    assert found == [900, 900, 850], "the second was executed after the first, though its answer came before"

    run.now += SECOND
    later = run.claim_one()
    run.now += SECOND
    run.settle(later, good_reply(later, balance_ugx=5_000))
    assert balance(store) == 5_000, "somebody topped up"


def test_a_reply_without_a_balance_leaves_the_one_that_is_known(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    read_balance(run, 700)
    call = run.claim_one()
    run.settle(call, good_reply(call, new_balance="n/a"))
    assert balance(store) == 700


# --- rate ------------------------------------------------------------------------------------------------------------


def run_of(connection: Connection, planned: Plan, **limits: Any) -> Run:
    run = Run.of(connection, planned)
    run.limit(**limits)
    return run


def test_the_campaigns_of_an_account_share_its_rate(connection: Connection) -> None:
    """A sender that has to wait takes a turn, and the next one the turn after that, however early it asks."""
    calls = [1] * 9
    one, two = (run_of(connection, plan(*calls, name=name), calls_per_second=1) for name in ("one", "two"))
    elsewhere = run_of(connection, plan(*calls, name="elsewhere", account="second"), calls_per_second=1)

    def ask(run: Run, after_s: float, want: int = 3) -> tuple[int, Hold | None, float | None]:
        run.now = NOON + after_s * SECOND
        exchange = run.exchange(want=want)
        retry_s = None if exchange.retry_at_us is None else (exchange.retry_at_us - to_us(NOON)) / 1e6
        return len(exchange.calls), exchange.hold, retry_s

    # One call after a rest comes on top, so that a late wake-up does not slow the whole campaign down.
    assert ask(one, 0) == (2, Hold.RATE, 1)
    assert ask(two, 0) == (0, Hold.RATE, 2)
    assert ask(elsewhere, 0) == (2, Hold.RATE, 1)
    assert ask(one, 0.999999) == (0, Hold.RATE, 1)
    assert ask(two, 1.5) == (0, Hold.RATE, 2), "that turn is the other one's"
    assert ask(one, 1.6) == (1, Hold.RATE, 3)
    assert ask(two, 2) == (1, Hold.RATE, 4)
    assert ask(one, 3, want=1) == (1, None, None), "who wants no more takes no turn"
    assert ask(two, 4) == (1, Hold.RATE, 5)
    # A turn that nobody came for in time is lost, and the queue goes on from now.
    assert ask(one, 60) == (2, Hold.RATE, 61)
    assert ask(two, 60) == (0, Hold.RATE, 62)


def test_a_clock_that_was_wrong_holds_nobody_up(connection: Connection) -> None:
    """Three hours ahead, the time difference of Uganda, is what a laptop shows whose clock another system set."""
    run = run_of(connection, plan(*[1] * 9), calls_per_second=1)
    run.now = NOON + timedelta(hours=3)
    assert run.try_to_claim(want=3) == (2, Hold.RATE)
    run.now = NOON
    assert run.try_to_claim(want=3) == (1, Hold.RATE)


def test_a_rate_of_0_is_no_limit(store: Store, connection: Connection) -> None:
    run = run_of(connection, plan(*[1] * 50), calls_per_second=0)
    assert run.try_to_claim(want=50) == (50, None)
    assert rows_of(store, accounts)[0]["next_call_at_us"] == 0
