"""What became of unknown calls, told by the money: which of them explain what is missing from the balance.

Between two moments at which nothing was in flight, the balance fell by what the known calls were charged and by what
the unknown ones were, if they were sent. Each reply of the API also names the balance behind it, and a charge always
lowers it, so the replies stand in one order, and what is missing between two of them was taken in between.

Every way to place the unknown calls into these gaps is tried, and of each call only that is concluded which all ways
share. A call may have cost anything from `low_ugx` to `high_ugx`, because contacts in it may be unsupported. Nothing is
concluded where no way fits, where the balance rose, or where the replies fit no order at all: then somebody else uses
the account, or the price is another one (the ledger page, "Settlement").

The calls of one campaign edition were made by one clock. Those of two may have been made by two, on two machines, and
which of them came first is not known where their times are closer than the clocks may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_DOUBTS = 10  # unknown calls that are told apart at once
_MOST_WAYS = 200_000


@dataclass(frozen=True, slots=True)
class Reading:
    """The balance (UGX) at a moment at which no call of the account was in flight."""

    at_us: int
    balance_ugx: int


@dataclass(frozen=True, slots=True)
class Charged:
    """An accepted call whose charge is known, and the balance that its reply named."""

    campaign_id: int
    intent_us: int
    ended_us: int
    charged_ugx: int
    balance_ugx: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """A call of which it is not known whether it was sent, or (`was_sent`) only what it cost."""

    attempt: int
    campaign_id: int
    intent_us: int
    low_ugx: int
    high_ugx: int
    was_sent: bool = False


class Fate(StrEnum):
    SENT = "sent"
    NOT_SENT = "not_sent"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """`cost_ugx` is what the call was charged, where every explanation says the same."""

    fate: Fate
    cost_ugx: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """A conclusion for each doubt, by attempt; `trouble` says why nothing at all could be concluded."""

    missing_ugx: int
    conclusions: dict[int, Conclusion]
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class _Gap:
    missing_ugx: int
    until_us: int  # the call behind the gap had been answered by then
    campaign_id: int | None  # by whose clock; None: both readings were named while nothing was in flight

    def may_hold(self, doubt: Doubt, clocks_differ_us: int) -> bool:
        """Whether the call may have been executed before the gap's end."""
        is_of_one_clock = self.campaign_id in (None, doubt.campaign_id)
        return doubt.intent_us < self.until_us + (0 if is_of_one_clock else clocks_differ_us)


def settle(
    before: Reading,
    after: Reading,
    charged: Sequence[Charged],
    doubts: Sequence[Doubt],
    *,
    clocks_differ_us: int = 0,
) -> Settlement:
    """Explain what is missing between two readings.

    `clocks_differ_us` is how far apart the clocks of two campaign editions may be. `charged` are the accepted calls
    between them, `doubts` the others that may have been sent in that time. Calls that are proved not to have been sent,
    or were refused, have no part in it.
    """
    missing_ugx = before.balance_ugx - after.balance_ugx - sum(call.charged_ugx for call in charged)

    def nothing(trouble: str) -> Settlement:
        return Settlement(missing_ugx, {doubt.attempt: Conclusion(Fate.OPEN) for doubt in doubts}, trouble)

    # A call that cost nothing stands behind the one that left the same balance.
    order = sorted(charged, key=lambda call: (-call.balance_ugx, call.charged_ugx == 0, call.intent_us))
    if not _possible(order, clocks_differ_us):
        return nothing("the balances that the API named fit no order of the calls: somebody else uses this account")
    gaps = list(_gaps(before, after, order))
    if any(gap.missing_ugx < 0 for gap in gaps):
        return nothing("the balance rose: a top-up, a refund or another price")
    if len(doubts) > MOST_DOUBTS:
        return nothing(f"{len(doubts)} calls are unknown, and no more than {MOST_DOUBTS} can be told apart")
    # The price of a call that was charged is known; a gap in which nothing is missing holds only calls that were free.
    open_gaps = [gap for gap in gaps if gap.missing_ugx > 0]
    ways: list[tuple[int | None, ...]] = []
    for way in _ways(doubts, open_gaps, clocks_differ_us):
        ways.append(way)
        if len(ways) > _MOST_WAYS:
            return nothing("too many explanations fit")
    if not ways:
        return nothing(
            f"UGX {missing_ugx:,} are missing from the balance, and no unknown call explains it"
            if missing_ugx
            else "nothing is missing from the balance, but a call that was accepted must have cost something"
        )
    return Settlement(
        missing_ugx,
        {doubt.attempt: _conclude(index, doubts, open_gaps, ways) for index, doubt in enumerate(doubts)},
    )


