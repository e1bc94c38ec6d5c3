"""The send loop: claim, call, settle, until nothing is left or a reason to stop appears.

One asyncio loop makes the calls, at most `concurrency` at a time, and commits between them: in a thread of its own the
ledger's many short steps wait for Python's lock, and take three times as long. An answer that comes while a slow disk
holds the loop up is not given up for it. The loop decides when to stop; what may be sent is decided by the guards
inside the ledger's transaction. When the ledger cannot be written, nothing more is sent, and what the calls that are
out come to is kept until it can, or in the side file.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from mambo_io.call_ends import CallEnd, ClaimedCall
from mambo_io.client import AsyncMamboClient
from mambo_io.errors import Stopped
from mambo_io.ledger import from_us
from mambo_io.model import SIGNALLED_TWICE, Action, Blame, CallResult, Receipt, StopReason, Verdict
from mambo_io.sender import Exchange, Hold, Limits, Sender
from mambo_io.store_errors import LedgerFailed
from mambo_io.window import KAMPALA

MAX_TRIES_IN_A_ROW = 6  # rests in a row after which a call still could not be sent, before the run stops
LONGEST_WAIT_S = 300  # a Retry-After above this stops the run instead
_FAR_AHEAD_S = 1e9  # a date that far ahead is as good as any beyond, which the calendar may not have
_FIRST_BACK_OFF_S = 1.0
_LONGEST_BACK_OFF_S = 30.0
_SLOWEST_CALLS_PER_SECOND = 0.5  # however often the API asks to slow down
_TURNS_TO_GATHER = 3  # of the event loop: what else has come by now is settled in the same commit
_LONGEST_SLEEP_S = 60.0  # then the clock is looked at again: it may have been set, or the machine suspended

_LEDGER_PAUSE_S = 0.5  # between two tries to write a ledger that could not be written
_LEDGER_PATIENCE_S = 30.0  # for how long; a disk that is full may be cleared, a lock be given back

_STOP_OF = {Blame.CALL: StopReason.API, Blame.ACCOUNT: StopReason.ACCOUNT, Blame.HOST: StopReason.HOST}
_STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of this run so far."""

    recipients: int = 0
    calls: int = 0
    spent_ugx: int = 0
    unknown_calls: int = 0


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `detail`: the code of the call that stopped it, and what the API said."""

    reason: StopReason
    detail: str | None


@dataclass(frozen=True, slots=True)
class Patience:
    """The campaign's own limits on trouble."""

    wait_for_window: bool
    pause_after_unknown: int
    pause_after_refused: int


