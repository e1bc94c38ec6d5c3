"""Back-off, slow-down and breaker of the send loop: for how long it waits, and after how much trouble it stops.

Where only the length of a wait is asked for, the clock stands still until the wait is over, and nothing is sent. Where
calls are made, they go to a real server, and waits pass a thousand times as fast.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mambo_io.call_ends import CallEnd, ClaimedCall
from mambo_io.client import AsyncMamboClient
from mambo_io.model import CallResult, StopReason
from mambo_io.side_file import SideFile
from mambo_io.store import Store
from mambo_io.verdicts import judge_reply
from pipelines import sending
from pipelines.sending import Patience, RunEnd, SendLoop
from support.failure_model import KEY, answer, answer_well, refusal
from support.ledgers import NO_LIMITS, Run, good_reply, no_connection, plan
from support.raw_server import Behaviour, Call, serving

PEOPLE = 6


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Iterator[Store]:
    with Store(str(shutil.copy(empty_ledger, tmp_path))) as store:
        yield store


@contextmanager
def loop_of(
    store: Store, url: str = "http://127.0.0.1:9", *, rate: float = 0, unknown: int = 2, refused: int = 2
) -> Iterator[tuple[Run, SendLoop]]:
    """A send loop of six calls to one person each; how many unknown or refused ones in a row are too many."""
    patience = Patience(wait_for_window=False, pause_after_unknown=unknown, pause_after_refused=refused)
    with store.writer() as connection:
        run = Run.of(connection, plan(*[1] * PEOPLE))
        run.sender.side_file = SideFile(store.aside(run.campaign.id), "run")  # for what the ledger does not take
        client = AsyncMamboClient(base_url=url, api_key=KEY)
        yield run, SendLoop(run.sender, client, replace(NO_LIMITS, concurrency=1, calls_per_second=rate), patience)


# --- For how long ---------------------------------------------------------------------------------------------------


class Clock:
    """Stands still until a wait is over."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait_after(self, loop: SendLoop, end: CallEnd) -> float:
        """For how long nothing is claimed after that, in seconds; they are over then."""
        loop._learn(end)
        before, self.now = self.now, max(self.now, loop._resume_at)
        return self.now - before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sending, "time", clock)
    monkeypatch.setattr(sending, "MAX_TRIES_IN_A_ROW", 1000)
    return clock


def slow_down(call: ClaimedCall, retry_after: str | None) -> CallResult:
    return judge_reply(429, b"", call.request, headers={"retry-after": retry_after} if retry_after else {})


def test_back_off_doubles_up_to_half_a_minute_and_differs_each_time(ledger: Store, clock: Clock) -> None:
    with loop_of(ledger) as (run, loop):
        end = run.end(run.claim_one(), no_connection())
        waits = [clock.wait_after(loop, end) for _ in range(60)]

    for tries, wait_s in enumerate(waits):
        longest_s = min(30, 2**tries)
        assert longest_s / 2 <= wait_s <= longest_s
    at_the_cap = waits[5:]
    assert max(at_the_cap) - min(at_the_cap) > 3, "senders that failed together do not come back together"


def test_back_off_begins_anew_after_a_good_answer(ledger: Store, clock: Clock) -> None:
    with loop_of(ledger) as (run, loop):
        call = run.claim_one()
        for _ in range(5):
            clock.wait_after(loop, run.end(call, no_connection()))
        assert clock.wait_after(loop, run.end(call, good_reply(call))) == 0
        assert clock.wait_after(loop, run.end(call, no_connection())) <= 1


@pytest.mark.parametrize(("retry_after", "wait_s"), [("0", 0), ("7", 7), ("300", 300), (None, 5), ("soon", 5)], ids=str)
def test_retry_after_is_honoured(retry_after: str | None, wait_s: float, ledger: Store, clock: Clock) -> None:
    with loop_of(ledger) as (run, loop):
        call = run.claim_one()
        assert clock.wait_after(loop, run.end(call, slow_down(call, retry_after))) == wait_s


