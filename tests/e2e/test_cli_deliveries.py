"""`mambo deliveries import`: an export of a provider, after a campaign that a sandbox has sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import NoAnswer
from mambo_io.window import KAMPALA
from pipelines.examples import example_folder
from support.cli import Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
IMPORT = ("deliveries", "import", "export.csv")


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(unsupported_prefix=("+25675",))


@pytest.fixture
def api(cli: Cli, sandbox: SandboxHandle) -> SandboxHandle:
    sandbox.set_faults([])
    cli.use(sandbox)
    return sandbox


@pytest.fixture
def sent(cli: Cli, api: SandboxHandle) -> Cli:
    """clinic-day/1 is complete: two people were accepted, in rows 2 and 3; one is unsupported, one was turned away."""
    cli.campaign()
    assert cli(*SEND).code == 0
    return cli


def in_an_hour() -> str:
    return f"{datetime.now(KAMPALA) + timedelta(hours=1):%d/%m/%Y %H:%M}"


EXPORT = (
    "MSISDN,Status,Done Date,Error\n"
    "256772123456,ENROUTE,{time},\n"
    "256772123456,DELIVRD,{time},000\n"
    "0701 234 567,Wibble,{time},\n"
    "256752123458,REJECTD,{time},\n"
    "254722000000,DELIVRD,{time},\n"
    "0772999999,DELIVRD,{time},\n"
)


def test_an_export_from_the_file_to_the_results(sent: Cli) -> None:
    sent.write("export.csv", EXPORT.format(time=in_an_hour()))

    said = sent(*IMPORT, "--map", "Wibble=failed", "--unmatched", "unmatched.csv")

    assert (said.code, said.err) == (0, "")
    read, *told = said.out.splitlines()
    assert read.startswith("export.csv: 6 rows; numbers from MSISDN, statuses from Status, times from Done Date (20")
    assert read.endswith(" in Kampala)")
    assert told == [
        "clinic-day/1: 3 people in it, 3 new, 0 changed.",
        "Of those accepted, as the provider's export says:",
        "  delivered     1",
        "  failed        1",
        "  pending       0",
        "  not reported  0",
        "In the export, too: 1 person unsupported here (row 5), 0 as delivered.",
        "Not matched: 2 of 6 rows",
        "  foreign  1, a number of another country (row 6)",
        "  no_call  1, no call to this number, or none before that time (row 7)",
        "2 unmatched rows in unmatched.csv",
    ]
    unmatched = pl.read_csv(sent.folder / "unmatched.csv", infer_schema=False)
    assert unmatched["phone_raw"].to_list() == ["254722000000", "0772999999"]
    assert sent("results", "clinic-day", "--output", "results.parquet").code == 0
    assert pl.read_parquet(sent.folder / "results.parquet").select("row", "outcome", "delivery").rows() == [
        (2, "accepted", "delivered"),
        (3, "accepted", "failed"),
        (4, "rejected", None),
        (5, "unsupported", None),
    ]


def test_status_shows_what_was_imported(sent: Cli) -> None:
    assert "as the provider's export says" not in sent("status", "clinic-day").out
    assert sent("status", "clinic-day", "--json").json["deliveries"] == {}
    sent.write("export.csv", "phone,status\n0772123456,Delivered\n")
    assert sent(*IMPORT).code == 0

    said = sent("status", "clinic-day")

    assert said.code == 0
    pairs = said.pairs()
    assert (pairs["accepted"], pairs["delivered"], pairs["not reported"]) == ("2", "1", "1")
    assert sent("status", "clinic-day", "--json").json["deliveries"] == {
        "delivered": 1,
        "failed": 0,
        "pending": 0,
        "not_reported": 1,
    }
    assert sent(*SEND).pairs()["delivered"] == "1", "the summary of a complete campaign as well"


def test_the_same_export_again(sent: Cli) -> None:
    sent.write("export.csv", "phone,status\n0772123456,Delivered\n")
    assert "1 person in it, 1 new, 0 changed." in sent(*IMPORT).out
    before = sent.listing()["ledger.db"]

    again = sent(*IMPORT, "--campaign", "clinic-day", "--edition", "1")

    assert "clinic-day/1: 1 person in it, nothing new." in again.out
    assert sent.listing()["ledger.db"] == before


def test_for_a_program(sent: Cli) -> None:
    sent.write("export.csv", "phone,status\n0772123456,Delivered\n0772999999,Delivered\n")

    said = sent(*IMPORT, "--json").json

    assert said["campaigns"] == [
        {
            "label": "clinic-day/1",
            "people": {"delivered": 1, "failed": 0, "pending": 0},
            "new": 1,
            "changed": 0,
        }
    ]
    assert said["unmatched"] == [{"reason": "no_call", "reports": 1, "first_rows": [3]}]
    assert said["columns"] == {"phone": "phone", "status": "status", "time": None}


def test_people_of_unknown_calls_may_be_in_the_export(cli: Cli, api: SandboxHandle) -> None:
    """The export is evidence; a person decides."""
    cli.campaign(numbers_of(10), sending={"chunk_size": 5, "canary_size": 5, "concurrency": 1})
    api.set_faults([NoAnswer(executes=True, skip=1)])
    cli.set(PASSWORD=None, USERNAME=None)
    assert cli(*SEND).code == 3
    cli.write("export.csv", "phone,status\n" + "".join(f"07721{index:05},DELIVRD\n" for index in range(3, 8)))

    said = cli(*IMPORT)

    assert said.code == 0
    assert said.out.splitlines()[-2:] == [
        "In the export, too: 3 people unknown here (API call clinic-day/1/c0002), 3 as delivered.",
        "  To record it: mambo resolve clinic-day c0002 --edition 1 --accepted --by NAME --note WHY",
    ]
    status = cli("status", "clinic-day")
    assert status.code == 3, "nothing is settled by it"
    assert "3 people unknown here" in status.out
    command = said.out.splitlines()[-1].rpartition("mambo ")[2].split()
    resolved = cli(*command)
    assert resolved.code == 0
    assert (resolved.pairs()["accepted"], resolved.pairs()["delivered"]) == ("10", "5")


def test_the_example_export_belongs_to_the_example_campaign(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle]
) -> None:
    """As after `mambo demo`, whose sandbox reaches everybody but one network."""
    cli.use(start_sandbox(unsupported_prefix=("+25672",)))
    for file in example_folder().glob("*.*"):
        cli.write(file.name, file.read_bytes())
    assert cli(*SEND).code == 0

    said = cli("deliveries", "import", "deliveries.csv")

    assert said.out.splitlines()[1:] == [
        "clinic-day/1: 856 people in it, 856 new, 0 changed.",
        "Of those accepted, as the provider's export says:",
        "  delivered     762",
        "  failed        88",
        "  pending       6",
        "  not reported  18",
        "Not matched: 1 of 948 rows",
        "  no_call  1, no call to this number, or none before that time (row 2)",
    ]


@pytest.mark.parametrize(
    ("export", "options", "message"),
    [
        (
            "phone,status\n0772123456,Wibble\n",
            "",
            "export.csv, column status: 1 status is not known: 'Wibble' (1 row). Say what each means, delivered, faile",
        ),
        ("phone,code\n0772123456,DELIVRD\n", "", "export.csv: it is not plain which column holds the status. Say "),
        ("phone,status\n0772123456,DELIVRD\n", "--time Done", "export.csv, --time: 'Done' is no column of it. "),
        ("phone,status\n0772999999,DELIVRD\n", "", "export.csv: not one row of it is about a call of account sandb"),
        ("phone,status\n0772123456,DELIVRD\n", "--edition 2", "--edition: '2' needs --campaign"),
        ("phone,status\n0772123456,DELIVRD\n", "--campaign clinic-dya", "there is no campaign clinic-dya in ledger.db"),
        ("phone,status\n0772123456,DELIVRD\n", "--campaign clinic-day --edition 9", "clinic-day has no edition 9."),
        ("phone,status\n0772123456,DELIVRD\n", "--unmatched export.csv", "export.csv, --unmatched: is the export itse"),
        ("phone,status\n0772123456,DELIVRD\n", "--unmatched a.txt", "a.txt: files that end in '.txt' are not written."),
        ("phone,status\n0772123456,DELIVRD\n", "--map Wibble", "--map: 'Wibble' says not what a word means. Write "),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(sent: Cli, export: str, options: str, message: str) -> None:
    sent.write("export.csv", export)
    assert sent.refused(*IMPORT, *options.split()).startswith(message)


def test_without_a_ledger(cli: Cli, api: SandboxHandle) -> None:
    cli.write("export.csv", "phone,status\n0772123456,DELIVRD\n")
    assert "there is no ledger yet" in cli.refused(*IMPORT)
