"""The sandbox's own durable record: the account, every call, every delivery. SQLite, one file, one writing process."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mambo_io.errors import InputError

FILE_NAME = "sandbox.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    balance_ugx INTEGER NOT NULL,
    charged_ugx INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'active',
    failed_logins INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS calls (
    call_id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,           -- send-sms, balance
    received_us INTEGER NOT NULL,     -- microseconds since 1970, as every time here
    body_sha256 TEXT NOT NULL,
    fault TEXT,                       -- kind of the fault that was played, if any
    submitted INTEGER,                -- contacts listed in the call, null when it never got that far
    executed_us INTEGER,              -- when it was charged and delivered; null: never
    message TEXT, sender_id TEXT, category TEXT, segments INTEGER,
    charged_ugx INTEGER NOT NULL DEFAULT 0,
    balance_after_ugx INTEGER,
    http_status INTEGER,              -- what was answered
    reply TEXT,
    answered_us INTEGER               -- when the answer went to an open connection; null: nobody got one
) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
    call_id INTEGER NOT NULL REFERENCES calls,
    e164 TEXT NOT NULL,
    charged_ugx INTEGER NOT NULL
) STRICT;
"""

_DELIVERIES = """
    SELECT call_id, executed_us AS delivered_us, e164, message AS text, sender_id, category, segments,
           deliveries.charged_ugx
    FROM deliveries JOIN calls USING (call_id) ORDER BY deliveries.rowid
"""


class AccountState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # too many wrong passwords
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Account:
    balance_ugx: int
    charged_ugx: int  # everything charged since the account began
    state: AccountState
    failed_logins: int


@dataclass(slots=True)
class Call:
    """One call as it came. `submitted` is filled in once its recipients have been read."""

    call_id: int
    headers: dict[bytes, bytes]
    body: bytes
    submitted: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What one accepted send-sms call asks for, judged and priced."""

    message: str
    sender_id: str
    category: str
    segments: int
    deliveries: list[tuple[str, int]]  # E.164, charge in UGX
    cost_ugx: int  # charges of the deliveries, and of unsupported contacts where these are charged


class Record:
    """The writing side. Every method is one commit; a process that is killed loses none that has returned.

    `synchronous=NORMAL`: a power cut may take the last commits, which is not what a sandbox is there to prove.
    """

    def __init__(self, folder: Path, *, opening_balance_ugx: int) -> None:
        """Open the record in `folder`, or begin one. Raises InputError where that is not possible."""
        file = folder / FILE_NAME
        try:
            file.touch(mode=0o600)  # its log gets the same mode; numbers and texts stand in both
            self._db = sqlite3.connect(file, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"the sandbox cannot keep its record here ({why})", file=file) from None
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute(
                "INSERT OR IGNORE INTO account (only_row, balance_ugx) VALUES (1, ?)", (opening_balance_ugx,)
            )
        except sqlite3.Error as error:
            self._db.close()
            raise InputError(f"the sandbox cannot keep its record here ({error})", file=file) from None

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def received(self, endpoint: str, headers: dict[bytes, bytes], body: bytes, fault: str | None) -> Call:
        cursor = self._db.execute(
            "INSERT INTO calls (endpoint, received_us, body_sha256, fault) VALUES (?, ?, ?, ?)",
            (endpoint, _now_us(), hashlib.sha256(body).hexdigest(), fault),
        )
        assert cursor.lastrowid is not None
        return Call(cursor.lastrowid, headers, body)

    def execute(self, call: Call, order: Order) -> int | None:
        """Charge the account and deliver, in one commit. The new balance, or None where the old one is too small."""
        with self._commit():
            balance_ugx = self.account().balance_ugx - order.cost_ugx
            if balance_ugx < 0:
                return None
            self._db.execute(
                "UPDATE account SET balance_ugx = ?, charged_ugx = charged_ugx + ?", (balance_ugx, order.cost_ugx)
            )
            self._db.execute(
                "UPDATE calls SET submitted = ?, executed_us = ?, message = ?, sender_id = ?, category = ?,"
                " segments = ?, charged_ugx = ?, balance_after_ugx = ? WHERE call_id = ?",
                (
                    call.submitted,
                    _now_us(),
                    order.message,
                    order.sender_id,
                    order.category,
                    order.segments,
                    order.cost_ugx,
                    balance_ugx,
                    call.call_id,
                ),
            )
            self._db.executemany(
                "INSERT INTO deliveries (call_id, e164, charged_ugx) VALUES (?, ?, ?)",
                [(call.call_id, e164, charged_ugx) for e164, charged_ugx in order.deliveries],
            )
        return balance_ugx

    def finished(self, call: Call, *, http_status: int | None, reply: bytes | None, answered: bool) -> None:
        """Note what was answered. Written just before the answer leaves, so that whoever has it can read this."""
        self._db.execute(
            "UPDATE calls SET submitted = ?, http_status = ?, reply = ?, answered_us = ? WHERE call_id = ?",
            (
                call.submitted,
                http_status,
                None if reply is None else reply.decode("utf-8", "backslashreplace"),
                _now_us() if answered else None,
                call.call_id,
            ),
        )

    def account(self) -> Account:
        return _read_account(self._db)

    def top_up(self, amount_ugx: int) -> None:
        self._db.execute("UPDATE account SET balance_ugx = balance_ugx + ?", (amount_ugx,))

    def set_login_state(self, state: AccountState, failed_logins: int) -> None:
        self._db.execute("UPDATE account SET state = ?, failed_logins = ?", (state, failed_logins))


def read_account(folder: Path) -> Account:
    with closing(_open_to_read(folder)) as db:
        return _read_account(db)


def read_calls(folder: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of `calls`, in the order in which they came."""
    return _read(folder, "SELECT * FROM calls ORDER BY call_id")


def read_deliveries(folder: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows: one per message that reached a person, in the order of delivery."""
    return _read(folder, _DELIVERIES)


def _read(folder: Path, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    with closing(_open_to_read(folder)) as db:
        cursor = db.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()


def _open_to_read(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(folder / FILE_NAME).resolve().as_uri()}?mode=ro", uri=True)


def _read_account(db: sqlite3.Connection) -> Account:
    balance_ugx, charged_ugx, state, failed_logins = db.execute(
        "SELECT balance_ugx, charged_ugx, state, failed_logins FROM account"
    ).fetchone()
    return Account(balance_ugx, charged_ugx, AccountState(state), failed_logins)


def _now_us() -> int:
    return time.time_ns() // 1_000
