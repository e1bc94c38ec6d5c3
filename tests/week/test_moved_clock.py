"""The clock that the week runs on: every process follows it while it runs, and schedules and windows keep to it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.window import KAMPALA
from support.checker import check
from support.lists import campaign_of
from support.moved_clock import MONDAY, MovedClock
from support.prefect_server import PrefectServer
from support.processes import MAMBO, mambo, run, started
from support.sandboxed import environment, people, rows

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

SERVED = """
from prefect import flow
from prefect.schedules import Cron

@flow(flow_run_name="morning")
def in_the_morning():
    pass

if __name__ == "__main__":
    in_the_morning.serve("daily", schedule=Cron("0 9 * * *", timezone="Africa/Kampala"))
"""

PEOPLE = 20
ONE_BY_ONE = "[sending]\nchunk_size = 1\ncanary_size = 1\nconcurrency = 1\ncalls_per_second = 0"


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


def test_a_schedule_of_nine_in_the_morning_runs_each_day(
    engine: PrefectServer, clock: MovedClock, follower: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(SERVED, encoding="utf-8")
    settings = {**follower, "PREFECT_API_URL": engine.url}

    def is_scheduled(at: datetime) -> bool:
        return at in {moment(each, "expected_start_time") for each in engine.runs_of("in-the-morning/daily")}

    def is_done(times: int) -> bool:
        return [each["state_name"] for each in engine.runs("morning")] == ["Completed"] * times

    nine = [MONDAY + timedelta(days=day, hours=9) for day in range(3)]
    with started(sys.executable, "served.py", cwd=tmp_path, env=settings) as runner:
        for times, at in enumerate(nine, start=1):
            wait_until(partial(is_scheduled, at))
            clock.move_to(at - timedelta(seconds=2))
            wait_until(partial(is_done, times))
        assert runner.poll() is None

    ended = engine.runs("morning")
    assert [moment(each, "expected_start_time") for each in ended] == nine
    assert {each["auto_scheduled"] for each in ended} == {True}
    for each, at in zip(ended, nine, strict=True):
        # The engine rounds how long a run has to wait to whole seconds.
        assert timedelta(seconds=-1) < moment(each, "start_time") - at < timedelta(minutes=1)


def test_a_window_closes_while_a_campaign_is_sent(
    clock: MovedClock, store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api = start_sandbox()
    file = campaign_of(tmp_path, people(PEOPLE), name="evening", sections=ONE_BY_ONE).file
    settings = {**clock.environment, **environment(api, store_url)}
    send = ("send", file, "--direct", "--yes")

    api.set_faults([Delay(after_s=3, skip=2, times=None)])
    clock.move_to(MONDAY.replace(hour=19, minute=50))
    with started(*MAMBO, *send, cwd=tmp_path, env=settings) as sender:
        wait_until(lambda: api.calls().height >= 3)  # the third is out when the window closes
        clock.move_to(MONDAY.replace(hour=20))
        said, _ = sender.communicate(timeout=60)
    assert sender.returncode == 3, said
    evening = received(api, clock)
    assert 3 <= len(evening) < PEOPLE
    closed = mambo(*send, cwd=tmp_path, env=settings)
    assert closed.returncode == 3, closed.stderr
    assert received(api, clock) == evening, "nothing went while the window was closed"

    api.set_faults([])
    clock.move_to((MONDAY + timedelta(days=1)).replace(hour=8))
    opened = mambo(*send, cwd=tmp_path, env=settings)
    assert opened.returncode == 0, opened.stderr
    check(store_url, api, "evening", rows=rows(PEOPLE))
    assert {8 <= at.hour < 20 for at in received(api, clock)} == {True}
    assert {at.date() for at in received(api, clock)[len(evening) :]} == {MONDAY.date() + timedelta(days=1)}


def moment(flow_run: dict[str, Any], key: str) -> datetime:
    return datetime.fromisoformat(flow_run[key])


def received(api: SandboxHandle, clock: MovedClock) -> list[datetime]:
    """What the clock showed in Kampala when each call came to the sandbox, in order."""
    sent = api.calls().filter(pl.col("endpoint") == "send-sms")
    return [clock.shown_at(at).astimezone(KAMPALA) for at in sent["received_at"]]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
