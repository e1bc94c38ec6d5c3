"""Opening the ledger's database: where it may lie, how it is locked, copied and checked. SQLite or PostgreSQL.

With `tables.py`, the only place that knows which of the two it is.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, false, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from mambo_io.errors import StoreError
from mambo_io.locks import APPLICATION, advisory_lock, advisory_lock_holder, file_lock, file_lock_holder
from mambo_io.places import check_sqlite_place, parse_url
from mambo_io.places import store_name as store_name  # callers look for it here
from mambo_io.settings import data_folder
from mambo_io.sqlite_file import (
    FileWatch,
    check_its_own_log,
    check_not_cut_short,
    check_not_gone,
    check_not_older,
    note_beside,
)
from mambo_io.store_errors import WRITABLE, LedgerFailed, advice, first_line, is_read_only
from mambo_io.store_errors import NoLedgerYet as NoLedgerYet
from mambo_io.store_errors import StoreBusy as StoreBusy
from mambo_io.tables import SCHEMA_VERSION, SQLITE_STATISTICS, attempts, ledger_meta, metadata
from mambo_io.upgrades import can_upgrade, copy_before_upgrade, upgrade

_BUSY_TIMEOUT_MS = 30_000
MOST_CLOCK_OFF_S = 0.25  # a machine's clock, from that of PostgreSQL
_KEEPALIVES = {"idle": 10, "interval": 5, "count": 3}  # seconds, seconds, probes
# A connection that is waited on is not probed: what was sent is sent again for a quarter of an hour.
_UNANSWERED_MS = 25_000  # unless this ends it
_WATCH = "file_watch"  # in `Connection.info`
MOVED_TO = "moved_to"  # in `ledger_meta`: the name of the store that a SQLite ledger was moved to
MOVING = 0  # the version of a ledger that is not whole yet, because it is being moved there
_SCHEMA_CHANGE = {"schema_change": True}  # of a connection that is no writer's
_WRITE_NOTHING = update(ledger_meta).where(false()).values(value="")


class Store:
    """A ledger database. `url` is a path, `sqlite:///path` or `postgresql://user:password@host/name`.

    Opens what is there; creates tables only with `create=True`. A ledger of an earlier version is brought up to date;
    of a SQLite file a copy as it was stays beside it (`ledger.db.version-1`). Raises `StoreError` with one line that
    says what to do. `moving`: also opens what a move of another ledger to this place has not finished.
    """

    def __init__(self, url: str, *, create: bool = False, moving: bool = False) -> None:
        self._url = parse_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.path = Path(self._url.database or "") if self.is_sqlite else None
        if self.path is not None:
            try:
                note = note_beside(self.path)
                if not self.path.exists():
                    check_not_gone(self.path, note)
                check_sqlite_place(self.path, create=create)
            except OSError as error:
                raise StoreError(f"the store cannot be used ({error.strerror})", file=self.path, fix=WRITABLE) from None
        self._engine = self._make_engine(read_only=False)
        self._read_engine = self._make_engine(read_only=True)
        self.moved_to: str | None = None  # the name of the store where the ledger is now: this one may only be read
        self.upgraded_from: int | None = None  # the version that the ledger had when it was opened, if another
        try:
            with self._told():
                self._check_or_create(create=create, moving=moving)
        except OSError as error:
            raise StoreError(f"the store cannot be used ({error.strerror})", file=self.name, fix=WRITABLE) from None

    @classmethod
    def if_present(cls, url: str) -> Store | None:
        """The store, or None when there is no ledger at `url` yet. Raises `StoreError` for one that cannot be used."""
        try:
            return cls(url)
        except NoLedgerYet:
            return None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()
        self._read_engine.dispose()

    @property
    def name(self) -> str:
        """See `store_name`."""
        return store_name(self._url.render_as_string(hide_password=True))

    @property
    def schema_version(self) -> int:
        return SCHEMA_VERSION

    def size_mb(self) -> float:
        """What the database takes on disk."""
        if self.path is not None:
            files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
            return round(sum(file.stat().st_size for file in files if file.exists()) / 1e6, 1)
        with self.reader() as connection:
            return round(int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0) / 1e6, 1)

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """A connection for writing, of the caller alone. SQLite: `BEGIN IMMEDIATE`, WAL, synchronous=FULL.

        Raises `StoreError` when the store cannot be written, or may only be read by this user; `LedgerFailed` when that
        fails later, inside the block.
        """
        with self._told(), self._told_read_only():
            connection = self._engine.connect()
        with connection:
            with self._told(), self._told_read_only(), connection.begin():
                connection.execute(_WRITE_NOTHING)  # a store that may only be read says so here
            try:
                with failures_told(connection):
                    yield connection
            finally:
                if (watch := file_watch(connection)) is not None:
                    watch.close()

    @contextmanager
    def locked_writer(self, name: str) -> Iterator[Connection]:
        """`writer()` with the lock `name` held; see `lock`. Raises `StoreBusy` at once while another has it.

        SQLite: the lock comes first. A sender that was frozen inside a transaction lets nobody write, and whoever
        comes next is to hear of the sender, not of the database. PostgreSQL: raises `StoreError` where this machine's
        clock is not the server's, by which all senders are compared.
        """
        if self.path is not None:
            with file_lock(locks_folder(self.path), name), self.writer() as connection:
                yield connection
        else:
            with self.writer() as connection, advisory_lock(connection, name):
                self.check_clock(connection)
                yield connection

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A read-only connection that sees one state of the ledger for as long as it is open."""
        with self._told(), self._read_engine.connect() as connection:
            yield connection

    @contextmanager
    def lock(self, name: str, connection: Connection) -> Iterator[None]:
        """Hold the lock `name`, or raise `StoreBusy` at once. A killed process loses it; a stopped one keeps it.

        PostgreSQL: a session advisory lock on `connection`, which must be the one that does every write. SQLite: an OS
        lock on a file beside the database that is never deleted.
        """
        path = self.path
        with file_lock(locks_folder(path), name) if path is not None else advisory_lock(connection, name):
            yield

    def holder(self, name: str) -> str | None:
        """Who holds the lock `name`: `grace on office-pc, since … in Kampala`, an empty text where that is not known;
        None when nobody does. Nothing is written. Raises `StoreError` where this user may not ask."""
        if self.path is not None:
            return file_lock_holder(locks_folder(self.path), name)
        with self.reader() as connection:
            return advisory_lock_holder(connection, name)

    def check_clock(self, connection: Connection) -> None:
        """Raise `StoreError` where this machine's clock is not PostgreSQL's.

        Turns of the rate limit, sending windows and what a balance tells are judged by times of several machines.
        """
        if self.is_sqlite:
            return
        with connection.begin():
            asked = datetime.now(UTC)
            servers: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            answered = datetime.now(UTC)
        off_s = max((asked - servers).total_seconds(), (servers - answered).total_seconds())
        if off_s > MOST_CLOCK_OFF_S:
            raise StoreError(
                f"this machine's clock and the database server's differ by {off_s:.1f} s",
                file=self.name,
                fix="Let both be set by a time server (NTP); nothing is sent meanwhile.",
            )

    def aside(self, campaign_id: int) -> Path:
        """How the side files of a campaign edition are named: beside the ledger, or in the data folder."""
        if self.path is not None:
            return self.path.with_name(f"{self.path.name}.replies-{campaign_id}")
        server = f"{self._url.host}:{self._url.port}/{self._url.database}"
        return data_folder() / f"replies-{hashlib.blake2b(server.encode(), digest_size=8).hexdigest()}-{campaign_id}"

    def backup(self, target: Path) -> None:
        """Copy a SQLite ledger to `target` while it may be in use. PostgreSQL has its own tool, pg_dump."""
        if self.path is None:
            raise StoreError("a PostgreSQL store is backed up with its own tools", fix="Use pg_dump.")
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IRUSR | stat.S_IWUSR))
        except OSError as error:
            raise StoreError(
                f"the backup cannot be created ({error.strerror})", file=target, fix="Name a new file."
            ) from None
        with self.reader() as connection:
            source = connection.connection.dbapi_connection
            assert isinstance(source, sqlite3.Connection)
            try:
                with closing(sqlite3.connect(target)) as copy:
                    source.backup(copy)
            except sqlite3.Error as error:
                target.unlink()
                raise StoreError(f"the backup failed ({error})", file=target, fix="Free some space there.") from None

    def _make_engine(self, *, read_only: bool) -> Engine:
        url, arguments = self._url, dict[str, Any]()
        if self.path is not None:
            mode = "ro" if read_only else "rwc"
            url = url.set(database=f"file:{_uri_quoted(self.path)}", query={"mode": mode, "uri": "true"})
            arguments = {"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1000}
        else:
            server: dict[str, object] = {"synchronous_commit": "on", "tcp_user_timeout": _UNANSWERED_MS}
            server |= {f"tcp_keepalives_{key}": value for key, value in _KEEPALIVES.items()}
            if read_only:
                server |= {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable\\ read"}
            arguments = {
                "connect_timeout": 10,
                "application_name": APPLICATION,
                # Each end notices when the other is gone: the server then gives the locks back.
                **{f"keepalives_{key}": value for key, value in _KEEPALIVES.items()},
                "tcp_user_timeout": _UNANSWERED_MS,
                "options": " ".join(f"-c {key}={value}" for key, value in server.items()),
            }
        # hide_parameters: an error's text must not hold numbers. NullPool: a pooled connection would keep a lock.
        engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args=arguments,
            execution_options={"store": self.name},  # for `failures_told`
        )
        if self.path is not None:
            _set_up_sqlite(engine, self.path, read_only=read_only)
        return engine

    def _check_or_create(self, *, create: bool, moving: bool) -> None:
        if self.path is not None:
            note = note_beside(self.path)  # before the ledger is read: a sender may be at work
            check_its_own_log(self.path, note)
            check_not_cut_short(self.path)
        # Read-only: a SQLite file of another program keeps its journal mode.
        with self._read_engine.connect() as connection:
            version = self._version(connection)
            newest = connection.scalar(select(func.max(attempts.c.id))) if version is not None else None
            its_place = select(ledger_meta.c.value).where(ledger_meta.c.key == MOVED_TO)
            self.moved_to = connection.scalar(its_place) if version is not None else None
        if version is None and self.path is not None:
            check_not_gone(self.path, note)
        if version is None and not create:
            raise NoLedgerYet("holds no ledger yet", file=self.name, fix="`mambo send` creates it.")
        if self.path is not None:
            check_not_older(self.path, newest or 0, note, moved=self.moved_to is not None)
        if version is None:
            version = self._create()
        elif can_upgrade(version):
            with self._told_read_only(f"is of version {version}, and opening it brings it up to date, but "):
                version = self._upgrade(version)
        if version == MOVING:
            if moving:
                return
            raise StoreError(
                "a ledger is being moved here and is not whole yet",
                file=self.name,
                fix="Wait until it is; if that was interrupted, the same `mambo store move` once more ends it.",
            )
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"the ledger is of version {version}, this program knows version {SCHEMA_VERSION}",
                file=self.name,
                fix="Install the version of mambo-pipelines that wrote it, or a newer one.",
            )

    def _version(self, connection: Connection) -> int | None:
        """The schema version of the ledger, or None where there is none yet. Refuses what belongs to others."""
        tables = set(inspect(connection).get_table_names())
        if ledger_meta.name in tables:
            query = select(ledger_meta.c.value).where(ledger_meta.c.key == "schema_version")
            return int(connection.scalar(query) or 0)
        if self.is_sqlite and tables:
            raise StoreError(
                "is a SQLite database, but not a ledger", file=self.name, fix="Set MAMBO_STORE to another file."
            )
        if taken := tables & metadata.tables.keys():
            raise StoreError(
                f"holds tables of another program ({', '.join(sorted(taken))})",
                file=self.name,
                fix="Create a database for the ledger, and set MAMBO_STORE to it.",
            )
        return None

    def _create(self) -> int:
        with self._alone() as connection:
            version = self._version(connection)
            if version is None:
                metadata.create_all(connection)
                if self.is_sqlite:
                    connection.exec_driver_sql("ANALYZE sqlite_schema")  # makes the table for what follows
                    connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", list(SQLITE_STATISTICS))
                connection.execute(ledger_meta.insert(), {"key": "schema_version", "value": str(SCHEMA_VERSION)})
            return version or SCHEMA_VERSION

    def _upgrade(self, version: int) -> int:
        """Bring the ledger of an earlier version up to date; of a SQLite file a copy as it was stays beside it."""
        with self._alone() as connection:
            if self._version(connection) == version:  # or else another process was faster
                if self.path is not None:
                    copy = copy_before_upgrade(self.path, version)
                    copy.unlink(missing_ok=True)  # perhaps half of one, of an upgrade that was killed
                    self.backup(copy)
                upgrade(connection, version)
                self.upgraded_from = version
            return self._version(connection) or 0

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A transaction that writes the schema. Of two processes at the same time the second waits."""
        with self._engine.connect().execution_options(**_SCHEMA_CHANGE) as connection:
            if self.is_sqlite:  # a table that others refer to is rebuilt; inside a transaction this would do nothing
                _driver(connection).execute("PRAGMA foreign_keys = OFF")
            with connection.begin():
                if not self.is_sqlite:  # there BEGIN IMMEDIATE makes it wait
                    connection.execute(select(func.pg_advisory_xact_lock(0)))
                yield connection

    @contextmanager
    def _told_read_only(self, problem: str = "") -> Iterator[None]:
        """Say it in one line when this user may only read the ledger; `problem` is why it would have to be written."""
        try:
            yield
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
            if not is_read_only(error):
                raise
            who = "you" if self.is_sqlite else f"the database user {self._url.username}"
            fix = WRITABLE if self.is_sqlite else "Set MAMBO_STORE to a user who may write."
            raise StoreError(f"{problem}{who} may only read this ledger", file=self.name, fix=fix) from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the database says into one line; its text holds no values (hide_parameters), but may hold a URL."""
        try:
            yield
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise StoreError(first_line(error), file=self.name, fix=advice(error)) from None
        except SQLAlchemyError as error:
            raise StoreError(type(error).__name__, file=self.name) from None


