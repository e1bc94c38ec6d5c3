"""A ledger to write to: each test that asks for it runs once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from mambo_io.store import Store
from mambo_io.tables import metadata, results
from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite ledger without a campaign, to be copied: creating the tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Store(str(path), create=True).close()
    return path


@pytest.fixture(scope="session")
def ledger_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of one PostgreSQL database for the ledgers of all tests, for the same reason."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store that holds an empty ledger."""
    if request.param == "sqlite":
        url = str(shutil.copy(request.getfixturevalue("empty_ledger"), tmp_path))
    else:
        url = request.getfixturevalue("ledger_database")
    with Store(url, create=True) as store:
        if not store.is_sqlite:
            tables = ", ".join(name for name in metadata.tables if name not in ("ledger_meta", results.name))
            with store.writer() as connection, connection.begin():
                connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        yield store


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.writer() as connection:
        yield connection
