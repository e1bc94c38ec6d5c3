"""A clock of each test's own, and a Prefect server that follows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.moved_clock import MONDAY, MovedClock
from support.prefect_server import PrefectServer, running

# How often Prefect looks around, in real seconds: its own intervals are made for a clock that nobody moves.
BUSY = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
}


@pytest.fixture
def clock(tmp_path: Path) -> MovedClock:
    """It begins on a Monday at seven in Kampala."""
    return MovedClock(tmp_path / "clock", MONDAY.replace(hour=7))


@pytest.fixture
def follower(clock: MovedClock, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that follows that clock, with a home of its own for Prefect."""
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "TMPDIR": str(tmp_path), "DO_NOT_TRACK": "1"}
    return {**clock.environment, **BUSY, **home}


@pytest.fixture
def engine(follower: dict[str, str], tmp_path: Path) -> Iterator[PrefectServer]:
    """What `mambo up` starts, on that clock."""
    with running(tmp_path / "up.log", Path(follower["PREFECT_HOME"]), follower) as server:
        yield server
