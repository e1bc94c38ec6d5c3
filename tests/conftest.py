"""Fixtures for every test, and the walls around them: no other host, nothing of the person's own settings."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

import network_guard  # noqa: F401 - importing it is what puts it in place
from support import environment, postgres
from support.environment import REPOSITORY

if TYPE_CHECKING:
    from mambo_io import sandbox
    from support.browser import Browser

# Before any test module is imported: Prefect and others read their settings on import.
_HOME = Path(tempfile.mkdtemp(prefix="mambo-tests-"))
environment.isolate(os.environ, _HOME)

# A slow machine is no failure. Examples that failed are kept beside the code, not in the current folder.
hypothesis.settings.register_profile(
    "mambo",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    database=hypothesis.database.DirectoryBasedExampleDatabase(REPOSITORY / ".hypothesis" / "examples"),
)
hypothesis.settings.load_profile("mambo")


# What is ignored here, as under nohup, every process that a test starts would ignore as well.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _empty_current_folder() -> Iterator[None]:
    """Tests run in an empty folder, so that no `.env` or campaign file of the person's is read by accident."""
    folder = _HOME / "current-folder"
    folder.mkdir()
    with contextlib.chdir(folder):
        yield


@pytest.fixture(autouse=True)
def _no_outside_contact() -> Iterator[None]:
    """A test fails when it, or a process it started, tried to reach another host, even if the refusal was swallowed."""
    log = Path(os.environ["NETWORK_GUARD_LOG"])
    yield
    if log.exists():
        contacts = log.read_text(encoding="utf-8")
        log.unlink()
        pytest.fail(f"refused contacts with other hosts:\n{contacts}", pytrace=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A PostgreSQL server for all tests of this process."""
    with postgres.running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresServer) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty store of each kind: a test that asks for it runs once on each."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium for all tests of this process; the test is skipped where there is none."""
    from support.browser import running

    with running() as found:
        yield found


@pytest.fixture(scope="module")
def start_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., sandbox.SandboxHandle]]:
    """`start_sandbox(**options)` starts a sandbox in a folder of its own; all are stopped after the module's tests."""
    from mambo_io import sandbox

    with contextlib.ExitStack() as running:

        def start(**options: Any) -> sandbox.SandboxHandle:
            return running.enter_context(sandbox.running(tmp_path_factory.mktemp("sandbox"), **options))

        yield start
