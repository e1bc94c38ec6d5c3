"""What a store promises once it is open: a commit is on the disk, a reader sees one state, an error holds no number."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import stat
import traceback
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Select, event, func, insert, select, text

from mambo_io import result_rows, statements
from mambo_io import store as store_module
from mambo_io.errors import Stopped, StoreError
from mambo_io.ledger import REJECTED, Ledger
from mambo_io.planning import write_plan
from mambo_io.store import Store
from mambo_io.tables import suppressions
from support.ledgers import Run, execute, good_reply, msisdn, new_ledger, no_answer, plan


def asked(connection: Connection, *settings: str) -> dict[str, Any]:
    ask = "PRAGMA" if connection.dialect.name == "sqlite" else "SHOW"
    return {setting: connection.scalar(text(f"{ask} {setting}")) for setting in settings}


def test_a_commit_in_sqlite_is_on_the_disk(tmp_path: Path) -> None:
    """https://www.sqlite.org/pragma.html: synchronous 2 is FULL; fullfsync asks macOS to empty the drive's cache."""
    with Store(str(tmp_path / "ledger.db"), create=True) as store, store.writer() as connection:
        assert asked(connection, "journal_mode", "synchronous", "fullfsync", "foreign_keys") == {
            "journal_mode": "wal",
            "synchronous": 2,
            "fullfsync": 1,
            "foreign_keys": 1,
        }


def test_a_commit_in_postgresql_is_on_the_disk_and_a_lost_client_is_noticed(postgres_url: str) -> None:
    execute(
        postgres_url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
    )
    with Store(postgres_url, create=True) as store, store.writer() as connection:
        keepalives = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        assert asked(connection, "synchronous_commit", *keepalives) == {
            "synchronous_commit": "on",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "25000",
        }
        client = connection.connection.dbapi_connection
        assert isinstance(client, psycopg.Connection)
        assert client.info.get_parameters()["tcp_user_timeout"] == "25000"  # the other way round


def test_a_ledger_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with Store(str(tmp_path / "ledger.db"), create=True) as store, store.writer() as connection:
        write_plan(connection, plan(1), who="tester")
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert files == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(suppressions)) or 0


OPT_OUT = {"msisdn": msisdn(1), "campaign_id": 0, "since_us": 0, "source": "phone call"}


def test_a_reader_sees_one_state_and_may_not_write(store: Store, connection: Connection) -> None:
    with store.reader() as reader:
        assert count(reader) == 0
        with connection.begin():
            connection.execute(insert(suppressions), OPT_OUT)
        assert count(reader) == 0, "as when it began to read"
    with store.reader() as reader:
        assert count(reader) == 1
    with pytest.raises(StoreError, match=r"readonly|read-only"), store.reader() as reader:
        reader.execute(insert(suppressions), OPT_OUT)


def test_what_another_program_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BUSY_TIMEOUT_MS", 50)
    path = new_ledger(tmp_path / "ledger.db")
    with contextlib.closing(sqlite3.connect(path)) as other, Store(str(path)) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked\. Another program holds the database"):
            store.writer().__enter__()
        assert Ledger(store).get("clinic-day").rows == 3, "reading goes on"


@pytest.mark.parametrize("values", [OPT_OUT, OPT_OUT | {"source": None}], ids=["twice the same", "a value is missing"])
def test_what_the_database_says_holds_no_number(store: Store, values: dict[str, object]) -> None:
    with store.writer() as connection, connection.begin():
        connection.execute(insert(suppressions), OPT_OUT)
    with pytest.raises(Stopped) as caught, store.writer() as connection, connection.begin():
        connection.execute(insert(suppressions), values)
    told = "".join(traceback.format_exception(caught.value))
    assert caught.value.message.startswith(f"{store.name}: ")
    assert "constraint" in told
    assert str(OPT_OUT["msisdn"]) not in told
    assert "\n" not in caught.value.message


