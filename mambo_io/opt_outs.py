"""The list of opt-outs: numbers that no campaign of this ledger may message, whichever account sends it.

One entry for each number, with the earliest day on which the person is known to have opted out, and where that is known
from. Each claim of a call asks the list in its own transaction, so an entry counts before the next call; from when it
dates makes no difference to that. Only a transactional campaign does not ask it. The numbers of a campaign's own files
stand in the same table under the campaign, see `planning.write_suppressions`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import polars as pl
from sqlalchemy import BindParameter, Connection, delete, func, literal, select

from mambo_io.bulk import fetch_all, fetch_pieces, frame_of, insert_rows, is_listed
from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import OptOut, on_list, opt_out_of
from mambo_io.masking import mask_number, mask_text
from mambo_io.tables import ledger_meta, suppressions
from mambo_io.window import KAMPALA

_ROWS_A_COMMIT = 50_000  # so that a sender beside us never waits long

_TIME = pl.Datetime("us", KAMPALA.key)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of numbers that were put on the list; they add up."""

    added: int
    earlier: int  # on the list already, but since a later moment: moment and source are those of the new entry now
    known: int  # on the list already, since that moment or an earlier one


def record(
    connection: Connection, entries: pl.DataFrame, *, subject: str, source: str, who: str, now: datetime
) -> Recorded:
    """Put `entries` on the list (Int64, no number twice: `msisdn`, `since_us`), which became known from `source`.

    The history calls them `subject`, which holds no number. At most 50,000 a commit: what is killed has written a part,
    and the same again writes the rest. What the list holds already changes nothing and is no event.
    """
    entries = entries.select("msisdn", "since_us").sort("msisdn")
    added = earlier = 0
    for start in range(0, entries.height, _ROWS_A_COMMIT):
        with connection.begin():
            _lock(connection)
            newly, moved = _write(connection, entries.slice(start, _ROWS_A_COMMIT), source)
            added, earlier = added + newly, earlier + moved
            if start + _ROWS_A_COMMIT >= entries.height and added + earlier:
                counts_told = [(added, "added"), (earlier, "with an earlier day than before")]
                told = ", ".join(f"{number} {words}" for number, words in counts_told if number)
                known_from = "" if source == subject else f", {mask_text(source)}"
                add_event(connection, None, "opt_outs_added", f"{subject}{known_from}: {told}", who, now)
    return Recorded(added, earlier, entries.height - added - earlier)


def remove(connection: Connection, msisdn: int, *, note: str, who: str, now: datetime) -> OptOut:
    """Take a number off the list, because the person wants messages again; what stood there is returned.

    The history holds the number masked. Raises `InputError` when the number is not on the list.
    """
    with connection.begin():
        _lock(connection)
        found = opt_out_of(connection, msisdn)
        masked = mask_number(f"+{msisdn}")
        if found is None:
            raise InputError(f"{masked} is not on the list of opt-outs", fix="Nothing was changed.")
        connection.execute(delete(suppressions).where(on_list, suppressions.c.msisdn == msisdn))
        since = f"{found.since.astimezone(KAMPALA):%Y-%m-%d}"
        detail = f"{masked}, since {since}, {mask_text(found.source)}: {mask_text(note)}"
        add_event(connection, None, "opt_out_removed", detail, who, now)
    return found


def opted_out(connection: Connection, numbers: pl.Series) -> pl.DataFrame:
    """Which of `numbers` (Int64 digits of E.164) are on the list, and from where: `msisdn`, `source`; in the open
    transaction of `connection`."""
    types = {"msisdn": pl.Int64, "source": pl.String}
    query = select(suppressions.c.msisdn, suppressions.c.source).where(on_list)
    listed = connection.scalar(select(func.count()).where(on_list)) or 0
    if not listed:
        return pl.DataFrame(schema=types)
    numbers = numbers.drop_nulls().unique()
    if listed < len(numbers):  # whichever is shorter is looked up in the other
        return fetch_all(connection, query, types).join(numbers.to_frame("msisdn"), on="msisdn", how="semi")
    found = [pl.DataFrame(schema=types)]
    for start in range(0, len(numbers), _ROWS_A_COMMIT):
        asked = _any_of(numbers.slice(start, _ROWS_A_COMMIT))
        rows = connection.execute(query.where(is_listed(suppressions.c.msisdn, asked))).all()
        found.append(pl.DataFrame([tuple(row) for row in rows], schema=types, orient="row"))
    return pl.concat(found)


def entries(connection: Connection, *, most: int | None = None) -> Iterator[pl.DataFrame]:
    """The list, the newest first, in pieces (`most`: no more than so many): `e164` (String), `since` (Datetime,
    Africa/Kampala), `source` (String); in the open transaction of `connection`."""
    s = suppressions.c
    query = select(s.msisdn, s.since_us, s.source).where(on_list).order_by(s.since_us.desc(), s.msisdn).limit(most)
    types = {"msisdn": pl.Int64, "since_us": pl.Int64, "source": pl.String}
    for piece in chain([frame_of((), types)], fetch_pieces(connection, query, types)):
        yield piece.select(pl.format("+{}", "msisdn").alias("e164"), _moment("since_us").alias("since"), "source")


def sources(connection: Connection) -> pl.DataFrame:
    """Where the list is known from, the most numbers first: `source` (String), `numbers` (Int64), `first`, `last`
    (Datetime, Africa/Kampala)."""
    s, rows = suppressions.c, func.count()
    query = select(s.source, rows, func.min(s.since_us), func.max(s.since_us)).where(on_list).group_by(s.source)
    types = {"source": pl.String, "numbers": pl.Int64, "first": pl.Int64, "last": pl.Int64}
    found = fetch_all(connection, query.order_by(rows.desc(), s.source), types)
    return found.with_columns(_moment("first"), _moment("last"))


def _moment(column: str) -> pl.Expr:
    return pl.from_epoch(column, time_unit="us").dt.replace_time_zone("UTC").cast(_TIME)


def _write(connection: Connection, batch: pl.DataFrame, source: str) -> tuple[int, int]:
    """How many were added, and how many stood there since a later moment."""
    is_one = is_listed(suppressions.c.msisdn, _any_of(batch["msisdn"]))
    query = select(suppressions.c.msisdn, suppressions.c.since_us).where(on_list, is_one)
    known = pl.DataFrame(
        [tuple(row) for row in connection.execute(query)],
        schema={"msisdn": pl.Int64, "known_us": pl.Int64},
        orient="row",
    )
    compared = batch.join(known, on="msisdn", how="left", maintain_order="left")
    fresh = compared.filter(pl.col("known_us").is_null())
    earlier = compared.filter(pl.col("since_us") < pl.col("known_us"))
    if earlier.height:
        replaced = is_listed(suppressions.c.msisdn, _any_of(earlier["msisdn"]))
        connection.execute(delete(suppressions).where(on_list, replaced))
    written = pl.concat([fresh, earlier])
    if written.height:
        of_all = pl.lit(0, pl.Int64).alias("campaign_id")
        insert_rows(
            connection, suppressions, written.select("msisdn", of_all, "since_us", pl.lit(source).alias("source"))
        )
    return fresh.height, earlier.height


def _any_of(numbers: pl.Series) -> BindParameter[str]:
    return literal(json.dumps(numbers.to_list()))


def _lock(connection: Connection) -> None:
    """Keep others from changing the list until the transaction ends; SQLite has one writer anyway."""
    connection.execute(select(ledger_meta.c.value).where(ledger_meta.c.key == "schema_version").with_for_update())
