"""A report on a million people, in every form, made from the ledger of a campaign that was really sent to a sandbox.

Each in a process of its own, so that the start of Python and its imports are part of the time. Nothing here decides
anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mambo_io import sandbox
from support import national_list, sandboxed
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
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("reports")
    subprocess.run([sys.executable, national_list.__file__, folder / "people.csv", str(PEOPLE)], check=True)
    (folder / "national.toml").write_text(CAMPAIGN, encoding="utf-8")
    unreachable = ("+256740", "+256741")
    with sandbox.running(folder / "sandbox", balance_ugx=100 * PEOPLE, unsupported_prefix=unreachable) as api:
        environment = {**os.environ, **sandboxed.environment(api, str(folder / "ledger.db"))}
        send = [*MAMBO, "send", "national.toml", "--direct", "--yes"]
        subprocess.run(send, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    yield folder / "ledger.db"
    shutil.rmtree(folder)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ending", ["html", "xlsx", "csv", "parquet"])
def test_a_report(ledger: Path, ending: str, table_row: Callable[..., None]) -> None:
    command = [
        *MAMBO,
        "report",
        "national",
        "--kept",
        "district",
        "--output",
        str(ledger.with_name(f"report.{ending}")),
    ]
    began = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, "MAMBO_STORE": str(ledger)}, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took_s, cpu_s = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    assert process.returncode == 0
    table_row(
        f"mambo report, .{ending}, {PEOPLE:,} people",
        "itself",
        reached=f"{took_s:.1f} s, {cpu_s:.1f} s of CPU, {usage.ru_maxrss / 1024:,.0f} MB",
        wanted="at most 10 s",
    )
