"""What the money tells of unknown calls, by examples. A message costs UGX 50; the balance was 10,000."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pipelines.settlement import Charged, Conclusion, Doubt, Fate, Reading, settle

BEFORE = Reading(0, 10_000)
OURS, THEIRS = 1, 2  # campaigns
SENT, NOT_SENT, OPEN = Conclusion(Fate.SENT), Conclusion(Fate.NOT_SENT, 0), Conclusion(Fate.OPEN)


def sent(cost_ugx: int) -> Conclusion:
    return Conclusion(Fate.SENT, cost_ugx)


@dataclass(frozen=True)
class Example:
    """`unknown`: the lowest and the highest cost of each unknown call, all made at moment 10."""

    balance_ugx: int
    unknown: tuple[tuple[int, int], ...]
    concluded: tuple[Conclusion, ...]
    charged: tuple[Charged, ...] = ()
    trouble: str = ""
    accepted: frozenset[int] = field(default_factory=frozenset)  # of which of them only the cost is not known
    clocks_differ: int = 0


EXAMPLES = {
    "it was sent": Example(9_500, ((500, 500),), (sent(500),)),
    "it was not sent": Example(10_000, ((500, 500),), (NOT_SENT,)),
    "one of two, told apart by their sizes": Example(9_500, ((500, 500), (450, 450)), (sent(500), NOT_SENT)),
    "both": Example(9_050, ((500, 500), (450, 450)), (sent(500), sent(450))),
    "one of two that cost the same": Example(9_500, ((500, 500), (500, 500)), (OPEN, OPEN)),
    "both of two that cost the same": Example(9_000, ((500, 500), (500, 500)), (sent(500), sent(500))),
    "500 is one call, or the two others": Example(9_500, ((500, 500), (300, 300), (200, 200)), (OPEN, OPEN, OPEN)),
    "a part of it was not reached": Example(9_600, ((350, 500),), (sent(400),)),
    "less than it can have cost": Example(
        9_800, ((350, 500),), (OPEN,), trouble="UGX 200 are missing from the balance, and no unknown call explains it"
    ),
    "perhaps nobody in it was reached": Example(10_000, ((0, 500),), (OPEN,)),
    "more is missing than the unknown calls explain": Example(
        9_000, ((500, 500),), (OPEN,), trouble="UGX 1,000 are missing"
    ),
    "the balance rose": Example(10_500, ((500, 500),), (OPEN,), trouble="the balance rose"),
    "a top-up between two replies, hidden by what is missing later": Example(
        9_400,
        ((500, 500),),
        (OPEN,),
        charged=(Charged(OURS, 1, 2, 100, 10_400), Charged(OURS, 20, 21, 500, 9_400)),
        trouble="the balance rose",
    ),
    "beside known charges": Example(
        9_000, ((200, 200),), (sent(200),), charged=(Charged(OURS, 1, 2, 100, 9_900), Charged(OURS, 20, 21, 700, 9_000))
    ),
    "it was made after what is missing was taken": Example(
        9_400, ((500, 500),), (OPEN,), charged=(Charged(OURS, 1, 2, 100, 9_400),), trouble="UGX 500 are missing"
    ),
    "replies of calls that overlap, in the other order": Example(
        9_200, ((500, 500),), (sent(500),), charged=(Charged(OURS, 1, 9, 100, 9_700), Charged(OURS, 2, 8, 200, 9_800))
    ),
    "replies in an order that cannot be": Example(
        9_700,
        ((500, 500),),
        (OPEN,),
        charged=(Charged(OURS, 5, 6, 200, 9_800), Charged(OURS, 1, 2, 100, 9_700)),
        trouble="the balances that the API named fit no order of the calls",
    ),
    "accepted, and only its cost is not known": Example(9_600, ((0, 500),), (sent(400),), accepted=frozenset({0})),
    "accepted, and its cost covers for another": Example(
        9_500, ((0, 500), (500, 500)), (SENT, OPEN), accepted=frozenset({0})
    ),
    "of another machine, whose clock may be 9 behind: perhaps it was the call, perhaps it was not": Example(
        9_400,
        ((500, 500), (500, 500)),
        (OPEN, OPEN),
        charged=(Charged(THEIRS, 1, 2, 100, 9_400),),
        clocks_differ=9,
    ),
    "of another machine, whose clock may be no more than 8 behind": Example(
        9_400,
        ((500, 500),),
        (OPEN,),
        charged=(Charged(THEIRS, 1, 2, 100, 9_400),),
        trouble="UGX 500 are missing",
        clocks_differ=8,
    ),
    "replies of two machines, in an order that cannot be by one clock": Example(
        9_200,
        ((500, 500),),
        (sent(500),),
        charged=(Charged(OURS, 5, 6, 200, 9_800), Charged(THEIRS, 1, 2, 100, 9_700)),
        clocks_differ=3,
    ),
    "too many": Example(9_500, ((500, 500),) * 11, (OPEN,) * 11, trouble="11 calls are unknown"),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_what_every_explanation_shares_is_concluded(example: Example) -> None:
    doubts = [
        Doubt(number, OURS, 10, low, high, was_sent=number in example.accepted)
        for number, (low, high) in enumerate(example.unknown)
    ]
    settlement = settle(
        BEFORE, Reading(100, example.balance_ugx), example.charged, doubts, clocks_differ_us=example.clocks_differ
    )
    assert (settlement.trouble or "")[: len(example.trouble) or None] == example.trouble
    assert tuple(settlement.conclusions[doubt.attempt] for doubt in doubts) == example.concluded
