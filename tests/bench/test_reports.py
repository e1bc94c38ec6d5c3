"""A report on a million people, in every form, made from the ledger of a campaign that was really sent to a sandbox.

Each in a process of its own, so that the start of Python and its imports are part of the time. No time
decides anything; what the reports say was charged does: it is what the sandbox's own account says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from mambo_io import sandbox
from support import national_list, sandboxed
from support.measured import measure
from support.processes import MAMBO

PEOPLE = int(os.environ.get("PEOPLE", 1_000_000))

# One of thirty has a number that cannot be reached, and one of twenty has none: 80,000 exceptions in a million.
CAMPAIGN = """
name = "national"
sender_id = "MamboSMS"
category = "customised"
message = "Clinic day is Friday. Bring your card."
sandbox_only = true
[recipients]
path = "people.csv"
phone = "phone"
keep = ["district"]
[sending]
window = "any"
calls_per_second = 0
concurrency = 4
"""


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The ledger, and what the sandbox's own account says that it cost (UGX)."""
    folder = tmp_path_factory.mktemp("reports")
    subprocess.run([sys.executable, national_list.__file__, folder / "people.csv", str(PEOPLE)], check=True)
    (folder / "national.toml").write_text(CAMPAIGN, encoding="utf-8")
    unreachable = ("+256740", "+256741")
    with sandbox.running(folder / "sandbox", balance_ugx=100 * PEOPLE, unsupported_prefix=unreachable) as api:
        environment = {**os.environ, **sandboxed.environment(api, str(folder / "ledger.db"))}
        send = [*MAMBO, "send", "national.toml", "--direct", "--yes"]
        subprocess.run(send, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        cost_ugx = api.account().charged_ugx
    yield folder / "ledger.db", cost_ugx
    shutil.rmtree(folder)


def is_told(cost_ugx: int, report: Path) -> bool:
    """Whether this is what was charged by the report: to the shilling."""
    match report.suffix:
        case ".html":
            return f"It cost UGX {cost_ugx:,}" in report.read_text(encoding="utf-8")
        case ".xlsx":
            summary = CalamineWorkbook.from_path(str(report)).get_sheet_by_name("Summary").to_python()
            return cost_ugx in {cell for row in summary for cell in row}
        case ".csv":
            return bool(pl.scan_csv(report).select(pl.col("charged_ugx").sum()).collect().item() == cost_ugx)
        case _:
            return bool(pl.scan_parquet(report).select(pl.col("charged_ugx").sum()).collect().item() == cost_ugx)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ending", ["html", "xlsx", "csv", "parquet"])
def test_a_report(sent: tuple[Path, int], ending: str, table_row: Callable[..., None]) -> None:
    ledger, cost_ugx = sent
    report = ledger.with_name(f"report.{ending}")
    command = [*MAMBO, "report", "national", "--kept", "district", "--output", str(report)]
    cost = measure(*command, cwd=ledger.parent, env={"MAMBO_STORE": str(ledger)})
    assert is_told(cost_ugx, report), "the report tells another cost than the sandbox's own account"
    table_row(
        f"mambo report, .{ending}, {PEOPLE:,} people",
        "itself",
        reached=f"{cost.seconds:.1f} s, {cost.cpu_s:.1f} s of CPU, {cost.peak_mb:,.0f} MB",
        wanted="at most 10 s",
    )
