"""A run of the flow that stops, is skipped, fails or is killed: the event on the server, and the owner's command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for one test

from mambo_io.errors import InputError, Stopped
from mambo_io.log import log_file
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import SuccessFalse
from mambo_io.settings import load_settings
from pipelines import flows
from pipelines import prepare as steps
from pipelines.campaign import load_campaign
from pipelines.planned import skip_edition
from support import canaries
from support.canaries import API_KEY, PASSWORD, search
from support.environment import REPOSITORY
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.problems import Pager
from support.processes import mambo
from support.sandboxed import environment

pytestmark = pytest.mark.xdist_group("engine")

PAGE = (REPOSITORY / "docs" / "on-call.md").read_text(encoding="utf-8")
LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 2\ncanary_size = 1"


@pytest.fixture
def pager(tmp_path: Path) -> Pager:
    return Pager(tmp_path)


@pytest.fixture
def api(
    start_sandbox: Callable[..., SandboxHandle], pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SandboxHandle:
    """A sandbox that this process' settings point at, with an empty ledger."""
    api = start_sandbox(api_key=API_KEY, password=PASSWORD)
    for name, value in environment(api, str(tmp_path / "ledger.db")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAMBO_ON_PROBLEM", pager.command)
    return api


def test_runs_that_stop_fail_and_are_skipped(
    engine: PrefectServer, api: SandboxHandle, pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API repeats the key and a number in what it says; a defect quotes a row."""
    automation = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    automation["trigger"]["match"] = {"prefect.resource.id": "mambo.campaign.alerts"}  # no other test's
    automated = engine.automate(automation | {"actions": [{"type": "do-nothing"}]})
    name, number = "alerts", canaries.people(1).split()[1]
    file = campaign_of(tmp_path, canaries.people(12), name=name, sections=LIMITS).file
    api.set_faults([SuccessFalse(message=f"No, {API_KEY}: {number}, +256{number[1:]}", skip=1, times=2)])
    with pytest.raises(Stopped):
        flows.send_campaign(str(file))

    file.write_text(file.read_text("utf-8").replace("message =", "message = 'Hello.' #"), "utf-8")
    with pytest.raises(InputError, match="begun, and message changed since"):
        flows.send_campaign(str(file))

    def defect(*_: Any) -> Any:
        raise ValueError(f"Jane, {number}")

    monkeypatch.setattr(steps, "load_recipients", defect)
    with pytest.raises(RuntimeError, match=r"ValueError$"):
        flows.send_campaign(str(file), "2026-11-26T08:00")

    # Its time had passed.
    skip_edition(load_campaign(file), load_settings(), edition="2026-11-25T08:00", detail="by an hour")
    with pytest.raises(Stopped):
        flows.send_campaign(str(file), "2026-11-25T08:00")

    told = pager.told()
    assert [(problem["kind"], problem["reason"], problem["edition"]) for problem in told] == [
        ("stopped", "refused_in_a_row", "1"),
        ("failed", "InputError", "1"),
        ("failed", "defect", "2026-11-26T08:00"),
        ("skipped", "too_late", "2026-11-25T08:00"),
    ]
    assert told[0]["recipients"] == {"accepted": 1, "planned": 9, "refused": 2}
    events = engine.events(f"mambo.campaign.{name}", 4)
    assert [event["payload"] for event in events] == told
    assert [event["event"].rpartition(".")[2] for event in events] == ["stopped", "failed", "failed", "skipped"]
    triggered = engine.events(f"prefect.automation.{automated}", 3)
    assert {event["event"] for event in triggered} >= {"prefect.automation.triggered"}
    resource = {"prefect.resource.id": f"mambo.campaign.{name}", "prefect.resource.name": f"{name}/1"}
    assert events[0]["resource"] == resource | {"mambo.edition": "1"}
    [run] = [related["prefect.resource.id"] for related in events[0]["related"]]
    assert run == f"prefect.flow-run.{engine.runs(f'{name}/1')[0]['id']}"

    # No secret and no number in any of it; the defect's words are in nothing that leaves the machine.
    assert search(iter([("told", repr(told).encode()), ("events", repr(events).encode())])) == []
    assert search(iter([("log", log_file().read_bytes())])) == []
    assert "Jane" not in repr(told) + repr(events)


def test_the_command_and_the_flow_in_it_tell_once(
    engine: PrefectServer, api: SandboxHandle, pager: Pager, tmp_path: Path
) -> None:
    """Its process ends right after, and the event is there all the same."""
    file = campaign_of(tmp_path, canaries.people(12, block=1), name="alerts-once", sections=LIMITS).file
    api.set_faults([SuccessFalse(message="No.", skip=1, times=2)])
    assert mambo("send", file.name, "--yes", cwd=tmp_path, timeout_s=120).returncode == 3
    [event] = engine.events("mambo.campaign.alerts-once", 1)
    assert pager.told() == [event["payload"]]
