"""Many rows in and out: through the driver, for SQLAlchemy takes longer over a row than the database does.

Millions of rows come out as lists in JSON, which polars reads: Python's objects take longer over a row, too.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import count
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, Integer, Select, Table, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

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


def fetch_pieces(connection: Connection, query: Select[Any], types: Mapping[str, Any]) -> Generator[pl.DataFrame]:
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


class json_list(FunctionElement[str]):
    """The values of a column, nulls among them, as one text in JSON: `[]` or null when there is no row."""

    type = Text()
    inherit_cache = True


@compiles(json_list, "sqlite")
def _sqlite_list(element: json_list, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


@compiles(json_list, "postgresql")
def _postgresql_list(element: json_list, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg({compiler.process(element.clauses, **options)}) AS TEXT)"


class is_listed(FunctionElement[bool]):
    """Whether a whole number is in a list in JSON, however long; both databases seek each of them in an index.

    Of no type, because of a Boolean SQLAlchemy asks SQLite whether it is 1, and SQLite then looks at every row.
    """

    inherit_cache = True


@compiles(is_listed, "sqlite")
def _is_listed_in_sqlite(element: is_listed, compiler: SQLCompiler, **options: Any) -> str:
    number, numbers = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{number} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608 - what is bound


@compiles(is_listed, "postgresql")
def _is_listed_in_postgresql(element: is_listed, compiler: SQLCompiler, **options: Any) -> str:
    number, numbers = (compiler.process(clause, **options) for clause in element.clauses)
    values = f"SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST({numbers} AS JSON))"  # noqa: S608 - the same
    return f"{number} = ANY (ARRAY({values}))"


def select_lists(columns: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """A query of one row that holds each column whole, in lists that are in the same order, whichever that is.

    A text that a database makes is limited to a gigabyte, so many rows are asked for range by range.
    """
    lists: list[ColumnElement[Any]] = [json_list(column).label(name) for name, column in columns.items()]
    return select(*lists)


def unpack_lists(columns: Mapping[str, ColumnElement[Any]], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """What `select_lists` of these columns gave, once or more often, as one frame of Int64 and String."""
    texts = zip(*rows, strict=True) if rows else [()] * len(columns)
    return pl.DataFrame(
        [
            pl.Series(name, lists, pl.String)
            .str.json_decode(pl.List(pl.Int64 if isinstance(column.type, Integer) else pl.String))
            .explode(empty_as_null=False, keep_nulls=False)
            for (name, column), lists in zip(columns.items(), texts, strict=True)
        ]
    )