def locks_folder(path: Path) -> Path:
    """Where the files of a SQLite ledger's locks lie."""
    return path.with_name(f"{path.name}.locks")


@contextmanager
def failures_told(connection: Connection) -> Iterator[None]:
    """Turn what the database says of a write into `LedgerFailed`."""
    try:
        yield
    except (DBAPIError, connection.dialect.loaded_dbapi.Error) as error:
        raise LedgerFailed.of(error, connection, connection.get_execution_options()["store"]) from None


def file_watch(connection: Connection) -> FileWatch | None:
    """What watches the ledger's files for this connection, where they are SQLite's."""
    return None if connection.invalidated else connection.info.get(_WATCH)


def _set_up_sqlite(engine: Engine, path: Path, *, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        # Autocommit, so that the driver starts no transaction of its own; `on_begin` says when.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL may lose the last commits in a power cut, and a lost intent is a duplicate message.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # macOS: its plain fsync stops at the drive's own cache
            record.info[_WATCH] = FileWatch(path)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        driver = _driver(connection)
        if read_only:
            driver.execute("BEGIN")
            return
        watch: FileWatch = connection.info[_WATCH]
        watch.check()
        driver.execute("BEGIN IMMEDIATE")
        watch.opened()
        if not _SCHEMA_CHANGE.items() <= connection.get_execution_options().items():
            _check_still_here(driver, path)


def _check_still_here(driver: sqlite3.Connection, path: Path) -> None:
    """Asked in each transaction: a program that opened the ledger before it was moved must not write to it after."""
    found = driver.execute("SELECT value FROM ledger_meta WHERE key = ?", (MOVED_TO,)).fetchone()
    if found is not None:
        driver.execute("ROLLBACK")
        raise was_moved(path, found[0])


def was_moved(path: Path, place: str) -> StoreError:
    return StoreError(
        f"the ledger was moved to {place}, and this one may only be read", file=path, fix="Set MAMBO_STORE to that."
    )


def _driver(connection: Connection) -> sqlite3.Connection:
    """Past SQLAlchemy's bookkeeping, which takes longer than all the rest of a short transaction."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _uri_quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
