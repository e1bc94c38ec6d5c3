"""A person puts refused calls back into the plan: the ledger before and after, on both stores."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from mambo_io.decisions import PutBack, retry_refused
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState, ChunkState, Outcome, Verdict
from mambo_io.store import Store
from mambo_io.tables import attempts, campaigns, chunks, events
from support.ledgers import NOON, Run, bad_reply, good_reply, no_answer, plan, rows_of

AN_HOUR_LATER = NOON + timedelta(hours=1)


@pytest.fixture
def run(connection: Connection) -> Run:
    """Five calls: one accepted, two refused, one unknown, one planned still."""
    run = Run.of(connection, plan(1, 2, 3, 1, 1))
    accepted, *refused, unknown = run.claim(4)
    run.exchange(
        run.end(accepted, good_reply(accepted)),
        *(run.end(call, bad_reply(call, 400, "The sender ID is not registered")) for call in refused),
        run.end(unknown, no_answer()),
        want=0,
    )
    run.sender.finish(CampaignState.PAUSED, "refused_in_a_row", NOON, detail="http_400")
    return run


def test_refused_calls_and_no_others_are_planned_again(run: Run, store: Store, connection: Connection) -> None:
    assert retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER) == PutBack(calls=2, recipients=5)

    states = [chunk["state"] for chunk in rows_of(store, chunks)]
    assert states == [ChunkState.ACCEPTED, *[ChunkState.PLANNED] * 2, ChunkState.UNKNOWN, ChunkState.PLANNED]
    totals = Ledger(store).totals(run.campaign)
    assert totals.outcomes == {Outcome.ACCEPTED: 1, Outcome.PLANNED: 6, Outcome.UNKNOWN: 1}
    row = Ledger(store).get("clinic-day")
    assert (row.state, row.stop_reason, row.stop_detail) == (CampaignState.PAUSED, "resolved", None)


def test_it_is_recorded_who_decided_it(run: Run, store: Store, connection: Connection) -> None:
    retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER)

    event = rows_of(store, events)[-1]
    assert (event["kind"], event["who"], event["detail"]) == ("retry_refused", "Grace", "2 calls, 5 recipients")
    assert event["at_us"] - rows_of(store, events)[-2]["at_us"] == 3_600_000_000


def test_the_next_run_makes_them_and_the_refusals_stay_on_record(
    run: Run, store: Store, connection: Connection
) -> None:
    retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER)

    again = Run(connection, run.campaign)
    calls = again.claim(5)
    assert [len(call.rows) for call in calls] == [2, 3, 1]
    again.exchange(*(again.end(call, good_reply(call)) for call in calls), want=0)
    assert Ledger(store).totals(run.campaign).outcomes == {Outcome.ACCEPTED: 7, Outcome.UNKNOWN: 1}
    made = [attempt["verdict"] for attempt in rows_of(store, attempts, chunk=2)]
    assert made == [Verdict.REFUSED, Verdict.ACCEPTED]


def test_a_complete_campaign_can_go_on_then(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    call = run.claim_one()
    run.settle(call, bad_reply(call, 422))
    run.sender.finish(CampaignState.COMPLETE, None, NOON)

    retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER)
    assert Ledger(store).get("clinic-day").state == CampaignState.PAUSED


@pytest.mark.parametrize("state", [CampaignState.COMPLETE, CampaignState.CANCELLED])
def test_where_there_is_nothing_to_decide_nothing_changes(
    state: CampaignState, store: Store, connection: Connection
) -> None:
    """Nothing was refused, or the campaign is cancelled."""
    run = Run.of(connection, plan(2))
    call = run.claim_one()
    run.settle(call, good_reply(call) if state is CampaignState.COMPLETE else bad_reply(call, 400))
    run.sender.finish(state, None, NOON)
    before = rows_of(store, campaigns), rows_of(store, chunks), rows_of(store, events)

    told = "no call" if state is CampaignState.COMPLETE else "cancelled"
    with pytest.raises(InputError, match=f"^clinic-day/1: .*{told}"):
        retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER)
    assert (rows_of(store, campaigns), rows_of(store, chunks), rows_of(store, events)) == before


def test_calls_of_another_edition_stay_refused(run: Run, store: Store, connection: Connection) -> None:
    other = Run.of(connection, plan(2, edition="2"))
    with connection.begin():
        is_other = chunks.c.campaign_id == other.campaign.id
        connection.execute(update(chunks).where(is_other).values(state=ChunkState.REFUSED))

    retry_refused(connection, run.campaign, who="Grace", now=AN_HOUR_LATER)
    assert [chunk["state"] for chunk in rows_of(store, chunks, campaign_id=other.campaign.id)] == [ChunkState.REFUSED]
