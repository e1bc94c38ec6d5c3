"""`mambo opt-outs`: who wants no messages, from the command line, and what the list does to campaigns."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
import xlsxwriter

from mambo_io.ledger import CampaignRow
from mambo_io.sandbox import SandboxHandle
from mambo_io.window import KAMPALA
from pipelines.campaign import load_campaign
from pipelines.cli import _app
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.sending import Progress
from support.cli import Cli, numbers_of
from support.environment import REPOSITORY
from support.sandboxed import settings
from support.workbooks import columns_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
TODAY = f"{datetime.now(KAMPALA):%Y-%m-%d}"
JANE, AMOS = "0772123456", "0752123458"  # rows 2 and 5 of the people


PAGE = (REPOSITORY / "docs" / "opt-outs.md").read_text(encoding="utf-8")


@pytest.fixture
def api(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    api = start_sandbox()
    cli.use(api)
    return api


def add(cli: Cli, number: str, source: str = "phone call") -> None:
    assert cli("opt-outs", "add", number, "--source", source, "--by", "Grace").code == 0


# --- the list --------------------------------------------------------------------------------------------------------


def test_a_number_is_added_shown_and_removed(cli: Cli) -> None:
    said = cli("opt-outs", "add", "+256 (0)772 123-456", "--source", "phone call from 0701234567", "--by", "Grace")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"+256772•••456 is on the list of opt-outs, since {TODAY} ")
    assert said.out.endswith(" (phone call from •••567).\n")

    again = cli("opt-outs", "add", JANE, "--source", "visit", "--by", "Grace", "--json").json
    assert (again["number"], again["changed"], again["source"]) == ("+256772•••456", False, "phone call from •••567")
    letter = cli("opt-outs", "add", JANE, "--source", "letter", "--by", "Grace", "--since", "2026-01-03")
    assert letter.out == "+256772•••456 is on the list of opt-outs, since 2026-01-03 (letter).\n"

    assert cli("check", JANE).out.endswith(" MTN (by its prefix); opted out since 2026-01-03 (letter)\n")
    checked = [json.loads(line) for line in cli("check", "--json", JANE, AMOS).out.splitlines()]
    assert [(line["opted_out_since"], line["opt_out_source"]) for line in checked] == [
        ("2026-01-03T00:00:00+03:00", "letter"),
        (None, None),
    ]

    removed = cli("opt-outs", "remove", JANE, "--by", "Grace", "--note", "wants to be reminded again")
    assert removed.out == "+256772•••456 is off the list of opt-outs; it was on it since 2026-01-03 (letter).\n"
    assert "opted out" not in cli("check", JANE).out
    assert cli("opt-outs", "list").out.startswith("0 numbers on the list of opt-outs of ")
    events = [line.split("  ", 2)[-1] for line in cli("events").out.splitlines()]
    assert events == [
        "opt_outs_added by Grace: +256772•••456, phone call from •••567: 1 added",
        "opt_outs_added by Grace: +256772•••456, letter: 1 with an earlier day than before",
        "opt_out_removed by Grace: +256772•••456, since 2026-01-03, letter: wants to be reminded again",
    ]


LIST = """\
Name;Contact;Asked on
Jane;0772 123 456;03/11/2025
Ali;+256 701 234 567;
Bob;O772123457;04/11/2025
Amos;0752-123458;2025-11-05
Jane again;256772123456;01/11/2025
Una;0772123456 / 0701234567;
Pia;N/A;
"""


def test_a_list_is_imported_exported_and_imported_again(cli: Cli) -> None:
    cli.write("stop-list.csv", LIST)
    command = ("opt-outs", "import", "stop-list.csv", "--since", "Asked on")
    said = cli(*command, "--rejected", "unread.xlsx")
    assert said.code == 3, "somebody has to look at two rows"
    assert said.out.splitlines() == [
        "stop-list.csv: 7 rows; numbers from Contact, days from Asked on",
        "4 added, 3 more than once in the file.",
        "Note: 1 row with several numbers in one cell: each of them counts (row 7).",
        "2 rows could not be read in full. Only a complete number in them holds anybody back:",
        "  contains_letters  1, letters in the number (row 4)",
        "  missing  1, no number (row 8)",
        "2 rejected rows in unread.xlsx",
    ]
    assert columns_of(cli.folder / "unread.xlsx")["row"] == [4, 8]

    before = cli("opt-outs", "list", "--json").out
    entries = [json.loads(line) for line in before.splitlines()]
    assert [entry["source"] for entry in entries] == ["stop-list.csv"] * 4
    numbers = ["+256701•••567", "+256752•••458", "+256772•••457", "+256772•••456"]
    assert [entry["number"] for entry in entries] == numbers
    assert entries[0]["since"].startswith(TODAY)
    assert [entry["since"] for entry in entries[1:]] == [f"2025-11-0{day}T00:00:00+03:00" for day in (5, 4, 1)]

    again = cli(*command, "--source", "another word", "--json")
    assert again.code == 3
    counts = {"rows": 7, "numbers": 7, "added": 0, "earlier": 0, "known": 4, "repeated": 3, "unread": 2}
    assert {name: again.json[name] for name in counts} == counts
    assert cli("opt-outs", "list", "--json").out == before

    assert cli("opt-outs", "list", "--output", "all.csv").out == "4 numbers in all.csv\n"
    written = pl.read_csv(cli.folder / "all.csv", infer_schema=False)
    assert written["phone"].to_list() == [f"'+256{digits}" for digits in (701234567, 752123458, 772123457, 772123456)]
    moved = cli("opt-outs", "import", "all.csv", "--since", "since", "--json")
    assert (moved.code, moved.json["known"]) == (0, 4), "an export is a list like any other"


def test_rows_that_are_hidden_or_have_a_cell_too_many_count(cli: Cli) -> None:
    """Whoever hid the row, and whatever stands behind the number: the person has said stop."""
    with xlsxwriter.Workbook(cli.folder / "hidden.xlsx") as book:
        sheet = book.add_worksheet()
        for row, cell in enumerate(("Phone", "0773100001", "773100002")):
            sheet.write_string(row, 0, cell)
        sheet.set_row(2, None, None, {"hidden": True})
    cli.write("ragged.csv", 'Phone,Note\n0773200001,x\n0773200002,y,extra\n"0773200003,z\n0773200004/0773200005,q\n')
    hidden, ragged = cli("opt-outs", "import", "hidden.xlsx"), cli("opt-outs", "import", "ragged.csv")
    assert (hidden.code, hidden.out.splitlines()[1:]) == (
        0,
        ["2 added.", "Note: 1 row hidden in the workbook: read like the others (row 3)."],
    )
    assert (ragged.code, ragged.out.splitlines()[1:]) == (
        0,
        [
            "5 added.",
            "Note: 1 row with several numbers in one cell: each of them counts (row 5).",
            "Note: 2 rows with cells that do not fit the header: the phone cell is read (row 3, 4).",
        ],
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(
            ("add", "0414123456", "--source", "visit", "--by", "Grace"),
            "NUMBER: '•••456' is no mobile number of Uganda: not a mobile number. Nothing was changed; `mambo check` ",
            id="a fixed line",
        ),
        pytest.param(("add", JANE, "--source", " ", "--by", "Grace"), "--source: needs something", id="no source"),
        pytest.param(("add", JANE, "--source", "visit", "--by", " "), "--by: needs something", id="nobody"),
        pytest.param(
            ("add", JANE, "--source", "visit", "--by", "Grace", "--since", "yesterday"),
            "--since: 'yesterday' is no day. Write it as 2026-11-03: year, month, day.",
            id="no day",
        ),
        pytest.param(
            ("add", JANE, "--source", "visit", "--by", "Grace", "--since", "2099-01-01"),
            "--since: '2099-01-01' is not a day on which anybody can have opted out. Write the day on which it did, ",
            id="a day to come",
        ),
        pytest.param(
            ("remove", JANE, "--by", "Grace", "--note", "asked"),
            "+256772•••456 is not on the list of opt-outs. Nothing was changed.",
            id="not on the list",
        ),
        pytest.param(("import", "nobody.csv"), "nobody.csv: no such file", id="no file"),
        pytest.param(
            ("import", "stop-list.csv", "--phone", "tel"),
            "stop-list.csv, --phone: 'tel' is no column of it. Its columns: Name, Contact, Asked on.",
            id="no column",
        ),
        pytest.param(
            ("import", "stop-list.csv", "--phone", "Name"),
            "stop-list.csv: none of its 7 rows is a mobile number of Uganda (contains_letters 7). Say which column ",
            id="a column of names",
        ),
        pytest.param(
            ("import", "stop-list.csv", "--since", "Name"),
            "stop-list.csv, row 2, column Name: 'Jane' is no day that can be read. Write days as 2026-11-03 or ",
            id="a column of no days",
        ),
        pytest.param(
            ("import", "ahead.csv", "--since", "since"),
            "ahead.csv, row 2, column since: '2099-01-01' lies in the future.",
            id="a column of days to come",
        ),
        pytest.param(
            ("import", "two.csv"),
            "two.csv: it is not plain which column of this opt-out list holds the numbers. Say which: --phone ",
            id="two columns",
        ),
        pytest.param(
            ("import", "stop-list.csv", "--rejected", "stop-list.csv"),
            "stop-list.csv, --rejected: is the list itself. Choose another name.",
            id="over itself",
        ),
    ],
)
def test_what_is_refused(cli: Cli, arguments: tuple[str, ...], line: str) -> None:
    add(cli, AMOS)
    cli.write("stop-list.csv", LIST)
    cli.write("ahead.csv", f"phone,since\n{JANE},2099-01-01\n")
    cli.write("two.csv", f"phone,mobile\n{JANE},{AMOS}\n")
    assert cli.refused("opt-outs", *arguments).startswith(line)


def test_a_ledger_that_cannot_be_asked_is_told_and_numbers_are_explained(cli: Cli) -> None:
    cli.write("ledger.db", "something else")
    said = cli("check", JANE)
    assert (said.code, said.out) == (0, f"{JANE}: good, +256{JANE[1:]}, MTN (by its prefix)\n")
    assert said.err.startswith("mambo: the list of opt-outs was not asked: ")


def test_the_commands_of_the_page_are_understood() -> None:
    typed = re.findall(r"^mambo ([^#\n]+)", PAGE, re.MULTILINE)
    assert len(typed) == 7
    for command in typed:
        _app(None).parse_args(shlex.split(command), exit_on_error=False, print_error=False)


# --- what it does to campaigns ---------------------------------------------------------------------------------------


def test_who_is_on_the_list_is_left_out_of_every_campaign_of_every_account(cli: Cli, api: SandboxHandle) -> None:
    add(cli, JANE, "visit")
    cli.write("stop.csv", f"phone\n{AMOS}\n")
    cli.campaign(suppression={"paths": ["stop.csv"]}, recipients={"keep": ["opt_out_source_"]})
    header, *people = (cli.folder / "people.csv").read_text(encoding="utf-8").splitlines()
    own_column = [f"{header},opt_out_source", *(f"{person},a column of their own" for person in people)]
    cli.write("people.csv", "\n".join(own_column))
    estimated = cli("estimate", "clinic-day.toml", "--rejected", "rejected.csv")
    assert "Opted out, as known from: stop.csv 1, visit 1" in estimated.out
    rejected = pl.read_csv(cli.folder / "rejected.csv").select("row", "reject_reason", "opt_out_source")
    assert rejected.rows() == [(2, "opted_out", "visit"), (4, "contains_letters", None), (5, "opted_out", "stop.csv")]

    assert cli(*SEND).code == 0
    assert cli("status", "clinic-day", "--json").json["rejected"] == {"opted_out": 2, "contains_letters": 1}
    cli.set(ACCOUNT="another")
    cli.campaign(message="Another text.", name="other-day")
    assert cli(*SEND).code == 0
    assert api.deliveries()["e164"].to_list() == ["+256701234567", "+256701234567", f"+256{AMOS[1:]}"]
    test = ("send", "clinic-day.toml", "--yes", "--test-to", JANE)
    assert cli.refused(*test).endswith("cannot be messaged: the person has opted out")


def test_a_transactional_campaign_says_so(cli: Cli, api: SandboxHandle) -> None:
    cli.set(MAX_COST_PER_DAY_UGX="50")
    add(cli, JANE)
    cli.write("stop.csv", f"phone\n{AMOS}\n")
    own_files = {"paths": ["stop.csv"]}
    cli.campaign(suppression=own_files, sending={"chunk_size": 1}, approval="required")
    assert cli(*SEND).code == 3
    before = cli("status", "clinic-day", "--json").json
    transactional = {**own_files, "transactional": True}
    cli.campaign(suppression=transactional, sending={"chunk_size": 1}, approval="required")

    said = cli(*SEND).out
    warning = "[suppression] transactional: the list of opt-outs is not asked; of those to be messaged 1 is on it."
    assert f"Warning: {warning}" in said
    notice = "Transactional: the list of opt-outs is not asked, only the campaign's own files."
    planned = cli("status", "clinic-day", "--json").json
    assert (before["transactional"], planned["transactional"]) == (False, True)
    assert planned["plan_digest"] != before["plan_digest"]
    assert notice in cli("approve", "clinic-day", "--by", "Grace").out
    assert cli(*SEND).code == 3, "what a day may cost is spent"
    assert api.deliveries()["e164"].to_list() == [f"+256{JANE[1:]}"]
    assert notice in cli("status", "clinic-day").out
    assert ": the list of opt-outs is not asked; 1 of the recipients are on it" in cli("events", "clinic-day").out

    cli.campaign(suppression=own_files, approval="required")
    assert "clinic-day/1 has begun, and [suppression] transactional changed since" in cli.refused(*SEND)


def test_an_opt_out_counts_before_the_next_call(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle], store_url: str
) -> None:
    """Somebody calls while the campaign is being sent, and the clerk types it in."""
    api = start_sandbox()
    cli.set(STORE=store_url)
    cli.campaign(numbers_of(6), sending={"chunk_size": 1, "canary_size": 1, "concurrency": 1})
    campaign, account = load_campaign(cli.folder / "clinic-day.toml"), settings(api, store_url)
    added: list[str] = []

    def clerk(progress: Progress, row: CampaignRow) -> None:
        if not added:
            added.append("the person in row 7")
            add(cli, "0772100005")

    summary = send_edition(
        campaign,
        account,
        edition="1",
        prepared=prepare(campaign, edition="1", account=account.account, ledger=None),
        command="mambo send",
        on_progress=clerk,
    )
    assert (added, summary.exit_code) == (["the person in row 7"], 0)
    assert (summary.outcomes, summary.rejected) == ({"accepted": 5, "rejected": 1}, {"opted_out": 1})
    assert summary.differences == {"opted out after the plan": 50}
    assert "+256772100005" not in api.deliveries()["e164"].to_list()
