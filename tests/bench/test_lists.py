"""Ten million people: preparing their list against what polars takes to copy the file, planning against a bare load.

Each side runs in a process of its own, so that the start of Python and its imports are part of the time, and the peak
of its memory is its own. Nothing here decides anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from support import national_list
from support.measured import Cost, measure
from support.processes import MAMBO

PEOPLE = int(os.environ.get("PEOPLE", 10_000_000))
TURNS = 3

CAMPAIGN = """
name = "national"
sender_id = "MamboSMS"
category = "customised"
message = "{message}"
sandbox_only = true
[recipients]
path = "{path}"
phone = "phone"
"""
ONE_TEXT = "Clinic day is Friday. Bring your card."
A_TEXT_FOR_EACH = "Dear {name} of {district}, clinic day is Friday. Your number is {phone}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lists")
    yield folder
    shutil.rmtree(folder)


def campaign(folder: Path, people: int, message: str) -> Path:
    """A campaign over a list of so many, which is written if it is not there."""
    path = folder / f"people-{people}.csv"
    if not path.exists():
        subprocess.run([sys.executable, national_list.__file__, path, str(people)], check=True)
    file = folder / f"campaign-{people}-{len(message)}.toml"
    file.write_text(CAMPAIGN.format(message=message, path=path.name), encoding="utf-8")
    return file


def run(*command: str, cwd: Path, exit_code: int = 0, **environment: str) -> Cost:
    return measure(*command, cwd=cwd, exit_code=exit_code, env={"MAMBO_STORE": str(cwd / "none.db"), **environment})


def python(program: str, *arguments: object, cwd: Path) -> Cost:
    return run(sys.executable, "-c", program, *map(str, arguments), cwd=cwd)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("message", "most", "most_mb"),
    [pytest.param(ONE_TEXT, 1.2, 1_000, id="one text"), pytest.param(A_TEXT_FOR_EACH, 4, 2_000, id="a text for each")],
)
def test_estimate(folder: Path, table_row: Callable[..., None], message: str, most: float, most_mb: int) -> None:
    file, tenth = campaign(folder, PEOPLE, message), campaign(folder, PEOPLE // 10, message)
    copy = "import polars, sys; polars.scan_csv(sys.argv[1], infer_schema=False).sink_parquet('copy.parquet')"
    copies, ours, of_a_tenth = [], [], []
    for _ in range(TURNS):
        copies.append(python(copy, f"people-{PEOPLE}.csv", cwd=folder))
        ours.append(run(*MAMBO, "estimate", file.name, cwd=folder))
        of_a_tenth.append(run(*MAMBO, "estimate", tenth.name, cwd=folder))
    ratio = median(cost.seconds for cost in ours) / median(cost.seconds for cost in copies)
    texts = "one text" if message == ONE_TEXT else "a text for each"
    table_row(
        f"mambo estimate, {PEOPLE:,} rows, {texts}",
        f"scan_csv().sink_parquet() ({median(cost.seconds for cost in copies):.1f} s)",
        wanted=f"at most {most}; {most_mb:,} MB",
        reached=f"{ratio:.1f} ({median(cost.seconds for cost in ours):.1f} s); "
        f"{max(cost.peak_mb for cost in ours):,.0f} MB",
    )
    less = median(cost.seconds for cost in of_a_tenth)
    table_row(
        f"mambo estimate, {texts}, growth",
        f"{PEOPLE // 10:,} rows ({less:.1f} s)",
        wanted="at most 10.5",
        reached=f"{median(cost.seconds for cost in ours) / less:.1f}",
    )


# Rows in and out of the ledger: the same ones, by a program that does nothing else.
BARE_LOAD = """
import sqlite3, sys
import polars as pl
source, target = sqlite3.connect(sys.argv[1]), sqlite3.connect(sys.argv[2], isolation_level=None)
for pragma in ("journal_mode = WAL", "synchronous = FULL"):
    target.execute(f"PRAGMA {pragma}")
for name in ("recipients", "recipients_of_chunk", "rejected_recipients"):
    target.execute(source.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0])
rows = pl.read_parquet(sys.argv[3])
marks = ", ".join("?" * rows.width)
for start in range(0, rows.height, 50_000):
    target.execute("BEGIN IMMEDIATE")
    target.executemany(f"INSERT INTO recipients VALUES ({marks})", rows.slice(start, 50_000).rows())
    target.execute("COMMIT")
"""
# Each row becomes a tuple and is let go: to keep ten million of them would take half as long again, and 3.7 GB.
BARE_FETCH = """
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT * FROM recipients"):
    pass
