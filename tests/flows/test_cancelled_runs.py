"""A run that is cancelled in Prefect's pages: its runner sends SIGTERM, and the calls that are out come back first.
And one whose process is killed: its runner tells that it crashed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mambo_io.ledger import Ledger
from mambo_io.model import ChunkState
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.store import Store
from support.checker import check, record_of
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.problems import Pager
from support.processes import started
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE = 60
LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 2\nchunk_size = 5\ncanary_size = 1"
SERVE = "from pipelines.flows import send_campaign\nsend_campaign.serve(name='on-this-machine')"
DEPLOYMENT = "send-campaign/on-this-machine"
_PATIENCE_S = 90


def test_a_cancelled_run_drains_and_the_next_one_goes_on_and_of_a_killed_one_somebody_is_told(
    engine: PrefectServer, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api, store = start_sandbox(), str(tmp_path / "ledger.db")
    file = str(campaign_of(tmp_path, people(PEOPLE), name="cancelled", sections=LIMITS).file)
    api.set_faults([Delay(after_s=3, skip=1, times=None)])  # behind the first, two calls are out at any time
    # The runner keeps a folder of one name for everybody among the temporary files.
    pager = Pager(tmp_path)
    settings = {**environment(api, store), "MAMBO_ON_PROBLEM": pager.command}
    settings |= {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "TMPDIR": str(tmp_path)}
    with started(sys.executable, "-c", SERVE, cwd=tmp_path, env=settings) as runner:
        wait_until(lambda: engine.deploys(DEPLOYMENT), runner)
        run = engine.start(DEPLOYMENT, campaign=file)
        wait_until(lambda: api.calls().height >= 3, runner)
        engine.cancel(run)
        wait_until(lambda: engine.final_state(run) is not None, runner)
        assert engine.final_state(run) == "Cancelled"

        calls = list(record_of(store, api, "cancelled").calls.values())
        assert set(calls) == {ChunkState.ACCEPTED, ChunkState.PLANNED}, "what was out came back, and no more went"
        check(store, api, "cancelled", rows=rows(PEOPLE), complete=False)
        with Store(store) as opened:
            campaign = Ledger(opened).get("cancelled")
        assert (campaign.state, campaign.stop_reason, campaign.stop_detail) == ("paused", "signal", "SIGTERM")

        assert pager.told() == [], "whoever cancels knows"

        api.set_faults([])
        again = engine.start(DEPLOYMENT, campaign=file)
        wait_until(lambda: engine.final_state(again) is not None, runner)
        assert engine.final_state(again) == "Completed"
        check(store, api, "cancelled", rows=rows(PEOPLE))

        # Behind its canary the API takes so long that the process is killed with calls out.
        api.set_faults([Delay(after_s=60, skip=1, times=None)])
        before = api.calls().height
        other = campaign_of(tmp_path, people(PEOPLE, block=1), name="killed", path="others.csv", sections=LIMITS).file
        killed = engine.start(DEPLOYMENT, campaign=str(other))
        wait_until(lambda: api.calls().height >= before + 2, runner)
        processes = psutil.Process(runner.pid).children(recursive=True)
        [sender] = [process for process in processes if "spawn_main" in " ".join(process.cmdline())]
        sender.kill()
        wait_until(lambda: pager.told() != [], runner)
        assert engine.final_state(killed) == "Crashed"
        [event] = engine.events("mambo.campaign.killed", 1)
        assert pager.told() == [event["payload"]]
        told = event["payload"]
        assert (event["event"], told["edition"], told["state"]) == ("mambo.campaign.crashed", "1", "sending")
        assert told["recipients"]["accepted"] == 1


def wait_until(condition: Callable[[], bool], runner: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert runner.poll() is None, runner.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.1)
