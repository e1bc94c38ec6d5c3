"""What goes wrong with a store, and what a person is told to do about it."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mambo_io.errors import Stopped, StoreError

WRITABLE = "Make the store writable for you (of a file, its folder as well), or set MAMBO_STORE to another."
RESTORE = "Put a backup in its place: mambo store restore FILE."


class StoreBusy(StoreError):
    """Somebody else holds the lock that was asked for; `exit_code` 2, nothing was changed.

    `holder` says who (`: grace on office-pc, since …`), and is empty where that is not known.
    """

    holder = ""


class NoLedgerYet(StoreError):
    """Nothing was sent from this store so far."""


class LedgerFailed(Stopped):
    """The ledger could not be written while a campaign was sent.

    `lasting`: trying again on this connection cannot help, because it, or the file, is not the one that was opened.
    """

    lasting = False

    @classmethod
    def of(cls, error: Exception, connection: Connection, name: str) -> LedgerFailed:
        """What the database says of a write to the store `name`, told in one line."""
        # What was written before may have been calls, and what they came to.
        go_on = "What was recorded stands; start the same command again."
        failure = cls(f"{name}: {first_line(error)}. {advice(error, otherwise=go_on)}")
        # A lost PostgreSQL connection has lost the campaign's lock, too: another sender may be at work by now.
        # Of a connection that is marked as invalid nothing more is asked: SQLAlchemy would open another one.
        failure.lasting = connection.invalidated or getattr(connection.connection.driver_connection, "closed", False)
        return failure

    @classmethod
    def for_good(cls, message: str) -> LedgerFailed:
        failure = cls(message)
        failure.lasting = True
        return failure


def first_line(error: Exception) -> str:
    return (_words(error).splitlines() or [type(error).__name__])[0]


def advice(error: Exception, *, otherwise: str = "Look at the store, and try again.") -> str:
    """What to do, told by the driver's words: they are the only thing that both databases have in common."""
    words = _words(error).lower()
    if "not a database" in words or "malformed" in words:
        return f"The file is damaged or no ledger. {RESTORE} Or set MAMBO_STORE to another file."
    if "readonly" in words or "read-only" in words or "permission" in words or "unable to open" in words:
        return WRITABLE
    if "full" in words or "no space" in words:
        return "Free some space; nothing was lost."
    if "locked" in words:
        return "Another program holds the database; close it and try again."
    return otherwise


def is_read_only(error: Exception) -> bool:
    """Whether the database refuses a write because of who asks, or because nothing may be written to it at all."""
    words = _words(error).lower()
    return any(
        told in words for told in ("readonly database", "read-only", "permission denied for", "must be owner of")
    )


def _words(error: Exception) -> str:
    """What the driver itself said."""
    return str(error.orig if isinstance(error, DBAPIError) else error).strip()
