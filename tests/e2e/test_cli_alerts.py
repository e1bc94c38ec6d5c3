"""`mambo send` and MAMBO_ON_PROBLEM: told once when it stops or fails. A no is tested with the question itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mambo_io.sandbox import SandboxHandle
from support.cli import Cli, numbers_of
from support.problems import Pager

SEND = ("send", "clinic-day.toml", "--direct", "--yes")


@pytest.fixture
def pager(cli: Cli, start_sandbox: Callable[..., SandboxHandle], tmp_path_factory: pytest.TempPathFactory) -> Pager:
    """For a campaign of ten people in two calls, which the money for the day stops between them."""
    cli.use(start_sandbox())
    pager = Pager(tmp_path_factory.mktemp("pager"))
    cli.set(ON_PROBLEM=pager.command, MAX_COST_PER_DAY_UGX="250")
    cli.campaign(numbers_of(10), sending={"chunk_size": 5, "canary_size": 5, "concurrency": 1})
    return pager


def test_a_send_that_stops_and_goes_on(cli: Cli, pager: Pager) -> None:
    stopped = cli(*SEND)
    assert stopped.code == 3
    [told] = pager.told()
    assert (told["kind"], told["reason"], told["charged_ugx"]) == ("stopped", "day_budget", 250)
    assert told["next_command"] == "mambo send clinic-day.toml --direct"
    assert not {"MAMBO_API_KEY", "MAMBO_PASSWORD", "MAMBO_USERNAME", "MAMBO_STORE"} & pager.environment()
    assert cli("events", "clinic-day").out.splitlines()[-1].endswith(": stopped")

    cli.set(MAX_COST_PER_DAY_UGX=None)
    assert [cli(*SEND).code, cli(*SEND).code] == [0, 0], "it completes; it is complete"
    assert len(pager.told()) == 1


def test_a_send_of_what_a_person_has_paused(cli: Cli, pager: Pager) -> None:
    cli(*SEND)
    cli("pause", "clinic-day", "--by", "Grace 0772123456")
    assert cli("send", "clinic-day.toml", "--yes").code == 3, "without --direct as well: no flow was begun that tells"
    told = pager.told()[-1]
    assert told["text"].endswith("; a person has paused it")
    assert (told["held_by"], len(pager.told())) == ("Grace •••456", 2)


def test_wrong_input_a_number_in_the_files_name_and_settings_that_cannot_be_used(cli: Cli, pager: Pager) -> None:
    (cli.folder / "clinic-day.toml").rename(cli.folder / "clinic-0772123456.toml")
    cli.write("people.csv", "phone,Jane\n0772123456,Auma\n")
    cli.write("broken.toml", "name = wrong")
    cli.write("column.toml", (cli.folder / "clinic-0772123456.toml").read_text().replace("Friday", "{day}"))
    cli.refused("send", "clinic-0772123456.toml", "--direct", "--yes", "--edition", "a b")
    cli.refused("send", "broken.toml", "--direct", "--yes")
    cli.refused("send", "column.toml", "--direct", "--yes")
    cli.set(ACCOUNT="a b")
    cli.refused("send", "column.toml", "--direct", "--yes")

    told = [
        (problem["kind"], problem["reason"], problem["edition"], problem["text"].replace(f"{cli.folder}/", ""))
        for problem in pager.told()
    ]
    assert told == [
        ("failed", "InputError", None, "clinic-day failed: --edition: is not the name of an edition"),
        ("failed", "InputError", "1", "broken/1 failed: broken.toml: line 1 cannot be read"),
        ("failed", "InputError", "1", "clinic-day/1 failed: column.toml, message: no such column"),
        ("failed", "SettingsError", "1", "clinic-day/1 failed: MAMBO_ACCOUNT: has a value that cannot be used"),
    ]


def test_whoever_tests_on_their_own_phone_sees_what_becomes_of_it(cli: Cli, pager: Pager) -> None:
    cli.set(MAX_COST_PER_DAY_UGX="1")
    assert cli("send", "clinic-day.toml", "--test-to", "0772123456", "--yes").code == 3
    assert pager.told() == []
