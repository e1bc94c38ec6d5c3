"""A plan that awaits a person's yes: nothing of it is sent before, and what was approved is what is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from mambo_io import control
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import CampaignState
from mambo_io.planning import Plan, write_plan
from mambo_io.sender import Hold
from mambo_io.settled import settle_state
from mambo_io.store import Store
from mambo_io.tables import events
from support.ledgers import NOON, Run, plan, rows_of


def awaiting(connection: Connection, planned: Plan) -> CampaignRow:
    return write_plan(connection, planned, who="officer", awaits_approval=True)


def approve(connection: Connection, campaign: CampaignRow, digest: str | None = None) -> None:
    control.approve(connection, campaign, who="Grace", digest=digest, now=NOON)


def test_nothing_is_handed_out_before_it_is_approved(store: Store, connection: Connection) -> None:
    campaign = awaiting(connection, plan(2, 2))
    assert (campaign.state, campaign.stop_reason) == (CampaignState.AWAITING_APPROVAL, "approval")
    assert Run(connection, campaign).try_to_claim() == (0, Hold.APPROVAL)
    assert settle_state(connection, campaign, NOON) is CampaignState.AWAITING_APPROVAL

    approve(connection, campaign, digest="plan")
    approved = Ledger(store).get("clinic-day")
    assert (approved.state, approved.stop_reason) == (CampaignState.PLANNED, None)
    found = Ledger(store).approval(approved)
    assert found is not None
    assert (found.who, found.at) == ("Grace", NOON)
    assert Run(connection, approved).try_to_claim() == (1, None)
    assert [(row["kind"], row["who"], row["detail"]) for row in rows_of(store, events) if row["who"] == "Grace"] == [
        ("approved", "Grace", "4 recipients, 2 calls, UGX 200; plan plan")
    ]


def test_another_plan_is_not_what_was_approved(store: Store, connection: Connection) -> None:
    first = awaiting(connection, plan(2))
    with pytest.raises(InputError, match="clinic-day/1, --digest: 'other' is planned otherwise than what you approve"):
        approve(connection, first, digest="other")
    approve(connection, first)

    second = awaiting(connection, replace(plan(3), plan_digest="other"))
    assert Ledger(store).approval(second) is None
    said = [(row["kind"], row["who"]) for row in rows_of(store, events) if row["campaign_id"] == second.id]
    assert said == [
        ("planned", "officer"), ("approved", "Grace"), ("plan_replaced", "officer"), ("planned", "officer"),
    ]  # fmt: skip
    assert Run(connection, second).try_to_claim() == (0, Hold.APPROVAL)
    with pytest.raises(InputError, match="clinic-day/1: was planned anew this very moment"):
        approve(connection, first)
    approve(connection, second)
    assert Ledger(store).approval(second) is not None


def test_what_does_not_await_it_cannot_be_approved(store: Store, connection: Connection) -> None:
    campaign = write_plan(connection, plan(1), who="officer")
    with pytest.raises(InputError, match="clinic-day/1: is planned and does not await approval"):
        approve(connection, campaign)
    assert Ledger(store).approval(campaign) is None


def test_an_edition_that_has_begun_may_have_to_wait_for_it_and_goes_on_where_it_stopped(
    store: Store, connection: Connection
) -> None:
    run = Run.of(connection, plan(1, 1))
    run.claim_one()
    run.sender.finish(CampaignState.PAUSED, "budget", NOON)
    control.await_approval(connection, run.campaign)
    assert Run(connection, run.campaign).try_to_claim() == (0, Hold.APPROVAL)
    approve(connection, run.campaign)
    assert Ledger(store).get("clinic-day").state is CampaignState.PAUSED
    assert [call.chunk for call in Run(connection, run.campaign).claim()] == [2]
