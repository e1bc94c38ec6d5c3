"""Looking at what was recorded: `mambo status`, `results`, `balance`, `store`, and the file that `mambo new` writes."""

from __future__ import annotations

import getpass
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

import pipelines
from mambo_io import log
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Charge, NoAnswer
from mambo_io.side_file import SideFile
from mambo_io.store import Store
from pipelines.campaign import load_campaign
from support.cli import Cli, campaign_toml, numbers_of
from support.ledgers import Run, good_reply, plan

SEND = ("send", "clinic-day.toml", "--direct", "--yes")


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def api(cli: Cli, sandbox: SandboxHandle) -> SandboxHandle:
    sandbox.set_faults([])
    cli.use(sandbox)
    return sandbox


@pytest.fixture
def sent(cli: Cli, api: SandboxHandle) -> Cli:
    """clinic-day/1 is complete; clinic-day/2 has stopped after its first call, at another price."""
    cli.campaign(recipients={"keep": ["first_name", "day"]})
    assert cli(*SEND).code == 0
    cli.campaign(message="Clinic day is Monday.", sending={"canary_size": 1})
    api.set_faults([Charge(price_ugx=60, times=None)])
    assert cli(*SEND, "--edition", "2").code == 3
    return cli


# --- status ----------------------------------------------------------------------------------------------------------


