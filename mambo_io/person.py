"""All that a ledger holds about one telephone number, across all campaign editions.

A row of a list that has the number is the person's own. Elsewhere it may be *named*: in a cell that was turned away or
has somebody else's number, too, a kept column of somebody else's row, a raw reply, what a colleague wrote, a text that
others were sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Column, ColumnElement, Connection, and_, select, true

from mambo_io.archived_people import InArchive, in_archives
from mambo_io.ledger import from_us
from mambo_io.tables import (
    account_entries,
    accounts,
    archives,
    attempts,
    campaigns,
    chunks,
    deliveries,
    events,
    recipients,
    results,
    suppressions,
    unsupported,
)
from mambo_io.written_numbers import national_number, others_masked, written_number

COLUMNS = {"cell": recipients.c.phone_raw, "kept": recipients.c.kept, "text": recipients.c.message}


class FreeText(NamedTuple):
    """A column in which somebody, or the API, may have written a number; of which edition and call, and since when."""

    place: str
    column: Column[Any]
    campaign_id: Column[Any] | None = None
    chunk: Column[Any] | None = None
    at_us: Column[Any] | None = None


# Beside `COLUMNS`, `unsupported.raw`, the settings (`named_in_settings`) and the texts that were sent.
FREE_TEXT = (
    *(
        FreeText("reply", column, attempts.c.campaign_id, attempts.c.chunk, attempts.c.ended_at_us)
        for column in (attempts.c.raw_reply, attempts.c.api_messages, attempts.c.cost_raw)
    ),
    FreeText("event", attempts.c.evidence, attempts.c.campaign_id, attempts.c.chunk, attempts.c.ended_at_us),
    FreeText("event", events.c.detail, events.c.campaign_id, None, events.c.at_us),
    FreeText("event", events.c.who, events.c.campaign_id, None, events.c.at_us),
    FreeText("account_entry", account_entries.c.note, at_us=account_entries.c.at_us),
    FreeText("account_entry", account_entries.c.who, at_us=account_entries.c.at_us),
    FreeText("account_entry", accounts.c.credentials_latch),
    FreeText("opt_out", suppressions.c.source, suppressions.c.campaign_id, None, suppressions.c.since_us),
    FreeText("delivery_report", deliveries.c.source, deliveries.c.campaign_id),
    FreeText("delivery_report", deliveries.c.status_raw, deliveries.c.campaign_id),
    FreeText("campaign", campaigns.c.source, campaigns.c.id),
    FreeText("campaign", campaigns.c.stop_detail, campaigns.c.id),
    FreeText("campaign", campaigns.c.held_by, campaigns.c.id),
)

_TIME = pl.Datetime("us", "UTC")
_CALL_TYPES: dict[str, Any] = {
    **dict.fromkeys(("campaign", "edition", "call"), pl.String),
    "attempt": pl.Int64,
    **dict.fromkeys(("sent_at", "ended_at"), _TIME),
    **dict.fromkeys(("verdict", "reason"), pl.String),
    **dict.fromkeys(("http_status", "submitted", "charged_ugx"), pl.Int64),
    "messages": pl.String,
}
_MESSAGE_TYPES: dict[str, Any] = {
    **dict.fromkeys(("campaign", "edition"), pl.String),
    "row": pl.Int64,
    **dict.fromkeys(("phone_raw", "e164", "network_guess", "outcome", "reason", "message", "encoding"), pl.String),
    **dict.fromkeys(("segments", "estimated_ugx", "charged_ugx", "chunk", "attempt"), pl.Int64),
    "sent_at": _TIME,
    **dict.fromkeys(("delivery", "kept"), pl.String),
}
_UNSUPPORTED_TYPES: dict[str, Any] = {"call": pl.String, "attempt": pl.Int64, "raw": pl.String}
_REPORT_TYPES: dict[str, Any] = {
    **dict.fromkeys(("campaign", "edition"), pl.String),
    "row": pl.Int64,
    **dict.fromkeys(("status", "status_raw"), pl.String),
    "reported_at": _TIME,
    "source": pl.String,
    "imported_at": _TIME,
}
_OPT_OUT_TYPES: dict[str, Any] = {
    **dict.fromkeys(("campaign", "edition"), pl.String),
    "since": _TIME,
    "source": pl.String,
}
_MENTION_TYPES: dict[str, Any] = {
    **dict.fromkeys(("place", "campaign", "edition"), pl.String),
    "row": pl.Int64,
    "call": pl.String,
    "at": _TIME,
    "text": pl.String,
}


@dataclass(frozen=True, slots=True)
class Held:
    """What is held about one number: tables with one row for each …

    messages
        row of a list that has the number: campaign, edition (String), row (Int64), then the results' columns from
        phone_raw to delivery, and kept (String, JSON).
    calls
        API call that they stood in, earlier attempts too: campaign, edition, call (String), attempt (Int64), sent_at,
        ended_at (Datetime), verdict, reason (String), http_status, submitted, charged_ugx (Int64, of the whole call),
        messages (String, what the API said).
    unsupported_contacts
        time the API named them as such: call (String), attempt (Int64), raw (String).
    delivery_reports
        report: campaign, edition (String), row (Int64), status, status_raw (String), reported_at (Datetime), source
        (String), imported_at (Datetime).
    opt_outs
        list that they stand on: campaign, edition (String; null: of every campaign), since (Datetime), source (String).
    mentions
        other place that names the number: place (String: cell, kept, reply, event, account_entry, opt_out,
        delivery_report, campaign, text), campaign, edition (String), row (Int64), call (String), at (Datetime), text
        (String; other numbers are masked; null where it is about somebody else).
    """

    msisdn: int
    tables: Mapping[str, pl.DataFrame] = field(repr=False)

    @property
    def is_nothing(self) -> bool:
        return all(table.is_empty() for table in self.tables.values())


def held_about(connection: Connection, msisdn: int) -> Held:
    """All that is held about the number (the digits of E.164), in one transaction. Reads every recipient."""
    with connection.begin():
        own = own_rows(connection, msisdn)
        in_files = in_archives(connection, msisdn)
        archived = {campaign_id: found.people for campaign_id, found in in_files.items() if found.people.height}
        in_ledger = {campaign_id: rows for campaign_id, rows in own.items() if campaign_id not in archived}
        its_calls = {campaign_id: calls_of(connection, campaign_id, rows) for campaign_id, rows in in_ledger.items()}
        for campaign_id, people in archived.items():
            own[campaign_id] = people["row"].to_list()
            its_calls[campaign_id] = _with_parents(connection, campaign_id, set(people["chunk"].drop_nulls()))
        messages = [_frame(_messages(connection, in_ledger), _MESSAGE_TYPES)]
        messages += [people.select(list(_MESSAGE_TYPES)) for people in archived.values()]
        tables = {
            "messages": pl.concat(messages),
            "calls": _frame(_attempts(connection, its_calls), _CALL_TYPES),
            "unsupported_contacts": _frame(_unsupported(connection, msisdn, own), _UNSUPPORTED_TYPES),
            "delivery_reports": _frame(_reports(connection, msisdn, own), _REPORT_TYPES),
            "opt_outs": _frame(_opt_outs(connection, msisdn), _OPT_OUT_TYPES),
            "mentions": _frame(_mentions(connection, msisdn, in_files), _MENTION_TYPES),
        }
    return Held(msisdn, tables)


# --- also for erasing ------------------------------------------------------------------------------------------------


def own_rows(connection: Connection, msisdn: int) -> dict[int, list[int]]:
    """The rows that have the number, by the id of the campaign edition."""
    r = recipients.c
    found: dict[int, list[int]] = {}
    for campaign_id, row in connection.execute(
        select(r.campaign_id, r.row).where(r.msisdn == msisdn).order_by(r.campaign_id, r.row)
    ):
        found.setdefault(campaign_id, []).append(row)
    return found


def calls_of(connection: Connection, campaign_id: int, rows: list[int]) -> set[int]:
    """The planned calls (chunks) in which these rows stand, and those whose place these have taken."""
    r = recipients.c
    own = select(r.chunk).where(r.campaign_id == campaign_id, r.row.in_(rows), r.chunk.is_not(None))
    return _with_parents(connection, campaign_id, set(connection.scalars(own)))


def _with_parents(connection: Connection, campaign_id: int, newer: set[int]) -> set[int]:
    c = chunks.c
    found: set[int] = set()
    while newer:
        found |= newer
        parents = select(c.parent).where(c.campaign_id == campaign_id, c.chunk.in_(newer), c.parent.is_not(None))
        newer = set(connection.scalars(parents)) - found
    return found


def naming(
    connection: Connection,
    msisdn: int,
    column: Column[Any],
    *others: Column[Any],
    where: ColumnElement[bool] | None = None,
) -> Iterator[Any]:
    """The rows of a table in which `column` names the number: its text, then `others`; those that are alike once."""
    # The databases have no patterns in common, but both know at once where not even the digits stand in their order.
    may_name = column.like("%" + "%".join(national_number(msisdn)) + "%")
    query = select(column, *others).where(may_name, true() if where is None else where).distinct().order_by(*others)
    pattern = written_number(msisdn)
    for row in connection.execute(query).all():  # before anything is changed
        if pattern.search(row[0]):
            yield row


def others_naming(
    connection: Connection, msisdn: int, *, where: ColumnElement[bool] | None = None
) -> Iterator[tuple[str, int, int, str]]:
    """Rows of others, or of nobody, that name the number: place (`COLUMNS`), campaign_id, row, and what is there."""
    r = recipients.c
    is_others = and_(r.msisdn.is_distinct_from(msisdn), true() if where is None else where)
    for place, column in COLUMNS.items():
        for text, campaign_id, row in naming(connection, msisdn, column, r.campaign_id, r.row, where=is_others):
            yield place, campaign_id, row, text


def named_in_settings(connection: Connection, msisdn: int) -> Iterator[tuple[int, str]]:
    """The campaign editions whose settings name the number outside of their text: the id, and where it does."""
    pattern = written_number(msisdn)
    for settings, campaign_id in naming(connection, msisdn, campaigns.c.settings, campaigns.c.id):
        found = [text for text in _strings(without_message(settings)) if pattern.search(text)]
        if found:
            yield campaign_id, ", ".join(found)


def without_message(settings: str) -> dict[str, Any]:
    """A campaign's settings but for the text, which everybody was sent."""
    return {key: value for key, value in json.loads(settings).items() if key != "message"}


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _strings(each)
        case list():
            for each in value:
                yield from _strings(each)
        case _:
            pass  # a number that is none of telephones, true, false


