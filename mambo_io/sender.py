"""The write side of the ledger while a campaign is sent: intents before calls, verdicts after them.

::

    planned -> in_flight -> accepted | refused | unknown
       ^------- not sent, or a refusal that concerns the account      planned -> split | skipped

`Sender.exchange` is one durable commit: it settles the calls that came back and records the intents of the next ones,
after asking every guard inside the same transaction. Only a call it returned may be made, and no transaction is open
while it is. One sender a campaign; the caller holds the campaign's lock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from sqlalchemy import Connection

from mambo_io import statements
from mambo_io.call_ends import CallEnd, ClaimedCall, record_end
from mambo_io.client import boot_time_s
from mambo_io.errors import Stopped
from mambo_io.event_log import add_event
from mambo_io.ledger import US, CampaignRow, from_us, to_us
from mambo_io.model import CampaignState, CanaryState, ChunkState, Verdict
from mambo_io.prepared import Prepared
from mambo_io.repeats import DAY_US, Repeats
from mambo_io.restored import check_confirmed
from mambo_io.side_file import KeptReplies, SideFile, record_kept
from mambo_io.store import failures_told, file_watch
from mambo_io.store_errors import LedgerFailed
from mambo_io.turns import Turns
from mambo_io.window import Window, day_start

_LONGEST_SETTLING_US = 300 * US  # what claims to last longer was noted by a clock that was wrong


@dataclass(frozen=True, slots=True)
class Limits:
    """What the campaign file allows, read again at each start."""

    concurrency: int
    calls_per_second: float  # 0: no limit
    max_cost_ugx: int | None
    window: Window | None
    call_deadline_s: float  # an intent older than this is not sent
    max_cost_per_day_ugx: int | None = None  # of the whole account, over a day in Kampala
    repeat_guard_days: int = 0  # who was sent the same text in these is left out; 0: nobody is


class Hold(StrEnum):
    """Why no further call was handed out."""

    NOTHING_LEFT = "nothing_left"  # no planned call; some may be in flight
    BUSY = "busy"  # as many in flight as allowed, or the canary's answer is awaited
    RATE = "rate"
    SETTLING = "settling"  # the account's balance is being read, and nothing may be in flight meanwhile
    WINDOW = "outside_window"
    BUDGET = "budget"
    DAY_BUDGET = "day_budget"
    BALANCE = "balance"
    CANARY = "canary"
    APPROVAL = "approval"  # no person has approved the plan
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Exchange:
    calls: tuple[ClaimedCall, ...]
    hold: Hold | None
    retry_at_us: int | None = None  # for Hold.RATE and Hold.SETTLING


class Sender:
    """The one sender of a campaign edition. Use from one thread at a time; `connection` is its own.

    `side_file` is where the send loop keeps what the ledger does not take.
    """

    def __init__(
        self, connection: Connection, campaign: CampaignRow, *, run: str, who: str, side_file: SideFile | None = None
    ) -> None:
        self._connection = connection
        self._campaign = campaign
        self.side_file = side_file
        self._watch = file_watch(connection)
        self._sql = Prepared(connection, the_campaign=campaign.id, the_account=campaign.account)
        self._people = statements.PEOPLE_OF_TRANSACTIONAL if campaign.transactional else statements.PEOPLE
        self._run = run
        self._who = who
        self._epoch = 0
        self._started_us = 0
        self._charged_ugx = 0
        self._canary = campaign.canary
        self._canary_calls = 0
        self._begun = campaign.begun
        self._turn_us: int | None = None  # of the account's rate limit: taken, and not used yet
        self._in_flight: dict[int, ClaimedCall] = {}
        self._unknown_labels: set[int] = set()
        self._repeats = Repeats(self._sql, campaign.account, {})

    def start(self, now: datetime, kept: Sequence[KeptReplies] = (), *, settling: bool = False) -> int:
        """Take the campaign over: a new epoch, and every orphaned call becomes unknown. Returns how many there were.

        Not those whose replies an earlier run `kept`, because the ledger would not take them: they are recorded.
        `settling`: nothing is sent, and its state stays as it is.
        Raises `StoreError` while nobody has confirmed a backup that was put in the ledger's place.
        """
        self._started_us = to_us(now)
        with self._connection.begin():
            check_confirmed(self._connection)
            taken = self._sql.one(statements.HOLD if settling else statements.TAKE_OVER)
            self._epoch, self._canary_calls = taken.sender_epoch, taken.canary_calls
            self._canary = CanaryState(taken.canary)
            if recorded := sum(record_kept(self._sql, self._campaign, replies, now) for replies in kept):
                self._note(now, "replies_recorded", f"{recorded} calls, from the side file of an earlier run")
            orphans = self._sql.execute(statements.ORPHANED_ATTEMPTS, now_us=to_us(now))
            self._sql.execute(statements.ORPHANED_CHUNKS)
            event = "settling_started" if settling else "send_started"
            self._note(now, event, f"{orphans} calls of an ended process are unknown" if orphans else None)
            self._charged_ugx = int(self._sql.one(statements.CHARGED_SO_FAR)[0] or 0)
            self._unknown_labels = {row.label for row in self._sql.rows(statements.UNKNOWN_LABELS)}
            self._sql.execute(statements.ADD_ACCOUNT)
            self._repeats = Repeats(self._sql, self._campaign.account, json.loads(taken.settings))
        return orphans

    @property
    def started_at(self) -> datetime:
        return from_us(self._started_us)

    def look_again(self) -> None:
        """Read again what a settlement may have changed: the charges so far, and the sizes that are unknown."""
        with self._connection.begin():
            self._charged_ugx = int(self._sql.one(statements.CHARGED_SO_FAR)[0] or 0)
            self._unknown_labels = {row.label for row in self._sql.rows(statements.UNKNOWN_LABELS)}

    def waive_canary(self, now: datetime) -> None:
        """A person accepts what the canary showed; recorded."""
        with self._connection.begin():
            self._set_canary(CanaryState.WAIVED)
            self._note(now, "canary_waived", None)

    def exchange(self, ends: Sequence[CallEnd], *, want: int, limits: Limits, now: datetime) -> Exchange:
        """One durable commit: settle `ends`, ask every guard, and record the intents of at most `want` calls.

        Raises `LedgerFailed` when the ledger could not be written: nothing has changed then, here or in the ledger,
        unless the connection was lost in the commit itself. Raises `Stopped` when another process has taken the
        campaign over; the ends are kept as evidence then.
        """
        labels = set(self._unknown_labels)
        before = dict(self._in_flight), labels, self._charged_ugx, self._canary, self._begun, self._turn_us
        try:
            with failures_told(self._connection), self._connection.begin():
                state = self._own_state()
                exchange = self._settle_and_claim(state, ends, want, limits, now) if state is not None else None
                if exchange is None:
                    self._keep_as_evidence(ends)
        except LedgerFailed:
            self._in_flight, self._unknown_labels, self._charged_ugx, self._canary, self._begun, self._turn_us = before
            raise
        if exchange is None:
            raise self._replaced()
        for call in exchange.calls:
            self._in_flight[call.attempt_id] = call
        if exchange.calls:
            newest = exchange.calls[-1].attempt_id
            self._repeats.note_own(newest)
            if self._watch is not None:
                self._watch.note(newest)
        return exchange

    def _settle_and_claim(
        self, state: CampaignState, ends: Sequence[CallEnd], want: int, limits: Limits, now: datetime
    ) -> Exchange:
        for end in ends:
            self._settle(end)
        if self._canary is CanaryState.PENDING and not self._in_flight:
            self._judge_canary()
        return self._claim(state, want, limits, now)

    def _keep_as_evidence(self, ends: Sequence[CallEnd]) -> None:
        for end in ends:
            self._sql.execute(
                statements.ADD_EVIDENCE,
                the_attempt=end.call.attempt_id,
                the_raw_reply=end.result.raw_reply,
                the_http_status=end.result.http_status,
            )

    def finish(self, state: CampaignState, reason: str | None, now: datetime, *, detail: str | None = None) -> None:
        """Record how the run ended, and why. A campaign that a person has cancelled meanwhile stays that."""
        with self._connection.begin():
            own = self._own_state()
            if own is None:
                raise self._replaced()
            if own is CampaignState.CANCELLED:
                self._sql.execute(statements.CANCEL_PLANNED)  # what came back as not sent
                self._note(now, "send_ended", str(own))
                return
            self._sql.execute(
                statements.SET_END, the_state=state, the_reason=reason, the_detail=detail, now_us=to_us(now)
            )
            self._note(now, str(state), reason)

    def calls_by_state(self) -> dict[ChunkState, int]:
        with self._connection.begin():
            return {ChunkState(row.state): row.calls for row in self._sql.rows(statements.CALLS_BY_STATE)}

    def _own_state(self) -> CampaignState | None:
        """The campaign's state, its row locked; None when another process has taken the campaign over.

        A campaign that a person holds is paused, whatever else it would be doing.
        """
        row = self._sql.one(statements.OWN_STATE)
        if row.sender_epoch != self._epoch:
            return None
        state = CampaignState(row.state)
        return CampaignState.PAUSED if state is CampaignState.SENDING and row.held_by is not None else state

    def _replaced(self) -> Stopped:
        return Stopped(f"{self._campaign.label} was taken over by another process; this one has stopped.")

    # --- settling ---------------------------------------------------------------------------------------------------

    def _settle(self, end: CallEnd) -> None:
        call = end.call
        record_end(self._sql, self._campaign, end)
        self._in_flight.pop(call.attempt_id, None)
        self._charged_ugx += end.charged_ugx or 0
        if end.result.verdict is Verdict.UNKNOWN and call.label is not None:
            self._unknown_labels.add(call.label)

    def _judge_canary(self) -> None:
        """One receipt that disagrees stops the rest; as many as were asked for, or all that count, let it go on."""
        receipts = self._sql.one(statements.CANARIES)
        if receipts.agreed < receipts.counted:
            self._set_canary(CanaryState.DISAGREED)
        elif receipts.agreed >= self._canary_calls or (
            receipts.agreed and not self._sql.rows(statements.PLANNED_CANARIES, most=1)
        ):
            self._set_canary(CanaryState.AGREED)

    def _set_canary(self, state: CanaryState) -> None:
        self._canary = state
        self._sql.execute(statements.SET_CANARY, the_canary=state)

    # --- claiming ---------------------------------------------------------------------------------------------------

    def _claim(self, state: CampaignState, want: int, limits: Limits, now: datetime) -> Exchange:
        """Ask the guards in turn; hand out calls until one of them says no."""
        match state:
            case CampaignState.PAUSED:
                return Exchange((), Hold.PAUSED)
            case CampaignState.AWAITING_APPROVAL:
                return Exchange((), Hold.APPROVAL)
            case CampaignState.CANCELLED | CampaignState.SKIPPED:
                return Exchange((), Hold.CANCELLED)
            case CampaignState.SENDING:
                pass
            case CampaignState.PLANNING | CampaignState.PLANNED | CampaignState.COMPLETE:
                raise AssertionError(f"a sender at work on a campaign that is {state}")
            case _:
                assert_never(state)
        candidates = self._candidates(want)
        if not candidates:
            return Exchange((), self._hold_without_candidates())
        if self._canary is CanaryState.DISAGREED:
            return Exchange((), Hold.CANARY)
        if want < 1 or (self._canary is CanaryState.PENDING and self._in_flight):
            return Exchange((), Hold.BUSY)
        if limits.window is not None and not limits.window.is_open(now):
            return Exchange((), Hold.WINDOW)
        return self._claim_within_money(candidates, limits, now)

    def _claim_within_money(self, candidates: list[Any], limits: Limits, now: datetime) -> Exchange:
        now_us = to_us(now)
        account = self._sql.one(statements.ACCOUNT)
        if now_us < account.settling_until_us < now_us + _LONGEST_SETTLING_US:
            return Exchange((), Hold.SETTLING, min(account.settling_until_us, now_us + US))
        days = limits.repeat_guard_days
        exposed = self._sql.one(statements.EXPOSED, seen_to=self._repeats.seen_to(days))
        repeats_since_us = now_us - days * DAY_US
        if exposed.newest_elsewhere is not None:
            self._repeats.look(exposed.newest_elsewhere, repeats_since_us)
        exposed_account_ugx = int(exposed.of_account)
        spent_ugx = self._charged_ugx + int(exposed.of_campaign)
        day_limit_ugx, day_ugx = limits.max_cost_per_day_ugx, 0
        if day_limit_ugx is not None:
            day_ugx = int(self._sql.one(statements.SPENT_SINCE, since_us=to_us(day_start(now))).ugx)
        # A balance from before this run may be followed by a top-up that nobody told us of. If it is too low, the
        # API refuses the first call, and that costs nothing.
        known_now = account.balance_ugx is not None and account.balance_at_us >= self._started_us
        turns = self._turns(account.next_call_at_us, limits)
        calls: list[ClaimedCall] = []
        hold: Hold | None = None
        for chunk in candidates:
            if turns is not None and not turns.has_come(now_us):
                hold = Hold.RATE
                break
            call = self._ready(chunk, repeats_since_us)
            if call is None:
                continue
            if limits.max_cost_ugx is not None and spent_ugx + call.expected_ugx > limits.max_cost_ugx:
                hold = Hold.BUDGET
                break
            if day_limit_ugx is not None and day_ugx + call.expected_ugx > day_limit_ugx:
                hold = Hold.DAY_BUDGET
                break
            if known_now and exposed_account_ugx + call.expected_ugx > account.balance_ugx:
                hold = Hold.BALANCE
                break
            calls.append(self._record_intent(call, limits, now_us))
            spent_ugx, day_ugx = spent_ugx + call.expected_ugx, day_ugx + call.expected_ugx
            exposed_account_ugx += call.expected_ugx
            if turns is not None:
                turns.use()
        if turns is None:
            return Exchange(tuple(calls), hold)
        self._turn_us = turns.own_us
        if turns.next_us != account.next_call_at_us:
            self._sql.execute(statements.SET_NEXT_CALL, next_us=turns.next_us)
        return Exchange(tuple(calls), hold, turns.own_us if hold is Hold.RATE else None)

    def _turns(self, next_us: int, limits: Limits) -> Turns | None:
        """The account's rate limit; None where there is none."""
        if not limits.calls_per_second:
            return None
        return Turns(round(1e6 / limits.calls_per_second), next_us, self._turn_us)

    def _candidates(self, want: int) -> list[Any]:
        """Planned chunks in the order of sending; those whose size another open call has come last."""
        most = max(1, want)
        if self._canary is CanaryState.PENDING:
            return self._sql.rows(statements.PLANNED_CANARIES, most=1)
        open_labels = self._unknown_labels | {call.label for call in self._in_flight.values()}
        apart: list[Any] = []
        alike: list[Any] = []
        for chunk in self._sql.rows(statements.PLANNED, most=2 * most + 2):
            (alike if chunk.label in open_labels else apart).append(chunk)
            open_labels.add(chunk.label)
        return (apart + alike)[:most]

    def _hold_without_candidates(self) -> Hold:
        """Nothing planned, or only what has to wait for a canary: for its answer, or for a person."""
        if not self._sql.rows(statements.PLANNED, most=1):
            return Hold.NOTHING_LEFT
        return Hold.BUSY if self._in_flight else Hold.CANARY

    def _ready(self, chunk: Any, repeats_since_us: int) -> ClaimedCall | None:
        """The call of a planned chunk without those who, since the plan, opted out or were sent the text by another
        edition; None when nobody is left in it."""
        everybody = self._sql.tuples(self._people, the_chunk=chunk.chunk)
        people = [person for person in everybody if not person[-1]]
        left_out = {statements.OPTED_OUT: [row for row, _, _, opted_out in everybody if opted_out]}
        if sent := self._repeats.sent((person[1] for person in people), chunk.text_key, repeats_since_us):
            left_out[statements.ALREADY_SENT] = [row for row, msisdn, _, _ in people if msisdn in sent]
            people = [person for person in people if person[1] not in sent]
        rows, msisdns, estimates_ugx, _ = zip(*people, strict=True) if people else ((),) * 4
        cost_ugx = sum(estimates_ugx)
        if len(people) < len(everybody):
            self._leave_out(chunk, left_out)
            self._sql.execute(
                statements.SHRINK_CHUNK,
                the_chunk=chunk.chunk,
                people_left=len(people),
                cost_left_ugx=cost_ugx,
                the_state=ChunkState.PLANNED if people else ChunkState.SKIPPED,
            )
        if not people:
            return None
        return ClaimedCall.of(
            self._campaign,
            chunk,
            rows=rows,
            msisdns=msisdns,
            estimates_ugx=estimates_ugx,
            expected_ugx=cost_ugx,
            label=chunk.label if len(people) == len(everybody) else None,
        )

    def _leave_out(self, chunk: Any, rows_by_reason: dict[str, list[int]]) -> None:
        for reason, rows in rows_by_reason.items():
            if rows:
                self._connection.execute(
                    statements.LEAVE_OUT,
                    {
                        "the_campaign": self._campaign.id,
                        "the_rows": rows,
                        "the_reason": reason,
                        "the_text": chunk.text,
                        "the_encoding": chunk.encoding,
                    },
                )

    def _record_intent(self, call: ClaimedCall, limits: Limits, now_us: int) -> ClaimedCall:
        attempt_id: int = self._sql.one(
            statements.ADD_ATTEMPT,
            the_chunk=call.chunk,
            the_run=self._run,
            the_epoch=self._epoch,
            the_intent_at_us=now_us,
            the_submitted_count=len(call.rows),
            the_expected_ugx=call.expected_ugx,
        ).id
        self._sql.execute(statements.SET_IN_FLIGHT, the_chunk=call.chunk, the_attempt=attempt_id)
        if not self._begun:
            self._sql.execute(statements.SET_FIRST_CALL, now_us=now_us)
            self._begun = True
        return replace(call, attempt_id=attempt_id, not_after_boot_s=boot_time_s() + limits.call_deadline_s)

    # --- small pieces -----------------------------------------------------------------------------------------------

    def _note(self, now: datetime, kind: str, detail: str | None) -> None:
        add_event(self._connection, self._campaign, kind, detail, self._who, now)
