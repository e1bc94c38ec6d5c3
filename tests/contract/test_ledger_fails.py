"""The ledger fails while a campaign is sent: nothing more is sent, no reply is lost, and the next run goes on rightly.

Each trouble is a real one, made when two calls are out. `mambo send` then ends with a line that says what to do; after
the repair the same command completes the campaign, with nobody in doubt and nobody messaged twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, func, make_url, select

from mambo_io import store as store_module
from mambo_io.errors import Stopped, StoreError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import Verdict
from mambo_io.planning import write_plan
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.sender import Sender
from mambo_io.settings import data_folder
from mambo_io.store import Store
from mambo_io.tables import attempts, events
from pipelines import sending
from pipelines.opening import open_ledger
from pipelines.prepare import prepare
from pipelines.runs import begun_edition, send_edition
from pipelines.sending import Progress
from pipelines.summary import CampaignSummary
from support.checker import check
from support.ledgers import NOON, plan, rows_of
from support.lists import campaign_of
from support.postgres import PostgresServer
from support.sandboxed import people, rows, settings

PEOPLE = 60
CALLS_BEFORE = 2  # that came back before the trouble begins
_BLOCKS = iter(range(99))


class Case:
    """A campaign of its own people in calls of three, two at a time, and its ledger."""

    def __init__(self, folder: Path, api: SandboxHandle, store: str) -> None:
        self.api, self.folder, self.store = api, folder, store
        block = next(_BLOCKS)
        limits = 'window = "any"\ncalls_per_second = 0\nchunk_size = 3\ncanary_size = 3\nconcurrency = 2'
        name = f"case-{block}"
        self.campaign = campaign_of(
            folder, people(PEOPLE, block=block), name=name, message=f"Hello, {name}.", sections=f"[sending]\n{limits}"
        )
        self._before = api.calls().height

    @property
    def ledger(self) -> Path:
        return Path(self.store)

    def send(self, **options: Any) -> CampaignSummary:
        """As `mambo send --direct` does."""
        api = settings(self.api, self.store)
        ledger = open_ledger(api)
        prepared = None
        if begun_edition(ledger, self.campaign, "1", api) is None:
            prepared = prepare(self.campaign, edition="1", account=api.account, ledger=ledger)
        return send_edition(self.campaign, api, edition="1", prepared=prepared, command="mambo send", **options)

    def send_into(self, trouble: Callable[[], object]) -> str:
        """Send, and make trouble while calls are out; returns what is said in the end. No call is made after it."""
        made_before_it: list[int] = []

        def on_progress(progress: Progress, _: CampaignRow) -> None:
            if progress.calls >= CALLS_BEFORE and not made_before_it:
                made_before_it.append(self._calls_begun())
                trouble()

        with pytest.raises(Stopped) as stopped:
            self.send(on_progress=on_progress)
        assert stopped.value.exit_code == 3
        assert self.calls_made() <= made_before_it[0] + self.slack
        return stopped.value.message

    slack = 0  # commits that a trouble may let pass before it is felt

    def _calls_begun(self) -> int:
        with Store(self.store) as store, store.reader() as connection:
            return connection.scalar(select(func.count()).select_from(attempts)) or 0

    def calls_made(self) -> int:
        return self.api.calls().height - self._before

    def check(self, *, complete: bool = True, most_unknown: int = 0) -> None:
        check(
            self.store,
            self.api,
            self.campaign.name,
            rows=rows(PEOPLE),
            complete=complete,
            most_unknown=most_unknown,
        )

    def side_files(self) -> list[Path]:
        folder = data_folder() if "://" in self.store else self.ledger.parent
        return list(folder.glob("*replies-*"))

    def goes_on(self) -> None:
        """The same command again: everybody got the message once, and nobody is in doubt."""
        stood_aside = any(b'"attempt"' in path.read_bytes() for path in self.side_files())
        summary = self.send()
        assert (summary.state, summary.outcomes) == ("complete", {"accepted": PEOPLE})
        self.check()
        with Store(self.store) as store:
            happened = {row["kind"] for row in rows_of(store, events)}
        assert ("replies_recorded" in happened) == stood_aside, "not told by the money: by the replies themselves"
        assert self.side_files() == [], "what was kept aside is recorded"


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000)


@pytest.fixture
def api(running_sandbox: SandboxHandle) -> SandboxHandle:
    running_sandbox.set_faults([Delay(after_s=0.03, times=None)])  # so that calls are out
    return running_sandbox


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LEDGER_PAUSE_S", 0.02)
    monkeypatch.setattr(sending, "_LEDGER_PATIENCE_S", 0.2)
    monkeypatch.setattr(store_module, "_BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def case(tmp_path: Path, api: SandboxHandle, empty_ledger: Path) -> Case:
    return Case(tmp_path, api, str(shutil.copy(empty_ledger, tmp_path)))


@pytest.fixture
def connections() -> Iterator[list[Any]]:
    """Every connection that a store opens, the newest last: the sender's own among them."""
    opened: list[Any] = []

    def on_connect(connection: Any, _: object) -> None:
        opened.append(connection)

    event.listen(Engine, "connect", on_connect)
    yield opened
    event.remove(Engine, "connect", on_connect)


