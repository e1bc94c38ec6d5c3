"""The queue of an account's turns, simulated: any number of senders, each of which wakes up late by chance."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from mambo_io.turns import Turns

GRACE_US = 100_000


def simulated(senders: int, per_second: float, late_us: int, calls: int) -> list[tuple[int, int]]:
    """When which sender called, microseconds from the start. Each of them always has a call to make."""
    chance, interval_us, next_us = random.Random(senders), round(1e6 / per_second), 0
    own: dict[int, int | None] = dict.fromkeys(range(senders))
    awake = [(chance.randint(0, late_us), sender) for sender in range(senders)]
    heapq.heapify(awake)
    made: list[tuple[int, int]] = []
    while len(made) < calls:
        now_us, sender = heapq.heappop(awake)
        turns = Turns(interval_us, next_us, own[sender])
        while turns.has_come(now_us):
            made.append((now_us, sender))
            turns.use()
        own[sender], next_us = turns.own_us, turns.next_us
        assert turns.own_us is not None
        heapq.heappush(awake, (turns.own_us + chance.randint(0, late_us), sender))
    return made


@pytest.mark.parametrize("per_second", [0.5, 5, 20, 50, 200])
@pytest.mark.parametrize("senders", [1, 2, 4, 32])
def test_the_rate_is_reached_held_and_shared(senders: int, per_second: float) -> None:
    made = simulated(senders, per_second, late_us=GRACE_US // 2, calls=1000)
    took_s = (made[-1][0] - made[0][0]) / 1e6
    assert 0.98 <= len(made) / took_s / per_second <= 1.03
    counts = Counter(sender for _, sender in made)
    assert len(counts) == senders
    assert max(counts.values()) - min(counts.values()) <= 2 + 2 * GRACE_US * per_second / 1e6
    grace_us = max(GRACE_US, 1e6 / per_second)
    for first in range(0, len(made), 7):
        for last in range(first, min(first + 400, len(made))):
            assert last - first <= (made[last][0] - made[first][0] + grace_us) * per_second / 1e6 + 1e-6


def test_a_turn_that_nobody_came_for_is_lost_and_the_queue_goes_on() -> None:
    gone = Turns(interval_us=200_000, next_us=1_000_000, own_us=None)
    assert not gone.has_come(900_000)
    assert (gone.own_us, gone.next_us) == (1_000_000, 1_200_000)
    assert gone.has_come(1_200_000), "one interval late"
    late = Turns(interval_us=200_000, next_us=1_200_000, own_us=1_000_000)
    assert late.has_come(9_000_000)
    assert late.next_us == 9_000_000, "one call makes up for it, and no more"


def test_what_a_wrong_clock_has_noted_holds_nobody_up() -> None:
    three_hours_us = 3 * 3600 * 1_000_000
    turns = Turns(interval_us=1_000_000, next_us=three_hours_us, own_us=three_hours_us)
    assert turns.has_come(0)
