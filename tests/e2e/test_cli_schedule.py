"""`mambo schedule` and what `mambo serve` refuses; `tests/flows/test_serve.py` serves a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mambo_io.sandbox import SandboxHandle
from support.cli import Cli
from support.processes import mambo

CRON = {"cron": "0 9 29 2 *"}  # of leap years


def test_the_next_times_and_the_newest_edition(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    cli.use(start_sandbox())
    cli.campaign(schedule=CRON)
    said = cli("schedule")
    assert said.code == 0
    assert said.out.splitlines() == [
        "clinic-day  0 9 29 2 *, Africa/Kampala",
        "  next    2028-02-29T09:00",
        "  next    2032-02-29T09:00",
        "  next    2036-02-29T09:00",
    ]
    assert cli("send", "clinic-day.toml", "--yes", "--direct", "--edition", "2024-02-29T09:00").code == 0
    said = cli("schedule", ".", "--count", "1")
    assert said.out.splitlines()[1:] == ["  next    2028-02-29T09:00", "  newest  2024-02-29T09:00, complete"]
    assert cli("schedule", "--count", "1", "--json").json == {
        "campaign": "clinic-day",
        "schedule": "0 9 29 2 *, Africa/Kampala",
        "next": ["2028-02-29T09:00"],
        "newest": "2024-02-29T09:00, complete",
        "problem": None,
    }


def test_campaigns_that_are_not_sent_by_themselves(cli: Cli) -> None:
    cli.campaign(schedule={"at": "2020-01-01 09:00"})
    cli.write("other.toml", (cli.folder / "clinic-day.toml").read_text().split("[schedule]")[0].replace("clinic-", "b"))
    assert cli("schedule").out.splitlines() == [
        "clinic-day  2020-01-01 09:00, Africa/Kampala",
        "  next    no time of its schedule is to come",
        "bday  no schedule",
    ]


def test_a_file_that_is_wrong_is_told_beside_the_others(cli: Cli) -> None:
    cli.campaign(schedule=CRON)
    cli.write("bad.toml", "name = 'bad'\n[schedule]\ncron = 'monday'\n")
    said = cli("schedule", "--json")
    assert said.code == 2
    assert said.err.startswith(f"mambo: {cli.folder / 'bad.toml'}, ")
    assert json.loads(said.out)["campaign"] == "clinic-day"


def test_what_would_fail_at_its_time_is_told_before(cli: Cli) -> None:
    """But not of a campaign whose time is over."""
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "no-list": ({"recipients": {"path": "clients.csv"}}, "clients.csv: no such file"),
        "no-field": ({"message": "Dear {Nme}, clinic day is Friday."}, "no-field.toml, message: no such column: "),
        "no-stop-list": ({"suppression": {"paths": ["stop.csv"]}}, "stop.csv: no such file"),
    }
    for name, (changes, _) in wrong.items():
        cli.campaign(name=name, schedule=CRON, **changes)
        (cli.folder / "clinic-day.toml").rename(cli.folder / f"{name}.toml")
    cli.campaign(name="over", schedule={"at": "2020-01-01 09:00"}, recipients={"path": "clients.csv"})
    said = cli("schedule", "--json")
    assert said.code == 2
    found = {line["campaign"]: line["problem"] for line in map(json.loads, said.out.splitlines())}
    assert found.pop("over") is None
    for name, (_, told) in wrong.items():
        assert found.pop(name).replace(f"{cli.folder}/", "").startswith(told)
        assert f"mambo: {name}: as its files are now, nothing would be sent: {cli.folder}/{told}" in said.err
    assert not found


def test_what_cannot_be_served_is_refused(cli: Cli) -> None:
    assert cli.refused("schedule").startswith(".: holds no campaign file. `mambo new NAME FILE`")
    assert cli.refused("schedule", "nowhere") == "nowhere: is no folder. Name the folder that holds the campaign files."
    assert cli.refused("serve").startswith("MAMBO_API_KEY: is not set")
    cli.set(API_KEY="secret-key")
    assert cli.refused("serve", "nowhere") == "nowhere: is no folder. Name the folder that holds the campaign files."
    # In a process of its own: another test of this one may have a server running.
    said = mambo("serve", cwd=cli.folder, env={"PREFECT_HOME": str(cli.folder / "prefect")})
    assert said.returncode == 2
    assert said.stderr == (
        "mambo: there is no Prefect server. Start `mambo up` in another terminal, or set PREFECT_API_URL.\n"
    )