def writers(connections: list[Any]) -> list[sqlite3.Connection]:
    """Those that are open, and may write."""
    found = []
    for connection in connections:
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed
            if connection.execute("PRAGMA fullfsync").fetchone() == (1,):
                found.append(connection)
    return found


# --- SQLite ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small disk in memory, which root can mount."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; another test refuses what is written without one")
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        yield disk


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def test_the_disk_is_full(small_disk: Path, api: SandboxHandle, empty_ledger: Path) -> None:
    case = Case(small_disk, api, str(shutil.copy(empty_ledger, small_disk)))
    case.slack = 3  # SQLite's log has some room left from its last page
    said = case.send_into(lambda: fill(small_disk))
    assert "disk is full. Free some space; nothing was lost." in said or "disk I/O error" in said
    assert "2 calls came to stands in" in said
    (small_disk / "filler").unlink()
    case.goes_on()


def test_the_disk_is_full_before_the_first_call(small_disk: Path, api: SandboxHandle, empty_ledger: Path) -> None:
    case = Case(small_disk, api, str(shutil.copy(empty_ledger, small_disk)))
    (small_disk / "filler").write_bytes(bytes(7_300_000))  # the plan has room, the side file has none
    with pytest.raises(StoreError, match=r"no room could be taken for replies .*\. Free some space there; nothing"):
        case.send()
    assert case.calls_made() == 0
    (small_disk / "filler").unlink()
    case.goes_on()


def test_the_ledger_may_not_grow(case: Case, connections: list[Any]) -> None:
    def no_more_pages() -> None:
        for connection in writers(connections):
            connection.execute("PRAGMA max_page_count = 1")  # as many as there are

    case.slack = 20  # until the pages that there are have no room
    said = case.send_into(no_more_pages)
    assert "database or disk is full. Free some space; nothing was lost." in said
    case.goes_on()


def test_the_ledger_becomes_read_only(case: Case, connections: list[Any]) -> None:
    def read_only() -> None:
        for connection in writers(connections):
            connection.execute("PRAGMA query_only = ON")

    said = case.send_into(read_only)
    assert "attempt to write a readonly database. Make the store writable" in said
    assert "stands in" in said
    case.goes_on()


def test_another_program_holds_the_ledger(case: Case) -> None:
    with contextlib.closing(sqlite3.connect(case.ledger, check_same_thread=False)) as other:
        said = case.send_into(lambda: other.execute("BEGIN IMMEDIATE"))
        assert "database is locked. Another program holds the database; close it and try again." in said
        other.rollback()
    case.goes_on()


def test_what_passes_in_time_stops_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LEDGER_PATIENCE_S", 60)
    with contextlib.closing(sqlite3.connect(case.ledger, check_same_thread=False)) as other:
        held: list[threading.Timer] = []

        def hold(progress: Progress, _: CampaignRow) -> None:
            if progress.calls >= CALLS_BEFORE and not held:
                other.execute("BEGIN IMMEDIATE")
                held.append(threading.Timer(0.4, other.rollback))
                held[0].start()

        summary = case.send(on_progress=hold)
        held[0].join()
    assert summary.outcomes == {"accepted": PEOPLE}
    case.check()
    assert case.side_files() == []


def test_its_log_is_deleted(case: Case) -> None:
    said = case.send_into(Path(f"{case.ledger}-wal").unlink)
    assert f"{case.ledger.name}-wal was deleted while it was in use" in said
    assert "mambo store restore FILE" in said
    case.goes_on()  # SQLite still had the log open, and put it into the file when it closed


