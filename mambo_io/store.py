"""Opening the ledger's database: where it may lie, how it is locked, copied and checked. SQLite or PostgreSQL.

With `tables.py`, the only place that knows which of the two it is.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, false, func, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mambo_io.errors import Stopped, StoreError
from mambo_io.tables import SCHEMA_VERSION, SQLITE_STATISTICS, ledger_meta, metadata

# File systems whose locks or syncs do not hold what SQLite needs of them.
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs3",
    "nfs4",
    "cifs",
    "smb",
    "smb3",
    "smbfs",
    "afpfs",
    "webdav",
    "davfs",
    "afs",
    "ncpfs",
}
_SYNCED_FOLDERS = (
    "onedrive",
    "dropbox",
    "google drive",
    "googledrive",
    "icloud drive",
    "mobile documents",
    "nextcloud",
)
_BUSY_TIMEOUT_MS = 30_000
_KEEPALIVES = {"idle": 10, "interval": 5, "count": 3}  # seconds, seconds, probes
_WRITE_NOTHING = update(ledger_meta).where(false()).values(value="")
_WRITABLE = "Make the store writable for you (of a file, its folder as well), or set MAMBO_STORE to another."


class StoreBusy(StoreError):
    """Somebody else holds the lock that was asked for; `exit_code` 2, nothing was changed."""


class NoLedgerYet(StoreError):
    """Nothing was sent from this store so far."""


class Store:
    """A ledger database. `url` is a path, `sqlite:///path` or `postgresql://user:password@host/name`.

    Opens what is there; creates tables only with `create=True`. Raises `StoreError` with one line that says what to do.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._url = _parse(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.path = Path(self._url.database or "") if self.is_sqlite else None
        if self.path is not None:
            try:
                _check_sqlite_place(self.path, create=create)
            except OSError as error:
                raise StoreError(
                    f"the store cannot be used ({error.strerror})", file=self.path, fix=_WRITABLE
                ) from None
        self._engine = self._make_engine(read_only=False)
        self._read_engine = self._make_engine(read_only=True)
        with self._told():
            self._check_or_create(create=create)

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

        Raises `StoreError` when the store cannot be written; `Stopped` when that fails later, inside the block.
        """
        with self._told():
            connection = self._engine.connect()
        with connection:
            with self._told(), connection.begin():
                connection.execute(_WRITE_NOTHING)  # a store that may only be read says so here
            try:
                yield connection
            except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
                raise Stopped(f"{self.name}: {_first_line(error)}. {_advice(error)}") from None

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
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        busy = StoreBusy(f"another process is sending {name} from this store", fix="Wait until it ends, or stop it.")
        if self.path is not None:
            folder = self.path.with_name(self.path.name + ".locks")
            # preserve_lock_file also rules out the fallback to a lock that a killed process would leave behind.
            lock = FileLock(folder / f"{digest.hex()}.lock", preserve_lock_file=True)
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout:
                raise busy from None
            except OSError as error:
                raise StoreError(f"cannot be locked ({error.strerror})", file=folder, fix=_WRITABLE) from None
            try:
                yield
            finally:
                lock.release()
        else:
            key = int.from_bytes(digest, "big", signed=True)
            with connection.begin():
                if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
                    raise busy
            try:
                yield
            finally:
                # If this fails, the connection is gone, and the lock with it.
                with suppress(DBAPIError), connection.begin():
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

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
            server = {"synchronous_commit": "on"} | {
                f"tcp_keepalives_{key}": value for key, value in _KEEPALIVES.items()
            }
            if read_only:
                server |= {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable\\ read"}
            arguments = {
                "connect_timeout": 10,
                "application_name": "mambo",
                # Each end notices when the other is gone: the server then gives the locks back.
                **{f"keepalives_{key}": value for key, value in _KEEPALIVES.items()},
                "options": " ".join(f"-c {key}={value}" for key, value in server.items()),
            }
        # hide_parameters: an error's text must not hold numbers. NullPool: a pooled connection would keep a lock.
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
        if self.is_sqlite:
            _set_up_sqlite(engine, read_only=read_only)
        return engine

    def _check_or_create(self, *, create: bool) -> None:
        # Read-only: a SQLite file of another program keeps its journal mode.
        with self._read_engine.connect() as connection:
            version = self._version(connection)
        if version is None:
            if not create:
                raise NoLedgerYet("holds no ledger yet", file=self.name, fix="`mambo send` creates it.")
            version = self._create()
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
        with self._engine.begin() as connection:
            if not self.is_sqlite:
                # Two first runs at the same time: the second waits, as BEGIN IMMEDIATE makes it in SQLite.
                connection.execute(select(func.pg_advisory_xact_lock(0)))
            version = self._version(connection)
            if version is None:
                metadata.create_all(connection)
                if self.is_sqlite:
                    connection.exec_driver_sql("ANALYZE sqlite_schema")  # makes the table for what follows
                    connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", list(SQLITE_STATISTICS))
                connection.execute(ledger_meta.insert(), {"key": "schema_version", "value": str(SCHEMA_VERSION)})
            return version or SCHEMA_VERSION

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the database says into one line; its text holds no values (hide_parameters), but may hold a URL."""
        try:
            yield
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise StoreError(_first_line(error), file=self.name, fix=_advice(error)) from None
        except SQLAlchemyError as error:
            raise StoreError(type(error).__name__, file=self.name) from None


def store_name(url: str) -> str:
    """A store as a screen may show it: a path, or a URL without its password and options (one may be a password)."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.set(query={}).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser().absolute()))
    allowed = "A path, sqlite:///path or postgresql://user:password@host/name is."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise StoreError("MAMBO_STORE is not a database URL", fix=allowed) from None
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise StoreError("a ledger in memory would be lost", fix=allowed)
            return URL.create("sqlite", database=str(Path(parsed.database).expanduser().absolute()))
        case "postgresql" | "postgres":
            try:
                import psycopg  # noqa: F401  (only to see that it is there)
            except ImportError:
                raise StoreError(
                    "PostgreSQL needs the psycopg driver", fix="Install it: pip install 'mambo-pipelines[postgres]'."
                ) from None
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"{other} is not a store this program knows", fix=allowed)


def _check_sqlite_place(path: Path, *, create: bool) -> None:
    """Refuse a place in which SQLite cannot keep its word; create the file where that is asked for."""
    local = "Set MAMBO_STORE to a file on this computer's own disk."
    if path.is_dir():
        raise StoreError("is a folder, not a ledger file", file=path, fix="Set MAMBO_STORE to a file.")
    if not path.parent.is_dir():
        raise StoreError(
            "the folder of the store does not exist", file=path.parent, fix="Create it, or set MAMBO_STORE."
        )
    for part in path.resolve().parent.parts:
        if part.lower().startswith(_SYNCED_FOLDERS):
            raise StoreError(f"the store lies in a synced folder ({part})", file=path, fix=local)
    if (kind := file_system_of(path.resolve())) in _NETWORK_FILE_SYSTEMS:
        raise StoreError(f"the store lies on a network drive ({kind})", file=path, fix=local)
    if not path.exists():
        if not create:
            raise NoLedgerYet("there is no ledger yet", file=path, fix="`mambo send` creates it; or set MAMBO_STORE.")
        path.touch(mode=0o600)


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path` (`ext4`, `nfs4` …), or an empty string where it is not told."""
    mounts = {Path(part.mountpoint): part.fstype.lower() for part in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (path, *path.parents) if folder in mounts), "")


def _set_up_sqlite(engine: Engine, *, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        # Autocommit, so that the driver starts no transaction of its own; `on_begin` says when.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL may lose the last commits in a power cut, and a lost intent is a duplicate message.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")  # 16 MB: pages that change often are copied less
            connection.execute("PRAGMA fullfsync = ON")  # macOS: its plain fsync stops at the drive's own cache

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # Past SQLAlchemy's bookkeeping, which takes longer than all the rest of a short transaction.
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _uri_quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _first_line(error: Exception) -> str:
    return (_words(error).splitlines() or [type(error).__name__])[0]


def _words(error: Exception) -> str:
    """What the driver itself said."""
    return str(error.orig if isinstance(error, DBAPIError) else error).strip()


def _advice(error: Exception) -> str:
    words = _words(error).lower()
    if "not a database" in words or "malformed" in words:
        return "The file is damaged or no ledger: restore a backup, or set MAMBO_STORE to another file."
    if "readonly" in words or "read-only" in words or "permission" in words or "unable to open" in words:
        return _WRITABLE
    if "full" in words or "no space" in words:
        return "Free some space; nothing was lost."
    if "locked" in words:
        return "Another program holds the database; close it and try again."
    return "Nothing was sent by this step; look at the store and try again."