@pytest.mark.parametrize(
    ("retry_after", "until"),
    [
        ("301", r"it asks for 301 s, until 2026-03-02 12:0[56] in Kampala"),
        ("86400", "it asks for 86,400 s, until 2026-03-03 12:0[01] in Kampala"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", r"it asks for 2\d\d,\d{3},\d{3},\d{3} s, until 2057-11-0\d .*"),
    ],
)
def test_a_longer_one_stops_the_run_and_says_until_when(
    retry_after: str, until: str, ledger: Store, clock: Clock
) -> None:
    """So that the campaign goes on by itself once that is over (`rate_limited` is healed by time)."""
    with loop_of(ledger) as (run, loop):
        call = run.claim_one()
        loop._learn(run.end(call, slow_down(call, retry_after)))
        assert loop._stop is not None
        assert loop._stop.reason is StopReason.RATE_LIMITED
        assert re.fullmatch(until, loop._stop.detail or "")


def test_of_calls_that_were_out_together_the_longest_wait_counts(ledger: Store, clock: Clock) -> None:
    with loop_of(ledger) as (run, loop):
        call, began = run.claim_one(), clock.now
        for retry_after in ("7", "30", "3"):
            loop._learn(run.end(call, slow_down(call, retry_after)))
        assert loop._resume_at - began == 30


@pytest.mark.parametrize(
    ("rate", "rates"),
    [(8, [4, 2, 1, 0.5, 0.5]), (0, [5, 2.5, 1.25, 0.625, 0.5]), (0.2, [0.2, 0.2])],
    ids=["eight a second", "no limit", "slow already"],
)
def test_each_429_halves_the_rate_down_to_one_call_in_two_seconds(
    rate: float, rates: Sequence[float], ledger: Store, clock: Clock
) -> None:
    with loop_of(ledger, rate=rate) as (run, loop):
        call = run.claim_one()
        end = run.end(call, slow_down(call, "7"))
        found = []
        for _ in rates:
            clock.wait_after(loop, end)
            found.append(loop._limits.calls_per_second)
    assert found == rates


# --- After how much -------------------------------------------------------------------------------------------------

UNKNOWN, REFUSED = answer(b"", "500 Oops"), answer(refusal(400), "400 Bad")
BAD_KEY, SLOW, WELL = answer(b"", "401 No"), answer(b"", "429 Slow", "Retry-After: 7"), answer_well


def a_thousand_times_as_fast() -> float:
    return 1000 * time.monotonic()


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=a_thousand_times_as_fast))
    monkeypatch.setattr(sending, "_LONGEST_SLEEP_S", 0.002)


def send(store: Store, story: Sequence[Behaviour], *, unknown: int = 2, refused: int = 2) -> tuple[RunEnd, list[float]]:
    """What a campaign ends with whose calls meet this one after the other, the last for ever; when they came."""
    came: list[float] = []

    async def behave(call: Call) -> None:
        came.append(a_thousand_times_as_fast())
        await story[min(len(came), len(story)) - 1](call)

    with (
        serving(behave) as server,
        loop_of(store, server.url, rate=1000, unknown=unknown, refused=refused) as (_, loop),
    ):

        async def run() -> RunEnd:
            async with loop._client:
                return await loop.run()

        return asyncio.run(run()), came


STORIES = {
    # story, calls that are made, why they end
    "two unknown": ([WELL, UNKNOWN], 3, StopReason.UNKNOWN_IN_A_ROW),
    "two refused": ([WELL, REFUSED], 3, StopReason.REFUSED_IN_A_ROW),
    "unknown, but not in a row": ([UNKNOWN, WELL, UNKNOWN, WELL], 6, StopReason.NOTHING_LEFT),
    "refused, but not in a row": ([REFUSED, WELL, REFUSED, WELL], 6, StopReason.NOTHING_LEFT),
    "one of each": ([UNKNOWN, REFUSED, WELL], 6, StopReason.NOTHING_LEFT),
    "one 401": ([WELL, BAD_KEY], 2, StopReason.ACCOUNT),
    "429 for ever": ([SLOW], 6, StopReason.RATE_LIMITED),
    "429, and well again": ([SLOW, SLOW, SLOW, SLOW, SLOW, WELL], 11, StopReason.NOTHING_LEFT),
}


@pytest.mark.usefixtures("fast_clock")
@pytest.mark.parametrize(("story", "calls", "reason"), STORIES.values(), ids=STORIES.keys())
def test_how_much_trouble_is_too_much(
    story: Sequence[Behaviour], calls: int, reason: StopReason, ledger: Store
) -> None:
    end, came = send(ledger, story)

    assert (end.reason, len(came)) == (reason, calls)


@pytest.mark.usefixtures("fast_clock")
@pytest.mark.parametrize("most", [1, 2, 4])
@pytest.mark.parametrize("trouble", [UNKNOWN, REFUSED], ids=["unknown", "refused"])
def test_how_many_in_a_row_is_a_setting(trouble: Behaviour, most: int, ledger: Store) -> None:
    unknown, refused = (most, 99) if trouble is UNKNOWN else (99, most)
    _, came = send(ledger, [trouble], unknown=unknown, refused=refused)

    assert len(came) == most


@pytest.mark.usefixtures("fast_clock")
def test_no_call_is_made_before_retry_after_is_over(ledger: Store) -> None:
    _, came = send(ledger, [WELL, SLOW, WELL])

    assert came[2] - came[1] >= 7
