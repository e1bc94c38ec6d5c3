"""The results of a campaign edition as frames: what the view `results` says, for millions of rows.

The view joins four tables for each row. Here the database hands over the narrow rows of a piece, then what is said of
their calls, once a call, and polars joins them. `tests/contract/test_ledger_results.py` holds the two against each
other.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlalchemy import BindParameter, ColumnElement, Connection, Select, Text, and_, bindparam, case, func, select

from mambo_io.bulk import is_listed, select_lists, unpack_lists
from mambo_io.model import NOT_REPORTED, ChunkState, ExceptionKind, Outcome
from mambo_io.prepared import Prepared
from mambo_io.tables import attempts, chunks, deliveries, outcome_of_chunk, recipient_exceptions, recipients, was_called

ROWS_A_PIECE = 50_000
ROWS_A_LIST = 5_000

_Columns = Mapping[str, ColumnElement[Any]]

_CAMPAIGN: BindParameter[int] = bindparam("the_campaign")
_r, _c, _a, _x, _d = recipients.c, chunks.c, attempts.c, recipient_exceptions.c, deliveries.c


def _in_range(row: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(row >= bindparam("first"), row < bindparam("end"))


_PEOPLE: _Columns = {
    each.name: each
    for each in (
        *(_r.row, _r.phone_raw, _r.msisdn, _r.network_guess, _r.reason, _r.chunk, _r.message, _r.encoding),
        *(_r.segments, _r.estimated_ugx, _r.kept),
    )
}
_CALLS: _Columns = {
    "chunk": _c.chunk,
    "state": _c.state,
    "text": _c.text,
    "encoding_of_text": _c.encoding,
    "attempt": case((was_called(_c.state), _a.id)),
    "sent_at_us": case((was_called(_c.state), _a.intent_at_us)),
    "reason_of_call": _a.reason,
    "charged_each_ugx": _a.charged_each_ugx,
    "unsupported_charged": case((_a.unsupported_charged, 1), else_=0),
    "is_charged": case((_a.charged_ugx.is_not(None), 1), else_=0),
}
_YES_OR_NO = ("unsupported_charged", "is_charged")  # the one database lists 0 and 1, the other false and true
_EXCEPTIONS: _Columns = {"row": _x.row, "kind": _x.kind, "remainder_ugx": _x.remainder_ugx}
_REPORTS: _Columns = {"row": _d.row, "attempt": _d.attempt_id, "delivery": _d.status}

_IS_PERSON = and_(_r.campaign_id == _CAMPAIGN, _in_range(_r.row))
SELECT_PEOPLE = select_lists(_PEOPLE).where(_IS_PERSON)
SELECT_CALLS = (
    select_lists(_CALLS)
    .outerjoin_from(chunks, attempts, _a.id == _c.last_attempt)
    .where(_c.campaign_id == _CAMPAIGN, is_listed(_c.chunk, bindparam("chunks", type_=Text)))
)
SELECT_EXCEPTIONS = select_lists(_EXCEPTIONS).where(_x.campaign_id == _CAMPAIGN, _in_range(_x.row))
_SELECT_REPORTS = select_lists(_REPORTS).where(_d.campaign_id == _CAMPAIGN, _in_range(_d.row))
_FIRST, _LAST = (
    select(bound(_r.row)).where(_r.campaign_id == _CAMPAIGN) for bound in (func.min, func.max)
)  # one by one, because SQLite reads all rows for both


@dataclass(frozen=True, slots=True)
class Edition:
    """Whose results they are."""

    id: int
    name: str
    edition: str
    kept_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of rows as the tables have them: `_PEOPLE`, `_CALLS`, `_EXCEPTIONS`, `_REPORTS`."""

    people: pl.DataFrame
    calls: pl.DataFrame
    exceptions: pl.DataFrame
    reports: pl.DataFrame


def result_pieces(connection: Connection, campaign: Edition) -> Generator[pl.DataFrame]:
    """The results in the order of their rows, at least one piece; columns as `Ledger.results` describes them.

    In the open transaction of `connection`, so that all pieces are of one state of the ledger.
    """
    sql = Prepared(connection, the_campaign=campaign.id)
    with closing(_one_ahead(_pieces(sql))) as pieces:  # the thread has ended when the transaction does
        for piece in pieces:
            yield _joined(piece, campaign)


def _pieces(sql: Prepared) -> Iterator[_Piece]:
    [[first]], [[last]] = sql.tuples(_FIRST), sql.tuples(_LAST)
    for start in range(first or 0, (last or 0) + 1, ROWS_A_PIECE):
        rows = range(start, start + ROWS_A_PIECE)
        lists = [rows[at : at + ROWS_A_LIST] for at in range(0, ROWS_A_PIECE, ROWS_A_LIST)]
        people = _frame(sql, SELECT_PEOPLE, _PEOPLE, *map(_bounds, lists)).sort("row")
        chunks = json.dumps(people["chunk"].drop_nulls().unique().to_list())
        yield _Piece(
            people,
            calls=_frame(sql, SELECT_CALLS, _CALLS, {"chunks": chunks}).with_columns(
                pl.col(_YES_OR_NO).cast(pl.Boolean)
            ),
            exceptions=_frame(sql, SELECT_EXCEPTIONS, _EXCEPTIONS, _bounds(rows)),
            reports=_frame(sql, _SELECT_REPORTS, _REPORTS, _bounds(rows)),
        )