def test_it_is_cut_short(case: Case) -> None:
    said = case.send_into(lambda: os.truncate(case.ledger, 20_000))
    assert "was cut short while it was in use" in said
    assert "stands in" in said
    made = case.calls_made()
    with pytest.raises(
        StoreError, match=r"(malformed|cut short)\. .*Put a backup in its place: mambo store restore FILE\."
    ):
        case.send()
    assert case.calls_made() == made


def test_killed_while_its_log_was_copied_into_it_a_ledger_is_good(tmp_path: Path, empty_ledger: Path) -> None:
    """The head is copied first: until the rest follows, the file is shorter than that says, and the log holds it."""
    path = Path(shutil.copy(empty_ledger, tmp_path))
    with Store(str(path)) as store, store.writer() as connection:
        write_plan(connection, plan(*[20] * 200), who="tester")
        before = path.read_bytes()
        for name in ("torn.db-wal", "torn.db"):
            shutil.copy(path.with_name(path.name + name.removeprefix("torn.db")), tmp_path / name)
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint")
        (tmp_path / "torn.db").write_bytes(path.read_bytes()[:4096] + before[4096:])
    with Store(str(tmp_path / "torn.db")) as torn:
        assert Ledger(torn).get("clinic-day").rows == 4000


@pytest.mark.parametrize("with_its_log", [False, True], ids=["its log stays", "its log is moved as well"])
def test_an_older_copy_is_put_in_its_place(case: Case, with_its_log: bool) -> None:
    with Store(case.store) as store:
        store.backup(case.folder / "old.db")
    log, newest, newest_log = (Path(f"{case.ledger}-wal"), case.folder / "newest.db", case.folder / "newest.db-wal")

    def replace() -> None:
        case.ledger.rename(newest)
        shutil.copy(case.folder / "old.db", case.ledger)
        if with_its_log:
            log.rename(newest_log)

    said = case.send_into(replace)
    assert "while it was in use. Put back what was there and send again" in said
    if with_its_log:
        told = (
            r"is an older copy of the ledger: it ends with call 0, and \d+ were made. Put the newest one in its place"
        )
    else:
        told = (
            r"the file was replaced, but the log of the one before, ledger\.db-wal, still lies beside it. Put the one b"
        )
    made = case.calls_made()
    with pytest.raises(StoreError, match=told):
        case.send()
    assert case.calls_made() == made

    newest.rename(case.ledger)
    if with_its_log:
        newest_log.rename(log)
    case.goes_on()


# --- another sender --------------------------------------------------------------------------------------------------


def test_a_sender_that_is_replaced_waits_for_its_calls_and_keeps_what_they_came_to(
    tmp_path: Path, api: SandboxHandle, store_url: str
) -> None:
    case = Case(tmp_path, api, store_url)

    def take_over() -> None:
        with Store(store_url) as store, store.writer() as connection:
            Sender(connection, Ledger(store).get(case.campaign.name), run="other", who="tester").start(NOON)

    said = case.send_into(take_over)
    assert "was taken over by another process" in said
    with Store(store_url) as store:
        left = [row for row in rows_of(store, attempts) if row["verdict"] is Verdict.UNKNOWN]
    assert len(left) == 2
    assert [row["http_status"] for row in left] == [200, 200], "evidence; what it means is not this process's to say"
    case.check(complete=False, most_unknown=2)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def administrator(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    )


def end_every_connection(url: str) -> None:
    with administrator(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_connection_is_lost(tmp_path: Path, api: SandboxHandle, postgres_url: str) -> None:
    case = Case(tmp_path, api, postgres_url)
    said = case.send_into(lambda: end_every_connection(postgres_url))
    assert "What was recorded stands; start the same command again. What 2 calls came to stands in" in said
    assert str(make_url(postgres_url).password) not in said
    case.goes_on()


def test_the_server_is_restarted(tmp_path: Path, api: SandboxHandle, postgres_url: str) -> None:
    """As after a crash: a backend that is killed makes the server end all of them and recover."""
    case = Case(tmp_path, api, postgres_url)

    def crash() -> None:
        with administrator(postgres_url) as connection:
            os.kill(connection.info.backend_pid, 9)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(psycopg.OperationalError):
                    connection.execute("SELECT 1")
                    continue
                break

    case.send_into(crash)
    deadline = time.monotonic() + 60
    while True:
        try:
            administrator(postgres_url).close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server did not come back within a minute"
            time.sleep(0.05)
    case.goes_on()


def test_the_server_may_only_be_read(tmp_path: Path, api: SandboxHandle, postgres_url: str) -> None:
    """As when it became a standby. The connection lives, so it is tried again, and nothing is lost."""
    case = Case(tmp_path, api, postgres_url)

    def set_read_only(value: str) -> None:
        with administrator(postgres_url) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)

    case.slack = 4  # each session looks at new settings in its own time
    try:
        said = case.send_into(lambda: set_read_only("on"))
    finally:
        set_read_only("off")
    assert "read-only transaction. Make the store writable" in said
    case.goes_on()


