"""`mambo send FILE --test-to NUMBER`: the campaign's message to one's own phone, before it goes to everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import polars as pl
import pytest

import pipelines
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import NoAnswer
from mambo_io.window import KAMPALA
from support import terminal
from support.cli import SENDABLE, Cli
from support.terminal import Terminal

MINE = "0701 999 999"
TEST = ("send", "clinic-day.toml", "--test-to", MINE)
SEND = ("send", "clinic-day.toml", "--direct", "--yes")
PERSONAL = "Dear {first_name|friend}, clinic day is {day}."


@pytest.fixture
def api(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    started = start_sandbox()
    cli.use(started)
    return started


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Somebody at a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal.opened() as opened:
        yield opened


def test_the_message_of_the_first_row_that_would_be_sent(cli: Cli, api: SandboxHandle) -> None:
    people = "phone,first_name,day\nn/a,Bob,Friday\n0772123456,Jane,Monday\n0701234567,Amos,Friday\n"
    cli.campaign(people, message=PERSONAL, recipients={"keep": ["first_name"]})
    said = cli(*TEST, "--yes")
    assert said.code == 0
    assert said.out.startswith(
        "clinic-day/test-1  the message of row 3, GSM-7, 1 segment, UGX 50: Dear Jane, clinic day is Monday.\n"
    )
    assert "clinic-day/test-1  complete\naccepted  1\n" in said.out
    assert api.deliveries().select("e164", "text").rows() == [("+256701999999", "Dear Jane, clinic day is Monday.")]
    results = pipelines.results("clinic-day", "test-1")
    assert results.select("row", "phone_raw", "outcome", "charged_ugx").rows() == [(3, MINE, "accepted", 50)]
    assert "first_name" not in results.columns, "somebody else's"


def test_it_is_never_the_edition_of_the_campaign(cli: Cli, api: SandboxHandle) -> None:
    """Nor a repeat: whoever tests with a number of the list gets the campaign's message, too."""
    cli.campaign()
    mine = "0772123456"
    for edition in ("test-1", "test-2"):
        tested = cli("send", "clinic-day.toml", "--test-to", mine, "--yes", "--json").json
        assert (tested["edition"], tested["outcomes"]) == (edition, {"accepted": 1})
    assert cli(*SEND, "--json").json["outcomes"]["accepted"] == SENDABLE
    assert api.deliveries().filter(pl.col("e164") == f"+256{mine[1:]}").height == 3
    after = cli("send", "clinic-day.toml", "--test-to", mine, "--yes", "--json").json
    assert after["outcomes"] == {"accepted": 1}, "nor does it matter who was sent the campaign's own message"
    assert cli("status", "clinic-day", "--json").json["edition"] == "1"
    assert pipelines.results("clinic-day").height == SENDABLE + 1
    assert [line.split()[0] for line in cli("status").out.splitlines()[1:5]] == [
        "clinic-day/test-3",
        "clinic-day/1",
        "clinic-day/test-2",
        "clinic-day/test-1",
    ]
    assert cli.refused(*SEND, "--edition", "test-1").startswith("--edition: clinic-day/test-1 was a test to one's own")


def test_it_counts_in_the_money_and_the_guards_are_asked(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()
    cli.set(MAX_COST_PER_DAY_UGX="50")
    assert cli(*TEST, "--yes").code == 0
    stopped = cli(*TEST, "--yes")
    assert stopped.code == 3
    assert (
        "clinic-day/test-2  cancelled: the next call would go over what the account may spend in a day" in stopped.out
    )
    assert "MAMBO_MAX_COST_PER_DAY_UGX is 50; UGX 50 of 20" in stopped.out
    assert api.deliveries().height == 1
    assert cli("status").code == 0, "nobody has to go on with a test"
    assert "UGX 50 of 20" in cli("events", "clinic-day", "--edition", "test-2").out

    opens = datetime.now(KAMPALA) + timedelta(hours=6)
    cli.set(MAX_COST_PER_DAY_UGX=None)
    cli.campaign(sending={"window": f"{opens:%H}:00-{opens:%H}:01"})
    assert "test-3  cancelled: outside the sending window" in cli(*TEST, "--yes").out
    assert api.deliveries().height == 1


def test_a_test_of_which_nobody_knows_stays_to_be_settled(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()
    api.set_faults([NoAnswer(executes=False)])
    said = cli(*TEST, "--yes")
    assert said.code == 3
    assert said.next_command[:3] == ["resolve", "clinic-day", "c0001"]
    resolve = ("resolve", "clinic-day", "c0001", "--edition", "test-1", "--by", "Grace", "--note", "no message came")
    assert cli(*resolve, "--not-sent").code == 3
    assert cli("cancel", "clinic-day", "--edition", "test-1", "--by", "Grace").code == 0


def test_a_person_is_asked(cli: Cli, api: SandboxHandle, person: Terminal) -> None:
    cli.campaign()
    person.type("n\n")
    with person.used():
        assert cli(*TEST).code == 4
    person.wait_for("Send it to •••999 for UGX 50? [y/N] ")
    person.type("y\n")
    with person.used():
        assert cli(*TEST).code == 0
    assert api.deliveries().height == 1


def test_what_cannot_be_tested(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()
    assert cli.refused(*TEST) == "nobody is there to be asked. Add --yes to send without a question."
    said = cli.refused("send", "clinic-day.toml", "--yes", "--test-to", "0414123456")
    assert said.startswith("--test-to: '•••456' cannot be messaged: ")
    cli.write("opt_outs.csv", f"phone\n{MINE}\n")
    cli.campaign(suppression={"paths": ["opt_outs.csv"]})
    assert cli.refused(*TEST, "--yes").endswith("cannot be messaged: the person has opted out")
    cli.campaign("phone\n0414123456\n")
    assert cli.refused(*TEST, "--yes") == "clinic-day.toml: would be sent to nobody: every row is rejected"
    assert api.calls().is_empty()


def test_it_does_not_wait_for_approval(cli: Cli, api: SandboxHandle) -> None:
    """Whoever is to approve a campaign may want to see it on a phone."""
    cli.campaign(approval="required")
    assert cli(*TEST, "--yes").code == 0
    assert cli(*SEND).code == 3
    assert api.deliveries().height == 1
