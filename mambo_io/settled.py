"""Recording what became of a call after all: what a settlement concluded, or what a person says.

::

    unknown -> accepted | planned | split (planned again behind all others)

The caller holds the campaign's lock, so that no sender is at work on it. Everything is recorded in `events`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select, update

from mambo_io import statements
from mambo_io.call_ends import CallEnd, ClaimedCall, divide, record_end
from mambo_io.errors import InputError
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow, call_name, from_us, to_us
from mambo_io.model import (
    Action,
    CallResult,
    CampaignState,
    ChunkState,
    ExceptionKind,
    Receipt,
    Verdict,
)
from mambo_io.prepared import Prepared
from mambo_io.tables import attempts, chunks, recipient_exceptions, recipients


def record_sent(
    connection: Connection,
    campaign: CampaignRow,
    attempt: int,
    *,
    cost_ugx: int | None,
    everybody: bool,
    reason: str,
    evidence: str,
    who: str,
    now: datetime,
) -> None:
    """An unknown call was sent, for `cost_ugx` (None: nobody knows).

    `everybody`: all of its recipients are accepted; otherwise nobody can say which of them were, and they are
    `unverified`.
    """
    with connection.begin():
        call, row = _unknown_call(connection, campaign, attempt)
        receipt = Receipt(sms_cost_ugx=cost_ugx, consistent=everybody)
        _record(
            connection,
            campaign,
            call,
            row,
            CallResult(Verdict.ACCEPTED, Action.GO_ON, reason, receipt=receipt),
            evidence,
        )
        _note(connection, campaign, call.chunk, f"sent: {evidence}", who, now)


def record_not_sent(
    connection: Connection,
    campaign: CampaignRow,
    attempt: int,
    *,
    reason: str,
    evidence: str,
    at_the_end: bool,
    who: str,
    now: datetime,
) -> None:
    """An unknown call was not sent: it is planned again, `at_the_end` behind all others under a new number."""
    with connection.begin():
        call, row = _unknown_call(connection, campaign, attempt)
        _record(connection, campaign, call, row, CallResult(Verdict.NOT_SENT, Action.GO_ON, reason), evidence)
        if at_the_end:
            _move_to_the_end(connection, campaign, call.chunk)
        _note(connection, campaign, call.chunk, f"not sent: {evidence}", who, now)


def record_evidence(connection: Connection, attempt: int, evidence: str) -> None:
    """Why an unknown call stays unknown."""
    with connection.begin():
        connection.execute(update(attempts).where(attempts.c.id == attempt).values(evidence=evidence))


def record_person(
    connection: Connection, campaign: CampaignRow, row: int, *, reached: bool, note: str, who: str, now: datetime
) -> None:
    """A person's word on one recipient whom the API's reply left `unverified`: accepted, or not reached."""
    x = recipient_exceptions.c
    its = and_(x.campaign_id == campaign.id, x.row == row, x.kind == ExceptionKind.UNVERIFIED)
    with connection.begin():
        if connection.scalar(select(x.row).where(its)) is None:
            raise InputError(
                "is nobody whom a reply left unverified",
                file=campaign.label,
                row=row,
                fix="`mambo results` lists them.",
            )
        connection.execute(
            update(recipient_exceptions).where(its).values(kind=None if reached else ExceptionKind.UNSUPPORTED)
        )
        if not reached:
            _divide_again(connection, campaign, row)
        add_event(
            connection, campaign, "resolved", f"row {row} {'accepted' if reached else 'not reached'}: {note}", who, now
        )


def _divide_again(connection: Connection, campaign: CampaignRow, row: int) -> None:
    """Who was not reached pays nothing: the charge of the call falls on the others in it."""
    r, x = recipients.c, recipient_exceptions.c
    here = r.campaign_id == campaign.id
    chunk = select(r.chunk).where(here, r.row == row).scalar_subquery()
    people = connection.execute(
        select(r.row, x.kind)
        .outerjoin(recipient_exceptions, and_(x.campaign_id == r.campaign_id, x.row == r.row))
        .where(here, r.chunk == chunk)
        .order_by(r.row)
    ).all()
    attempt = connection.execute(
        select(attempts.c.id, attempts.c.charged_ugx)
        .join(chunks, chunks.c.last_attempt == attempts.c.id)
        .where(chunks.c.campaign_id == campaign.id, chunks.c.chunk == chunk)
    ).one()
    if attempt.charged_ugx is None:
        return
    unsupported = {person.row for person in people if person.kind is ExceptionKind.UNSUPPORTED}
    division, one_more = divide(attempt.charged_ugx, [person.row for person in people], unsupported)
    connection.execute(update(attempts).where(attempts.c.id == attempt.id).values(division))
    of_call = and_(x.campaign_id == campaign.id, x.attempt_id == attempt.id)
    connection.execute(update(recipient_exceptions).where(of_call).values(remainder_ugx=0))
    known = set(connection.scalars(select(x.row).where(of_call)))
    connection.execute(update(recipient_exceptions).where(of_call, x.row.in_(one_more & known)).values(remainder_ugx=1))
    if others := sorted(one_more - known):
        values = {"campaign_id": campaign.id, "attempt_id": attempt.id, "kind": None, "remainder_ugx": 1}
        connection.execute(insert(recipient_exceptions), [values | {"row": other} for other in others])


def settle_state(connection: Connection, campaign: CampaignRow, now: datetime) -> CampaignState:
    """What is left of a campaign that was held for a settlement, as its state: complete where nothing is.

    Otherwise it stays in its state: why and since when it stands still says whether it goes on by itself, and when.
    What a person has said, or has to say, stands; of a cancelled campaign nothing is planned again.
    """
    here = {"the_campaign": campaign.id}
    with connection.begin():
        own = connection.execute(statements.OWN_STATE, here).one()
        stands: CampaignState = own.state
        if stands is CampaignState.CANCELLED:
            connection.execute(statements.CANCEL_PLANNED, here)
        if stands in (CampaignState.CANCELLED, CampaignState.AWAITING_APPROVAL, CampaignState.SKIPPED):
            return stands
        left = {row.state for row in connection.execute(statements.CALLS_BY_STATE, here)} & {
            ChunkState.PLANNED,
            ChunkState.IN_FLIGHT,
            ChunkState.UNKNOWN,
        }
        is_complete = stands is CampaignState.COMPLETE
        if not left and not is_complete:
            state, reason = CampaignState.COMPLETE, None
        elif left == {ChunkState.UNKNOWN} and stands is CampaignState.SENDING:  # its process has ended; so has it
            state, reason = CampaignState.PAUSED, "unknown_calls"
        elif left and is_complete:  # a person has found out that somebody is to be sent to again
            state, reason = CampaignState.PAUSED, "resolved"
        elif left == {ChunkState.PLANNED} and own.stop_reason == "unknown_calls":
            state, reason = stands, "resolved"
        else:
            return stands
        end = {"the_state": state, "the_reason": reason, "the_detail": None, "now_us": to_us(now)}
        connection.execute(statements.SET_END, here | end)
    return state


def _unknown_call(connection: Connection, campaign: CampaignRow, attempt: int) -> tuple[ClaimedCall, Row[Any]]:
    """The call as it was claimed, and its attempt's row. Raises `InputError` when it is not unknown any more."""
    row = connection.execute(
        select(attempts, chunks.c.text, chunks.c.segments, chunks.c.canary, chunks.c.label, chunks.c.state)
        .join(chunks, and_(chunks.c.campaign_id == attempts.c.campaign_id, chunks.c.last_attempt == attempts.c.id))
        .where(attempts.c.id == attempt, attempts.c.campaign_id == campaign.id)
    ).one_or_none()
    if row is None or row.state != ChunkState.UNKNOWN:
        raise InputError(
            "is not unknown", file=campaign.label, value=attempt, fix="`mambo status` lists the unknown calls."
        )
    people = connection.execute(
        select(recipients.c.row, recipients.c.msisdn, recipients.c.estimated_ugx)
        .where(recipients.c.campaign_id == campaign.id, recipients.c.chunk == row.chunk)
        .order_by(recipients.c.row)
    ).all()
    call = ClaimedCall.of(
        campaign,
        row,
        rows=[person.row for person in people],
        msisdns=[person.msisdn for person in people],
        estimates_ugx=[person.estimated_ugx for person in people],
        expected_ugx=row.expected_ugx,
        attempt_id=row.id,
        label=row.label,
    )
    return call, row