# --- the tables ------------------------------------------------------------------------------------------------------


def _frame(rows: Iterator[tuple[Any, ...]], types: Mapping[str, Any]) -> pl.DataFrame:
    times = [pl.col(name).dt.convert_time_zone("Africa/Kampala") for name, dtype in types.items() if dtype == _TIME]
    return pl.DataFrame(list(rows), schema=dict(types), orient="row").with_columns(times)


def _time(at_us: int | None) -> datetime | None:
    return None if at_us is None else from_us(at_us)


def _call(name: str, edition: str, chunk: int) -> str:
    """As `mambo_io.ledger.call_name`."""
    return f"{name}/{edition}/c{chunk:04d}"


def _messages(connection: Connection, own: Mapping[int, list[int]]) -> Iterator[tuple[Any, ...]]:
    columns = [results.c[{"sent_at": "sent_at_us"}.get(name, name)] for name in _MESSAGE_TYPES]
    at = list(_MESSAGE_TYPES).index("sent_at")
    for campaign_id, rows in own.items():
        its = and_(results.c.campaign_id == campaign_id, results.c.row.in_(rows))
        for row in connection.execute(select(*columns).where(its).order_by(results.c.row)):
            yield (*row[:at], _time(row[at]), *row[at + 1 :])


def _attempts(connection: Connection, calls: Mapping[int, set[int]]) -> Iterator[tuple[Any, ...]]:
    a, k = attempts.c, campaigns.c
    for campaign_id, its_chunks in calls.items():
        query = (
            select(k.name, k.edition, a.chunk, a.id, a.intent_at_us, a.ended_at_us, a.verdict, a.reason)
            .add_columns(a.http_status, a.submitted_count, a.charged_ugx, a.api_messages)
            .join_from(attempts, campaigns, k.id == a.campaign_id)
            .where(a.campaign_id == campaign_id, a.chunk.in_(its_chunks))
            .order_by(a.id)
        )
        for name, edition, chunk, attempt, began, ended, verdict, *rest in connection.execute(query):
            yield name, edition, _call(name, edition, chunk), attempt, _time(began), _time(ended), verdict, *rest


