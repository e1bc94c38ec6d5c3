"""Whoever may only read a ledger sees all of it, in notebooks too, and is told in one line what would write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from cyclopts import App
from polars.testing import assert_frame_equal
from sqlalchemy import Connection, make_url

import pipelines
from mambo_io.datasets import read_dataset
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState
from mambo_io.store import Store
from pipelines import reconciliation
from pipelines.archive import archive
from pipelines.cli import _app
from pipelines.messages import measure_messages
from pipelines.numbers import normalize_numbers
from support.cli import Cli
from support.environment import REPOSITORY
from support.ledgers import NOON, Run, every_outcome, execute, good_reply, plan
from support.notebooks import NOTEBOOKS, shown
from support.postgres import PostgresServer

EDITIONS = {"clinic-day": "with every outcome", "flour-day": "finished", "mosquito-nets": "archived"}
MAY_ONLY_READ = "the database user analyst may only read this ledger. "

READS: list[tuple[str, ...]] = [
    ("check", "0772000001"),
    ("status",),
    *[("status", name) for name in EDITIONS],
    *[("results", name, "--output", f"{name}.csv") for name in EDITIONS],
    ("report", "mosquito-nets", "--output", "report.html"),
    ("report", "--output", "report.xlsx"),
    ("events", "clinic-day"),
    ("events",),
    ("account", "statement"),
    ("account", "entries"),
    ("opt-outs", "list"),
    ("person", "0772000001", "--output", "person.json"),
    ("schedule", "."),
    ("store", "info"),
    ("estimate", "reminder.toml"),
    # What it would settle is left, and said; the days are added up and reported all the same.
    ("reconcile", "--from", "2026-03-01", "--to", "2026-03-02", "--output", "days.xlsx", "--max-difference-ugx", "99"),
]
WRITES: list[tuple[str, ...]] = [
    ("send", "reminder.toml", "--direct", "--yes"),
    ("send", "reminder.toml", "--direct", "--yes", "--test-to", "0772000001"),
    ("serve", "."),
    ("approve", "clinic-day", "--by", "Grace"),
    ("pause", "clinic-day", "--by", "Grace"),
    ("resume", "clinic-day", "--by", "Grace"),
    ("cancel", "clinic-day", "--by", "Grace"),
    ("settle", "clinic-day"),
    ("resolve", "clinic-day", "c0004", "--accepted", "--by", "Grace", "--note", "the provider's list"),
    ("retry", "clinic-day", "--refused", "--by", "Grace"),
    ("balance",),
    ("balance", "--unlock"),
    ("opt-outs", "add", "0772000009", "--source", "phone", "--by", "Grace"),
    ("opt-outs", "import", "people.csv", "--source", "list"),
    ("opt-outs", "remove", "0772000009", "--by", "Grace", "--note", "asked for it"),
    ("deliveries", "import", "deliveries.csv", "--campaign", "clinic-day"),
    ("account", "top-up", "5000", "--date", "2026-03-02", "--reference", "MoMo 1", "--by", "Grace"),
    ("person", "0772000001", "--erase", "--by", "Grace", "--yes"),
    ("erase", "flour-day", "--by", "Grace", "--yes"),
    ("erase", "--older-than", "1d", "--by", "Grace", "--yes"),
    ("store", "confirm", "--by", "Grace"),
    ("store", "archive", "flour-day", "--output", "archive", "--by", "Grace"),
    ("store", "bring-back", "mosquito-nets", "--edition", "1", "--by", "Grace"),
]
NO_LEDGER = {"demo", "new", "measure", "sandbox", "up"}  # they open none, or one of their own
OF_A_FILE = {"store backup", "store restore", "store move"}  # a PostgreSQL ledger is refused, whoever asks


@dataclass(frozen=True)
class Shared:
    """A PostgreSQL ledger: the URL of its owner, that of a user who may only read, and the folder of its archive."""

    owner: str
    reader: str
    archive: Path


@pytest.fixture(scope="module")
def shared(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("archive")
    with postgres_server.database() as url:
        with Store(url, create=True) as store:
            with store.writer() as connection:
                finished(connection, "mosquito-nets", 7, months_before=2)
                finished(connection, "flour-day", 5, months_before=0)
                every_outcome(connection)
            archive(store, [Ledger(store).get("mosquito-nets")], folder, who="grace", now=NOON)
        with reader_of(url) as reader:
            yield Shared(url, reader, folder)


def finished(connection: Connection, name: str, people: int, *, months_before: int) -> None:
    """An edition all of whose people were accepted, months before noon."""
    at = NOON - timedelta(days=30 * months_before)
    run = Run.of(
        connection, plan(people, name=name, message=f"About {name}.", kept={"village": ["Pece"] * people}), now=at
    )
    call = run.claim_one()
    run.settle(call, good_reply(call))
    run.sender.finish(CampaignState.COMPLETE, None, at)


@contextmanager
def reader_of(url: str) -> Iterator[str]:
    """The URL of a user that was made by the words of docs/store.md. A SQLite file: tests/contract/test_store.py."""
    page = (REPOSITORY / "docs" / "store.md").read_text(encoding="utf-8")
    [grants] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    owner = make_url(url)
    execute(url, grants.replace("DATABASE mambo", f'DATABASE "{owner.database}"'))
    try:
        yield owner.set(username="analyst", password="change-me").render_as_string(hide_password=False)
    finally:
        execute(url, "DROP OWNED BY analyst; DROP ROLE analyst")


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(cli: Cli, shared: Shared) -> Cli:
    """`mambo` of the user who may only read, with a campaign file, lists, a key and a password at hand."""
    cli.campaign(name="reminder")
    (cli.folder / "clinic-day.toml").rename(cli.folder / "reminder.toml")
    cli.write("deliveries.csv", "phone,status\n0772000001,DELIVRD\n")
    cli.set(STORE=shared.reader, ACCOUNT="main", BASE_URL="http://127.0.0.1:9")
    cli.set(API_KEY="a-key", USERNAME="grace", PASSWORD="secret")
    return cli


def commands(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    """Each command of `mambo` that can be run, as it is typed."""
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command is not None:
            yield (*path, name)
        else:
            yield from commands(app[name], *path, name)


def test_every_command_is_one_of_these() -> None:
    tried = [(words[:1], words[:2]) for words in (*READS, *WRITES)]
    others = {" ".join(command) for command in commands(_app(None)) if not any(command in begins for begins in tried)}
    assert others == NO_LEDGER | OF_A_FILE


def test_who_may_only_read_reads_everything(reader: Cli, shared: Shared) -> None:
    for arguments in READS:
        said = reader(*arguments)
        assert said.code in (0, 3), (arguments, said)
        assert (MAY_ONLY_READ in said.out) == (arguments[0] == "reconcile"), said
    for name in EDITIONS:
        assert_frame_equal(pipelines.results(name), pipelines.results(name, store=shared.owner))
    assert_frame_equal(reconciliation.editions(), reconciliation.editions(shared.owner))
    ours = reconciliation.by_campaign(reconciliation.books(store=shared.owner))
    assert ours["recipients"].to_list() == [12, 5, 7]
    assert_frame_equal(reconciliation.by_campaign(reconciliation.books()), ours)


@pytest.mark.parametrize("arguments", WRITES, ids=" ".join)
def test_who_may_only_read_is_told_so_in_one_line(arguments: tuple[str, ...], reader: Cli) -> None:
    assert MAY_ONLY_READ in reader.refused(*arguments)


@pytest.mark.parametrize(
    "arguments", [("backup", "b.db"), ("restore", "b.db"), ("move", "postgresql://h/x", "--by", "G")]
)
def test_of_a_postgresql_ledger_nobody_makes_a_file(arguments: tuple[str, ...], reader: Cli) -> None:
    assert "PostgreSQL" in reader.refused("store", *arguments)


def test_an_upgrade_is_for_who_may_write(reader: Cli, shared: Shared) -> None:
    execute(shared.owner, "UPDATE ledger_meta SET value = '2' WHERE key = 'schema_version'")
    try:
        assert reader.refused("status").endswith(
            "is of version 2, and opening it brings it up to date, but the database user analyst may only read this "
            "ledger. Set MAMBO_STORE to a user who may write."
        )
    finally:
        execute(shared.owner, "UPDATE ledger_meta SET value = '3' WHERE key = 'schema_version'")


# --- notebooks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def analyst(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Shared:
    """The settings are those of the user who may only read."""
    monkeypatch.setenv("MAMBO_STORE", shared.reader)
    return shared


def test_each_notebook_is_looked_at_below() -> None:
    assert NOTEBOOKS == ["campaign", "costs_and_deliveries", "list_quality", "what_would_it_cost"]


@pytest.mark.parametrize("name", EDITIONS)
def test_a_campaign(name: str, analyst: Shared) -> None:
    table = pipelines.results(name, store=analyst.owner)
    notebook = shown("campaign", chosen=f"{name}/1")
    accepted = table.filter(outcome="accepted").height
    assert f"{accepted:,} of {table.height:,} people" in notebook.text
    assert f"UGX {table['charged_ugx'].sum():,}" in notebook.text
    assert_frame_equal(notebook.frame("results"), table)


def test_costs(analyst: Shared) -> None:
    total = reconciliation.cut(reconciliation.books(store=analyst.owner)).row(0, named=True)
    text = shown("costs_and_deliveries").text
    assert f"UGX {total['charged_ugx']:,}</strong> for {total['accepted']:,} accepted messages in 3 campaigns" in text


def test_a_list_and_a_text(analyst: Shared) -> None:
    """They look at no ledger, and so do not mind whose it is."""
    numbers = normalize_numbers(read_dataset(REPOSITORY / "data" / "people.csv").frame, column="phone")["e164"]
    assert shown("list_quality").frame("people").height == numbers.drop_nulls().n_unique()

    notebook = shown("what_would_it_cost")
    [segments] = measure_messages(pl.DataFrame({"message": [notebook.defined["message"]]}))["segments"]
    assert f"UGX {segments * 50 * 1_000:,} for 1,000 people" in notebook.text


def test_an_archive_that_is_not_at_hand_hides_no_other_campaign(analyst: Shared) -> None:
    """Its files are for their owner alone, unless somebody lets the analyst in."""
    away = analyst.archive.rename(analyst.archive.with_name("not-at-hand"))
    try:
        assert "2 of 12 people" in shown("campaign").text, "the newest"
        archived, months = shown("campaign", chosen="mosquito-nets/1"), shown("costs_and_deliveries")
        later = shown("costs_and_deliveries", first="2026-03", last="2026-03")
    finally:
        away.rename(analyst.archive)
    for notebook in (archived, months):
        assert "the archive of this edition cannot be read (No such file or directory)" in notebook.text
        assert "total" not in notebook.defined
    assert "accepted messages in 2 campaigns" in later.text
