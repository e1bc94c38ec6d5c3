"""Bad input gives one clear line and exit code 2, and changes nothing: each case is one that people meet."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import psutil
import pytest
import xlsxwriter

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Charge
from support.cli import PEOPLE, Cli, campaign_toml, numbers_of
from support.processes import MAMBO, mambo
from support.sandboxed import environment

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
ESTIMATE = ("estimate", "clinic-day.toml")
KEY = "secret-key-9f3b"
NOWHERE = "http://127.0.0.1:9"  # nothing listens at the discard port; nothing gets that far


@pytest.fixture(autouse=True)
def settings(cli: Cli) -> None:
    cli.set(BASE_URL=NOWHERE, API_KEY=KEY, USERNAME="jane@example.com", PASSWORD="secret-password")


def parquet(keep: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"phone": ["0772123456"] * 1000}).write_parquet(buffer)
    return buffer.getvalue()[: int(len(buffer.getvalue()) * keep)]


def workbook(*sheets: str, hidden: tuple[int, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        for name in sheets or ("People",):
            sheet = book.add_worksheet(name)
            sheet.write_column(0, 0, ["phone", "0772123456", "0772123457", "0772123458"])
            for row in hidden:
                sheet.set_row(row, None, None, {"hidden": True})
    return buffer.getvalue()


# --- the list of people ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [ESTIMATE, SEND], ids=["estimate", "send"])
@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        pytest.param("people.csv", None, "people.csv: no such file", id="no file"),
        pytest.param("people.csv", b"", "people.csv: the file is empty", id="empty"),
        pytest.param("people.csv", b"phone,first_name\n", "people.csv, row 1: there are no rows below the column "
                     "names", id="header only"),
        pytest.param("people.csv", b"name,day\nJane,Friday\n", "people.csv: no column is plainly the phone column. "
                     'Say which in the campaign file: [recipients] phone = "…", one of: name, day.', id="no phone"),
        pytest.param("people.csv", b"phone,mobile\n0772123456,0772123457\n", "people.csv: more than one column may be "
                     'the phone column. Say which in the campaign file: [recipients] phone = "…", one of: phone, '
                     "mobile.", id="two phone columns"),
        pytest.param("people.csv", b"\x89PNG\r\n\x1a\n" + bytes(99), "people.csv: this is a picture, not CSV text",
                     id="a picture named .csv"),
        pytest.param("people.csv", workbook(), "people.csv: this is an Excel workbook (.xlsx), not CSV text",
                     id="a workbook named .csv"),
        pytest.param("people.parquet", parquet(keep=0.9), "people.parquet: the Parquet file is cut short or damaged",
                     id="truncated Parquet"),
        pytest.param("people.xlsx", workbook()[:2000], "people.xlsx: ", id="truncated workbook"),
        pytest.param("people.xlsx", workbook("Clients", "Staff"), "people.xlsx, sheet: several sheets are filled: ",
                     id="several sheets"),
        pytest.param("~$people.xlsx", b"Jane", "~$people.xlsx: this is a spreadsheet program's lock file, not the "
                     "workbook. The workbook beside it is 'people.xlsx'.", id="the lock file of Excel"),
    ],
)  # fmt: skip
def test_lists(cli: Cli, command: tuple[str, ...], name: str, content: bytes | None, line: str) -> None:
    cli.campaign(recipients={"path": name})
    (cli.folder / "people.csv").unlink()
    if content is not None:
        cli.write(name, content)

    assert cli.refused(*command).startswith(line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({"message": "Dear {firstname}"}, "clinic-day.toml, message: no such column: {firstname} (did you "
                     "mean {first_name}?)", id="merge field"),
        pytest.param({"message": "Dear {first_name"}, "clinic-day.toml, message: '{first_name' (character 6 of the "
                     "text): a { without its partner", id="brace"),
        pytest.param({"recipients": {"phone": "Mobile"}}, "clinic-day.toml, [recipients] phone: 'Mobile' is no column "
                     "of people.csv", id="phone"),
        pytest.param({"recipients": {"keep": ["dya"]}}, "clinic-day.toml, [recipients] keep: 'dya' is no column of "
                     "people.csv. Did you mean day?", id="keep"),
        pytest.param({"recipients": {"sheet": "People"}}, "people.csv, sheet: 'People' only an Excel workbook has "
                     "sheets", id="sheet"),
        pytest.param({"recipients": {"header_row": 40}}, "people.csv, row 40: no such row", id="header_row"),
        pytest.param({"suppression": {"paths": ["optouts.csv"]}}, "optouts.csv: no such file", id="opt-outs"),
        pytest.param({"suppression": {"paths": ["../optouts.csv"]}}, "clinic-day.toml, [suppression] paths: "
                     "'../optouts.csv' leads out of the folder of the campaign file. Copy that file beside the "
                     "campaign file, or write its full path.", id="opt-outs elsewhere"),
        pytest.param({"recipients": {"path": "../people.csv"}}, "clinic-day.toml, [recipients] path: '../people.csv' "
                     "leads out of the folder of the campaign file.", id="a list elsewhere"),
        pytest.param({"recipients": {"path": "https://example.org/people.csv"}}, "clinic-day.toml, [recipients] path: "
                     "https://… is an address, and only files are read. Download the file", id="a web address"),
        pytest.param({"recipients": {"path": "s3://lists/people.csv"}}, "clinic-day.toml, [recipients] path: s3://… is "
                     "an address, and only files are read.", id="a bucket"),
        pytest.param({"recipients": {"path": "*.csv"}}, "*.csv: one file is read, not a pattern", id="a pattern"),
    ],
)  # fmt: skip
def test_campaigns_that_do_not_fit_their_list(cli: Cli, changes: dict[str, Any], line: str) -> None:
    cli.campaign(**changes)

    assert cli.refused(*ESTIMATE).startswith(line)
    assert cli.refused(*SEND).startswith(line)


# --- the campaign file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({"sender_id": "MamboSMSinfo"}, "sender_id: 'MamboSMSinfo' has more than 11", id="12 characters"),
        pytest.param({"category": "promotion"}, "category: 'promotion' is not allowed. Write", id="wrong category"),
        pytest.param({"message": ""}, "message: '' is empty. Write the text", id="empty message"),
        pytest.param({"sending": {"window": "all day"}}, "[sending] window: 'all day' is no window", id="no time"),
        pytest.param({"sending": {"max_cost_ugx": -1}}, "[sending] max_cost_ugx: '-1' is not", id="negative budget"),
        pytest.param({"name": "clinic/day"}, "name: 'clinic/day' is not allowed. Write", id="a name with a slash"),
        pytest.param({"colour": "red"}, "colour: is not a key of a campaign file. Known here", id="unknown key"),
        pytest.param({"name": None}, "name: is missing. Write a name", id="missing key"),
        pytest.param({"approval": "two"}, "approval: 'two' is not allowed. Write", id="approval"),
    ],
)  # fmt: skip
def test_keys_and_values(cli: Cli, changes: dict[str, Any], line: str) -> None:
    cli.campaign(**changes)

    assert cli.refused(*ESTIMATE).startswith(f"clinic-day.toml, {line}")
    assert cli.refused(*SEND).startswith(f"clinic-day.toml, {line}")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param('"Clinic day is Friday."', "\u201cCome on Friday\u201d", "clinic-day.toml: line 4 cannot be read: "
                     "message = \u201cCome on Friday\u201d. Write straight quotes", id="curly quotes"),
        pytest.param("[sending]", "[sending]\nmax_cost_ugx = 600,000", "clinic-day.toml: line 8 cannot be read: "
                     "max_cost_ugx = 600,000. Write the number without commas: max_cost_ugx = 600_000.",
                     id="600,000"),
    ],
)  # fmt: skip
def test_how_numbers_and_texts_are_written(cli: Cli, old: str, new: str, line: str) -> None:
    cli.campaign()
    cli.write("clinic-day.toml", campaign_toml().replace(old, new))

    assert cli.refused(*ESTIMATE).startswith(line)
    assert cli.refused(*SEND).startswith(line)


def test_a_line_of_two_gigabytes(cli: Cli) -> None:
    """Nearly all of it is a hole in the file, so that it takes no room on the disk."""
    cli.campaign()
    with (cli.folder / "people.csv").open("ab") as file:
        file.truncate(2_000_000_000)

    for command in (ESTIMATE, SEND, ("new", "flour-day", "people.csv")):
        said = cli(*command)
        assert said.code == 2
        assert said.err.endswith("people.csv: line 6 holds a NUL byte, so this is not text. Export the list again, as "
                                 "CSV UTF-8.\n")  # fmt: skip


def test_a_list_elsewhere_is_written_with_its_full_path(cli: Cli) -> None:
    """What `mambo new` writes is what `mambo estimate` takes."""
    lists, campaigns = cli.folder / "lists", cli.folder / "campaigns"
    lists.mkdir()
    campaigns.mkdir()
    (lists / "people.csv").write_text(PEOPLE)

    with contextlib.chdir(campaigns):
        assert cli("new", "clinic-day", "../lists/people.csv").code == 0
        assert f'path = "{lists / "people.csv"}"' in (campaigns / "clinic-day.toml").read_text()
        assert cli(*ESTIMATE).code == 0


def test_a_byte_order_mark_is_fine(cli: Cli) -> None:
    cli.campaign()
    cli.write("clinic-day.toml", campaign_toml().encode("utf-8-sig"))

    assert cli(*ESTIMATE).code == 0


def test_a_list_that_is_open_in_excel_is_read_and_told(cli: Cli) -> None:
    cli.campaign(recipients={"path": "people.xlsx"})
    cli.write("people.xlsx", workbook())
    cli.write("~$people.xlsx", b"Jane")

    said = cli(*ESTIMATE)

    assert said.code == 0
    assert "Note: people.xlsx is open in a spreadsheet program" in said.out


# --- what stands in the way of sending -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({"sending": {"max_cost_ugx": 149}}, "sending would cost UGX 150, and [sending] max_cost_ugx is "
                     "149. Raise it, or send less.", id="over budget"),
        pytest.param({"max_recipients": 2}, "it would go to 3 people, and max_recipients is 2. Raise it, or shorten "
                     "the list.", id="too many people"),
        pytest.param({"message": "Write your message here."}, "message is still the example of `mambo new`. Write what "
                     "people are to read.", id="the example"),
    ],
)  # fmt: skip
def test_limits_of_the_campaign(cli: Cli, changes: dict[str, Any], line: str) -> None:
    cli.campaign(**changes)

    assert cli.refused(*SEND) == f"clinic-day.toml: {line}"
    estimated = cli(*ESTIMATE)
    assert estimated.code == 0
    assert f"In the way of sending: {line}" in estimated.out


def test_rows_hidden_by_a_filter_wait_for_a_decision(cli: Cli) -> None:
    cli.campaign(recipients={"path": "people.xlsx"})
    cli.write("people.xlsx", workbook(hidden=(2,)))

    line = cli.refused(*SEND)

    assert line.startswith("clinic-day.toml: people.xlsx: 1 row is hidden in it.")
    assert line.endswith('Set [recipients] hidden_rows = "send" or "skip".')


def test_a_campaign_for_the_sandbox_goes_nowhere_else(cli: Cli) -> None:
    cli.campaign(sandbox_only=True)
    (cli.folder / "people.csv").unlink()  # said before any list is read
    cli.set(BASE_URL="https://api.example.invalid")

    assert cli.refused(*SEND).startswith(
        "MAMBO_BASE_URL: clinic-day is sandbox_only and may not go to api.example.invalid. Start `mambo sandbox`"
    )


def test_nobody_to_ask_is_told_at_once(cli: Cli) -> None:
    """Before the list is read: here there is none."""
    cli.campaign()
    (cli.folder / "people.csv").unlink()

    line = cli.refused("send", "clinic-day.toml", "--direct")

    assert line == "nobody is there to be asked. Add --yes to send without a question."


# --- settings and store ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "command", "line"),
    [
        pytest.param({"API_KEY": None}, SEND, "MAMBO_API_KEY: is not set. Generate a key", id="no key"),
        pytest.param({"API_KEY": "secret\nkey"}, SEND, "MAMBO_API_KEY: holds a character that no key has", id="key"),
        pytest.param({"BASE_URL": "http://api.example.org"}, SEND, "MAMBO_BASE_URL: is http, which would show the key "
                     "to the network; only this machine itself may be http.", id="http"),
        pytest.param({"BASE_URL": "http://api.example.org"}, ESTIMATE, "MAMBO_BASE_URL: is http", id="http, estimate"),
        pytest.param({"BASE_URL": "https://jane:secret@example.org"}, SEND, "MAMBO_BASE_URL: is not a plain web",
                     id="a password in the address"),
        pytest.param({"MAX_COST_PER_DAY_UGX": "1,000"}, SEND, "MAMBO_MAX_COST_PER_DAY_UGX: has a value that cannot be "
                     "used", id="a limit with a comma"),
        pytest.param({"ACCOUNT": "a b"}, SEND, "MAMBO_ACCOUNT: has a value that cannot be used", id="account"),
        pytest.param({"PASSWORD": None}, ("balance",), "MAMBO_PASSWORD: is not set. The balance endpoint asks for the "
                     "account's username and password, not for the API key.", id="no password"),
        pytest.param({"USERNAME": None}, ("balance",), "MAMBO_USERNAME: is not set", id="no username"),
    ],
)  # fmt: skip
def test_settings(cli: Cli, variables: dict[str, str | None], command: tuple[str, ...], line: str) -> None:
    cli.campaign()
    cli.set(**variables)

    assert cli.refused(*command).startswith(line)


def test_an_estimate_needs_no_key(cli: Cli) -> None:
    cli.campaign()
    cli.set(API_KEY=None)

    assert cli(*ESTIMATE).code == 0


def other_database(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "other.db")) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    return str(folder / "other.db")


def text_file(folder: Path) -> str:
    (folder / "ledger.txt").write_text("not a database " * 99)
    return str(folder / "ledger.txt")


def synced_folder(folder: Path) -> str:
    (folder / "Dropbox (Clinic)").mkdir()
    return str(folder / "Dropbox (Clinic)" / "ledger.db")


def onedrive(folder: Path) -> str:
    (folder / "OneDrive").mkdir()
    return f"sqlite:///{folder}/OneDrive/ledger.db"


STORES: list[Any] = [
    pytest.param(text_file, "ledger.txt: file is not a database. The file is damaged or no ledger", id="a text file"),
    pytest.param(other_database, "other.db: is a SQLite database, but not a ledger", id="another program's"),
    pytest.param(lambda folder: str(folder), "is a folder, not a ledger file", id="a folder"),
    pytest.param(lambda folder: str(folder / "no" / "ledger.db"), "the folder of the store does not exist", id="none"),
    pytest.param(synced_folder, "the store lies in a synced folder (Dropbox (Clinic))", id="Dropbox"),
    pytest.param(onedrive, "the store lies in a synced folder (OneDrive)", id="OneDrive"),
    pytest.param(lambda _: "sqlite:///:memory:", "a ledger in memory would be lost", id="in memory"),
    pytest.param(lambda _: "mysql://mambo:secret@127.0.0.1/db", "mysql is not a store this program knows", id="mysql"),
    pytest.param(lambda _: "postgresql://mambo:secret@127.0.0.1:9/db", "connection failed", id="no server there"),
]


@pytest.mark.parametrize("command", [ESTIMATE, SEND, ("status",), ("balance",), ("store", "info")], ids=" ".join)
@pytest.mark.parametrize(("store", "line"), STORES)
def test_stores_that_cannot_be_used(
    cli: Cli, command: tuple[str, ...], store: Callable[[Path], str], line: str
) -> None:
    cli.campaign()
    cli.set(STORE=store(cli.folder))

    assert line in cli.refused(*command)


def test_a_network_drive_holds_no_ledger(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks do not hold there. The list of mounted drives is the system's, so it has to be made up."""
    share = SimpleNamespace(mountpoint=str(cli.folder), fstype="nfs4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [share])
    cli.campaign()

    assert cli.refused(*SEND) == (
        "ledger.db: the store lies on a network drive (nfs4). Set MAMBO_STORE to a file on this computer's own disk."
    )


# --- an edition that has begun ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture(scope="module")
def begun_folder(api: SandboxHandle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the campaign file, its list and the ledger of an edition that has begun."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "people.csv").write_text(numbers_of(5))
    (folder / "clinic-day.toml").write_text(campaign_toml(sending={"chunk_size": 2, "canary_size": 1}))
    api.set_faults([Charge(price_ugx=60)])
    assert mambo(*SEND, cwd=folder, env=environment(api, "ledger.db")).returncode == 3
    return folder


@pytest.fixture
def begun(cli: Cli, api: SandboxHandle, begun_folder: Path) -> Cli:
    """clinic-day/1, of which the first call was made; the price was not the estimated one, so the rest waits."""
    cli.use(api)
    shutil.copytree(begun_folder, cli.folder, dirs_exist_ok=True)
    return cli


@pytest.mark.parametrize(
    ("changes", "people", "what"),
    [
        pytest.param({"message": "Clinic day is Monday."}, numbers_of(5), "message", id="message"),
        pytest.param({"sender_id": "Clinic"}, numbers_of(5), "sender_id", id="sender"),
        pytest.param({"category": "info"}, numbers_of(5), "category", id="category"),
        pytest.param({}, numbers_of(6), "the recipients in people.csv", id="one more person"),
        pytest.param({"message": "Hello", "category": "info"}, numbers_of(5), "category, message", id="two keys"),
    ],
)  # fmt: skip
def test_what_has_begun_is_not_changed(
    begun: Cli, api: SandboxHandle, changes: dict[str, Any], people: str, what: str
) -> None:
    status, calls = begun("status", "--json").out, api.calls().height
    begun.campaign(people, **changes)

    line = begun.refused(*SEND)

    assert line.startswith(
        f"clinic-day.toml: clinic-day/1 has begun, and {what} changed since. "
        "Undo the change to go on with it, or send a new --edition"
    )
    assert (begun("status", "--json").out, api.calls().height) == (status, calls)


def test_limits_may_change_and_a_list_may_be_saved_again(begun: Cli, api: SandboxHandle) -> None:
    same_people_in_another_order = "phone\n" + "\n".join(reversed(numbers_of(5).split()[1:])) + "\n\n"
    begun.campaign(same_people_in_another_order, sending={"chunk_size": 3, "max_cost_ugx": 1_000})

    assert begun(*SEND, "--accept-canary").code == 0


def test_what_has_begun_stays_with_its_account_and_host(begun: Cli) -> None:
    begun.set(ACCOUNT="clinic")

    assert begun.refused(*SEND) == (
        "clinic-day.toml: clinic-day/1 began with account sandbox at 127.0.0.1, not clinic at 127.0.0.1. "
        "Set the same MAMBO_ACCOUNT and MAMBO_BASE_URL, another MAMBO_STORE, or send another --edition."
    )


# --- commands, options, names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("sned clinic-day.toml", "there is no command sned. Did you mean send? `mambo --help`"),
        ("clinic-day.toml", "there is no command clinic-day.toml. The commands are demo, new, check, measure, "),
        ("store bakup copy.db", "there is no command bakup. Did you mean backup? `mambo store --help`"),
        ("--verbose", "there is no command --verbose. "),
        ("0772123456", "there is no command •••456. "),
        ("send", 'Command "send" parameter FILE requires an argument. `mambo send --help`'),
        ("send clinic-day.toml --dierct", "Unknown option: --dierct. Did you mean --direct? `mambo send --help`"),
        ("send clinic-day.toml --edition", 'Command "send" parameter --edition requires an argument.'),
        ("send clinic-day.toml other.toml --yes", "other.toml is more than is asked for. `mambo send --help`"),
        ("send clinic-day.toml --yes --edition a/b", "--edition: 'a/b' is not the name of an edition. Write letters"),
        ("estimate clinic-day.toml --edition a/b", "--edition: 'a/b' is not the name of an edition."),
        ("estimate nosuch.toml", "nosuch.toml: there is no such campaign file. `mambo new NAME FILE` writes one."),
        ("estimate clinic-dya.toml", "clinic-dya.toml: there is no such campaign file. Did you mean clinic-day.toml?"),
        ("send people.csv --yes", "people.csv: is a list of people, not a campaign file. `mambo new NAME people.csv`"),
        ("estimate .", ".: is a folder. Name the campaign's .toml file."),
        ("estimate clinic-day.toml --rejected rejected.txt", "rejected.txt: files that end in '.txt' are not written"),
        ("estimate clinic-day.toml --rejected people.csv", "people.csv: is a file of the campaign itself. Choose"),
        ("estimate clinic-day.toml --rejected ./clinic-day.toml", "clinic-day.toml: is a file of the campaign itself"),
        ("estimate clinic-day.toml --rejected no/rejected.csv", "no/rejected.csv: no folder 'no'. Make the folder"),
        ("new clinic-day people.csv", "clinic-day.toml: exists already. Choose another name, or edit that file."),
        ("new clinic/day people.csv", "'clinic/day' is not a campaign name. Write a name of a to z, 0 to 9 and dashes"),
        ("new flour-day nosuch.csv", "nosuch.csv: no such file"),
        ("new flour-day people.csv --phone tel", "--phone: 'tel' is no column of people.csv. Its columns: phone, f"),
        ("new flour-day people.csv --header-row x", 'Invalid value for --header-row: unable to convert "x" into int.'),
        ("new flour-day names.csv", "names.csv: it is not plain which column holds the telephone numbers. Say which: "),
        ("results clinic-day", 'Command "results" parameter --output requires an argument.'),
        ("status", "ledger.db: there is no ledger yet. `mambo send` creates it; or set MAMBO_STORE."),
        ("results clinic-day --output r.csv", "ledger.db: there is no ledger yet."),
        ("store info", "ledger.db: there is no ledger yet."),
        ("store backup copy.db", "ledger.db: there is no ledger yet."),
        ("measure --ugx-per-segment 0 Hello", "--ugx-per-segment: '0' must be at least 1"),
        ("measure --ugx-per-segment 1,5 Hello", "Invalid value for --ugx-per-segment: unable to convert"),
        ("sandbox --port 99999", 'Invalid value "99999" for --port. Must be <= 65535. `mambo sandbox --help`'),
        ("up --port -1", 'Invalid value "-1" for --port. Must be >= 0. `mambo up --help`'),
    ],
)  # fmt: skip
def test_commands_options_and_names(cli: Cli, command: str, line: str) -> None:
    cli.campaign()
    cli.write("names.csv", "name,age\nJane,7\n")

    assert cli.refused(*command.split()).startswith(line)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("status clinic-dya", "there is no campaign clinic-dya in ledger.db. Did you mean clinic-day?"),
        ("status xyz", "there is no campaign xyz in ledger.db. `mambo status` lists the campaigns."),
        ("status 0772123456", "there is no campaign •••456 in ledger.db."),
        ("status clinic-day --edition 2", "clinic-day has no edition 2. It has: 1."),
        ("status clinic-day --edition 0772123456", "clinic-day has no edition •••456. It has: 1."),
        ("results clinic-dya --output r.csv", "there is no campaign clinic-dya in ledger.db. Did you mean clinic-day?"),
        ("results clinic-day --edition 2 --output r.csv", "clinic-day has no edition 2. It has: 1."),
        ("results clinic-day --output r.txt", "r.txt: files that end in '.txt' are not written. These endings are: "),
        (
            "results clinic-day --output people.csv",
            "people.csv: has the name of the list of recipients. Choose another",
        ),
        ("results clinic-day --output results", "results: the file's name has no ending. These endings are: .csv"),
        ("results clinic-day --output no/r.csv", "no/r.csv: no folder 'no'. Make the folder first."),
        ("results clinic-day --output .", ".: the file's name has no ending"),
        ("store backup people.csv", "people.csv: the backup cannot be created (File exists). Name a new file."),
        ("store backup no/copy.db", "no/copy.db: the backup cannot be created (No such file or directory). Name"),
        ("store backup copy", "copy: needs an ending such as .db"),
    ],
)
def test_records(begun: Cli, command: str, line: str) -> None:
    assert begun.refused(*command.split()).startswith(line)


# --- as a process ----------------------------------------------------------------------------------------------------


def test_the_process_says_it_in_one_line_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "clinic-day.toml").write_text(campaign_toml(sender_id="MamboSMSinfo"))

    found = mambo("send", "clinic-day.toml", cwd=tmp_path, env={"MAMBO_API_KEY": KEY, "MAMBO_STORE": "ledger.db"})

    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == (
        "mambo: clinic-day.toml, sender_id: 'MamboSMSinfo' has more than 11 characters. "
        'Write 1 to 11 characters as registered: sender_id = "MamboSMS".\n'
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clinic-day.toml", "people.csv"]


def test_without_a_terminal_the_process_does_not_wait(tmp_path: Path) -> None:
    """Standard input stays open, and nobody ever writes to it."""
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "clinic-day.toml").write_text(campaign_toml())
    environment = {**os.environ, "MAMBO_API_KEY": KEY, "MAMBO_STORE": "ledger.db", "MAMBO_BASE_URL": NOWHERE}
    command = [*MAMBO, "send", "clinic-day.toml"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.read() == ("mambo: nobody is there to be asked. Add --yes to send without a question.\n")
        assert process.wait() == 2