_FREE = -1  # the place of a call that was sent and cost nothing


def _possible(order: Sequence[Charged], clocks_differ_us: int) -> bool:
    """Whether the calls can have been executed in this order: none after one that began when it had been answered."""
    latest_intent_us = 0
    latest_of: dict[int, int] = {}  # by campaign
    for call in order:
        own_us = latest_of.get(call.campaign_id, 0)
        if call.ended_us < own_us or call.ended_us + clocks_differ_us < latest_intent_us:
            return False
        latest_of[call.campaign_id] = max(own_us, call.intent_us)
        latest_intent_us = max(latest_intent_us, call.intent_us)
    return True


def _gaps(before: Reading, after: Reading, order: Sequence[Charged]) -> Iterator[_Gap]:
    balance_ugx = before.balance_ugx
    for call in order:
        yield _Gap(balance_ugx - call.charged_ugx - call.balance_ugx, call.ended_us, call.campaign_id)
        balance_ugx = call.balance_ugx
    yield _Gap(balance_ugx - after.balance_ugx, after.at_us, None)


def _ways(doubts: Sequence[Doubt], gaps: Sequence[_Gap], clocks_differ_us: int) -> Iterator[tuple[int | None, ...]]:
    """Every way to give each doubt a gap, no place (None: not sent) or `_FREE`, so that each gap is explained."""

    def place(index: int, lows: tuple[int, ...], highs: tuple[int, ...]) -> Iterator[tuple[int | None, ...]]:
        if index == len(doubts):
            if all(
                low <= gap.missing_ugx <= high and high > 0 for low, high, gap in zip(lows, highs, gaps, strict=True)
            ):
                yield ()
            return
        doubt = doubts[index]
        if not doubt.was_sent:
            yield from ((None, *rest) for rest in place(index + 1, lows, highs))
        if doubt.low_ugx <= 0:
            yield from ((_FREE, *rest) for rest in place(index + 1, lows, highs))
        for number, gap in enumerate(gaps):
            low = lows[number] + doubt.low_ugx
            if gap.may_hold(doubt, clocks_differ_us) and low <= gap.missing_ugx:
                yield from (
                    (number, *rest)
                    for rest in place(
                        index + 1,
                        (*lows[:number], low, *lows[number + 1 :]),
                        (*highs[:number], highs[number] + doubt.high_ugx, *highs[number + 1 :]),
                    )
                )

    return place(0, (0,) * len(gaps), (0,) * len(gaps))


def _conclude(
    index: int, doubts: Sequence[Doubt], gaps: Sequence[_Gap], ways: Sequence[tuple[int | None, ...]]
) -> Conclusion:
    places = {way[index] for way in ways}
    if places == {None}:
        return Conclusion(Fate.NOT_SENT, 0)
    if None in places:
        return Conclusion(Fate.OPEN)
    costs = {_cost_ugx(index, way, doubts, gaps) for way in ways}
    return Conclusion(Fate.SENT, costs.pop() if len(costs) == 1 else None)


def _cost_ugx(index: int, way: tuple[int | None, ...], doubts: Sequence[Doubt], gaps: Sequence[_Gap]) -> int | None:
    """What this call cost in one explanation; None when the explanation leaves it open."""
    place = way[index]
    if place is None or place == _FREE:
        return 0
    together = [doubt for doubt, other in zip(doubts, way, strict=True) if other == place]
    if len(together) == 1:
        return gaps[place].missing_ugx
    if sum(doubt.high_ugx for doubt in together) == gaps[place].missing_ugx:
        return doubts[index].high_ugx
    if sum(doubt.low_ugx for doubt in together) == gaps[place].missing_ugx:
        return doubts[index].low_ugx
    return None
