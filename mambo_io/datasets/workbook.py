"""XLSX: exact row numbers, numbers in full, dates as people write them, and the rows that a filter hides.

calamine reads the cells. It does not tell hidden rows and empties error cells (`#N/A`); those two are taken from
the sheet's XML (ECMA-376 part 1, 18.3.1.73 `row`, 18.3.1.4 `c`), which is parsed only when it holds any.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, TypeAlias
from xml.etree import ElementTree
from xml.parsers import expat

import polars as pl
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from mambo_io.datasets import files, limits
from mambo_io.datasets.header import read_names
from mambo_io.datasets.table import Flaw, Row, Table, rows_to_frame
from mambo_io.errors import InputError
from mambo_io.masking import mask_text

Cell: TypeAlias = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta

_CHUNK = 1 << 20
_MARKED = re.compile(rb"""\bhidden\s*=|\bt\s*=\s*["']e["']""")

# What calamine, zipfile and expat say to bytes that are no workbook; ValueError: `<row r="abc">`.
_DAMAGE = (
    CalamineError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # members that need a password, or a method of packing that zipfile does not know
    ElementTree.ParseError,
    expat.ExpatError,
    LookupError,
    ValueError,
)


@dataclass
class Marks:
    """What calamine leaves out of a sheet, rows and columns counted from 1."""

    hidden: set[int] = field(default_factory=set)
    errors: dict[tuple[int, int], str] = field(default_factory=dict)  # (row, column): `#N/A`, `#REF!` …


def open_table(path: Path, sheet: str | None, header_row: int, date_format: str) -> Table:
    """The table of one sheet; raises `InputError` for what is no workbook, and when it is not clear which sheet."""
    kind = files.kind_of(path)
    if kind == files.OLE:
        fix = "Open it in a spreadsheet program and save it as .xlsx, without a password."
        raise InputError(f"this is {kind}", file=path, fix=fix)
    if kind == files.DAMAGED_ZIP:
        raise _damaged(path)
    if kind != files.XLSX:
        fix = "Correct its ending to .csv." if kind == files.TEXT else "Save the list again as .xlsx."
        raise InputError(f"this is {kind}, not an Excel workbook", file=path, fix=fix)
    with _telling_damage(path):
        limits.check_workbook(path)
        with CalamineWorkbook.from_path(path) as book:
            found, notes = _choose_sheet(book, path, sheet)

    first_column = found.start[1] if found.start else 0
    names = next((cells for number, cells in enumerate(found.iter_rows(), start=1) if number == header_row), None)
    if names is None:
        raise InputError("no such row in the sheet", file=path, row=header_row)
    header = read_names(
        [cell_text(cell, date_format) for cell in names], file=path, row=header_row, first_column=first_column + 1
    )

    def rows() -> pl.DataFrame:
        with _telling_damage(path):
            marks = read_marks(path, found.name)
        below = (row for row in _rows(found, marks, date_format) if row.number > header_row)
        return rows_to_frame(below, len(header.names))

    return Table(header, notes, rows)


def cell_text(value: Cell, date_format: str) -> str:
    """The cell as a person reads it: whole numbers in digits, dates by `date_format`, `08:30`, TRUE.

    Of a fraction 15 digits, all that Excel shows: it stores `=4.35*100` as 434.99999999999994, which is 435. A time of
    day stands behind its date. NUL, which no database takes, is left out.
    """
    match value:
        case str():
            return value.replace("\0", "")
        case bool():
            return str(value).upper()
        case float() if value.is_integer():
            return str(int(value))
        case float():
            digits = f"{value:.15g}"
            return format(Decimal(digits), "f") if "e" in digits else digits
        case dt.datetime():
            value = (value + dt.timedelta(milliseconds=500)).replace(microsecond=0)
            return f"{value.strftime(date_format)} {_clock(value.time())}"
        case dt.date():
            return value.strftime(date_format)
        case dt.time():
            return _clock(value)
        case dt.timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        case _:
            return str(value)


def _clock(time: dt.time) -> str:
    return time.strftime("%H:%M:%S" if time.second else "%H:%M")


def _rows(sheet: CalamineSheet, marks: Marks, date_format: str) -> Iterator[Row]:
    """Every row of the sheet down to its last one; `iter_rows` starts at row 1, but at the first filled column."""
    first_column = sheet.start[1] if sheet.start else 0
    error_columns: dict[int, list[int]] = {}
    for row, column in marks.errors:
        error_columns.setdefault(row, []).append(column)
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        texts = [cell_text(cell, date_format) for cell in cells]
        for column in error_columns.get(number, ()):
            if column > first_column:
                texts[column - first_column - 1] = marks.errors[number, column]
        yield Row(number, texts, Flaw.HIDDEN if number in marks.hidden else None)


def _choose_sheet(book: CalamineWorkbook, path: Path, sheet: str | None) -> tuple[CalamineSheet, tuple[str, ...]]:
    """The sheet that was asked for, or the only one that is shown and has something in it."""
    tables = [each for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    listed = ", ".join(repr(mask_text(each.name)) for each in tables)
    if sheet is not None:
        for each in tables:
            if each.name.casefold() == sheet.strip().casefold():
                return book.get_sheet_by_name(each.name), ()
        raise InputError("no such sheet", file=path, key="sheet", value=sheet, fix=f"The sheets are {listed}.")
    shown = [book.get_sheet_by_name(each.name) for each in tables if each.visible == SheetVisibleEnum.Visible]
    filled = [each for each in shown if each.height]
    if not filled:
        raise InputError("no sheet of the workbook has anything in it", file=path)
    if len(filled) > 1:
        listed = ", ".join(repr(mask_text(each.name)) for each in filled)
        raise InputError(f"several sheets are filled: {listed}", file=path, key="sheet", fix="Say which one to read.")
    name = mask_text(filled[0].name)
    return filled[0], (f"Of the sheets {listed}, {name!r} was read.",) if len(tables) > 1 else ()


def read_marks(path: Path, sheet: str) -> Marks:
    """The hidden rows and error cells of `sheet`."""
    with zipfile.ZipFile(path) as archive:
        member = _sheet_member(archive, sheet)
        marked = False
        with archive.open(member) as xml:
            tail = b""
            while not marked and (chunk := xml.read(_CHUNK)):
                marked = _MARKED.search(tail + chunk) is not None
                tail = chunk[-64:]
        if not marked:
            return Marks()
        with archive.open(member) as xml:
            return _MarksParser().parse(xml)


class _MarksParser:
    """Collects `Marks` from a sheet's XML. Called for each of millions of elements, so it does little for most."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._parser = expat.ParserCreate()
        self._prefix = ""
        self._row = 0
        self._column = 0
        self._text: list[str] = []

    def parse(self, xml: IO[bytes]) -> Marks:
        self._parser.StartElementHandler = self._root
        self._parser.ParseFile(xml)
        return self.marks

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        self._prefix = name.removesuffix("worksheet")  # some programs write `<x:worksheet>`, `<x:row>` …
        self._parser.StartElementHandler = self._row_or_cell

    def _row_or_cell(self, name: str, attributes: dict[str, str]) -> None:
        if name == f"{self._prefix}c":
            self._column += 1
            if attributes.get("t") == "e":
                if "r" in attributes:  # rows and cells that follow each other need not say their place
                    self._column = limits.column_number(attributes["r"].rstrip("0123456789"))
                self._parser.StartElementHandler = self._inside_error
        elif name == f"{self._prefix}row":
            self._row = int(attributes.get("r", self._row + 1))
            self._column = 0
            if attributes.get("hidden") in ("1", "true"):
                self.marks.hidden.add(self._row)

    def _inside_error(self, name: str, attributes: dict[str, str]) -> None:
        if name == f"{self._prefix}v":
            self._text.clear()
            self._parser.CharacterDataHandler = self._text.append
            self._parser.EndElementHandler = self._end_of_error
        elif name != f"{self._prefix}f":  # an error without a value: this is the next cell already
            self._parser.StartElementHandler = self._row_or_cell
            self._row_or_cell(name, attributes)

    def _end_of_error(self, name: str) -> None:
        self.marks.errors[self._row, self._column] = "".join(self._text)
        self._parser.CharacterDataHandler = self._parser.EndElementHandler = None
        self._parser.StartElementHandler = self._row_or_cell


def _sheet_member(archive: zipfile.ZipFile, sheet: str) -> str:
    """The name of the member that holds `sheet`: workbook.xml gives its id, the relations file the id's target."""
    relations = _xml(archive, "xl/_rels/workbook.xml.rels")
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    for each in _xml(archive, "xl/workbook.xml").iterfind(".//{*}sheet"):
        if each.get("name") == sheet:
            (relation,) = (value for key, value in each.items() if key.endswith("}id"))
            return posixpath.normpath(posixpath.join("/xl", targets[relation])).lstrip("/")
    raise KeyError(sheet)


def _xml(archive: zipfile.ZipFile, member: str) -> ElementTree.Element:
    # expat limits entity expansion since 2.4.1, and external entities are not followed.
    return ElementTree.fromstring(archive.read(member))  # noqa: S314 - see above


@contextmanager
def _telling_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE:
        raise _damaged(path) from None


def _damaged(path: Path) -> InputError:
    fix = "Open it in a spreadsheet program and save it again, or get the file once more."
    return InputError("the workbook is cut short or damaged", file=path, fix=fix)