@pytest.fixture
def small_server_disk(postgres_server: PostgresServer, postgres_url: str) -> Iterator[Path]:
    """A disk of sixteen megabytes on which the ledger's database lies; the server's log of changes stays elsewhere."""
    Store(postgres_url, create=True).close()
    with administrator(postgres_url) as connection:
        connection.execute("ALTER TABLE attempts SET (fillfactor = 10)")  # so that it has to grow for every few calls
    owner, database = postgres_server.folder.stat(), make_url(postgres_url).database
    options = f"size=16m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    with (
        mounted(postgres_server.folder / "disk", options) as disk,
        administrator(postgres_server.url("postgres")) as connection,
    ):
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        connection.execute(f"ALTER DATABASE {database} SET TABLESPACE small")
        yield disk
        connection.execute(f"ALTER DATABASE {database} SET TABLESPACE pg_default")
        connection.execute("DROP TABLESPACE small")


def test_the_servers_disk_is_full(
    tmp_path: Path, api: SandboxHandle, postgres_url: str, small_server_disk: Path
) -> None:
    case = Case(tmp_path, api, postgres_url)
    case.slack = 4  # there is some room left in the table's last page
    said = case.send_into(lambda: fill(small_server_disk))
    assert "No space left on device. Free some space; nothing was lost." in said
    (small_server_disk / "filler").unlink()
    case.goes_on()


def test_the_server_says_that_its_disk_is_full(tmp_path: Path, api: SandboxHandle, postgres_url: str) -> None:
    """It takes what calls came to, which has room in the pages that there are, but no new call."""
    case = Case(tmp_path, api, postgres_url)
    refuse = """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device';
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON attempts EXECUTE FUNCTION refuse();
    """

    def be_full() -> None:
        with administrator(postgres_url) as connection:
            connection.execute(refuse)

    said = case.send_into(be_full)
    assert "No space left on device. Free some space; nothing was lost." in said
    with administrator(postgres_url) as connection:
        connection.execute("DROP FUNCTION refuse CASCADE")
    case.goes_on()


class CuttingProxy:
    """Stands between the ledger and its server, and cuts the next COMMIT of a sender once it is armed."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed: str | None = None  # "before" or "after" the server has it
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for pump in (self._forth, self._back):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := client.recv(65536):
                if self.armed and b"COMMIT" in said:
                    when, self.armed = self.armed, None
                    if when == "after":
                        client.shutdown(socket.SHUT_RDWR)  # nobody hears the answer
                        server.sendall(said)
                        server.recv(65536)  # it is done
                    break
                server.sendall(said)
        _cut(client, server)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := server.recv(65536):
                client.sendall(said)
        _cut(client, server)


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@pytest.mark.parametrize("outcome", ["before", "after"])
def test_the_connection_is_cut_in_the_commit(
    outcome: str, tmp_path: Path, api: SandboxHandle, postgres_url: str
) -> None:
    """Nobody can know whether the server did it. Either way nobody is in doubt, nor messaged twice."""
    url = make_url(postgres_url)
    assert url.port is not None
    proxy = CuttingProxy(url.port)
    try:
        case = Case(tmp_path, api, url.set(port=proxy.port).render_as_string(hide_password=False))
        case.send_into(lambda: setattr(proxy, "armed", outcome))
        assert proxy.armed is None
        case.check(complete=False, most_unknown=0)
        case.goes_on()
        with Store(case.store) as store:
            reasons = [row["reason"] for row in rows_of(store, attempts)]
        # What the server did of it are intents of calls that were never begun; the run told the next one so.
        assert ("never_begun" in reasons) == (outcome == "after")
    finally:
        proxy.close()
