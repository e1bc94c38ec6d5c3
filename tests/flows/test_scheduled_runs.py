"""A run that a schedule has made: its edition is its scheduled time, and one that is too late is skipped.

A run is asked of the server and marked as its scheduler marks one; `tests/week` has the scheduler itself at work.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments.runner import RunnerDeployment
from prefect.flow_engine import run_flow
from prefect.states import Pending, Scheduled

from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Status
from mambo_io.settings import load_settings
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from pipelines import flows
from pipelines.flows.tending import Tender
from pipelines.schedule import edition_of
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE = 20
ANY = '[sending]\nwindow = "any"\nchunk_size = 5\nconcurrency = 1\ncalls_per_second = 0\n'


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000)


@pytest.fixture
def api(running_sandbox: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxHandle:
    running_sandbox.set_faults([])
    for name, value in environment(running_sandbox, str(tmp_path / "ledger.db")).items():
        monkeypatch.setenv(name, value)
    return running_sandbox


def scheduled_run(engine: PrefectServer, file: Path, at: datetime, *, by_scheduler: bool = True) -> FlowRun:
    """A flow run as the server's scheduler makes one for this time."""
    with get_client(sync_client=True) as client:
        state: State[Any] = Scheduled(scheduled_time=at)
        run = client.create_flow_run(flows.send_campaign, parameters={"campaign": str(file)}, state=state)
        if by_scheduler:
            with closing(sqlite3.connect(engine.home / "prefect.db", timeout=30)) as database, database:
                database.execute("UPDATE flow_run SET auto_scheduled = 1 WHERE id = ?", [str(run.id)])
        return client.read_flow_run(run.id)


def execute(run: FlowRun) -> State[Any]:
    found = run_flow(flows.send_campaign, flow_run=run, parameters=run.parameters, return_type="state")
    assert isinstance(found, State)
    return found


def test_its_edition_is_its_time_in_the_schedules_time_zone(
    engine: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    """And the same run once more, as a retry or a second worker has it, sends nothing more."""
    schedule = '[schedule]\ncron = "0 9 * * *"\ntimezone = "Africa/Lagos"'
    file = campaign_of(
        tmp_path, people(PEOPLE, block=50), name="lagos", message="To lagos.", sections=ANY + schedule
    ).file
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    edition = edition_of(at - timedelta(hours=2), KAMPALA)
    for _ in range(2):
        assert execute(scheduled_run(engine, file, at)).is_completed()
        check(str(tmp_path / "ledger.db"), api, "lagos", edition=edition, rows=rows(PEOPLE))
    assert [run["state_name"] for run in engine.runs(f"lagos/{edition}")] == ["Completed", "Completed"]
    assert not execute(scheduled_run(engine, file, at, by_scheduler=False)).is_failed()
    with Store(str(tmp_path / "ledger.db")) as store:
        editions = {row.edition for row in Ledger(store).campaigns()}
    assert editions == {edition, "1"}, "a run that somebody has clicked is no scheduled one"


def test_one_that_is_too_late_is_skipped_and_stays_so(
    engine: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    schedule = '[schedule]\ncron = "0 9 * * *"\nmax_lateness = "10m"'
    file = campaign_of(
        tmp_path, people(PEOPLE, block=51), name="late", message="To late.", sections=ANY + schedule
    ).file
    at, calls = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=11), api.calls().height
    edition = edition_of(at, KAMPALA)
    for _ in range(2):
        state = execute(scheduled_run(engine, file, at))
        assert (state.type, state.name) == ("FAILED", "Skipped")
        assert state.message is not None
        assert re.fullmatch(
            f"late/{edition}: skipped: its time had passed, so it was not sent "
            r"\(it could begin 0:11:\d\d after its time, and max_lateness is 10m\)\.",
            state.message,
        )
    with Store(str(tmp_path / "ledger.db")) as store:
        row = Ledger(store).get("late", edition)
    assert (row.state, row.stop_reason) == (CampaignState.SKIPPED, "too_late")
    assert api.calls().height == calls


def test_one_of_a_deployment_that_waited_too_long_for_a_worker_is_skipped(
    engine: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    """Such a run names its edition, as those do that are made for what was missed. A person may still send one."""
    schedule = '[schedule]\ncron = "0 9 * * *"\nmax_lateness = "10m"'
    file = campaign_of(
        tmp_path, people(PEOPLE, block=54), name="waited", message="To waited.", sections=ANY + schedule
    ).file
    at, calls = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=11), api.calls().height
    parameters = {"campaign": str(file), "edition": edition_of(at, KAMPALA)}
    deployment = flows.send_campaign.to_deployment(name="waited")
    assert isinstance(deployment, RunnerDeployment)
    deployment_id = deployment.apply()
    assert isinstance(deployment_id, UUID)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployment_id, parameters=parameters)
    assert execute(run).name == "Skipped"
    assert api.calls().height == calls

    yesterday = edition_of(at - timedelta(days=1), KAMPALA)
    flows.send_campaign(str(file), yesterday)
    check(str(tmp_path / "ledger.db"), api, "waited", edition=yesterday, rows=rows(PEOPLE))


