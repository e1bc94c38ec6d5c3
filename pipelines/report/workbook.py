"""The report as a workbook: the sums, the statement, the calls, and everybody who needs to be looked after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from mambo_io.datasets.sheets import SHEET_ROWS, Sheet, write_sheets
from pipelines import reconciliation
from pipelines.reconciliation import Books
from pipelines.report import headline, tables, words
from pipelines.report.people import Exceptions
from pipelines.report.tables import Column, Kind, Table

_LINES_ABOVE = 3  # at most, over a table that may be cut
MOST_EXCEPTIONS = SHEET_ROWS - 1 - _LINES_ABOVE

_FORMATS = {
    Kind.COUNT: "#,##0",
    Kind.UGX: "#,##0",
    Kind.CHANGE: "+#,##0;-#,##0;0",
    Kind.PRICE: "#,##0.00",
    Kind.SHARE: "0.0%",
    Kind.DRIFT: "+0.0%;-0.0%;0.0%",
}


def write_workbook(
    books: Books, exceptions: Exceptions, path: Path, *, named: Path, full_numbers: bool, made_at: datetime
) -> None:
    """Write it at `path`; `named` is how a person knows the file."""
    write_sheets(_sheets(books, exceptions, full_numbers=full_numbers, made_at=made_at), path, named=named)


def _sheets(books: Books, exceptions: Exceptions, *, full_numbers: bool, made_at: datetime) -> Iterator[Sheet]:
    chain = reconciliation.balance_chain(books)
    yield _summary(books, chain)
    yield _sheet(tables.statement(books))
    yield _sheet(tables.balances(chain))
    yield _sheet(tables.entries(books))
    listed = exceptions.people.height
    some = f"{listed:,} of {exceptions.found:,}, the gravest first" if listed < exceptions.found else f"{listed:,}"
    yield replace(
        _sheet(tables.exceptions(exceptions)),
        above=(
            f"People who were not accepted, or not delivered: {some}",
            "Everybody, row by row: mambo report --output report.csv, or .parquet",
        ),
    )
    yield _sheet(tables.calls(books))
    optional = (tables.kept(books, full_numbers=full_numbers), tables.deliveries(books))
    every = (tables.campaigns, tables.networks, tables.days, tables.reasons, tables.prices)
    for table in [*(make(books) for make in every), *(table for table in optional if table is not None)]:
        yield _sheet(table)
    yield _definitions(full_numbers=full_numbers, made_at=made_at)


def _sheet(table: Table) -> Sheet:
    """A table with arrows to choose by; cut where a sheet ends, and saying so."""
    frame = table.frame.select(column.name for column in table.columns)
    above: tuple[str, ...] = ()
    if frame.height > MOST_EXCEPTIONS:
        above = (f"The first {MOST_EXCEPTIONS:,} of {frame.height:,} rows: a sheet holds no more.",)
        frame = frame.head(MOST_EXCEPTIONS)
    return Sheet(
        table.name,
        frame,
        titles={column.name: _title(column) for column in table.columns},
        formats={
            column.name: {"num_format": _FORMATS[column.kind]} for column in table.columns if column.kind in _FORMATS
        },
        widths={column.name: column.width for column in table.columns},
        above=above,
        filters=True,
    )


def _title(column: Column) -> str:
    return f"{column.title} (UGX)" if column.kind in (Kind.UGX, Kind.CHANGE) else column.title


def _summary(books: Books, chain: pl.DataFrame) -> Sheet:
    """The headline, and below it the figures that it is made of."""
    sums = reconciliation.cut(books).row(0, named=True)
    rows: list[tuple[str, int, str]] = [("People", sums["recipients"], "People")]
    rows += [(title, sums[outcome], title) for outcome, title in words.OUTCOME_TITLES.items()]
    rows += [
        ("Segments, by our count", sums["segments_expected"], "Segments"),
        ("Segments, by the receipts", sums["segments_counted"], "Segments"),
        ("Estimated (UGX)", sums["estimated_ugx"], "Estimated"),
        *((f"  {title} (UGX)", sums[cause], "") for cause, title in words.CAUSE_TITLES.items()),
        ("Charged (UGX)", sums["charged_ugx"], "Charged"),
        ("Difference (UGX)", sums["difference_ugx"], "Difference"),
    ]
    causes = {f"  {title} (UGX)": words.CAUSES[cause] for cause, title in words.CAUSE_TITLES.items()}
    told = [(name, value, words.DEFINITIONS.get(term) or causes.get(name, "")) for name, value, term in rows]
    frame = pl.DataFrame(told, schema={"figure": pl.String, "value": pl.Int64, "meaning": pl.String}, orient="row")
    lines = [words.coverage(books), words.called(books), "", *headline.headline(books, chain)]
    if to_look_at := headline.to_look_at(books, chain):
        lines += ["", "To look at:", *(item.replace("`", "") for item in to_look_at)]
    return Sheet(
        "Summary",
        frame,
        titles={"figure": "Figure", "value": "Value", "meaning": "What it means"},
        formats={"value": {"num_format": "#,##0"}},
        widths={"figure": 32, "value": 18, "meaning": 120},
        above=[*lines, ""],
    )


def _definitions(*, full_numbers: bool, made_at: datetime) -> Sheet:
    made = {"Made": f"{words.moment(made_at)} (Kampala), with {words.made_with('xlsxwriter')}"}
    if full_numbers:
        made["Numbers"] = "This file holds full telephone numbers."
    meanings = words.DEFINITIONS | made
    frame = pl.DataFrame(
        {"word": list(meanings), "meaning": [meaning.replace("`", "") for meaning in meanings.values()]}
    )
    return Sheet(
        "Definitions", frame, titles={"word": "Word", "meaning": "What it means"}, widths={"word": 28, "meaning": 160}
    )
