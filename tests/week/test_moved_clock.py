"""The clock that the week runs on: every process follows it, schedules and windows keep to it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mambo_io.window import KAMPALA
from support.moved_clock import MovedClock
from support.prefect_server import PrefectServer
from support.processes import started

SERVED = '''
from datetime import UTC, datetime
from prefect import flow, runtime
from prefect.schedules import Cron

@flow(flow_run_name="morning")
def tell():
    with open("told", "a") as file:
        file.write(f"{runtime.flow_run.scheduled_start_time.isoformat()} {datetime.now(UTC).isoformat()}\\n")

if __name__ == "__main__":
    tell.serve("every-morning", schedule=Cron("0 9 * * *", timezone="Africa/Kampala"))
'''


def test_schedule(engine: PrefectServer, clock: MovedClock, follower: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(SERVED)
    t=time.monotonic()
    def lap(what):
        nonlocal t
        print(f"{what}: {time.monotonic()-t:.1f} s real, clock {clock.now()}"); t=time.monotonic()
    with started(sys.executable, "served.py", cwd=tmp_path, env={**follower, "PREFECT_API_URL": engine.url}) as runner:
        while not engine.deploys("tell/every-morning"): time.sleep(.1); assert runner.poll() is None, runner.communicate()[0]
        lap("served")
        clock.move_to(clock.now().astimezone(KAMPALA).replace(hour=8,minute=59,second=50)+timedelta(days=1))
        for _ in range(25):
            print(clock.now(), [(r["expected_start_time"], r["start_time"], r["state_name"],r["created"]) for r in engine._all("flow_runs")])
            time.sleep(1)
        runner.terminate(); print(runner.communicate()[0])
    print((tmp_path/"up.log").read_text())
    assert 0
