"""A SQLite ledger moved to PostgreSQL: the same rows, sums and next numbers; and never two that may be sent from."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from mambo_io.errors import InputError, StoreError
from mambo_io.ledger import Ledger
from mambo_io.leftovers import add_note, leftover_of
from mambo_io.moving import Moved, move
from mambo_io.planning import write_plan
from mambo_io.restored import confirm, restore
from mambo_io.side_file import SideFile
from mambo_io.store import NoLedgerYet, Store, StoreBusy
from mambo_io.tables import events, ledger_meta, metadata
from support.cli import dump
from support.ledgers import NOON, Run, execute, good_reply, plan, rows_of
from support.make_old_ledger import fill

TABLES = [table for table in metadata.sorted_tables if table is not ledger_meta]
MOVED = r"ledger\.db: the ledger was moved to postgresql\+psycopg://mambo:\*\*\*@\S+, and this one may only be read\. "


@pytest.fixture
def path(tmp_path: Path, empty_ledger: Path) -> Path:
    """A ledger that has rows in nearly every table."""
    path = Path(shutil.copy(empty_ledger, tmp_path / "ledger.db"))
    with Store(str(path)) as store:
        fill(store)
    return path


def moved(path: Path, url: str) -> Moved:
    with Store(str(path)) as store:
        return move(store, url, who="Grace", now=NOON)


def open_sqlite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def may_be_sent_from(url: str) -> bool:
    try:
        with Store(url) as store, store.locked_writer("clinic-day/1") as connection, connection.begin():
            return True
    except StoreError:
        return False


def test_every_row_arrives_and_the_next_numbers_follow(path: Path, postgres_url: str, tmp_path: Path) -> None:
    with Store(str(path)) as store, store.writer() as connection, connection.begin():
        left = add_note(connection, 1, tmp_path / "recipients.parquet", "the digest")
    done = moved(path, postgres_url)
    assert (done.editions, done.recipients) == (2, 18)
    assert "only-for-tests" not in done.target
    with Store(str(path)) as before, Store(postgres_url) as after:
        assert done.rows == {table.name: len(rows_of(before, table)) for table in TABLES}
        for table in TABLES:
            assert rows_of(after, table) == rows_of(before, table)
        campaigns = Ledger(before).campaigns()
        assert Ledger(after).campaigns() == campaigns
        for campaign in campaigns:
            assert_frame_equal(Ledger(after).results(campaign), Ledger(before).results(campaign))
            assert Ledger(after).totals(campaign) == Ledger(before).totals(campaign)
        newest = Ledger(before).newest_attempt("main")
        assert rows_of(after, events)[-1]["kind"] == "moved"
        with after.reader() as connection:
            assert leftover_of(connection, 1) == left, "which file of an archive has still to go"
        with after.writer() as connection:
            again = Run.of(connection, plan(1, name="flour-day", edition="2", message="Another text."))
            assert again.campaign.id > max(campaign.id for campaign in campaigns)
            assert again.claim_one().attempt_id == newest + 1


def test_the_old_file_is_read_and_nothing_writes_to_it(path: Path, postgres_url: str) -> None:
    shutil.copy(path, path.with_name("older.db"))
    with Store(str(path)) as early, early.writer() as connection:
        with connection.begin():
            pass  # as an import of opt-outs, between two of its commits
        moved(path, postgres_url)
        with pytest.raises(StoreError, match=MOVED + r"Set MAMBO_STORE to that\."):
            connection.begin()
    with Store(str(path)) as store:
        assert store.moved_to is not None
        assert Ledger(store).get("clinic-day").rows == 12
        with pytest.raises(StoreError, match=MOVED), store.writer():
            pass
    with pytest.raises(StoreError, match=MOVED):
        moved(path, postgres_url)
    older = path.with_name("older.db").read_bytes()
    for put_there in (lambda: path.unlink(), lambda: path.write_bytes(older)):
        put_there()
        with pytest.raises(StoreError, match="the ledger that was here was moved to another store, and no file here"):
            Store(str(path), create=True)


def test_the_way_back_is_a_backup_that_a_person_confirms(path: Path, postgres_url: str) -> None:
    moved(path, postgres_url)
    restored = restore(str(path), path, who="jane", now=NOON)
    assert restored.was_moved
    assert restored.calls_noted == restored.newest_call, "how many were made since, nobody knows here"
    assert not may_be_sent_from_a_campaign(path)
    with Store(str(path)) as store, store.writer() as connection:
        confirm(connection, who="Jane", now=NOON)
    assert may_be_sent_from_a_campaign(path)


def may_be_sent_from_a_campaign(path: Path) -> bool:
    try:
        with Store(str(path)) as store, store.writer() as connection:
            Run(connection, Ledger(store).get("clinic-day"))
            return True
    except StoreError:
        return False


# --- refused ----------------------------------------------------------------------------------------------------------


@contextmanager
def a_sender_at_work(path: Path, _: str) -> Iterator[None]:
    with Store(str(path)) as store, store.locked_writer("clinic-day/1"):
        yield


@contextmanager
def a_settlement_at_work(path: Path, _: str) -> Iterator[None]:
    with Store(str(path)) as store, store.writer() as connection, store.lock("account:main", connection):
        yield


@contextmanager
def a_backup_that_nobody_confirmed(path: Path, _: str) -> Iterator[None]:
    restore(str(path), path, who="jane", now=NOON)
    yield


@contextmanager
def replies_beside_it(path: Path, _: str) -> Iterator[None]:
    with Store(str(path)) as store, store.writer() as connection:
        run = Run.of(connection, plan(1, name="late"))
        call = run.claim_one()
        side = SideFile(store.aside(run.campaign.id), "run")
        with side.reserved(1):
            side.keep([run.end(call, good_reply(call))])
    yield


@contextmanager
def a_ledger_there(_: Path, url: str) -> Iterator[None]:
    with Store(url, create=True) as store, store.writer() as connection:
        write_plan(connection, plan(1), who="tester")
    yield


@contextmanager
def another_move_there(_: Path, url: str) -> Iterator[None]:
    Store(url, create=True).close()
    execute(url, "UPDATE ledger_meta SET value = '0'")
    execute(url, "INSERT INTO ledger_meta VALUES ('moved_from', 'gulu:/srv/ledger.db')")
    yield


REFUSED: dict[str, tuple[Callable[[Path, str], AbstractContextManager[None]], str]] = {
    "a sender at work": (a_sender_at_work, r"a campaign is being sent: \S+ on \S+, since .*\. Stop it"),
    "a settlement at work": (a_settlement_at_work, "is being sent: "),
    "an unconfirmed backup": (a_backup_that_nobody_confirmed, "the ledger is a backup.*mambo store confirm"),
    "replies beside it": (
        replies_beside_it,
        "replies to late/1 lie beside the ledger.*Nothing was moved. `mambo send`",
    ),
    "a ledger there": (a_ledger_there, r"holds a ledger\. Name an empty database\. Nothing was moved\."),
    "another move there": (another_move_there, "holds what a move of another ledger, gulu:/srv/ledger.db, has begun"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_changes_nothing(case: str, path: Path, postgres_url: str) -> None:
    arrange, told = REFUSED[case]
    with arrange(path, postgres_url):
        before = dump(path)
        with pytest.raises(StoreError, match=told) as caught:
            moved(path, postgres_url)
        assert dump(path) == before
        assert isinstance(caught.value, StoreBusy) == ("at work" in case)
    if not case.endswith("there"):
        with Store(postgres_url) as target:
            assert not any(rows_of(target, table) for table in TABLES)


def test_only_from_sqlite_and_only_to_postgresql(path: Path, postgres_url: str) -> None:
    with pytest.raises(InputError, match=r"a ledger is moved to PostgreSQL. Name it: postgresql://"):
        moved(path, str(path.with_name("other.db")))
    with Store(postgres_url, create=True) as store, pytest.raises(InputError, match="is a PostgreSQL ledger"):
        move(store, postgres_url, who="Grace", now=NOON)


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_interrupted_at_any_step_it_is_ended_by_the_same_once_more(path: Path, postgres_url: str) -> None:
    """Whatever is interrupted before the first commit leaves the ledger where it is."""
    steps = 0

    def interrupt_at(step: int) -> None:
        nonlocal steps
        steps = 0

        def on_progress(*_: object) -> None:
            nonlocal steps
            steps += 1
            if steps == step:
                raise KeyboardInterrupt

        with Store(str(path)) as store:
            move(store, postgres_url, who="Grace", now=NOON, on_progress=on_progress)

    for step in (1, 5, 9, 14):
        before = dump(path)
        with pytest.raises(KeyboardInterrupt):
            interrupt_at(step)
        assert dump(path) == before
        assert may_be_sent_from(str(path))
        with Store(postgres_url) as store:
            assert Ledger(store).campaigns() == []
    interrupt_at(0)
    assert steps > 14, "each of the steps above was there to be interrupted"
    assert not may_be_sent_from(str(path))
    assert may_be_sent_from(postgres_url)


def test_killed_between_its_commits_neither_or_one_may_be_sent_from(path: Path, postgres_url: str) -> None:
    """The states in which a kill leaves the two, made by hand: all there, not yet marked; marked, not yet whole."""
    first = moved(path, postgres_url)
    not_whole = "UPDATE ledger_meta SET value = '0' WHERE key = 'schema_version'"

    execute(postgres_url, not_whole)
    with pytest.raises(StoreError, match=r"a ledger is being moved here and is not whole yet.*`mambo store move`"):
        Store(postgres_url)
    assert not may_be_sent_from(str(path))
    execute(postgres_url, "DELETE FROM deliveries")
    with pytest.raises(StoreError, match=r"does not hold what was written to it \(deliveries\)"):
        moved(path, postgres_url)
    assert not may_be_sent_from(postgres_url)

    open_sqlite(path, "DELETE FROM ledger_meta WHERE key = 'moved_to'")
    path.with_name("ledger.db.newest-call").unlink()
    assert may_be_sent_from(str(path))
    again = moved(path, postgres_url)  # everything once more, also what was lost there
    assert (again.recipients, again.charged_ugx) == (first.recipients, first.charged_ugx)

    execute(postgres_url, not_whole)
    assert moved(path, postgres_url) == again, "only the last step was left"
    assert may_be_sent_from(postgres_url)
    assert not may_be_sent_from(str(path))


def test_an_empty_place_is_no_ledger(path: Path, postgres_url: str) -> None:
    with pytest.raises(NoLedgerYet), Store(str(path.with_name("nothing.db"))) as store:
        move(store, postgres_url, who="Grace", now=NOON)