def test_one_that_began_in_time_goes_on_however_late(engine: PrefectServer, api: SandboxHandle, tmp_path: Path) -> None:
    schedule = '[schedule]\ncron = "0 9 * * *"\nmax_lateness = "10m"'
    file = campaign_of(
        tmp_path, people(PEOPLE, block=52), name="begun", message="To begun.", sections=ANY + schedule
    ).file
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=9)
    api.set_faults([Status(http_status=401, skip=2)])
    assert execute(scheduled_run(engine, file, at)).name == "Stopped"
    api.set_faults([])
    schedule = schedule.replace("10m", "1m")  # by which it is late now
    file = campaign_of(
        tmp_path, people(PEOPLE, block=52), name="begun", message="To begun.", sections=ANY + schedule
    ).file
    assert execute(scheduled_run(engine, file, at)).is_completed()
    check(str(tmp_path / "ledger.db"), api, "begun", edition=edition_of(at, KAMPALA), rows=rows(PEOPLE))


def test_a_run_that_was_lost_with_its_worker_gets_another_in_its_place(
    engine: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    """Prefect is told nothing of a worker that was cut off: its run stays Pending, and the ledger knows no edition."""
    at = datetime.now(KAMPALA).replace(microsecond=0) - timedelta(minutes=7)
    schedule = f'[schedule]\nat = "{at:%Y-%m-%d %H:%M:%S}"'
    file = campaign_of(tmp_path, people(PEOPLE, block=53), name="lost", sections=ANY + schedule).file
    os.utime(file, (at.timestamp() - 1,) * 2)
    label = f"lost/{edition_of(at, KAMPALA)}"

    def look() -> list[str]:
        """At the folder as anew; the states of the edition's runs."""
        Tender(tmp_path, load_settings(), work_pool=None).look()
        return [run["state_name"] for run in engine.runs(label)]

    assert look() == ["Scheduled"]
    [first] = engine.runs(label)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(first["id"], Pending(), force=True)
    with closing(sqlite3.connect(engine.home / "prefect.db", timeout=30)) as database, database:
        database.execute("UPDATE flow_run SET expected_start_time = ? WHERE id = ?", [_utc(at), first["id"]])
    assert look() == ["Pending"], "it may be about to begin"
    with closing(sqlite3.connect(engine.home / "prefect.db", timeout=30)) as database, database:
        newest = "UPDATE flow_run_state SET timestamp = ? WHERE id = (SELECT state_id FROM flow_run WHERE id = ?)"
        database.execute(newest, [_utc(at), first["id"]])
    assert sorted(look()) == ["Pending", "Scheduled"]
    assert sorted(look()) == ["Pending", "Scheduled"], "one in its place"
    file.unlink()
    Tender(tmp_path, load_settings(), work_pool=None).look()


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
