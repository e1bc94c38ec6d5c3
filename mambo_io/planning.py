"""Writing a plan into the ledger: a campaign edition, its recipients and its calls.

Rows go in at most 50,000 a commit in state `planning`, so that no other sender waits long; one last commit makes the
plan `planned`. What a broken plan left is deleted at the next start. A plan that takes another's place takes over its
events, so that all that was ever said of an edition stays in its history. The campaign's lock must be held.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, Table, delete, insert, select, update

from mambo_io import statements
from mambo_io.bulk import insert_rows
from mambo_io.errors import Stopped
from mambo_io.event_log import add_event
from mambo_io.ledger import PLAN_REPLACED, SENT_FROM, CampaignRow, campaign_row, to_us
from mambo_io.model import CampaignState, CanaryState, ChunkState, StopReason
from mambo_io.tables import campaigns, chunks, events, recipients, suppressions

ROWS_A_COMMIT = 50_000


@dataclass(frozen=True)
class Plan:
    """A prepared campaign edition.

    `rows` to `estimated_ugx` are totals over the recipients: all of them, then those to be sent. `recipients`, piece
    by piece: row, phone_raw, e164, network_guess, reject_reason, message, encoding, segments, estimated_ugx, chunk,
    and the `kept_columns`. `chunks`: chunk, label, canary, text, text_key, encoding, segments, recipients_count,
    expected_ugx. `suppressed`: numbers (Int64 `msisdn`, `source`) that may not be messaged by this campaign, asked
    again before each call. `listed`: of a transactional campaign, which does not ask the list of opt-outs, how many of
    those to be sent stand on it.
    """

    name: str
    edition: str
    account: str
    host: str
    content_digest: str
    plan_digest: str
    source: str
    source_digest: str
    sender_id: str
    category: str
    message: str
    settings: dict[str, Any]
    kept_columns: tuple[str, ...]
    versions: dict[str, str]
    canary_calls: int
    rows: int
    sendable: int
    segments: int
    estimated_ugx: int
    recipients: Iterable[pl.DataFrame]
    chunks: pl.DataFrame
    suppressed: pl.DataFrame
    is_test: bool = False  # the message to one's own phone
    listed: int | None = None


def write_plan(connection: Connection, plan: Plan, *, who: str, awaits_approval: bool = False) -> CampaignRow:
    """Write `plan`, in the place of an earlier one of the same edition that never made a call.

    Nothing is sent of one that `awaits_approval` before a person has approved it, whoever approved the earlier one.
    """
    now = datetime.now(UTC)
    with connection.begin():
        campaign_id = _replace_plan(connection, plan, CampaignState.PLANNING, who, now)
    _insert_in_batches(connection, chunks, _chunk_rows(plan, campaign_id))
    for piece in plan.recipients:
        _insert_in_batches(connection, recipients, _recipient_rows(piece, plan.kept_columns, campaign_id))
    write_suppressions(connection, campaign_id, plan.suppressed)
    with connection.begin():
        end: dict[str, str | None] = {"state": CampaignState.PLANNED, "stop_reason": None}
        if awaits_approval:
            end = {
                "state": CampaignState.AWAITING_APPROVAL,
                "stop_reason": StopReason.APPROVAL.value,
            }
        planned = _changed(connection, campaign_id, end)
        detail = f"{plan.sendable} recipients, {plan.chunks.height} calls"
        add_event(connection, planned, "planned", detail, who, now)
        if plan.listed is not None:
            detail = f"the list of opt-outs is not asked; {plan.listed} of the recipients are on it"
            add_event(connection, planned, "transactional", detail, who, now)
    return planned


def record_file(connection: Connection, campaign_id: int, file: Path, *, direct: bool) -> None:
    """Remember the campaign file (in full) that the edition is sent from, and whether without the engine."""
    here = campaigns.c.id == campaign_id
    with connection.begin():
        settings = json.loads(connection.execute(select(campaigns.c.settings).where(here)).scalar_one())
        settings[SENT_FROM] = {"file": str(file), "direct": direct}
        connection.execute(update(campaigns).where(here).values(settings=json.dumps(settings, sort_keys=True)))


def write_skipped(connection: Connection, plan: Plan, *, detail: str, who: str, now: datetime) -> CampaignRow:
    """Record that the edition of an empty `plan` is not sent because its time has passed.

    It takes the place of an earlier plan that never made a call.
    """
    assert not plan.rows, "nobody is planned in an edition that is skipped"
    with connection.begin():
        campaign_id = _replace_plan(connection, plan, CampaignState.SKIPPED, who, now)
        end = {"stop_reason": StopReason.TOO_LATE.value, "stop_detail": detail, "ended_at_us": to_us(now)}
        skipped = _changed(connection, campaign_id, end)
        add_event(connection, skipped, "skipped", detail, who, now)
    return skipped


def _changed(connection: Connection, campaign_id: int, values: Mapping[str, object]) -> CampaignRow:
    return campaign_row(
        connection.execute(
            update(campaigns).where(campaigns.c.id == campaign_id).values(values).returning(campaigns)
        ).one()
    )


def _replace_plan(connection: Connection, plan: Plan, state: CampaignState, who: str, now: datetime) -> int:
    """Add the campaign, in the place of a plan of the same edition and with its events; in the open transaction."""
    earlier = _take_out(connection, plan.name, plan.edition)
    campaign = _add_campaign(connection, plan, state, now)
    if earlier is not None:
        connection.execute(update(events).where(events.c.campaign_id == earlier.id).values(campaign_id=campaign.id))
        if earlier.state != CampaignState.PLANNING:  # a broken one was never seen
            add_event(connection, campaign, PLAN_REPLACED, None, who, now)
    return campaign.id


def _add_campaign(connection: Connection, plan: Plan, state: CampaignState, now: datetime) -> CampaignRow:
    added = connection.execute(
        insert(campaigns).returning(campaigns),
        {
            "name": plan.name,
            "edition": plan.edition,
            "account": plan.account,
            "host": plan.host,
            "state": state,
            "canary": CanaryState.PENDING if plan.canary_calls else CanaryState.AGREED,
            "canary_calls": plan.canary_calls,
            "content_digest": plan.content_digest,
            "plan_digest": plan.plan_digest,
            "source": plan.source,
            "source_digest": plan.source_digest,
            "sender_id": plan.sender_id,
            "category": plan.category,
            "message": plan.message,
            "settings": json.dumps(plan.settings, sort_keys=True),
            "kept_columns": json.dumps(plan.kept_columns),
            "versions": json.dumps(plan.versions, sort_keys=True),
            "rows": plan.rows,
            "sendable": plan.sendable,
            "calls": plan.chunks.height,
            "segments": plan.segments,
            "estimated_ugx": plan.estimated_ugx,
            "planned_at_us": to_us(now),
            "is_test": plan.is_test,
        },
    )
    return campaign_row(added.one())


def write_suppressions(connection: Connection, campaign_id: int, suppressed: pl.DataFrame) -> None:
    """Add numbers that this campaign may not message; asked again inside each claim, so a late opt-out counts."""
    known = select(suppressions.c.msisdn).where(suppressions.c.campaign_id == campaign_id)
    with connection.begin():
        present = set(connection.scalars(known))
    fresh = suppressed.unique("msisdn", maintain_order=True).filter(~pl.col("msisdn").is_in(present))
    rows = fresh.select(
        "msisdn",
        pl.lit(campaign_id, pl.Int64).alias("campaign_id"),
        pl.lit(to_us(datetime.now(UTC))).alias("since_us"),
        "source",
    )
    _insert_in_batches(connection, suppressions, rows)


def _chunk_rows(plan: Plan, campaign_id: int) -> pl.DataFrame:
    return plan.chunks.select(
        pl.lit(campaign_id, pl.Int64).alias("campaign_id"),
        "chunk",
        "label",
        "canary",
        "text",
        "text_key",
        "encoding",
        "segments",
        "recipients_count",
        "expected_ugx",
        pl.lit(ChunkState.PLANNED).alias("state"),
    )


def _recipient_rows(piece: pl.DataFrame, kept_columns: tuple[str, ...], campaign_id: int) -> pl.DataFrame:
    is_sendable = pl.col("reject_reason").is_null()
    kept = pl.struct(kept_columns).struct.json_encode() if kept_columns else pl.lit(None, pl.String)
    return piece.select(
        pl.lit(campaign_id, pl.Int64).alias("campaign_id"),
        "row",
        "phone_raw",
        pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias("msisdn"),
        "network_guess",
        pl.col("reject_reason").alias("reason"),
        "chunk",
        pl.when(~is_sendable).then(pl.col("message")).alias("message"),
        pl.when(~is_sendable).then(pl.col("encoding")).alias("encoding"),
        "segments",
        "estimated_ugx",
        kept.alias("kept"),
    )


def _insert_in_batches(connection: Connection, table: Table, rows: pl.DataFrame) -> None:
    for batch in _batches(rows):
        with connection.begin():
            insert_rows(connection, table, batch)


def _batches(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, rows.height, ROWS_A_COMMIT):
        yield rows.slice(start, ROWS_A_COMMIT)


def delete_broken(connection: Connection, name: str, edition: str) -> None:
    """Delete what a planner that was killed has left, and what people wrote about the plan in whose place it was."""
    with connection.begin():
        broken = _take_out(connection, name, edition)
        if broken is not None:
            connection.execute(update(events).where(events.c.campaign_id == broken.id).values(detail=None))


def _take_out(connection: Connection, name: str, edition: str) -> Any:
    """Delete the plan of an edition that never made a call, half written ones included; refuse any other.

    In the open transaction; what stood there (`id`, `state`), or None. Its events are left without a campaign.
    """
    row = connection.execute(
        select(campaigns.c.id, campaigns.c.state, campaigns.c.first_call_at_us).where(
            campaigns.c.name == name, campaigns.c.edition == edition
        )
    ).one_or_none()
    if row is None:
        return None
    if row.first_call_at_us is not None:
        raise AssertionError(f"{name}/{edition} has begun; its plan is frozen")
    stands = connection.execute(statements.OWN_STATE, {"the_campaign": row.id}).one()
    if stands.held_by is not None or stands.state in (CampaignState.CANCELLED, CampaignState.SKIPPED):
        said = "cancelled" if stands.held_by is None else f"paused by {stands.held_by}"
        raise Stopped(f"{name}/{edition} was {said}; nothing was sent.")
    for table in (recipients, chunks, suppressions):
        connection.execute(delete(table).where(table.c.campaign_id == row.id))
    connection.execute(delete(campaigns).where(campaigns.c.id == row.id))
    return row
