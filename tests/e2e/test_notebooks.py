"""The notebooks run, and the figures they show are those of the results table."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pipelines
from mambo_io.settings import load_settings
from pipelines.campaign import load_campaign
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.summary import CampaignSummary
from support.environment import REPOSITORY
from support.processes import run

if TYPE_CHECKING:
    from mambo_io.sandbox import SandboxHandle

NOTEBOOK = REPOSITORY / "notebooks" / "campaign_results.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("ledger") / "ledger.db")


@pytest.fixture(scope="module")
def summary(store: str, start_sandbox: Callable[..., SandboxHandle]) -> CampaignSummary:
    """The example campaign, sent to a sandbox and recorded in `store`."""
    sandbox = start_sandbox()
    settings = load_settings(base_url=sandbox.url, api_key=sandbox.api_key, store=store)
    campaign = load_campaign(REPOSITORY / "data" / "clinic-day.toml")
    prepared = prepare(campaign, edition="1", account=settings.account, ledger=None)
    return send_edition(campaign, settings, edition="1", prepared=prepared, command="mambo send clinic-day.toml")


def run_notebook() -> tuple[str, Mapping[str, Any]]:
    """What the notebook's cells show (as HTML) and define, with the values that its inputs start with."""
    shown, defined = runpy.run_path(str(NOTEBOOK))["app"].run()
    return "".join(output.text for output in shown if output is not None), defined


@pytest.fixture(scope="module")
def notebook(store: str, summary: CampaignSummary) -> Mapping[str, Any]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MAMBO_STORE", store)
        _, defined = run_notebook()
    return defined


@pytest.fixture(scope="module")
def rows(store: str, summary: CampaignSummary) -> list[dict[str, Any]]:
    """The results table, a dictionary for each row."""
    return pipelines.results("clinic-day", store=store).to_dicts()


def test_the_example_shows_every_common_outcome(summary: CampaignSummary) -> None:
    assert summary.state == "complete"
    assert summary.outcomes.keys() == {"accepted", "unsupported", "rejected"}
    assert summary.rows == 1_000


def test_outcomes(notebook: Mapping[str, Any], rows: list[dict[str, Any]], summary: CampaignSummary) -> None:
    shown = {row["outcome"]: row["people"] for row in notebook["outcomes"].to_dicts()}
    assert shown == Counter(row["outcome"] for row in rows) == summary.outcomes


def test_reasons(notebook: Mapping[str, Any], rows: list[dict[str, Any]], summary: CampaignSummary) -> None:
    shown = {(row["outcome"], row["reason"]): row["people"] for row in notebook["reasons"].to_dicts()}
    assert shown == Counter((row["outcome"], row["reason"]) for row in rows if row["reason"])
    assert {reason: people for (outcome, reason), people in shown.items() if outcome == "rejected"} == summary.rejected


def test_networks(notebook: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
    shown = {(row["network_guess"], row["outcome"]): row["people"] for row in notebook["networks"].to_dicts()}
    assert shown == Counter((row["network_guess"], row["outcome"]) for row in rows if row["network_guess"])
    assert {outcome for network, outcome in shown if network == "LycaMobile"} >= {"unsupported"}
    assert {network for network, outcome in shown if outcome == "unsupported"} == {"LycaMobile"}


def test_cost(notebook: Mapping[str, Any], rows: list[dict[str, Any]], summary: CampaignSummary) -> None:
    cost = notebook["cost"]
    assert cost["estimated_ugx"] == sum(row["estimated_ugx"] or 0 for row in rows) == summary.estimated_ugx
    assert cost["charged_ugx"] == sum(row["charged_ugx"] or 0 for row in rows) == summary.charged_ugx
    assert cost["unknown_ugx"] == 0
    assert cost["people_charged"] == summary.outcomes["accepted"]


def test_it_runs_as_a_plain_script(store: str, summary: CampaignSummary, tmp_path: Path) -> None:
    script = run(sys.executable, NOTEBOOK, cwd=tmp_path, env={"MAMBO_STORE": store})
    assert (script.returncode, script.stderr) == (0, "")


def test_a_ledger_that_is_not_there_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "nowhere.db"))
    shown, defined = run_notebook()
    assert "nowhere.db: there is no ledger yet" in shown
    assert "results" not in defined
    assert not (tmp_path / "nowhere.db").exists()
