"""`mambo send --direct`, killed again and again against a hostile API: nobody is messaged twice, nobody is lost.

`make test` kills five times a store, `make crash` as often as KILLS says.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from mambo_io import sandbox
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import AnyFault, Garbled, NoAnswer, Status, UnsupportedForm
from support.checker import Disagreement
from support.hunts import hunt
from support.kills import kill_seed
from support.rigged_mambo import FAULTS, POINTS, SETTLEMENT_POINTS
from support.sandboxed import UNREACHABLE

KILLS = int(os.environ.get("KILLS", "5"))
KILLS_A_CAMPAIGN = 4  # after the first, calls are unknown, and the next ones are made one at a time
MOST_CALLS = 12  # between two kills
PEOPLE = 300


def instants(chance: random.Random) -> Iterator[str | None]:
    """Where to kill: once at each point, then as often at a random instant (None), and so on."""
    while True:
        yield from chance.sample(POINTS, len(POINTS))
        yield from [None] * len(POINTS)


def hostile(seed: int) -> list[AnyFault]:
    """Some of the calls go wrong, one in twenty-five so that nobody knows what became of it."""
    rules: list[AnyFault] = [
        Status(http_status=500, executes=True),
        Status(http_status=500),
        NoAnswer(executes=True),
        NoAnswer(executes=False),
        Garbled(form="cut_body"),
        Status(http_status=429, headers={"Retry-After": "0"}),
        UnsupportedForm(form="joined"),
    ]
    return [
        rule.model_copy(update={"probability": 0.01, "times": None, "seed": seed + index})
        for index, rule in enumerate(rules)
    ]


@pytest.mark.timeout(120 + 15 * KILLS)
def test_killed_again_and_again_it_messages_nobody_twice_and_loses_nobody(
    store_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = kill_seed()
    chance = random.Random(seed)
    points = instants(chance)
    point = next(points)
    total: Counter[str] = Counter()
    for campaign in count():
        if total["kills"] == KILLS:
            break
        folder = tmp_path / f"{campaign}"
        with sandbox.running(folder, balance_ugx=10_000_000, unsupported_prefix=(UNREACHABLE,)) as api:
            it = hunt(
                folder,
                api,
                store_url,
                people=PEOPLE,
                number=campaign,
                unreachable=range(0, PEOPLE, 40),
                faults=hostile(seed + campaign),
                seed=chance.getrandbits(32),
            )
            while it.kills < KILLS_A_CAMPAIGN and total["kills"] < KILLS:
                if not (it.kill_at(point, chance.randint(2, 3)) if point else it.kill_at_random(MOST_CALLS)):
                    break  # it had come to its end
                total["kills"] += 1
                point = next(points)
            it.finish("--accept-canary")
            record = it.record()
            total["starts"] += it.starts
            total["calls"] += list(api.calls()["endpoint"]).count("send-sms")
            total["messages"] += len(record.deliveries)
            total["unknown calls"] += len(record.unknown_calls)
            total["duplicates"] += len(record.duplicates)
            total["lost"] += len(record.lost(it.rows))
    figures = ", ".join(f"{number:,} {what}" for what, number in total.items())
    record_property("crash", f"{store_url.partition(':')[0].partition('+')[0]}: {figures}  (KILL_SEED={seed})")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_judge_finds_a_sender_with_a_fault_within_fifty_kills(
    fault: str,
    postgres_url: str,
    start_sandbox: Callable[..., SandboxHandle],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """On PostgreSQL: a store in SQLite notices by itself that an intent is missing, from the counter beside it."""
    seed = kill_seed()
    it = hunt(
        tmp_path,
        start_sandbox(),
        postgres_url,
        people=2000,
        fault=fault,
        faults=[Status(http_status=500, executes=True, probability=0.1, times=None, seed=seed)]
        if fault == "repeat_after_500"
        else [],
        seed=seed,
    )

    def kill_fifty_times() -> None:
        while it.kills < 50 and it.starts < 60:
            it.kill_at_random(MOST_CALLS)

    with pytest.raises(Disagreement, match=r"got the same message 2 times|of which the ledger knows nothing") as found:
        kill_fifty_times()
    print(found.value)
    record_property("crash", f"{fault}: found after {it.kills} kills  (KILL_SEED={seed})")


@pytest.mark.timeout(300)
@pytest.mark.skipif("KILLS" not in os.environ, reason="takes a while: `make crash` does it")
def test_killed_in_settlement_it_settles_again(
    store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    it = hunt(tmp_path, start_sandbox(), store_url, people=40)
    assert it.kill_at("after_headers", 3)
    for point in SETTLEMENT_POINTS:
        assert it.kill_at(point), "the calls whose answers were lost were not settled"
    it.finish()
