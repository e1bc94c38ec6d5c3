"""What a person says to a campaign while it may be sent by another process: pause, resume, cancel, approve.

::

    planned | awaiting_approval | sending | paused | complete, with refused calls -> cancelled
    awaiting_approval -> planned | paused

Each is one short commit on a connection of its own, without the campaign's lock, which its sender holds. The sender
asks for all of it inside the transaction of every claim, so that it counts before the next call; calls that are out
come to their end and are recorded. Everything stands in `events` with the name of the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from mambo_io import statements
from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow, to_us
from mambo_io.model import FINAL_STATES, CampaignState, ChunkState, StopReason
from mambo_io.tables import campaigns, chunks


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What is not sent any more: planned calls, and those that the API refused."""

    calls: int
    recipients: int


def hold(connection: Connection, campaign: CampaignRow, *, who: str, note: str | None, now: datetime) -> None:
    """Pause the edition until `resume`, whoever tries to send it. Raises `InputError` when nothing can be paused."""
    with connection.begin():
        found = _open_edition(connection, campaign)
        if found.held_by is not None:
            raise InputError(f"is paused already, by {found.held_by}", file=campaign.label)
        _change(connection, campaign, held_by=who)
        add_event(connection, campaign, "held", note, who, now)


def resume(connection: Connection, campaign: CampaignRow, *, who: str, note: str | None, now: datetime) -> None:
    """Let an edition go on that a person has paused. Raises `InputError` when nobody has."""
    with connection.begin():
        found = _open_edition(connection, campaign)
        if found.held_by is None:
            fix = f"It is {found.state}; `mambo send` goes on with it." if found.state == CampaignState.PAUSED else None
            raise InputError("is not paused by anybody", file=campaign.label, fix=fix)
        _change(connection, campaign, held_by=None)
        add_event(connection, campaign, "resumed", note, who, now)


def cancel(connection: Connection, campaign: CampaignRow, *, who: str, note: str | None, now: datetime) -> Cancelled:
    """Send nothing more of the edition, for good: planned calls become cancelled, refused ones are not retried, open
    ones stay to be settled.

    Raises `InputError` when nothing is left to cancel.
    """
    left = chunks.c.state.in_((ChunkState.PLANNED, ChunkState.REFUSED))
    here = chunks.c.campaign_id == campaign.id
    with connection.begin():
        found = _open_edition(connection, campaign, or_complete=True)
        refused = connection.scalar(select(func.count()).where(here, chunks.c.state == ChunkState.REFUSED))
        if found.state is CampaignState.COMPLETE and not refused:
            raise _finished(campaign, found.state)
        calls, recipients = connection.execute(
            select(func.count(), func.coalesce(func.sum(chunks.c.recipients_count), 0)).where(here, left)
        ).one()
        connection.execute(statements.CANCEL_PLANNED, {"the_campaign": campaign.id})
        _change(
            connection,
            campaign,
            state=CampaignState.CANCELLED,
            stop_reason=CampaignState.CANCELLED.value,
            stop_detail=None,
            held_by=None,
            ended_at_us=to_us(now),
        )
        add_event(connection, campaign, "cancelled", note, who, now)
    return Cancelled(calls, int(recipients))


def approve(connection: Connection, campaign: CampaignRow, *, who: str, digest: str | None, now: datetime) -> None:
    """A person says yes to what is planned; `digest` names the plan that they have seen.

    Raises `InputError` when the edition does not await approval, or when its plan is another one.
    """
    with connection.begin():
        found = _open_edition(connection, campaign)
        if found.state is not CampaignState.AWAITING_APPROVAL:
            raise InputError(f"is {found.state} and does not await approval", file=campaign.label)
        if digest is not None and digest != found.plan_digest:
            raise InputError(
                "is planned otherwise than what you approve",
                file=campaign.label,
                key="--digest",
                value=digest,
                fix=f"Look at it again: mambo status {campaign.name} --edition {campaign.edition}.",
            )
        began = found.first_call_at_us is not None
        _change(
            connection,
            campaign,
            state=CampaignState.PAUSED if began else CampaignState.PLANNED,
            stop_reason=None,
            stop_detail=None,
        )
        sums = f"{campaign.sendable} recipients, {campaign.calls} calls, UGX {campaign.estimated_ugx}"
        add_event(connection, campaign, "approved", f"{sums}; plan {found.plan_digest}", who, now)


def await_approval(connection: Connection, campaign: CampaignRow) -> None:
    """An edition that was planned when nobody had to approve it now waits for that. The caller holds its lock."""
    with connection.begin():
        _open_edition(connection, campaign)
        _change(
            connection,
            campaign,
            state=CampaignState.AWAITING_APPROVAL,
            stop_reason=StopReason.APPROVAL.value,
            stop_detail=None,
        )


def explain_stop(connection: Connection, campaign: CampaignRow, detail: str) -> None:
    """Say more of a stop by a signal than the sender knows. Of any other state nothing is changed."""
    stopped = (campaigns.c.state == CampaignState.PAUSED) & (campaigns.c.stop_reason == StopReason.SIGNAL.value)
    with connection.begin():
        connection.execute(update(campaigns).where(campaigns.c.id == campaign.id, stopped).values(stop_detail=detail))


def _open_edition(connection: Connection, campaign: CampaignRow, *, or_complete: bool = False) -> Any:
    """The edition's row, locked. Raises `InputError` when it is finished, or not there any more.

    `or_complete`: one that is complete will do, too.
    """
    row = connection.execute(
        select(campaigns.c.state, campaigns.c.held_by, campaigns.c.first_call_at_us, campaigns.c.plan_digest)
        .where(campaigns.c.id == campaign.id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise InputError("was planned anew this very moment", file=campaign.label, fix="Look at it, and try again.")
    if row.state in FINAL_STATES and not (or_complete and row.state is CampaignState.COMPLETE):
        raise _finished(campaign, row.state)
    return row


def _finished(campaign: CampaignRow, state: CampaignState) -> InputError:
    return InputError(f"is {state}, and nothing of it is sent any more", file=campaign.label)


def _change(connection: Connection, campaign: CampaignRow, **values: Any) -> None:
    connection.execute(update(campaigns).where(campaigns.c.id == campaign.id).values(values))
