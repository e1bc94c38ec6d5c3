"""Who did what to a campaign, and when: the table `events`, as a person may read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, select

from mambo_io.bulk import fetch_all
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow
from mambo_io.masking import mask_text
from mambo_io.tables import campaigns, events

_TYPES: dict[str, Any] = {
    "at_us": pl.Int64,
    "campaign": pl.String,
    "edition": pl.String,
    "event": pl.String,
    "who": pl.String,
    "detail": pl.String,
}
_DIGEST = re.compile(r"(\b[0-9a-f]{32}\b)")  # of a plan; no telephone number is that long


def history(connection: Connection, editions: Sequence[CampaignRow] | None) -> pl.DataFrame:
    """What happened to these campaign editions, oldest first: `at` (microseconds, Africa/Kampala), and String:
    `campaign`, `edition`, `event`, `who`, `detail` (null where there is none). None: what concerns the whole ledger,
    its list of opt-outs for one; `campaign` and `edition` are null then.

    `event` is planned, plan_replaced (what stands before it was said of an earlier plan of the edition), approved,
    send_started, held, resumed, cancelled, paused, complete, settled, resolved, alerted, alert_failed and others; of
    the ledger opt_outs_added, opt_out_removed, restored and others. Telephone numbers are masked, also in what people
    wrote.
    """
    e, k = events.c, campaigns.c
    of_them = e.campaign_id.is_(None) if editions is None else e.campaign_id.in_([edition.id for edition in editions])
    query = (
        select(e.at_us, k.name, k.edition, e.kind, e.who, e.detail)
        .outerjoin(campaigns, k.id == e.campaign_id)
        .where(of_them)
        .order_by(e.at_us, e.id)
    )
    found = fetch_all(connection, query, _TYPES)
    at = pl.from_epoch("at_us", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("Africa/Kampala")
    written = [pl.Series(name, [_masked(text) for text in found[name]], pl.String) for name in ("who", "detail")]
    return found.select(at.alias("at"), "campaign", "edition", "event").with_columns(written)


def record_alert(
    connection: Connection, campaign: CampaignRow, told: str, failure: str | None, *, who: str, now: datetime
) -> None:
    """That the owner's command was told of a problem (`told`), or why that failed."""
    with connection.begin():
        if failure is None:
            add_event(connection, campaign, "alerted", told, who, now)
        else:
            add_event(connection, campaign, "alert_failed", f"{told}: {failure}", who, now)


def _masked(text: str | None) -> str | None:
    if text is None:
        return None
    return "".join(part if _DIGEST.fullmatch(part) else mask_text(part) for part in _DIGEST.split(text))
