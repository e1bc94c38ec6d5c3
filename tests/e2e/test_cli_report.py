"""`mambo report`: people and money in every form, the same as the sandbox's own account says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Altered, NoAnswer, Status
from mambo_io.store import Store
from pipelines.examples import example_folder
from pipelines.reconciliation import OUTCOMES, cut, read_books
from support.cli import Cli, campaign_toml
from support.ledgers import every_outcome, number
from support.processes import run
from support.sandboxed import UNREACHABLE, people

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
ENDINGS = ("html", "xlsx", "csv", "parquet")


def charged_ugx(file: Path) -> int:
    """What the report says in its own words that was charged."""
    match file.suffix:
        case ".html":
            [told] = re.findall(r"<dt>Charged[^<]*</dt><dd><b>UGX ([\d,]+)</b>", file.read_text("utf-8"))
            return int(told.replace(",", ""))
        case ".xlsx":
            with CalamineWorkbook.from_path(file) as book:
                rows = {row[0]: row[1] for row in book.get_sheet_by_name("Summary").to_python() if len(row) > 1}
            return int(str(rows["Charged (UGX)"]).removesuffix(".0"))
        case ending:
            table = pl.read_csv(file) if ending == ".csv" else pl.read_parquet(file)
            return int(table["charged_ugx"].sum())


@pytest.fixture
def ledger_of_every_outcome(cli: Cli) -> Cli:
    with Store(str(cli.folder / "ledger.db"), create=True) as store, store.writer() as connection:
        every_outcome(connection)
    return cli


def test_the_example_campaign(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    """What `mambo demo` sends."""
    cli.use(api := start_sandbox(unsupported_prefix=("+25672",)))
    for file in example_folder().iterdir():
        if file.suffix in (".toml", ".csv"):
            cli.write(file.name, file.read_bytes())
    assert cli(*SEND).code == 0
    for ending in ENDINGS:
        said = cli("report", "clinic-day", "--kept", "district", "--output", f"report.{ending}")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"1,000 people of 1 campaign in report.{ending}\n")
        assert charged_ugx(cli.folder / f"report.{ending}") == api.account().charged_ugx > 0
    table = pl.read_csv(cli.folder / "report.csv")
    assert table.height == 1_000
    assert table["outcome"].value_counts().sort("outcome").rows() == [
        ("accepted", 874),
        ("rejected", 95),
        ("unsupported", 31),
    ]
    assert table["e164"].drop_nulls().str.contains(r"^\+2567\d\d•••\d{3}$").all()
    assert {"client_id", "district"} <= set(table.columns)


def test_whatever_befell_the_campaign(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    """Unsupported people, a receipt that says too much, a refused call, and one without an answer that was executed:
    unknown until the balance is asked, and then charged, to the shilling."""
    cli.use(api := start_sandbox(unsupported_prefix=(UNREACHABLE,)))
    cli.campaign(
        people=people(60, unreachable=(3, 40)),
        sending={"chunk_size": 10, "concurrency": 1, "canary_size": 5, "pause_after_unknown": 5},
    )
    cli.set(PASSWORD=None)
    api.set_faults([Altered(data={"recipients_count": 99}, skip=2)])
    assert cli(*SEND).code == 3
    left = cli("status", "clinic-day", "--json").json["calls"]["planned"]
    refused = Status(http_status=400, messages=["The sender ID is not registered"])
    lost = NoAnswer(executes=True, skip=left - 2)
    api.set_faults([refused, lost])  # the first of the rest, and the last
    assert cli(*SEND).code == 3
    table = cli.folder / "report.parquet"
    assert cli("report", "--output", table).code == 0
    before = dict(pl.read_parquet(table)["outcome"].value_counts().iter_rows())
    assert before.keys() == {"accepted", "unsupported", "unverified", "refused", "unknown"}
    assert charged_ugx(table) < api.account().charged_ugx

    cli.set(PASSWORD=api.password)
    cli("settle", "clinic-day")
    for ending in ENDINGS:
        assert cli("report", "--output", f"report.{ending}").code == 0
        assert charged_ugx(cli.folder / f"report.{ending}") == api.account().charged_ugx


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_outcome_stands_in_every_form(ledger_of_every_outcome: Cli, ending: str) -> None:
    cli = ledger_of_every_outcome
    said = cli("report", "clinic-day/1", "--output", f"report.{ending}")
    assert (said.code, said.err) == (0, "")
    assert charged_ugx(cli.folder / f"report.{ending}") == 201
    if ending == "csv":
        counted = dict(pl.read_csv(cli.folder / "report.csv")["outcome"].value_counts().iter_rows())
        with Store(str(cli.folder / "ledger.db")) as store:
            sums = cut(read_books(store)).row(0, named=True)
        assert counted == {outcome: sums[outcome] for outcome in OUTCOMES if sums[outcome]}


@pytest.mark.parametrize("ending", ["html", "xlsx", "csv"])
def test_full_numbers_only_when_they_are_asked_for(ledger_of_every_outcome: Cli, ending: str) -> None:
    cli = ledger_of_every_outcome
    path = cli.folder / f"report.{ending}"

    def holds_a_number() -> bool:
        if ending == "xlsx":
            with CalamineWorkbook.from_path(path) as book:
                cells = [
                    cell
                    for name in book.sheet_names
                    for row in book.get_sheet_by_name(name).iter_rows()
                    for cell in row
                ]
            return number(8) in cells
        return number(8) in path.read_text("utf-8")

    cli("report", "--output", path)
    assert not holds_a_number()
    cli("report", "--output", path, "--full-numbers")
    assert holds_a_number()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_period_without_a_campaign_is_a_report_that_says_so(ledger_of_every_outcome: Cli, ending: str) -> None:
    cli = ledger_of_every_outcome
    said = cli("report", "--month", "2025-01", "--output", f"report.{ending}")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("0 people of 0 campaigns in ")
    if ending == "html":
        page = (cli.folder / "report.html").read_text("utf-8")
        assert "No campaign was sent or planned in this period" in page
        assert "No campaign, January 2025" in page


@pytest.mark.parametrize(
    ("period", "people"),
    [
        (("--month", "2026-03"), 12),
        (("--month", "2026-02"), 0),
        (("--from", "2026-03-02"), 12),
        (("--from", "2026-03-03"), 0),
        (("--to", "2026-03-02"), 12),
        (("--to", "2026-03-01"), 0),
        (("--from", "2026-03-01", "--to", "2026-03-31"), 12),
    ],
)
def test_periods(ledger_of_every_outcome: Cli, period: tuple[str, ...], people: int) -> None:
    said = ledger_of_every_outcome("report", *period, "--output", "report.csv")
    assert said.out.startswith(f"{people} people of ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("clinc-day", "--output", "r.html"), "there is no campaign clinc-day in ledger.db. Did you mean clinic-day?"),
        (("clinic-day/7", "--output", "r.html"), "clinic-day has no edition 7. It has: 1."),
        (
            ("--output", "r.pdf"),
            "r.pdf: reports that end in '.pdf' are not written. These endings are: .html, .xlsx, .csv, .parquet.",
        ),
        (("--output", "nowhere/r.html"), "nowhere/r.html: no folder 'nowhere'. Make the folder first."),
        (("--output", "people.csv"), "people.csv: has the name of the list of recipients. Choose another name."),
        (("--month", "2026-13", "--output", "r.csv"), "--month: '2026-13' is no month. Write it as 2026-01."),
        (("--month", "0000-01", "--output", "r.csv"), "--month: '0000-01' is no month. Write it as 2026-01."),
        (
            ("--from", "2026-02-30", "--output", "r.csv"),
            "--from: '2026-02-30' is no day. Write it as 2026-11-03: year, month, day.",
        ),
        (
            ("--from", "2026-02-01", "--to", "2026-01-01", "--output", "r.csv"),
            "--to: '2026-01-01' is before --from. Exchange the two.",
        ),
        (
            ("--month", "2026-01", "--to", "2026-01-31", "--output", "r.csv"),
            "--month: goes with neither --from nor --to. Give one or the other.",
        ),
        (
            ("--kept", "donor", "--output", "r.csv"),
            "'donor' is a column that none of these campaigns keeps. They keep: client_id.",
        ),
    ],
)
def test_what_is_refused(ledger_of_every_outcome: Cli, arguments: tuple[str, ...], told: str) -> None:
    ledger_of_every_outcome.write("people.csv", "phone\n")
    assert ledger_of_every_outcome.refused("report", *arguments) == told


def test_without_a_ledger(cli: Cli) -> None:
    assert "there is no ledger yet" in cli.refused("report", "--output", "r.html")


@pytest.mark.parametrize("package", ["altair", "jinja2", "vl_convert"])
def test_a_page_needs_the_extra_and_the_other_forms_do_without(ledger_of_every_outcome: Cli, package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"  # as if it were not installed
        "from pipelines.cli import run\n"
        "print(*(run(['report', '--output', f'r.{ending}']) for ending in ('xlsx', 'csv', 'parquet', 'html')))"
    )
    found = run(sys.executable, "-c", program, cwd=ledger_of_every_outcome.folder, env={"MAMBO_STORE": "ledger.db"})
    assert found.stdout.splitlines()[-1] == "0 0 0 2"
    assert found.stderr == (
        f"mambo: a page with charts needs a package that is not installed: {package}. "
        "pip install 'mambo-pipelines[reports]'; .xlsx, .csv and .parquet do without.\n"
    )


def test_delivery_reports_stand_beside_the_outcomes(ledger_of_every_outcome: Cli) -> None:
    """One of the two accepted was delivered by the provider's word, the other was not; that one is looked after."""
    cli = ledger_of_every_outcome
    cli.write("export.csv", f"number,status\n{number(1)},DELIVRD\n{number(3)},UNDELIV\n")
    assert cli("deliveries", "import", "export.csv", "--phone", "number", "--status", "status").code == 0
    for ending in ENDINGS:
        assert cli("report", "--output", f"report.{ending}").code == 0
    table = pl.read_csv(cli.folder / "report.csv").filter(outcome="accepted")
    assert table.select("row", "delivery").rows() == [(1, "delivered"), (3, "failed")]
    page = (cli.folder / "report.html").read_text("utf-8")
    assert "Of the 2 accepted, the provider&#39;s export names 1 as delivered and 1 as failed." in page
    with CalamineWorkbook.from_path(cli.folder / "report.xlsx") as book:
        assert [row[:2] for row in book.get_sheet_by_name("By delivery").to_python()[1:]] == [
            ["Delivered", 1],
            ["Failed", 1],
        ]
        exceptions = book.get_sheet_by_name("Exceptions").to_python()[3:]
    assert [row[2] for row in exceptions if row[0] == 3] == ["Not delivered"]
    assert len(exceptions) == 11


def test_an_old_report_is_replaced_when_the_new_one_is_whole(
    ledger_of_every_outcome: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = ledger_of_every_outcome
    old = cli.write("report.html", "the old one")

    def fails(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.report.page.page", fails)
    assert cli.refused("report", "--output", "report.html") == (
        "report.html: the file cannot be written: No space left on device"
    )
    assert old.read_text() == "the old one"


def test_a_text_in_a_kept_column_is_no_formula(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    cli.use(start_sandbox())
    cli.write("people.csv", 'phone,donor\n0772123456,"=HYPERLINK(0)"\n')
    cli.write("clinic-day.toml", campaign_toml(recipients={"keep": ["donor"]}))
    assert cli(*SEND).code == 0
    cli("report", "--output", "report.csv")
    assert (cli.folder / "report.csv").read_text("utf-8-sig").splitlines()[1].endswith(",'=HYPERLINK(0)")
