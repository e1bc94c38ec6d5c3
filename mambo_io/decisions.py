"""What a person decides about calls, as against what is found out about them. Each decision stands in `events`.

::

    refused -> planned

The caller holds the campaign's lock, so that no sender is at work on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from mambo_io.archives import check_not_archived
from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow
from mambo_io.model import CampaignState, ChunkState
from mambo_io.tables import campaigns, chunks


@dataclass(frozen=True, slots=True)
class PutBack:
    """What was planned again."""

    calls: int
    recipients: int


def retry_refused(connection: Connection, campaign: CampaignRow, *, who: str, now: datetime) -> PutBack:
    """Plan every refused call of the edition again; it is paused then, and sending goes on with it.

    Raises `InputError` when no call is refused, or when the campaign is cancelled or erased; nothing is changed then.
    """
    refused = (chunks.c.campaign_id == campaign.id) & (chunks.c.state == ChunkState.REFUSED)
    with connection.begin():
        check_not_archived(connection, campaign.id, campaign.label)
        stands = connection.execute(
            # Locked: a person may cancel it at this moment.
            select(campaigns.c.state, campaigns.c.erased_at_us).where(campaigns.c.id == campaign.id).with_for_update()
        ).one()
        if stands.erased_at_us is not None:
            raise InputError("was erased: nobody knows any more to whom its calls would go", file=campaign.label)
        if stands.state is CampaignState.CANCELLED:
            raise InputError("is cancelled, and its calls stay as they are", file=campaign.label)
        calls, recipients = connection.execute(
            select(func.count(), func.coalesce(func.sum(chunks.c.recipients_count), 0)).where(refused)
        ).one()
        if not calls:
            raise InputError("the API has refused no call of it", file=campaign.label)
        connection.execute(update(chunks).where(refused).values(state=ChunkState.PLANNED))
        connection.execute(
            update(campaigns)
            .where(campaigns.c.id == campaign.id)
            .values(state=CampaignState.PAUSED, stop_reason="resolved", stop_detail=None)
        )
        add_event(connection, campaign, "retry_refused", f"{calls} calls, {recipients} recipients", who, now)
    return PutBack(calls, int(recipients))
