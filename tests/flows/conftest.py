"""One real Prefect server for all tests of the engine: its first start migrates a database, which takes many seconds.

All of them belong into `pytest.mark.xdist_group("engine")`, so that one worker runs them and one server is started.
PREFECT_HOME lies in the tests' own home folder, for this process and for those that it starts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from support.prefect_server import PrefectServer, running


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """What `mambo up` starts. No Prefect setting names it."""
    log = tmp_path_factory.mktemp("up") / "up.log"
    with running(log, get_current_settings().home) as server:
        yield server
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()  # what the runs in this process logged


@pytest.fixture
def engine(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """That server as the one of this process' Prefect settings, and of the processes that it starts."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    with temporary_settings({PREFECT_API_URL: prefect_server.url}):
        yield prefect_server
