"""Ledgers and books of every state that a report may have to show.

`STATES` are functions that fill an empty ledger; `books_of(…)` makes books by hand, of so many people with such an
outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection

from mambo_io.planning import write_plan
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from pipelines.causes import CAUSES
from pipelines.reconciliation import Books, read_books
from support.ledgers import Run, every_outcome, good_reply, no_answer, plan

LONG_NAME = "a-campaign-whose-name-is-as-long-as-a-name-may-be-sixty-three-l"
PRICE_UGX = 50


@contextmanager
def ledger(folder: Path, fill: Callable[[Connection], object] | None = None) -> Iterator[Store]:
    """A new ledger in `folder`, filled."""
    with Store(str(folder / "ledger.db"), create=True) as store:
        if fill is not None:
            with store.writer() as connection:
                fill(connection)
        yield store


# --- ledgers ---------------------------------------------------------------------------------------------------------


def all_rejected(connection: Connection) -> None:
    write_plan(connection, plan(rejected=95), who="tester")


def one_call(connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    call = run.claim_one()
    run.now += timedelta(seconds=1)
    run.settle(call, good_reply(call, balance_ugx=950))


def zero_charge(connection: Connection) -> None:
    run = Run.of(connection, plan(3, rejected=1))
    call = run.claim_one()
    run.settle(call, good_reply(call, sms_cost=0, balance_ugx=1_000))


def unknown_call(connection: Connection) -> None:
    run = Run.of(connection, plan(3, 2))
    accepted, unknown = run.claim(2)
    run.settle(accepted, good_reply(accepted, balance_ugx=850))
    run.settle(unknown, no_answer())


def season(connection: Connection) -> None:
    """Sixteen campaigns over seven weeks, some with very long names; UGX 5,000 came in that nobody entered."""
    balance_ugx, now = 20_000, datetime(2026, 3, 2, 12, tzinfo=KAMPALA)
    for number in range(16):
        name = (LONG_NAME, "clinic-day")[number % 2]
        sizes = (3, 2 + number % 4)
        kept = {"donor": [None, '<img src="x" onerror="alert(1)">'] * 4}
        rows = sum(sizes) + 2
        named = {column: (values * 2)[:rows] for column, values in kept.items()}
        planned = plan(*sizes, name=name, edition=f"{1 + number // 2}", rejected=2, kept=named)
        run = Run.of(connection, planned, now=now)
        for size in sizes:
            call = run.claim_one()
            run.now += timedelta(seconds=3)
            unsupported = [call.request.recipients[0]] if number % 5 == 0 and size == 3 else []
            balance_ugx -= (size - len(unsupported)) * PRICE_UGX
            run.settle(call, good_reply(call, unsupported=unsupported, balance_ugx=balance_ugx))
        now += timedelta(days=3)
        if number == 8:
            balance_ugx += 5_000


STATES: Mapping[str, Callable[[Connection], object] | None] = {
    "no campaign": None,
    "every outcome": every_outcome,
    "all rejected": all_rejected,
    "one call": one_call,
    "zero charge": zero_charge,
    "an unknown call": unknown_call,
    "a season": season,
}


def millions(books: Books) -> Books:
    """The same books with a million people for each: ten million, where there were ten."""
    figures = ("recipients", "segments_expected", "segments_counted")

    def larger(frame: pl.DataFrame) -> pl.DataFrame:
        names = [name for name in frame.columns if name.endswith("_ugx") or name in figures]
        return frame.with_columns(pl.col(names) * 1_000_000)

    return replace(
        books, tally=larger(books.tally), calls=larger(books.calls), account_calls=larger(books.account_calls)
    )


# --- books by hand ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """People with one outcome; `charged` what each was charged, `causes` of the difference of all of them."""

    outcome: str
    recipients: int
    estimated: int = PRICE_UGX
    charged: int = PRICE_UGX
    delivery: str | None = None
    causes: Mapping[str, int] | None = None


def books_of(empty: Books, *groups: Group, state: str = "complete", **changes: Any) -> Books:
    """Books of one campaign, `clinic-day/1` of 3 November 2026, with these people."""
    day = date(2026, 11, 3)
    ten = datetime(2026, 11, 3, 10, tzinfo=KAMPALA)
    campaign = {"campaign": "clinic-day", "edition": "1"}
    rows: list[dict[str, Any]] = []
    for group in groups:
        causes = dict.fromkeys(CAUSES, 0) | dict(group.causes or {})
        money = {
            "estimated_ugx": group.recipients * group.estimated,
            "charged_ugx": group.recipients * group.charged,
            "difference_ugx": group.recipients * (group.charged - group.estimated),
        }
        assert sum(causes.values()) == money["difference_ugx"], group
        rows.append(
            {
                **campaign,
                "day": day,
                "network_guess": "MTN",
                "outcome": group.outcome,
                "reason": None if group.outcome == "accepted" else group.outcome,
                "delivery": group.delivery,
                "is_priced": group.charged > 0,
                "recipients": group.recipients,
                "segments_expected": group.recipients if group.estimated else 0,
                "segments_counted": group.recipients if group.charged else 0,
                **money,
                **causes,
            }
        )
    told = campaign | {
        "account": "main",
        "category": "customised",
        "sender_id": "MamboSMS",
        "transactional": False,
        "state": state,
        "planned_at": ten,
        "first_call_at": ten,
    }
    return replace(
        empty,
        campaigns=pl.DataFrame([told], schema=empty.campaigns.schema),
        tally=pl.DataFrame(rows, schema=empty.tally.schema),
        **changes,
    )


def empty_books(folder: Path) -> Books:
    with ledger(folder) as store:
        return read_books(store)
