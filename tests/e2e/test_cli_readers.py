"""Whoever may only read a ledger sees all of it, and is told in one line when a command would write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from polars.testing import assert_frame_equal
from sqlalchemy import make_url

import pipelines
from mambo_io.store import Store
from pipelines import reconciliation
from support.cli import Cli
from support.environment import REPOSITORY
from support.ledgers import every_outcome, execute

READS: list[tuple[str, ...]] = [
    ("status",),
    ("status", "clinic-day"),
    ("results", "clinic-day", "--output", "results.csv"),
    ("report", "clinic-day", "--output", "report.html"),
    ("report", "--output", "report.xlsx"),
    ("events", "clinic-day"),
    ("events",),
    ("account", "statement"),
    ("account", "entries"),
    ("opt-outs", "list"),
    ("person", "0772000001"),
    ("store", "info"),
    ("estimate", "flour-day.toml"),
]
WRITES: list[tuple[str, ...]] = [
    ("send", "flour-day.toml", "--direct", "--yes"),
    ("pause", "clinic-day", "--by", "Grace"),
    ("resolve", "clinic-day", "c0004", "--accepted", "--by", "Grace", "--note", "the provider's list"),
    ("retry", "clinic-day", "--refused", "--by", "Grace"),
    ("opt-outs", "add", "0772000009", "--source", "phone", "--by", "Grace"),
    ("opt-outs", "import", "people.csv", "--source", "list"),
    ("deliveries", "import", "deliveries.csv", "--campaign", "clinic-day"),
    ("account", "top-up", "5000", "--date", "2026-03-02", "--reference", "MoMo 1", "--by", "Grace"),
]


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


def test_who_may_only_read_reads_everything_and_writes_nothing(cli: Cli, postgres_url: str) -> None:
    with Store(postgres_url, create=True) as store, store.writer() as connection:
        every_outcome(connection)
    ours = pipelines.results("clinic-day", store=postgres_url)
    cli.write("people.csv", "phone\n0772123456\n")
    cli.write("deliveries.csv", "phone,status\n0772000001,DELIVRD\n")
    cli.campaign(name="flour-day")
    (cli.folder / "clinic-day.toml").rename(cli.folder / "flour-day.toml")
    cli.set(API_KEY="a-key", ACCOUNT="main", BASE_URL="http://127.0.0.1:9")
    with reader_of(postgres_url) as url:
        cli.set(STORE=url)
        for arguments in READS:
            said = cli(*arguments)
            assert said.code in (0, 3), (arguments, said)
        assert_frame_equal(pipelines.results("clinic-day"), ours)
        assert reconciliation.by_campaign(reconciliation.books())["recipients"].to_list() == [12]
        for arguments in WRITES:
            assert "the database user analyst may only read this ledger. " in cli.refused(*arguments), arguments

        execute(postgres_url, "UPDATE ledger_meta SET value = '2' WHERE key = 'schema_version'")
        assert cli.refused("status").endswith(
            "is of version 2, and opening it brings it up to date, but the database user analyst may only read this "
            "ledger. Set MAMBO_STORE to a user who may write."
        )
