"""Calls of which nobody knows whether they were sent, and what the ledger has to tell them apart.

Read here, judged in `pipelines.settlement`, recorded by `settled.py`: the calls of an account, and the
balances that the API named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, exists, func, select, true

from mambo_io import statements
from mambo_io.ledger import US, CampaignRow, to_us
from mambo_io.model import ChunkState, Verdict
from mambo_io.store import MOST_CLOCK_OFF_S
from mambo_io.tables import account_entries, attempts, campaigns, chunks, events, recipient_exceptions, recipients

TOPPED_UP = "the account was topped up meanwhile, as was entered by hand; what came in hides what was taken"
RESTORED = "the ledger is a backup that does not know what was sent, and taken from the balance, since it was made"
LONGEST_CALL_S = 60  # an intent older than this is no call in flight any more: its process has ended
_HOUR_S, _DAY_S = 3600, 24 * 3600

# How long before the first unknown call, and after the last one, moments of rest are looked for; None: until now.
SPANS_S: tuple[tuple[int, int | None], ...] = (
    (_HOUR_S, _HOUR_S),
    (24 * _HOUR_S, 24 * _HOUR_S),
    (7 * 24 * _HOUR_S, None),
)


@dataclass(frozen=True, slots=True)
class AccountCall:
    """One call of an account. `verdict` is None while it is in flight, or was when its process ended."""

    attempt: int
    campaign_id: int
    chunk: int
    intent_us: int
    ended_us: int | None
    verdict: Verdict | None
    expected_ugx: int
    charged_ugx: int | None
    is_open: bool  # its cost is not known
    balance_after_ugx: int | None


@dataclass(frozen=True, slots=True)
class BalanceReading:
    """A balance (UGX) that the balance endpoint named between two moments."""

    began_us: int
    at_us: int
    balance_ugx: int


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """An account's calls and balance readings, oldest first. Complete, with all that was in flight, between the two."""

    calls: list[AccountCall]
    readings: list[BalanceReading]
    from_us: int
    until_us: int | None  # None: until now


@dataclass(frozen=True, slots=True)
class Unseen:
    """Between these two moments the balance may have moved by what the ledger does not know, and `why`."""

    began_us: int
    at_us: int
    why: str


def clocks_differ_s(connection: Connection) -> float:
    """How far apart the clocks of two senders of the ledger may be: they are on two machines, or (SQLite) on one."""
    return 0.0 if connection.dialect.name == "sqlite" else 2 * MOST_CLOCK_OFF_S


def newest_us(connection: Connection, account: str) -> int:
    """The latest time that the ledger knows of the account: of a call, or of a balance."""
    a, e = attempts.c, account_entries.c
    with connection.begin():
        times = connection.execute(
            select(
                select(func.max(a.intent_at_us)).where(a.account == account).scalar_subquery(),
                select(func.max(a.ended_at_us)).where(a.account == account).scalar_subquery(),
                select(func.max(e.at_us)).where(e.account == account, e.kind == "reading").scalar_subquery(),
            )
        ).one()
    return max(time or 0 for time in times)


def in_flight(connection: Connection, account: str, now: datetime) -> int:
    """Calls of the account that a living process may be making."""
    a = attempts.c
    young = a.intent_at_us > to_us(now) - LONGEST_CALL_S * US
    with connection.begin():
        return int(
            connection.scalar(
                select(func.count()).where(a.account == account, a.exposed_ugx.is_not(None), a.verdict.is_(None), young)
            )
            or 0
        )


def end_orphans(connection: Connection, campaign: CampaignRow, now: datetime) -> None:
    """What an ended process left in flight is unknown; the lock that the caller holds proves that it has ended."""
    here = {"the_campaign": campaign.id}
    with connection.begin():
        connection.execute(statements.ORPHANED_ATTEMPTS, here | {"now_us": to_us(now)})
        connection.execute(statements.ORPHANED_CHUNKS, here)


