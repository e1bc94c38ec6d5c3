"""Simulated campaigns over one account, with faults whose truth is known: does the settlement ever conclude wrongly?

Every call is executed by the API at some moment between its intent and its end, or not at all; replies of concurrent
calls come in any order; an answer may be lost, and the process may be killed with calls in flight. `python -m
support.simulated_account` prints the share that is resolved, by concurrency, kind of campaign and faults.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product

from mambo_io.doubts import TOPPED_UP, AccountCall, BalanceReading, Unseen
from mambo_io.model import Verdict
from pipelines.judging import judge
from pipelines.settlement import Fate

PRICE_UGX = 50
CHUNK_SIZE = 100
SECOND_US = 1_000_000
UNREACHED = "Lyca"
NETWORKS = ("MTN", "Airtel", UNREACHED)


@dataclass(frozen=True)
class World:
    """What a simulated campaign is like. Those from `others_use_it` on are outside of what the settlement assumes."""

    concurrency: int = 2
    personalised: bool = False  # equal calls to one person each
    lost_answers: float = 0.03  # share of calls whose answer is lost
    unsupported: bool = True  # one network is not reached, and not charged
    password: bool = True  # the balance is read before and after
    clocks_differ_us: int = 0  # two campaigns, on two machines whose clocks differ by so much
    told: bool = True  # and the settlement knows that they may
    others_use_it: bool = False
    late_execution: bool = False  # a call may be executed long after it was given up
    top_up: bool = False
    entered: bool = False  # the top-up, by hand, with its hour: then it is within


@dataclass
class _Call:
    attempt: int
    people: dict[str, int]  # by network
    intent_us: int
    end_us: int
    executed_us: int | None = None
    cost_ugx: int = 0
    answered: bool = False
    balance_ugx: int | None = None
    clock_off_us: int = 0

    @property
    def expected_ugx(self) -> int:
        return PRICE_UGX * sum(self.people.values())


@dataclass
class Campaign:
    """One simulated campaign; `run()` and then `conclusions()`."""

    world: World
    random: random.Random
    calls: list[_Call] = field(default_factory=list)
    readings: list[BalanceReading] = field(default_factory=list)
    now_us: int = SECOND_US
    clock_off_us: int = field(init=False)  # of the second machine
    other_ugx: list[tuple[int, int]] = field(
        default_factory=list
    )  # when, what somebody else took; a top-up is negative

    def __post_init__(self) -> None:
        off_us = self.world.clocks_differ_us
        self.clock_off_us = self.random.choice([off_us, -off_us]) if off_us else 0

    def run(self, wanted: int = 24) -> None:
        world, draw = self.world, self.random
        now_us = self.now_us
        if world.password:
            now_us = self._read(now_us)
        concurrency, unknown_in_a_row = world.concurrency, 0
        flying: list[_Call] = []
        killed_at = draw.randrange(4 * wanted)  # after so many calls, if there are so many
        while len(self.calls) < wanted or flying:
            while len(self.calls) < wanted and len(flying) < concurrency and unknown_in_a_row < 2:
                call = self._claim(now_us)
                flying.append(call)
                self.calls.append(call)
                now_us += draw.randrange(1, SECOND_US // 50)
                if len(self.calls) == 1:
                    break  # the canary goes alone
            if len(self.calls) == killed_at:
                for call in flying:
                    call.answered = False
                    if draw.random() < 0.5:
                        call.executed_us = None  # it had not come so far
                flying.clear()
                now_us = max(now_us, *(call.end_us for call in self.calls)) + 30 * SECOND_US
                concurrency = 1
            if not flying:
                if unknown_in_a_row >= 2 or len(self.calls) >= wanted:
                    break
                continue
            first = min(flying, key=lambda call: call.end_us)
            flying.remove(first)
            now_us = max(now_us, first.end_us)
            if first.answered:
                unknown_in_a_row = 0
            else:
                unknown_in_a_row += 1
                concurrency = 1
        if world.others_use_it:
            for _ in range(draw.randint(1, 3)):
                self.other_ugx.append((draw.randrange(SECOND_US, now_us + 1), PRICE_UGX * draw.randint(1, 120)))
        if world.top_up:
            self.other_ugx.append((draw.randrange(SECOND_US, now_us + 1), -PRICE_UGX * draw.choice([50, 100, 500])))
        if world.late_execution:
            for call in self.calls:
                if not call.answered and call.executed_us is None and draw.random() < 0.5:
                    call.executed_us = now_us + 600 * SECOND_US
        if world.password:
            now_us = self._read(now_us + 150 * SECOND_US)
        self._balances(10_000_000)
        self.now_us = now_us

    def _claim(self, now_us: int) -> _Call:
        draw, number = self.random, len(self.calls)
        if self.world.personalised:
            size = 1
        elif number == 0:
            size = 10
        else:
            size = CHUNK_SIZE - max(1, CHUNK_SIZE // 20) * 2 ** (number % self.world.concurrency)
        people = Counter(draw.choices(NETWORKS, weights=(60, 35, 5), k=size))
        end_us = now_us + draw.randrange(SECOND_US // 20, SECOND_US)
        lost = draw.random() < self.world.lost_answers
        executed = not lost or draw.random() < 0.5
        call = _Call(number + 1, dict(people), now_us, end_us + (20 * SECOND_US if lost else 0), answered=not lost)
        if executed:
            call.executed_us = draw.randrange(now_us + 1, end_us)
        if self.world.clocks_differ_us and draw.random() < 0.5:
            call.clock_off_us = self.clock_off_us
        return call

    def _read(self, now_us: int) -> int:
        self.readings.append(BalanceReading(now_us, now_us + SECOND_US // 10, 0))
        return now_us + SECOND_US // 5

    def _balances(self, balance_ugx: int) -> None:
        """Execute everything in the order of time; fill in costs, and the balances that replies and readings name."""
        events: list[tuple[int, int, object]] = []
        events += [(call.executed_us, 0, call) for call in self.calls if call.executed_us is not None]
        events += [(at_us, 1, amount) for at_us, amount in self.other_ugx]
        events += [(reading.began_us, 2, number) for number, reading in enumerate(self.readings)]
        for _, kind, what in sorted(events, key=lambda event: event[:2]):
            if isinstance(what, _Call):
                reached = [
                    n for network, n in what.people.items() if not (self.world.unsupported and network == UNREACHED)
                ]
                what.cost_ugx = PRICE_UGX * sum(reached)
                balance_ugx -= what.cost_ugx
                what.balance_ugx = balance_ugx
            elif kind == 1:
                assert isinstance(what, int)
                balance_ugx -= what
            else:
                assert isinstance(what, int)
                self.readings[what] = replace(self.readings[what], balance_ugx=balance_ugx)

    def conclusions(self) -> Counter[str]:
        """`right`, `wrong`, `wrong cost` and `open`, of calls without an answer; `refused`: settlements given up."""
        known = [
            AccountCall(
                attempt=call.attempt,
                campaign_id=2 if call.clock_off_us else 1,
                chunk=call.attempt,
                intent_us=call.intent_us + call.clock_off_us,
                ended_us=call.end_us + call.clock_off_us,
                verdict=Verdict.ACCEPTED if call.answered else Verdict.UNKNOWN,
                expected_ugx=call.expected_ugx,
                charged_ugx=call.cost_ugx if call.answered else None,
                is_open=not call.answered,
                balance_after_ugx=call.balance_ugx if call.answered else None,
            )
            for call in sorted(self.calls, key=lambda call: call.intent_us + call.clock_off_us)
        ]
        people = {call.attempt: call.people for call in self.calls}
        answered = [call for call in self.calls if call.answered]
        reached = {network for call in answered for network in call.people}
        if self.world.unsupported:
            reached -= {UNREACHED}
        judged = judge(
            known,
            self.readings,
            self.now_us,
            campaign_id=1,
            late_us=120 * SECOND_US,
            certain_ugx=lambda call: (
                PRICE_UGX * sum(n for network, n in people[call.attempt].items() if network in reached)
            ),
            unseen=[
                Unseen(at_us - SECOND_US, at_us + SECOND_US, TOPPED_UP)
                for at_us, amount_ugx in self.other_ugx
                if self.world.entered and amount_ugx < 0
            ],
            clocks_differ_us=self.world.clocks_differ_us if self.world.told else 0,
        )
        tally: Counter[str] = Counter()
        for call in self.calls:
            if call.answered:
                continue
            if isinstance(judged, str):
                tally["open"] += 1
                continue
            conclusion = judged[0].conclusions.get(call.attempt)
            executed = call.executed_us is not None and call.executed_us <= judged[1].at_us
            if conclusion is None or conclusion.fate is Fate.OPEN:
                tally["open"] += 1
            elif (conclusion.fate is Fate.SENT) != executed:
                tally["wrong"] += 1
            elif conclusion.fate is Fate.SENT and conclusion.cost_ugx not in (None, call.cost_ugx):
                tally["wrong cost"] += 1
            else:
                tally["right"] += 1
        if not isinstance(judged, str) and judged[0].trouble is not None:
            tally["refused"] += 1
        return tally


def simulate(world: World, campaigns: int, seed: int) -> Counter[str]:
    draw = random.Random(seed)
    tally: Counter[str] = Counter()
    for _ in range(campaigns):
        campaign = Campaign(world, draw)
        campaign.run()
        tally += campaign.conclusions()
    return tally


def main() -> None:
    campaigns = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print("in flight  calls         faults  password  unknown  resolved  wrong")
    for concurrency, personalised, faults, password in product((1, 2, 4), (False, True), (0.02, 0.1), (True, False)):
        world = World(concurrency, personalised, faults, password=password)
        tally = simulate(world, campaigns, seed=concurrency)
        unknown = tally["right"] + tally["wrong"] + tally["open"] + tally["wrong cost"]
        share = f"{tally['right'] / unknown:.0%}" if unknown else "-"
        kind = "one person" if personalised else "labelled"
        print(
            f"{concurrency:9}  {kind:12}  {faults:6.0%}  {'yes' if password else 'no':8}  {unknown:7,}  {share:>8}"
            f"  {tally['wrong'] + tally['wrong cost']:5}"
        )


if __name__ == "__main__":
    main()
