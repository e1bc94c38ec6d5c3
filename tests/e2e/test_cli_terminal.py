"""What is about terminals and signals: questions and their answers, progress, Ctrl-C, and `mambo sandbox`."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Charge, Delay
from mambo_io.window import KAMPALA
from pipelines.cli import screens
from support import terminal
from support.cli import SENDABLE, Cli, numbers_of
from support.problems import Pager
from support.processes import MAMBO, started
from support.terminal import Terminal

SEND = ("send", "clinic-day.toml", "--direct")
ELSEWHERE = "https://api.example.invalid"


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def api(cli: Cli, sandbox: SandboxHandle) -> SandboxHandle:
    sandbox.set_faults([])
    cli.use(sandbox)
    return sandbox


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Somebody at a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal.opened() as opened:
        yield opened


# --- the question ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["y", "Yes"])
def test_yes_sends(cli: Cli, api: SandboxHandle, person: Terminal, answer: str) -> None:
    cli.campaign()
    person.type(f"{answer}\n")

    with person.used():
        said = cli(*SEND)

    assert said.code == 0
    assert "Send to 3 people for UGX 150? [y/N] " in person.screen
    assert f"Host 127.0.0.1, account sandbox, store {cli.folder}/ledger.db\n" in said.out
    assert said.pairs()["accepted"] == str(SENDABLE)


@pytest.mark.parametrize(
    "answer", ["n\n", "\n", "no\n", "clinic-day\n", "\x04"], ids=["n", "Enter", "no", "the name", "Ctrl-D"]
)
def test_anything_else_declines(cli: Cli, api: SandboxHandle, person: Terminal, answer: str) -> None:
    cli.campaign()
    cli.set(ON_PROBLEM=Pager(cli.folder).command)  # would leave a file; a person's no is no problem
    before, calls = cli.listing(), api.calls().height
    person.type(answer)

    with person.used():
        said = cli(*SEND)

    assert said.code == 4
    person.wait_for("mambo: Nothing was sent.\n")
    assert cli.listing() == before
    assert api.calls().height == calls


@pytest.mark.parametrize("answer", ["y", "yes", "clinic", "Clinic-Day", ""])
def test_a_first_send_to_a_real_host_wants_the_name_typed(cli: Cli, person: Terminal, answer: str) -> None:
    cli.campaign()
    cli.set(BASE_URL=ELSEWHERE, API_KEY="key")
    person.type(f"{answer}\n")

    with person.used():
        said = cli(*SEND)

    assert said.code == 4
    question = "Send to 3 people for UGX 150? Type the campaign's name, clinic-day, to send: "
    person.wait_for("mambo: Nothing was sent.\n")
    assert question in person.screen
    assert "Host api.example.invalid, account main, store " in said.out
    assert not (cli.folder / "ledger.db").exists()


def test_the_name_is_an_agreement(cli: Cli, person: Terminal) -> None:
    """Outside the window, so that no host is contacted all the same."""
    opens = datetime.now(KAMPALA) + timedelta(hours=6)
    cli.campaign(sending={"window": f"{opens:%H}:00-{opens:%H}:01"})
    cli.set(BASE_URL=ELSEWHERE, API_KEY="key")
    person.type(" clinic-day \n")

    with person.used():
        said = cli(*SEND)

    assert said.code == 3
    assert "paused: outside the sending window" in said.out


def test_going_on_asks_for_what_is_left(cli: Cli, api: SandboxHandle, person: Terminal) -> None:
    cli.campaign(numbers_of(5), sending={"canary_size": 2})
    api.set_faults([Charge(price_ugx=60)])
    assert cli(*SEND, "--yes").code == 3
    person.type("y\n")

    with person.used():
        said = cli(*SEND, "--accept-canary")

    assert said.code == 0
    person.wait_for("Go on with clinic-day/1, 3 people left for UGX 150? [y/N] ")


def test_a_question_that_nobody_would_see_is_not_asked(
    cli: Cli, api: SandboxHandle, person: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard input is a terminal, but standard error goes to a file."""
    cli.campaign()
    with person.used(), (cli.folder / "log.txt").open("w") as log:
        monkeypatch.setattr("sys.stderr", log)
        assert cli(*SEND).code == 2

    assert "nobody is there to be asked" in (cli.folder / "log.txt").read_text()


