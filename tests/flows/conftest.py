"""One real Prefect server for all tests of the engine: its first start migrates a database, which takes many seconds.

All of them belong into `pytest.mark.xdist_group("engine")`, so that one worker runs them and one server is started.
PREFECT_HOME lies in the tests' own home folder, for this process and for those that it starts.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from support.prefect_server import PrefectServer
from support.processes import MAMBO


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """What `mambo up` starts. No Prefect setting names it."""
    log = tmp_path_factory.mktemp("up") / "up.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [*MAMBO, "up", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MAMBO_API_KEY": "a-secret-of-the-account"},
        ) as process,
    ):
        try:
            yield PrefectServer(f"{_address(process, log)}/api", get_current_settings().home, process.pid)
            for handler in logging.getLogger("prefect.flow_runs").handlers:
                handler.flush()  # what the runs in this process logged
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()


@pytest.fixture
def engine(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """That server as the one of this process' Prefect settings, and of the processes that it starts."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    with temporary_settings({PREFECT_API_URL: prefect_server.url}):
        yield prefect_server


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that it prints when it is ready."""
    while process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("Prefect: "):
                return line.removeprefix("Prefect: ")
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))
