"""Small things that screens say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from mambo_io.sandbox import SandboxHandle
from pipelines.cli.screens import show_reasons
from support.cli import Cli
from support.sandboxed import UNREACHABLE, people


def test_the_counts_of_reasons_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    show_reasons({"missing": 1_200, "opted_out": 7, "too_short": 35})

    assert [line[:18] for line in capsys.readouterr().out.splitlines()] == [
        "  missing    1,200",
        "  opted_out      7",
        "  too_short     35",
    ]


def test_no_rejected_rows_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_reasons({})
    assert capsys.readouterr().out == ""


def test_first_calls_in_which_nobody_was_counted_are_not_said_to_disagree(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle]
) -> None:
    cli.use(start_sandbox(unsupported_prefix=(UNREACHABLE,)))
    cli.campaign(people(5, unreachable=range(3)), sending={"canary_size": 1, "chunk_size": 1})

    said = cli("send", "clinic-day.toml", "--direct", "--yes")

    assert said.code == 3
    (told,) = re.findall(r"^clinic-day/1 .*$", said.out.split("Host ")[1], re.MULTILINE)
    assert told == (
        "clinic-day/1  paused: of the first people the API counted nobody, so the estimate is not confirmed; "
        "accept that to go on"
    )
    assert said.pairs()["planned"] == "2"
    assert cli(*said.next_command, "--yes").pairs()["accepted"] == "2"
