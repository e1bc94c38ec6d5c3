"""The flow `reconcile`, run against a real Prefect server and a real sandbox; the server is asked afterwards."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.flow_engine import run_flow
from prefect.schedules import Cron
from prefect.states import Scheduled

from mambo_io.errors import Difference
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Charge, NoAnswer
from mambo_io.settings import load_settings
from mambo_io.window import KAMPALA
from pipelines.flows import reconcile
from pipelines.prepare import prepare
from pipelines.reconciling import Reconciliation
from pipelines.runs import send_edition
from support import canaries
from support.canaries import API_KEY, PASSWORD, search
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.sandboxed import environment

pytestmark = pytest.mark.xdist_group("engine")

LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 10\ncanary_size = 5"
STEPS = ["settle-unknown", "read-books", "write-report", "publish"]
PEOPLE, COST_UGX = 23, 23 * 50


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(api_key=API_KEY, password=PASSWORD)


@pytest.fixture
def api(running_sandbox: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxHandle:
    """The sandbox that this process' settings point at, with an empty ledger."""
    running_sandbox.set_faults([])
    for name, value in environment(running_sandbox, str(tmp_path / "ledger.db")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return running_sandbox


@pytest.fixture
def send(api: SandboxHandle, tmp_path: Path) -> Callable[..., None]:
    """`send(name, block)` sends a campaign to canary numbers, in four calls, without the password."""

    def send(name: str, block: int) -> None:
        people = canaries.people(PEOPLE, block=block)
        campaign = campaign_of(tmp_path, people, name=name, message=f"Hello from {name}.", sections=LIMITS)
        settings = load_settings().model_copy(update={"password": None})
        prepared = prepare(campaign, edition="1", account=settings.account, ledger=None)
        send_edition(campaign, settings, edition="1", prepared=prepared, command="")

    return send


def newest(engine: PrefectServer, key: str) -> dict[str, Any]:
    return max(engine.artifacts(key), key=lambda artifact: str(artifact["created"]))


def test_a_call_of_unknown_fate_is_settled_and_the_sums_are_published(
    engine: PrefectServer, api: SandboxHandle, send: Callable[..., None], tmp_path: Path
) -> None:
    api.set_faults([NoAnswer(executes=True, skip=3)])
    yesterday = datetime.now(KAMPALA).date() - timedelta(days=1)
    send("settled", block=2)
    today = datetime.now(KAMPALA).date()
    found = reconcile(yesterday, today, output=str(tmp_path / "reports" / "settled.html"))

    assert isinstance(found, Reconciliation)
    assert found.difference_ugx == 0
    run = engine.run(f"reconcile/{found.days}")
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "Completed")
    assert run["state"]["message"] == (
        f"{found.days}: 1 campaign, 23 recipients (23 accepted). "
        f"UGX {COST_UGX:,} charged of {COST_UGX:,} estimated. Nothing is unreconciled."
    )
    tasks = engine.task_runs(run, len(STEPS))
    assert [task["name"] for task in tasks] == STEPS
    assert {task["empirical_policy"]["retries"] for task in tasks} == {0}

    [row] = json.loads(newest(engine, "reconciliation-campaigns")["data"])
    assert row == {
        "campaign": "settled/1",
        "recipients": PEOPLE,
        "accepted": PEOPLE,
        "unsupported": 0,
        "rejected": 0,
        "unknown": 0,
        "estimated_ugx": COST_UGX,
        "charged_ugx": COST_UGX,
        "difference_ugx": 0,
        "unreconciled_ugx": 0,
    }
    assert "- settled/1: 1 were sent" in newest(engine, "reconciliation")["data"]
    assert (tmp_path / "reports" / "settled.html").stat().st_size > 0


def test_a_price_that_is_not_the_tariffs_fails_loudly(
    engine: PrefectServer, api: SandboxHandle, send: Callable[..., None], tmp_path: Path
) -> None:
    api.set_faults([Charge(price_ugx=60, skip=3)])  # the last call, of eight people
    yesterday = datetime.now(KAMPALA).date() - timedelta(days=1)
    send("dearer", block=3)
    today = datetime.now(KAMPALA).date()
    days = f"{yesterday}..{today}"
    with pytest.raises(Difference, match=r"UGX 80 are unreconciled \(0 allowed\)\. dearer/1: UGX 80, a segment's p"):
        reconcile(yesterday, today, names=["dearer/1"])

    run = engine.run(f"reconcile/{days}")
    assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "Difference")
    assert "UGX 80 are unreconciled" in run["state"]["message"]
    assert [task["state_name"] for task in engine.task_runs(run, len(STEPS))] == ["Completed"] * len(STEPS)
    assert newest(engine, "reconciliation")["data"].startswith(f"# Unreconciled: {days}")
    assert (tmp_path / "reports" / f"{days}.html").stat().st_size > 0, "the report is there all the same"
    known = engine.everything()
    # What this looks for would be found: the run's parameters, the exception, the artifacts.
    for told in ("dearer/1", "UGX 80 are unreconciled", "What nobody agreed to"):
        assert told.encode() in known, told
    assert search(iter([("engine", known)])) == []


def test_a_late_run_is_about_the_day_before_its_schedule_and_an_empty_day_says_so(
    engine: PrefectServer, send: Callable[..., None], tmp_path: Path
) -> None:
    send("today", block=4)
    monday = datetime(2026, 1, 5, 7, tzinfo=KAMPALA)
    with get_client(sync_client=True) as client:
        late = client.create_flow_run(reconcile, parameters={}, state=Scheduled(scheduled_time=monday))
    found = run_flow(reconcile, flow_run=late)

    assert isinstance(found, Reconciliation)
    assert found.days == "2026-01-04"
    message = "2026-01-04: no campaign was sent. Nothing is unreconciled."
    run = engine.run("reconcile/2026-01-04")
    assert (run["id"], run["state_name"], run["state"]["message"]) == (str(late.id), "Completed", message)
    assert json.loads(newest(engine, "reconciliation-campaigns")["data"]) == []
    assert (tmp_path / "reports" / "2026-01-04.html").exists()


def test_it_can_be_served_every_morning() -> None:
    """`serve` pickles it for the process that runs it: by its name."""
    assert pickle.loads(pickle.dumps(reconcile.fn)) is reconcile.fn  # noqa: S301 - our own pickle
    morning = reconcile.to_deployment("every-morning", schedule=Cron("0 7 * * *", timezone="Africa/Kampala"))
    assert isinstance(morning, RunnerDeployment)
    assert morning.name == "every-morning"
