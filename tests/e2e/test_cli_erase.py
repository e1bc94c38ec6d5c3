"""`mambo person` and `mambo erase`: what the database's files hold afterwards, and what the figures still say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mambo_io.control import cancel
from mambo_io.erasing import erase_edition
from mambo_io.ledger import Ledger as ledger_of
from mambo_io.planning import write_plan
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store
from pipelines import reconciliation
from pipelines.chunking import text_key
from support import terminal
from support.cli import Cli, campaign_toml
from support.database_files import DatabaseFiles
from support.ledgers import plan
from support.postgres import PostgresServer

SEND = ("send", "clinic-day.toml", "--direct", "--yes")

PEOPLE = """client,phone,first_name,next_of_kin
C-5501,0772 551 001,Xanthippe,0752 551-003
C-5502,+256 772 551002,Theodora,
C-5503,0752551003,Bartholomew,
C-5504,0772551004,Ermintrude,
C-5505,O772551005,Ambrose,
C-5506,0772551006;0701551007,Cuthbert,
"""
NAMES = {"Xanthippe", "Theodora", "Bartholomew", "Ermintrude"}  # the others were turned away before they had a text
NUMBERS = {f"772551{number:03}" for number in (1, 2, 4, 5, 6)} | {"752551003", "701551007"}
CLINIC_DAY = NAMES | NUMBERS | {"quinine", "C-550", "Wibble"}
FLOUR_DAY = {"772661001", "Wilhelmina", "flour is ready"}
EXPORT = "phone,status\n0772551001,DELIVRD\n0772551002,Wibble\n"


@dataclass
class Ledger:
    """Two campaigns that are complete: clinic-day, of which everything that may be personal is somewhere, flour-day."""

    cli: Cli
    files: DatabaseFiles

    def figures(self) -> dict[str, pl.DataFrame]:
        books = reconciliation.books(store=self.files.url)
        frames = {
            "people": reconciliation.by_reason(books),
            "campaigns": reconciliation.by_campaign(books),
            "networks": reconciliation.by_network(books),
            "calls": reconciliation.by_call(books).drop("messages"),
            "receipts": reconciliation.receipts(books),
            "balances": reconciliation.balance_chain(books),
            "months": reconciliation.statement(books),
            "deliveries": reconciliation.cut(books, "delivery"),
        }
        for name in ("clinic-day", "flour-day"):
            self.cli("results", name, "--output", f"{name}.parquet")
            personal = ("phone_raw", "e164", "message", "client", "next_of_kin", "first_name")
            frames[f"results of {name}"] = pl.read_parquet(self.cli.folder / f"{name}.parquet").drop(
                personal, strict=False
            )
        return frames

    def same_as(self, before: dict[str, pl.DataFrame]) -> None:
        for name, frame in self.figures().items():
            assert_frame_equal(frame, before[name])


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(unsupported_prefix=("+25675",))


@pytest.fixture(params=["sqlite", "postgresql"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseFiles:
    if request.param == "sqlite":
        folder = tmp_path / "store"
        folder.mkdir()
        return DatabaseFiles(str(folder / "ledger.db"), folder)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return DatabaseFiles(request.getfixturevalue("postgres_url"), tmp_path, server)


@pytest.fixture
def ledger(cli: Cli, sandbox: SandboxHandle, files: DatabaseFiles) -> Ledger:
    cli.use(sandbox)
    cli.set(STORE=files.url)
    cli.write("opt_outs.csv", "phone\n0772551004\n")
    cli.campaign(
        PEOPLE,
        message="Dear {first_name}, your quinine is ready.",
        recipients={"keep": ["client", "next_of_kin"]},
        suppression={"paths": ["opt_outs.csv"]},
        approval="required",
    )
    assert cli(*SEND).code == 3
    assert cli("approve", "clinic-day", "--by", "Grace").code == 0
    assert cli("pause", "clinic-day", "--by", "Grace", "--note", "Bartholomew of 0752 551 003 has moved").code == 0
    assert cli("resume", "clinic-day", "--by", "Grace").code == 0
    assert cli(*SEND).code == 0
    cli.write("export.csv", EXPORT)
    assert cli("deliveries", "import", "export.csv", "--map", "Wibble=failed").code == 0
    cli.write("flour.csv", "phone,first_name\n0772661001,Wilhelmina\n")
    flour = campaign_toml(
        name="flour-day", message="{first_name}, your flour is ready.", recipients={"path": "flour.csv"}
    )
    cli.write("flour-day.toml", flour)
    assert cli("send", "flour-day.toml", "--direct", "--yes").code == 0
    return Ledger(cli, files)


def test_one_person_and_then_the_campaign_are_erased_from_the_files_and_the_figures_stay(ledger: Ledger) -> None:
    """One test, because a campaign takes longer to send than to be erased."""
    before = ledger.figures()
    check_person(ledger)
    ledger.same_as(before)
    check_campaign(ledger)
    ledger.same_as(before)
    # What there is to be sent now does not matter: nobody knows any more who was sent it.
    ledger.cli.campaign(message="Another text.")
    assert "clinic-day/1 was erased on 20" in ledger.cli.refused(*SEND)
    assert ledger.cli("report", "--output", "report.csv").code == 0


def check_person(ledger: Ledger) -> None:
    cli, files = ledger.cli, ledger.files
    assert files.found(CLINIC_DAY | FLOUR_DAY) == CLINIC_DAY | FLOUR_DAY, "or else finding nothing says nothing"
    said = cli("person", "+256 752 551 003", "--output", "person.json")
    assert said.out.splitlines() == [
        "+256752•••003: 1 row of 1 campaign edition, 1 API call",
        "  clinic-day/1, row 4: unsupported, UGX 0",
        "  1 unsupported contact",
        "  named in what a colleague wrote of a campaign: 1",
        "  named in a kept column of somebody else's row: 1",
        "  named in a raw reply of the API: 1",
        "Everything, with full numbers, in person.json",
    ]
    held: dict[str, list[dict[str, Any]]] = json.loads((cli.folder / "person.json").read_text())
    [message], [call] = held["messages"], held["calls"]
    assert (message["campaign"], message["row"], message["phone_raw"], message["e164"]) == (
        *("clinic-day", 4, "0752551003", "+256752551003"),
    )
    assert (message["message"], json.loads(message["kept"])["client"]) == (
        *("Dear Bartholomew, your quinine is ready.", "C-5503"),
    )
    assert (call["verdict"], call["charged_ugx"], call["submitted"]) == ("accepted", 0, 1)
    texts = {mention["place"]: mention["text"] for mention in held["mentions"]}
    assert texts["event"] == "Bartholomew of 0752 551 003 has moved"
    assert "52551003" in texts["reply"]
    assert texts["kept"] is None, "it is about somebody else"
    for name in ("person.csv", "person.xlsx"):
        assert cli("person", "0752551003", "--output", name).code == 0

    said = cli("person", "0752551003", "--erase", "--by", "Amos", "--yes")
    assert (said.code, said.err) == (0, "")
    assert "Erased from 1 row of 1 campaign edition, and in 3 other places." in said.out
    gone = {"752551003", "C-5503", "Bartholomew"}
    assert files.found(CLINIC_DAY | FLOUR_DAY | gone) == (CLINIC_DAY | FLOUR_DAY) - gone
    assert cli("person", "0752551003").out.startswith("Nothing is held about +256752•••003 in ")
    # The campaign's own entry goes with the row, and what holds for all of them stays: test_ledger_forgetting.py.
    said = cli("person", "0772551004", "--erase", "--by", "Amos", "--yes")
    assert "They have not opted out: a list that has the number messages them again." in said.out


def check_campaign(ledger: Ledger) -> None:
    cli, files = ledger.cli, ledger.files
    key = text_key("Dear Theodora, your quinine is ready.").to_bytes(
        8, "big" if files.server is None else "little", signed=True
    )
    assert key in files.content()

    with Store(files.url) as store, store.writer() as connection:  # a command that was killed after its first commit
        next(erase_edition(connection, ledger_of(store).get("clinic-day"), who="Amos", now=datetime.now(UTC)))
    status = cli("status", "clinic-day")
    assert (status.code, ", but not to the end: " in status.out) == (3, True)
    assert status.next_command == ["erase", "clinic-day", "--edition", "1", "--by", "NAME"]

    said = cli("erase", "clinic-day", "--by", "Amos", "--yes")
    assert (said.code, said.err) == (0, "")
    assert "Erased: 6 people. Money and counts stay." in said.out
    assert files.found(CLINIC_DAY | FLOUR_DAY) == FLOUR_DAY
    assert key not in files.content()

    cli("results", "clinic-day", "--output", "clinic-day.parquet")
    results = pl.read_parquet(cli.folder / "clinic-day.parquet")
    assert results.select("phone_raw", "e164", "message", "client", "next_of_kin").null_count().row(0) == (6,) * 5
    assert results["outcome"].to_list() == ["accepted", "accepted", "unsupported", *["rejected"] * 3]
    status = cli("status", "clinic-day")
    assert (status.code, "no number, text or reply is held; figures stay." in status.out) == (0, True)
    assert cli("status").out.count("complete, erased") == 1
    history = [(event["event"], event["who"], event["detail"]) for event in events(cli)]
    assert ("held", "Grace", None) in history
    assert ("approved", "Grace", "3 recipients, 3 calls, UGX 150") in history
    assert history[-2:] == [("erasing", "Amos", None), ("erased", "Amos", "6 recipients, 3 calls")]

    again = cli("erase", "clinic-day", "--by", "Amos", "--yes")
    assert (again.code, again.out.count("\n")) == (0, 1)
    assert again.out.startswith("clinic-day/1 was erased on 20")


def test_a_person_is_asked_before_anything_goes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with Store(str(cli.folder / "ledger.db"), create=True) as store, store.writer() as connection:
        campaign = write_plan(connection, plan(2), who="officer")
        cancel(connection, campaign, who="officer", note=None, now=datetime.now(UTC))
    person, campaigns = ("person", "0772000001", "--erase"), ("erase", "clinic-day")
    with terminal.opened() as opened, opened.used():
        for command, answer, code in ((person, "n", 4), (campaigns, "", 4), (person, "y", 0), (campaigns, "yes", 0)):
            opened.type(f"{answer}\n")
            said = cli(*command, "--by", "Amos")
            assert said.code == code
            assert ("Erased" in said.out) == (code == 0)
            assert "clinic-day/1" in said.out, "whom it is about is shown before"
        opened.wait_for("Erase it? It cannot be brought back. [y/N]")
        opened.wait_for("Erase them? Nobody can bring them back. [y/N]")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("erase clinic-day --by=", "mambo erase: needs a name in --by"),
        ("erase --by Amos --yes", "mambo erase: needs a campaign's name, or --older-than"),
        ("erase clinic-day --older-than 9d --by Amos --yes", "mambo erase: needs a campaign's name, or --older-than"),
        ("erase --older-than 9d --edition 2 --by Amos --yes", "mambo erase: needs a campaign's name, or --older-than"),
        (
            "erase --older-than 6months --by Amos --yes",
            "--older-than: '6months' is no number of days. Write it as 180d",
        ),
        ("erase clinic-day --by Amos", "nobody is there to be asked. Add --yes to erase without a question."),
        ("erase flour-day --by Amos --yes", "there is no campaign flour-day in ledger.db. Did you mean clinic-day?"),
        (
            "erase clinic-day --by Amos --yes",
            "clinic-day/1: is planned, not finished. Nothing was erased.",
        ),
        ("person 0772123456 --erase", "mambo person --erase: needs a name in --by"),
        ("person 0772123456 --erase --by Amos", "nobody is there to be asked. Add --yes to erase without a question."),
        ("person 0414123456", "NUMBER: '•••456' is no mobile number of Uganda: not a mobile number"),
        ("person 0772000001 --output person.parquet", "person.parquet: is not of a kind that holds several tables."),
    ],
)
def test_what_is_refused_in_one_line(cli: Cli, command: str, told: str) -> None:
    with Store(str(cli.folder / "ledger.db"), create=True) as store, store.writer() as connection:
        write_plan(connection, plan(2), who="officer")
    assert cli.refused(*command.split()).startswith(told)


def events(cli: Cli) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli("events", "clinic-day", "--json").out.splitlines()]
