"""Reading exports of delivery reports: columns found or named, messy cells, words and times that are refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from mambo_io.errors import InputError
from mambo_io.ledger import to_us
from pipelines.delivery_export import Columns, Export, read_export

NOW = dt.datetime(2026, 3, 5, 9, tzinfo=dt.UTC)
NOON = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)  # in Kampala
JANE, BOB = 256772123456, 256701234567


def read(tmp_path: Path, text: str | bytes, **options: Any) -> Export:
    path = tmp_path / "export.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_export(path, now=NOW, **options)


def refusal(tmp_path: Path, text: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, **options)
    return caught.value.message.replace(f"{tmp_path}/", "")


def told(export: Export) -> list[tuple[int, int | None, str | None]]:
    return export.reports.select("row", "msisdn", "status").rows()


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("MSISDN,Status,Done Date", Columns("MSISDN", "Status", "Done Date")),
        ("phone,status,network", Columns("phone", "status", None)),
        ("Destination,Delivery Status,Delivered At", Columns("Destination", "Delivery Status", "Delivered At")),
        ("Recipient Number,DLR,Sent Time", Columns("Recipient Number", "DLR", "Sent Time")),
        ("to,message_state,Timestamp", Columns("to", "message_state", "Timestamp")),
        # When it was delivered says more than when it was sent.
        ("mobile,status,done date,submit date", Columns("mobile", "status", "done date")),
        # A name that the results have, too, is read with a _ behind it.
        ("phone,status,sent_at", Columns("phone", "status", "sent_at_")),
    ],
)
def test_columns_are_found_where_they_are_plain(tmp_path: Path, header: str, columns: Columns) -> None:
    cells = ["0772123456", "DELIVRD", "2026-03-02 12:00:05", "2026-03-02 12:00:01"]
    assert read(tmp_path, f"{header}\n{','.join(cells[: header.count(',') + 1])}\n").columns == columns


def test_columns_are_those_that_were_named(tmp_path: Path) -> None:
    text = "A,B,C,delivery\n0772123456,DELIVRD,2026-03-02 12:00,EXPIRED\n"
    export = read(tmp_path, text, phone="A", status="delivery", time="C")
    assert export.columns == Columns("A", "delivery_", "C")
    assert told(export) == [(2, JANE, "failed")]


@pytest.mark.parametrize(
    ("header", "options", "problem"),
    [
        ("name,status", {}, 'it is not plain which column holds the numbers. Say which: --phone "…".'),
        ("phone,code", {}, 'it is not plain which column holds the status. Say which: --status "…".'),
        ("phone,Status,DLR status", {}, 'it is not plain which column holds the status. Say which: --status "…".'),
        ("phone,status,Date,Time", {}, 'it is not plain which column holds the time. Say which: --time "…".'),
        ("phone,status", {"status": "state"}, "--status: 'state' is no column of it. Did you mean status?"),
        ("phone,status", {"time": "When"}, "--time: 'When' is no column of it."),
    ],
)
def test_a_column_that_is_not_plain_is_asked_for(
    tmp_path: Path, header: str, options: dict[str, str], problem: str
) -> None:
    cells = {"phone": "0772123456", "name": "Jane"}
    row = ",".join(cells.get(name, "") for name in header.split(","))
    message = refusal(tmp_path, f"{header}\n{row}\n", **options)
    assert message.removeprefix("export.csv").lstrip(",: ") == f"{problem} Its columns: {header.replace(',', ', ')}."


# --- messy exports ---------------------------------------------------------------------------------------------------

MESSY: dict[str, tuple[str | bytes, list[tuple[int, int | None, str | None]]]] = {
    "numbers in any form": (
        "phone,status\n+256 772 123 456,DELIVRD\n256772123456,UNDELIV\n772123456,ENROUTE\n2.56772123456E+11,EXPIRED\n",
        [(2, JANE, "delivered"), (3, JANE, "failed"), (4, JANE, "pending"), (5, JANE, "failed")],
    ),
    "no numbers of ours": (
        "phone,status\n0772123456,DELIVRD\n+254722123456,DELIVRD\nMamboSMS,DELIVRD\n,DELIVRD\n",
        [(2, JANE, "delivered"), (3, None, None), (4, None, None), (5, None, None)],
    ),
    "a total below the list, whose words are no statuses": (
        "phone,status\n0772123456,DELIVRD\n0701234567,UNDELIV\n\nTotal,2 messages\n",
        [(2, JANE, "delivered"), (3, BOB, "failed"), (5, None, None)],
    ),
    "an empty status": (
        "phone,status\n0772123456,\n0701234567, - \n0772123456,delivered\n",
        [(2, JANE, None), (3, BOB, None), (4, JANE, "delivered")],
    ),
    "semicolons, and a line for Excel": (
        "sep=;\nphone;status\n0772123456;Delivered\n",
        [(2, JANE, "delivered")],
    ),
    "UTF-16": ("phone\tstatus\n0772123456\tDelivered\n".encode("utf-16"), [(2, JANE, "delivered")]),
    "too many cells": (
        "phone,status\n0772123456,DELIVRD,oh,no\n0701234567,DELIVRD\n",
        [(2, None, None), (3, BOB, "delivered")],
    ),
    "several reports on one person": (
        "phone,status\n0772123456,ENROUTE\n0772123456,DELIVRD\n",
        [(2, JANE, "pending"), (3, JANE, "delivered")],
    ),
    "whole receipts": (
        "phone,status\n0772123456,id:1 sub:001 dlvrd:001 submit date:2603021200 stat:DELIVRD err:000 text:Dear\n",
        [(2, JANE, "delivered")],
    ),
}


@pytest.mark.parametrize("case", MESSY)
def test_messy_exports_are_read_row_by_row(tmp_path: Path, case: str) -> None:
    text, rows = MESSY[case]
    assert told(read(tmp_path, text)) == rows


def test_every_cell_stands_as_the_export_has_it(tmp_path: Path) -> None:
    [row] = read(tmp_path, "phone,status,done date,x\n 0772-123456,Delivrd ,2026-03-02 12:05,y\n").reports.to_dicts()
    assert row == {
        "row": 2,
        "phone_raw": " 0772-123456",
        "status_raw": "Delivrd ",
        "time_raw": "2026-03-02 12:05",
        "e164": "+256772123456",
        "msisdn": JANE,
        "status": "delivered",
        "at_us": to_us(NOON + dt.timedelta(minutes=5)),
        "until_us": to_us(NOON + dt.timedelta(minutes=6)) - 1,
        "reject_reason": None,
    }


def test_a_workbook_whose_cells_are_numbers_and_dates(tmp_path: Path) -> None:
    path = tmp_path / "export.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("DLR")
        book.add_worksheet("Summary").write(0, 0, "of March")
        sheet.write_row(0, 0, ["Delivery reports of March"])
        sheet.write_row(2, 0, ["Phone", "Status", "Done"])
        sheet.write_row(3, 0, [JANE, 2])
        day = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
        sheet.write_datetime(3, 2, dt.datetime(2026, 3, 2, 12, 0, 5), day)  # noqa: DTZ001 - a workbook knows no time zones
    export = read_export(path, now=NOW, sheet="DLR", header_row=3, time="Done", smpp_codes=True)
    assert told(export) == [(4, JANE, "delivered")]
    assert export.reports["at_us"].to_list() == [to_us(NOON + dt.timedelta(seconds=5))]


def test_a_row_that_is_hidden_in_the_workbook_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "export.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["phone", "status"])
        sheet.write_row(1, 0, [JANE, "DELIVRD"])
        sheet.write_row(2, 0, [BOB, "DELIVRD"])
        sheet.set_row(2, None, None, {"hidden": True})
    export = read_export(path, now=NOW)
    assert export.reports.select("msisdn", "reject_reason").rows() == [(JANE, None), (None, "hidden_row")]


# --- words -----------------------------------------------------------------------------------------------------------


def test_words_that_are_not_known_are_listed_before_anything_else_is_done(tmp_path: Path) -> None:
    text = "phone,state\n" + "0772123456,Wibble\n" * 2 + "0701234567,Sent 0772123456 on\n0772123456,DELIVRD\n"
    assert refusal(tmp_path, text) == (
        "export.csv, column state: 2 statuses are not known: 'Wibble' (2 rows), 'Sent •••456 on' (1 row). Say what "
        "each means, delivered, failed, pending: --map Wibble=failed."
    )


def test_of_many_words_the_most_frequent_are_listed(tmp_path: Path) -> None:
    """As when the column of the texts was named."""
    text = "phone,status\n" + "".join(f"0772{number:06},Dear {chr(65 + number)}\n" for number in range(12))
    message = refusal(tmp_path, text)
    assert "12 statuses are not known: 'Dear " in message
    assert " (1 row) and 2 more. Say what each means" in message
    assert "--map 'Dear " in message, "quoted as the shell wants it"


def test_numbers_are_statuses_only_if_a_person_says_so(tmp_path: Path) -> None:
    text = "phone,status\n0772123456,2\n0701234567,5\n"
    assert refusal(tmp_path, text).endswith("If the numbers are SMPP's message states (2 is delivered): --smpp-codes.")
    assert told(read(tmp_path, text, smpp_codes=True)) == [(2, JANE, "delivered"), (3, BOB, "failed")]
    mapped = read(tmp_path, text, meanings=["2=failed", "5=pending"])
    assert told(mapped) == [(2, JANE, "failed"), (3, BOB, "pending")]


def test_a_person_may_say_what_a_word_means(tmp_path: Path) -> None:
    text = "phone,status\n0772123456,Wibble-Wobble\n0701234567,Expired\n"
    export = read(tmp_path, text, meanings=["wibble wobble=Delivered", "EXPIRED=pending", "a=b=failed"])
    assert told(export) == [(2, JANE, "delivered"), (3, BOB, "pending")]
    assert export.notes == ("'a=b' of --map stands nowhere in export.csv.",)


@pytest.mark.parametrize("meaning", ["Wibble", "Wibble=", "Wibble=arrived", "=failed", "-=failed"])
def test_a_meaning_is_a_word_and_a_status(tmp_path: Path, meaning: str) -> None:
    assert refusal(tmp_path, "phone,status\n0772123456,DELIVRD\n", meanings=[meaning]) == (
        f'--map: {meaning!r} says not what a word means. Write --map "WORD=delivered", failed or pending.'
    )


# --- times -----------------------------------------------------------------------------------------------------------


def test_rows_without_a_time_are_reports_as_well(tmp_path: Path) -> None:
    text = "phone,status,done date\n0772123456,ENROUTE,\n0701234567,ENROUTE,N/A\n"
    assert read(tmp_path, text).reports["at_us"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("yesterday", "'yesterday' is no time that can be read"),
        ("31/02/2026 12:00", "'31/02/2026 12:00' is no time that can be read"),
        ("03/25/2026 12:00", "is no time that can be read"),
        ("03/11/2026 12:00", "'03/11/2026 12:00' lies ahead of us; the day is read before the month"),
    ],
)
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, cell: str, problem: str) -> None:
    text = f"phone,status,done date\n0772123456,DELIVRD,2026-03-02 12:00\nTotal,,2\n0701234567,DELIVRD,{cell}\n"
    assert refusal(tmp_path, text) == (
        f"export.csv, row 4, column done date: {problem}. Times are 2026-03-02 14:05:00, 02/03/2026 14:05 or the like; "
        'else: --time-format "%m/%d/%Y %H:%M".'
    )


def test_times_that_are_written_another_way_are_read_if_that_is_told(tmp_path: Path) -> None:
    export = read(
        tmp_path, "phone,status,done date\n0772123456,DELIVRD,03/02/2026 12:05\n", time_format="%m/%d/%Y %H:%M"
    )
    assert export.reports["at_us"].to_list() == [to_us(NOON + dt.timedelta(minutes=5))]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing.csv", "export.pdf", "https://mambosms.com/export.csv"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "export.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError):
        read_export(Path(name) if ":" in name else tmp_path / name, now=NOW)


def test_a_large_export_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "phone,status,done date\n" + "0772123456,DELIVRD,2026-03-02 12:05\n" * 50
    small = read(tmp_path, text)
    monkeypatch.setattr("mambo_io.datasets.reading.HELD_BYTES", 100)
    assert read(tmp_path, text).reports.equals(small.reports)
    assert isinstance(small.reports, pl.DataFrame)
