"""A backup in the ledger's place: nothing is sent from it before a person has looked, and said so."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from mambo_io import accounting
from mambo_io.calls_left import unknown_calls
from mambo_io.errors import StoreError
from mambo_io.ledger import Ledger
from mambo_io.planning import write_plan
from mambo_io.restored import confirm, restore
from mambo_io.side_file import SideFile, kept_replies
from mambo_io.store import Store, StoreBusy
from mambo_io.tables import events
from pipelines.settling import SettlingRules, conclude
from support.ledgers import NOON, Run, bad_reply, good_reply, no_answer, plan, rows_of
from support.postgres import PostgresServer
from support.processes import mambo

ASKED = r"the ledger is a backup, put in place on 2026-03-02 at 12:00: .*mambo store confirm --by NAME\.$"


@pytest.fixture
def ledger(tmp_path: Path, empty_ledger: Path) -> Path:
    """One call of the campaign is in the backup beside it, `backup.db`; another was made after that."""
    path = Path(shutil.copy(empty_ledger, tmp_path / "ledger.db"))
    with Store(str(path)) as store, store.writer() as connection:
        run = Run.of(connection, plan(2, 2, 2))
        call = run.claim_one()
        run.settle(call, good_reply(call))
        store.backup(tmp_path / "backup.db")
        call = run.claim_one()
        run.settle(call, good_reply(call))
    return path


def start(path: Path) -> Run:
    with Store(str(path)) as store, store.writer() as connection:
        return Run(connection, Ledger(store).get("clinic-day"))


def test_a_backup_copied_over_the_ledger_is_noticed(ledger: Path) -> None:
    shutil.copy(ledger.with_name("backup.db"), ledger)
    with pytest.raises(StoreError, match=r"older copy of the ledger: it ends with call 1, and 2 were made\. Put the"):
        Store(str(ledger))


@pytest.mark.parametrize(
    ("left", "told", "replaced"),
    [
        ([".newest-call"], "2 calls were made from it", None),
        ([".newest-call", ""], "2 calls were made from it", ""),  # an empty file
        (["-wal"], r"ledger\.db-wal still lies beside it", "-wal"),
        ([".replies-1-a", "-wal"], r"ledger\.db-wal and ledger\.db\.replies-1-a still lie beside it", "-wal"),
    ],
)
def test_a_ledger_that_is_gone_is_told_from_one_that_never_was(
    ledger: Path, left: list[str], told: str, replaced: str | None
) -> None:
    """Whoever makes a new one in its place messages everybody again."""
    note = ledger.with_name("ledger.db.newest-call").read_bytes()
    for file in ledger.parent.glob("ledger.db*"):
        if file.is_file():
            file.unlink()
    for end in left:
        ledger.with_name(f"ledger.db{end}").write_bytes({".newest-call": note, "": b""}.get(end, b"x"))
    lies_there = sorted(ledger.parent.iterdir())
    gone = rf"the ledger is gone; {told}\. Put it back, or a backup in its place: mambo store restore FILE\. A new "
    for create in (False, True):
        with pytest.raises(StoreError, match=gone):
            Store(str(ledger), create=create)
    with pytest.raises(StoreError, match=gone):
        Store.if_present(str(ledger))
    assert sorted(ledger.parent.iterdir()) == lies_there, "nothing was made"

    put_aside = restore(str(ledger), ledger.with_name("backup.db"), who="jane", now=NOON).replaced
    assert put_aside == (
        None if replaced is None else ledger.with_name(f"ledger.db.replaced-20260302-120000{replaced}")
    )
    assert put_aside is None or put_aside.exists()
    with pytest.raises(StoreError, match=ASKED):
        start(ledger)


def test_an_empty_ledger_is_not_offered_in_the_place_of_one_that_was_used(ledger: Path, empty_ledger: Path) -> None:
    shutil.copy(empty_ledger, ledger)
    with pytest.raises(
        StoreError, match=r"with call 0, and 2 were made\. Put the newest .*, or a backup: \S+ \S+ \S+ FILE\.$"
    ):
        Store(str(ledger))


def test_on_a_new_machine_nothing_is_noticed(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(ledger.with_name("backup.db"), tmp_path / "elsewhere" / "ledger.db")
    Store(str(tmp_path / "elsewhere" / "ledger.db")).close()


@pytest.mark.parametrize("by_hand", [False, True], ids=["restored", "copied by hand, then restored"])
def test_nothing_is_sent_from_a_backup_before_a_person_confirms(ledger: Path, by_hand: bool) -> None:
    backup = ledger.with_name("backup.db")
    if by_hand:
        shutil.copy(backup, ledger)
    restored = restore(str(ledger), ledger if by_hand else backup, who="jane", now=NOON)
    assert (restored.newest_call, restored.calls_noted, restored.open_campaigns) == (1, 2, ("clinic-day/1",))
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    assert restored.replaced == ledger.with_name("ledger.db.replaced-20260302-120000")
    with Store(str(restored.replaced)) as replaced:
        assert Ledger(replaced).totals(Ledger(replaced).get("clinic-day")).charged_ugx == (100 if by_hand else 200)

    with pytest.raises(StoreError, match=ASKED):
        start(ledger)
    with Store(str(ledger)) as store, store.writer() as connection:
        assert Ledger(store).get("clinic-day").calls == 3, "looking is free"
        confirm(connection, who="Jane Auma", now=NOON + timedelta(hours=1))
        run = Run(connection, Ledger(store).get("clinic-day"))
        assert [call.chunk for call in run.claim(9)] == [2, 3]
        assert [(row["kind"], row["campaign_id"], row["who"], row["detail"]) for row in rows_of(store, events)][
            2:6
        ] == [
            ("restored", None, "jane", "it ends with call 1"),
            ("restored", 1, "jane", "sending in the backup"),
            ("restore_confirmed", None, "Jane Auma", None),
            ("restore_confirmed", 1, "Jane Auma", None),
        ]
        with pytest.raises(StoreError, match="there is nothing to confirm"):
            confirm(connection, who="Jane Auma", now=NOON)


@pytest.fixture
def in_flight(tmp_path: Path, empty_ledger: Path) -> Path:
    """The balance is known, and two calls of 100 are in flight when the backup is made. Then they are answered, the
    first was not executed, another one is made, and the ledger is gone but for what a run left beside it."""
    path = Path(shutil.copy(empty_ledger, tmp_path / "ledger.db"))
    with Store(str(path)) as store, store.writer() as connection:
        run = Run.of(connection, plan(2, 2, 2, 2, 2))
        call = run.claim_one()
        run.settle(call, good_reply(call, balance_ugx=10_000))
        run.now += timedelta(seconds=1)
        first, second = run.claim(2)
        store.backup(tmp_path / "backup.db")
        run.settle(first, bad_reply(first, 400, "try later"))
        run.settle(second, good_reply(second, balance_ugx=9_900))
        lost = run.claim_one()
        side_file = SideFile(store.aside(run.campaign.id), "run")
        with side_file.reserved(1):
            side_file.keep([run.end(lost, good_reply(lost, balance_ugx=9_800))])
            side_file.keep_that_no_call_was_made_after(lost.attempt_id)
    for file in path.parent.glob("ledger.db*"):
        if "replies" not in file.name and "newest" not in file.name:
            file.unlink()
    return path


def test_what_was_in_flight_when_the_backup_was_made_is_unknown_and_nobody_gets_it_twice(in_flight: Path) -> None:
    restored = restore(str(in_flight), in_flight.with_name("backup.db"), who="jane", now=NOON + timedelta(hours=1))
    assert (restored.newest_call, restored.calls_noted) == (3, 4)
    with Store(str(in_flight)) as store, store.writer() as connection:
        ledger = Ledger(store)
        unknown = ["clinic-day/1/c0002", "clinic-day/1/c0003"]
        assert [call.name for call in unknown_calls(ledger.store, ledger.get("clinic-day"))] == unknown, (
            "before any start"
        )
        confirm(connection, who="Jane Auma", now=NOON + timedelta(hours=2))
        kept = kept_replies(store.aside(1))
        run = Run(connection, ledger.get("clinic-day"), now=NOON + timedelta(hours=2), name="next", kept=kept)
        assert [call.name for call in unknown_calls(ledger.store, run.campaign)] == unknown, (
            "nor by what lies beside it"
        )
        assert kept[0].strange == 1


def test_the_money_tells_nothing_of_them_because_calls_are_not_in_the_backup(in_flight: Path) -> None:
    """Two calls of 100 cost 200 in all: one of the unknown ones, and one that the backup does not hold."""
    restore(str(in_flight), in_flight.with_name("backup.db"), who="jane", now=NOON + timedelta(hours=1))
    later = NOON + timedelta(hours=2)
    with Store(str(in_flight)) as store, store.writer() as connection:
        confirm(connection, who="Jane Auma", now=later)
        accounting.record_reading(connection, "main", 9_800, who="jane", began=later, now=later)
        rules = SettlingRules(exclusive=True, settle_after_s=120, resend_settled=True)
        settled = conclude(connection, Ledger(store).get("clinic-day"), rules, now=later + timedelta(seconds=1))
    assert (settled.sent, settled.not_sent, settled.left) == (0, 0, 2)
    assert settled.trouble is not None
    assert settled.trouble.startswith("the ledger is a backup")


def test_nor_where_the_backup_holds_no_call_at_all(tmp_path: Path) -> None:
    """UGX 100 are missing: a call that was made after the backup took them, and not the one that is unknown now."""
    path, later = tmp_path / "ledger.db", NOON + timedelta(hours=2)
    with Store(str(path), create=True) as store, store.writer() as connection:
        first = write_plan(connection, plan(2, name="first"), who="jane")
        write_plan(connection, plan(2, 2, name="second", message="Another text."), who="jane")
        accounting.record_reading(connection, "main", 10_000, who="jane", began=NOON, now=NOON)
        store.backup(tmp_path / "backup.db")
        run = Run(connection, first, now=NOON + timedelta(minutes=1))
        lost = run.claim_one()
        run.settle(lost, good_reply(lost, balance_ugx=9_900))
    restore(str(path), tmp_path / "backup.db", who="jane", now=NOON + timedelta(hours=1))
    with Store(str(path)) as store, store.writer() as connection:
        confirm(connection, who="jane", now=later)
        run = Run(connection, Ledger(store).get("second"), now=later)
        run.settle(run.claim_one(), no_answer())
        run.now = later + timedelta(minutes=1)
        answered = run.claim_one()
        run.settle(answered, good_reply(answered, balance_ugx=9_800))
        rules = SettlingRules(exclusive=True, settle_after_s=120, resend_settled=False)
        settled = conclude(connection, run.campaign, rules, now=later + timedelta(minutes=2))
    assert (settled.sent, settled.left) == (0, 1)


def test_what_cannot_be_restored_changes_nothing(ledger: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes((tmp_path / "backup.db").read_bytes()[:50_000])
    (tmp_path / "notes.txt").write_text("phone\n0772123456\n" * 100, encoding="utf-8")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for file, told in {
        "damaged.db": r"is no good copy of a ledger \(.*malformed\)\. Take another backup\.",
        "notes.txt": r"is no good copy of a ledger \(file is not a database\)",
        "other.db": "is a SQLite database, but not a ledger",
        "missing.db": "there is no such file",
    }.items():
        with pytest.raises(StoreError, match=told):
            restore(str(ledger), tmp_path / file, who="jane", now=NOON)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    start(ledger)


def test_a_copy_beside_the_log_of_another_is_neither_opened_nor_restored(ledger: Path) -> None:
    """SQLite would read what the log holds as part of the copy."""
    log = ledger.with_name("ledger.db-wal")
    with Store(str(ledger)) as store, store.writer() as connection:
        Run(connection, Ledger(store).get("clinic-day"))
        left_by_a_crash = log.read_bytes()
    ledger.rename(ledger.with_name("before.db"))
    shutil.copy(ledger.with_name("backup.db"), ledger)
    log.write_bytes(left_by_a_crash)
    told = (
        r"the file was replaced, but the log of the one before, ledger\.db-wal, still lies beside it\. Put the one "
        r"before back\. If it is lost, move \S+ledger\.db-wal away, then: mambo store restore FILE\."
    )
    with pytest.raises(StoreError, match=told):
        Store(str(ledger))
    with pytest.raises(StoreError, match=told):
        restore(str(ledger), ledger, who="jane", now=NOON)
    log.unlink()
    restore(str(ledger), ledger, who="jane", now=NOON)


def test_a_ledger_that_is_in_use_is_not_replaced(ledger: Path) -> None:
    with Store(str(ledger)) as store, store.writer() as connection, store.lock("clinic-day/1", connection):
        with pytest.raises(
            StoreBusy, match=r"a campaign is being sent: \S+ on \S+, since .* in Kampala\. Stop it, then try again\."
        ):
            restore(str(ledger), ledger.with_name("backup.db"), who="jane", now=NOON)
        assert Run(connection, Ledger(store).get("clinic-day")).claim(9)


def test_a_ledger_that_was_cut_short_is_replaced(ledger: Path) -> None:
    with ledger.open("rb+") as file:
        file.truncate(20_000)
    with pytest.raises(
        StoreError, match=r"the file is cut short\. Put a backup in its place: mambo store restore FILE"
    ):
        Store(str(ledger))
    restore(str(ledger), ledger.with_name("backup.db"), who="jane", now=NOON)
    with pytest.raises(StoreError, match=ASKED):
        start(ledger)


def test_postgresql_has_its_own_tool(postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Use pg_restore, and then `mambo store restore` without a file\."):
        restore(postgres_url, tmp_path / "backup.db", who="jane", now=NOON)


def test_a_dump_that_was_put_back_is_sent_from_only_when_a_person_says_so(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """It was made while a call was in flight."""
    with Store(postgres_url, create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(2, 2, 2))
        run.claim_one()
        dump = postgres_server.dump(postgres_url)
    with postgres_server.database() as url:
        with psycopg.connect(url.replace("+psycopg", "")) as restored:
            restored.execute(dump.encode())
        env = {"MAMBO_STORE": url}
        with Store(url) as store, store.locked_writer("clinic-day/1"):
            busy = mambo("store", "restore", cwd=tmp_path, env=env)
        assert (busy.returncode, busy.stdout) == (2, "")
        assert "another process is sending clinic-day/1" in busy.stderr
        done = mambo("store", "restore", cwd=tmp_path, env=env)
        assert "it ends with call 1\nUnfinished in it, and perhaps sent since: clinic-day/1\n" in done.stdout
        with Store(url) as store, store.writer() as connection:
            ledger = Ledger(store)
            unknown = ["clinic-day/1/c0001"]
            assert [call.name for call in unknown_calls(ledger.store, ledger.get("clinic-day"))] == unknown
            with pytest.raises(StoreError, match="the ledger is a backup, put in place on "):
                Run(connection, ledger.get("clinic-day"))
            confirm(connection, who="Jane Auma", now=NOON)
            again = Run(connection, ledger.get("clinic-day"), name="next")
            assert [call.chunk for call in again.claim(9)] == [2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="the commands' paths are POSIX's")
def test_the_commands(ledger: Path, tmp_path: Path) -> None:
    env = {"MAMBO_STORE": str(ledger)}
    without = mambo("store", "restore", cwd=tmp_path, env=env)
    assert (without.returncode, without.stderr) == (2, "mambo: mambo store restore: needs the backup's FILE\n")
    done = mambo("store", "restore", "backup.db", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 API call made since are not in it" in done.stdout
    assert "Unfinished in it, and perhaps sent since: clinic-day/1" in done.stdout
    assert "mambo store confirm --by NAME" in done.stdout
    done = mambo("store", "confirm", cwd=tmp_path, env=env)
    assert done.returncode == 2
    done = mambo("store", "confirm", "--by", "Jane", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    start(ledger)
