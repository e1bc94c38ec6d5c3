"""`mambo status --watch`: a process that looks on while a campaign is sent by another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from mambo_io.sandbox import SandboxHandle
from support import terminal
from support.cli import Cli, numbers_of
from support.processes import MAMBO, started

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
WATCH = (*MAMBO, "status", "clinic-day", "--watch")
PEOPLE = 40


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def planned(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> Cli:
    """A campaign that awaits approval."""
    cli.use(start_sandbox())
    cli.campaign(numbers_of(PEOPLE), sending={"chunk_size": 1, "canary_size": 1, "concurrency": 1}, approval="required")
    cli(*SEND)
    return cli


def test_it_follows_a_campaign_to_its_end(planned: Cli, running: ExitStack) -> None:
    cli = planned
    watching = running.enter_context(started(*WATCH, "--json", cwd=cli.folder))
    assert watching.stdout is not None
    looks = [json.loads(watching.stdout.readline())]
    cli("approve", "clinic-day", "--by", "Grace")
    looks.append(json.loads(watching.stdout.readline()))
    assert cli(*SEND).code == 0
    rest, _ = watching.communicate(timeout=60)
    looks += [json.loads(line) for line in rest.splitlines()]
    assert watching.returncode == 0
    states = [look["state"] for look in looks]
    assert (*states[:2], states[-1]) == ("awaiting_approval", "planned", "complete")
    accepted = [look["outcomes"].get("accepted", 0) for look in looks]
    assert accepted == sorted(accepted)
    assert accepted[-1] == PEOPLE
    assert all(one != next_one for one, next_one in pairwise(looks)), "only what has changed"


def test_on_a_terminal_it_is_shown_in_place_until_ctrl_c(planned: Cli) -> None:
    cli = planned
    with terminal.opened() as person:
        environment = {**os.environ, "TERM": "xterm"}
        with subprocess.Popen(
            WATCH, cwd=cli.folder, env=environment, stdout=person.slave, stderr=person.slave, start_new_session=True
        ) as watching:
            person.wait_for("awaiting_approval: nobody has approved what is planned")
            cli("cancel", "clinic-day", "--by", "Grace")
            person.wait_for("cancelled: somebody cancelled it")
            assert watching.wait(60) == 0, "it has ended"
        cli("cancel", "clinic-day", "--by", "Grace")
        cli(*SEND, "--edition", "2")
        with subprocess.Popen(
            WATCH, cwd=cli.folder, env=environment, stdout=person.slave, stderr=person.slave, start_new_session=True
        ) as watching:
            person.wait_for("clinic-day/2")
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 3, "something is left to do"
        assert "Traceback" not in person.screen
        assert "\x1b[1A" in person.screen, "the first look is drawn over"


def test_what_has_stopped_is_shown_once(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    cli.use(start_sandbox())
    cli.campaign(sending={"canary_size": 1})
    assert cli(*SEND).code == 0
    once, watched = cli("status", "clinic-day"), cli("status", "clinic-day", "--watch")
    assert (watched.code, watched.out) == (once.code, once.out)