"""
# As if every call had been accepted, and one person in twenty were one that the API cannot reach.
SEND_ALL = """
import sqlite3, sys
ledger = sqlite3.connect(sys.argv[1])
ledger.executescript('''
    BEGIN;
    INSERT INTO recipient_exceptions (campaign_id, row, attempt_id, kind, estimated_ugx)
        SELECT campaign_id, row, chunk, 'unsupported', estimated_ugx
        FROM recipients WHERE chunk IS NOT NULL AND row % 20 = 0;
    INSERT INTO attempts (
        id, campaign_id, chunk, account, run, epoch, intent_at_us, ended_at_us, submitted_count, expected_ugx, verdict,
        http_status, charged_ugx, charged_each_ugx, unsupported_count, consistent, raw_reply
    ) SELECT
        chunk, campaign_id, chunk, 'sandbox', 'run', 1, chunk * 200000, chunk * 200000 + 150000, recipients_count,
        expected_ugx, 'accepted', 200, expected_ugx / recipients_count * (recipients_count - coalesce(people, 0)),
        expected_ugx / recipients_count, coalesce(people, 0), 1, printf('%.*c', 500, '.')
    FROM chunks
    LEFT JOIN (SELECT attempt_id, count(*) AS people FROM recipient_exceptions GROUP BY 1) ON attempt_id = chunk;
    UPDATE chunks SET state = 'accepted', last_attempt = chunk;
    UPDATE campaigns SET state = 'complete', first_call_at_us = 0;
    COMMIT;
''')
"""
ROWS_TO_PARQUET = """
import sqlite3, sys
import polars as pl
rows = pl.read_database("SELECT * FROM recipients", sqlite3.connect(sys.argv[1]), infer_schema_length=None)
rows.write_parquet(sys.argv[2])
"""


@pytest.fixture(scope="module")
def plan_seconds() -> dict[int, float]:
    """What planning so many rows took."""
    return {}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("people", [PEOPLE // 10, PEOPLE])
def test_plan_and_results(
    folder: Path, table_row: Callable[..., None], plan_seconds: dict[int, float], people: int
) -> None:
    """`mambo send` outside the sending window records the plan and makes no call; all that follows reads the ledger."""
    file = campaign(folder, people, ONE_TEXT)
    hour = (time.gmtime().tm_hour + 3 + 12) % 22  # in Kampala, and half a day away
    text = file.read_text(encoding="utf-8") + f'[sending]\nwindow = "{hour:02}:00-{hour + 1:02}:00"\n'
    outside = folder / f"outside-{people}.toml"
    outside.write_text(text, encoding="utf-8")
    settings = {"MAMBO_API_KEY": "sandbox-key-of-nobody", "MAMBO_BASE_URL": "http://127.0.0.1:9"}
    store = folder / f"ledger-{people}.db"

    plan = run(
        *MAMBO, "send", outside.name, "--direct", "--yes", cwd=folder, exit_code=3, MAMBO_STORE=str(store), **settings
    )
    rows = folder / f"rows-{people}.parquet"
    python(ROWS_TO_PARQUET, store, rows, cwd=folder)
    bare = python(BARE_LOAD, store, folder / f"bare-{people}.db", rows, cwd=folder)
    table_row(
        f"mambo send up to the first call, {people:,} rows",
        f"bare bulk load ({bare.seconds:.1f} s)",
        wanted="at most 1.5",
        reached=f"{plan.seconds / bare.seconds:.1f} ({plan.seconds:.1f} s); {plan.peak_mb:,.0f} MB",
    )
    plan_seconds[people] = plan.seconds
    if (less := plan_seconds.get(people // 10)) is not None:
        table_row(
            "mambo send up to the first call, growth",
            f"{people // 10:,} rows ({less:.1f} s)",
            wanted="at most 10.5",
            reached=f"{plan.seconds / less:.1f}",
        )

    def status(exit_code: int) -> str:
        command = (*MAMBO, "status", "national")
        costs = [run(*command, cwd=folder, exit_code=exit_code, MAMBO_STORE=str(store)) for _ in range(TURNS)]
        return f"{median(cost.seconds for cost in costs):.1f} s"

    planned = status(exit_code=3)
    python(SEND_ALL, store, cwd=folder)
    table_row(
        f"mambo status, {people:,} rows",
        "-",
        wanted="at most 1 s",
        reached=f"{planned} as planned, {status(exit_code=0)} when all are sent",
    )

    exports, fetches = [], []
    for _ in range(TURNS):
        fetches.append(python(BARE_FETCH, store, cwd=folder))
        exports.append(
            run(*MAMBO, "results", "national", "--output", "results.csv", cwd=folder, MAMBO_STORE=str(store))
        )
    export, fetch = (median(cost.seconds for cost in costs) for costs in (exports, fetches))
    table_row(
        f"mambo results to CSV, {people:,} rows, all sent",
        f"bare fetch of the rows ({fetch:.1f} s)",
        wanted="at most 2",
        reached=f"{export / fetch:.1f} ({export:.1f} s); {max(cost.peak_mb for cost in exports):,.0f} MB",
    )


@pytest.mark.parametrize(
    ("command", "wanted"), [(("--help",), "at most 0.4 s"), (("check", "0772123456"), "at most 0.8 s")]
)
def test_start(folder: Path, table_row: Callable[..., None], command: tuple[str, ...], wanted: str) -> None:
    seconds = [run(*MAMBO, *command, cwd=folder).seconds for _ in range(2 * TURNS + 1)]
    table_row(f"mambo {' '.join(command)}", "-", wanted=wanted, reached=f"{median(seconds):.2f} s")
