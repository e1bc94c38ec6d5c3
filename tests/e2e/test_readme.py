"""What README and docs/ tell people to type, typed: each command parses as it stands there, and most are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import prefect.settings
import pytest
from cyclopts.exceptions import MissingArgumentError

from mambo_io.model import CampaignState
from mambo_io.sandbox import SandboxHandle
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import Store
from pipelines.campaign import load_campaign
from pipelines.cli import _COMMANDS, _app
from support.cli import Cli
from support.environment import REPOSITORY
from support.ledgers import Run, good_reply, plan
from support.prefect_words import check_words
from support.workbooks import columns_of

FILES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PAGES = {file.name: file.read_text(encoding="utf-8") for file in FILES}


def blocks(language: str, page: str = "README.md") -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def typed(line: str) -> list[str]:
    """What is typed after `mambo` in the code of a line: `estimate FILE`; of a shell's line all but its comment."""
    return re.findall(r"`(?:time )?mambo ([^`]+)`", line) or re.findall(r"^(?:ExecStart=\S+/)?mambo ([^#]+)", line)


LINES = [line for page in PAGES.values() for line in page.splitlines() if typed(line)]
SHELL = [line for page in PAGES for block in blocks("sh", page) for line in block.splitlines()]
# What else is named: in prose and tables, and by the service files.
NAMED = [
    command
    for page in PAGES.values()
    for pattern in (r"`((?:prefect|make) [^`]+)`", r"^ExecStart=\S+/(prefect .+)$")
    for command in re.findall(pattern, page, re.MULTILINE)
]
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
            written = re.sub("^window = .*", 'window = "any"', campaign.read_text(), flags=re.MULTILINE)
            campaign.write_text(written.replace("Write your message here.", "Clinic day is Friday."))
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


# --- the blocks of the pages -----------------------------------------------------------------------------------------

# What a page's lines need on this machine: another place, and the answer to a question.
INSTEAD = {
    "/srv/archive": "archive",
    "--erase --by Grace": "--erase --by Grace --yes",
    "erase clinic-day --by Grace": "erase clinic-day --by Grace --yes",
}


@pytest.fixture
def used(cli: Cli) -> Cli:
    """A folder with a ledger from which clinic-day was sent to twelve people 200 days ago, and with lists."""
    then = datetime.now(UTC) - timedelta(days=200)
    with Store(str(cli.folder / "ledger.db"), create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(9, 3, kept={"district": ["Gulu"] * 12}), now=then)
        for call in run.claim(2):
            run.settle(call, good_reply(call))
        run.sender.finish(CampaignState.COMPLETE, None, then)
    stops = pl.DataFrame({"phone": ["0772123457", "n/a"], "asked_on": ["2026-11-03"] * 2})
    stops.write_excel(cli.folder / "stop-list.xlsx")
    cli.write("deliveries.csv", "phone,status\n0772000001,DELIVRD\n0772999999,DELIVRD\n")
    cli.set(ACCOUNT="main")
    return cli


# Not running.md: what it types is sent and served by an engine (tests/flows).
@pytest.mark.parametrize("page", ["README.md", "on-call.md", "opt-outs.md", "personal-data.md"])
def test_the_lines_of_a_page_do_as_they_stand_there(page: str, used: Cli) -> None:
    lines = [line for block in blocks("sh", page) if "mambo new" not in block for line in block.splitlines()]
    commands = [command for line in lines for command in typed(line)]
    assert len(commands) >= 3
    for command in commands:
        for there, here in INSTEAD.items():
            command = command.replace(there, here)
        said = used(*words(command))
        assert (said.code in (0, 3), said.err) == (True, ""), (command, said)


def test_a_ledger_moves_and_is_archived_as_the_page_says(used: Cli, postgres_url: str) -> None:
    move, archive, bring_back = (
        words(typed(line)[0]) for block in blocks("sh", "store.md") for line in block.splitlines()
    )
    assert used(*(postgres_url if "://" in word else word for word in move)).code == 0
    used.set(STORE=postgres_url)
    assert "12 people" in used(*(INSTEAD.get(word, word) for word in archive)).out
    assert "12 people" in used(*bring_back).out


# --- other programs --------------------------------------------------------------------------------------------------


def test_every_line_of_a_block_is_tried() -> None:
    """A line that begins otherwise wants a test of its own here."""
    begins = {line.split()[0] for line in SHELL}
    assert begins == {"mambo", "make", "prefect", "createdb", "export", "MAMBO_STORE=build/notebooks/example/ledger.db"}
    assert {line.split()[1] for line in SHELL if line.startswith("createdb")} == {"ledger", "prefect"}
    for database in ("ledger", "prefect"):
        assert re.search(rf"=postgresql\S*://\w+:PASSWORD@db/{database}\b", PAGES["machines.md"])
    [apps] = [line for line in SHELL if line.startswith("MAMBO_STORE=")]
    told = (REPOSITORY / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")
    assert f"As apps: {apps}" in told, "make notebooks says the same; tests/e2e/test_notebook_apps.py runs it"


def test_every_target_of_make_is_there() -> None:
    for command in {line for line in (*SHELL, *NAMED) if line.startswith("make ")}:
        target, *given = shlex.split(command, comments=True)[1:]
        subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, check=True, capture_output=True)
        for variable, _, value in (word.partition("=") for word in given):
            assert variable != "ARGS" or (REPOSITORY / value).exists(), command


@pytest.mark.parametrize("command", [line for line in (*SHELL, *NAMED) if line.startswith("prefect ")])
def test_prefect_understands(command: str) -> None:
    check_words(shlex.split(command)[1:])


def test_every_setting_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {name for page in PAGES.values() for name in re.findall(r"\b(?:MAMBO|PREFECT)_[A-Z_]+", page)}:
        if name.startswith("MAMBO_"):
            assert name.removeprefix("MAMBO_").lower() in MamboSettings.model_fields
        else:
            assert hasattr(prefect.settings, name), name
    exported = [word for line in SHELL if line.startswith("export ") for word in shlex.split(line)[1:]]
    given = [word.partition("=") for word in exported]
    assert {name for name, _, _ in given if not re.match("MAMBO_|PREFECT_", name)} == {"DO_NOT_TRACK"}
    for name, _, value in given:
        monkeypatch.setenv(name, value)
        load_settings()  # which refuses a value that cannot be used
