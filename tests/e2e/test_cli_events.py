"""`mambo events`: who did what to a campaign, and when."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.window import KAMPALA
from support.cli import Cli

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
ME = "officer"
SENDER = f"{ME} on {platform.node()}"


@pytest.fixture
def told(cli: Cli, start_sandbox: Callable[..., SandboxHandle], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Edition 1 was approved, paused, resumed and sent; of edition 2 a plan was approved, another made in its place and
    that cancelled."""
    monkeypatch.setenv("LOGNAME", ME)
    cli.use(start_sandbox())
    cli.campaign(approval="required")
    cli(*SEND)
    assert cli("approve", "clinic-day", "--by", "Grace").code == 0
    assert cli("pause", "clinic-day", "--by", "Grace", "--note", "Jane of 0772 123 456 objects").code == 0
    assert cli("resume", "clinic-day", "--by", "Amos").code == 0
    assert cli(*SEND).code == 0
    cli.campaign(message="Another text.", approval="required")
    cli(*SEND, "--edition", "2")
    assert cli("approve", "clinic-day", "--by", "Grace").code == 0
    cli.campaign(message="Yet another text.", approval="required")
    assert cli(*SEND, "--edition", "2").code == 3, "nobody has approved this"
    assert cli("cancel", "clinic-day", "--by", "Amos").code == 0
    return cli


OF_1 = [
    ("planned", ME, "3 recipients, 1 calls"),
    ("approved", "Grace", "3 recipients, 1 calls, UGX 150; plan "),
    ("held", "Grace", "Jane of •••456 objects"),
    ("resumed", "Amos", None),
    ("send_started", SENDER, None),
    ("complete", SENDER, None),
]
OF_2 = [
    ("planned", ME, "3 recipients, 1 calls"),
    ("approved", "Grace", "3 recipients, 1 calls, UGX 150; plan "),
    ("plan_replaced", ME, None),
    ("planned", ME, "3 recipients, 1 calls"),
    ("cancelled", "Amos", None),
]


def test_on_the_screen(told: Cli) -> None:
    digest = told("status", "clinic-day", "--edition", "1", "--json").json["plan_digest"]
    said = told("events", "clinic-day", "--edition", "1")
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.partition("  ")[2] for line in lines] == [
        f"clinic-day/1  {kind} by {who}" + (f": {detail}" if detail else "") + (digest if kind == "approved" else "")
        for kind, who, detail in OF_1
    ]
    at = datetime.strptime(lines[0][:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=KAMPALA)
    assert timedelta() <= datetime.now(KAMPALA) - at < timedelta(minutes=5)


def test_all_editions_for_a_program(told: Cli) -> None:
    found = [json.loads(line) for line in told("events", "clinic-day", "--json").out.splitlines()]
    assert [(event["edition"], event["event"], event["who"]) for event in found] == [
        *(("1", kind, who) for kind, who, _ in OF_1),
        *(("2", kind, who) for kind, who, _ in OF_2),
    ]
    assert found[0]["at"].endswith("+03:00")


def test_in_a_file(told: Cli) -> None:
    said = told("events", "clinic-day", "--output", "events.csv")
    assert (said.code, said.out) == (0, "11 events in events.csv\n")
    assert "0772" not in (told.folder / "events.csv").read_text(encoding="utf-8")
    found = pl.read_csv(told.folder / "events.csv", infer_schema=False)
    assert found.columns == ["at", "campaign", "edition", "event", "who", "detail"]
    assert found["event"].to_list() == [kind for kind, *_ in [*OF_1, *OF_2]]


def test_a_campaign_that_is_not_there(told: Cli) -> None:
    assert told.refused("events", "clinic").startswith("there is no campaign clinic in ")
    assert told.refused("events", "clinic-day", "--edition", "3") == "clinic-day has no edition 3. It has: 2, 1."