def test_what_the_database_is_told_is_logged_without_its_values(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sqlalchemy.engine")
    with Store(store_url, create=True) as store, store.writer() as connection, connection.begin():
        connection.execute(insert(suppressions), OPT_OUT)
    assert "INSERT INTO suppressions" in caplog.text
    assert str(OPT_OUT["msisdn"]) not in caplog.text


# --- backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_is_what_was_committed_while_somebody_writes(tmp_path: Path) -> None:
    with Store(str(tmp_path / "ledger.db"), create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(3, 2, 1))
        first, second = run.claim(2)
        run.settle(first, good_reply(first))
        before = Ledger(store).results(run.campaign)
        with connection.begin():
            connection.execute(insert(suppressions), OPT_OUT)
            store.backup(tmp_path / "copy.db")
        run.settle(second, no_answer())

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with Store(str(tmp_path / "copy.db")) as copy:
        assert Ledger(copy).results(run.campaign).equals(before)
        with copy.reader() as reader:
            assert count(reader) == 0
    with Store(str(tmp_path / "copy.db")) as copy, copy.writer() as connection:
        assert Run(connection, Ledger(copy).get("clinic-day")).orphans == 1, "a copy can be gone on with"


def test_a_backup_overwrites_nothing(tmp_path: Path, postgres_url: str) -> None:
    with Store(str(new_ledger(tmp_path / "ledger.db"))) as store:
        (tmp_path / "copy.db").write_text("mine", encoding="utf-8")
        with pytest.raises(
            StoreError, match=r"copy.db: the backup cannot be created \(File exists\). Name a new file."
        ):
            store.backup(tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text(encoding="utf-8") == "mine"
        with pytest.raises(StoreError, match=r"the backup cannot be created \(No such file or directory\)"):
            store.backup(tmp_path / "missing" / "copy.db")
    with Store(postgres_url, create=True) as store, pytest.raises(StoreError, match=r"Use pg_dump\."):
        store.backup(tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()


def test_a_backup_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    with Store(str(new_ledger(tmp_path / "ledger.db"))) as store, store.reader() as reader:
        assert count(reader) == 0
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))  # no file may grow beyond this
        try:
            with pytest.raises(StoreError, match=r"copy\.db: the backup failed \(.*\)\. Free some space there\.$"):
                store.backup(tmp_path / "copy.db")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("copy")]


def test_what_is_asked_for_is_found_in_sqlite_without_walking_past_all_the_rest(tmp_path: Path) -> None:
    """https://www.sqlite.org/eqp.html; walking would make every claim slower than the one before, and every piece."""
    said: list[tuple[str, Any]] = []
    with Store(str(new_ledger(tmp_path / "ledger.db"))) as store, store.reader() as connection:
        event.listen(connection, "before_cursor_execute", lambda *execution: said.append(execution[2:4]))

        def how(statement: Select[Any], **values: object) -> str:
            connection.execute(statement, {"the_campaign": 1, **values})
            sql, parameters = said[-1]
            return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()[0].detail)

        by_state = "SEARCH chunks USING INDEX chunks_by_state (campaign_id=? AND state=?)"
        assert how(statements.PLANNED, most=4) == by_state
        assert how(statements.PLANNED_CANARIES, most=1) == by_state
        by_chunk = "SEARCH recipients USING COVERING INDEX recipients_of_chunk (campaign_id=? AND chunk=?)"
        assert how(statements.PEOPLE, the_chunk=1) == by_chunk

        by_row = "USING PRIMARY KEY (campaign_id=? AND row>? AND row<?)"
        assert how(result_rows.SELECT_PEOPLE, first=1, end=3) == f"SEARCH recipients {by_row}"
        assert how(result_rows.SELECT_EXCEPTIONS, first=1, end=3) == f"SEARCH recipient_exceptions {by_row}"
        by_name = "SEARCH chunks USING PRIMARY KEY (campaign_id=? AND chunk=?)"
        assert how(result_rows.SELECT_CALLS, chunks="[1]") == by_name
        by_reason = "SEARCH recipients USING COVERING INDEX rejected_recipients (campaign_id=? AND reason>?)"
        assert how(REJECTED) == by_reason
