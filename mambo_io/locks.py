"""The locks of a ledger, and who holds one that is taken.

A killed process loses its locks, a stopped one keeps them. Whoever comes second is told at once who was first: the
holder's name, computer and time stand in a file beside the lock (SQLite), or in the connection's `application_name`,
which every user of a PostgreSQL database sees in `pg_stat_activity`. They hold no number and no secret.
"""

from __future__ import annotations

import getpass
import hashlib
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from mambo_io.errors import StoreError
from mambo_io.store_errors import WRITABLE, StoreBusy
from mambo_io.window import KAMPALA

APPLICATION = "mambo"
_LONGEST_NAME = 63  # bytes of an application_name; PostgreSQL cuts what is longer
_MOMENT_S = 0.1
_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")
_NAME = text("SELECT current_setting('application_name')")
_SET_NAME = text("SELECT set_config('application_name', :name, false)")
_HOLDER = text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (classid::bigint << 32 | objid::bigint) = :key"
)
_WHO = re.compile(r"(?P<who>\S+ on \S+) since (?P<since>[\d-]{10} [\d:]{5})")


def who() -> str:
    """The person at the keyboard, as the record names them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return "unknown"


def sender_name() -> str:
    """Who sends, and on which machine: `grace on office-pc`."""
    return f"{who()} on {_machine()}"


def _machine() -> str:
    return platform.node() or "a machine without a name"


@contextmanager
def file_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold an OS lock on a file of `folder` that is never deleted, or raise `StoreBusy` nearly at once."""
    file = folder / f"{_key(name).hex()}.lock"
    # preserve_lock_file also rules out the fallback to a lock that a killed process would leave behind.
    lock = FileLock(file, preserve_lock_file=True)
    holder = file.with_suffix(".holder")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock.acquire(timeout=_MOMENT_S, poll_interval=_MOMENT_S / 4)  # somebody may only look who holds it
    except Timeout:
        raise busy(name, holder_of(file)) from None
    except OSError as error:
        raise StoreError(f"cannot be locked ({error.strerror})", file=folder, fix=WRITABLE) from None
    try:
        # Not in the lock's own file: a program that tries the lock may cut that. A full disk is no reason not to send.
        with suppress(OSError):
            holder.write_text(_this_process(), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def file_lock_holder(folder: Path, name: str) -> str | None:
    """Who holds `file_lock`: `grace on office-pc, since … in Kampala`; None when nobody does.

    An empty text where it is not known who. Takes a free one for a moment. Raises `StoreError` where that cannot be
    tried: the file is another user's.
    """
    file = folder / f"{_key(name).hex()}.lock"
    try:
        file.stat()  # trying would make one
        with FileLock(file, preserve_lock_file=True, timeout=0):
            return None
    except FileNotFoundError:
        return None
    except Timeout:
        return holder_of(file).removeprefix(": ")
    except OSError as error:
        raise StoreError(f"cannot be locked ({error.strerror})", file=folder, fix=WRITABLE) from None


def holder_of(lock_file: Path) -> str:
    """Who holds the lock of this file, as `busy` says it; an empty text where that is not known."""
    try:
        return _told(lock_file.with_suffix(".holder").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


@contextmanager
def advisory_lock(connection: Connection, name: str) -> Iterator[None]:
    """Hold a session's advisory lock of PostgreSQL on `connection`, or raise `StoreBusy` at once."""
    key = {"key": int.from_bytes(_key(name), "big", signed=True)}
    with connection.begin():
        name_before = connection.scalar(_NAME)  # the connection may hold another lock
        if not connection.scalar(_TRY_LOCK, key):
            raise busy(name, _told(connection.scalar(_HOLDER, key) or ""))
        label = f"{APPLICATION} {_this_process()} {name}"
        connection.execute(_SET_NAME, {"name": label.encode()[:_LONGEST_NAME].decode(errors="ignore")})
    try:
        yield
    finally:
        # If this fails, the connection is gone, and the lock with it.
        with suppress(DBAPIError), connection.begin():
            connection.execute(_SET_NAME, {"name": name_before})
            connection.execute(_UNLOCK, key)


def advisory_lock_holder(connection: Connection, name: str) -> str | None:
    """Who holds `advisory_lock`, as `file_lock_holder` says it."""
    found = connection.scalar(_HOLDER, {"key": int.from_bytes(_key(name), "big", signed=True)})
    return None if found is None else _told(found).removeprefix(": ")


def busy(name: str, holder: str) -> StoreBusy:
    """What is said to whoever comes second; `holder` is also kept on the error, for those who say it otherwise."""
    problem = f"another process is sending {name}{holder or ' from this store'}"
    told = StoreBusy(problem, fix="Wait until it ends, or stop it there.")
    told.holder = holder
    return told


def _this_process() -> str:
    """`grace on office-pc since 2026-11-26 09:12`, in the time of Kampala."""
    person, machine = (re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:20] for name in (who(), _machine()))
    return f"{person} on {machine} since {datetime.now(KAMPALA):%Y-%m-%d %H:%M}"


def _told(line: str) -> str:
    found = _WHO.search(line)
    return "" if found is None else f": {found['who']}, since {found['since']} in Kampala"


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
