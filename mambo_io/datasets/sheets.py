"""Tables as sheets of a workbook. Text is written as text: nothing becomes a formula or a link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import xlsxwriter

from mambo_io.errors import InputError
from mambo_io.window import KAMPALA

# The limits of a sheet: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
SHEET_ROWS = 1_048_576
_SHEET_COLUMNS = 16_384
_CELL_CHARACTERS = 32_767
_EXACT_INTEGERS = 10**15

_WIDTH = 16  # of a column, in characters


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: a frozen, bold header, and below it the rows of `frame`.

    What concerns a column is by its name: `titles` what stands over it instead, `formats` properties of its cells
    (https://xlsxwriter.readthedocs.io/format.html), `widths` in characters. `above` are lines of text over the table,
    the first of them a heading. `filters` puts arrows to choose by into the header.
    """

    name: str
    frame: pl.DataFrame
    titles: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    widths: Mapping[str, float] = field(default_factory=dict)
    above: Sequence[str] = ()
    filters: bool = False


def write_sheets(sheets: Iterable[Sheet], path: Path, *, named: Path | None = None) -> None:
    """Write a workbook at `path`, row by row, so that a million rows need no memory.

    Moments are Kampala's to the second; those without a time zone are taken as UTC. Numbers that a spreadsheet program
    would round are text. Raises `InputError`, about the file `named`, for a table that no sheet holds.
    """
    options = {"constant_memory": True, "nan_inf_to_errors": True, "tmpdir": str(path.parent)}
    with xlsxwriter.Workbook(path, options) as book:
        for sheet in sheets:
            check_fits(sheet.frame, named or path, lines_above=len(sheet.above))
            _write(book, sheet)


def check_fits(frame: pl.DataFrame, path: Path, *, lines_above: int = 0) -> None:
    """Raise `InputError` when no sheet holds the table."""
    fix = "Write it as .csv or .parquet."
    if frame.height + lines_above > SHEET_ROWS - 1:
        raise InputError(f"more rows than a sheet holds ({SHEET_ROWS - 1:,})", file=path, fix=fix)
    if frame.width > _SHEET_COLUMNS:
        raise InputError(f"{frame.width:,} columns, and a sheet holds {_SHEET_COLUMNS:,}", file=path, fix=fix)
    for name in frame.select(pl.col(pl.String)).columns:
        longest = frame[name].str.len_chars().max()
        if isinstance(longest, int) and longest > _CELL_CHARACTERS:
            problem = f"a text of {longest:,} characters, and a cell holds {_CELL_CHARACTERS:,}"
            raise InputError(problem, file=path, column=name, fix=fix)


def local(moment: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    return (moment if dtype.time_zone else moment.dt.replace_time_zone("UTC")).dt.convert_time_zone(KAMPALA.key)


def _write(book: xlsxwriter.Workbook, sheet: Sheet) -> None:
    page = book.add_worksheet(sheet.name)
    title, heading = book.add_format({"bold": True}), book.add_format({"bold": True, "font_size": 14})
    header = len(sheet.above)
    page.freeze_panes(header + 1, 0)
    page.set_column(0, max(sheet.frame.width - 1, 0), _WIDTH)
    for column, name in enumerate(sheet.frame.columns):
        if name in sheet.widths:
            page.set_column(column, column, sheet.widths[name])
    for row, line in enumerate(sheet.above):
        page.write_string(row, 0, line, heading if row == 0 else None)
    for column, name in enumerate(sheet.frame.columns):
        page.write_string(header, column, sheet.titles.get(name, name), title)
    columns = [_column(book, page, sheet, name) for name in sheet.frame.columns]
    cells = zip(*(values for values, _ in columns), strict=True)
    writers = [write for _, write in columns]
    for row, values in enumerate(cells, start=header + 1):
        for column, value in enumerate(values):
            if value is not None:
                writers[column](row, column, value)
    if sheet.filters and sheet.frame.height:
        page.autofilter(header, 0, header + sheet.frame.height, sheet.frame.width - 1)


def _column(book: xlsxwriter.Workbook, page: Any, sheet: Sheet, name: str) -> tuple[pl.Series, Callable[..., Any]]:
    """The values of a column as they are written, and what writes one of them."""
    values = sheet.frame[name]
    given = dict(sheet.formats.get(name, {}))

    def as_(write: Callable[..., Any], **usual: Any) -> Callable[..., Any]:
        look = usual | given
        return write if not look else _with(write, book.add_format(look))

    match values.dtype:
        case pl.Datetime() as dtype:
            moments = sheet.frame.select(local(pl.col(name), dtype).dt.replace_time_zone(None).dt.truncate("1s"))
            return moments.to_series(), as_(page.write_datetime, num_format="yyyy-mm-dd hh:mm:ss")
        case pl.Date():
            return values, as_(page.write_datetime, num_format="yyyy-mm-dd")
        case pl.Boolean():
            return values, as_(page.write_boolean)
        case dtype if dtype.is_integer():
            exact = values.is_between(-_EXACT_INTEGERS, _EXACT_INTEGERS, closed="none").all()
            return (values, as_(page.write_number)) if exact else (values, _write_integer(page, as_(page.write_number)))
        case dtype if dtype.is_numeric():
            return values, as_(page.write_number)
        case _:
            return _plain(values.cast(pl.String)), as_(page.write_string)


def _plain(texts: pl.Series) -> pl.Series:
    """xlsxwriter takes a text between `<r>` and `</r>` for XML of its own making and writes it unescaped; a `'` before
    it keeps what somebody typed from becoming a part of the workbook's markup."""
    is_markup = texts.str.starts_with("<r>") & texts.str.ends_with("</r>")
    return pl.select(pl.when(is_markup).then("'" + texts).otherwise(texts)).to_series()


def _with(write: Callable[..., Any], look: Any) -> Callable[..., Any]:
    return lambda row, column, value: write(row, column, value, look)


def _write_integer(page: Any, write_number: Callable[..., Any]) -> Callable[..., Any]:
    def write(row: int, column: int, value: int) -> None:
        if abs(value) < _EXACT_INTEGERS:
            write_number(row, column, value)
        else:
            page.write_string(row, column, str(value))

    return write
