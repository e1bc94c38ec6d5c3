"""The calls of a campaign edition that leave something to a person: their fate is unknown, their charge, or whom of
their people the API counted; or the API refused them. Read only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select

from mambo_io.ledger import CampaignRow, call_name, from_us
from mambo_io.model import ChunkState, ExceptionKind
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, recipient_exceptions


@dataclass(frozen=True, slots=True)
class UnchargedCalls:
    """Accepted calls whose charge nobody knows: the receipt names no cost, or a person found out what became of it."""

    calls: int
    expected_ugx: int
    names: tuple[str, ...]  # of the first few: clinic-day/1/c0007


@dataclass(frozen=True, slots=True)
class UnknownCall:
    name: str  # clinic-day/1/c0007
    recipients_count: int
    expected_ugx: int
    intent_at: datetime
    reason: str
    evidence: str | None  # what the account's balance says of it


@dataclass(frozen=True, slots=True)
class UnverifiedCall:
    """A call that was executed, and of whose people the receipt does not say whether they were counted."""

    name: str  # clinic-day/1/c0007
    recipients_count: int  # of those whom nobody has resolved yet
    first_row: int  # of them
    submitted_count: int
    counted: int | None  # by the receipt; null where it does not say
    unsupported: int | None
    reason: str


def unknown_calls(store: Store, campaign: CampaignRow) -> list[UnknownCall]:
    """Those of which nobody knows whether they were sent, in the order of the plan."""
    with store.reader() as connection:
        rows = connection.execute(
            select(chunks.c.chunk, attempts)
            .join(attempts, attempts.c.id == chunks.c.last_attempt)
            .where(chunks.c.campaign_id == campaign.id, chunks.c.state == ChunkState.UNKNOWN)
            .order_by(chunks.c.chunk)
        )
        return [
            UnknownCall(
                call_name(campaign, row.chunk),
                row.submitted_count,
                row.expected_ugx,
                from_us(row.intent_at_us),
                row.reason or "",
                row.evidence,
            )
            for row in rows
        ]


def uncharged_calls(store: Store, campaign: CampaignRow, *, most: int = 3) -> UnchargedCalls | None:
    """None: the charge of every accepted call is known. At most so many of them are named."""
    uncharged = (
        select(chunks.c.chunk, chunks.c.expected_ugx)
        .join(attempts, attempts.c.id == chunks.c.last_attempt)
        .where(
            chunks.c.campaign_id == campaign.id,
            chunks.c.state == ChunkState.ACCEPTED,
            attempts.c.charged_ugx.is_(None),
        )
        .subquery()
    )
    with store.reader() as connection:
        calls, expected_ugx = connection.execute(
            select(func.count(uncharged.c.chunk), func.sum(uncharged.c.expected_ugx))
        ).one()
        if not calls:
            return None
        first = connection.scalars(select(uncharged.c.chunk).order_by(uncharged.c.chunk).limit(most))
        return UnchargedCalls(calls, int(expected_ugx), tuple(call_name(campaign, chunk) for chunk in first))


def unverified_calls(store: Store, campaign: CampaignRow) -> list[UnverifiedCall]:
    """The calls with people who are `unverified`."""
    a, x = attempts.c, recipient_exceptions.c
    with store.reader() as connection:
        rows = connection.execute(
            select(attempts, func.count().label("people"), func.min(x.row).label("first_row"))
            .join(recipient_exceptions, x.attempt_id == a.id)
            .where(x.campaign_id == campaign.id, x.kind == ExceptionKind.UNVERIFIED)
            .group_by(a.id)
            .order_by(a.id)
        )
        return [
            UnverifiedCall(
                call_name(campaign, row.chunk),
                row.people,
                row.first_row,
                row.submitted_count,
                row.recipients_count,
                row.unsupported_count,
                row.reason or "",
            )
            for row in rows
        ]


def last_refusal(store: Store, campaign: CampaignRow) -> str | None:
    """What the API said of the newest of its refused calls: `http_400: The sender ID is not registered`."""
    a = attempts.c
    with store.reader() as connection:
        row = connection.execute(
            select(a.reason, a.api_messages)
            .join(chunks, and_(chunks.c.campaign_id == a.campaign_id, chunks.c.last_attempt == a.id))
            .where(chunks.c.campaign_id == campaign.id, chunks.c.state == ChunkState.REFUSED)
            .order_by(a.id.desc())
            .limit(1)
        ).one_or_none()
    return None if row is None else ": ".join(filter(None, row))


def unknown_attempts(store: Store, campaign: CampaignRow) -> dict[int, int]:
    """The last attempt of each unknown call, by chunk."""
    with store.reader() as connection:
        rows = connection.execute(
            select(chunks.c.chunk, chunks.c.last_attempt)
            .where(chunks.c.campaign_id == campaign.id, chunks.c.state == ChunkState.UNKNOWN)
            .order_by(chunks.c.chunk)
        )
        return {row.chunk: row.last_attempt for row in rows}
