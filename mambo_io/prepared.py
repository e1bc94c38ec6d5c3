"""Core statements compiled once for a connection and run by its driver.

SQLAlchemy's own bookkeeping takes some 40 microseconds an execution, SQLite's work 3 to 9 of them. A sender runs a
dozen statements for each call, so it runs them here. Transactions stay SQLAlchemy's, and so does what is rare.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ClauseElement, Connection
from sqlalchemy.sql.compiler import SQLCompiler


class Prepared:
    """Runs statements inside the open transaction of `connection`, from one thread at a time.

    `fixed` are values that any statement may ask for. Values come and go as the driver knows them: a StrEnum is bound
    as its value and read back as text, a boolean of SQLite is read as 0 or 1. What the driver raises is its own error
    (`sqlite3.Error`, `psycopg.Error`).
    """

    def __init__(self, connection: Connection, **fixed: Any) -> None:
        self.connection = connection
        self._cursor = connection.connection.cursor()
        self._fixed = fixed
        self._known: dict[ClauseElement, _Statement] = {}

    def execute(self, statement: ClauseElement, **values: Any) -> int:
        """Run a statement that returns nothing; how many rows it changed."""
        self._run(statement, values)
        return int(self._cursor.rowcount)

    def tuples(self, statement: ClauseElement, **values: Any) -> list[tuple[Any, ...]]:
        """All rows, as plain tuples: for many."""
        self._run(statement, values)
        return list(self._cursor.fetchall())

    def rows(self, statement: ClauseElement, **values: Any) -> list[Any]:
        """All rows, as named tuples."""
        make_row = self._run(statement, values).row_maker(self._cursor.description)
        return [make_row(row) for row in self._cursor.fetchall()]

    def one(self, statement: ClauseElement, **values: Any) -> Any:
        """The only row, as a named tuple."""
        (row,) = self.rows(statement, **values)
        return row

    def _run(self, statement: ClauseElement, values: dict[str, Any]) -> _Statement:
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = _Statement(statement, self.connection, self._fixed)
        self._cursor.execute(known.sql, known.bound(values))
        return known


class _Statement:
    """The SQL of one statement, what it binds, and the type of its rows."""

    def __init__(self, statement: ClauseElement, connection: Connection, fixed: Mapping[str, Any]) -> None:
        compiled = statement.compile(dialect=connection.dialect)
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        literals = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        self._known = {**fixed, **literals}
        # A statement of one parameter would get it bare, so the first is picked once more and cut off.
        self._pick = itemgetter(*compiled.positiontup[:1], *compiled.positiontup) if compiled.positiontup else None
        self._make_row: Callable[[Sequence[Any]], Any] | None = None

    def bound(self, values: dict[str, Any]) -> Any:
        """What the driver binds: a tuple in the order of the question marks, or a mapping where it takes names."""
        known = self._known | values
        return known if self._pick is None else self._pick(known)[1:]

    def row_maker(self, description: Sequence[Sequence[Any]]) -> Callable[[Sequence[Any]], Any]:
        if self._make_row is None:
            row_type: Any = namedtuple("Row", [column[0] for column in description])  # type: ignore[misc]  # the names are known only now
            self._make_row = row_type._make
        return self._make_row
