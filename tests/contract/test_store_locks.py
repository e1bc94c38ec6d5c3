"""One sender a campaign: the lock is refused to others at once, kept by a stopped process, and lost by a killed one."""

from __future__ import annotations

import getpass
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import text

from mambo_io.errors import Stopped, StoreError
from mambo_io.ledger import Ledger
from mambo_io.store import Store, StoreBusy
from support.ledgers import Run, plan
from support.processes import run, started

HOLDER = """
import sys, time
from mambo_io.store import Store
with Store(sys.argv[1]) as store, store.writer() as connection, store.lock("clinic-day/1", connection):
    print("locked", flush=True)
    time.sleep(600)
"""


ANOTHER_USER = """
import os, sys
from mambo_io.errors import StoreError
from mambo_io.store import Store
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    store = Store(sys.argv[1])
    try:
        print(store.holder("clinic-day/1"))
    except StoreError:
        pass
    with store.locked_writer("clinic-day/1"):
        print("locked")
except StoreError as error:
    print(error.exit_code, error)
"""


def lock_is_free(store: Store, name: str = "clinic-day/1") -> bool:
    with store.writer() as connection:
        try:
            with store.lock(name, connection):
                assert store.holder(name) is not None
        except StoreBusy:
            return False
    assert store.holder(name) is None
    return True


def test_a_lock_is_held_once_and_others_beside_it(store: Store) -> None:
    with store.writer() as connection, store.lock("clinic-day/1", connection):
        assert not lock_is_free(store)
        assert lock_is_free(store, "clinic-day/2")
        assert lock_is_free(store, "flour-day/1")
        with store.writer() as second, store.lock("flour-day/1", second):
            assert not lock_is_free(store, "flour-day/1")
        Run.of(connection, plan(1)).claim_one()
        assert not lock_is_free(store), "held from the plan to the last call, over any number of commits"
    assert lock_is_free(store)


def test_a_lock_is_given_back_when_the_work_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writer() as connection, store.lock("clinic-day/1", connection):
        raise ZeroDivisionError
    assert lock_is_free(store)


def test_who_comes_second_is_told_at_once_and_what_to_do(store: Store) -> None:
    with store.writer() as connection, store.lock("clinic-day/1", connection):
        told = (
            rf"^another process is sending clinic-day/1: {getpass.getuser()} on \S+, since \S+ \d\d:\d\d in Kampala\. "
            r"Wait until it ends, or stop it there\.$"
        )
        with store.writer() as second, pytest.raises(StoreBusy, match=told), store.lock("clinic-day/1", second):
            pytest.fail("two senders of one campaign")
        assert re.fullmatch(
            rf"{getpass.getuser()} on \S+, since \S+ \d\d:\d\d in Kampala", store.holder("clinic-day/1") or ""
        )


def test_a_stopped_process_keeps_its_lock_and_a_killed_one_loses_it(store_url: str, tmp_path: Path) -> None:
    with (
        Store(store_url, create=True) as store,
        started(sys.executable, "-c", HOLDER, store_url, cwd=tmp_path) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert not lock_is_free(store)
        holder.send_signal(signal.SIGSTOP)
        assert not lock_is_free(store), "nobody takes over from a sender that is only frozen"
        holder.send_signal(signal.SIGCONT)
        assert not lock_is_free(store)
        holder.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not lock_is_free(store):  # PostgreSQL notices a moment later
            assert time.monotonic() < deadline, "a killed process still holds its lock after a minute"
            time.sleep(0.01)


@pytest.mark.parametrize(("ahead_s", "refused"), [(-3, True), (0.1, False), (3, True)])
def test_a_machine_whose_clock_is_not_the_servers_does_not_send(
    ahead_s: float, refused: bool, postgres_url: str
) -> None:
    """The server's clock is set by a function of that name that is found before its own."""
    with Store(postgres_url, create=True) as store:
        with store.writer() as connection, connection.begin():
            body = f"SELECT pg_catalog.clock_timestamp() + interval '{ahead_s} s'"
            connection.execute(
                text(f"CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ {body} $$")
            )
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f"ALTER DATABASE {name} SET search_path = public, pg_catalog"))
        told = r"this machine's clock and the database server's differ by \d\.\d s\. Let both be set by a time server"
        expected = pytest.raises(StoreError, match=told) if refused else nullcontext()
        with expected, store.locked_writer("clinic-day/1"):
            pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("shared", [False, True], ids=["as it is made", "made open to all"])
def test_another_user_of_the_machine_is_refused(shared: bool) -> None:
    """Whether the ledger is for its owner alone, as it is made, or somebody gave everybody the right to write it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        path = Path(folder) / "ledger.db"
        with Store(str(path), create=True) as store, store.locked_writer("clinic-day/1"):
            if shared:
                for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                    each.chmod(0o666)
            said = run(sys.executable, "-c", ANOTHER_USER, str(path), cwd=Path(folder)).stdout
    assert said.startswith("2 "), said


def test_the_file_of_a_lock_stays(tmp_path: Path) -> None:
    """Deleting it would let two processes hold locks on two files of one name."""
    with Store(str(tmp_path / "ledger.db"), create=True) as store:
        assert lock_is_free(store)
        [file] = (tmp_path / "ledger.db.locks").iterdir()
        inode = file.stat().st_ino
        assert lock_is_free(store)
        assert [each.stat().st_ino for each in (tmp_path / "ledger.db.locks").iterdir()] == [inode]


def test_a_lost_connection_ends_the_run_and_frees_the_lock(postgres_url: str) -> None:
    """In PostgreSQL the lock lives with the connection that does every write, so neither outlives the other."""

    def send_and_lose_the_connection() -> None:
        with store.writer() as connection, store.lock("clinic-day/1", connection):
            run = Run.of(connection, plan(1, 1))
            run.claim_one()
            with store.writer() as other, other.begin():
                other.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            run.claim_one()

    with Store(postgres_url, create=True) as store:
        with pytest.raises(Stopped, match=r"^postgresql\+psycopg://mambo:\*\*\*@.*the connection is lost"):
            send_and_lose_the_connection()
        assert lock_is_free(store)
        with store.writer() as connection:
            assert Run(connection, Ledger(store).get("clinic-day")).orphans == 1
