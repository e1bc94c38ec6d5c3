"""`write_dataset`: results as CSV, Parquet or XLSX, safe to open in a spreadsheet program.

A cell that starts with `=` is a formula to a spreadsheet program, wherever it came from; what people typed must not
become one (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from mambo_io.errors import InputError
from mambo_io.window import KAMPALA

# The limits of a sheet: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
_SHEET_ROWS = 1_048_576
_SHEET_COLUMNS = 16_384
_CELL_CHARACTERS = 32_767
_EXACT_INTEGERS = 10**15

# OWASP's list: the signs, white space that is skipped before them, and the signs' full-width forms.
_FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_TEXT = (pl.String, pl.Categorical, pl.Enum)


def write_dataset(frame: pl.DataFrame | Iterable[pl.DataFrame], path: Path | str) -> None:
    """Write `frame` as its ending says; an existing file is replaced at once, when all of the new one is written.

    A table too large for memory comes in pieces with the same columns, at least one; CSV and Parquet are written so.

    Parquet holds the frame as it is. CSV is UTF-8 with a byte order mark; text that would be a formula gets a `'` in
    front, but for E.164 numbers in the column `e164`. XLSX has text as text, numbers as numbers, and a frozen header.
    In both, moments are Kampala's to the second, in CSV with `+03:00`; those without a time zone are taken as UTC.

    Raises `InputError` for another ending, a missing folder, a table that no sheet holds, and a full disk.
    """
    path = Path(path)
    pieces = [frame] if isinstance(frame, pl.DataFrame) else frame
    match path.suffix.lower():
        case ".csv":
            write: Callable[[Iterable[pl.DataFrame], Path], None] = _write_csv
        case ".parquet":
            write = _write_parquet
        case ".xlsx":
            pieces = [_fitting_a_sheet(pieces, path)]
            write = _write_xlsx
        case ending:
            problem = f"files that end in {ending!r} are not written" if ending else "the file's name has no ending"
            raise InputError(problem, file=path, fix="These endings are: .csv, .xlsx, .parquet.")
    with _replacing(path) as unfinished:
        write(pieces, unfinished)


def neutralised(text: pl.Expr) -> pl.Expr:
    """`text` with a `'` before what a spreadsheet program would take for the start of a formula."""
    return pl.when(text.str.slice(0, 1).is_in(list(_FORMULA_STARTS))).then("'" + text).otherwise(text)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place at the end; after any error nothing is left of it.

    What a killed process left behind goes at the next writing to the same `path`; of two at a time the later one wins.
    """
    folder = None
    try:
        if path.is_dir():
            raise InputError("this is a folder", file=path, fix="Give the path of a file.")
        if not path.parent.is_dir():
            raise InputError(f"no folder {str(path.parent)!r}", file=path, fix="Make the folder first.")
        target = path.resolve()  # so that a symbolic link stays one
        # A short name of its own, because the target's may be as long as the system takes.
        prefix = f".unfinished-{hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()}-"
        for left in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        # A folder, because a workbook's parts are written first; its owner's alone, because numbers stand in it.
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        unfinished = folder / f"unfinished{target.suffix}"
        yield unfinished
        with unfinished.open("r+b") as written:
            os.fsync(written.fileno())  # a power cut must not leave the new name and half of the content
        unfinished.replace(target)
    except (OSError, FileCreateError, pl.exceptions.ComputeError) as error:
        reason = _system_reason(error)
        if reason is None:
            raise
        if folder is not None and reason == os.strerror(errno.ENOENT):
            reason = "another process began to write it, too"
        raise InputError(f"the file cannot be written: {reason}", file=path) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _system_reason(error: Exception) -> str | None:
    """What the system said, unwrapped: polars passes on text only, "… IO error: File too large (os error 27)"."""
    if isinstance(error, FileCreateError):
        error = error.args[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = re.search(r"([^:]+) \(os error \d+\)", str(error))
    return found[1].strip() if found else None


def _write_csv(pieces: Iterable[pl.DataFrame], path: Path) -> None:
    with path.open("wb") as file:
        for number, piece in enumerate(pieces):
            columns = [_csv_column(name, dtype) for name, dtype in piece.schema.items()]
            piece.select(columns).write_csv(file, include_bom=number == 0, include_header=number == 0)


def _write_parquet(pieces: Iterable[pl.DataFrame], path: Path) -> None:
    parts = []
    for number, piece in enumerate(pieces):
        parts.append(path.with_name(f"{number:06}.parquet"))
        piece.write_parquet(parts[-1])
    pl.scan_parquet(parts, glob=False).sink_parquet(path)


def _csv_column(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    title = f"'{name}" if name.startswith(tuple(_FORMULA_STARTS)) else name
    if dtype in _TEXT:
        text = column.cast(pl.String)
        safe = neutralised(text)
        column = pl.when(text.str.contains(r"^\+[0-9]+$")).then(text).otherwise(safe) if name == "e164" else safe
    elif isinstance(dtype, pl.Datetime):
        column = _local(column, dtype).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
    return column.alias(title)


def _local(moment: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    return (moment if dtype.time_zone else moment.dt.replace_time_zone("UTC")).dt.convert_time_zone(KAMPALA.key)


def _fitting_a_sheet(pieces: Iterable[pl.DataFrame], path: Path) -> pl.DataFrame:
    """The whole table. Raises `InputError` when no sheet holds it."""
    fix = "Write it as .csv or .parquet."
    taken, rows = [], 0
    for piece in pieces:
        taken.append(piece)
        rows += piece.height
        if rows > _SHEET_ROWS - 1:
            raise InputError(f"more rows than a sheet holds ({_SHEET_ROWS - 1:,})", file=path, fix=fix)
    frame = pl.concat(taken)
    if frame.width > _SHEET_COLUMNS:
        raise InputError(f"{frame.width:,} columns, and a sheet holds {_SHEET_COLUMNS:,}", file=path, fix=fix)
    for name in frame.select(pl.col(pl.String)).columns:
        longest = frame[name].str.len_chars().max()
        if isinstance(longest, int) and longest > _CELL_CHARACTERS:
            problem = f"a text of {longest:,} characters, and a cell holds {_CELL_CHARACTERS:,}"
            raise InputError(problem, file=path, column=name, fix=fix)
    return frame


def _write_xlsx(pieces: Iterable[pl.DataFrame], path: Path) -> None:
    """Row by row, so that a million rows need no memory. Text is written as text: nothing becomes a formula or link."""
    frame = pl.concat(pieces)
    local = frame.with_columns(
        _local(pl.col(name), dtype).dt.replace_time_zone(None).dt.truncate("1s")
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime)
    )
    options = {"constant_memory": True, "nan_inf_to_errors": True, "tmpdir": str(path.parent)}
    with xlsxwriter.Workbook(path, options) as book:
        sheet = book.add_worksheet("Results")
        title = book.add_format({"bold": True})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, max(frame.width - 1, 0), 16)
        for column, name in enumerate(frame.columns):
            sheet.write_string(0, column, name, title)
        for row, cells in enumerate(local.iter_rows(), start=1):
            for column, cell in enumerate(cells):
                match cell:
                    case None:
                        pass
                    case bool():
                        sheet.write_boolean(row, column, cell)
                    case int() if abs(cell) >= _EXACT_INTEGERS:
                        sheet.write_string(row, column, str(cell))
                    case int() | float():
                        sheet.write_number(row, column, cell)
                    case dt.datetime():
                        sheet.write_datetime(row, column, cell, moment)
                    case dt.date():
                        sheet.write_datetime(row, column, cell, day)
                    case _:
                        sheet.write_string(row, column, str(cell))
