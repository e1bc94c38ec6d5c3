"""Delivery reports in the ledger: whom they may be about, what is known already, and writing them.

A report is kept for one recipient and one call (`attempt_id`). It changes no outcome: the API's word is *accepted*, and
what a provider's export says stands beside it. Which report counts is decided in `pipelines.delivery_matching`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Connection, and_, delete, literal_column, select

from mambo_io.archives import Archive, archive_of
from mambo_io.bulk import fetch_all, fetch_pieces, insert_rows
from mambo_io.event_log import add_event
from mambo_io.ledger import campaign_row, to_us
from mambo_io.model import ChunkState, Outcome
from mambo_io.tables import (
    attempts,
    campaigns,
    chunks,
    deliveries,
    outcome_of_chunk,
    recipient_exceptions,
    recipients,
    was_called,
)

_ROWS_A_COMMIT = 50_000  # so that a sender beside us never waits long
_ROWS_A_DELETE = 10_000

# Who stands under a number: what the columns of `people_of` mean.
PEOPLE = {
    "campaign_id": pl.Int64,
    "row": pl.Int64,
    "msisdn": pl.Int64,
    "attempt_id": pl.Int64,  # null: never called
    "sent_at_us": pl.Int64,  # the intent of that call
    "outcome": pl.String,
    "is_archived": pl.Boolean,  # the edition is: nothing changes in it any more
}
KNOWN = {
    "campaign_id": pl.Int64,
    "row": pl.Int64,
    "attempt_id": pl.Int64,
    "status": pl.String,
    "status_raw": pl.String,
    "reported_at_us": pl.Int64,
}


def people_of(connection: Connection, account: str, numbers: pl.Series) -> pl.DataFrame:
    """Everybody under one of `numbers` (Int64 digits of E.164) in a campaign of the account that has begun: `PEOPLE`.

    Of each campaign only the rows that are asked for are kept in memory. Raises `InputError` where the file of an
    archived edition is not there, or not as it was: a report on it would be taken for one on an older call.
    """
    k, r = campaigns.c, recipients.c
    wanted = numbers.unique().to_frame("msisdn")
    found = [pl.DataFrame(schema=PEOPLE)]
    begun = select(k.id).where(k.account == account, k.first_call_at_us.is_not(None))
    for campaign_id in connection.scalars(begun.order_by(k.id)).all():
        if (archive := archive_of(connection, campaign_id)) is not None:
            found.append(_in_archive(archive, campaign_id, wanted))
            continue
        calls, exceptions = _calls(connection, campaign_id), _exceptions(connection, campaign_id)
        query = select(r.row, r.msisdn, r.chunk).where(r.campaign_id == campaign_id, r.msisdn.is_not(None))
        for piece in fetch_pieces(connection, query, {"row": pl.Int64, "msisdn": pl.Int64, "chunk": pl.Int64}):
            people = piece.join(wanted, on="msisdn", how="semi", maintain_order="left")
            found.append(_with_outcome(people, calls, exceptions, campaign_id))
    return pl.concat(found)


def _in_archive(archive: Archive, campaign_id: int, wanted: pl.DataFrame) -> pl.DataFrame:
    people = archive.table().select(
        pl.lit(campaign_id, pl.Int64).alias("campaign_id"),
        "row",
        pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias("msisdn"),
        pl.col("attempt").alias("attempt_id"),
        pl.col("sent_at").dt.epoch("us").alias("sent_at_us"),
        "outcome",
        pl.lit(value=True).alias("is_archived"),
    )
    return people.join(wanted.lazy(), on="msisdn", how="semi", maintain_order="left").collect()


def known_reports(connection: Connection, campaign_ids: list[int]) -> Iterator[pl.DataFrame]:
    """What was imported of these campaign editions, in pieces: `KNOWN`."""
    d = deliveries.c
    for campaign_id in campaign_ids:
        query = select(*(d[name] for name in KNOWN)).where(d.campaign_id == campaign_id)
        yield from fetch_pieces(connection, query, KNOWN)


def record_reports(connection: Connection, reports: pl.DataFrame, *, source: str, who: str, now: datetime) -> None:
    """Write `reports` (`KNOWN`, and Boolean `is_known`: another report of that person stands already).

    At most 50,000 a commit: an import that is killed has written a part, and the same import again writes the rest.
    """
    written = reports.drop("is_known").with_columns(
        pl.lit(source).alias("source"), pl.lit(to_us(now), pl.Int64).alias("imported_at_us")
    )
    for start in range(0, reports.height, _ROWS_A_COMMIT):
        batch = reports.slice(start, _ROWS_A_COMMIT)
        with connection.begin():
            _delete(connection, batch.filter("is_known"))
            insert_rows(connection, deliveries, written.slice(start, _ROWS_A_COMMIT))
    with connection.begin():
        for campaign_id, count in reports.group_by("campaign_id", maintain_order=True).len().iter_rows():
            campaign = campaign_row(connection.execute(select(campaigns).where(campaigns.c.id == campaign_id)).one())
            add_event(connection, campaign, "deliveries_imported", f"{source}: {count} reports", who, now)


def _calls(connection: Connection, campaign_id: int) -> pl.DataFrame:
    """One row for each planned call: chunk, outcome of its people, and its attempt where that says something."""
    c, a = chunks.c, attempts.c
    query = (
        select(c.chunk, c.state, a.id, a.intent_at_us)
        .outerjoin_from(chunks, attempts, and_(a.id == c.last_attempt, was_called(c.state)))
        .where(c.campaign_id == campaign_id)
    )
    schema = {"chunk": pl.Int64, "state": pl.String, "attempt_id": pl.Int64, "sent_at_us": pl.Int64}
    outcomes = {state.value: outcome_of_chunk(state).value for state in ChunkState}
    calls = fetch_all(connection, query, schema)
    return calls.with_columns(pl.col("state").replace_strict(outcomes, return_dtype=pl.String).alias("outcome"))


def _exceptions(connection: Connection, campaign_id: int) -> pl.DataFrame:
    x = recipient_exceptions.c
    query = select(x.row, x.kind).where(x.campaign_id == campaign_id, x.kind.is_not(None))
    schema = {"row": pl.Int64, "kind": pl.String}
    return fetch_all(connection, query, schema)


def _with_outcome(
    people: pl.DataFrame, calls: pl.DataFrame, exceptions: pl.DataFrame, campaign_id: int
) -> pl.DataFrame:
    return (
        people.join(calls, on="chunk", how="left")
        .join(exceptions, on="row", how="left")
        .select(
            pl.lit(campaign_id, pl.Int64).alias("campaign_id"),
            "row",
            "msisdn",
            "attempt_id",
            "sent_at_us",
            # Who stands in no call was turned away.
            pl.coalesce("kind", "outcome", pl.lit(Outcome.REJECTED.value)).alias("outcome"),
            pl.lit(value=False).alias("is_archived"),
        )
    )


def _delete(connection: Connection, rows: pl.DataFrame) -> None:
    for (campaign_id,), its in rows.group_by("campaign_id"):
        for part in its.select("row").iter_slices(_ROWS_A_DELETE):
            # As numbers in the text of the statement: ten thousand parameters take longer than to delete the rows.
            wanted: ColumnElement[Any] = literal_column(f"({', '.join(map(str, part['row']))})")
            is_one = deliveries.c.row.bool_op("IN")(wanted)
            connection.execute(delete(deliveries).where(deliveries.c.campaign_id == campaign_id, is_one))