class SendLoop:
    """Sends one campaign edition through `sender` and `client`. `run()` may be called once."""

    def __init__(
        self,
        sender: Sender,
        client: AsyncMamboClient,
        limits: Limits,
        patience: Patience,
        *,
        unsettled: bool = False,
        settle: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """`unsettled`: calls of earlier runs are unknown. `settle` looks at the money while nothing is in flight, and
        says whether nothing is unknown any more."""
        self._sender = sender
        self._client = client
        self._limits = limits
        self._patience = patience
        assert sender.side_file is not None, "what the ledger does not take must stand somewhere"
        self._side_file = sender.side_file
        self._on_progress = on_progress
        self._settle = settle
        self._concurrency = limits.concurrency
        self._unsettled = False
        self._may_tell = False  # something came that the settlement has not seen
        if unsettled:
            self._go_one_by_one()
        self._progress = Progress()
        self._stop: RunEnd | None = None
        self._asked_before = False  # by a signal
        self._in_flight: dict[int, asyncio.Task[None]] = {}  # by attempt
        self._newest_attempt = 0  # that the ledger told of
        self._ends: list[CallEnd] = []  # what came back and is not recorded yet
        self._wake = asyncio.Event()
        self._resume_at = 0.0  # monotonic: no claim before it
        self._rests_in_a_row = 0
        self._unknown_in_a_row = 0
        self._refused_in_a_row = 0
        self._give_up_at: float | None = None  # monotonic; while the ledger takes no new calls
        self._defect: Exception | None = None

    async def run(self) -> RunEnd:
        with self._signals():
            ends: list[CallEnd] = []
            while True:
                try:
                    hold, wake_after_s = self._exchange(ends)
                except LedgerFailed as failure:
                    await self._outlast(failure, ends)
                    ends = []
                    continue
                except Stopped:  # another process is at work: what its calls come to is all that is left to tell
                    await self._drain()
                    raise
                if self._may_tell and not self._in_flight:
                    self._look_again()
                    ends = []
                    continue
                if not self._in_flight and self._stop is None and hold is not None and wake_after_s is None:
                    self._stop = RunEnd(_reason_of(hold), None)
                if not self._in_flight and self._stop is not None:
                    break
                ends = await self._wait(wake_after_s)
                for end in ends:
                    self._learn(end)
        if self._defect is not None:
            raise self._defect
        return self._stop

    def _exchange(self, ends: Sequence[CallEnd]) -> tuple[Hold | None, float | None]:
        """Settle `ends`, start the calls that may start. Returns what held back, and for how long if that is known."""
        pause_s = max(0.0, self._resume_at - time.monotonic())
        want = 0 if self._stop or pause_s or self._may_tell else max(0, self._limits.concurrency - len(self._in_flight))
        if not want and not ends:
            return Hold.BUSY, pause_s or None
        exchange = self._commit(ends, want)
        if want:
            self._give_up_at = None
        for call in exchange.calls:
            self._in_flight[call.attempt_id] = asyncio.create_task(self._call(call))
            self._newest_attempt = max(self._newest_attempt, call.attempt_id)
        self._on_progress(self._progress)
        match exchange.hold:
            case Hold.RATE | Hold.SETTLING:
                assert exchange.retry_at_us is not None
                return exchange.hold, max(0.0, (from_us(exchange.retry_at_us) - datetime.now(UTC)).total_seconds())
            case Hold.WINDOW if self._patience.wait_for_window:
                assert self._limits.window is not None
                now = datetime.now(UTC)
                return Hold.WINDOW, (self._limits.window.next_opening(now) - now).total_seconds()
            case Hold.BUSY | None if pause_s:
                return exchange.hold, pause_s
            case None if not exchange.calls:
                return None, 0.0  # nobody is left in the next chunks: ask again at once
            case hold:
                return hold, None

    def _commit(self, ends: Sequence[CallEnd], want: int) -> Exchange:
        began = time.monotonic()
        try:
            return self._sender.exchange(ends, want=want, limits=self._limits, now=datetime.now(UTC))
        finally:
            self._client.stood_still(time.monotonic() - began)

    async def _outlast(self, failure: LedgerFailed, ends: Sequence[CallEnd]) -> None:
        """The ledger could not be written: claim nothing, wait for the calls that are out, and try again for a while.

        Returns when the ledger has taken everything; a full disk may have room for that, and still none for the next
        call, so the patience goes on then. Otherwise raises a `LedgerFailed` once nothing is out any more, and the next
        run finds in the side file what could not be recorded. A signal ends the patience.
        """
        give_up_at = self._give_up_at = self._give_up_at or time.monotonic() + _LEDGER_PATIENCE_S
        unrecorded = list(ends)
        kept = self._keep(ends)
        while self._in_flight or not (failure.lasting or self._asked_before or time.monotonic() > give_up_at):
            ends = await self._wait(_LEDGER_PAUSE_S)
            for end in ends:
                self._learn(end)
            unrecorded += ends
            kept = self._keep(ends) and kept
            if not failure.lasting:
                try:
                    self._commit(unrecorded, want=0)
                except LedgerFailed as again:
                    failure = again
                else:
                    self._side_file.clear()
                    return
        raise self._given_up(failure, len(unrecorded), kept)

    def _keep(self, ends: Sequence[CallEnd]) -> bool:
        try:
            self._side_file.keep(ends)
        except OSError:  # its room was taken beforehand, but a disk may break as a whole
            return False
        return True

    def _given_up(self, failure: LedgerFailed, unrecorded: int, kept: bool) -> Stopped:
        with suppress(OSError):
            self._side_file.keep_that_no_call_was_made_after(self._newest_attempt)
        if not unrecorded:
            return failure
        calls = "1 call" if unrecorded == 1 else f"{unrecorded} calls"
        if kept:
            return LedgerFailed(
                f"{failure.message} What {calls} came to stands in {self._side_file.path}; leave it there."
            )
        return LedgerFailed(f"{failure.message} What {calls} came to could not be kept either: they will be unknown.")

    async def _drain(self) -> None:
        while self._in_flight:
            if ends := await self._wait(None):
                with suppress(Stopped):
                    self._commit(ends, want=0)

    async def _wait(self, seconds: float | None) -> list[CallEnd]:
        """Until a call comes back, the time is over, or a signal comes; returns the calls that came back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds is None else min(seconds, _LONGEST_SLEEP_S)):
                await self._wake.wait()
                for _ in range(_TURNS_TO_GATHER):
                    await asyncio.sleep(0)
        self._wake.clear()
        ends, self._ends = self._ends, []
        return ends

    async def _call(self, call: ClaimedCall) -> None:
        try:
            result = await self._client.send_sms(call.request, not_after=call.not_after_boot_s)
        except asyncio.CancelledError:
            result = CallResult(Verdict.UNKNOWN, Action.STOP, "interrupted")
        except Exception as error:  # noqa: BLE001  (a defect of ours: the call's fate is recorded before it is raised)
            self._defect = error
            result = CallResult(Verdict.UNKNOWN, Action.STOP, "client_defect")
        agrees = receipt_agrees(call, result.receipt) if call.canary and result.receipt is not None else None
        self._ends.append(CallEnd(call, result, datetime.now(UTC), agrees))
        del self._in_flight[call.attempt_id]
        self._wake.set()

    def _learn(self, end: CallEnd) -> None:
        """Count what came back and decide whether, and when, the next call may follow."""
        result = end.result
        code = f"{result.reason} at {self._client.host}" if result.blame is Blame.HOST else result.reason
        said = f"{code}: {result.messages[0]}" if result.messages else code
        receipt = result.receipt
        if receipt is not None and not receipt.consistent and receipt.recipients_count is not None:
            said += f"; of {len(end.call.rows)} people the receipt counts {receipt.recipients_count}"
            said += f", and {receipt.unsupported_count} as unsupported" if receipt.unsupported_count else ""
        self._progress = replace(
            self._progress,
            calls=self._progress.calls + 1,
            recipients=self._progress.recipients + (len(end.call.rows) if result.verdict is Verdict.ACCEPTED else 0),
            spent_ugx=self._progress.spent_ugx + ((receipt.sms_cost_ugx or 0) if receipt is not None else 0),
            unknown_calls=self._progress.unknown_calls + (result.verdict is Verdict.UNKNOWN),
        )
        match result.verdict:
            case Verdict.ACCEPTED:
                self._rests_in_a_row = self._unknown_in_a_row = self._refused_in_a_row = 0
                # It went alone, so the balance that it named is that of a moment with nothing in flight.
                self._may_tell = self._may_tell or self._unsettled
            case Verdict.UNKNOWN:
                self._unknown_in_a_row += 1
                self._go_one_by_one()
                self._may_tell = True
                if self._unknown_in_a_row >= self._patience.pause_after_unknown:
                    self._ask_to_stop(StopReason.UNKNOWN_IN_A_ROW, said)
            case Verdict.REFUSED:
                self._refused_in_a_row += result.blame is Blame.CALL
                if self._refused_in_a_row >= self._patience.pause_after_refused:
                    self._ask_to_stop(StopReason.REFUSED_IN_A_ROW, said)
            case Verdict.NOT_SENT:
                pass
            case _:
                assert_never(result.verdict)
        match result.action:
            case Action.GO_ON:
                pass
            case Action.BACK_OFF:
                wait_s = min(_LONGEST_BACK_OFF_S, _FIRST_BACK_OFF_S * 2**self._rests_in_a_row)
                self._rest(wait_s * random.uniform(0.5, 1), StopReason.NO_CONNECTION, said)  # noqa: S311 - jitter
            case Action.SLOW_DOWN:
                wait_s = result.retry_after_s if result.retry_after_s is not None else 5.0
                if wait_s > LONGEST_WAIT_S:
                    until = (end.ended_at + timedelta(seconds=min(wait_s, _FAR_AHEAD_S))).astimezone(KAMPALA)
                    said = f"it asks for {wait_s:,.0f} s, until {until:%Y-%m-%d %H:%M} in Kampala"
                if self._rest(wait_s, StopReason.RATE_LIMITED, said):
                    rate = self._limits.calls_per_second
                    slower = max(rate / 2, min(rate, _SLOWEST_CALLS_PER_SECOND)) or 5.0
                    self._limits = replace(self._limits, calls_per_second=slower)
            case Action.SPLIT:
                if len(end.call.rows) == 1:
                    self._ask_to_stop(StopReason.API, said)
            case Action.PAUSE | Action.STOP:
                self._ask_to_stop(_STOP_OF[result.blame], said)
            case _:
                assert_never(result.action)

    def _go_one_by_one(self) -> None:
        """Until the unknown calls are settled: the fewer are open, the more the balance can tell."""
        self._unsettled = True
        self._limits = replace(self._limits, concurrency=1)

    def _look_again(self) -> None:
        self._may_tell = False
        if self._asked_before:
            return  # whoever wants it to end does not wait for a reading; the next start looks again
        if self._settle():
            self._unsettled = False
            self._limits = replace(self._limits, concurrency=self._concurrency)
        elif not self._unknown_in_a_row:
            self._unsettled = False  # a balance from after it told nothing; a further one tells no more

    def _rest(self, seconds: float, reason: StopReason, said: str) -> bool:
        """Claim nothing for so long; stop when that has helped too often in vain. Whether this begins a new rest:
        calls that were out together all come back with the same trouble, and that is one."""
        now = time.monotonic()
        begins = now >= self._resume_at
        self._rests_in_a_row += begins
        if self._rests_in_a_row >= MAX_TRIES_IN_A_ROW or seconds > LONGEST_WAIT_S:
            self._ask_to_stop(reason, said)
        self._resume_at = max(self._resume_at, now + seconds)
        return begins

    def _ask_to_stop(self, reason: StopReason, detail: str | None) -> None:
        """Stop claiming; calls in flight are drained. The first reason stands."""
        self._stop = self._stop or RunEnd(reason, detail)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM, a closed terminal and one Ctrl-C drain; a second one gives the calls in flight up as unknown.

        Prefect cancels a run by SIGTERM, too, and kills it half a minute later; no call may take longer than 25 s.
        What is ignored, as SIGHUP is under nohup, stays ignored. The handlers are put back.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers; whoever runs us in another one stops us otherwise
            return
        loop = asyncio.get_running_loop()

        def on_signal(number: int, _: object) -> None:
            loop.call_soon_threadsafe(self._on_signal, signal.Signals(number).name)

        before = {
            number: signal.signal(number, on_signal)
            for number in _STOP_SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, name: str) -> None:
        if self._asked_before:
            if self._in_flight and self._stop is not None and self._stop.reason is StopReason.SIGNAL:
                self._stop = RunEnd(StopReason.SIGNAL, name + SIGNALLED_TWICE)
            for task in self._in_flight.values():
                # Behind the first step of each, which is where a call begins to catch its cancellation.
                asyncio.get_running_loop().call_soon(task.cancel)
        self._asked_before = True
        self._ask_to_stop(StopReason.SIGNAL, name)
        self._wake.set()


def receipt_agrees(call: ClaimedCall, receipt: Receipt) -> bool | None:
    """Whether a canary's receipt has the segments and the cost of the estimate; None when nobody was counted."""
    unsupported = {contact.e164 for contact in receipt.unsupported}
    if receipt.recipients_count == 0 or unsupported >= set(call.request.recipients):
        return None
    supported_ugx = sum(
        cost
        for recipient, cost in zip(call.request.recipients, call.estimates_ugx, strict=True)
        if recipient not in unsupported
    )
    return receipt.message_count == call.segments and receipt.sms_cost_ugx in (supported_ugx, call.expected_ugx)


def _reason_of(hold: Hold | None) -> StopReason:
    match hold:
        case Hold.NOTHING_LEFT | None:
            return StopReason.NOTHING_LEFT
        case Hold.WINDOW:
            return StopReason.OUTSIDE_WINDOW
        case Hold.BUDGET:
            return StopReason.BUDGET
        case Hold.DAY_BUDGET:
            return StopReason.DAY_BUDGET
        case Hold.BALANCE:
            return StopReason.BALANCE
        case Hold.CANARY:
            return StopReason.CANARY
        case Hold.APPROVAL:
            return StopReason.APPROVAL
        case Hold.PAUSED:
            return StopReason.PAUSED
        case Hold.CANCELLED:
            return StopReason.CANCELLED
        case Hold.BUSY | Hold.RATE | Hold.SETTLING:
            raise AssertionError(f"nothing in flight, and yet {hold}")
        case _:
            assert_never(hold)
