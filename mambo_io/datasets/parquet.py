"""Parquet: typed columns as the text that a person would have typed."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mambo_io.datasets import files, limits
from mambo_io.datasets.header import read_names
from mambo_io.datasets.parquet_footer import DAMAGE, read_footer
from mambo_io.datasets.table import Table, columns, null_if_empty
from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from mambo_io.window import KAMPALA

_INT64 = 2**63
_DIGITS = 15  # that a float keeps of any decimal number; the 16th and 17th are the noise of binary arithmetic
_CELL_BYTES = 16  # of polars' memory for a cell, its text not counted
_PLAIN = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def open_table(path: Path, date_format: str) -> Table:
    """The table of a Parquet file; its first row has number 2, as under a header. Raises `InputError` if damaged."""
    if (kind := files.kind_of(path)) != files.PARQUET:
        raise InputError(f"this is {kind}, not a Parquet file", file=path, fix="Correct its ending.")
    _check_size(path)
    scan = pl.scan_parquet(path, glob=False)
    try:
        schema = scan.collect_schema()
    except (pl.exceptions.PolarsError, OSError):
        raise _damaged(path) from None
    every = {name: as_text(pl.nth(index), dtype, date_format) for index, (name, dtype) in enumerate(schema.items())}
    texts = {name: text for name, text in every.items() if text is not None}
    header = read_names(list(texts), file=path, row=1)
    left_out = [repr(mask_text(name)) for name in schema if name not in texts]
    notes = (f"Left out, because they hold no text, numbers or dates: {', '.join(left_out)}.",) if left_out else ()

    def rows() -> pl.DataFrame:
        cells = [
            null_if_empty(text).alias(name) for name, text in zip(columns(len(texts)), texts.values(), strict=True)
        ]
        try:
            limits.check_parquet(path, _text_bytes(scan, schema))
            frame = scan.select(*cells, flaw=pl.lit(None, pl.String)).collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError):
            raise _damaged(path) from None
        floats = [cell for cell, name in zip(columns(len(texts)), texts, strict=True) if schema[name].is_float()]
        frame = frame.with_columns(_without_noise(frame[cell]) for cell in floats)
        return frame.with_row_index("row", offset=2).cast({"row": pl.Int64})

    return Table(header, notes, rows)


def _check_size(path: Path) -> None:
    try:
        footer = read_footer(path)
    except DAMAGE:
        raise _damaged(path) from None
    if footer is None:
        problem = "has more columns and row groups than a list of people has"
        raise InputError(problem, file=path, fix="Save the columns that are needed in a file of their own.")
    limits.check_columns(footer.columns, path)
    limits.check_parquet(path, max(footer.uncompressed_bytes, footer.rows * footer.columns * _CELL_BYTES))


def _text_bytes(scan: pl.LazyFrame, schema: pl.Schema) -> int:
    """What all texts take when each is written out; a file may say a long one once and share it among millions."""
    lengths = [
        pl.nth(index).str.len_bytes() if dtype == pl.String else pl.nth(index).cat.len_bytes()
        for index, (_, dtype) in enumerate(schema.items())
        if dtype in (pl.String, pl.Categorical, pl.Enum)
    ]
    total = pl.sum_horizontal(length.cast(pl.Int64).sum() for length in lengths) if lengths else pl.lit(0)
    return int(scan.select(total).collect(engine="streaming").item() or 0)


def as_text(cell: pl.Expr, dtype: pl.DataType, date_format: str) -> pl.Expr | None:
    """`cell` as text; None for a type that has no plain text (lists, structs, binary, durations).

    Whole floats are written in digits: a column of numbers with one empty cell often arrives as floats. Moments
    with a time zone are told in Kampala's. The forms are those of `workbook.cell_text`, once `_without_noise`.
    """
    if dtype in _PLAIN:
        return cell.cast(pl.String).str.replace_all("\0", "", literal=True)
    if dtype.is_float():
        whole = (cell == cell.floor()) & (cell.abs() < _INT64)
        digits = cell.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(cell.is_nan()).then(None).when(whole).then(digits).otherwise(cell.cast(pl.String))
    if dtype.is_numeric():
        return cell.cast(pl.String)
    if dtype == pl.Boolean:
        return cell.cast(pl.String).str.to_uppercase()
    if dtype == pl.Date:
        return cell.dt.strftime(date_format)
    if dtype == pl.Time:
        return _clock(cell)
    if isinstance(dtype, pl.Datetime):
        local = cell.dt.convert_time_zone(KAMPALA.key) if dtype.time_zone else cell
        day = local.dt.strftime(date_format)
        midnight = local.dt.time() == pl.time(0, 0, 0)
        return pl.when(midnight).then(day).otherwise(day + " " + _clock(local.dt.time()))
    return None


def _without_noise(numbers: pl.Series) -> pl.Series:
    """Written floats with `_DIGITS` digits at most. Few fractions have more, so only those are looked at."""
    long = (numbers.str.len_bytes() > _DIGITS + len(".")).arg_true()
    long = long.filter(numbers.gather(long).str.contains(".", literal=True))
    if not len(long):
        return numbers
    rounded = numbers.gather(long).cast(pl.Float64).round_sig_figs(_DIGITS).cast(pl.String)
    return numbers.scatter(long, rounded.str.strip_suffix(".0"))


def _clock(time: pl.Expr) -> pl.Expr:
    with_seconds = time.dt.second() != 0
    return pl.when(with_seconds).then(time.dt.strftime("%H:%M:%S")).otherwise(time.dt.strftime("%H:%M"))


def _damaged(path: Path) -> InputError:
    return InputError("the Parquet file is cut short or damaged", file=path, fix="Write it again from its source.")
