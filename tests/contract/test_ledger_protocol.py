"""The protocol of a call: the intent first, nothing open during it, its verdict after it, one sender at a time."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from sqlalchemy import Connection, event, select

from mambo_io.call_ends import ClaimedCall
from mambo_io.calls_left import unknown_calls
from mambo_io.client import boot_time_s
from mambo_io.errors import Stopped
from mambo_io.ledger import Ledger, to_us
from mambo_io.model import CallResult, CampaignState, ChunkState, Verdict
from mambo_io.planning import write_plan
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import attempts, campaigns, chunks, events
from mambo_io.verdicts import IntentTooOld, judge_failure
from support.ledgers import NOON, TEXT, Run, bad_reply, good_reply, no_answer, no_connection, number, plan, rows_of


def test_the_intent_is_there_for_everybody_before_the_call_is_handed_out(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(3, 2))
    [call] = run.claim()

    assert (call.name, call.rows, call.expected_ugx, call.estimates_ugx) == (
        "clinic-day/1/c0001",
        (1, 2, 3),
        150,
        (50,) * 3,
    )
    assert (call.request.message, call.request.recipients) == (TEXT, (number(1), number(2), number(3)))
    [attempt] = rows_of(store, attempts)
    assert attempt["id"] == call.attempt_id
    assert (attempt["chunk"], attempt["intent_at_us"], attempt["submitted_count"]) == (1, to_us(NOON), 3)
    assert (attempt["expected_ugx"], attempt["exposed_ugx"], attempt["verdict"], attempt["epoch"]) == (
        150,
        150,
        None,
        1,
    )
    assert [row["state"] for row in rows_of(store, chunks)] == [ChunkState.IN_FLIGHT, ChunkState.PLANNED]
    assert Ledger(store).results(run.campaign)["outcome"].to_list() == ["in_flight"] * 3 + ["planned"] * 2
    assert Ledger(store).get("clinic-day").first_call_at == NOON


def test_an_intent_grows_too_old_on_the_clock_that_counts_suspend(connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    before = boot_time_s()
    call = run.claim_one()
    assert before + run.limits.call_deadline_s <= call.not_after_boot_s <= boot_time_s() + run.limits.call_deadline_s


def test_nothing_is_open_while_a_call_is_made(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1))
    run.claim_one()
    assert not connection.in_transaction()
    # SQLite lets one in at a time; PostgreSQL is asked for the very row that a claim locks.
    with store.writer() as other, other.begin():
        assert other.scalars(select(campaigns.c.id).with_for_update(nowait=True)).all() == [run.campaign.id]


def test_what_came_back_and_what_goes_out_is_one_commit(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1, 1, 1))
    first, second = run.claim(2)
    commits: list[object] = []
    event.listen(connection, "commit", commits.append)
    exchange = run.exchange(run.end(first, good_reply(first)), run.end(second, no_answer()), want=2)
    assert len(commits) == 1
    assert [call.chunk for call in exchange.calls] == [3, 4]
    assert [row["verdict"] for row in rows_of(store, attempts)] == [Verdict.ACCEPTED, Verdict.UNKNOWN, None, None]


def test_a_commit_that_fails_leaves_both_undone(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1))
    call = run.claim_one()
    before = rows_of(store, attempts), rows_of(store, chunks)

    @event.listens_for(connection, "commit")
    def on_commit(_: Connection) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        run.exchange(run.end(call, good_reply(call)))
    assert (rows_of(store, attempts), rows_of(store, chunks)) == before


# How a call of two people ended; its verdict and reason; then its state, its people's outcome and reason, and what it
# may still cost (UGX).
ENDS: dict[str, tuple[Callable[[ClaimedCall], CallResult], str, str, str, str, str | None, int | None]] = {
    "a good reply": (good_reply, "accepted", "ok", "accepted", "accepted", None, None),
    "a good reply without a cost": (
        lambda call: good_reply(call, sms_cost=None),
        *("accepted", "cost_missing", "accepted", "accepted", None, 100),
    ),
    "a good reply whose counts do not add up": (
        lambda call: good_reply(call, recipients_count=1),
        *("accepted", "counts_inconsistent", "accepted", "unverified", "unverified", None),
    ),
    "a good reply about strangers": (
        lambda call: good_reply(call, unsupported=[number(99)]),
        *("accepted", "unsupported_not_in_call", "accepted", "unverified", "unverified", None),
    ),
    "nobody could be reached": (
        lambda call: good_reply(call, unsupported=call.request.recipients),
        *("accepted", "ok", "accepted", "unsupported", "unsupported", None),
    ),
    "no connection": (
        lambda _: no_connection(),
        *("not_sent", "connect_failed", "planned", "planned", None, None),
    ),
    "too late to be sent": (
        lambda _: judge_failure(IntentTooOld(), begun=False),
        *("not_sent", "intent_too_old", "planned", "planned", None, None),
    ),
    "HTTP 429": (
        lambda call: bad_reply(call, 429),
        *("not_sent", "rate_limited", "planned", "planned", None, None),
    ),
    "HTTP 301": (
        lambda call: bad_reply(call, 301),
        *("not_sent", "redirected", "planned", "planned", None, None),
    ),
    "HTTP 400, of the text": (
        lambda call: bad_reply(call, 400, "The sender ID is not registered"),
        *("refused", "http_400", "refused", "refused", "http_400", None),
    ),
    "HTTP 400, of the balance": (
        lambda call: bad_reply(call, 400, "Insufficient SMS credit"),
        *("refused", "insufficient_balance", "planned", "planned", None, None),
    ),
    "HTTP 400, of the account": (
        lambda call: bad_reply(call, 400, "Account is inactive or suspended"),
        *("refused", "account_suspended", "planned", "planned", None, None),
    ),
    "HTTP 401": (
        lambda call: bad_reply(call, 401, "Unauthorized"),
        *("refused", "bad_key", "planned", "planned", None, None),
    ),
    "no answer": (
        lambda _: no_answer(),
        *("unknown", "no_answer", "unknown", "unknown", "no_answer", 100),
    ),
    "HTTP 500": (
        lambda call: bad_reply(call, 500),
        *("unknown", "http_500", "unknown", "unknown", "http_500", 100),
    ),
    "HTTP 303": (
        lambda call: bad_reply(call, 303),
        *("unknown", "redirected", "unknown", "unknown", "redirected", 100),
    ),
}


def test_what_each_end_of_a_call_leaves_in_the_ledger(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(*[2] * len(ENDS)))
    calls = run.claim(len(ENDS))
    run.exchange(
        *[run.end(call, result(call)) for call, (result, *_) in zip(calls, ENDS.values(), strict=True)], want=0
    )

    tried, planned = rows_of(store, attempts), rows_of(store, chunks)
    people = Ledger(store).results(run.campaign)
    assert people.group_by("chunk").agg(pl.struct("outcome", "reason").n_unique())["outcome"].to_list() == [1] * len(
        ENDS
    )
    first = people.group_by("chunk", maintain_order=True).first().to_dicts()
    found = {
        name: (
            *(ENDS[name][0], attempt["verdict"], attempt["reason"]),
            *(chunk["state"], person["outcome"], person["reason"], attempt["exposed_ugx"]),
        )
        for name, attempt, chunk, person in zip(ENDS, tried, planned, first, strict=True)
    }
    assert found == ENDS
    assert {attempt["ended_at_us"] for attempt in tried} == {to_us(NOON)}
    assert [name for name, attempt in zip(ENDS, tried, strict=True) if attempt["raw_reply"] is None] == [
        "no connection",
        "too late to be sent",
        "no answer",
    ], "every reply is kept as it came"


def test_a_call_that_was_not_sent_is_made_again_and_both_are_kept(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    run.settle(run.claim_one(), no_connection())
    again = run.claim_one()
    run.settle(again, good_reply(again))
    assert [(row["chunk"], row["verdict"]) for row in rows_of(store, attempts)] == [
        (1, Verdict.NOT_SENT),
        (1, Verdict.ACCEPTED),
    ]
    assert Ledger(store).results(run.campaign)["attempt"].to_list() == [again.attempt_id] * 2
    assert run.exchange().hold is Hold.NOTHING_LEFT


def test_what_a_dead_process_left_in_flight_is_unknown_and_is_not_sent_again(
    store: Store, connection: Connection
) -> None:
    run = Run.of(connection, plan(2, 3, 1))
    answered, _ = run.claim(2)
    run.settle(answered, good_reply(answered))

    next_run = Run(connection, Ledger(store).get("clinic-day"))
    assert next_run.orphans == 1
    [orphan] = unknown_calls(store, run.campaign)
    assert (orphan.name, orphan.recipients_count, orphan.expected_ugx, orphan.intent_at, orphan.reason) == (
        *("clinic-day/1/c0002", 3, 150, NOON, "process_ended"),
    )
    assert Ledger(store).results(run.campaign).filter(chunk=2)["outcome"].to_list() == ["unknown"] * 3
    assert [call.chunk for call in next_run.claim(5)] == [3], "neither the answered nor the unknown one"
    assert Run(connection, Ledger(store).get("clinic-day")).orphans == 1, (
        "the one of the second run; not again the first"
    )


def test_who_was_replaced_changes_nothing_and_leaves_what_it_learned(store: Store, connection: Connection) -> None:
    old = Run.of(connection, plan(2, 2))
    call = old.claim_one()
    with store.writer() as other:
        new = Run(other, Ledger(store).get("clinic-day"))
        tables = (campaigns, chunks, attempts, events)
        before = {table.name: rows_of(store, table) for table in tables}

        reply = good_reply(call)
        with pytest.raises(Stopped, match="clinic-day/1 was taken over by another process"):
            old.exchange(old.end(call, reply), want=1)
        with pytest.raises(Stopped):
            old.sender.finish(CampaignState.COMPLETE, None, NOON)
        with pytest.raises(Stopped):
            old.exchange()

        before["attempts"][0] |= {"raw_reply": reply.raw_reply, "http_status": 200}
        assert {table.name: rows_of(store, table) for table in tables} == before
        assert before["attempts"][0]["verdict"] is Verdict.UNKNOWN
        assert [claimed.chunk for claimed in new.claim(5)] == [2]


@pytest.mark.parametrize(
    ("state", "hold"),
    [
        (CampaignState.PAUSED, Hold.PAUSED),
        (CampaignState.CANCELLED, Hold.CANCELLED),
        (CampaignState.AWAITING_APPROVAL, Hold.APPROVAL),
    ],
)
def test_a_campaign_that_a_person_stopped_hands_out_nothing_and_still_settles(
    store: Store, connection: Connection, state: CampaignState, hold: Hold
) -> None:
    run = Run.of(connection, plan(1, 1))
    call = run.claim_one()
    with store.writer() as other, other.begin():
        other.execute(campaigns.update().values(state=state))
    exchange = run.exchange(run.end(call, good_reply(call)), want=1)
    assert (exchange.calls, exchange.hold) == ((), hold)
    assert [row["state"] for row in rows_of(store, chunks)] == [ChunkState.ACCEPTED, ChunkState.PLANNED]


@pytest.mark.parametrize(
    ("state", "hold"),
    [
        (CampaignState.AWAITING_APPROVAL, Hold.APPROVAL),
        (CampaignState.CANCELLED, Hold.CANCELLED),
        (CampaignState.SKIPPED, Hold.CANCELLED),
    ],
)
def test_what_a_person_has_to_say_or_has_said_for_good_stands_when_a_run_begins(
    store: Store, connection: Connection, state: CampaignState, hold: Hold
) -> None:
    campaign = write_plan(connection, plan(1, 1), who="tester")
    with connection.begin():
        connection.execute(campaigns.update().values(state=state, stop_reason="cancelled", ended_at_us=to_us(NOON)))
    run = Run(connection, campaign)
    found = Ledger(store).get("clinic-day")
    assert (found.state, found.stop_reason, found.ended_at) == (state, "cancelled", NOON)
    assert run.try_to_claim() == (0, hold)


def test_no_more_is_handed_out_than_was_asked_for(connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1, 1))
    assert run.exchange(want=0).hold is Hold.BUSY
    assert [call.chunk for call in run.claim(2)] == [1, 2]
    exchange = run.exchange(want=2)
    assert ([call.chunk for call in exchange.calls], exchange.hold) == ([3], None)
    assert run.exchange(want=2).hold is Hold.NOTHING_LEFT


def test_the_end_of_a_run_is_recorded_and_the_next_run_begins_afresh(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1))
    run.sender.finish(CampaignState.PAUSED, "api", NOON, detail="http_303")
    paused = Ledger(store).get("clinic-day")
    assert (paused.state, paused.stop_reason, paused.stop_detail, paused.ended_at) == (
        *(CampaignState.PAUSED, "api", "http_303", NOON),
    )
    Run(connection, paused)
    resumed = Ledger(store).get("clinic-day")
    assert (resumed.state, resumed.stop_reason, resumed.stop_detail, resumed.ended_at) == (
        *(CampaignState.SENDING, None, None, None),
    )
    assert [(row["kind"], row["detail"]) for row in rows_of(store, events)] == [
        ("planned", "2 recipients, 2 calls"),
        ("send_started", None),
        ("paused", "api"),
        ("send_started", None),
    ]