def _unsupported(connection: Connection, msisdn: int, own: Mapping[int, list[int]]) -> Iterator[tuple[Any, ...]]:
    u, a, k = unsupported.c, attempts.c, campaigns.c
    of_call = select(u.raw, k.name, k.edition, a.chunk, u.attempt_id, u.id).select_from(unsupported)
    of_call = of_call.join(attempts, a.id == u.attempt_id).join(campaigns, k.id == a.campaign_id)
    found = {
        row.id: row
        for campaign_id, rows in own.items()
        for row in connection.execute(of_call.where(a.campaign_id == campaign_id, u.row.in_(rows)))
    }
    named = {row.id for row in naming(connection, msisdn, u.raw, u.id)} - found.keys()
    found |= {row.id: row for row in connection.execute(of_call.where(u.id.in_(named)))}
    for _, row in sorted(found.items()):
        yield _call(row.name, row.edition, row.chunk), row.attempt_id, others_masked(row.raw, msisdn)


def _reports(connection: Connection, msisdn: int, own: Mapping[int, list[int]]) -> Iterator[tuple[Any, ...]]:
    d, k = deliveries.c, campaigns.c
    for campaign_id, rows in own.items():
        query = (
            select(k.name, k.edition, d.row, d.status, d.status_raw, d.reported_at_us, d.source, d.imported_at_us)
            .join_from(deliveries, campaigns, k.id == d.campaign_id)
            .where(d.campaign_id == campaign_id, d.row.in_(rows))
            .order_by(d.row)
        )
        for *report, reported, source, imported in connection.execute(query):
            yield *report, _time(reported), others_masked(source, msisdn), _time(imported)