def test_progress_is_shown_while_it_sends(
    cli: Cli, api: SandboxHandle, person: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A console looks only once, when it is made, whether it stands on a terminal; here that was before.
    monkeypatch.setattr(screens.err, "is_interactive", True)
    cli.campaign(numbers_of(6), sending={"chunk_size": 1, "canary_size": 1, "concurrency": 1})
    api.set_faults([Delay(after_s=0.15, times=None)])  # longer than the screen waits between two pictures

    with person.used():
        said = cli(*SEND, "--yes")

    assert said.code == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", person.screen)
    pictures = re.findall(r"clinic-day .*? (\d)/6 (\d) calls, UGX (\d+), [\d,-]+/s", shown)
    assert len(set(pictures)) > 1, shown
    assert all(int(ugx) == 50 * int(people) == 50 * int(calls) for people, calls, ugx in pictures)


def press_ctrl_c(
    process: subprocess.Popen[str] | subprocess.Popen[bytes],
    *,
    every_s: float,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Again and again, until the process ends."""
    while process.poll() is None and not until():
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(every_s)


# --- a process at a terminal -----------------------------------------------------------------------------------------


def test_ctrl_c_declines(cli: Cli, api: SandboxHandle) -> None:
    # Tests that run in the background of a shell ignore Ctrl-C, and hand that down.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pipelines.cli import main; main()"
    )
    cli.campaign()
    before = cli.listing()
    with (
        terminal.opened() as person,
        subprocess.Popen(
            [sys.executable, "-c", program, *SEND],
            stdin=person.slave,
            stderr=person.slave,
            stdout=subprocess.DEVNULL,
        ) as process,
    ):
        person.wait_for("[y/N] ")
        time.sleep(0.5)  # most likely it waits for the answer now; where it does not, the first one comes too early
        press_ctrl_c(process, every_s=1, until=lambda: "Nothing was sent" in person.screen)
        assert process.wait(60) == 4
        person.wait_for("mambo: Nothing was sent.\n")
    assert cli.listing() == before


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.fixture
def delivered(api: SandboxHandle) -> Callable[[], list[int]]:
    """How many messages each person has got since the test began."""
    before = api.deliveries().height
    return lambda: list(Counter(api.deliveries()["e164"].to_list()[before:]).values())


@pytest.fixture
def sending(cli: Cli, api: SandboxHandle, delivered: Callable[[], list[int]]) -> Iterator[subprocess.Popen[str]]:
    """A process that has calls in flight, which take their time."""
    cli.campaign(numbers_of(40), sending={"chunk_size": 1, "canary_size": 1, "concurrency": 2})
    before = api.calls().height
    api.set_faults([Delay(before_s=0.4, times=None)])
    with started(*MAMBO, *SEND, "--yes", cwd=cli.folder) as process:
        while api.calls().height < before + 3:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_waits_for_the_calls_in_flight(
    cli: Cli,
    api: SandboxHandle,
    sending: subprocess.Popen[str],
    delivered: Callable[[], list[int]],
    number: signal.Signals,
) -> None:
    sending.send_signal(number)
    out, _ = sending.communicate(timeout=60)

    assert sending.returncode == 3, out
    assert f"clinic-day/1  paused: stopped by {number.name}; the calls in flight were waited for\n" in out
    assert "Next: mambo send clinic-day.toml --direct\n" in out
    status = cli("status", "clinic-day", "--json").json
    assert set(status["outcomes"]) == {"accepted", "planned"}, "nothing is unknown"
    assert status["unknown_calls"] == []
    assert delivered() == [1] * status["outcomes"]["accepted"]

    api.set_faults([])
    assert cli(*SEND, "--yes", "--json").json["outcomes"] == {"accepted": 40}
    assert delivered() == [1] * 40


def test_a_second_ctrl_c_gives_up_what_is_in_flight(
    cli: Cli, api: SandboxHandle, sending: subprocess.Popen[str]
) -> None:
    api.set_faults([Delay(after_s=15, times=None)])  # longer than anybody waits
    calls = api.calls().height
    while api.calls().height < calls + 2:
        time.sleep(0.02)
    press_ctrl_c(sending, every_s=1.5)  # two at the same moment would count as one

    assert sending.returncode == 3
    status = cli("status", "clinic-day", "--json").json
    assert 1 <= len(status["unknown_calls"]) <= 2, "at most `concurrency`"
    assert status["outcomes"]["unknown"] == len(status["unknown_calls"])


# --- mambo sandbox ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_sandbox_runs_until_it_is_stopped(cli: Cli, number: signal.Signals) -> None:
    folder = cli.folder / "my sandbox"
    with started(*MAMBO, "sandbox", "--port", "0", "--folder", folder, cwd=cli.folder) as process:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "Stop it with Ctrl-C.\n"))
        address = re.fullmatch(
            r"The sandbox listens at (http://127\.0\.0\.1:\d+)\. In the shell that sends:\n", lines[0]
        )
        assert address is not None
        exports = dict(shlex.split(line)[1].split("=", 1) for line in lines if line.startswith("export "))
        cli.set(**{name.removeprefix("MAMBO_"): value for name, value in exports.items()})
        assert exports["MAMBO_STORE"] == str(folder / "ledger.db")
        assert cli("balance").out == "Account sandbox at 127.0.0.1: UGX 1,000,000\n"

        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(address[1], trust_env=False)


def test_a_port_that_is_taken(cli: Cli, api: SandboxHandle) -> None:
    port = api.url.rpartition(":")[2]

    said = cli("sandbox", "--port", port, "--folder", "other")

    assert said.code == 2
    assert said.err.count("\n") == 1
    assert port in said.err
