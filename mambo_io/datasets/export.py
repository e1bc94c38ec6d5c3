"""`write_dataset`: results as CSV, Parquet or XLSX, safe to open in a spreadsheet program; `write_tables`: several.

A cell that starts with `=` is a formula to a spreadsheet program, wherever it came from; what people typed must not
become one (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import polars as pl

from mambo_io.datasets.replacing import replacing
from mambo_io.datasets.sheets import SHEET_ROWS, Sheet, check_fits, local, write_sheets
from mambo_io.errors import InputError

# OWASP's list: the signs, white space that is skipped before them, and the signs' full-width forms.
_FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_BELOW_ZERO = r"^-[0-9]+(?:[.,][0-9]+)*$"
_TEXT = (pl.String, pl.Categorical, pl.Enum)


def write_dataset(frame: pl.DataFrame | Iterable[pl.DataFrame], path: Path | str) -> None:
    """Write `frame` as its ending says; an existing file is replaced at once, when all of the new one is written.

    A table too large for memory comes in pieces with the same columns, at least one; CSV and Parquet are written so.

    Parquet holds the frame as it is. CSV is UTF-8 with a byte order mark; text that would be a formula gets a `'` in
    front, but for E.164 numbers, masked ones too, in the column `e164`. XLSX has text as text, numbers as numbers, and
    a frozen header. In both, moments are Kampala's to the second, in CSV with `+03:00`; those without a time zone are
    taken as UTC.

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
            pieces = [_whole(pieces, path)]
            write = _write_xlsx
        case ending:
            problem = f"files that end in {ending!r} are not written" if ending else "the file's name has no ending"
            raise InputError(problem, file=path, fix="These endings are: .csv, .xlsx, .parquet.")
    with replacing(path) as unfinished:
        write(pieces, unfinished)


def write_tables(tables: Mapping[str, pl.DataFrame], path: Path) -> None:
    """Write several tables of any columns as one file; an existing one is replaced as `write_dataset` does.

    JSON: an object with a list of objects for each. XLSX: a sheet for each. CSV: a line for each cell that is not
    empty, with table, number (of the row in its table, from 1), column and value. Times are as there.

    Raises `InputError` for another ending, and as `write_dataset` does.
    """
    match path.suffix.lower():
        case ".json":
            with replacing(path) as unfinished:
                rows = {name: table.with_columns(_moments(table)).to_dicts() for name, table in tables.items()}
                unfinished.write_text(json.dumps(rows, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        case ".xlsx":
            with replacing(path) as unfinished:
                write_sheets([Sheet(name, table) for name, table in tables.items()], unfinished, named=path)
        case ".csv":
            write_dataset(pl.concat([_cells(name, table) for name, table in tables.items()]), path)
        case _:
            problem = "is not of a kind that holds several tables"
            raise InputError(problem, file=path, fix="These endings are: .json, .xlsx, .csv.")


def _cells(name: str, table: pl.DataFrame) -> pl.DataFrame:
    """Each cell that is not empty: table, number, column, value (String, number Int64)."""
    written = table.with_columns(_moments(table)).cast(pl.String).with_row_index("number", offset=1)
    cells = written.unpivot(index="number", variable_name="column", value_name="value").drop_nulls("value")
    order = pl.col("column").cast(pl.Enum(table.columns))
    return cells.sort("number", order).select(
        pl.lit(name).alias("table"), pl.col("number").cast(pl.Int64), "column", "value"
    )


def _moments(table: pl.DataFrame) -> list[pl.Expr]:
    return [_moment(name, dtype) for name, dtype in table.schema.items() if isinstance(dtype, pl.Datetime)]


def _moment(name: str, dtype: pl.Datetime) -> pl.Expr:
    return local(pl.col(name), dtype).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")


def neutralised(text: pl.Expr) -> pl.Expr:
    """`text` with a `'` before what a spreadsheet program would take for the start of a formula; `-5` is a number."""
    is_formula = text.str.slice(0, 1).is_in(list(_FORMULA_STARTS)) & ~text.str.contains(_BELOW_ZERO)
    return pl.when(is_formula).then("'" + text).otherwise(text)


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


def _write_xlsx(pieces: Iterable[pl.DataFrame], path: Path) -> None:
    write_sheets([Sheet("Results", pl.concat(pieces))], path)


def _csv_column(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    title = f"'{name}" if name.startswith(tuple(_FORMULA_STARTS)) else name
    if dtype in _TEXT:
        text = column.cast(pl.String)
        safe = neutralised(text)
        column = (
            pl.when(text.str.contains(r"^\+[0-9]+(•••[0-9]+)?$")).then(text).otherwise(safe) if name == "e164" else safe
        )
    elif isinstance(dtype, pl.Datetime):
        column = _moment(name, dtype)
    return column.alias(title)


def _whole(pieces: Iterable[pl.DataFrame], path: Path) -> pl.DataFrame:
    """The whole table. Raises `InputError` when no sheet holds it."""
    taken, rows = [], 0
    for piece in pieces:
        taken.append(piece)
        rows += piece.height
        if rows > SHEET_ROWS - 1:
            break  # which is enough to refuse it
    frame = pl.concat(taken)
    check_fits(frame, path)
    return frame
