"""Moving a SQLite ledger to an empty PostgreSQL database, whole: the same rows with the same ids.

Three commits, so that at no moment both may be sent from, whatever is killed::

    target    every row, marked as not whole yet   nothing opens it but another move of the same ledger
    source    "moved to …"                          every writer refuses it from here on; reading goes on
    target    the mark is taken off                 the ledger

Before the first, each table is read back from the target and compared: how many rows, and a digest over every value of
them; and for each edition the sums that `mambo status` shows, people by outcome and money. Nobody else writes to the
source meanwhile. A move that was interrupted is ended by the same once more.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Integer,
    Table,
    column,
    exists,
    func,
    insert,
    select,
    table,
    text,
    update,
)

from mambo_io.bulk import fetch_pieces, insert_rows
from mambo_io.errors import InputError, StoreError
from mambo_io.event_log import add_event
from mambo_io.ledger import campaign_row, totals_of
from mambo_io.leftovers import copy_notes
from mambo_io.places import parse_url
from mambo_io.restored import check_confirmed, nobody_sends
from mambo_io.side_file import kept_replies
from mambo_io.sqlite_file import MOVED, write_note
from mambo_io.store import MOVED_TO, MOVING, Store, was_moved
from mambo_io.tables import SCHEMA_VERSION, campaigns, ledger_meta, metadata

_MOVED_FROM = "moved_from"  # in the target's `ledger_meta`: the computer and path of the ledger that was moved
_TABLES = [each for each in metadata.sorted_tables if each is not ledger_meta]
_VERSION = ledger_meta.c.key == "schema_version"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved, as it was read back from the target. `rows` by table."""

    target: str
    rows: dict[str, int]
    editions: int
    recipients: int
    charged_ugx: int


_Digest = tuple[int, int]  # how many rows, and the sum of a hash of each
OnProgress = Callable[[str, int, int], None]  # what is done, rows of so many


def move(source: Store, url: str, *, who: str, now: datetime, on_progress: OnProgress = lambda *_: None) -> Moved:
    """Move the SQLite ledger `source` to the PostgreSQL database at `url`; recorded, with who did it.

    Raises `StoreBusy` while something is sent or settled from it; `StoreError` when it was moved before, is a backup
    that nobody has confirmed, or has replies beside it that it has not taken, and when the target is not empty or does
    not hold what it should. Nothing is changed then: the ledger is still `source`.
    """
    if source.path is None:
        raise InputError("is a PostgreSQL ledger: only one in a SQLite file is moved", file=source.name)
    if parse_url(url).get_backend_name() != "postgresql":
        raise InputError("a ledger is moved to PostgreSQL", fix="Name it: postgresql://user@host/database.")
    origin = f"{socket.gethostname()}:{source.path}"
    with Store(url, create=True, moving=True) as target, target.locked_writer("move") as into:
        if source.moved_to is None:
            with source.writer() as connection, connection.begin(), nobody_sends(source.path):
                check_confirmed(connection)
                _check_replies(source, connection)
                add_event(connection, None, "moved", f"to {target.name}", who, now)
                with into.begin():
                    _take(into, target, origin)
                    copied = _copy(connection, into, on_progress)
                    moved = _compared(connection, copied, into, target, on_progress)
                connection.execute(insert(ledger_meta), {"key": MOVED_TO, "value": target.name})
        else:  # a move that was interrupted at its end, or one that was not
            with source.reader() as connection, into.begin():
                if source.moved_to != target.name or _value(into, _MOVED_FROM) != origin or not _is_moving(into):
                    raise was_moved(source.path, source.moved_to)
                its_own = {each.name: _digest(_pieces(connection, each)) for each in _TABLES}
                moved = _compared(connection, its_own, into, target, on_progress)
        write_note(source.path, MOVED)
        with into.begin():
            into.execute(update(ledger_meta).where(_VERSION).values(value=str(SCHEMA_VERSION)))
    return moved


def _check_replies(source: Store, connection: Connection) -> None:
    for row in connection.execute(select(campaigns).order_by(campaigns.c.id)):
        for replies in kept_replies(source.aside(row.id)):
            if replies.ends or replies.no_call_after is not None:
                raise StoreError(
                    f"replies to {campaign_row(row).label} lie beside the ledger, which has not taken them yet",
                    file=replies.path,
                    fix="Nothing was moved. `mambo send` or `mambo settle` of that campaign records them first.",
                )