def account_history(connection: Connection, account: str, before_s: int, after_s: int | None) -> AccountHistory | None:
    """What may explain the account's calls of open cost: from so long before the first to so long after the last (None:
    until now). None without such a call."""
    a, e = attempts.c, account_entries.c
    with connection.begin():
        is_open = select(func.min(a.intent_at_us), func.max(a.intent_at_us)).where(
            a.account == account, a.exposed_ugx.is_not(None)
        )
        first_us, last_us = connection.execute(is_open).one()
        if first_us is None:
            return None
        from_us = first_us - before_s * US
        until_us = None if after_s is None else last_us + after_s * US
        since_us = from_us - LONGEST_CALL_S * US
        not_later = true() if until_us is None else a.intent_at_us < until_us
        calls = connection.execute(
            select(
                a.id,
                a.campaign_id,
                a.chunk,
                a.intent_at_us,
                a.ended_at_us,
                a.verdict,
                a.expected_ugx,
                a.charged_ugx,
                a.exposed_ugx,
                a.balance_after_ugx,
            )
            .where(a.account == account, a.intent_at_us >= since_us, not_later)
            .order_by(a.intent_at_us, a.id)
        ).all()
        readings = connection.execute(
            select(e.began_us, e.at_us, e.amount_ugx)
            .where(e.account == account, e.kind == "reading", e.at_us >= since_us)
            .order_by(e.at_us)
        ).all()
    return AccountHistory(
        calls=[
            AccountCall(
                attempt=row.id,
                campaign_id=row.campaign_id,
                chunk=row.chunk,
                intent_us=row.intent_at_us,
                ended_us=row.ended_at_us,
                verdict=row.verdict,
                expected_ugx=row.expected_ugx,
                charged_ugx=row.charged_ugx,
                is_open=row.exposed_ugx is not None,
                balance_after_ugx=row.balance_after_ugx,
            )
            for row in calls
        ],
        readings=[BalanceReading(row.began_us or row.at_us, row.at_us, row.amount_ugx) for row in readings],
        from_us=from_us,
        until_us=until_us,
    )


def unseen(connection: Connection, account: str) -> list[Unseen]:
    """When the account was topped up, as was entered by hand (the amounts do not matter: what they hide cannot be
    told), and when calls were made that the ledger does not hold: between a backup and its being put in place."""
    e, v, a = account_entries.c, events.c, attempts.c
    with connection.begin():
        top_ups = connection.execute(
            select(e.began_us, e.at_us).where(e.account == account, e.kind == "top_up").order_by(e.began_us, e.id)
        ).all()
        newest = select(func.max(a.intent_at_us)).where(a.account == account, a.intent_at_us < v.at_us)
        since = func.coalesce(newest.scalar_subquery(), 0)  # 0: the backup holds no call of the account
        restored = connection.execute(
            select(since.label("began_us"), v.at_us)
            .where(v.kind == "restored", v.campaign_id.is_(None))
            .order_by(v.at_us)
        ).all()
    return [
        *(Unseen(row.began_us, row.at_us, TOPPED_UP) for row in top_ups),
        *(Unseen(row.began_us, row.at_us, RESTORED) for row in restored),
    ]


def certain_cost_ugx(connection: Connection, account: str, call: AccountCall) -> int:
    """What the call costs at least if it was sent (UGX): its people on networks that the account surely reaches.

    Those are networks on which the account's calls were accepted and nobody was ever reported unsupported.
    """
    r, k = recipients.c, chunks.c
    its = and_(r.campaign_id == call.campaign_id, r.chunk == call.chunk)
    of_account = campaigns.c.account == account
    with connection.begin():
        costs = connection.execute(
            select(r.network_guess, func.sum(r.estimated_ugx).label("ugx")).where(its).group_by(r.network_guess)
        ).all()
        certain_ugx = 0
        for network, ugx in costs:
            same = r.network_guess == network if network is not None else r.network_guess.is_(None)
            reached = exists(
                select(1)
                .select_from(recipients)
                .join(chunks, and_(k.campaign_id == r.campaign_id, k.chunk == r.chunk))
                .join(campaigns, campaigns.c.id == r.campaign_id)
                .where(of_account, same, k.state == ChunkState.ACCEPTED)
            )
            not_reached = exists(
                select(1)
                .select_from(recipient_exceptions)
                .join(
                    recipients,
                    and_(r.campaign_id == recipient_exceptions.c.campaign_id, r.row == recipient_exceptions.c.row),
                )
                .join(campaigns, campaigns.c.id == r.campaign_id)
                .where(of_account, same, recipient_exceptions.c.kind.is_not(None))
            )
            if connection.scalar(select(and_(reached, ~not_reached))):
                certain_ugx += int(ugx)
    return certain_ugx
