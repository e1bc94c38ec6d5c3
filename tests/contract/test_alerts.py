"""MAMBO_ON_PROBLEM: what its command is told of a campaign edition, and what the ledger keeps of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Status
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import Store
from mambo_io.tables import events
from pipelines import alerts
from pipelines.planned import skip_edition
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.summary import CampaignSummary
from support.ledgers import rows_of
from support.lists import campaign_of
from support.problems import Pager
from support.sandboxed import people

LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 2\ncanary_size = 1"


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def pager(tmp_path: Path) -> Pager:
    return Pager(tmp_path)


@pytest.fixture
def settings(api: SandboxHandle, pager: Pager, store_url: str) -> MamboSettings:
    api.set_faults([])
    return load_settings(base_url=api.url, api_key=api.api_key, store=store_url, on_problem=pager.command)


def stopped(folder: Path, api: SandboxHandle, settings: MamboSettings) -> CampaignSummary:
    """Five people and a number with a letter; after the first call, of one person, the API gives no clear answer."""
    campaign = campaign_of(folder, people(5) + "O772123456\n", message="Hello.", sections=LIMITS)
    api.set_faults([Status(http_status=500, skip=1, times=None)])
    prepared = prepare(campaign, edition="1", account=settings.account, ledger=None)
    return send_edition(campaign, settings, edition="1", prepared=prepared, command="mambo send 0772123456.toml")


def kept_alerts(settings: MamboSettings) -> list[tuple[str, str]]:
    with Store(settings.store.get_secret_value()) as store:
        return [
            (event["kind"], event["detail"]) for event in rows_of(store, events) if event["kind"].startswith("alert")
        ]


def test_an_edition_that_stopped(tmp_path: Path, api: SandboxHandle, settings: MamboSettings, pager: Pager) -> None:
    problem = alerts.of_summary(stopped(tmp_path, api, settings))
    assert problem is not None
    alerts.tell(problem, settings)

    [told] = pager.told()
    assert told.pop("at") == problem.at.isoformat(timespec="seconds")
    assert told == {
        "kind": "stopped",
        "campaign": "clinic-day",
        "edition": "1",
        "text": "clinic-day/1 stopped: several calls in a row got no clear answer (http_500: Internal Server Error)",
        "state": "paused",
        "reason": "unknown_in_a_row",
        "recipients": {"rejected": 1, "accepted": 1, "planned": 2, "unknown": 2},
        "estimated_ugx": 250,
        "charged_ugx": 50,
        "unknown_calls": ["clinic-day/1/c0002", "clinic-day/1/c0003"],
        "held_by": None,
        "next_command": "mambo send '•••456.toml'",
    }
    assert kept_alerts(settings) == [("alerted", "stopped")]


def test_an_edition_that_was_skipped(tmp_path: Path, settings: MamboSettings, pager: Pager) -> None:
    campaign = campaign_of(tmp_path, people(1))
    summary = skip_edition(campaign, settings, edition="2026-03-02T08:00", detail="planned for 08:00, it was 09:10")
    problem = alerts.of_summary(summary)
    assert problem is not None
    alerts.tell(problem, settings)
    [told] = pager.told()
    assert (told["kind"], told["reason"], told["edition"]) == ("skipped", "too_late", "2026-03-02T08:00")
    assert told["text"] == (
        "clinic-day/2026-03-02T08:00 was skipped: its time had passed, so it was not sent (planned for 08:00, it was "
        "09:10)"
    )
    assert kept_alerts(settings) == [("alerted", "skipped")]


@pytest.mark.parametrize(
    ("command", "timeout_s", "kept"),
    [
        ("sh -c 'echo no route for 0772123456 >&2; exit 7'", 60, "ended with exit code 7: no route for •••456"),
        ("sh -c 'sleep 600'", 0.1, "took longer than 0.1 s"),
        ("/no/such/program", 60, "cannot be started (No such file or directory)"),
    ],
)
def test_a_command_that_fails_is_recorded_and_changes_nothing_else(
    command: str, timeout_s: float, kept: str, tmp_path: Path, api: SandboxHandle, settings: MamboSettings
) -> None:
    summary = stopped(tmp_path, api, settings)
    problem = alerts.of_summary(summary)
    assert problem is not None
    fails = load_settings(store=settings.store.get_secret_value(), on_problem=command)
    alerts.tell(problem, fails, timeout_s=timeout_s)
    assert kept_alerts(settings) == [("alert_failed", f"stopped: {kept}")]
    with Store(settings.store.get_secret_value()) as store:
        assert Ledger(store).get("clinic-day").state == summary.state


def test_errors_a_crash_and_what_the_ledger_knows_of_them(
    tmp_path: Path, api: SandboxHandle, settings: MamboSettings
) -> None:
    stopped(tmp_path, api, settings)
    run = alerts.Run("clinic-day", "1", "mambo send /lists/0772123456.toml", settings)
    wrong = InputError("is no column of it", file="clinic-day.toml", value="Jane", fix="Its columns: Auma, Bob.")
    failed, crashed = alerts.of_error(wrong, run), alerts.of_crash(run)
    assert (failed.kind, failed.reason, failed.text) == (
        "failed",
        "InputError",
        "clinic-day/1 failed: clinic-day.toml: is no column of it",
    )
    assert (crashed.kind, crashed.reason) == ("crashed", "process_ended")
    for problem in (failed, crashed):
        assert (problem.state, problem.charged_ugx) == ("paused", 50)
    defect = alerts.of_error(ValueError("Jane, 0772123456"), run)
    assert (defect.reason, defect.text) == (
        "defect",
        "clinic-day/1 failed by a defect of mambo-pipelines; the log says where",
    )

    other = alerts.of_error(
        wrong, alerts.Run("clinic-day", "20261126", "mambo send 0772123456.toml --edition 20261126", settings)
    )
    assert (other.state, other.recipients, other.charged_ugx) == (None, {}, None)
    assert other.next_command == "mambo send '•••456.toml' --edition 20261126"
