"""`mambo settle` and `mambo resolve`: unknown calls, from the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Altered, NoAnswer
from support.cli import Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
RESOLVE = ("resolve", "clinic-day", "c0004", "--by", "Grace", "--note", "their log")


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def api(cli: Cli, sandbox: SandboxHandle) -> SandboxHandle:
    sandbox.set_faults([])
    cli.use(sandbox)
    return sandbox


@pytest.fixture
def last_call_lost(cli: Cli, api: SandboxHandle) -> Callable[..., None]:
    """Send four calls, of which the last gets no answer, without the password that reads the balance."""

    def send(*, executes: bool) -> None:
        cli.campaign(people=numbers_of(23), sending={"chunk_size": 10, "concurrency": 1, "canary_size": 5})
        api.set_faults([NoAnswer(executes=executes, skip=3)])
        cli.set(PASSWORD=None)
        said = cli(*SEND)
        assert said.code == 3
        assert "no balance is known from after it" in said.out
        assert said.next_command == ["settle", "clinic-day", "--edition", "1"], "a balance may tell"
        cli.set(PASSWORD=api.password)

    return send


def test_the_balance_tells_that_it_was_sent(cli: Cli, last_call_lost: Callable[..., None]) -> None:
    last_call_lost(executes=True)
    said = cli("settle", "clinic-day")
    assert (said.code, said.out.splitlines()[:2]) == (0, ["1 were sent, 0 were not.", "clinic-day/1  complete"])
    assert said.pairs()["accepted"] == "23"
    assert said.pairs()["Charged"] == said.pairs()["Estimated"]


def test_the_balance_tells_that_nothing_was_taken_for_it(cli: Cli, last_call_lost: Callable[..., None]) -> None:
    last_call_lost(executes=False)
    said = cli("settle", "clinic-day")
    assert said.code == 3
    assert "nothing is missing from the balance for it, but MAMBO_ACCOUNT_EXCLUSIVE is not set" in said.out
    status = cli("status", "clinic-day")
    assert said.next_command == status.next_command, "the money has told all that it can, and a person is asked"
    resolve, name, call, answers, *more = status.next_command
    assert (resolve, name, call, answers) == ("resolve", "clinic-day", "c0004", "--accepted|--not-sent")
    assert more == ["--edition", "1", "--by", "NAME", "--note", "WHY"]
    assert status.code == 3
    assert "MAMBO_ACCOUNT_EXCLUSIVE is not set" in status.out
    assert cli("status", "clinic-day", "--json").json["unknown_calls"][0]["evidence"].startswith("nothing is missing")


def test_a_person_says_that_it_was_not_sent_and_it_is_sent(cli: Cli, last_call_lost: Callable[..., None]) -> None:
    last_call_lost(executes=False)
    said = cli(*RESOLVE, "--not-sent")
    assert said.code == 3
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]
    assert cli(*SEND).pairs()["accepted"] == "23"


def test_a_person_says_that_it_was_sent(cli: Cli, last_call_lost: Callable[..., None]) -> None:
    last_call_lost(executes=True)
    said = cli(*RESOLVE, "--accepted")
    assert (said.code, said.pairs()["accepted"]) == (0, "23")


def test_unverified_people_are_told_with_both_figures_and_how_to_resolve_them(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(people=numbers_of(8), sending={"chunk_size": 2, "concurrency": 1, "canary_size": 2})
    api.set_faults([Altered(add={"recipients_count": -1}, skip=1), Altered(add={"recipients_count": 1}, skip=1)])
    stopped = cli(*SEND)
    assert "paused: the API answered in a way that needs a person (count_above_submitted: " in stopped.out
    assert "; of 2 people the receipt counts 3)\n" in stopped.out
    status = cli("status", "clinic-day")
    told = [line.removeprefix("Unverified: API call ") for line in status.out.splitlines() if "Unverified: " in line]
    assert told == [
        "clinic-day/1/c0002, 2 people from row 4 (counts_inconsistent): of 2 people the receipt counts 1",
        "clinic-day/1/c0003, 2 people from row 6 (count_above_submitted): of 2 people the receipt counts 3",
    ]
    word = "mambo resolve clinic-day --row 4 --accepted|--not-sent --edition 1 --by NAME --note WHY"
    assert f"  {word}\n" in status.out
    assert cli(*shlex.split(word.replace("--accepted|", ""))[1:]).pairs()["unverified"] == "3"
    assert "c0002, 1 person from row 5 (" in cli("status", "clinic-day").out


WRONG = {
    "neither": ((), "mambo: mambo resolve: needs one of --accepted and --not-sent"),
    "both": (("--accepted", "--not-sent"), "mambo: mambo resolve: needs one of --accepted and --not-sent"),
    "a call and a row": (
        ("--accepted", "--row", "3"),
        "mambo: mambo resolve: needs an API call, or one recipient's --row",
    ),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_recorded(cli: Cli, options: tuple[str, ...], told: str) -> None:
    said = cli(*RESOLVE, *options)
    assert (said.code, said.err.strip()) == (2, told)


def test_a_call_that_is_not_unknown_names_those_that_are(cli: Cli, last_call_lost: Callable[..., None]) -> None:
    last_call_lost(executes=False)
    said = cli("resolve", "clinic-day", "c0001", "--accepted", "--by", "Grace", "--note", "their log")
    assert said.code == 2
    assert "is no unknown call" in said.err
    assert "Unknown: clinic-day/1/c0004." in said.err


def test_a_campaign_without_unknown_calls(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()
    assert cli(*SEND).code == 0
    said = cli("settle", "clinic-day")
    assert (said.code, said.out.splitlines()[0]) == (0, "0 were sent, 0 were not.")
