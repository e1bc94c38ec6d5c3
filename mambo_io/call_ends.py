"""Recording what became of a call: its verdict, its receipt, the recipients that differ, the charge of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, insert

from mambo_io import statements
from mambo_io.ledger import CampaignRow, call_name, to_us
from mambo_io.model import (
    Action,
    Blame,
    CallResult,
    Category,
    ChunkState,
    ExceptionKind,
    Receipt,
    SendRequest,
    Verdict,
)
from mambo_io.prepared import Prepared
from mambo_io.tables import chunks, recipient_exceptions, unsupported


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """A call whose intent is durable. It may be made once, and only until `not_after_boot_s` (boot clock, seconds)."""

    attempt_id: int
    chunk: int
    name: str
    request: SendRequest
    rows: tuple[int, ...]
    estimates_ugx: tuple[int, ...]
    expected_ugx: int
    segments: int
    canary: bool
    label: int | None
    not_after_boot_s: float

    @classmethod
    def of(
        cls,
        campaign: CampaignRow,
        chunk: Any,
        *,
        rows: Sequence[int],
        msisdns: Sequence[int],
        estimates_ugx: Sequence[int],
        expected_ugx: int,
        attempt_id: int = 0,
        label: int | None = None,
    ) -> ClaimedCall:
        """The call of a chunk (its row, or one that has its chunk, text, segments and canary) to these people.

        They are given in the order of their rows. The call may not be made as it stands: that takes an intent, which
        names its attempt and how long it may begin.
        """
        return cls(
            attempt_id=attempt_id,
            chunk=chunk.chunk,
            name=call_name(campaign, chunk.chunk),
            request=SendRequest(
                message=chunk.text,
                recipients=tuple([f"+{msisdn}" for msisdn in msisdns]),
                category=Category(campaign.category),
                sender_id=campaign.sender_id,
            ),
            rows=tuple(rows),
            estimates_ugx=tuple(estimates_ugx),
            expected_ugx=expected_ugx,
            segments=chunk.segments,
            canary=chunk.canary,
            label=label,
            not_after_boot_s=0.0,
        )


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What became of a claimed call. `agrees`: for a counted canary receipt, whether it agrees with the estimate."""

    call: ClaimedCall
    result: CallResult
    ended_at: datetime
    agrees: bool | None = None

    @property
    def charged_ugx(self) -> int | None:
        receipt = self.result.receipt
        return receipt.sms_cost_ugx if receipt is not None and self.result.verdict is Verdict.ACCEPTED else None


def chunk_state_after(result: CallResult) -> ChunkState:
    """Where a call's verdict takes its chunk."""
    match result.verdict:
        case Verdict.NOT_SENT:
            return ChunkState.PLANNED
        case Verdict.ACCEPTED:
            return ChunkState.ACCEPTED
        case Verdict.UNKNOWN:
            return ChunkState.UNKNOWN
        case Verdict.REFUSED:
            return ChunkState.REFUSED if result.blame is Blame.CALL else ChunkState.PLANNED
        case _:
            assert_never(result.verdict)


def record_end(sql: Prepared, campaign: CampaignRow, end: CallEnd) -> None:
    """Write one call's end into the ledger, inside the caller's transaction."""
    call, result = end.call, end.result
    accepted = result.verdict is Verdict.ACCEPTED
    receipt = result.receipt or Receipt()
    cost_is_open = result.verdict is Verdict.UNKNOWN or (accepted and end.charged_ugx is None)
    values: dict[str, Any] = {
        "verdict": result.verdict,
        "reason": result.reason,
        "ended_at_us": to_us(end.ended_at),
        "http_status": result.http_status,
        "api_messages": " | ".join(result.messages) or None,
        "recipients_count": receipt.recipients_count,
        "message_count": receipt.message_count,
        "sms_sent": receipt.sms_sent,
        "charged_ugx": end.charged_ugx,
        "exposed_ugx": call.expected_ugx if cost_is_open else None,
        "charged_each_ugx": None,
        "unsupported_charged": False,
        "cost_raw": receipt.sms_cost_raw,
        "balance_after_ugx": receipt.new_balance_ugx,
        "unsupported_count": receipt.unsupported_count,
        "consistent": receipt.consistent if result.receipt is not None else None,
        "agrees": end.agrees,
        "alarms": ",".join(receipt.alarms) or None,
        "raw_reply": result.raw_reply,
    }
    if accepted:
        values |= _record_receipt(sql, campaign, end, receipt)
    sql.execute(
        statements.END_ATTEMPT,
        the_attempt=call.attempt_id,
        **{f"the_{column}": value for column, value in values.items()},
    )
    sql.execute(statements.SET_CHUNK_STATE, the_chunk=call.chunk, the_state=chunk_state_after(result))
    if result.action is Action.SPLIT and len(call.rows) > 1:
        _split(sql.connection, campaign, call)


