"""One real Prefect server for all tests of the engine: its first start migrates a database, which takes many seconds.

All of them belong into `pytest.mark.xdist_group("engine")`, so that one worker runs them and one server is started.
PREFECT_HOME lies in the tests' own home folder, for this process and for those that it starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from pipelines.engine import serving
from support.prefect_server import PrefectServer


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[PrefectServer]:
    """A server that nobody's settings name."""
    with serving(ui=False) as url:
        yield PrefectServer(url, get_current_settings().home)


@pytest.fixture
def engine(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """That server as the one of this process' Prefect settings, and of the processes that it starts."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    with temporary_settings({PREFECT_API_URL: prefect_server.url}):
        yield prefect_server
