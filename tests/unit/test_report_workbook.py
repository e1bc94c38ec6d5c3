"""The workbook: its sheets, its figures as numbers in a number's clothes, and nothing in it that runs."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import Connection

from mambo_io.accounting import record_top_up
from pipelines import reconciliation
from pipelines.reconciliation import Books, read_books
from pipelines.report import people, tables, workbook, write_report
from pipelines.statement import chain
from support.accounts import Call, frames, reading
from support.ledgers import every_outcome, number
from support.reports import STATES, ledger, millions, season

SHEETS = [
    *("Summary", "Statement", "Balance chain", "Entries", "Exceptions", "Calls", "By campaign", "By network", "By day"),
    *("By reason", "Prices"),
]
NOON = dt.datetime(2026, 11, 26, 9, tzinfo=dt.UTC)


def sheets(path: Path) -> dict[str, list[list[Any]]]:
    with CalamineWorkbook.from_path(path) as book:
        return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


def report(
    folder: Path,
    fill: Callable[[Connection], object] | None,
    change: Callable[[Books], Books] = lambda books: books,
    *,
    kept: str | None = None,
    full_numbers: bool = False,
) -> tuple[Path, Books]:
    path = folder / "report.xlsx"
    with ledger(folder, fill) as store:
        books = change(read_books(store, kept=kept))
        write_report(books, path, store=store, full_numbers=full_numbers, made_at=NOON)
    return path, books


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_every_sheet(tmp_path: Path, state: str) -> None:
    path, _ = report(tmp_path, STATES[state])
    assert list(sheets(path)) == [*SHEETS, "Definitions"]


def test_the_figures_are_those_of_the_frames(tmp_path: Path) -> None:
    path, books = report(tmp_path, every_outcome)
    book = sheets(path)
    sums = reconciliation.cut(books).row(0, named=True)
    summary = {row[0].strip(): row[1] for row in book["Summary"] if len(row) > 1}
    assert (summary["People"], summary["Accepted"], summary["Not known"]) == (12, 2, 2)
    assert (summary["Estimated (UGX)"], summary["Charged (UGX)"], summary["Difference (UGX)"]) == (550, 201, -349)
    assert (summary["Not reached (UGX)"], summary["Charge not known (UGX)"]) == (-50, -150)

    for name, columns in (("By campaign", (2, -3, -2, -1)), ("By network", (1, -3, -2, -1))):
        figures = [[row[column] for column in columns] for row in book[name][1:]]
        totals = [sums[measure] for measure in ("recipients", "estimated_ugx", "charged_ugx", "difference_ugx")]
        assert [sum(column) for column in zip(*figures, strict=True)] == totals
    assert len(book["Calls"]) == 1 + books.calls.height
    assert [row[0] for row in book["Exceptions"][3:]] == [8, 9, 4, 5, 6, 7, 10, 11, 2, 12]
    assert book["Exceptions"][3][1] == "+256772•••008"
    assert book["Exceptions"][0][0] == "People who were not accepted, or not delivered: 10"
    [made] = [row[1] for row in book["Definitions"] if row[0] == "Made"]
    assert made.startswith("26 November 2026, 12:00 (Kampala), with mambo-pipelines ")


def test_the_statement_adds_up(tmp_path: Path) -> None:
    path, _ = report(tmp_path, season)
    rows = sheets(path)["Statement"]
    assert rows[0][2:8] == [
        *("Opening (UGX)", "Top-ups (UGX)", "Charges (UGX)", "Calls not known (UGX)", "Unexplained (UGX)"),
        "Closing (UGX)",
    ]
    assert len(rows) == 3
    for _, _, opening, top_ups, charges, unknown, unexplained, closing, *_ in rows[1:]:
        assert opening + top_ups - charges + unknown + unexplained == closing


def test_a_spreadsheet_program_shows_numbers_dates_and_a_header_that_stays(tmp_path: Path) -> None:
    path, _ = report(tmp_path, season)
    with zipfile.ZipFile(path) as parts:
        styles = parts.read("xl/styles.xml").decode()
        names = re.findall(r'<sheet name="([^"]+)"', parts.read("xl/workbook.xml").decode())
        content = {name: parts.read(f"xl/worksheets/sheet{place}.xml").decode() for place, name in enumerate(names, 1)}
    assert {
        'formatCode="#,##0"',
        'formatCode="+#,##0;-#,##0;0"',
        'formatCode="yyyy-mm-dd hh:mm:ss"',
        'formatCode="+0.0%;-0.0%;0.0%"',
    } <= set(re.findall(r'formatCode="[^"]+"', styles))
    for name, sheet in content.items():
        assert 'state="frozen"' in sheet, name
        assert "<f>" not in sheet, name
        filters = re.findall('<autoFilter ref="([A-Z0-9:]+)"', sheet)
        assert len(filters) == (name not in ("Summary", "Definitions", "Entries")), name  # no entry, nothing to choose
        if name == "Exceptions":
            assert filters[0].startswith("A3:")  # below the two lines over the table


def test_numbers_in_entries_are_masked(tmp_path: Path) -> None:
    with ledger(tmp_path) as store, store.writer() as connection:
        record_top_up(connection, "main", 7, day=NOON.date(), reference="of 0772123456", who="Grace 0772123456")
        entries = tables.entries(read_books(store)).frame
    assert entries.select("reference", "who").rows() == [("of •••456", "Grace •••456")]


def test_a_step_of_the_balances_names_its_call(tmp_path: Path) -> None:
    """Also one that was settled, so that only the reading after it shows it."""
    calls = [Call("c0001", 0, 1, 100, 900), Call("c0002", 2, 3, 100, 800), Call("c0003", 60, 80, 200, None)]
    steps = chain(*frames([*calls, reading(90, 91, 600), Call("c0004", 95, 96, 50, 550)]))
    assert steps.select("calls", "first_call", "last_call").rows() == [
        (2, "clinic-day/1/c0001", "clinic-day/1/c0002"),
        (1, "clinic-day/1/c0003", "clinic-day/1/c0003"),
        (1, "clinic-day/1/c0004", "clinic-day/1/c0004"),
    ]
    assert tables.balances(steps).frame["what"].to_list() == [
        "2 API calls",
        "Balance asked for, after API call clinic-day/1/c0003",
        "API call clinic-day/1/c0004",
    ]


def test_what_people_typed_is_text(tmp_path: Path) -> None:
    """In a kept column, in what the API said, and in a reference."""
    formula = '=HYPERLINK("http://example.invalid","Click")'

    def hostile(books: Books) -> Books:
        text = pl.lit(formula, pl.String)
        entry = {
            "account": "main", "kind": "top_up", "began_at": NOON, "at": NOON, "amount_ugx": 1, "reference": formula,
            "who": formula,
        }  # fmt: skip
        return replace(
            books,
            tally=books.tally.with_columns(text.alias("kept")),
            calls=books.calls.with_columns(text.alias("messages")),
            entries=pl.DataFrame([entry], schema=books.entries.schema),
        )

    path, _ = report(tmp_path, season, hostile, kept="donor")
    book = sheets(path)
    assert [row[0] for row in book["By kept column"]] == ["donor", formula]
    assert {row[-1] for row in book["Calls"][1:]} == {formula}
    assert book["Entries"][1][-2:] == [formula, formula]
    with zipfile.ZipFile(path) as parts:
        assert not any(b"<f>" in parts.read(name) for name in parts.namelist())
        assert not any("hyperlink" in name.lower() for name in parts.namelist())


def test_numbers_are_masked_unless_they_are_asked_for(tmp_path: Path) -> None:
    def told(books: Books) -> Books:
        return replace(books, calls=books.calls.with_columns(pl.lit(f"{number(1)} is bad").alias("messages")))

    masked, _ = report(tmp_path, every_outcome, told)
    texts = [cell for rows in sheets(masked).values() for row in rows for cell in row if isinstance(cell, str)]
    assert [text for text in texts if re.search(r"\d{7,}", text)] == []
    assert "+256772•••001 is bad" in texts
    (tmp_path / "full").mkdir()
    full, _ = report(tmp_path / "full", every_outcome, full_numbers=True)
    assert sheets(full)["Exceptions"][3][1] == number(8)
    assert ["Numbers", "This file holds full telephone numbers."] in sheets(full)["Definitions"]


def test_more_than_a_sheet_holds_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_EXCEPTIONS", 4)
    path, _ = report(tmp_path, every_outcome)
    book = sheets(path)
    assert book["Exceptions"][0][0] == "People who were not accepted, or not delivered: 4 of 10, the gravest first"
    assert "report.csv" in book["Exceptions"][1][0]
    assert len(book["Exceptions"]) == 3 + 4
    assert book["Calls"][0][0] == "The first 4 of 6 rows: a sheet holds no more."
    assert len(book["Calls"]) == 2 + 4


def test_millions(tmp_path: Path) -> None:
    path, _ = report(tmp_path, every_outcome, millions)
    assert "The API accepted the message for 2,000,000 of 12,000,000 people." in [
        row[0] for row in sheets(path)["Summary"]
    ]


def test_people_who_were_not_reached_by_the_providers_word_are_exceptions() -> None:
    columns = dict.fromkeys(people.COLUMNS) | {"campaign": "clinic-day", "edition": "1", "row": 7}
    person = columns | {"outcome": "accepted", "delivery": "failed", "e164": "+256772•••456"}
    found = people.Exceptions(pl.DataFrame([person], schema=people._nobody().schema), 1)
    table = tables.exceptions(found)
    assert table.frame.select("outcome", "reason").rows() == [
        ("Not delivered", "the provider's export says that it failed")
    ]