def _record_receipt(sql: Prepared, campaign: CampaignRow, end: CallEnd, receipt: Receipt) -> dict[str, Any]:
    """Unsupported contacts, the recipients that differ, the balance; returns how the charge is divided."""
    call, charged = end.call, end.charged_ugx
    kinds: dict[int, ExceptionKind] = {} if receipt.consistent else dict.fromkeys(call.rows, ExceptionKind.UNVERIFIED)
    unsupported_rows: set[int] = set()
    if receipt.unsupported:
        row_of = dict(zip(call.request.recipients, call.rows, strict=True))
        contacts = [(item.raw, None if item.e164 is None else row_of[item.e164]) for item in receipt.unsupported]
        sql.connection.execute(
            insert(unsupported), [{"attempt_id": call.attempt_id, "raw": raw, "row": row} for raw, row in contacts]
        )
        unsupported_rows = {row for _, row in contacts if row is not None}
        kinds |= dict.fromkeys(unsupported_rows, ExceptionKind.UNSUPPORTED)
    division: dict[str, Any] = {}
    one_more: set[int] = set()
    if charged is not None:
        division, one_more = divide(charged, call.rows, unsupported_rows)
    differing = sorted(kinds.keys() | one_more)
    if differing:
        estimates_ugx = dict(zip(call.rows, call.estimates_ugx, strict=True))
        sql.connection.execute(
            insert(recipient_exceptions),
            [
                {
                    "campaign_id": campaign.id,
                    "row": row,
                    "attempt_id": call.attempt_id,
                    "kind": kinds.get(row),
                    "remainder_ugx": int(row in one_more),
                    "estimated_ugx": estimates_ugx[row],
                }
                for row in differing
            ],
        )
    if receipt.new_balance_ugx is not None:
        sql.execute(
            statements.SET_BALANCE,
            the_attempt=call.attempt_id,
            new_balance_ugx=receipt.new_balance_ugx,
            now_us=to_us(end.ended_at),
        )
    return division


def divide(charged_ugx: int, rows: Sequence[int], unsupported_rows: set[int]) -> tuple[dict[str, Any], set[int]]:
    """How a call's charge is divided over its recipients, as the attempt keeps it; and the rows that pay UGX 1 more.

    Equally, over who is not unsupported (over all, if all are), what is left on the lowest rows. `rows` are in order.
    """
    sharing = [row for row in rows if row not in unsupported_rows] if unsupported_rows else rows
    sharing = sharing or rows
    each, rest = divmod(charged_ugx, len(sharing))
    everybody = len(unsupported_rows) == len(rows)
    return {"charged_each_ugx": each, "unsupported_charged": everybody}, set(sharing[:rest])


def _split(connection: Connection, campaign: CampaignRow, call: ClaimedCall) -> None:
    """Two halves in the place of a call that was too large for the API (HTTP 413)."""
    here = {"the_campaign": campaign.id, "the_chunk": call.chunk}
    parent = connection.execute(statements.ONE_CHUNK, here).one()
    last_chunk = connection.scalar(statements.LAST_CHUNK, {"the_campaign": campaign.id}) or 0
    half = (len(call.rows) + 1) // 2
    for chunk, part in enumerate((slice(0, half), slice(half, None)), start=last_chunk + 1):
        rows, estimates = call.rows[part], call.estimates_ugx[part]
        child = dict(parent._mapping) | {
            "chunk": chunk,
            "parent": call.chunk,
            "label": None,
            "recipients_count": len(rows),
            "expected_ugx": sum(estimates),
            "state": ChunkState.PLANNED,
            "last_attempt": None,
        }
        connection.execute(insert(chunks), child)
        connection.execute(
            statements.MOVE_TO_CHUNK, {"the_campaign": campaign.id, "the_chunk": chunk, "the_rows": rows}
        )
    connection.execute(statements.SET_CHUNK_STATE, here | {"the_state": ChunkState.SPLIT})
