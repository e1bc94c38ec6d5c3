"""`mambo check` and `mambo measure`, and the help that the command gives of itself."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import re
import sys
from pathlib import Path

import pytest
from cyclopts import App

from pipelines import __version__
from pipelines.cli import _COMMANDS
from support.cli import Cli
from support.processes import MAMBO, mambo, run

COMMANDS = [*_COMMANDS, "store info", "store backup"]


def type_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


# --- check and measure -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "line"),
    [
        ("0772123456", "0772123456: good, +256772123456, MTN (by its prefix)"),
        ("+256 (0)701 234-567", "+256 (0)701 234-567: good, +256701234567, Airtel (by its prefix)"),
        ("O772123456", "O772123456: contains_letters: letters in the number"),
        ("0414123456", "0414123456: not_mobile: "),
        ("2.56772E+11", "2.56772E+11: rounded_by_spreadsheet: the spreadsheet has rounded the number"),
        ("-772123456", "-772123456: "),
        ("", ": missing: no number"),
    ],
)
def test_a_number_is_explained(cli: Cli, number: str, line: str) -> None:
    said = cli("check", number)

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(line)
    assert said.out.count("\n") == 1


def test_numbers_for_a_program(cli: Cli) -> None:
    said = cli("check", "--json", "0772123456", "O772123456")

    good, bad = [json.loads(line) for line in said.out.splitlines()]
    assert (good["number"], good["e164"], good["network_guess"], good["reason"]) == (
        "0772123456", "+256772123456", "MTN", None,
    )  # fmt: skip
    assert (bad["e164"], bad["reason"]) == (None, "contains_letters")


def test_numbers_from_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, b"\xef\xbb\xbf0772123456\r\n\r\nO772123456")

    said = cli("check")

    assert [line.partition(": ")[2].partition(",")[0] for line in said.out.splitlines()] == [
        "good",
        "missing: no number",
        "contains_letters: letters in the number",
    ]


def test_a_text_is_explained(cli: Cli) -> None:
    said = cli("measure", "Clinic", "day: 5", "€")

    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "GSM-7, 16 septets, 1 segment, UGX 50 a recipient; 144 more fit into the last segment\n"
        "  '€' counts double, 1 time\n"
    )


def test_what_makes_a_text_dear(cli: Cli) -> None:
    said = cli("measure", "--ugx-per-segment", "40", f"It\u2019s Friday. {'Come early. ' * 6}")

    assert said.out.splitlines() == [
        "UCS-2, 85 UTF-16 code units, 2 segments, UGX 80 a recipient; 49 more fit into the last segment",
        "  '\u2019' (RIGHT SINGLE QUOTATION MARK) at 3 forces UCS-2; plain form \"'\"; without it UGX 40 less",
        "  without all of them UGX 40 less a recipient",
    ]


def test_texts_from_standard_input_for_a_program(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, "\ufeffHello\nŋŋ\n".encode())

    said = cli("measure", "--json")

    first, second = [json.loads(line) for line in said.out.splitlines()]
    assert (first["text"], first["encoding"], first["units"], first["cost_ugx"]) == ("Hello", "GSM-7", 5, 50)
    assert (second["encoding"], second["forcing"][0]["character"]) == ("UCS-2", "ŋ")


@pytest.mark.parametrize("command", ["check", "measure"])
def test_what_is_no_text(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    type_in(monkeypatch, b"0772123456\ncaf\xe9\n")

    line = cli.refused(command)

    assert line == "standard input, row 2: is not UTF-8 text. Pass it as UTF-8."


# --- help ------------------------------------------------------------------------------------------------------------


def test_the_command_alone_shows_where_to_start(cli: Cli) -> None:
    said = cli("--help")

    assert said == cli()
    assert (said.code, said.err) == (0, "")
    listed = re.findall(r"│ ([a-z][a-z-]*) +\S", said.out)
    assert listed == list(_COMMANDS), "in the order in which they are used"
    assert "Start with mambo demo" in said.out
    assert "3 stopped with work or unknown calls left" in " ".join(said.out.split())


def test_the_version(cli: Cli) -> None:
    assert cli("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    said = cli(*command.split(), "--help")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: mambo {command}")
    assert "Exit codes: 0 nothing left to do; 1 a defect of ours; 2 wrong input or settings" in said.out
    rows = re.findall(r"^│ (?:\* )? ?(.*?)│$", said.out, re.MULTILINE)
    for row in rows:
        name, _, meaning = row.strip().partition("  ")
        assert len(meaning.split()) >= 2, f"{command}: {name} is not explained"


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_of_commands_says_what_each_says_first(name: str) -> None:
    path, summary = _COMMANDS[name]
    module, _, attribute = path.partition(":")
    command = getattr(importlib.import_module(module), attribute)

    told = command.help if isinstance(command, App) else inspect.getdoc(command)
    assert str(told).split("\n")[0] == summary


@pytest.mark.parametrize(
    "command", ["new", "check", "measure", "estimate", "send", "status", "results", "store backup"]
)
def test_examples_of_use_are_commands_that_exist(cli: Cli, command: str) -> None:
    said = cli(*command.split(), "--help")

    examples = [line.strip() for line in said.out.splitlines() if line.strip().startswith(f"mambo {command} ")]
    assert examples
    options = re.findall(r"--[a-z-]+", said.out.partition("Parameters")[2])
    for example in examples:
        assert set(re.findall(r"--[a-z-]+", example)) <= set(options), example


# --- as a process ----------------------------------------------------------------------------------------------------


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("0772123456\n" * 50_000)
    script = '"$@" < numbers.txt | head -n 1'

    found = run("sh", "-c", script, "sh", *MAMBO, "check", cwd=tmp_path)

    assert (found.stdout, found.stderr) == ("0772123456: good, +256772123456, MTN (by its prefix)\n", "")


@pytest.mark.parametrize("command", ["--help", "check 0772123456"], ids=["help", "check"])
def test_a_reader_that_is_gone_is_no_error(tmp_path: Path, command: str) -> None:
    """Little is said, so that it is first written when the command ends."""
    script = '{ "$@"; echo $? > code; } | true'

    found = run("sh", "-c", script, "sh", *MAMBO, *command.split(), cwd=tmp_path, env={"PYTHONUNBUFFERED": ""})

    assert found.stderr == ""
    assert (tmp_path / "code").read_text() in ("0\n", "3\n")  # 0: it was quicker than the reader


def test_a_console_that_lacks_a_character_shows_a_question_mark(tmp_path: Path) -> None:
    found = mambo("measure", "ŋ", cwd=tmp_path, env={"PYTHONIOENCODING": "cp1252"})

    assert found.returncode == 0
    assert "'?' (LATIN SMALL LETTER ENG) at 1 forces UCS-2" in found.stdout
