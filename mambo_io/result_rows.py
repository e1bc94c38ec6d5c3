"""The results of a campaign edition as frames: what the view `results` says, for millions of rows.

The view joins four tables for each row. Here the narrow rows are fetched alone, what is said of a call once a call, and
polars joins them. `tests/contract/test_ledger_results.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl
from sqlalchemy import Connection, case, select

from mambo_io.bulk import fetch_all, fetch_pieces, frame_of
from mambo_io.model import NOT_REPORTED, ChunkState, ExceptionKind, Outcome
from mambo_io.tables import attempts, chunks, deliveries, outcome_of_chunk, recipient_exceptions, recipients, was_called

_ROW_TYPES: dict[str, Any] = {
    "row": pl.Int64,
    "phone_raw": pl.String,
    "msisdn": pl.Int64,
    "network_guess": pl.String,
    "reason": pl.String,
    "chunk": pl.Int64,
    "message": pl.String,
    "encoding": pl.String,
    "segments": pl.Int64,
    "estimated_ugx": pl.Int64,
    "kept": pl.String,
}
_CALL_TYPES: dict[str, Any] = {
    "chunk": pl.Int64,
    "state": pl.String,
    "text": pl.String,
    "encoding_of_text": pl.String,
    "attempt": pl.Int64,
    "sent_at_us": pl.Int64,
    "reason_of_call": pl.String,
    "charged_each_ugx": pl.Int64,
    "unsupported_charged": pl.Boolean,
    "is_charged": pl.Boolean,
}
_EXCEPTION_TYPES: dict[str, Any] = {"row": pl.Int64, "kind": pl.String, "remainder_ugx": pl.Int64}
_DELIVERY_TYPES: dict[str, Any] = {"row": pl.Int64, "attempt": pl.Int64, "delivery": pl.String}


@dataclass(frozen=True, slots=True)
class Edition:
    """Whose results they are."""

    id: int
    name: str
    edition: str
    kept_columns: tuple[str, ...]


def result_pieces(connection: Connection, campaign: Edition) -> Iterator[pl.DataFrame]:
    """The results in the order of their rows, at least one piece; columns as `Ledger.results` describes them."""
    calls, exceptions = _calls(connection, campaign), _exceptions(connection, campaign)
    r = recipients.c
    query = select(*(r[name] for name in _ROW_TYPES)).where(r.campaign_id == campaign.id).order_by(r.row)
    pieces = fetch_pieces(connection, query, _ROW_TYPES)
    for piece in chain([next(pieces, frame_of((), _ROW_TYPES))], pieces):
        yield _joined(piece, calls, exceptions, _deliveries(connection, campaign, piece["row"]), campaign)


def _calls(connection: Connection, campaign: Edition) -> pl.DataFrame:
    """One row for each planned call: its text, its state, and what its last attempt came to."""
    c, a = chunks.c, attempts.c
    called = was_called(c.state)
    query = (
        select(
            c.chunk,
            c.state,
            c.text,
            c.encoding,
            case((called, a.id)),
            case((called, a.intent_at_us)),
            a.reason,
            a.charged_each_ugx,
            a.unsupported_charged,
            a.charged_ugx.is_not(None),
        )
        .outerjoin_from(chunks, attempts, a.id == c.last_attempt)
        .where(c.campaign_id == campaign.id)
    )
    return fetch_all(connection, query, _CALL_TYPES)


def _exceptions(connection: Connection, campaign: Edition) -> pl.DataFrame:
    x = recipient_exceptions.c
    query = select(x.row, x.kind, x.remainder_ugx).where(x.campaign_id == campaign.id)
    return fetch_all(connection, query, _EXCEPTION_TYPES)


def _deliveries(connection: Connection, campaign: Edition, rows: pl.Series) -> pl.DataFrame:
    """What an export of delivery reports says of the people in `rows`, which are in order."""
    d = deliveries.c
    first, last = (rows[0], rows[-1]) if len(rows) else (0, 0)
    query = select(d.row, d.attempt_id, d.status).where(d.campaign_id == campaign.id, d.row.between(first, last))
    return fetch_all(connection, query, _DELIVERY_TYPES)


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


def _joined(
    rows: pl.DataFrame, calls: pl.DataFrame, exceptions: pl.DataFrame, reports: pl.DataFrame, campaign: Edition
) -> pl.DataFrame:
    frame = (
        rows.join(calls, on="chunk", how="left", maintain_order="left")
        .join(exceptions, on="row", how="left", maintain_order="left")
        .join(reports, on=["row", "attempt"], how="left", maintain_order="left")
        .select(
            pl.lit(campaign.name).alias("campaign"),
            pl.lit(campaign.edition).alias("edition"),
            "row",
            "phone_raw",
            pl.concat_str(pl.lit("+"), pl.col("msisdn").cast(pl.String)).alias("e164"),
            "network_guess",
            outcome_of_row().alias("outcome"),
            reason_of_row().alias("reason"),
            pl.coalesce("message", "text").alias("message"),
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
