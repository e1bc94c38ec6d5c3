"""Which editions of a served folder get a run because the one that the schedule made will not begin."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.states import Scheduled

from mambo_io.settings import load_settings
from mambo_io.window import KAMPALA
from pipelines.flows.tending import Tender
from pipelines.schedule import edition_of
from support.lists import campaign_of
from support.prefect_server import PrefectServer

pytestmark = pytest.mark.xdist_group("engine")

# What has become of the schedule's run (None: there is none), how many minutes after its time; whether another is made.
CASES = {
    "none": (None, 2, True),
    "killed": (StateType.CRASHED, 2, True),
    "at-work": (StateType.RUNNING, 2, False),
    "begun-late": (StateType.RUNNING, 6, False),  # one of which nothing is heard: `test_scheduled_runs.py`
    "late": (StateType.SCHEDULED, 6, False),
    "wrong": (StateType.FAILED, 6, False),
    "not-wanted": (StateType.CANCELLED, 6, False),
}


SET_RIGHT = "set-right"


def test_the_run_of_a_time_is_made_again_where_it_will_not_begin(engine: PrefectServer, tmp_path: Path) -> None:
    """The ledger knows nothing of any of them: none has planned its edition."""
    folder, now = tmp_path / "campaigns", datetime.now(KAMPALA).replace(microsecond=0)
    folder.mkdir()
    settings = load_settings(base_url="http://127.0.0.1:9", api_key="key", store=str(tmp_path / "ledger.db"))
    for name, (_, minutes, _) in CASES.items():
        schedule = f'[schedule]\nat = "{now - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}"'
        campaign_of(folder, None, name=name, sections=schedule)
    tender = Tender(folder, settings)
    deployments = tender.look().deployments  # the files are newer than their times, so nothing of them was missed
    assert started(engine) == {}

    long_ago = (now - timedelta(hours=1)).timestamp()
    with get_client(sync_client=True) as client:
        for name, (state, minutes, _) in CASES.items():
            if state is not None:
                make_run(client, deployments[name], now - timedelta(minutes=minutes), state)
            os.utime(folder / f"{name}.toml", (long_ago, long_ago))
    expected = {name: 1 for name, (_, _, again) in CASES.items() if again}
    tender.look()
    assert started(engine) == expected
    tender.look()
    Tender(folder, settings).look()  # as another machine, or the same program started anew
    assert started(engine) == expected


def test_what_failed_before_it_was_planned_is_sent_once_its_files_are_set_right(
    engine: PrefectServer, tmp_path: Path
) -> None:
    """At its time there was no list; the one that came then was wrong, too."""
    folder, now = tmp_path / "campaigns", datetime.now(KAMPALA).replace(microsecond=0)
    folder.mkdir()
    at = now - timedelta(minutes=5)
    settings = load_settings(base_url="http://127.0.0.1:9", api_key="key", store=str(tmp_path / "ledger.db"))
    sections = f'[schedule]\nat = "{at:%Y-%m-%d %H:%M:%S}"'
    campaign_of(folder, None, name=SET_RIGHT, message="Dear {Name}.", sections=sections)
    tender, people = Tender(folder, settings), folder / "people.csv"
    nothing = f"{SET_RIGHT}: no time of its schedule is to come; but as its files are now, nothing would be sent: "
    [said] = tender.look().said
    assert said.startswith(f"{nothing}{people}: no such file")
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"send-campaign/{SET_RIGHT}")
        make_run(client, deployment.id, at, StateType.FAILED)
        for runs, column in enumerate(("Nme", "Name"), start=1):
            tender.look()
            assert len(asked_for(engine, SET_RIGHT)) == runs - 1, "it would fail again"
            people.write_text(f"phone,{column}\n0772123456,Jane\n", encoding="utf-8")
            os.utime(people, ns=(time.time_ns(),) * 2)
            told = tender.look().said
            made = asked_for(engine, SET_RIGHT)
            assert len(made) == runs
            goes_on = (
                f"{SET_RIGHT}/{edition_of(at, KAMPALA)}: goes on (its files were saved again since its run failed)"
            )
            assert told[-1] == goes_on
            assert told[0].startswith(nothing) == (column == "Nme")
            client.set_flow_run_state(made[-1]["id"], State(type=StateType.FAILED), force=True)


def test_the_flow_says_of_a_wrong_file_where_and_what_and_quotes_nothing(engine: PrefectServer, tmp_path: Path) -> None:
    """What it says is kept in Prefect's database; what `mambo serve` says is not."""
    settings = load_settings(base_url="http://127.0.0.1:9", api_key="key", store=str(tmp_path / "ledger.db"))
    file = campaign_of(tmp_path, None, name="wrong-category").file
    file.write_text(file.read_text("utf-8").replace("customised", "for Jane"), "utf-8")
    [full], [outline] = (Tender(tmp_path, settings, work_pool=pool).look().said for pool in (None, "machines"))
    assert full.startswith(f"{file}, category: 'for Jane' is not allowed")
    assert outline == f"{file}, category: is not allowed. Nothing of it is sent until that is set right."


def make_run(client: SyncPrefectClient, deployment_id: Any, at: datetime, state: StateType) -> None:
    made: State[Any] = Scheduled(scheduled_time=at)
    run = client.create_flow_run_from_deployment(deployment_id, state=made)
    if state is not StateType.SCHEDULED:
        client.set_flow_run_state(run.id, State(type=state), force=True)


def started(engine: PrefectServer) -> dict[str, int]:
    """How many runs of its edition were asked for, by campaign."""
    asked = {name: len(asked_for(engine, name)) for name in CASES}
    return {name: count for name, count in asked.items() if count}


def asked_for(engine: PrefectServer, name: str) -> list[dict[str, Any]]:
    return [run for run in engine.runs_of(f"send-campaign/{name}") if "edition" in run["parameters"]]
