"""`mambo demo` on a machine whose owner has settings, a profile and proxies of their own, none of which has a part."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store
from pipelines.campaign import load_campaign
from pipelines.examples import example_folder
from pipelines.prepare import load_recipients
from pipelines.summary import CampaignSummary, summarize
from support.checker import check
from support.processes import mambo
from support.workbooks import columns_of

pytestmark = pytest.mark.xdist_group("engine")

CAMPAIGN = "clinic-day"


@dataclass(frozen=True)
class Demo:
    """A demo that has run. `machine` is where its owner's home and current folder are."""

    machine: Path
    ran: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        """The one that it names."""
        [named] = set(re.findall(r"mambo-demo-\w+", self.ran.stdout))
        return self.machine / "tmp" / str(named)

    @property
    def store(self) -> str:
        return str(self.folder / "ledger.db")

    def sandbox(self) -> SandboxHandle:
        """Its record can be read after it has stopped."""
        return SandboxHandle(url="", api_key="", username="", password="", folder=self.folder / "sandbox", pid=0)

    def summary(self) -> CampaignSummary:
        with Store(self.store) as store:
            return summarize(Ledger(store), Ledger(store).get(CAMPAIGN), command="mambo send")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    machine = tmp_path_factory.mktemp("machine")
    for folder in ("home", "tmp", "here"):
        (machine / folder).mkdir()
    nowhere = "http://127.0.0.1:9"
    (machine / "here" / ".env").write_text(f"MAMBO_BASE_URL=not an address\nPREFECT_API_URL={nowhere}/api\n")
    (machine / "here" / "prefect.toml").write_text(f'[api]\nurl = "{nowhere}/api"\n')
    theirs = {
        "HOME": str(machine / "home"),
        "TMPDIR": str(machine / "tmp"),
        "MAMBO_BASE_URL": "https://api.example.invalid",
        "MAMBO_API_KEY": "a real key",
        "MAMBO_STORE": str(machine / "home" / "real-ledger.db"),
        "MAMBO_ACCOUNT": "not an account",
        "MAMBO_MAX_COST_PER_DAY_UGX": "much",
        "PREFECT_HOME": str(machine / "home" / "prefect"),
        "PREFECT_API_URL": f"{nowhere}/api",
        "PREFECT_PROFILE": "nobody's",
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
    }
    return Demo(machine, mambo("demo", cwd=machine / "here", env=theirs, timeout_s=170))


def test_it_completes_and_says_where_everything_is(demo: Demo) -> None:
    assert demo.ran.returncode == 0, demo.ran.stderr
    assert f"Results: {demo.folder / 'results.xlsx'}" in demo.ran.stdout
    assert "just what the results say" in demo.ran.stdout
    assert (demo.folder / "results.xlsx").is_file()


def test_it_leaves_what_is_the_owners_alone(demo: Demo) -> None:
    assert not list((demo.machine / "home").iterdir())
    assert sorted(file.name for file in (demo.machine / "here").iterdir()) == [".env", "prefect.toml"]
    assert list((demo.machine / "tmp").iterdir()) == [demo.folder]


def test_it_runs_at_any_hour() -> None:
    assert load_campaign(example_folder() / f"{CAMPAIGN}.toml").sending.window == "any"


def test_the_results_have_every_row_with_its_outcome_and_reason(demo: Demo) -> None:
    """And what they say is what the sandbox delivered, person by person."""
    listed = load_recipients(load_campaign(demo.folder / f"{CAMPAIGN}.toml")).dataset.frame["row"].to_list()
    check(demo.store, demo.sandbox(), CAMPAIGN, rows=listed)
    written = columns_of(demo.folder / "results.xlsx")
    assert [int(row) for row in written["row"]] == listed
    assert all(written["outcome"])
    without_reason = {
        outcome for outcome, reason in zip(written["outcome"], written["reason"], strict=True) if not reason
    }
    assert without_reason == {"accepted"}


def test_the_estimate_is_the_charge_but_for_what_the_summary_names(demo: Demo) -> None:
    summary = demo.summary()
    assert summary.outcomes["unsupported"] > 0, "the sandbox calls a network unsupported that the example's people use"
    assert set(summary.differences) == {"unsupported, not charged"}
    assert summary.estimated_ugx - sum(summary.differences.values()) == summary.charged_ugx
    assert summary.charged_ugx == demo.sandbox().account().charged_ugx
    assert re.search(
        rf"unsupported, not charged +UGX {summary.differences['unsupported, not charged']:,}", demo.ran.stdout
    )


def test_it_went_through_the_engine(demo: Demo) -> None:
    database = (demo.folder / "prefect").glob("prefect.db*")
    assert any(f"{CAMPAIGN}/1".encode() in file.read_bytes() for file in database)