def _bounds(rows: range) -> dict[str, Any]:
    return {"first": rows.start, "end": rows.stop}


def _frame(sql: Prepared, query: Select[Any], columns: _Columns, *values: dict[str, Any]) -> pl.DataFrame:
    """The answers to `query` with each of these values, one below the other."""
    return unpack_lists(columns, [row for each in values for row in sql.tuples(query, **each)])


def _one_ahead(pieces: Iterator[_Piece]) -> Generator[_Piece]:
    """The database and polars work side by side: the next piece is fetched in a thread while one is used."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = thread.submit(next, pieces, None)
            yield piece


def outcome_of_row() -> pl.Expr:
    """From the row's reason, the kind of its exception, and the state of its call, as the view says it."""
    outcomes = {state.value: outcome_of_chunk(state).value for state in ChunkState}
    of_call = pl.col("state").replace_strict(outcomes, default=None, return_dtype=pl.String)
    is_rejected = pl.col("reason").is_not_null()
    return pl.when(is_rejected).then(pl.lit(Outcome.REJECTED.value)).otherwise(pl.coalesce("kind", of_call))


def reason_of_row() -> pl.Expr:
    """From the same, and the reason of its call."""
    state = pl.col("state")
    silent = [ChunkState.PLANNED.value, ChunkState.IN_FLIGHT.value, ChunkState.ACCEPTED.value]
    return pl.coalesce(
        "reason",
        "kind",
        pl.when(state == ChunkState.CANCELLED.value)
        .then(pl.lit(ChunkState.CANCELLED.value))
        .when(~state.is_in(silent))
        .then(pl.col("reason_of_call")),
    )


def delivery_of_row() -> pl.Expr:
    """What was reported of an accepted person (`delivery`: null where nothing was); null for all others."""
    is_accepted = outcome_of_row() == Outcome.ACCEPTED.value
    return pl.when(is_accepted).then(pl.col("delivery").fill_null(NOT_REPORTED))


def charge_is_shared() -> pl.Expr:
    """Whether the row has a part in what its call was charged; null where it stands in none."""
    kind = pl.col("kind")
    is_unsupported = kind.is_not_null() & (kind == ExceptionKind.UNSUPPORTED.value)
    return (pl.col("state") == ChunkState.ACCEPTED.value) & (~is_unsupported | pl.col("unsupported_charged"))


def _joined(piece: _Piece, campaign: Edition) -> pl.DataFrame:
    frame = (
        piece.people.join(piece.calls, on="chunk", how="left", maintain_order="left")
        .join(piece.exceptions, on="row", how="left", maintain_order="left")
        .join(piece.reports, on=["row", "attempt"], how="left", maintain_order="left")
        .select(
            pl.lit(campaign.name).alias("campaign"),
            pl.lit(campaign.edition).alias("edition"),
            "row",
            "phone_raw",
            pl.concat_str(pl.lit("+"), pl.col("msisdn").cast(pl.String)).alias("e164"),
            "network_guess",
            outcome_of_row().alias("outcome"),
            reason_of_row().alias("reason"),
            pl.when(pl.col("msisdn").is_not_null())  # or else it was erased, or there never was one
            .then(pl.coalesce("message", "text"))
            .otherwise("message")
            .alias("message"),
            pl.coalesce("encoding", "encoding_of_text").alias("encoding"),
            "segments",
            "estimated_ugx",
            pl.when(charge_is_shared())
            .then(pl.col("charged_each_ugx") + pl.col("remainder_ugx").fill_null(0))
            .when((pl.col("state") == ChunkState.ACCEPTED.value) & pl.col("is_charged"))
            .then(0)
            .alias("charged_ugx"),
            "chunk",
            "attempt",
            pl.from_epoch("sent_at_us", time_unit="us")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Africa/Kampala")
            .alias("sent_at"),
            delivery_of_row().alias("delivery"),
            "kept",
        )
    )
    if not campaign.kept_columns:
        return frame.drop("kept")
    kept = pl.Struct(dict.fromkeys(campaign.kept_columns, pl.String))
    # A plan of an earlier version may keep a column whose name is one of ours by now.
    names = [f"{name}_" if name in frame.drop("kept").columns else name for name in campaign.kept_columns]
    return frame.with_columns(pl.col("kept").str.json_decode(kept).struct.rename_fields(names)).unnest("kept")
