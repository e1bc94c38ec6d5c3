"""Small plans and what becomes of their calls, for tests of the ledger.

A plan is given by the sizes of its calls: `plan(3, 2)` is five people in two calls. Its rows are numbered from 1,
`number(row)` is the number in a row, every message is one segment and costs UGX 50. A `Run` is one run of a campaign
edition, on a clock that stands still at noon unless the test says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from sqlalchemy import Connection, Table, and_, create_engine, select, text, update

from mambo_io.call_ends import CallEnd, ClaimedCall
from mambo_io.deliveries import KNOWN, record_reports
from mambo_io.ledger import CampaignRow, from_us
from mambo_io.model import CallResult, ChunkState, Delivery
from mambo_io.planning import Plan, write_plan
from mambo_io.sender import Exchange, Hold, Limits, Sender
from mambo_io.side_file import KeptReplies
from mambo_io.store import Store
from mambo_io.tables import chunks, deliveries, recipients, results
from mambo_io.verdicts import judge_failure, judge_reply
from pipelines.chunking import text_key
from pipelines.sending import receipt_agrees

NOON = datetime(2026, 3, 2, 9, tzinfo=UTC)  # in Kampala
PRICE_UGX = 50
TEXT = "Dear friend, clinic day is Friday. Bring your card."
NO_LIMITS = Limits(concurrency=64, calls_per_second=0, max_cost_ugx=None, window=None, call_deadline_s=20)


def number(row: int) -> str:
    """The E.164 number in this row of every plan."""
    return f"+25677200{row:04d}"


def msisdn(row: int) -> int:
    return int(number(row)[1:])


def plan(
    *sizes: int,
    name: str = "clinic-day",
    edition: str = "1",
    account: str = "main",
    message: str = TEXT,
    canaries: int = 0,
    canary_calls: int | None = None,
    labels: Sequence[int | None] = (),
    rejected: int = 0,
    kept: Mapping[str, Sequence[str | None]] | None = None,
    opted_out: Iterable[int] = (),
    settings: Mapping[str, Any] | None = None,
    is_test: bool = False,
) -> Plan:
    """Calls of these sizes to rows 1, 2, 3 …; then `rejected` rows that hold no number.

    The first `canaries` calls are canaries, of which `canary_calls` (by default one) must agree. `labels` are those of
    the calls, `kept` the kept columns, `opted_out` the rows whose numbers may not be messaged, `settings` what
    the plan keeps of the campaign file.
    """
    chunk_of_row = [chunk for chunk, size in enumerate(sizes, start=1) for _ in range(size)]
    sendable, rows = len(chunk_of_row), len(chunk_of_row) + rejected
    recipients = pl.DataFrame(
        {
            "row": range(1, rows + 1),
            "phone_raw": [f"077200{row:04d}" for row in range(1, sendable + 1)] + ["n/a"] * rejected,
            "e164": [number(row) for row in range(1, sendable + 1)] + [None] * rejected,
            "network_guess": ["MTN Uganda"] * sendable + [None] * rejected,
            "reject_reason": [None] * sendable + ["missing"] * rejected,
            "message": [message] * rows,
            "encoding": ["GSM-7"] * rows,
            "segments": [1] * rows,
            "estimated_ugx": [PRICE_UGX] * sendable + [None] * rejected,
            "chunk": chunk_of_row + [None] * rejected,
            **(kept or {}),
        },
        schema_overrides={
            **dict.fromkeys(("row", "segments", "estimated_ugx", "chunk"), pl.Int64),
            **dict.fromkeys(("e164", "network_guess", "reject_reason"), pl.String),
        },
    )
    calls = len(sizes)
    planned_calls = pl.DataFrame(
        {
            "chunk": range(1, calls + 1),
            "label": labels or [None] * calls,
            "canary": [chunk < canaries for chunk in range(calls)],
            "text": [message] * calls,
            "text_key": [text_key(message)] * calls,
            "encoding": ["GSM-7"] * calls,
            "segments": [1] * calls,
            "recipients_count": sizes,
            "expected_ugx": [size * PRICE_UGX for size in sizes],
        },
        schema_overrides={"label": pl.Int64},
    )
    return Plan(
        name=name,
        edition=edition,
        account=account,
        host="127.0.0.1",
        content_digest="content",
        plan_digest="plan",
        source="people.csv",
        source_digest="source",
        sender_id="MamboSMS",
        category="customised",
        message=message,
        settings=dict(settings or {}),
        kept_columns=tuple(kept or ()),
        versions={},
        canary_calls=min(1, canaries) if canary_calls is None else canary_calls,
        rows=rows,
        sendable=sendable,
        segments=sendable,
        estimated_ugx=sendable * PRICE_UGX,
        recipients=[recipients],
        chunks=planned_calls,
        suppressed=suppressed(*opted_out),
        is_test=is_test,
    )


def suppressed(*rows: int) -> pl.DataFrame:
    """The numbers in these rows, as an opt-out list gives them."""
    return pl.DataFrame(
        {"msisdn": [msisdn(row) for row in rows], "source": ["opt_outs.csv"] * len(rows)},
        schema={"msisdn": pl.Int64, "source": pl.String},
    )


def new_ledger(path: Path) -> Path:
    """A ledger file that holds a plan of three people in one call, and that nobody has open."""
    with Store(str(path), create=True) as store, store.writer() as connection:
        write_plan(connection, plan(3), who="tester")
    return path


class Run:
    """One run of a campaign edition, call by call. Making it takes the campaign over."""

    def __init__(
        self,
        connection: Connection,
        campaign: CampaignRow,
        *,
        limits: Limits = NO_LIMITS,
        now: datetime = NOON,
        name: str = "run",
        kept: Sequence[KeptReplies] = (),
    ) -> None:
        self.connection, self.campaign, self.limits, self.now = connection, campaign, limits, now
        self.sender = Sender(connection, campaign, run=name, who="tester")
        self.orphans = self.sender.start(now, kept)

    @classmethod
    def of(cls, connection: Connection, planned: Plan, *, limits: Limits = NO_LIMITS, now: datetime = NOON) -> Run:
        """Write the plan, and begin to send it."""
        return cls(connection, write_plan(connection, planned, who="tester"), limits=limits, now=now)

    def exchange(self, *ends: CallEnd, want: int = 1) -> Exchange:
        return self.sender.exchange(ends, want=want, limits=self.limits, now=self.now)

    def claim(self, want: int = 1) -> tuple[ClaimedCall, ...]:
        return self.exchange(want=want).calls

    def claim_one(self) -> ClaimedCall:
        [call] = self.claim()
        return call

    def try_to_claim(self, want: int = 1) -> tuple[int, Hold | None]:
        """How many calls were handed out, and what held back the rest."""
        exchange = self.exchange(want=want)
        return len(exchange.calls), exchange.hold

    def settle(self, call: ClaimedCall, result: CallResult) -> None:
        self.exchange(self.end(call, result), want=0)

    def end(self, call: ClaimedCall, result: CallResult) -> CallEnd:
        """As the send loop tells what became of a call."""
        agrees = receipt_agrees(call, result.receipt) if call.canary and result.receipt is not None else None
        return CallEnd(call, result, self.now, agrees)

    def limit(self, **limits: Any) -> None:
        """Other limits from here on, as after a change of the campaign file."""
        self.limits = replace(self.limits, **limits)


def good_reply(
    call: ClaimedCall,
    *,
    unsupported: Sequence[object] = (),
    charge_unsupported: bool = False,
    balance_ugx: int | None = None,
    **data: Any,
) -> CallResult:
    """A good reply as the API page describes it; `data` is put in the place of what it would say."""
    counted = len(call.rows) - (0 if charge_unsupported else len(unsupported))
    said: dict[str, Any] = {
        "recipients_count": counted,
        "message_count": call.segments,
        "sms_sent": counted * call.segments,
        "sms_cost": counted * call.segments * PRICE_UGX,
        "new_balance": balance_ugx,
        "unsupported_contacts_count": len(unsupported),
        "unsupported_contacts": list(unsupported),
    }
    envelope = {"statusCode": 201, "success": True, "messages": ["Sent"], "data": said | data}
    return judge_reply(200, json.dumps(envelope).encode(), call.request)


def bad_reply(call: ClaimedCall, http_status: int, *messages: str) -> CallResult:
    """A refusal as the API page describes it."""
    envelope = {"statusCode": http_status, "success": False, "messages": messages, "data": []}
    return judge_reply(http_status, json.dumps(envelope).encode(), call.request)


def no_answer() -> CallResult:
    return judge_failure(httpx.ReadTimeout(""), begun=True)


def no_connection() -> CallResult:
    return judge_failure(httpx.ConnectError(""), begun=False)


def every_outcome(connection: Connection) -> Run:
    """A campaign of 12 rows, among them a person of every outcome that there is; one call is still in flight."""
    kept = {"client_id": [f"c{row}" for row in range(1, 13)]}
    run = Run.of(connection, plan(3, 2, 2, 2, 1, 1, rejected=1, kept=kept))
    accepted, unverified, refused, unknown, _ = run.claim(5)
    run.now += timedelta(seconds=2)
    run.exchange(
        run.end(accepted, good_reply(accepted, unsupported=[number(2)], sms_cost=101, balance_ugx=8_580)),
        run.end(unverified, good_reply(unverified, recipients_count=7)),
        run.end(refused, bad_reply(refused, 400, "The sender ID is not registered")),
        run.end(unknown, no_answer()),
        want=0,
    )
    with connection.begin():
        connection.execute(update(chunks).where(chunks.c.chunk == 6).values(state=ChunkState.CANCELLED))
    return run


def report(connection: Connection, campaign: CampaignRow, statuses: Mapping[int, Delivery]) -> None:
    """Record that an export says this of the people in these rows, whatever was recorded of them before."""
    with connection.begin():
        calls = connection.execute(
            select(recipients.c.row, chunks.c.last_attempt)
            .join(chunks, and_(chunks.c.campaign_id == campaign.id, chunks.c.chunk == recipients.c.chunk))
            .where(recipients.c.campaign_id == campaign.id, recipients.c.row.in_(statuses))
        )
        attempt_of = dict(calls.tuples().all())
        known = set(connection.scalars(select(deliveries.c.row).where(deliveries.c.campaign_id == campaign.id)))
    reports = [
        (campaign.id, row, attempt_of[row], status, status.upper(), None, row in known)
        for row, status in statuses.items()
    ]
    frame = pl.DataFrame(reports, schema={**KNOWN, "is_known": pl.Boolean}, orient="row")
    record_reports(connection, frame, source="export.csv", who="officer", now=NOON)


def rows_of(store: Store, table: Table, **where: Any) -> list[dict[str, Any]]:
    """What stands in a table, seen by a connection of its own, in the order of its key."""
    query = (
        select(table).order_by(*table.primary_key).where(*(table.c[column] == value for column, value in where.items()))
    )
    with store.reader() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def view_of(store: Store, campaign: CampaignRow) -> pl.DataFrame:
    """The results of a campaign edition as the view says them, in the form of `Ledger.results`."""
    query = select(results).where(results.c.campaign_id == campaign.id).order_by(results.c.row)
    with store.reader() as connection:
        rows = [row._asdict() for row in connection.execute(query)]
    moments = [None if row["sent_at_us"] is None else from_us(row["sent_at_us"]) for row in rows]
    kept = pl.DataFrame([json.loads(row["kept"] or "{}") for row in rows], infer_schema_length=None)
    return (
        pl.DataFrame(rows, infer_schema_length=None)
        .with_columns(pl.Series("sent_at_us", moments, pl.Datetime("us", "UTC")))
        .rename({"sent_at_us": "sent_at"})
        .drop("campaign_id", "kept")
        .hstack(kept)
    )


def execute(url: str, statement: str) -> None:
    """Say something to a database that is not about the ledger."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
