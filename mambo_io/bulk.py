"""Many rows in and out: through the driver, for SQLAlchemy takes longer over a row than the database does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import polars as pl
from sqlalchemy import Connection, Select, Table

ROWS_A_PIECE = 50_000
_NUMBERS = count()


def insert_rows(connection: Connection, table: Table, rows: pl.DataFrame) -> None:
    """Insert `rows`, whose columns are columns of `table`, in the open transaction of `connection`.

    Raises the driver's own error (`sqlite3.Error`, `psycopg.Error`).
    """
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(map(quote, rows.columns))
    cursor = connection.connection.cursor()
    try:
        if connection.dialect.name == "postgresql":
            with cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy:
                for row in rows.iter_rows():
                    copy.write_row(row)
        else:
            marks = ", ".join("?" * rows.width)
            cursor.executemany(
                f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})",  # noqa: S608 - names of our own tables
                rows.rows(),
            )
    finally:
        cursor.close()


def fetch_pieces(connection: Connection, query: Select[Any], types: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    """What `query` finds, piece by piece, in the open transaction; from PostgreSQL without all being sent at once.

    `types` names the columns in their order, and their dtypes. Every value in the query is one of our own types.
    """
    sql = str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    driver: Any = connection.connection
    name = f"pieces_{next(_NUMBERS)}"  # several may be open at once
    cursor = driver.cursor(name=name) if connection.dialect.name == "postgresql" else driver.cursor()
    try:
        cursor.execute(sql, ())  # with parameters, if none: what was written as %% is then read as %
        while rows := cursor.fetchmany(ROWS_A_PIECE):
            yield frame_of(rows, types)
    finally:
        cursor.close()


def fetch_all(connection: Connection, query: Select[Any], types: Mapping[str, Any]) -> pl.DataFrame:
    """`fetch_pieces` as one frame."""
    return pl.concat([frame_of((), types), *fetch_pieces(connection, query, types)])


def frame_of(rows: Sequence[Sequence[Any]], types: Mapping[str, Any]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pl.DataFrame(
        [
            pl.Series(name, column, dtype=dtype, strict=dtype != pl.Boolean)  # SQLite has 0 and 1
            for (name, dtype), column in zip(types.items(), columns, strict=True)
        ]
    )
