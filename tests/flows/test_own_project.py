"""`send_campaign` from a project of somebody's own, in plain Python, with Prefect set up as they like."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.sandbox import SandboxHandle
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.processes import run
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE = 20

PROJECT = """
from prefect import flow, task

from mambo_io.errors import Stopped
from pipelines.flows import send_campaign


@task
def tomorrows_clinic():
    return "reminders.toml"


@flow
def every_evening():
    return send_campaign(tomorrows_clinic(), "today")


if __name__ == "__main__":
    summary = every_evening()
    print(summary.label, summary.outcomes)
"""


@pytest.mark.parametrize("has_server", [True, False], ids=["a server in their profile", "no server"])
def test_it_is_a_flow_among_theirs(
    has_server: bool, prefect_server: PrefectServer, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    """Without a server Prefect starts one of its own, here over the same database."""
    api, store = start_sandbox(), str(tmp_path / "ledger.db")
    campaign_of(tmp_path, people(PEOPLE), name="reminders", sections="[sending]\nwindow = 'any'")
    script = tmp_path / "evening.py"
    script.write_text(PROJECT, encoding="utf-8")
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{prefect_server.url}"\n')
    theirs = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        **({"PREFECT_PROFILES_PATH": str(profiles)} if has_server else {}),
    }
    before = len(prefect_server.runs("reminders/today"))
    ran = run(sys.executable, script, cwd=tmp_path, env={**environment(api, store), **theirs}, timeout_s=150)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"reminders/today {{'accepted': {PEOPLE}}}\n"
    check(store, api, "reminders", "today", rows=rows(PEOPLE))
    [found] = prefect_server.runs("reminders/today")[before:]
    assert found["state_name"] == "Completed"
    assert found["parent_task_run_id"] is not None, "it ran inside of theirs"
