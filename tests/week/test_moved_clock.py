"""The clock that the week runs on: every process follows it while it runs."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mambo_io.window import KAMPALA
from support.moved_clock import MONDAY, MovedClock
from support.processes import run

READINGS = """
import json, time, subprocess, sys
from datetime import UTC, date, datetime
from time import time as imported
import pendulum
asked = "from datetime import UTC, datetime; print(datetime.now(UTC).timestamp())"
walls = {
    "time": time.time(),
    "imported time": imported(),
    "time_ns": time.time_ns() / 1e9,
    "clock_gettime": time.clock_gettime(time.CLOCK_REALTIME),
    "datetime": datetime.now(UTC).timestamp(),
    "pendulum": pendulum.now("Africa/Kampala").timestamp(),
    "a child": float(subprocess.check_output([sys.executable, "-c", asked])),
}
print(json.dumps([walls, time.monotonic(), time.gmtime()[:3], time.strftime("%F", time.gmtime())]))
"""


def test_all_that_tells_the_time_follows_and_what_measures_it_does_not(clock: MovedClock, tmp_path: Path) -> None:
    before, measured_before = clock.now(), time.monotonic()
    told = run(sys.executable, "-c", READINGS, cwd=tmp_path, env=clock.environment)
    assert told.returncode == 0, told.stderr
    walls, monotonic, day, day_in_words = json.loads(told.stdout)
    wrong = {name: at for name, at in walls.items() if not before.timestamp() <= at <= clock.now().timestamp()}
    assert wrong == {}
    assert measured_before <= monotonic <= time.monotonic()
    assert (day, day_in_words) == ([2030, 11, 4], "2030-11-04")


def test_it_moves_forwards_only_and_knows_what_it_showed(clock: MovedClock) -> None:
    real = datetime.now(UTC)
    clock.move_to(MONDAY + timedelta(days=1))
    assert clock.shown_at(real).date() == MONDAY.date()
    assert clock.now().astimezone(KAMPALA).date() == MONDAY.date() + timedelta(days=1)
    with pytest.raises(AssertionError, match="is over"):
        clock.move_to(MONDAY)
