"""Ten thousand simulated campaigns: within what the settlement assumes it never concludes wrongly."""

from __future__ import annotations

import pytest

from support.simulated_account import World, simulate

# What the settlement assumes: nobody else uses the account, and what is given up is not executed later.
WITHIN = {
    "one at a time": World(1, lost_answers=0.05),
    "two at a time": World(2),
    "four at a time": World(4),
    "four at a time, many faults": World(4, lost_answers=0.15),
    "everybody is reached": World(4, unsupported=False),
    "without the account's password": World(2, password=False),
    "equal calls to one person each": World(2, personalised=True),
    "equal calls, without the password": World(4, personalised=True, password=False),
    "two machines, whose clocks differ": World(2, lost_answers=0.1, clocks_differ_us=500_000),
    "two machines, without the password": World(2, lost_answers=0.1, clocks_differ_us=500_000, password=False),
}
CAMPAIGNS = 10_000 // len(WITHIN)


@pytest.mark.parametrize("world", WITHIN.values(), ids=WITHIN)
def test_within_its_assumptions_no_verdict_is_wrong(world: World) -> None:
    tally = simulate(world, CAMPAIGNS, seed=1)
    assert not tally["wrong"]
    assert not tally["wrong cost"]
    assert not tally["refused"], "a healthy account was called shared, or its sums did not add up"
    assert tally["right"], "nothing was ever resolved"


OUTSIDE = {
    "somebody else uses the account": World(2, others_use_it=True),
    "a top-up meanwhile": World(2, top_up=True),
    "a top-up of what a call costs": World(2, personalised=True, top_up=True),
}


@pytest.mark.parametrize("world", OUTSIDE.values(), ids=OUTSIDE)
def test_outside_of_them_it_mostly_refuses(world: World) -> None:
    """The README says how often it does not."""
    tally = simulate(world, 1_000, seed=1)
    unknown = sum(tally[word] for word in ("right", "wrong", "wrong cost", "open"))
    assert tally["refused"] > 100
    assert tally["wrong"] + tally["wrong cost"] < 0.08 * unknown


@pytest.mark.parametrize("personalised", [False, True])
def test_no_verdict_is_wrong_about_an_account_whose_top_ups_were_entered(personalised: bool) -> None:
    """Two balances with a top-up between them tell nothing; what lies before it or after it is still settled."""
    tally = simulate(World(2, personalised=personalised, top_up=True, entered=True), 1_000, seed=1)
    assert not tally["wrong"]
    assert not tally["wrong cost"]
    assert tally["right"]


def test_clocks_that_differ_mislead_whoever_does_not_know_it() -> None:
    """Which call came first is told by two clocks then. So the settlement asks for more time between them."""
    misled = simulate(World(2, lost_answers=0.1, clocks_differ_us=500_000, told=False), 1_000, seed=1)
    assert misled["wrong"]
    assert misled["refused"] > 100


def test_a_call_that_is_executed_late_looks_as_if_it_was_not_sent() -> None:
    """Which is why that is believed only after a wait, and acted upon only when the campaign says so."""
    tally = simulate(World(2, late_execution=True), 1_000, seed=1)
    assert tally["right"], "the balance cannot show it before it happens"
    assert not tally["wrong cost"]
