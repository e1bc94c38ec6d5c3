"""`mambo reconcile`, from the terminal: what the flow does, for a timer of the system's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import AnyFault, Charge, NoAnswer
from mambo_io.window import KAMPALA
from support.cli import Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
TOTALS = "1 campaign, 23 recipients (23 accepted). UGX {charged} charged of 1,150 estimated."


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def days(cli: Cli, sandbox: SandboxHandle) -> tuple[str, ...]:
    """Yesterday and today, of which one is the day of what a test sends, should it be midnight."""
    sandbox.set_faults([])
    cli.use(sandbox)
    today = datetime.now(KAMPALA).date()
    return ("--from", f"{today - timedelta(days=1)}", "--to", f"{today + timedelta(days=1)}")


def send(cli: Cli, sandbox: SandboxHandle, *faults: AnyFault) -> int:
    """23 people in four calls, without the password that reads the balance."""
    cli.campaign(people=numbers_of(23), sending={"chunk_size": 10, "concurrency": 1, "canary_size": 5})
    sandbox.set_faults(faults)
    cli.set(PASSWORD=None)
    code = cli(*SEND).code
    cli.set(PASSWORD=sandbox.password)
    return code


def test_a_lost_answer_is_settled_and_the_report_written(
    cli: Cli, sandbox: SandboxHandle, days: tuple[str, ...]
) -> None:
    assert send(cli, sandbox, NoAnswer(executes=True, skip=3)) == 3
    said = cli("reconcile", *days)
    first, last = days[1], days[3]
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            "clinic-day/1: 1 were sent",
            f"Report: reports/{first}..{last}.html",
            f"{first}..{last}: {TOTALS.format(charged='1,150')} Nothing is unreconciled.",
        ],
    )
    assert (cli.folder / "reports" / f"{first}..{last}.html").stat().st_size > 0


def test_another_price_is_told_with_sums_and_where(cli: Cli, sandbox: SandboxHandle, days: tuple[str, ...]) -> None:
    assert send(cli, sandbox, Charge(price_ugx=60, skip=3)) == 0
    said = cli("reconcile", "clinic-day", *days, "--output", "report.xlsx")
    assert said.code == 3
    assert said.out == "Report: report.xlsx\n"
    assert TOTALS.format(charged="1,230") in said.err
    told = "UGX 80 are unreconciled (0 allowed). clinic-day/1: UGX 80, a segment's price was not the tariff's (once).\n"
    assert said.err.endswith(told)
    assert cli("reconcile", *days, "--output", "report.xlsx", "--max-difference-ugx", "1,000").code == 0


def test_the_list_of_recipients_is_not_overwritten(cli: Cli, sandbox: SandboxHandle, days: tuple[str, ...]) -> None:
    assert send(cli, sandbox) == 0
    told = cli.refused("reconcile", *days, "--output", "people.csv")
    assert told == "people.csv: has the name of the list of recipients. Choose another name."


WRONG = {
    "no day": (("--from", "yesterday"), "--from: 'yesterday' is no day. Write it as 2026-11-03"),
    "a day mistyped is shown": (("--to", "2031-02-030"), "--to: '2031-02-030' is no day."),
    "in another order": (("--to", "30/2/2031"), "--to: '30/2/2031' is no day."),
    "a number is masked": (("--from", "0772123456"), "--from: '•••456' is no day."),
    "the wrong way round": (("--from", "2026-02-02", "--to", "2026-02-01"), "starts on 2026-02-02 and ends on"),
    "below zero": (("--max-difference-ugx", "-1"), "--max-difference-ugx: '-1' is below zero"),
    "no amount": (("--max-difference-ugx", "0x10"), "'0x10' is no amount in whole UGX"),
    "no such campaign": (("clinic-dya",), "Did you mean clinic-day?"),
    "no such form": (("--output", "report.pdf"), "reports that end in '.pdf' are not written"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG)
def test_wrong_input(
    options: tuple[str, ...], told: str, cli: Cli, sandbox: SandboxHandle, days: tuple[str, ...]
) -> None:
    assert send(cli, sandbox) == 0
    assert told in cli.refused("reconcile", *options)


def test_without_a_ledger(cli: Cli) -> None:
    assert "there is no ledger yet" in cli.refused("reconcile")
