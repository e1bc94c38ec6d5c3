"""What a person says to a campaign while it is sent: it counts before the next call, and whatever else happens.

The person writes through a store of their own, as from another terminal; the sender keeps the campaign's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from mambo_io import control
from mambo_io.doubts import end_orphans
from mambo_io.errors import InputError, Stopped
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import CampaignState, ChunkState, Outcome
from mambo_io.planning import write_plan
from mambo_io.sender import Hold
from mambo_io.settled import record_not_sent, settle_state
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, events
from support.ledgers import NOON, Run, good_reply, no_answer, no_connection, plan, rows_of


@contextmanager
def sending(store: Store, *sizes: int) -> Iterator[Run]:
    """A run of a campaign with calls of these sizes, that holds the campaign's lock as `mambo send` does."""
    with store.locked_writer("clinic-day/1") as connection:
        yield Run.of(connection, plan(*sizes))


def say(store: Store, what: Callable[..., object], *, note: str | None = None) -> None:
    """A person says it from another terminal."""
    with store.writer() as connection:
        what(connection, clinic_day(store), who="Grace", note=note, now=NOON)


def clinic_day(store: Store) -> CampaignRow:
    return Ledger(store).get("clinic-day")


def states(store: Store) -> list[ChunkState]:
    return [row["state"] for row in rows_of(store, chunks)]


# --- pause and resume ------------------------------------------------------------------------------------------------


def test_a_pause_counts_before_the_next_call_and_a_resume_lets_the_same_sender_go_on(store: Store) -> None:
    with sending(store, 1, 1, 1) as run:
        call = run.claim_one()
        say(store, control.hold, note="wrong date")
        exchange = run.exchange(run.end(call, good_reply(call)), want=1)
        assert (exchange.calls, exchange.hold) == ((), Hold.PAUSED)
        assert states(store) == [ChunkState.ACCEPTED, ChunkState.PLANNED, ChunkState.PLANNED], "the answer is recorded"

        say(store, control.resume)
        assert run.try_to_claim() == (1, None)


def test_a_pause_outlasts_the_run_and_every_run_after_it(store: Store) -> None:
    with sending(store, 1, 1) as run:
        say(store, control.hold)
        run.sender.finish(CampaignState.PAUSED, "budget", NOON)  # what it stopped for at the same moment
    row = clinic_day(store)
    assert (row.state, row.stop_reason, row.held_by, row.closed) == (CampaignState.PAUSED, "budget", "Grace", True)

    with store.writer() as connection:
        assert Run(connection, row).try_to_claim() == (0, Hold.PAUSED)
        say_again = clinic_day(store)
        assert say_again.held_by == "Grace"
    say(store, control.resume)
    with store.writer() as connection:
        assert Run(connection, clinic_day(store)).try_to_claim() == (1, None)


@pytest.mark.parametrize("said", [control.hold, control.cancel])
def test_a_plan_that_is_paused_or_cancelled_is_not_replaced_by_another(
    store: Store, connection: Connection, said: Callable[..., object]
) -> None:
    write_plan(connection, plan(1), who="officer")
    say(store, said)
    with pytest.raises(Stopped, match=r"clinic-day/1 was (paused by Grace|cancelled); nothing was sent"):
        write_plan(connection, plan(1, 1), who="officer")
    assert clinic_day(store).rows == 1


def test_who_said_it_when_and_why_is_recorded(store: Store) -> None:
    with sending(store, 1):
        say(store, control.hold, note="wrong date")
        say(store, control.resume)
        say(store, control.cancel, note="clinic day is postponed")
    assert [(row["kind"], row["who"], row["detail"]) for row in rows_of(store, events)] == [
        ("planned", "tester", "1 recipients, 1 calls"),
        ("send_started", "tester", None),
        ("held", "Grace", "wrong date"),
        ("resumed", "Grace", None),
        ("cancelled", "Grace", "clinic day is postponed"),
    ]


def test_what_makes_no_sense_is_refused_and_not_recorded(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    with pytest.raises(InputError, match="clinic-day/1: is not paused by anybody"):
        say(store, control.resume)
    say(store, control.hold)
    with pytest.raises(InputError, match="clinic-day/1: is paused already, by Grace"):
        say(store, control.hold)
    run.sender.finish(CampaignState.COMPLETE, None, NOON)
    for said in (control.hold, control.resume, control.cancel):
        with pytest.raises(InputError, match="clinic-day/1: is complete, and nothing of it is sent any more"):
            say(store, said)
    assert [row["kind"] for row in rows_of(store, events)] == ["planned", "send_started", "held", "complete"]


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancelled_campaign_makes_no_further_call_and_records_those_that_are_out(store: Store) -> None:
    with sending(store, 2, 2, 2, 2, 2) as run:
        accepted, lost, unsent = run.claim(3)
        say(store, control.cancel)
        assert states(store) == [*[ChunkState.IN_FLIGHT] * 3, *[ChunkState.CANCELLED] * 2]
        exchange = run.exchange(
            run.end(accepted, good_reply(accepted)),
            run.end(lost, no_answer()),
            run.end(unsent, no_connection()),
            want=2,
        )
        assert (exchange.calls, exchange.hold) == ((), Hold.CANCELLED)
        run.sender.finish(CampaignState.PAUSED, "cancelled", NOON)
    row = clinic_day(store)
    assert (row.state, row.stop_reason, row.ended_at) == (CampaignState.CANCELLED, "cancelled", NOON)
    assert Ledger(store).totals(row).outcomes == {Outcome.ACCEPTED: 2, Outcome.UNKNOWN: 2, Outcome.CANCELLED: 6}
    assert states(store)[2] == ChunkState.CANCELLED, "what came back as not sent is not sent again"


def test_what_an_ended_process_left_of_a_cancelled_campaign_is_unknown_and_stays_to_be_settled(store: Store) -> None:
    with sending(store, 1, 1, 1) as run:
        run.claim(2)
        say(store, control.cancel)
    with store.writer() as connection:
        end_orphans(connection, clinic_day(store), NOON)
        assert states(store) == [ChunkState.UNKNOWN, ChunkState.UNKNOWN, ChunkState.CANCELLED]

        Run(connection, clinic_day(store))  # as settling takes the campaign over
        first, _ = (row["id"] for row in rows_of(store, attempts))
        record_not_sent(
            connection,
            clinic_day(store),
            first,
            reason="resolved",
            evidence="their log",
            at_the_end=False,
            who="Grace",
            now=NOON,
        )
        assert settle_state(connection, clinic_day(store), NOON) is CampaignState.CANCELLED
    assert states(store) == [ChunkState.CANCELLED, ChunkState.UNKNOWN, ChunkState.CANCELLED]
    assert clinic_day(store).state is CampaignState.CANCELLED
