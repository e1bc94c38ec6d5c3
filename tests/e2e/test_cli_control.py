"""`mambo pause`, `resume`, `cancel` from another terminal, while `mambo send` is at work in a process of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from support.checker import check
from support.cli import Cli, campaign_toml
from support.processes import MAMBO, started
from support.sandboxed import environment, rows

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
PEOPLE = 200


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=1_000_000)


class Sending:
    """A campaign of two hundred calls, so slow that a person can say something meanwhile, and its ledger."""

    def __init__(self, cli: Cli, api: SandboxHandle, store: str, running: ExitStack) -> None:
        self.cli, self.api, self.store, self._running = cli, api, store, running
        self.block = api.calls().height  # other people than those of the tests before
        people = "phone\n" + "".join(f"0772{self.block % 1000:03}{number:03}\n" for number in range(PEOPLE))
        text = f"Clinic day is Friday. {self.block}"
        cli.write("people.csv", people)
        cli.write("clinic-day.toml", campaign_toml(message=text, sending={"chunk_size": 1, "canary_size": 1}))

    def start(self) -> subprocess.Popen[str]:
        """`mambo send`, once some calls have been made."""
        before = self.api.calls().height
        self.api.set_faults([Delay(after_s=0.05, times=None)])
        process = self._running.enter_context(
            started(*MAMBO, *SEND, cwd=self.cli.folder, env=environment(self.api, self.store))
        )
        while self.api.calls().height < before + 3:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        return process

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Its exit code, and how it summed up; nothing is on its way any more."""
        told, _ = process.communicate(timeout=60)
        self.api.set_faults([])
        return process.returncode, told[told.index("clinic-day/1", 1) :]

    def check(self, *, complete: bool) -> None:
        check(self.store, self.api, "clinic-day", rows=rows(PEOPLE), most_unknown=0, complete=complete)


@pytest.fixture
def sending(cli: Cli, sandbox: SandboxHandle, store_url: str) -> Iterator[Sending]:
    sandbox.set_faults([])
    cli.use(sandbox)
    cli.set(STORE=store_url)
    with ExitStack() as running:
        yield Sending(cli, sandbox, store_url, running)


def test_a_pause_stops_the_sender_and_the_next_ones_until_it_is_resumed(sending: Sending) -> None:
    process = sending.start()
    said = sending.cli("pause", "clinic-day", "--by", "Grace 0772123456", "--note", "wrong date")
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "clinic-day/1 is paused: no further call is made, and those that are out are waited for.",
    )
    code, told = sending.ended(process)
    assert code == 3, told
    assert told.startswith("clinic-day/1  paused: somebody paused it\nPaused by Grace •••456: nothing is sent"), told
    assert "Next: mambo resume clinic-day --edition 1 --by NAME" in told
    sending.check(complete=False)

    calls = sending.api.calls().height
    again = sending.cli(*SEND)
    assert (again.code, again.err) == (3, "")
    assert "Paused by Grace •••456: nothing is sent before `mambo resume`." in again.out
    assert sending.api.calls().height == calls
    assert "paused (paused), paused by Grace •••456" in sending.cli("status").out

    resumed = sending.cli("resume", "clinic-day", "--by", "Grace")
    assert (resumed.code, resumed.next_command) == (0, ["send", "clinic-day.toml", "--direct"])
    assert sending.cli(*SEND).code == 0
    sending.check(complete=True)


def test_a_cancel_stops_the_sender_for_good(sending: Sending) -> None:
    process = sending.start()
    said = sending.cli("cancel", "clinic-day", "--by", "Grace")
    assert (said.code, "will not be made" in said.out) == (0, True)
    code, told = sending.ended(process)
    assert code == 0, told
    assert told.startswith("clinic-day/1  cancelled: somebody cancelled it\n"), told
    sending.check(complete=False)

    calls = sending.api.calls().height
    again = sending.cli(*SEND)
    assert (again.code, "Edition 1 is cancelled; nothing was sent now." in again.out) == (0, True)
    assert sending.api.calls().height == calls
    outcomes = sending.cli("status", "clinic-day", "--json").json["outcomes"]
    assert outcomes.keys() == {"accepted", "cancelled"}
    assert sum(outcomes.values()) == PEOPLE


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_a_name_is_asked_for(cli: Cli, command: str) -> None:
    assert cli.refused(command, "clinic-day", "--by", " ") == f"mambo {command}: needs a name in --by"