def _opt_outs(connection: Connection, msisdn: int) -> Iterator[tuple[Any, ...]]:
    s, k = suppressions.c, campaigns.c
    query = (
        select(k.name, k.edition, s.since_us, s.source)
        .outerjoin_from(suppressions, campaigns, k.id == s.campaign_id)
        .where(s.msisdn == msisdn)
        .order_by(s.campaign_id)
    )
    for name, edition, since, source in connection.execute(query):
        yield name, edition, _time(since), others_masked(source, msisdn)


def _mentions(connection: Connection, msisdn: int, in_files: Mapping[int, InArchive]) -> Iterator[tuple[Any, ...]]:
    k, c = campaigns.c, chunks.c
    editions = connection.execute(select(k.id, k.name, k.edition))
    names: dict[Any, tuple[str, str]] = {row.id: (row.name, row.edition) for row in editions}
    nobody: tuple[str | None, str | None] = (None, None)
    is_archived = recipients.c.campaign_id.in_(select(archives.c.campaign_id))  # some rows of theirs stand here, too
    found = list(others_naming(connection, msisdn, where=~is_archived))
    for campaign_id, in_file in in_files.items():
        found += [(place, campaign_id, row, text) for place, row, text in in_file.mentions]
    for place, campaign_id, row, text in sorted(found):
        shown = others_masked(text, msisdn) if place == "cell" else None
        yield place, *names[campaign_id], row, None, None, shown
    for place, column, *whose in FREE_TEXT:
        given = [each for each in whose if each is not None]
        for text, *found_of in naming(connection, msisdn, column, *given):
            of = dict(zip(given, found_of, strict=True))
            edition_id, chunk, at = (None if each is None else of[each] for each in whose)
            call = None if chunk is None else _call(*names[edition_id], chunk)
            yield place, *names.get(edition_id, nobody), None, call, _time(at), others_masked(text, msisdn)
    for campaign_id, text in named_in_settings(connection, msisdn):
        yield "campaign", *names[campaign_id], None, None, None, others_masked(text, msisdn)
    for _, campaign_id, chunk in naming(connection, msisdn, c.text, c.campaign_id, c.chunk):
        yield "text", *names[campaign_id], None, _call(*names[campaign_id], chunk), None, None
