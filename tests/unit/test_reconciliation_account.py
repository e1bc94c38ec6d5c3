"""An account's balance, step by step and month by month, by examples. The balance was UGX 10,000."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import pytest

from pipelines.statement import CHAIN, MONTHS, chain, months
from support.accounts import DAY, Call, Entry, frames, reading, top_up

NEXT_DAY = DAY + timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """`balance_ugx` None: no balance shows it yet. The gap is what is not said here."""

    calls: int
    before_ugx: int
    charged_ugx: int
    balance_ugx: int | None
    top_ups_ugx: int = 0
    open_ugx: int = 0
    unexplained_ugx: int = 0
    explanation: str | None = None
    kind: str = "calls"


def two_calls(second_balance_ugx: int, day: date = DAY) -> tuple[Call, Call]:
    """The first leaves 9,900; the second, a minute later, costs 200 and leaves this."""
    return Call("c0001", 0, 1, 100, 9_900), Call("c0002", 60, 61, 200, second_balance_ugx, day=day)


FIRST = Step(1, 10_000, 100, 9_900)
# Of one call the reply names the balance and not the cost, which was 300.
NO_COST = (*two_calls(9_400), Call("c0003", 30, 31, None, 9_600, expected_ugx=300))
NO_COST_STEPS = (FIRST, Step(2, 9_900, 200, 9_400, open_ugx=-300, explanation="open_calls"))
EXAMPLES: dict[str, tuple[tuple[Call | Entry, ...], tuple[Step, ...]]] = {
    "calls one after another": (two_calls(9_700), (Step(2, 10_000, 300, 9_700),)),
    "a day for each step": (two_calls(9_700, NEXT_DAY), (FIRST, Step(1, 9_900, 200, 9_700))),
    "replies of calls that overlap, in the other order": (
        (Call("c0001", 1, 9, 100, 9_700), Call("c0002", 2, 8, 200, 9_800)),
        (Step(2, 10_000, 300, 9_700),),
    ),
    "replies in an order that cannot be": (
        (Call("c0001", 5, 6, 200, 9_800), Call("c0002", 1, 2, 100, 9_700)),
        (
            Step(1, 9_800, 100, 9_700),
            Step(1, 9_700, 200, 9_800, unexplained_ugx=300, explanation="unexplained"),
        ),
    ),
    "a call that cost nothing, beside one that did": (
        (Call("c0001", 1, 9, 0, 9_800), Call("c0002", 2, 8, 200, 9_800)),
        (Step(2, 10_000, 200, 9_800),),
    ),
    "a reading": (
        (*two_calls(9_700), reading(30, 31, 9_900)),
        (FIRST, Step(0, 9_900, 0, 9_900, kind="reading"), Step(1, 9_900, 200, 9_700)),
    ),
    # money that came in
    "a top-up, entered": (
        (*two_calls(14_700), top_up(5_000)),
        (FIRST, Step(1, 9_900, 200, 14_700, top_ups_ugx=5_000, explanation="top_up")),
    ),
    "a top-up that nobody entered": (
        two_calls(14_700),
        (FIRST, Step(1, 9_900, 200, 14_700, unexplained_ugx=5_000, explanation="unexplained")),
    ),
    "a top-up of another day": (
        (*two_calls(14_700, NEXT_DAY), top_up(5_000, DAY - timedelta(days=1))),
        (
            Step(1, 5_000, 100, 9_900, top_ups_ugx=5_000, explanation="top_up"),
            Step(1, 9_900, 200, 14_700, unexplained_ugx=5_000, explanation="unexplained"),
        ),
    ),
    "a top-up of the evening, seen the next day": (
        (*two_calls(14_700, NEXT_DAY), top_up(5_000)),
        (FIRST, Step(1, 9_900, 200, 14_700, top_ups_ugx=5_000, explanation="top_up")),
    ),
    "a top-up entered with a wrong amount": (
        (*two_calls(14_700), top_up(6_000)),
        (FIRST, Step(1, 9_900, 200, 14_700, top_ups_ugx=6_000, unexplained_ugx=-1_000, explanation="unexplained")),
    ),
    "two top-ups at once": (
        (*two_calls(14_700), top_up(3_000), top_up(2_000)),
        (FIRST, Step(1, 9_900, 200, 14_700, top_ups_ugx=5_000, explanation="top_up")),
    ),
    "a wrong entry, and the one that takes it back": (
        (*two_calls(9_700), top_up(6_000, DAY - timedelta(days=1)), top_up(-6_000, DAY - timedelta(days=1))),
        (Step(2, 10_000, 300, 9_700),),
    ),
    "a wrong entry taken back, beside a call of unknown cost": (
        (*NO_COST, top_up(7_000), top_up(-7_000)),
        NO_COST_STEPS,
    ),
    "a wrong entry of just the size of that call, taken back": ((*NO_COST, top_up(300), top_up(-300)), NO_COST_STEPS),
    "taken back the day after": ((*NO_COST, top_up(7_000), top_up(-7_000, NEXT_DAY)), NO_COST_STEPS),
    "taken back in two parts": ((*NO_COST, top_up(7_000), top_up(-5_000), top_up(-2_000)), NO_COST_STEPS),
    "taken back, and the right amount entered instead": (
        (*two_calls(14_700), top_up(50_000), top_up(-50_000), top_up(5_000)),
        (FIRST, Step(1, 9_900, 200, 14_700, top_ups_ugx=5_000, explanation="top_up")),
    ),
    "one of two alike taken back": (
        (*two_calls(14_400), Call("c0003", 30, 31, None, 14_600, 300), top_up(5_000), top_up(5_000), top_up(-5_000)),
        (FIRST, Step(2, 9_900, 200, 14_400, top_ups_ugx=5_000, open_ugx=-300, explanation="open_calls")),
    ),
    "money that came in and went out again on one day, both seen": (
        (*two_calls(14_700), reading(90, 91, 9_700), top_up(5_000), top_up(-5_000)),
        (
            FIRST,
            Step(1, 9_900, 200, 14_700, top_ups_ugx=5_000, explanation="top_up"),
            Step(0, 14_700, 0, 9_700, top_ups_ugx=-5_000, explanation="top_up", kind="reading"),
        ),
    ),
    "money taken out that no balance shows yet, beside a call of unknown cost": (
        (reading(0, 1, 10_000, DAY - timedelta(days=1)), *NO_COST, top_up(-7_000)),
        (
            Step(0, 10_000, 0, 10_000, kind="reading"),
            *NO_COST_STEPS,
            Step(0, 9_400, 0, None, top_ups_ugx=-7_000, explanation="no_balance_yet", kind="top_up"),
        ),
    ),
    "a top-up before the first balance": (
        (*two_calls(9_700), top_up(6_000)),
        (Step(2, 4_000, 300, 9_700, top_ups_ugx=6_000, explanation="top_up"),),
    ),
    "a top-up that no balance shows yet": (
        (*two_calls(9_700), top_up(6_000, NEXT_DAY)),
        (
            Step(2, 10_000, 300, 9_700),
            Step(0, 9_700, 0, None, top_ups_ugx=6_000, explanation="no_balance_yet", kind="top_up"),
        ),
    ),
    "a top-up that the balance should show, and does not": (
        (*two_calls(9_700, NEXT_DAY + timedelta(days=1)), top_up(6_000, NEXT_DAY)),
        (FIRST, Step(1, 9_900, 200, 9_700, top_ups_ugx=6_000, unexplained_ugx=-6_000, explanation="unexplained")),
    ),
    "a top-up between calls that overlap": (
        (
            Call("c0001", 0, 1, 100, 9_900),
            Call("c0002", 2, 10, 200, 9_700),
            Call("c0003", 3, 15, 300, 14_100),
            Call("c0004", 5, 12, 300, 14_400),
            top_up(5_000),
        ),
        (Step(2, 10_000, 300, 9_700), Step(2, 9_700, 600, 14_100, top_ups_ugx=5_000, explanation="top_up")),
    ),
    # money that went out
    "somebody else's charge": (
        two_calls(9_400),
        (FIRST, Step(1, 9_900, 200, 9_400, unexplained_ugx=-300, explanation="unexplained")),
    ),
    "a call of unknown fate": (
        (*two_calls(9_400), Call("c0003", 30, 50, None, None, expected_ugx=300)),
        (FIRST, Step(1, 9_900, 200, 9_400, open_ugx=-300, explanation="open_calls")),
    ),
    "a call of unknown fate, and somebody else": (
        (*two_calls(9_400), Call("c0003", 30, 50, None, None, expected_ugx=250)),
        (FIRST, Step(1, 9_900, 200, 9_400, open_ugx=-250, unexplained_ugx=-50, explanation="unexplained")),
    ),
    "a call of unknown fate explains nothing of the next day": (
        (*two_calls(9_400, NEXT_DAY), reading(300, 301, 9_900), Call("c0003", 30, 50, None, None, expected_ugx=300)),
        (
            FIRST,
            Step(0, 9_900, 0, 9_900, kind="reading"),
            Step(1, 9_900, 200, 9_400, unexplained_ugx=-300, explanation="unexplained"),
        ),
    ),
    "a call in flight": (
        (*two_calls(9_400), Call("c0003", 30, None, None, None, expected_ugx=300)),
        (FIRST, Step(1, 9_900, 200, 9_400, open_ugx=-300, explanation="open_calls")),
    ),
    "a reply that names the balance, and not the cost": (NO_COST, NO_COST_STEPS),
    "a call that was settled has no balance of its own": (
        (*two_calls(9_400), Call("c0003", 30, 50, 300, None)),
        (FIRST, Step(2, 9_900, 500, 9_400)),
    ),
    "a settled call that no balance shows yet": (
        (*two_calls(9_700), Call("c0003", 3_600, 3_620, 300, None)),
        (Step(2, 10_000, 300, 9_700), Step(1, 9_700, 300, None, explanation="no_balance_yet")),
    ),
    "a top-up, and a call of unknown fate, between the same balances": (
        (*two_calls(14_400), Call("c0003", 30, 50, None, None, expected_ugx=300), top_up(5_000)),
        (FIRST, Step(1, 9_900, 200, 14_400, top_ups_ugx=5_000, open_ugx=-300, explanation="open_calls")),
    ),
    # nothing to go by
    "nothing": ((), ()),
    "a top-up, and no balance at all": (
        (top_up(5_000),),
        (Step(0, 0, 0, None, top_ups_ugx=5_000, explanation="no_balance_yet", kind="top_up"),),
    ),
}


@pytest.mark.parametrize(("facts", "steps"), EXAMPLES.values(), ids=EXAMPLES)
def test_each_balance_against_what_went_before(facts: tuple[Call | Entry, ...], steps: tuple[Step, ...]) -> None:
    found = chain(*frames(facts))

    assert dict(found.schema) == CHAIN
    assert [
        Step(
            row["calls"],
            row["balance_before_ugx"] or 0,
            row["charged_ugx"],
            row["balance_ugx"],
            row["top_ups_ugx"],
            row["open_ugx"],
            row["unexplained_ugx"],
            row["explanation"],
            row["kind"],
        )
        for row in found.iter_rows(named=True)
    ] == list(steps)
    for row in found.drop_nulls("balance_ugx").iter_rows(named=True):
        assert row["expected_ugx"] == row["balance_before_ugx"] - row["charged_ugx"] + row["top_ups_ugx"]
        assert row["gap_ugx"] == row["balance_ugx"] - row["balance_before_ugx"] + row["charged_ugx"]
        assert row["gap_ugx"] == row["top_ups_ugx"] + row["open_ugx"] + row["unexplained_ugx"]


def test_a_step_says_which_calls_and_when() -> None:
    [step] = chain(*frames(two_calls(9_700))).to_dicts()
    assert (step["account"], step["day"]) == ("main", DAY)
    assert (step["first_call"], step["last_call"]) == ("clinic-day/1/c0001", "clinic-day/1/c0002")
    assert (f"{step['began_at']:%H:%M:%S}", f"{step['ended_at']:%H:%M:%S}") == ("10:00:00", "10:01:01")


def test_accounts_have_chains_of_their_own() -> None:
    facts: list[Call | Entry] = [
        *two_calls(9_700),
        Call("c0003", 30, 31, 100, 400, account="second"),
        top_up(9, account="second"),
    ]
    found = chain(*frames(facts))
    assert found.select("account", "calls", "balance_before_ugx", "balance_ugx").rows() == [
        ("main", 2, 10_000, 9_700),
        ("second", 1, 491, 400),
    ]


# --- month by month ---------------------------------------------------------------------------------------------------

NOVEMBER = date(2026, 11, 3)
DECEMBER = date(2026, 12, 1)
JANUARY = date(2027, 1, 31)
# Month, opening, top-ups, charges, open, unexplained, closing, calls, calls of unknown charge.
STATEMENTS: dict[str, tuple[tuple[Call | Entry, ...], list[tuple[object, ...]]]] = {
    "nothing": ((), []),
    "one month": (
        (Call("c0001", 0, 1, 100, 9_900), Call("c0002", 9, 10, 200, 14_700), top_up(5_000)),
        [("2026-11", 10_000, 5_000, 300, 0, 0, 14_700, 2, 0)],
    ),
    "a month in which nothing happened": (
        (Call("c0001", 0, 1, 100, 9_900), Call("c0002", 0, 1, 200, 9_700, day=JANUARY)),
        [
            ("2026-11", 10_000, 0, 100, 0, 0, 9_900, 1, 0),
            ("2026-12", 9_900, 0, 0, 0, 0, 9_900, 0, 0),
            ("2027-01", 9_900, 0, 200, 0, 0, 9_700, 1, 0),
        ],
    ),
    "a top-up stands in the month of its date, seen in the next": (
        (
            Call("c0001", 0, 1, 100, 9_900),
            Call("c0002", 0, 1, 200, 14_700, day=DECEMBER),
            top_up(5_000, date(2026, 11, 30)),
        ),
        [("2026-11", 10_000, 5_000, 100, 0, 0, 14_900, 1, 0), ("2026-12", 14_900, 0, 200, 0, 0, 14_700, 1, 0)],
    ),
    "what nobody explains stands in the month of the balance that shows it": (
        (Call("c0001", 0, 1, 100, 9_900), Call("c0002", 0, 1, 200, 9_650, day=DECEMBER)),
        [("2026-11", 10_000, 0, 100, 0, 0, 9_900, 1, 0), ("2026-12", 9_900, 0, 200, 0, -50, 9_650, 1, 0)],
    ),
    "a call of unknown fate": (
        (
            Call("c0001", 0, 1, 100, 9_900),
            Call("c0002", 9, 30, None, None, expected_ugx=300),
            Call("c0003", 40, 41, 200, 9_400),
        ),
        [("2026-11", 10_000, 0, 300, -300, 0, 9_400, 2, 1)],
    ),
    "calls that overlap at midnight, executed in the other order": (
        (
            Call("c0001", 13.9 * 3600, 14.2 * 3600, 100, 9_700, day=date(2026, 11, 30)),
            Call("c0002", -9.9 * 3600, -9.7 * 3600, 200, 9_800, day=DECEMBER),
        ),
        [("2026-11", 10_000, 0, 100, 0, 0, 9_900, 1, 0), ("2026-12", 9_900, 0, 200, 0, 0, 9_700, 1, 0)],
    ),
    "no balance is known": (
        (Call("c0001", 0, 1, 100, None), top_up(5_000)),
        [("2026-11", None, 5_000, 100, None, None, None, 1, 0)],
    ),
    "a top-up that no balance shows yet is in the closing balance": (
        (Call("c0001", 0, 1, 100, 9_900), top_up(5_000, DECEMBER)),
        [("2026-11", 10_000, 0, 100, 0, 0, 9_900, 1, 0), ("2026-12", 9_900, 5_000, 0, 0, 0, 14_900, 0, 0)],
    ),
}


@pytest.mark.parametrize(("facts", "expected"), STATEMENTS.values(), ids=STATEMENTS)
def test_the_account_month_by_month(facts: tuple[Call | Entry, ...], expected: list[tuple[object, ...]]) -> None:
    found = months(*frames(facts))
    assert dict(found.schema) == MONTHS
    assert found.drop("account").rows() == expected
