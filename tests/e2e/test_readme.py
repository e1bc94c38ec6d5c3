"""What the README tells people to type, typed: each command parses as it stands there, and the campaign is sent."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable

import polars as pl
import pytest
from cyclopts.exceptions import MissingArgumentError

from mambo_io.sandbox import SandboxHandle
from pipelines.campaign import load_campaign
from pipelines.cli import _COMMANDS, _app
from support.cli import Cli
from support.environment import REPOSITORY
from support.workbooks import columns_of

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((REPOSITORY / "docs").glob("*.md")))]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def typed(line: str) -> list[str]:
    """What is typed after `mambo` in the code of a line: `estimate FILE`; of a shell's line all but its comment."""
    return re.findall(r"`(?:time )?mambo ([^`]+)`", line) or re.findall(r"^mambo ([^#]+)", line)


LINES = [line for page in PAGES for line in page.splitlines() if typed(line)]
SHELL = [line for block in blocks("sh") for line in block.splitlines()]
OPTION = re.compile(r"--[a-z][a-z-]+")


def words(command: str) -> list[str]:
    return shlex.split(re.sub(r"[\[\]…]", "", command))


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:50])
def test_each_command_is_understood_as_it_stands_there(line: str) -> None:
    for command in typed(line):
        try:
            _app(None).parse_args(words(command), exit_on_error=False, print_error=False)
        except MissingArgumentError:
            # Prose and tables may name a command without all that it needs; what a person copies may not.
            if line in SHELL:
                raise


@pytest.mark.parametrize("line", [line for line in LINES if OPTION.search(line)], ids=lambda line: line[:50])
def test_each_option_is_one_of_a_command_on_its_line(line: str, cli: Cli) -> None:
    helped = ""
    for command in typed(line):
        path = [word for word in words(command)[:2] if re.fullmatch("[a-z]+(-[a-z]+)?", word)]
        helped += cli(*path, "--help").out
    assert set(OPTION.findall(line)) <= set(OPTION.findall(helped))


def test_each_command_stands_in_the_readme() -> None:
    first_words = {words(command)[0] for line in LINES for command in typed(line)}
    assert first_words >= _COMMANDS.keys()


def test_the_campaign_of_the_readme(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    """Its shell block, line by line, to a sandbox; the question is answered beforehand, and no engine is started."""
    cli.use(api := start_sandbox())
    pl.DataFrame({"phone": ["0772123456", "0701234567", "n/a"]}).write_excel(cli.folder / "people.xlsx")
    (block,) = [block for block in blocks("sh") if "mambo new" in block]
    commands = [words(command) for line in block.splitlines() for command in typed(line)]
    assert [command[0] for command in commands] == ["new", "estimate", "send", "results"]

    for command in commands:
        if command[0] == "send":
            campaign = cli.folder / "clinic-day.toml"
            campaign.write_text(re.sub("^window = .*", 'window = "any"', campaign.read_text(), flags=re.MULTILINE))
            command += ["--yes", "--direct"]
        said = cli(*command)
        assert (said.code, said.err) == (0, "")

    results = columns_of(cli.folder / commands[-1][-1])
    assert results["outcome"] == ["accepted", "accepted", "rejected"]
    assert api.deliveries()["e164"].sort().to_list() == ["+256701234567", "+256772123456"]


def test_the_campaign_file_of_the_readme_is_one(cli: Cli) -> None:
    (text,) = blocks("toml")
    tomllib.loads(text)
    cli.write("people.csv", "client_id,phone,first_name,day\n7,0772123456,Jane,Friday\n")
    cli.write("opt_outs.csv", "phone\n0772123457\n")
    cli.write("clinic-day.toml", text)

    assert load_campaign(cli.folder / "clinic-day.toml").name == "clinic-day"
    assert cli("estimate", "clinic-day.toml").pairs()["To be messaged"] == "1  MTN 1"


@pytest.mark.parametrize("command", [line for line in SHELL if line.startswith("make ")])
def test_each_target_of_make_is_there(command: str) -> None:
    target = shlex.split(command, comments=True)[1]
    subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, check=True, capture_output=True)