def _record(
    connection: Connection, campaign: CampaignRow, call: ClaimedCall, row: Row[Any], result: CallResult, evidence: str
) -> None:
    """Like the end of a call, but what the API once answered stays on its attempt."""
    sql = Prepared(connection, the_campaign=campaign.id, the_account=campaign.account)
    record_end(sql, campaign, CallEnd(call, result, from_us(row.ended_at_us)))
    connection.execute(
        update(attempts)
        .where(attempts.c.id == call.attempt_id)
        .values(evidence=evidence, http_status=row.http_status, api_messages=row.api_messages, raw_reply=row.raw_reply)
    )


def _move_to_the_end(connection: Connection, campaign: CampaignRow, chunk: int) -> None:
    here = {"the_campaign": campaign.id, "the_chunk": chunk}
    parent = connection.execute(statements.ONE_CHUNK, here).one()
    last = (connection.scalar(statements.LAST_CHUNK, {"the_campaign": campaign.id}) or 0) + 1
    child = dict(parent._mapping) | {"chunk": last, "parent": chunk, "last_attempt": None}
    connection.execute(insert(chunks), child)
    connection.execute(
        update(recipients)
        .where(recipients.c.campaign_id == campaign.id, recipients.c.chunk == chunk)
        .values(chunk=last)
    )
    connection.execute(statements.SET_CHUNK_STATE, here | {"the_state": ChunkState.SPLIT})


def _note(connection: Connection, campaign: CampaignRow, chunk: int, detail: str, who: str, now: datetime) -> None:
    add_event(connection, campaign, "settled", f"{call_name(campaign, chunk)} {detail}", who, now)
