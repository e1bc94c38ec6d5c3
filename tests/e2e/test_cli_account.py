"""The money of an account: what is entered by hand, and the statement that explains each balance."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Altered, NoAnswer
from mambo_io.window import KAMPALA
from support.cli import Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
TODAY = f"{datetime.now(KAMPALA):%Y-%m-%d}"
MONTH = TODAY[:7]


@pytest.fixture
def api(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    api = start_sandbox(balance_ugx=10_000)
    cli.use(api)
    return api


def top_up(cli: Cli, amount: str, reference: str, *, date: str = TODAY, by: str = "Grace") -> str:
    said = cli("account", "top-up", amount, "--date", date, "--reference", reference, "--by", by)
    assert said.code == 0, said
    return said.out


def send(cli: Cli, edition: str) -> None:
    cli.campaign(message=f"Clinic day is Friday. Call {edition}.")
    assert cli(*SEND, "--edition", edition).code == 0


def test_a_top_up_explains_what_the_balance_shows(cli: Cli, api: SandboxHandle) -> None:
    send(cli, "1")
    api.change_account(top_up_ugx=5_000)
    send(cli, "2")

    before = cli("account", "statement")
    said = top_up(cli, "5,000", "MoMo 8812")
    after = cli("account", "statement", "--month", MONTH)

    assert before.code == after.code == 0
    [_, figures, gap] = before.out.splitlines()
    assert figures.split() == [MONTH, "10,000", "0", "300", "5,000", "14,700", "2"]
    assert gap.startswith("Unexplained: UGX 5,000 too much at the balance reading of 20"), "before the second campaign"
    assert gap.endswith("; the API named 14,850, expected were 9,850")
    assert said == f"Account sandbox: UGX 5,000 entered for {TODAY}\nWhat it explains: mambo account statement\n"
    [names, figures] = after.out.splitlines()
    assert names.split() == ["month", "opening", "top-ups", "charges", "unexplained", "closing", "calls"]
    assert figures.split() == [MONTH, "10,000", "5,000", "300", "0", "14,700", "2"]
    assert api.account().balance_ugx == 14_700


def test_an_unknown_call_has_a_column_of_its_own(cli: Cli, api: SandboxHandle) -> None:
    """Ten people in calls of five; the second gets no answer, but is executed. The password is not known."""
    cli.set(USERNAME=None, PASSWORD=None)
    cli.campaign(numbers_of(10), sending={"chunk_size": 5, "canary_size": 5, "concurrency": 1})
    api.set_faults([NoAnswer(executes=True, skip=1)])
    assert cli(*SEND).code == 3
    api.set_faults([])
    cli.campaign(numbers_of(10), name="flour-day", message="Flour day is Monday.", sending={"canary_size": 10})
    assert cli(*SEND).code == 0

    [names, figures] = cli("account", "statement").out.splitlines()

    assert names.split() == ["month", "opening", "top-ups", "charges", "unknown", "unexplained", "closing", "calls"]
    assert figures.split() == [MONTH, "10,000", "0", "750", "-250", "0", "9,000", "2"]


def test_a_receipt_without_a_cost_is_told_by_its_cause(cli: Cli, api: SandboxHandle) -> None:
    """Two calls of five people; the second receipt names no cost. A wrong top-up, taken back, changes nothing of it."""
    cli.campaign(numbers_of(10), sending={"chunk_size": 5, "canary_size": 5, "concurrency": 1})
    api.set_faults([Altered(remove=["sms_cost"], skip=1)])
    sent = cli(*SEND)
    assert sent.code == 0
    assert cli("status", "clinic-day").pairs() == {
        "clinic-day/1": "complete",
        "accepted": "10",
        "Estimated": "UGX 500",
        "Charged, as far as known": "UGX 250",
        "accepted, and the charge is not known": "UGX 250",
    }
    assert (
        "What was charged for API call clinic-day/1/c0002 is not known. What the balance shows: mambo account statement"
    ) in sent.out

    before = cli("account", "statement").out
    top_up(cli, "7000", "typo")
    top_up(cli, "-7000", "typo taken back")
    assert cli("account", "statement").out == before
    assert before.splitlines()[1].split() == [MONTH, "10,000", "0", "250", "-250", "0", "9,500", "1"]
    reconciled = cli("reconcile", "--from", TODAY, "--to", TODAY)
    assert reconciled.code == 0
    assert "UGX 250 charged of 500 estimated, as far as known: calls whose charge is not known may" in reconciled.out


def test_a_statement_for_a_program(cli: Cli, api: SandboxHandle) -> None:
    send(cli, "1")
    top_up(cli, "-700", "correction of MoMo 1")
    assert cli("account", "statement", "--json").json == {
        "account": "sandbox",
        "month": MONTH,
        "opening_ugx": 10_700,
        "top_ups_ugx": -700,
        "charges_ugx": 150,
        "open_ugx": 0,
        "unexplained_ugx": 0,
        "closing_ugx": 9_850,
        "calls": 1,
        "open_calls": 0,
    }


def test_entries_are_listed_by_day_for_their_account(cli: Cli) -> None:
    top_up(cli, "500000", "MoMo 0772123456", date="2026-11-03", by="Grace 0772123456")
    top_up(cli, "1_000", "cash", date="2026-10-31")
    cli.set(ACCOUNT="second")
    top_up(cli, "+7", "cash", date="2026-11-03")
    cli.set(ACCOUNT=None)

    assert cli("account", "entries").out == (
        "date            UGX  reference    by\n"
        "2026-10-31    1,000  cash         Grace\n"
        "2026-11-03  500,000  MoMo •••456  Grace •••456\n"
    )
    again = ("500000", "--date", "2026-11-03", "--reference", "MoMo 0772123456", "--by", "Grace")
    assert "on 2026-11-03 by Grace •••456. Nothing was changed." in cli.refused("account", "top-up", *again)
    lines = [json.loads(line) for line in cli("account", "entries", "--json").out.splitlines()]
    assert lines[0] == {
        "account": "main",
        "date": "2026-10-31",
        "amount_ugx": 1_000,
        "reference": "cash",
        "by": "Grace",
    }
    assert len(lines) == 2


def test_before_anything_is_known(cli: Cli) -> None:
    assert "there is no ledger yet" in cli.refused("account", "statement")
    cli.set(ACCOUNT="second")
    top_up(cli, "5000", "MoMo 1")
    [_, figures, why] = cli("account", "statement").out.splitlines()
    assert figures.split() == [MONTH, "-", "5,000", "0", "-", "-", "0"]
    assert why == "The API has named no balance of this account yet, so only what is known is added up."
    cli.set(ACCOUNT="main")
    assert cli("account", "entries").out == "Nothing was entered for account main.\n"
    assert cli("account", "statement").out == "Nothing is known of account main.\n"
    assert cli("account", "statement", "--month", MONTH).out == f"Nothing is known of account main in {MONTH}.\n"


GOOD = {"amount": "5000", "--date": TODAY, "--reference": "MoMo 2", "--by": "Grace"}
TOMORROW = f"{datetime.now(KAMPALA) + timedelta(days=1, hours=1):%Y-%m-%d}"
WRONG = {
    "no number": ({"amount": "lots"}, "AMOUNT: 'lots' is no amount in whole UGX. Write it as 500000 or 500,000."),
    "not whole": ({"amount": "5000.50"}, "AMOUNT: '5000.50' is no amount in whole UGX."),
    "digits that are not in threes": (
        {"amount": "500,50"},
        "AMOUNT: '500,50' is no amount in whole UGX. Write it as 500000 or 500,000.",
    ),
    "too few of them": ({"amount": "5,00"}, "AMOUNT: '5,00' is no amount in whole UGX."),
    "two separators": ({"amount": "1,000_000"}, "AMOUNT: '1,000_000' is no amount in whole UGX."),
    "a separator twice": ({"amount": "1__000"}, "AMOUNT: '1__000' is no amount in whole UGX."),
    "a separator at the end": ({"amount": "500,"}, "AMOUNT: '500,' is no amount in whole UGX."),
    "digits of another width": ({"amount": "\uff11\uff10\uff10"}, "AMOUNT: '\uff11\uff10\uff10' is no amount in"),
    "nothing": ({"amount": "0"}, "AMOUNT: '0' is no amount that came in."),
    "more money than there is": ({"amount": "9,999,999,999,999"}, "AMOUNT: "),
    "another way to write a day": (
        {"--date": "3/11/26"},
        "--date: '3/11/26' is no day. Write it as 2026-11-03: year, month, day.",
    ),
    "no such day": ({"--date": "2026-02-30"}, "--date: '2026-02-30' is no day."),
    "a day to come": ({"--date": TOMORROW}, f"--date: '{TOMORROW}' is not a day on which anything can have come in"),
    "a year mistyped": ({"--date": "1026-11-03"}, "--date: "),
    "no reference": ({"--reference": " "}, "--reference: needs something in it"),
    "nobody": ({"--by": ""}, "--by: needs something in it"),
    "the same reference again": (
        {"--reference": "MoMo 1 "},
        f"--reference: 'MoMo 1' was entered before: UGX 900 on {TODAY} by Grace. Nothing was changed.",
    ),
}


@pytest.mark.parametrize(("wrong", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_entry_is_refused(cli: Cli, wrong: dict[str, str], told: str) -> None:
    top_up(cli, "900", "MoMo 1")
    given = GOOD | wrong
    amount = given.pop("amount")
    options = [word for option in given.items() for word in option]
    assert cli.refused("account", "top-up", amount, *options).startswith(told)


@pytest.mark.parametrize("month", ["2026", "2026-13", "11/2026", "November"])
def test_a_month_is_written_in_one_way(cli: Cli, month: str) -> None:
    told = cli.refused("account", "statement", "--month", month)
    assert told == f"--month: '{month}' is no month. Write it as 2026-11."
