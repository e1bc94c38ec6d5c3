"""The people behind the figures of a report: all of them, once, in the period, and masked. On both stores."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Connection

from mambo_io.planning import write_plan
from mambo_io.store import Store
from pipelines.reconciliation import Books, read_books
from pipelines.report.people import COLUMNS, exceptions, masked_kept, people
from support.ledgers import NOON, Run, every_outcome, good_reply, number, plan

MONDAY = NOON.date()


def listed(books: Books, store: Store, *, full_numbers: bool = False) -> pl.DataFrame:
    return pl.concat(people(books, store, full_numbers=full_numbers))


def two_days(connection: Connection) -> None:
    """A campaign over two days, two rejected, and one person left for a third day that never came."""
    run = Run.of(connection, plan(3, 2, 1, name="long", rejected=2))
    for _ in range(2):
        call = run.claim_one()
        run.settle(call, good_reply(call, unsupported=[call.request.recipients[0]]))
        run.now += timedelta(days=1)


@pytest.mark.parametrize(
    "period",
    [
        {},
        {"start": MONDAY},
        {"end": MONDAY},
        {"start": MONDAY + timedelta(days=1)},
        {"start": MONDAY + timedelta(days=1), "end": MONDAY + timedelta(days=1)},
        {"end": MONDAY - timedelta(days=1)},
    ],
    ids=str,
)
def test_they_are_those_that_the_books_count(store: Store, connection: Connection, period: dict[str, date]) -> None:
    every_outcome(connection)
    two_days(connection)
    books = read_books(store, **period)  # type: ignore[arg-type] # only dates are given
    keys = ("campaign", "edition", "network_guess", "outcome", "reason")
    figures = ("recipients", "estimated_ugx", "charged_ugx")

    def counted(frame: pl.DataFrame) -> Counter[Any]:
        found = frame.group_by(keys).agg(pl.col(figures).sum()).filter(pl.col("recipients") > 0)
        return Counter(found.select(*keys, *figures).rows())

    everybody = listed(books, store).with_columns(pl.lit(1, pl.Int64).alias("recipients"))
    assert counted(everybody) == counted(books.tally)
    assert everybody.select("campaign", "row").is_duplicated().sum() == 0


def test_each_row_says_what_became_of_it(store: Store, connection: Connection) -> None:
    every_outcome(connection)
    rows = listed(read_books(store), store)
    assert rows.columns == [*COLUMNS, "client_id"]
    assert rows.select("row", "phone_raw", "e164", "outcome", "charged_ugx", "call", "client_id").rows() == [
        (1, None, "+256772•••001", "accepted", 51, "clinic-day/1/c0001", "c1"),
        (2, None, "+256772•••002", "unsupported", 0, "clinic-day/1/c0001", "c2"),
        (3, None, "+256772•••003", "accepted", 50, "clinic-day/1/c0001", "c3"),
        (4, None, "+256772•••004", "unverified", 50, "clinic-day/1/c0002", "c4"),
        (5, None, "+256772•••005", "unverified", 50, "clinic-day/1/c0002", "c5"),
        (6, None, "+256772•••006", "refused", None, "clinic-day/1/c0003", "c6"),
        (7, None, "+256772•••007", "refused", None, "clinic-day/1/c0003", "c7"),
        (8, None, "+256772•••008", "unknown", None, "clinic-day/1/c0004", "c8"),
        (9, None, "+256772•••009", "unknown", None, "clinic-day/1/c0004", "c9"),
        (10, None, "+256772•••010", "in_flight", None, "clinic-day/1/c0005", "c10"),
        (11, None, "+256772•••011", "cancelled", None, "clinic-day/1/c0006", "c11"),
        (12, "n/a", None, "rejected", None, None, "c12"),
    ]
    assert listed(read_books(store), store, full_numbers=True)["e164"].head(1).to_list() == [number(1)]


def test_the_gravest_come_first(store: Store, connection: Connection) -> None:
    every_outcome(connection)
    books = read_books(store)
    found = exceptions(books, store, full_numbers=False, most=100)
    assert found.found == 10
    assert found.people["row"].to_list() == [8, 9, 4, 5, 6, 7, 10, 11, 2, 12]
    assert found.people["e164"].head(1).to_list() == ["+256772•••008"]


@pytest.mark.parametrize("most", [0, 1, 3, 9])
def test_not_more_of_them_than_are_asked_for(store: Store, connection: Connection, most: int) -> None:
    every_outcome(connection)
    found = exceptions(read_books(store), store, full_numbers=False, most=most)
    assert found.found == 10
    assert found.people["row"].to_list() == [8, 9, 4, 5, 6, 7, 10, 11, 2, 12][:most]


def test_kept_columns_of_several_campaigns_stand_beside_each_other(store: Store, connection: Connection) -> None:
    """A name that is one of ours gets a `_`; who has no such column has nothing there."""
    write_plan(connection, plan(1, name="first", kept={"donor": ["WHO"]}), who="tester")
    write_plan(connection, plan(1, name="second", kept={"call": ["0772 123 456"]}), who="tester")
    books = read_books(store)
    assert sorted(listed(books, store).select("campaign", "donor", "call_").rows()) == [
        ("first", "WHO", None),
        ("second", None, "•••456"),
    ]
    assert listed(books, store)["call"].to_list() == ["second/1/c0001", "first/1/c0001"]
    full = listed(books, store, full_numbers=True)
    assert full["call_"].drop_nulls().to_list() == ["0772 123 456"]


def test_nobody(store: Store) -> None:
    books = read_books(store)
    assert listed(books, store).columns == list(COLUMNS)
    assert listed(books, store).is_empty()
    assert exceptions(books, store, full_numbers=False, most=10).found == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0772123456", "•••456"),
        ("0772 123-456", "•••456"),
        ("+256 (0) 772 123456", "+256077•••456"),
        ("+256772123456", "+256772•••456"),
        ("256772123456", "•••456"),
        ("00256772123456", "•••456"),
        ("772123456", "•••456"),
        ("call 0772123456 at noon", "call •••456 at noon"),
        ("+254712345678", "•••678"),
        ("10000234", "10000234"),  # a client's number
        ("7012345678", "7012345678"),
        ("Grant 2026-0012", "Grant 2026-0012"),
        ("2026-11-26", "2026-11-26"),
        ("", ""),
        (None, None),
    ],
)
def test_only_telephone_numbers_of_a_kept_column_are_masked(value: str | None, shown: str | None) -> None:
    assert masked_kept(pl.Series("kept", [value, "WHO"], dtype=pl.String)).to_list() == [shown, "WHO"]