def _take(into: Connection, target: Store, origin: str) -> None:
    """The target is ours until it is whole. Raises `StoreError` when something is in it."""
    names = ", ".join(each.name for each in _TABLES)
    into.execute(text(f"LOCK TABLE {names}, {ledger_meta.name} IN ACCESS EXCLUSIVE MODE"))
    if _is_moving(into):
        if (other := _value(into, _MOVED_FROM)) != origin:
            raise StoreError(
                f"holds what a move of another ledger, {other}, has begun",
                file=target.name,
                fix="Let that end, or name an empty database. Nothing was moved.",
            )
        into.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        return
    if any(into.scalar(select(exists(select(each)))) for each in _TABLES):
        raise StoreError("holds a ledger", file=target.name, fix="Name an empty database. Nothing was moved.")
    into.execute(update(ledger_meta).where(_VERSION).values(value=str(MOVING)))
    into.execute(insert(ledger_meta), {"key": _MOVED_FROM, "value": origin})


def _copy(connection: Connection, into: Connection, on_progress: OnProgress) -> dict[str, _Digest]:
    """Copy every row; returns what was read of each table."""
    digests: dict[str, _Digest] = {}
    total = sum(connection.scalar(select(func.count()).select_from(each)) or 0 for each in _TABLES)
    for each in _TABLES:
        done = sum(rows for rows, _ in digests.values())

        def insert_piece(piece: pl.DataFrame, rows: int, each: Table = each, done: int = done) -> None:
            insert_rows(into, each, piece)
            on_progress("copied", done + rows, total)

        digests[each.name] = _digest(_pieces(connection, each), insert_piece)
    given = table("sqlite_sequence", column("name"), column("seq"))  # of rows that are gone, too
    for each in _TABLES:
        if each.autoincrement_column is None:
            continue
        newest = connection.scalar(select(func.max(each.c.id))) or 0
        newest = max(newest, connection.scalar(select(given.c.seq).where(given.c.name == each.name)) or 0)
        if newest:
            into.execute(select(func.setval(func.pg_get_serial_sequence(each.name, "id"), newest)))
    copy_notes(connection, into)
    into.execute(text("ANALYZE"))
    return digests


def _compared(
    connection: Connection, digests: dict[str, _Digest], into: Connection, target: Store, on_progress: OnProgress
) -> Moved:
    """What stands in the target. Raises `StoreError` where that is not what stands in the source (`digests`)."""
    rows: dict[str, int] = {}
    total = sum(into.scalar(select(func.count()).select_from(each)) or 0 for each in _TABLES)
    for each in _TABLES:
        done = sum(rows.values())

        def tell(_: pl.DataFrame, some: int, done: int = done) -> None:
            on_progress("checked", done + some, total)

        read_back = _digest(_pieces(into, each), tell)
        if read_back != digests[each.name]:
            raise _differs(each.name, target)
        rows[each.name] = read_back[0]
    editions = [campaign_row(row) for row in connection.execute(select(campaigns).order_by(campaigns.c.id))]
    charged_ugx = 0
    for edition in editions:
        totals = totals_of(into, edition)
        if totals != totals_of(connection, edition):
            raise _differs(edition.label, target)
        charged_ugx += totals.charged_ugx
    return Moved(target.name, rows, len(editions), rows["recipients"], charged_ugx)


def _digest(
    pieces: Generator[pl.DataFrame], on_piece: Callable[[pl.DataFrame, int], None] = lambda *_: None
) -> _Digest:
    """Their order does not matter. Comparable within one process, and no longer: the hash is polars' own."""
    rows = digest = 0
    with closing(pieces):
        for piece in pieces:
            rows += piece.height
            digest = (digest + int(piece.hash_rows(seed=0).sum())) % 2**64
            on_piece(piece, rows)
    return rows, digest


def _pieces(connection: Connection, of: Table) -> Generator[pl.DataFrame]:
    return fetch_pieces(connection, select(of), {each.name: _dtype(each.type) for each in of.columns})


def _dtype(kind: Any) -> Any:
    if isinstance(kind, Boolean):
        return pl.Boolean
    return pl.Int64 if isinstance(kind, Integer | BigInteger) else pl.String


def _differs(what: str, target: Store) -> StoreError:
    return StoreError(
        f"does not hold what was written to it ({what})",
        file=target.name,
        fix="Nothing was moved; the ledger is as it was. Look at that database, then try again.",
    )


def _is_moving(into: Connection) -> bool:
    return into.scalar(select(ledger_meta.c.value).where(_VERSION)) == str(MOVING)


def _value(into: Connection, key: str) -> str | None:
    return into.scalar(select(ledger_meta.c.value).where(ledger_meta.c.key == key))
