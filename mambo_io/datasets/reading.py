"""`read_dataset`: any list of people as one frame of text, in which every row keeps its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from mambo_io.datasets import delimited, files, limits, parquet, workbook
from mambo_io.datasets.table import WHITE, Flaw, Table
from mambo_io.errors import InputError

ENDINGS = ".csv, .tsv, .txt, .xlsx, .xlsm, .parquet"

HELD_BYTES = 64 * 1024 * 1024  # a file up to this size is held in memory, so that it may change meanwhile

_RAGGED = "ragged_row"
_HIDDEN = "hidden_row"
_REJECTED = {Flaw.LONG.value: _RAGGED, Flaw.UNPAIRED.value: _RAGGED, Flaw.HIDDEN.value: _HIDDEN}


@dataclass(frozen=True)
class Dataset:
    """A list as it was read.

    `source` has `row` Int64 (as a spreadsheet program counts: the header is 1, the first person 2), `reject_reason`
    String (null, `ragged_row` or `hidden_row`), then every column of the file as String in file order, null where a
    cell is empty. Blank rows are not in it, yet count in the numbering. Of a large and plain CSV file it reads what is
    asked of it, whenever it is asked, so that a list may be larger than memory; other files are held in memory.
    """

    source: pl.LazyFrame = field(repr=False)
    path: Path
    blank_rows: int
    short_rows: int  # rows with fewer cells than the header; what is missing is null
    notes: tuple[str, ...]  # what a person should be told about the reading
    scanned: bool = False  # `source` reads the file each time, in which no row has a `reject_reason`

    @property
    def ragged_rows(self) -> tuple[int, ...]:
        """Numbers of the rows whose cells do not fit the header: some are too many, or quotes do not pair."""
        return self._rejected(_RAGGED)

    @property
    def hidden_rows(self) -> tuple[int, ...]:
        """Numbers of the rows that an XLSX file hides, by a filter or by hand."""
        return self._rejected(_HIDDEN)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All of `source`."""
        return self.source.collect(engine="streaming")

    def _rejected(self, reason: str) -> tuple[int, ...]:
        if self.scanned:
            return ()
        return tuple(self.frame.filter(pl.col("reject_reason") == reason)["row"])


@dataclass(frozen=True)
class Opened:
    """A list whose column names are known: `header` has those that `read` gives them."""

    header: list[str]
    read: Callable[[], Dataset]


def open_dataset(
    path: Path | str, *, sheet: str | None = None, header_row: int = 1, date_format: str = "%d/%m/%Y"
) -> Opened:
    """Open a list as `read_dataset` does, and look at its column names before its rows are read. Same errors."""
    path = Path(path)
    with _telling_os_errors(path):
        files.check(path)
        table = _open_table(path, sheet, header_row, date_format)
    return Opened(list(table.header.names), lambda: _read(path, table, header_row))


def read_dataset(
    path: Path | str, *, sheet: str | None = None, header_row: int = 1, date_format: str = "%d/%m/%Y"
) -> Dataset:
    """Read a CSV, TSV, XLSX or Parquet file; every cell becomes text.

    `sheet` names the sheet of a workbook that has several filled ones. Rows above `header_row` are left out. Dates
    of workbooks and Parquet files are written by `date_format` (as of `strftime`).

    A column whose name is blank, stands there twice or is one of ours is renamed, and a row with too many cells is
    rejected: see `Dataset.notes`. Raises `InputError` for a file that cannot be read, and for one without rows.
    """
    return open_dataset(path, sheet=sheet, header_row=header_row, date_format=date_format).read()


def _read(path: Path, table: Table, header_row: int) -> Dataset:
    with _telling_os_errors(path):
        notes = [*files.lock_notes(path), *table.notes, *table.header.notes]
        if path.stat().st_size > HELD_BYTES and (source := table.scan()) is not None:
            named = source.select(
                "row",
                pl.lit(None, pl.String).alias("reject_reason"),
                *_named(source.collect_schema().names()[1:], table),
            )
            return Dataset(named, path, blank_rows=0, short_rows=0, notes=tuple(notes), scanned=True)
        frame = table.rows()
    people = _without_blank_rows(frame)
    if people.is_empty():
        raise InputError("there are no rows below the column names", file=path, row=header_row)
    return Dataset(
        source=people.select(
            "row",
            pl.col("flaw").replace_strict(_REJECTED, default=None, return_dtype=pl.String).alias("reject_reason"),
            *_named(frame.columns[1:-1], table),
        ).lazy(),
        path=path,
        blank_rows=frame.height - people.height,
        short_rows=people.filter(pl.col("flaw") == Flaw.SHORT.value).height,
        notes=(*notes, *_flaw_notes(people)),
    )


def _named(cells: list[str], table: Table) -> list[pl.Expr]:
    """The columns of a table under the names of its header."""
    return [pl.col(cell).alias(name) for cell, name in zip(cells, table.header.names, strict=True)]


def _open_table(path: Path, sheet: str | None, header_row: int, date_format: str) -> Table:
    ending = path.suffix.lower()
    if sheet is not None and ending not in (".xlsx", ".xlsm"):
        raise InputError("only an Excel workbook has sheets", file=path, key="sheet", value=sheet)
    if not 1 <= header_row <= limits.LAST_ROW or (header_row > 1 and ending == ".parquet"):
        raise InputError("is no row that can hold column names", file=path, key="header_row", value=header_row)
    match ending:
        case ".csv" | ".tsv" | ".txt":
            return delimited.open_table(path, header_row)
        case ".xlsx" | ".xlsm":
            return workbook.open_table(path, sheet, header_row, date_format)
        case ".parquet":
            return parquet.open_table(path, date_format)
        case ".xls" | ".xlsb" | ".ods" | ".numbers":
            fix = "Open it in a spreadsheet program and save it as .xlsx."
            raise InputError(f"{ending} files are not read", file=path, fix=fix)
        case _:
            problem = f"files that end in {ending!r} are not read" if ending else "the file's name has no ending"
            raise InputError(problem, file=path, fix=f"These endings are: {ENDINGS}.")


def _without_blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    blank = frame
    for name in frame.columns[1:-1]:  # between `row` and `flaw`; the first one leaves few rows to look at
        blank = blank.filter(pl.col(name).is_null() | (pl.col(name).str.strip_chars(WHITE) == ""))
        if blank.is_empty():
            return frame
    # A row with something behind its last column is not blank.
    blank = blank.filter(~pl.col("flaw").is_in([Flaw.LONG.value, Flaw.UNPAIRED.value]).fill_null(False))
    return frame.join(blank.select("row"), on="row", how="anti", maintain_order="left")


def _flaw_notes(people: pl.DataFrame) -> list[str]:
    meanings = {
        Flaw.SHORT: "Too few cells for the columns (those missing are empty)",
        Flaw.LONG: "Too many cells for the columns (rejected)",
        Flaw.UNPAIRED: "Quotes that do not pair (rejected)",
        Flaw.HIDDEN: "Hidden in the workbook",
    }
    rows = {flaw: people.filter(pl.col("flaw") == flaw.value)["row"] for flaw in meanings}
    return [f"{meaning}: {_listed(rows[flaw])}." for flaw, meaning in meanings.items() if len(rows[flaw])]


def _listed(rows: pl.Series) -> str:
    first = ", ".join(map(str, rows.head(5)))
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row {first}" if len(rows) == 1 else f"rows {first}{more}"


@contextmanager
def _telling_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or "the system refuses it"
        raise InputError(f"the file cannot be read: {reason}", file=path) from None
