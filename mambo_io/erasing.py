"""Erasing the people of finished campaign editions: what is personal goes, money and counts stay.

=============  ====================================  =================================================================
table          goes                                  stays
=============  ====================================  =================================================================
campaigns      message, digests, stop_detail         name, source, sums, states, times
recipients     phone_raw, msisdn, message, kept      row, network_guess, reason, call, segments, estimate
chunks         text, text_key                        people, segments, cost, state
attempts       raw_reply, api_messages, evidence     verdict, reason, counts, charge, balance, times
unsupported    its rows                              how many, on the attempt; which rows, on the recipients' exceptions
deliveries     status_raw                            status, times
suppressions   those of the edition                  those of every campaign, because they hold people back
events         what a person wrote                   what happened, when, and who did it
=============  ====================================  =================================================================

The digests go, too: one of a number and a text is found out by trying all numbers.

`erased_at_us` stands before anything goes, and the event `erased` comes last, when the space is overwritten as well. An
edition that has the one and not the other was interrupted; the same once more ends it. The caller holds its lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import PLAN_REPLACED, SENT_FROM, CampaignRow, campaign_row, to_us
from mambo_io.model import FINAL_STATES, CampaignState, ChunkState
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

ROWS_A_COMMIT = 50_000  # so that a sender beside us never waits long

# Events whose detail holds counts, names of calls and codes, and nothing that a person wrote.
_OUR_OWN_WORDS = frozenset(
    {
        *(
            "planned",
            PLAN_REPLACED,
            "skipped",
            "send_started",
            "send_ended",
            "settling_started",
            "replies_recorded",
            "canary_waived",
        ),
        *(
            "retry_refused",
            "deliveries_imported",
            "transactional",
            "restored",
            "erasing",
            "erased",
            "person_erased",
            "alerted",
            "archived",
            "brought_back",
        ),
        *map(str, CampaignState),  # how a run ended
    }
)


def editions(connection: Connection) -> list[CampaignRow]:
    """Every campaign edition, the oldest first; also what is left of plans that were never finished."""
    with connection.begin():
        return [campaign_row(row) for row in connection.execute(select(campaigns).order_by(campaigns.c.id))]


def ended(connection: Connection) -> set[int]:
    """The ids of the editions of which everything is erased."""
    with connection.begin():
        return set(connection.scalars(select(events.c.campaign_id).where(events.c.kind == "erased")))


def check_erasable(connection: Connection, campaign: CampaignRow) -> None:
    """Raise `InputError` when the edition is not finished, or nobody knows yet what became of one of its calls."""
    name = f"{campaign.name} --edition {campaign.edition}"
    if campaign.state not in (*FINAL_STATES, CampaignState.PLANNING):
        raise InputError(
            f"is {campaign.state.value.replace('_', ' ')}, not finished",
            file=campaign.label,
            fix=f"Nothing was erased. `mambo send` goes on with it; or give it up: mambo cancel {name} --by NAME.",
        )
    open_calls = chunks.c.state.in_((ChunkState.UNKNOWN, ChunkState.IN_FLIGHT, ChunkState.PLANNED))
    with connection.begin():
        calls = connection.scalar(
            select(func.count()).select_from(chunks).where(chunks.c.campaign_id == campaign.id, open_calls)
        )
    if calls and campaign.state is not CampaignState.PLANNING:
        raise InputError(
            f"has {calls} API call{'' if calls == 1 else 's'} of which nobody knows whether they were sent",
            file=campaign.label,
            fix=f"Nothing was erased. Find out: mambo settle {name}; or say so: mambo resolve.",
        )


def erase_edition(connection: Connection, campaign: CampaignRow, *, who: str, now: datetime) -> Iterator[int]:
    """Erase the people of the edition, commit by commit; gives after each how many recipients are done so far.

    Money, counts, states and times stay. Raises `InputError` as `check_erasable` does.
    """
    check_erasable(connection, campaign)
    with connection.begin():
        _mark(connection, campaign, who, now)
    yield 0
    r, c, a = recipients.c, chunks.c, attempts.c
    done = 0
    for some in _ranges(connection, r.row, r.campaign_id == campaign.id):
        personal = or_(*(column.is_not(None) for column in (r.phone_raw, r.msisdn, r.message, r.kept)))
        nothing = dict.fromkeys(("phone_raw", "msisdn", "message", "kept"))
        with connection.begin():
            connection.execute(update(recipients).where(some, personal).values(nothing))
            done += connection.scalar(select(func.count()).select_from(recipients).where(some)) or 0
        yield done
    for some in _ranges(connection, c.chunk, c.campaign_id == campaign.id):
        with connection.begin():
            connection.execute(update(chunks).where(some).values(text="", text_key=0))
        yield done
    for some in _ranges(connection, a.id, a.campaign_id == campaign.id):
        with connection.begin():
            connection.execute(delete(unsupported).where(unsupported.c.attempt_id.in_(select(a.id).where(some))))
            connection.execute(update(attempts).where(some).values(raw_reply=None, api_messages=None, evidence=None))
        yield done
    with connection.begin():
        connection.execute(update(deliveries).where(deliveries.c.campaign_id == campaign.id).values(status_raw=""))
        connection.execute(delete(suppressions).where(suppressions.c.campaign_id == campaign.id))
    yield done


def record_erased(connection: Connection, campaign: CampaignRow, *, who: str, now: datetime) -> None:
    """The space of what was erased is overwritten: nothing is left to do."""
    with connection.begin():
        its = and_(events.c.campaign_id == campaign.id, events.c.kind == "erased")
        if not connection.scalar(select(exists().where(its))):
            add_event(connection, campaign, "erased", f"{campaign.rows} recipients, {campaign.calls} calls", who, now)


def _mark(connection: Connection, campaign: CampaignRow, who: str, now: datetime) -> None:
    """From here on the edition is one that is erased, whatever becomes of this process."""
    kept = json.loads(connection.scalar(select(campaigns.c.settings).where(campaigns.c.id == campaign.id)) or "{}")
    for of_people in ("message", SENT_FROM):  # a file may be named after somebody
        kept.pop(of_people, None)
    values: dict[str, Any] = dict.fromkeys(("message", "content_digest", "plan_digest", "source_digest"), "")
    values |= {"settings": json.dumps(kept, sort_keys=True), "stop_detail": None}
    if campaign.erased_at is None:
        values["erased_at_us"] = to_us(now)
        add_event(connection, campaign, "erasing", None, who, now)
    connection.execute(update(campaigns).where(campaigns.c.id == campaign.id).values(values))
    of_campaign = and_(events.c.campaign_id == campaign.id, events.c.detail.is_not(None))
    for event in connection.execute(select(events.c.id, events.c.kind, events.c.detail).where(of_campaign)).all():
        connection.execute(
            update(events).where(events.c.id == event.id).values(detail=_without_people(event.kind, event.detail))
        )


def _without_people(kind: str, detail: str) -> str | None:
    match kind:
        case "approved":
            return detail.partition("; plan ")[0]  # the digest
        case "settled":
            return detail.partition(": ")[0]  # "clinic-day/1/c0007 sent"; a person may have written how they know
        case "resolved":
            return detail.partition(": ")[0]  # "row 7 accepted"
        case _:
            return detail if kind in _OUR_OWN_WORDS else None


def _ranges(
    connection: Connection, column: Column[Any] | ColumnElement[int], where: ColumnElement[bool]
) -> Iterator[ColumnElement[bool]]:
    """Conditions that part the rows of `where` into ranges of `column`, of at most `ROWS_A_COMMIT` rows each."""
    with connection.begin():
        # One by one, because SQLite reads all rows for both.
        first, last = (connection.scalar(select(bound(column)).where(where)) for bound in (func.min, func.max))
    if first is None or last is None:
        return
    for start in range(first, last + 1, ROWS_A_COMMIT):
        yield and_(where, column >= start, column < start + ROWS_A_COMMIT)
