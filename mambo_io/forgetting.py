"""Erasing one telephone number from a ledger, across all campaign editions, in one transaction.

The person's own rows keep their place, outcome, reason, network and money; number, cell, text and kept columns go.
Where else the number is named it becomes `•••`; what a colleague wrote of a campaign goes whole. Three things stay: an
opt-out, because without the number nobody could be held back by it (a digest of a number is no way out: it is found out
by trying all numbers), texts that others were sent, which go with their campaign (`mambo_io.erasing`), and the names of
files of an edition that is not finished, which its next run reads. Whoever is planned in such an edition is left out
of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, and_, delete, or_, select, true, update

from mambo_io.archives import check_not_archived
from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow, call_name, campaign_row
from mambo_io.model import FINAL_STATES, ChunkState
from mambo_io.person import (
    COLUMNS,
    FREE_TEXT,
    calls_of,
    named_in_settings,
    naming,
    others_naming,
    own_rows,
    without_message,
)
from mambo_io.tables import (
    attempts,
    campaigns,
    chunks,
    deliveries,
    events,
    recipients,
    suppressions,
    unsupported,
)
from mambo_io.written_numbers import HIDDEN, written_number


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased. `open_editions` are not finished, and the lists that they were planned from have the number."""

    rows: int
    editions: int
    mentions: int
    open_editions: tuple[str, ...]


def erase_person(connection: Connection, msisdn: int, *, who: str, now: datetime) -> Forgotten:
    """Erase the number (the digits of E.164). The name of who did it is recorded, the number is not.

    Raises `InputError` while it stands in a call that is in flight, or of which nobody knows whether it was sent, and
    while it stands in an archived edition, or is named there.
    """
    r, k = recipients.c, campaigns.c
    with connection.begin():
        own = own_rows(connection, msisdn)
        others = list(others_naming(connection, msisdn))
        # No sender claims a call of these, and nobody archives them, while they are locked.
        touched = own.keys() | {campaign_id for _, campaign_id, *_ in others}
        locked = select(campaigns).where(k.id.in_(touched)).order_by(k.id).with_for_update()
        editions = [campaign_row(row) for row in connection.execute(locked)]
        for edition in editions:
            check_not_archived(connection, edition.id, edition.label)
            # An archive that is being written just now has the number: this event tells it.
            rows = own.get(edition.id, [])
            detail = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
            add_event(connection, edition, "person_erased", detail if rows else "named in other rows", who, now)
        its_editions = [edition for edition in editions if edition.id in own]
        for edition in its_editions:
            rows = own[edition.id]
            _check_nothing_open(connection, edition, rows)
            its = and_(r.campaign_id == edition.id, r.row.in_(rows))
            _erase_texts(connection, edition.id, rows)
            nothing = dict.fromkeys(("phone_raw", "msisdn", "message", "kept"))
            connection.execute(update(recipients).where(its).values(nothing))
            reports = and_(deliveries.c.campaign_id == edition.id, deliveries.c.row.in_(rows))
            connection.execute(update(deliveries).where(reports).values(status_raw=""))
            of_edition = select(attempts.c.id).where(attempts.c.campaign_id == edition.id)
            contacts = and_(unsupported.c.row.in_(rows), unsupported.c.attempt_id.in_(of_edition))
            connection.execute(delete(unsupported).where(contacts))
        finished = select(k.id).where(k.state.in_(FINAL_STATES))
        of_finished = and_(suppressions.c.msisdn == msisdn, suppressions.c.campaign_id.in_(finished))
        connection.execute(delete(suppressions).where(of_finished))
        mentions = _hide_mentions(connection, msisdn, others)
    return Forgotten(
        rows=sum(map(len, own.values())),
        editions=len(own),
        mentions=mentions,
        open_editions=tuple(row.label for row in its_editions if row.state not in FINAL_STATES),
    )


