"""Writing into the table `events`: who did what, and when. `history.py` reads it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from mambo_io import statements
from mambo_io.ledger import CampaignRow, to_us


def add_event(
    connection: Connection, campaign: CampaignRow | None, kind: str, detail: str | None, who: str, now: datetime
) -> None:
    """Record an event in the open transaction; without a `campaign` it is one of the whole ledger.

    `detail` holds no secret, and no telephone number but what a person wrote.
    """
    connection.execute(
        statements.ADD_EVENT,
        {
            "campaign_id": None if campaign is None else campaign.id,
            "account": "" if campaign is None else campaign.account,
            "at_us": to_us(now),
            "kind": kind,
            "who": who,
            "detail": detail,
        },
    )
