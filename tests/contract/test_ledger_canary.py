"""The first calls are canaries: the rest waits until their receipts agree with the estimate, or a person says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import Ledger
from mambo_io.model import CallResult, CanaryState
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import events
from support.ledgers import (
    NOON,
    Run,
    bad_reply,
    good_reply,
    no_answer,
    plan,
    rows_of,
)


def wrong_segments(call: ClaimedCall) -> CallResult:
    return good_reply(call, message_count=2)


def wrong_cost(call: ClaimedCall) -> CallResult:
    return good_reply(call, sms_cost=call.expected_ugx + 1)


def no_data(call: ClaimedCall) -> CallResult:
    return good_reply(call, recipients_count=None, message_count=None, sms_cost=None)


def one_charged_though_unsupported(call: ClaimedCall) -> CallResult:
    return good_reply(call, unsupported=call.request.recipients[:1], charge_unsupported=True)


def one_unsupported(call: ClaimedCall) -> CallResult:
    return good_reply(call, unsupported=call.request.recipients[:1])


def none_counted(call: ClaimedCall) -> CallResult:
    return good_reply(call, unsupported=call.request.recipients)


def refused(call: ClaimedCall) -> CallResult:
    return bad_reply(call, 400)


def unanswered(_: ClaimedCall) -> CallResult:
    return no_answer()


Answer = Callable[[ClaimedCall], CallResult]

# Plans whose first three calls are canaries, of which so many must agree; what the canaries came to; what follows.
CANARIES: dict[str, tuple[int, list[Answer], CanaryState, Hold | None]] = {
    "it agrees": (1, [good_reply], CanaryState.AGREED, None),
    "it agrees, one unsupported": (1, [one_unsupported], CanaryState.AGREED, None),
    "it agrees, one unsupported and charged": (1, [one_charged_though_unsupported], CanaryState.AGREED, None),
    "another cost": (1, [wrong_cost], CanaryState.DISAGREED, Hold.CANARY),
    "another number of segments": (1, [wrong_segments], CanaryState.DISAGREED, Hold.CANARY),
    "a receipt that says nothing": (1, [no_data], CanaryState.DISAGREED, Hold.CANARY),
    "none counted, then one agrees": (1, [none_counted, good_reply], CanaryState.AGREED, None),
    "none counted, then one disagrees": (1, [none_counted, wrong_cost], CanaryState.DISAGREED, Hold.CANARY),
    "none counted in three": (1, [none_counted] * 3, CanaryState.PENDING, Hold.CANARY),
    "refused, then one agrees": (1, [refused, good_reply], CanaryState.AGREED, None),
    "no answer in three": (1, [unanswered] * 3, CanaryState.PENDING, Hold.CANARY),
    "personalised: all agree": (3, [good_reply] * 3, CanaryState.AGREED, None),
    "personalised: the second disagrees": (3, [good_reply, wrong_cost], CanaryState.DISAGREED, Hold.CANARY),
    "personalised: the first is not counted": (3, [none_counted, *[good_reply] * 2], CanaryState.AGREED, None),
    "personalised: the last is not counted": (3, [*[good_reply] * 2, none_counted], CanaryState.AGREED, None),
    "personalised: none is counted": (3, [none_counted] * 3, CanaryState.PENDING, Hold.CANARY),
}


@pytest.mark.parametrize("restarted", [False, True], ids=["in one run", "each in a run of its own"])
def test_the_rest_waits_until_the_canaries_agree(store: Store, connection: Connection, restarted: bool) -> None:
    found = {}
    for edition, (name, (must_agree, answers, *_)) in enumerate(CANARIES.items()):
        run = Run.of(connection, plan(2, 2, 2, 5, 5, canaries=3, canary_calls=must_agree, edition=str(edition)))
        for chunk, answer in enumerate(answers, start=1):
            [call] = run.claim(4)
            assert (call.chunk, call.canary) == (chunk, True), "one canary at a time"
            assert run.try_to_claim(want=4) == (0, Hold.BUSY), "while it is out"
            run.settle(call, answer(call))
            if restarted:
                run = Run(connection, Ledger(store).get("clinic-day", str(edition)))
        hold = run.exchange(want=1).hold
        found[name] = (must_agree, answers, Ledger(store).get("clinic-day", str(edition)).canary, hold)
    assert found == CANARIES


def test_a_person_may_accept_what_the_canary_showed(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2, 2, canaries=1))
    call = run.claim_one()
    run.settle(call, wrong_cost(call))
    assert run.try_to_claim(want=2) == (0, Hold.CANARY)

    run = Run(connection, Ledger(store).get("clinic-day"))
    assert run.try_to_claim(want=2) == (0, Hold.CANARY), "the next run knows"
    run.sender.waive_canary(NOON)
    assert run.try_to_claim(want=2) == (2, None)
    assert Ledger(store).get("clinic-day").canary is CanaryState.WAIVED
    assert rows_of(store, events)[-1]["kind"] == "canary_waived"


def test_a_canary_whose_people_have_all_opted_out_gives_way_to_the_next(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2, 2, 5, canaries=2, opted_out=[1, 2]))
    assert run.try_to_claim() == (0, None)
    call = run.claim_one()
    assert (call.chunk, call.canary) == (2, True)
    run.settle(call, good_reply(call))
    assert Ledger(store).get("clinic-day").canary is CanaryState.AGREED
