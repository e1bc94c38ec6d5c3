"""What was reported of a campaign edition's recipients, counted: for a look at it, which loads no frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from mambo_io.ledger import CampaignRow, call_name
from mambo_io.model import ChunkState, Delivery, ExceptionKind, Outcome
from mambo_io.tables import chunks, deliveries, outcome_of_chunk, recipient_exceptions, was_called

_ROWS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """People of one outcome whom an export names although the API did not accept them, or nobody knows whether.

    `call` is the API call (`clinic-day/1/c0007`) where all of it is unknown, refused or in flight; else `rows` are the
    first ten of the people.
    """

    outcome: Outcome
    people: int
    delivered: int  # of them
    call: str | None = None
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """Of the accepted recipients of a campaign edition so many were reported as …; `evidence` on all others."""

    accepted: dict[Delivery, int]
    evidence: tuple[Evidence, ...]


def delivery_counts(connection: Connection, campaign: CampaignRow) -> DeliveryCounts | None:
    """What was reported of a campaign edition; None when nothing was imported of it."""
    d, c, x = deliveries.c, chunks.c, recipient_exceptions.c
    by_attempt = (
        select(d.attempt_id, d.status, func.count().label("people"))
        .where(d.campaign_id == campaign.id)
        .group_by(d.attempt_id, d.status)
        .subquery()
    )
    by_call = connection.execute(
        select(c.chunk, c.state, by_attempt.c.status, by_attempt.c.people)
        .join(by_attempt, by_attempt.c.attempt_id == c.last_attempt)
        .where(c.campaign_id == campaign.id, was_called(c.state))
        .order_by(c.chunk)
    ).all()
    if not by_call:
        return None
    its_exception = and_(x.campaign_id == d.campaign_id, x.row == d.row, x.attempt_id == d.attempt_id)
    apart = connection.execute(
        select(x.kind, d.status, func.count().label("people"))
        .join_from(deliveries, recipient_exceptions, its_exception)
        .where(x.campaign_id == campaign.id, x.kind.is_not(None))
        .group_by(x.kind, d.status)
    ).all()
    accepted: Counter[Delivery] = Counter()
    open_calls: dict[tuple[ChunkState, int], Counter[Delivery]] = {}
    for chunk, state, status, people in by_call:
        counts = accepted if state is ChunkState.ACCEPTED else open_calls.setdefault((state, chunk), Counter())
        counts[status] += people
    for _, status, people in apart:
        accepted[status] -= people
    evidence = [
        Evidence(outcome_of_chunk(state), counts.total(), counts[Delivery.DELIVERED], call=call_name(campaign, chunk))
        for (state, chunk), counts in open_calls.items()
    ]
    for kind in ExceptionKind:
        counts = Counter({status: people for its_kind, status, people in apart if its_kind is kind})
        if counts:
            first = (
                select(d.row)
                .join_from(deliveries, recipient_exceptions, its_exception)
                .where(x.campaign_id == campaign.id, x.kind == kind)
                .order_by(d.row)
                .limit(_ROWS_NAMED)
            )
            rows = tuple(connection.scalars(first))
            evidence.append(Evidence(Outcome(kind.value), counts.total(), counts[Delivery.DELIVERED], rows=rows))
    return DeliveryCounts({status: accepted[status] for status in Delivery}, tuple(evidence))