def _check_nothing_open(connection: Connection, edition: CampaignRow, rows: list[int]) -> None:
    r, c = recipients.c, chunks.c
    chunk = connection.execute(
        select(c.chunk, c.state)
        .join_from(recipients, chunks, and_(c.campaign_id == r.campaign_id, c.chunk == r.chunk))
        .where(r.campaign_id == edition.id, r.row.in_(rows))
        .where(c.state.in_((ChunkState.IN_FLIGHT, ChunkState.UNKNOWN)))
        .limit(1)
    ).one_or_none()
    if chunk is None:
        return
    name = f"{edition.name} --edition {edition.edition}"
    if chunk.state is ChunkState.IN_FLIGHT:
        problem, fix = "is being sent", f"Wait until it ends; if its process has ended: mambo settle {name}."
    else:
        problem, fix = "may have been sent; nobody knows", f"Find out: mambo settle {name}; or say so: mambo resolve."
    raise InputError(
        f"the number stands in a call that {problem}",
        file=call_name(edition, chunk.chunk),
        fix=f"Nothing was erased. {fix}",
    )


def _erase_texts(connection: Connection, campaign_id: int, rows: list[int]) -> None:
    """The texts of calls to nobody else, also of those that gave way to others, or that nobody was left in."""
    r, c = recipients.c, chunks.c
    calls = calls_of(connection, campaign_id, rows)
    others = select(r.chunk).where(r.campaign_id == campaign_id, r.chunk.in_(calls), r.row.not_in(rows))
    alone = calls - set(connection.scalars(others))
    of_rows = select(r.message).where(r.campaign_id == campaign_id, r.row.in_(rows), r.message.is_not(None))
    left_out = and_(c.state == ChunkState.SKIPPED, c.text.in_(of_rows))
    connection.execute(
        update(chunks)
        .where(c.campaign_id == campaign_id, or_(c.chunk.in_(alone), left_out))
        .values(text="", text_key=0)
    )


def _hide_mentions(connection: Connection, msisdn: int, others: list[tuple[str, int, int, str]]) -> int:
    r, u = recipients.c, unsupported.c
    pattern = written_number(msisdn)
    contacts = [row.id for row in naming(connection, msisdn, u.raw, u.id)]
    connection.execute(delete(unsupported).where(u.id.in_(contacts)))
    notes = [row.id for row in naming(connection, msisdn, events.c.detail, events.c.id)]
    connection.execute(update(events).where(events.c.id.in_(notes)).values(detail=None))
    for place, campaign_id, row, text in others:
        its = and_(r.campaign_id == campaign_id, r.row == row)
        connection.execute(update(recipients).where(its).values({COLUMNS[place].name: pattern.sub(HIDDEN, text)}))
    hidden = len(contacts) + len(notes) + len(others)
    for column in (each.column for each in FREE_TEXT if each.column is not events.c.detail):
        hidden += _hide(connection, msisdn, column, pattern)
    return hidden + _hide_in_settings(connection, msisdn, pattern)


def _hide(connection: Connection, msisdn: int, column: Column[Any], pattern: re.Pattern[str]) -> int:
    # Of an edition that goes on the file's name stays: without it the next run would not know its list again.
    finished = campaigns.c.state.in_(FINAL_STATES) if column is campaigns.c.source else true()
    found = [text for (text,) in naming(connection, msisdn, column, where=finished)]
    for text in found:
        hidden = {column.name: pattern.sub(HIDDEN, text)}
        connection.execute(update(column.table).where(column == text, finished).values(hidden))
    return len(found)


def _hide_in_settings(connection: Connection, msisdn: int, pattern: re.Pattern[str]) -> int:
    """In the names of files, of finished editions; the text stays."""
    k = campaigns.c
    found = [campaign_id for campaign_id, _ in named_in_settings(connection, msisdn)]
    finished = select(k.id, k.settings).where(k.id.in_(found), k.state.in_(FINAL_STATES))
    rows = connection.execute(finished).all()
    for campaign_id, settings in rows:
        hidden = json.loads(settings) | _hidden(without_message(settings), pattern)
        values = {"settings": json.dumps(hidden, sort_keys=True)}
        connection.execute(update(campaigns).where(k.id == campaign_id).values(values))
    return len(rows)


def _hidden(value: Any, pattern: re.Pattern[str]) -> Any:
    match value:
        case str():
            return pattern.sub(HIDDEN, value)
        case dict():
            return {key: _hidden(each, pattern) for key, each in value.items()}
        case list():
            return [_hidden(each, pattern) for each in value]
        case _:
            return value
