"""Reading what reconciliation needs: campaign editions, calls, recipients counted in groups, the account's money.

Reads only, and never a recipient by itself: the store counts them, so that millions take seconds. What the figures mean
is decided in `pipelines.reconciliation`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, ColumnElement, Connection, and_, cast, func, null, select, union_all

from mambo_io.archives import Archive, archive_of
from mambo_io.bulk import fetch_all
from mambo_io.ledger import from_us, is_transactional
from mambo_io.model import CampaignState, ChunkState, Outcome, Verdict
from mambo_io.result_rows import charge_is_shared, delivery_of_row, outcome_of_row, reason_of_row
from mambo_io.tables import (
    account_entries,
    attempts,
    campaigns,
    chunks,
    deliveries,
    kept_value,
    recipient_exceptions,
    recipients,
    was_called,
)
from mambo_io.window import KAMPALA

TIME = pl.Datetime("us", "Africa/Kampala")

_EDITION_TYPES: dict[str, Any] = {
    "id": pl.Int64,
    **dict.fromkeys(("campaign", "edition", "account", "category", "sender_id", "state", "stop_reason"), pl.String),
    **dict.fromkeys(("source", "kept_columns", "settings"), pl.String),
    **dict.fromkeys(("rows", "sendable", "segments", "estimated_ugx"), pl.Int64),
    **dict.fromkeys(("planned_at", "first_call_at", "ended_at"), pl.Int64),
}
_CALL_TYPES: dict[str, Any] = {
    **dict.fromkeys(("chunk", "attempt", "sent_at", "ended_at"), pl.Int64),
    **dict.fromkeys(("verdict", "state", "reason", "messages"), pl.String),
    **dict.fromkeys(("http_status", "submitted", "recipients_count", "message_count", "sms_sent"), pl.Int64),
    **dict.fromkeys(("unsupported_count", "segments", "expected_ugx", "cost_ugx"), pl.Int64),
    "cost_raw": pl.String,
    "balance_after_ugx": pl.Int64,
    "consistent": pl.Boolean,
    "alarms": pl.String,
    "charged_each_ugx": pl.Int64,
    "unsupported_charged": pl.Boolean,
}
_GROUP_TYPES: dict[str, Any] = {
    "chunk": pl.Int64,
    **dict.fromkeys(("network_guess", "row_reason", "kind", "kept", "delivery"), pl.String),
    "reported_attempt": pl.Int64,
    **dict.fromkeys(("recipients", "segments_expected", "estimated_ugx", "remainder_ugx", "first_row"), pl.Int64),
}
_ACCOUNT_CALL_TYPES: dict[str, Any] = {
    **dict.fromkeys(("account", "campaign", "edition"), pl.String),
    **dict.fromkeys(("chunk", "sent_at", "ended_at"), pl.Int64),
    **dict.fromkeys(("expected_ugx", "charged_ugx", "balance_after_ugx"), pl.Int64),
}
_ENTRY_TYPES: dict[str, Any] = {
    **dict.fromkeys(("account", "kind"), pl.String),
    **dict.fromkeys(("began_at", "at", "amount_ugx"), pl.Int64),
    **dict.fromkeys(("reference", "who"), pl.String),
}


def editions(connection: Connection) -> pl.DataFrame:
    """Every campaign edition, the newest plan first.

    Out: id (Int64), campaign, edition, account, category, sender_id, state, stop_reason, source (String), kept_columns
    (List of String), rows, sendable, segments, estimated_ugx (Int64), planned_at, first_call_at, ended_at (Datetime),
    transactional (Boolean: does not ask the list of opt-outs).
    """
    k = campaigns.c
    query = (
        select(k.id, k.name, k.edition, k.account, k.category, k.sender_id, k.state, k.stop_reason, k.source)
        .add_columns(k.kept_columns, k.settings, k.rows, k.sendable, k.segments, k.estimated_ugx)
        .add_columns(k.planned_at_us, k.first_call_at_us, k.ended_at_us)
        .where(k.state != CampaignState.PLANNING)
        .order_by(k.planned_at_us.desc(), k.id.desc())
    )
    found = _timed(fetch_all(connection, query, _EDITION_TYPES), "planned_at", "first_call_at", "ended_at")
    kept = [json.loads(columns) for columns in found["kept_columns"]]
    transactional = [is_transactional(settings) for settings in found["settings"]]
    return found.drop("settings").with_columns(
        pl.Series("kept_columns", kept, dtype=pl.List(pl.String)),
        pl.Series("transactional", transactional, dtype=pl.Boolean),
    )


def known_days(connection: Connection) -> tuple[date, date] | None:
    """The first day and the last (Kampala) of which a campaign, a call or an entry tells; None: nothing does."""
    entered = account_entries.c
    of_money = select(func.coalesce(entered.began_us, entered.at_us).label("us")).where(
        entered.kind.in_(("reading", "top_up"))
    )
    home_us = func.coalesce(campaigns.c.first_call_at_us, campaigns.c.planned_at_us)  # of who stands in no call
    homes = select(home_us.label("us")).where(campaigns.c.state != CampaignState.PLANNING)
    moments = union_all(homes, select(attempts.c.intent_at_us.label("us")), of_money).subquery()
    first_us, last_us = connection.execute(select(func.min(moments.c.us), func.max(moments.c.us))).one()
    if first_us is None:
        return None
    return from_us(first_us).astimezone(KAMPALA).date(), from_us(last_us).astimezone(KAMPALA).date()


def called_between(connection: Connection, start_us: int | None, end_us: int | None) -> set[int]:
    """The ids of the campaign editions that made a call from `start_us` on and before `end_us` (None: open)."""
    within = _between(attempts.c.intent_at_us, start_us, end_us)
    return set(connection.scalars(select(attempts.c.campaign_id).where(*within).distinct()))


def calls(connection: Connection, campaign: Mapping[str, Any]) -> pl.DataFrame:
    """The API calls of a campaign edition (a row of `editions`): each attempt, and what is planned and not called.

    Out: chunk, attempt (Int64; null: not called), sent_at, ended_at (Datetime), day (Date), call, verdict, state,
    reason, messages (String), http_status, submitted, recipients_count, message_count, sms_sent, unsupported_count,
    segments, expected_ugx, cost_ugx (Int64), cost_raw (String), balance_after_ugx (Int64), consistent (Boolean),
    alarms (String), and for the division of the charge charged_each_ugx (Int64), unsupported_charged (Boolean).
    `state` is the call's, and null for an attempt that says nothing of its people any more: another one followed, or
    they are planned again.
    """
    a, c = attempts.c, chunks.c
    is_current = and_(c.last_attempt == a.id, was_called(c.state))
    made = (
        select(a.chunk, a.id, a.intent_at_us, a.ended_at_us, a.verdict, c.state, a.reason, a.api_messages)
        .add_columns(a.http_status, a.submitted_count, a.recipients_count, a.message_count, a.sms_sent)
        .add_columns(a.unsupported_count, c.segments, a.expected_ugx, a.charged_ugx, a.cost_raw, a.balance_after_ugx)
        .add_columns(a.consistent, a.alarms, a.charged_each_ugx, a.unsupported_charged)
        .add_columns(is_current)
        .select_from(attempts)
        .join(chunks, and_(c.campaign_id == a.campaign_id, c.chunk == a.chunk))
        .where(a.campaign_id == campaign["id"])
        .order_by(a.id)
    )
    open_states = (ChunkState.PLANNED, ChunkState.CANCELLED)
    left = (
        select(c.chunk, c.state, c.recipients_count, c.segments, c.expected_ugx)
        .where(c.campaign_id == campaign["id"], c.state.in_(open_states))
        .order_by(c.chunk)
    )
    called = fetch_all(connection, made, _CALL_TYPES | {"is_current": pl.Boolean}).with_columns(
        pl.when("is_current").then("state").alias("state")
    )
    names = ("chunk", "state", "submitted", "segments", "expected_ugx")
    planned = fetch_all(connection, left, {name: _CALL_TYPES[name] for name in names})
    found = pl.concat([called.drop("is_current"), planned], how="diagonal")
    return _timed(found, "sent_at", "ended_at").with_columns(
        pl.col("sent_at").dt.date().alias("day"),
        _call_name(pl.lit(campaign["campaign"]), pl.lit(campaign["edition"])).alias("call"),
    )


def groups(
    connection: Connection, campaign: Mapping[str, Any], called: pl.DataFrame, *, kept: str | None = None
) -> pl.DataFrame:
    """The recipients of a campaign edition, counted: those of one call, network, outcome, delivery (and kept value).

    `called` is what `calls` says of it. Out: chunk, attempt (Int64; null: in no call), network_guess, outcome, reason,
    delivery (as in the results), kept (String), recipients, segments_expected, estimated_ugx (Int64; of who was to be
    sent something at the plan), charged_ugx (Int64; null: unknown), shares_charge (Boolean: it has a part in what its
    call was charged), first_row (Int64, the lowest row of the group).
    """
    archive = archive_of(connection, campaign["id"])
    if archive is not None:
        return _archived_groups(archive, called, kept=kept, kept_columns=campaign["kept_columns"])
    r, x, d = recipients.c, recipient_exceptions.c, deliveries.c
    value = null() if kept is None else kept_value(kept, connection.dialect.name)
    people = (
        select(r.chunk, r.network_guess, r.reason, x.kind, value.label("kept"), r.row, r.estimated_ugx, x.remainder_ugx)
        .add_columns(r.segments, d.status, d.attempt_id)
        .select_from(recipients)
        .outerjoin(recipient_exceptions, and_(x.campaign_id == r.campaign_id, x.row == r.row))
        .outerjoin(deliveries, and_(d.campaign_id == r.campaign_id, d.row == r.row))
        .where(r.campaign_id == campaign["id"])
        .subquery()
    )
    p = people.c
    keys = (p.chunk, p.network_guess, p.reason, p.kind, p.kept, p.status, p.attempt_id)
    counted = (
        func.count(),
        _total(p.segments, where=p.estimated_ugx.is_not(None)),
        _total(p.estimated_ugx),
        _total(p.remainder_ugx),
        func.min(p.row),
    )
    found = fetch_all(connection, select(*keys, *counted).group_by(*keys), _GROUP_TYPES)
    current = called.filter(pl.col("state").is_not_null()).select(
        "chunk",
        "attempt",
        "state",
        pl.col("reason").alias("reason_of_call"),
        "charged_each_ugx",
        "unsupported_charged",
        pl.col("cost_ugx").is_not_null().alias("is_charged"),
    )
    is_accepted = pl.col("state") == ChunkState.ACCEPTED.value
    is_on_this_call = pl.col("reported_attempt") == pl.col("attempt")
    return (
        found.rename({"row_reason": "reason"})
        .join(current, on="chunk", how="left")
        .with_columns(pl.when(is_on_this_call).then("delivery").alias("delivery"))
        .select(
            "chunk",
            "attempt",
            "network_guess",
            outcome_of_row().alias("outcome"),
            reason_of_row().alias("reason"),
            delivery_of_row().alias("delivery"),
            "kept",
            "recipients",
            "segments_expected",
            "estimated_ugx",
            pl.when(charge_is_shared())
            .then(pl.col("recipients") * pl.col("charged_each_ugx") + pl.col("remainder_ugx"))
            .when(is_accepted & pl.col("is_charged"))
            .then(0)
            .alias("charged_ugx"),
            charge_is_shared().fill_null(value=False).alias("shares_charge"),
            "first_row",
        )
    )


def _archived_groups(
    archive: Archive, called: pl.DataFrame, *, kept: str | None, kept_columns: list[str]
) -> pl.DataFrame:
    """`groups` of an edition whose results table is archived."""
    table = archive.table()
    # The kept columns stand last, some under another name.
    value = pl.lit(None, pl.String) if kept is None else pl.nth(kept_columns.index(kept) - len(kept_columns))
    is_accepted = pl.col("state") == ChunkState.ACCEPTED.value
    is_unsupported = pl.col("outcome") == Outcome.UNSUPPORTED.value
    current = called.filter(pl.col("state").is_not_null()).select("attempt", "state", "unsupported_charged")
    keys = ("chunk", "attempt", "network_guess", "outcome", "reason", "delivery", "kept")
    was_to_be_sent = pl.col("estimated_ugx").is_not_null()
    return (
        table.with_columns(value.alias("kept"))
        .group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("recipients"),
            pl.col("segments").filter(was_to_be_sent).sum().alias("segments_expected"),
            pl.col("estimated_ugx").sum(),
            pl.when(pl.col("charged_ugx").null_count() < pl.len())
            .then(pl.col("charged_ugx").sum())
            .alias("charged_ugx"),
            pl.col("row").min().alias("first_row"),
        )
        .join(current.lazy(), on="attempt", how="left")
        .with_columns(
            (is_accepted & (~is_unsupported | pl.col("unsupported_charged")))
            .fill_null(value=False)
            .alias("shares_charge")
        )
        .select(*keys, "recipients", "segments_expected", "estimated_ugx", "charged_ugx", "shares_charge", "first_row")
        .collect()
    )


def account_calls(connection: Connection, accounts: Collection[str] | None, end_us: int | None = None) -> pl.DataFrame:
    """Every call of the accounts (None: all) that cost something, or may have, by its intent.

    Out: account, call (String), sent_at, ended_at (Datetime; null: in flight), expected_ugx, charged_ugx (null:
    unknown), balance_after_ugx (Int64).
    """
    a, k = attempts.c, campaigns.c
    query = (
        select(a.account, k.name, k.edition, a.chunk, a.intent_at_us, a.ended_at_us)
        .add_columns(a.expected_ugx, a.charged_ugx, a.balance_after_ugx)
        .join_from(attempts, campaigns, k.id == a.campaign_id)
        .where(*_between(a.intent_at_us, None, end_us), *_of(a.account, accounts))
        .where(a.verdict.is_(None) | a.verdict.in_((Verdict.ACCEPTED, Verdict.UNKNOWN)))
        .order_by(a.intent_at_us, a.id)
    )
    found = _timed(fetch_all(connection, query, _ACCOUNT_CALL_TYPES), "sent_at", "ended_at")
    return found.select(
        "account",
        _call_name(pl.col("campaign"), pl.col("edition")).alias("call"),
        *("sent_at", "ended_at", "expected_ugx", "charged_ugx", "balance_after_ugx"),
    )


def entries(connection: Connection, accounts: Collection[str] | None, end_us: int | None = None) -> pl.DataFrame:
    """Balance readings, and what was entered by hand, of the accounts (None: all), by time.

    Out: account, kind (String: reading, top_up), began_at, at (Datetime: it happened between them), amount_ugx (Int64,
    of a reading the balance), reference, who (String).
    """
    e = account_entries.c
    query = (
        select(e.account, e.kind, func.coalesce(e.began_us, e.at_us), e.at_us, e.amount_ugx, e.note, e.who)
        .where(e.kind.in_(("reading", "top_up")), *_of(e.account, accounts))
        .where(*_between(func.coalesce(e.began_us, e.at_us), None, end_us))
        .order_by(e.at_us, e.id)
    )
    return _timed(fetch_all(connection, query, _ENTRY_TYPES), "began_at", "at")


def _of(column: ColumnElement[str], accounts: Collection[str] | None) -> list[ColumnElement[bool]]:
    return [] if accounts is None else [column.in_(accounts)]


def _between(column: ColumnElement[Any], start_us: int | None, end_us: int | None) -> list[ColumnElement[bool]]:
    conditions = []
    if start_us is not None:
        conditions.append(column >= start_us)
    if end_us is not None:
        conditions.append(column < end_us)
    return conditions


def _total(column: ColumnElement[Any], *, where: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    """A sum that is never null, and whole: PostgreSQL makes a decimal of the sum of large integers."""
    total = func.sum(column) if where is None else func.sum(column).filter(where)
    return cast(func.coalesce(total, 0), BigInteger)


def _call_name(campaign: pl.Expr, edition: pl.Expr) -> pl.Expr:
    """As `mambo_io.ledger.call_name`."""
    return pl.format("{}/{}/c{}", campaign, edition, pl.col("chunk").cast(pl.String).str.zfill(4))


def _timed(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return frame.with_columns(
        pl.from_epoch(column, time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("Africa/Kampala")
        for column in columns
    )