def test_all_campaigns_in_columns(sent: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = sent("status")

    assert said.code == 3, "something is left to do"
    assert said.out.partition("Log: ")[0] == (
        "campaign      rows  accepted  other  left  estimated  charged  state\n"
        "clinic-day/2     4         1      1     2        150       60  paused (canary)\n"
        "clinic-day/1     4         3      1     0        150      150  complete\n"
    )
    assert said.out.endswith("mambo.log\n")
    monkeypatch.setattr(log, "data_folder", lambda: sent.folder / "people.csv")
    assert sent("status").out.endswith("mambo.log, which cannot be written: Not a directory\n")


def test_one_campaign_and_how_it_goes_on(sent: Cli) -> None:
    newest, first = sent("status", "clinic-day"), sent("status", "clinic-day", "--edition", "1")

    assert newest.code == 3
    assert newest.out.startswith("clinic-day/2  paused: the first receipt does not agree with the estimate")
    assert newest.pairs()["planned"] == "2"
    assert newest.next_command == ["send", "clinic-day.toml", "--edition", "2", "--direct", "--accept-canary"]
    assert first.code == 0
    assert first.out.startswith("clinic-day/1  complete\naccepted  3\nrejected  1\n")


def test_what_goes_on_names_the_campaign_file_wherever_it_lies(
    sent: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By whatever name the file has, and from whatever folder one looks."""
    folder = sent.folder / "campaigns"
    folder.mkdir()
    for name in ("people.csv", "clinic-day.toml"):
        (sent.folder / name).rename(folder / name)
    weekly = (folder / "clinic-day.toml").rename(folder / "weekly.toml")
    assert sent("send", "campaigns/weekly.toml", "--edition", "2", "--direct", "--yes").code == 3

    options = ["--edition", "2", "--direct", "--accept-canary"]
    assert sent("status", "clinic-day").next_command == ["send", "campaigns/weekly.toml", *options]
    assert sent("pause", "clinic-day", "--by", "Grace").code == 0
    resumed = sent("resume", "clinic-day", "--by", "Grace")
    assert resumed.next_command == ["send", "campaigns/weekly.toml", *options[:-1]]

    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert sent("status", "clinic-day").next_command == ["send", str(weekly), *options]
    weekly.rename(folder / "renamed.toml")
    weekly.write_text('name = "another"\n')
    assert sent("status", "clinic-day").next_command == ["send", str(folder / "renamed.toml"), *options]
    (folder / "renamed.toml").unlink()
    (said,) = [line for line in sent("status", "clinic-day").out.splitlines() if line.startswith("Next: ")]
    assert said == (
        'Next: mambo send FILE --edition 2 --direct --accept-canary  (FILE: the campaign file with name = "clinic-day")'
    )


def test_who_sends_it_or_that_nobody_does(cli: Cli, store_url: str) -> None:
    cli.set(STORE=store_url)
    with Store(store_url, create=True) as store, store.locked_writer("clinic-day/1") as connection:
        Run.of(connection, plan(1, 1)).claim_one()
        said = cli("status", "clinic-day")
        me = rf"{getpass.getuser()} on \S+, since \S+ \d\d:\d\d in Kampala"
        assert re.match(rf"clinic-day/1  sending \({me}\)\n", said.out)
        assert (said.code, "Next: " in said.out) == (3, False)
        assert re.search(rf"sending \({me}\)\n", cli("status").out)
    ended = cli("status", "clinic-day")
    assert ended.out.startswith("clinic-day/1  sending: its process has ended; starting it again tells")
    assert ended.code == 3
    assert "sending (process_ended)\n" in cli("status").out


def test_replies_that_the_ledger_did_not_take_are_told(cli: Cli) -> None:
    with Store(str(cli.folder / "ledger.db"), create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(1, 1))
        side_file = SideFile(store.aside(run.campaign.id), "ended")
        with side_file.reserved(1):
            call = run.claim_one()
            side_file.keep([run.end(call, good_reply(call))])

    told = "clinic-day/1: 1 reply that the ledger did not take, kept beside it; the next run records them first.\n"
    assert told in cli("status").out
    assert cli("status", "clinic-day", "--json").json["kept_replies"] == 1


def test_status_for_a_program(sent: Cli) -> None:
    lines = [json.loads(line) for line in sent("status", "--json").out.splitlines()]

    assert [(line["campaign"], line["edition"], line["state"]) for line in lines] == [
        ("clinic-day", "2", "paused"),
        ("clinic-day", "1", "complete"),
    ]
    assert lines[0]["stop_reason"] == "canary"
    assert sent("status", "clinic-day", "--edition", "1", "--json").json == lines[1]


def test_unknown_calls_are_listed(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(10), sending={"chunk_size": 5, "canary_size": 5, "concurrency": 1})
    api.set_faults([NoAnswer(executes=False, skip=1)])
    cli(*SEND)

    said = cli("status", "clinic-day")

    assert said.code == 3
    (line,) = [line for line in said.out.splitlines() if line.startswith("Unknown: ")]
    assert line.startswith("Unknown: API call clinic-day/1/c0002 of 20")
    assert ", 5 people, UGX 250 (" in line
    (call,) = cli("status", "clinic-day", "--json").json["unknown_calls"]
    assert call["evidence"] == "nothing is missing from the balance for it, but MAMBO_ACCOUNT_EXCLUSIVE is not set"
    assert (call["name"], call["recipients_count"], call["expected_ugx"]) == ("clinic-day/1/c0002", 5, 250)


def test_a_ledger_without_campaigns(cli: Cli, api: SandboxHandle) -> None:
    cli("balance")  # the reading is kept, so there is a ledger

    said = cli("status")

    assert (said.code, said.out.splitlines()[0]) == (0, f"No campaign was ever sent from {cli.folder}/ledger.db.")


# --- results ---------------------------------------------------------------------------------------------------------

COLUMNS = [
    "campaign", "edition", "row", "phone_raw", "e164", "network_guess", "outcome", "reason", "message", "encoding",
    "segments", "estimated_ugx", "charged_ugx", "chunk", "attempt", "sent_at", "delivery",
    "first_name", "day",
]  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_results_in_every_format(sent: Cli, ending: str) -> None:
    said = sent("results", "clinic-day", "--edition", "1", "--output", f"results.{ending}")

    assert (said.code, said.out) == (0, f"4 rows in results.{ending}\n")
    file = sent.folder / f"results.{ending}"
    match ending:
        case "csv":
            table = pl.read_csv(file, infer_schema=False).to_dicts()
        case "parquet":
            table = pl.read_parquet(file).to_dicts()
        case _:
            header, *cells = CalamineWorkbook.from_path(file).get_sheet_by_index(0).to_python()
            table = [dict(zip(map(str, header), row, strict=True)) for row in cells]
    assert [list(row) for row in table] == [COLUMNS] * 4
    rows = {row["first_name"]: row for row in table}
    assert rows["Jane"]["e164"] == "+256772123456"
    assert (rows["Jane"]["outcome"], int(rows["Jane"]["charged_ugx"])) == ("accepted", 50)
    assert (rows["Bob"]["outcome"], rows["Bob"]["reason"]) == ("rejected", "contains_letters")


def test_results_are_those_of_the_newest_edition(sent: Cli) -> None:
    sent("results", "clinic-day", "--output", "results.parquet")

    written = pl.read_parquet(sent.folder / "results.parquet")
    assert written["edition"].unique().to_list() == ["2"]
    assert written["outcome"].to_list() == ["accepted", "planned", "rejected", "planned"]
    assert written.equals(pipelines.results("clinic-day"))


# --- balance ---------------------------------------------------------------------------------------------------------


def test_a_balance_is_read_once_and_kept(cli: Cli, api: SandboxHandle) -> None:
    balance_ugx, calls = api.account().balance_ugx, api.calls().height

    said = cli("balance")

    assert (said.code, said.out) == (0, f"Account sandbox at 127.0.0.1: UGX {balance_ugx:,}\n")
    assert api.calls().height == calls + 1
    assert cli("balance", "--json").json == {"account": "sandbox", "balance_ugx": balance_ugx}
    cli.campaign()
    assert cli("estimate", "clinic-day.toml").pairs()["Balance"].startswith(f"UGX {balance_ugx:,} at 20")


def test_refused_credentials_are_not_tried_again(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    api = start_sandbox()
    cli.use(api)
    cli.set(PASSWORD="secret-but-wrong")
    first = cli("balance")

    again = [cli("balance") for _ in range(3)]

    assert first.code == 2
    assert first.err.startswith("mambo: the balance was refused: Invalid credentials. Check MAMBO_USERNAME and ")
    assert first.err.endswith("When they are right: mambo balance --unlock.\n")
    assert first.err.count("\n") == 1
    for said in again:
        assert said.code == 2
        assert "the API refused these credentials before, and another refusal may suspend the account." in said.err
        assert said.err.endswith("Correct MAMBO_USERNAME and MAMBO_PASSWORD, then: mambo balance --unlock.\n")
    assert "secret" not in first.err + again[0].err
    assert api.calls().height == 1, "failed attempts suspend the account"

    cli.use(api)
    assert cli("balance").code == 2, "the right password alone does not unlock it"
    assert cli("balance", "--unlock").code == 0
    assert cli("balance").code == 0
    assert api.calls().height == 3


def test_a_balance_that_does_not_come(cli: Cli, api: SandboxHandle) -> None:
    api.set_faults([NoAnswer(endpoint="balance", executes=False)])

    said = cli("balance")

    assert (said.code, said.out) == (3, "")
    assert said.err == "mambo: The balance could not be read: broken answer. To ask again: mambo balance.\n"
    assert cli("balance").code == 0, "no answer is no refusal"


# --- store -----------------------------------------------------------------------------------------------------------


def test_what_a_store_holds(sent: Cli) -> None:
    facts = sent("store", "info", "--json").json

    assert facts["store"] == str(sent.folder / "ledger.db")
    assert (facts["campaign_editions"], facts["recipients"]) == (2, 8)
    assert facts["size_mb"] > 0
    assert sent("store", "info").out == "".join(f"{key.replace('_', ' ')}: {value}\n" for key, value in facts.items())


def test_a_backup_is_a_ledger(sent: Cli) -> None:
    status = sent("status", "--json").out

    said = sent("store", "backup", "copy.db")

    assert (said.code, said.out) == (0, f"{sent.folder}/ledger.db copied to copy.db\n")
    assert (sent.folder / "copy.db").stat().st_mode & 0o077 == 0, "it holds everybody's numbers"
    sent.set(STORE=str(sent.folder / "copy.db"))
    assert sent("status", "--json").out == status


def test_a_ledger_of_a_newer_version_is_left_alone(sent: Cli) -> None:
    with closing(sqlite3.connect(sent.folder / "ledger.db")) as connection, connection:
        connection.execute("UPDATE ledger_meta SET value = '99' WHERE key = 'schema_version'")

    for command in ("status", "send clinic-day.toml --direct --yes", "balance", "store backup copy.db"):
        assert "the ledger is of version 99, this program knows version " in sent.refused(*command.split())


# --- a new campaign --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("phone,first_name", id="plain"),
        pytest.param("Tel. No,Date of birth", id="spaces and dots"),
        pytest.param('phone,"the ""nick"" name"', id="quotes"),
        pytest.param("phone,back\\slash", id="backslash"),
        pytest.param('phone,"first\nname"', id="a line break"),
        pytest.param("phone,{braces} | bar", id="what a merge field cannot name"),
        pytest.param("phone,Erinnya eŋŋwa 😀", id="letters of Luganda"),
        pytest.param("phone,de\x7flete", id="a character that TOML forbids"),
        pytest.param("phone", id="nothing but numbers"),
    ],
)
def test_a_new_campaign_can_be_estimated_as_it_is(cli: Cli, header: str) -> None:
    cells = ",Jane" if "," in header else ""
    cli.write("people.csv", f"{header}\n0772123456{cells}\n")

    said = cli("new", "flour-day", "people.csv")

    assert (said.code, said.out) == (
        0, "flour-day.toml is written. Put in your message, then: mambo estimate flour-day.toml\n",
    )  # fmt: skip
    estimated = cli("estimate", "flour-day.toml", "--json").json
    assert estimated["sendable"] == 1
    assert [said.partition(" of ")[0] for said in estimated["obstacles"]] == ["message is still the example"]
    campaign = load_campaign(Path("flour-day.toml"))
    assert (campaign.name, campaign.sandbox_only, campaign.sending.max_cost_ugx) == ("flour-day", True, 100_000)
    assert len(campaign.recipients.keep) == header.count(",")


def test_a_new_campaign_over_a_sheet_that_has_to_be_named(cli: Cli) -> None:
    (cli.folder / "lists").mkdir()
    with xlsxwriter.Workbook(cli.folder / "lists" / "people.xlsx") as book:
        book.add_worksheet("Notes").write_column(0, 0, ["remark", "by Jane"])
        clients = book.add_worksheet("Clients")
        clients.write_column(0, 0, ["Clients of 2026", "phone", "0772123456"])
        clients.write_column(1, 1, ["phone of a neighbour", "0701234567"])
    assert "several sheets are filled" in cli.refused("new", "a", "lists/people.xlsx")

    made = cli("new", "flour-day", "lists/people.xlsx", "--sheet", "Clients", "--header-row", "2", "--phone", "phone")

    assert made.code == 0
    recipients = load_campaign(Path("flour-day.toml")).recipients
    assert (recipients.path, recipients.sheet) == (Path("lists/people.xlsx"), "Clients")
    assert (recipients.header_row, recipients.phone) == (2, "phone")
    assert cli("estimate", "flour-day.toml", "--json").json["sendable"] == 1


def test_a_new_campaign_tells_what_was_noticed_and_asks_where_it_is_not_plain(cli: Cli) -> None:
    cli.write("twice.csv", "Name,phone,phone,Phone\nJane,0772123456,0772123457,0772123458\n")
    cli.write("title.csv", "Clinic list,,\nName,Phone,Town\nJane,0772123456,Gulu\n")

    refused = cli.refused("new", "twice", "twice.csv")
    assert "not plain which column holds the telephone numbers" in refused
    assert "phone_1, phone_2, Phone." in refused
    assert "If the column names stand in a lower row, say which: --header-row 2." in cli.refused(
        "new", "t", "title.csv"
    )

    assert cli("new", "twice", "twice.csv", "--phone", "Phone").out == (
        "Note: 2 columns are named 'phone': column 2 is read as 'phone_1'.\n"
        "Note: 2 columns are named 'phone': column 3 is read as 'phone_2'.\n"
        "twice.toml is written. Put in your message, then: mambo estimate twice.toml\n"
    )
    assert cli("new", "title", "title.csv", "--header-row", "2").code == 0


def test_campaign_and_list_may_stand_in_another_folder(cli: Cli, api: SandboxHandle) -> None:
    """Names of files may look like markup, too."""
    folder = cli.folder / "lists [bold]"
    folder.mkdir()
    (folder / "people.csv").write_text(numbers_of(1))
    (folder / "day one.toml").write_text(campaign_toml())
    file = Path("lists [bold]", "day one.toml")

    assert cli("send", file, "--direct", "--yes").code == 0
    again = cli("send", file, "--direct")
    assert again.out.endswith("lately: mambo send 'lists [bold]/day one.toml' --edition 2\n")
    assert cli("results", "clinic-day", "--output", "lists [bold]/r.csv").out == "1 row in lists [bold]/r.csv\n"
