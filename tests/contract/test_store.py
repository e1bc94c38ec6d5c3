"""Opening a store: what is refused, in one line that says what to do; what a store promises once it is open."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from sqlalchemy import func, make_url, select

from mambo_io.errors import StoreError
from mambo_io.ledger import Ledger
from mambo_io.places import file_system_of
from mambo_io.store import NoLedgerYet, Store, store_name
from mambo_io.tables import SCHEMA_VERSION, ledger_meta
from support.ledgers import execute, new_ledger
from support.postgres import PostgresServer


def refusal(url: Path | str, *, create: bool = True) -> str:
    """What is said when the store at `url` is refused: one line, and nothing behind it."""
    with pytest.raises(StoreError) as caught:
        Store(str(url), create=create).close()
    error = caught.value
    assert error.__suppress_context__ or error.__context__ is None
    assert "\n" not in error.message
    return error.message


# --- places ----------------------------------------------------------------------------------------------------------


def a_folder(folder: Path) -> Path:
    return folder


def a_folder_that_is_missing(folder: Path) -> Path:
    return folder / "missing" / "ledger.db"


def a_text_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("phone,name\n0772123456,Jane\n" * 100, encoding="utf-8")
    return folder / "notes.txt"


def a_database_of_another_program(folder: Path) -> Path:
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    return folder / "other.db"


def a_ledger_cut_short(folder: Path) -> Path:
    path = new_ledger(folder / "ledger.db")
    path.write_bytes(path.read_bytes()[:10_000])
    return path


def a_ledger_with_a_damaged_head(folder: Path) -> Path:
    path = new_ledger(folder / "ledger.db")
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    return path


def a_newer_ledger(folder: Path) -> Path:
    path = new_ledger(folder / "ledger.db")
    with Store(str(path)) as store, store.writer() as connection, connection.begin():
        connection.execute(ledger_meta.update().values(value=str(SCHEMA_VERSION + 1)))
    return path


def in_folder(name: str) -> Callable[[Path], Path]:
    def path(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name / "ledger.db"

    return path


def a_link_into_a_synced_folder(folder: Path) -> Path:
    (folder / "Dropbox").mkdir()
    (folder / "here").symlink_to(folder / "Dropbox")
    return folder / "here" / "ledger.db"


RESTORE = "Put a backup in its place: mambo store restore FILE."
DAMAGED = f"The file is damaged or no ledger. {RESTORE} Or set MAMBO_STORE to another file."
NEWER = "Install the version of mambo-pipelines that wrote it, or a newer one."
OWN_DISK = "Set MAMBO_STORE to a file on this computer's own disk."

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder": (a_folder, "is a folder, not a ledger file. Set MAMBO_STORE to a file."),
    "no folder": (a_folder_that_is_missing, "the folder of the store does not exist. Create it, or set MAMBO_STORE."),
    "a text file": (
        a_text_file,
        f"file is not a database. {DAMAGED}",
    ),
    "another program's": (
        a_database_of_another_program,
        "is a SQLite database, but not a ledger. Set MAMBO_STORE to another file.",
    ),
    "cut short": (
        a_ledger_cut_short,
        f"the file is cut short. {RESTORE}",
    ),
    "damaged": (
        a_ledger_with_a_damaged_head,
        f"file is not a database. {DAMAGED}",
    ),
    "newer": (
        a_newer_ledger,
        f"the ledger is of version {SCHEMA_VERSION + 1}, this program knows version {SCHEMA_VERSION}. {NEWER}",
    ),
    **{
        folder: (
            in_folder(folder),
            f"the store lies in a synced folder ({folder}). {OWN_DISK}",
        )
        for folder in ("OneDrive - Clinic", "Dropbox (Personal)", "Google Drive", "iCloud Drive", "Nextcloud")
    },
    "a link": (
        a_link_into_a_synced_folder,
        f"the store lies in a synced folder (Dropbox). {OWN_DISK}",
    ),
}


@pytest.mark.parametrize("place", REFUSED)
def test_a_place_that_cannot_hold_a_ledger_is_refused_and_left_as_it_is(tmp_path: Path, place: str) -> None:
    make, expected = REFUSED[place]
    path = make(tmp_path)
    before = contents(tmp_path)
    message = refusal(path)
    assert message.endswith(f": {expected}")
    assert str(path.parent if place == "no folder" else path) in message
    after = contents(tmp_path)
    assert {each: after[each] for each in before} == before
    assert all(each.name.endswith(("-wal", "-shm")) for each in after.keys() - before.keys()), "SQLite's own"


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_file_may_be_named_like_a_synced_folder(tmp_path: Path) -> None:
    new_ledger(tmp_path / "dropbox.db")


@pytest.mark.parametrize("name", ["clinic 100%.db", "what?.db", "no#1.db", "ŋ.db", "a;b&c=d.db"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    new_ledger(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0
    with Store(f"sqlite:///{tmp_path / 'by-url.db'}", create=True) as store:
        assert store.path == tmp_path / "by-url.db"


def test_a_path_is_one_of_the_persons_own_or_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert store_name("~/ledger.db") == store_name("ledger.db") == str(tmp_path / "ledger.db")


# As the system tells it: the disk of a laptop with a home folder on a server, a Mac with a share.
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smbfs", "afpfs"])
def test_a_network_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "share" / "campaigns").mkdir(parents=True)
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(tmp_path / "share"), fstype=kind),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    path = tmp_path / "share" / "campaigns" / "ledger.db"
    assert refusal(path).endswith(f"the store lies on a network drive ({kind}). {OWN_DISK}")
    assert not path.exists()
    Store(str(tmp_path / "ledger.db"), create=True).close()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has a file system of known type at a known place")
def test_the_type_of_a_file_system_is_found() -> None:
    assert file_system_of(Path("/proc/self/status")) == "proc"


# --- rights ----------------------------------------------------------------------------------------------------------


WRITABLE = "Make the store writable for you (of a file, its folder as well), or set MAMBO_STORE to another."


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter: pytest's own are closed to the ordinary user that root becomes below."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777)


@contextlib.contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may write everywhere, so as root the test becomes somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with as_an_ordinary_user():
        assert refusal(open_folder / "ledger.db").endswith(f"the store cannot be used (Permission denied). {WRITABLE}")


def test_a_folder_that_may_not_be_entered(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o000)
    with as_an_ordinary_user():
        assert refusal(open_folder / "closed" / "ledger.db", create=False).endswith(
            f"the store cannot be used (Permission denied). {WRITABLE}"
        )


def test_a_ledger_that_may_only_be_read_is_read_and_refuses_to_be_written(open_folder: Path) -> None:
    path = new_ledger(open_folder / "ledger.db")
    path.chmod(0o444)
    with as_an_ordinary_user(), Store(str(path)) as store:
        assert Ledger(store).results(Ledger(store).get("clinic-day")).height == 3
        with pytest.raises(
            StoreError, match=r"ledger\.db: you may only read this ledger\. Make the store writable for you"
        ):
            store.writer().__enter__()


def test_a_ledger_in_a_folder_that_may_only_be_read(open_folder: Path) -> None:
    """SQLite puts its log beside the file, so that not even reading goes without."""
    path = new_ledger(open_folder / "ledger.db")
    path.chmod(0o444)
    open_folder.chmod(0o555)
    with as_an_ordinary_user():
        assert refusal(path).endswith(f"attempt to write a readonly database. {WRITABLE}")


def test_a_lock_that_may_not_be_taken(open_folder: Path) -> None:
    path = new_ledger(open_folder / "ledger.db")
    path.chmod(0o666)
    (open_folder / "ledger.db.locks").mkdir(mode=0o555)
    with (
        as_an_ordinary_user(),
        Store(str(path)) as store,
        store.writer() as connection,
        pytest.raises(StoreError, match=r"ledger.db.locks: cannot be locked \(Permission denied\)"),
        store.lock("clinic-day/1", connection),
    ):
        pytest.fail("the lock was taken")


# --- URLs ------------------------------------------------------------------------------------------------------------

POSSIBLE = "A path, sqlite:///path or postgresql://user:password@host/name is."


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", f"a ledger in memory would be lost. {POSSIBLE}"),
        ("sqlite:///:memory:", f"a ledger in memory would be lost. {POSSIBLE}"),
        ("mysql://root:s3cret@db/ledger", f"mysql is not a store this program knows. {POSSIBLE}"),
        ("://root:s3cret@db/ledger", f"MAMBO_STORE is not a database URL. {POSSIBLE}"),
        ("postgresql://root:s3cret@db:five/ledger", f"MAMBO_STORE is not a database URL. {POSSIBLE}"),
    ],
)
def test_a_url_of_something_else_is_refused_without_being_repeated(url: str, message: str) -> None:
    assert refusal(url) == message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://mambo:s3cret@db.example/ledger", "postgresql+psycopg://mambo:***@db.example/ledger"),
        ("postgres://mambo:s3cret@db.example/ledger", "postgresql+psycopg://mambo:***@db.example/ledger"),
        ("postgresql+psycopg://mambo@db.example:5433/ledger", "postgresql+psycopg://mambo@db.example:5433/ledger"),
        ("postgresql://db.example/ledger?user=mambo&password=s3cret", "postgresql+psycopg://db.example/ledger"),
        ("sqlite:////srv/mambo/ledger.db", "/srv/mambo/ledger.db"),
        ("sqlite:////srv/mambo/ledger.db?timeout=5", "/srv/mambo/ledger.db"),
        ("/srv/mambo/ledger.db", "/srv/mambo/ledger.db"),
    ],
)
def test_the_name_of_a_store_holds_no_password(url: str, shown: str) -> None:
    assert store_name(url) == shown


def test_a_server_that_is_not_there() -> None:
    message = refusal("postgresql://mambo:s3cret@127.0.0.1:1/ledger")
    assert re.match(r"postgresql\+psycopg://mambo:\*\*\*@127.0.0.1:1/ledger: .*[Cc]onnection refused", message)
    assert "s3cret" not in message


def test_a_server_that_refuses(postgres_server: PostgresServer) -> None:
    no_database = refusal(postgres_server.url("nothing-here"))
    assert 'database "nothing-here" does not exist' in no_database
    known = make_url(postgres_server.url("postgres"))
    wrong = refusal(known.set(password="s3cret-but-wrong").render_as_string(hide_password=False))
    assert 'password authentication failed for user "mambo"' in wrong
    for message in (no_database, wrong):
        assert message.endswith(". Look at the store, and try again."), "and no word of what was sent"
        assert str(known.password) not in message
        assert "s3cret" not in message


# --- what is there already -------------------------------------------------------------------------------------------


def test_looking_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert Store.if_present(str(path)) is None
    with pytest.raises(
        NoLedgerYet, match=f"^{path}: there is no ledger yet. `mambo send` creates it; or set MAMBO_STORE.$"
    ):
        Store(str(path))
    path.touch()
    with pytest.raises(NoLedgerYet, match=f"^{path}: holds no ledger yet. `mambo send` creates it.$"):
        Store(str(path))
    assert contents(tmp_path) == {path: b""}
    with pytest.raises(StoreError, match="is a folder"):
        Store.if_present(str(tmp_path))


def test_looking_at_a_server_creates_nothing(postgres_url: str) -> None:
    assert Store.if_present(postgres_url) is None
    assert Store.if_present(postgres_url) is None


def test_a_store_that_was_created_is_there(store_url: str) -> None:
    Store(store_url, create=True).close()
    with Store(store_url) as store:
        assert store.schema_version == SCHEMA_VERSION
        assert Ledger(store).campaigns() == []
        assert store.size_mb() > 0
    Store(store_url, create=True).close()
    present = Store.if_present(store_url)
    assert present is not None
    present.close()


def test_two_first_runs_at_the_same_time(store_url: str) -> None:
    together = threading.Barrier(4)
    said: list[str] = []

    def first_run() -> None:
        together.wait()
        try:
            Store(store_url, create=True).close()
        except StoreError as error:
            said.append(error.message)

    runs = [threading.Thread(target=first_run) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert said == []
    with Store(store_url) as store, store.reader() as connection:
        assert connection.scalar(select(func.count()).select_from(ledger_meta)) == 1


def test_a_database_shared_with_another_program_keeps_its_tables(postgres_url: str) -> None:
    execute(postgres_url, "CREATE TABLE events (title text)")
    assert refusal(postgres_url).endswith(
        "holds tables of another program (events). Create a database for the ledger, and set MAMBO_STORE to it."
    )
    execute(postgres_url, "ALTER TABLE events RENAME TO meetings")
    Store(postgres_url, create=True).close()
    execute(postgres_url, "INSERT INTO meetings VALUES ('clinic day')")
