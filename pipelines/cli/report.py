"""`mambo report`: people and money of campaigns, as a page, a workbook or a flat table."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mambo_io.errors import InputError
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.cli.days import day
from pipelines.opening import open_store


def report(
    *names: str,
    output: Path,
    month: str | None = None,
    first: Annotated[str | None, Parameter(name="--from")] = None,
    last: Annotated[str | None, Parameter(name="--to")] = None,
    kept: str | None = None,
    full_numbers: bool = False,
) -> int:
    """Write what became of people and money to a file.

    A page for the manager (.html, which needs no network), a workbook for the accountant (.xlsx), or everybody row by
    row (.csv, .parquet). Telephone numbers are masked. For example:

        mambo report clinic-day --output report.html
        mambo report --month 2026-01 --kept donor --output january.xlsx

    Parameters
    ----------
    names
        Campaigns, each with all of its editions (`clinic-day`) or one of them (`clinic-day/1`); none: all.
    output
        Where to: .html, .xlsx, .csv or .parquet.
    month
        Only calls of this month, as 2026-01.
    first
        Only calls from this day on, as 2026-01-31; Kampala's days.
    last
        Only calls until this day, and on it.
    kept
        Cut by this kept column, too.
    full_numbers
        Write telephone numbers in full.
    """
    from pipelines.reconciliation import read_books
    from pipelines.report import write_report

    start, end = _period(month, first, last)
    with open_store(load_settings()) as store:
        books = read_books(store, names or None, start=start, end=end, kept=kept)
        if output.exists() and output.name in {Path(source).name for source in books.campaigns["source"]}:
            raise InputError("has the name of the list of recipients", file=output, fix="Choose another name.")
        write_report(books, output, store=store, full_numbers=full_numbers)
    people = screens.people(int(books.tally["recipients"].sum()))
    screens.say(f"{people} of {screens.count(books.campaigns.height, 'campaign')} in {output}")
    if output.suffix.lower() == ".xlsx":
        screens.say("Those who were accepted are counted there, not listed; everybody row by row: --output report.csv")
    return 0


def _period(month: str | None, first: str | None, last: str | None) -> tuple[dt.date | None, dt.date | None]:
    """The first day and the last; None: open."""
    if month is not None:
        if first is not None or last is not None:
            raise InputError("goes with neither --from nor --to", key="--month", fix="Give one or the other.")
        found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", month)
        if found is None or int(found[1]) < 1:
            raise InputError("is no month", key="--month", value=month, fix="Write it as 2026-01.")
        year, number = int(found[1]), int(found[2])
        return dt.date(year, number, 1), dt.date(year, number, calendar.monthrange(year, number)[1])
    start, end = day("--from", first), day("--to", last)
    if start is not None and end is not None and end < start:
        raise InputError("is before --from", key="--to", value=end, fix="Exchange the two.")
    return start, end
