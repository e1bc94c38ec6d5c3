"""The money of an account in a few words: calls, balance readings and top-ups, as reconciliation reads them.

`Call`, `reading` and `top_up` are rows; `frames(…)` makes of them what `pipelines.reconciliation.Books` holds. Times
are seconds after ten o'clock in Kampala on 3 November 2026, or on another day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from mambo_io.window import KAMPALA

DAY = date(2026, 11, 3)


@dataclass(frozen=True)
class Call:
    """`ugx` is what it was charged; None: nobody knows. `balance_ugx` None: its reply named none, or there is none."""

    name: str
    begin_s: float
    end_s: float | None
    ugx: int | None
    balance_ugx: int | None
    expected_ugx: int | None = None
    day: date = DAY
    account: str = "main"


@dataclass(frozen=True)
class Entry:
    kind: str
    amount_ugx: int
    begin: datetime
    end: datetime
    reference: str = "MoMo 1"
    account: str = "main"


def at(seconds: float, day: date = DAY) -> datetime:
    return datetime.combine(day, time(10), KAMPALA) + timedelta(seconds=seconds)


def reading(begin_s: float, end_s: float, balance_ugx: int, day: date = DAY) -> Entry:
    return Entry("reading", balance_ugx, at(begin_s, day), at(end_s, day))


def top_up(amount_ugx: int, day: date = DAY, account: str = "main") -> Entry:
    """At some moment of the day, as a person enters it."""
    midnight = datetime.combine(day, time(), KAMPALA)
    last = midnight + timedelta(days=1) - timedelta(microseconds=1)
    return Entry("top_up", amount_ugx, midnight, last, account=account)


def frames(facts: Iterable[Call | Entry]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The account's calls and its entries."""
    calls = [fact for fact in facts if isinstance(fact, Call)]
    entries = [fact for fact in facts if isinstance(fact, Entry)]
    moment = pl.Datetime("us", "Africa/Kampala")
    return (
        pl.DataFrame(
            {
                "account": [call.account for call in calls],
                "call": [f"clinic-day/1/{call.name}" for call in calls],
                "sent_at": [at(call.begin_s, call.day) for call in calls],
                "ended_at": [None if call.end_s is None else at(call.end_s, call.day) for call in calls],
                "expected_ugx": [call.expected_ugx if call.expected_ugx is not None else call.ugx for call in calls],
                "charged_ugx": [call.ugx for call in calls],
                "balance_after_ugx": [call.balance_ugx for call in calls],
            },
            schema={
                **dict.fromkeys(("account", "call"), pl.String),
                **dict.fromkeys(("sent_at", "ended_at"), moment),
                **dict.fromkeys(("expected_ugx", "charged_ugx", "balance_after_ugx"), pl.Int64),
            },
        ).sort("sent_at", maintain_order=True),
        pl.DataFrame(
            {
                "account": [entry.account for entry in entries],
                "kind": [entry.kind for entry in entries],
                "began_at": [entry.begin for entry in entries],
                "at": [entry.end for entry in entries],
                "amount_ugx": [entry.amount_ugx for entry in entries],
                "reference": [entry.reference for entry in entries],
                "who": ["Grace" for entry in entries],
            },
            schema={
                **dict.fromkeys(("account", "kind"), pl.String),
                **dict.fromkeys(("began_at", "at"), moment),
                "amount_ugx": pl.Int64,
                **dict.fromkeys(("reference", "who"), pl.String),
            },
        ),
    )
