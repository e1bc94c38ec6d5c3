"""What a reader of one format hands over: column names, notes, and the rows once somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import polars as pl

from mambo_io.datasets.header import Header

# White space that makes a cell blank; one list for Python and polars, whose own notions of it differ.
WHITE = " \t\r\n\v\f\u00a0\u200b\ufeff"

_BATCH = 50_000


class Flaw(StrEnum):
    """What is wrong with a row as the file has it; a row has one at most."""

    SHORT = "short"  # fewer cells than the header
    LONG = "long"  # more cells than the header, and something in them
    UNPAIRED = "unpaired"  # a quote is opened and not closed, or stands inside a quoted cell
    HIDDEN = "hidden"  # a workbook's row that is not shown


class Row(NamedTuple):
    number: int  # as a spreadsheet program counts: the first line of the file is 1
    cells: Sequence[str | None]
    flaw: Flaw | None = None


@dataclass(frozen=True)
class Table:
    """An opened file.

    `rows()` gives a frame with `row` Int64, one String column for each of `header.names` under the names of
    `columns`, null where a cell is empty, and `flaw` String (null or a `Flaw`).

    `scan()` gives the same rows as a LazyFrame that reads only what is asked of it, without `flaw`; None where they
    have to be read to know that no row has a flaw and none is blank.
    """

    header: Header
    notes: tuple[str, ...]
    rows: Callable[[], pl.DataFrame]
    scan: Callable[[], pl.LazyFrame | None] = lambda: None


def columns(width: int) -> list[str]:
    """Stand-in names, so that no name of a file can clash with ours while a table is read."""
    return [f"c{index}" for index in range(width)]


def rows_to_frame(rows: Iterable[Row], width: int) -> pl.DataFrame:
    """The frame of `Table.rows`. Of rows of another length, missing cells become null and extra ones are left out."""
    schema = {"row": pl.Int64} | dict.fromkeys(columns(width), pl.String) | {"flaw": pl.String}
    batches = [pl.DataFrame(schema=schema)]
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        cells = zip(*(_fitted(row.cells, width) for row in batch), strict=True)
        data = [[row.number for row in batch], *cells, [row.flaw for row in batch]]
        batches.append(pl.DataFrame(data, schema=schema, orient="col"))
    return pl.concat(batches).with_columns(null_if_empty(pl.col(name)) for name in columns(width))


def null_if_empty(cell: pl.Expr) -> pl.Expr:
    return pl.when(cell != "").then(cell)


def _fitted(cells: Sequence[str | None], width: int) -> Sequence[str | None]:
    if len(cells) == width:
        return cells
    return [*cells[:width], *[None] * (width - len(cells))]
