"""Many rows into one table: through the driver, for SQLAlchemy takes longer over a row than the database does."""

from __future__ import annotations

import polars as pl
from sqlalchemy import Connection, Table


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
