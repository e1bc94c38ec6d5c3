"""Simulated accounts whose truth is known: what the balance chain leaves unexplained is what nobody told it.

The accounts are those of the settlement's simulation: calls overlap, replies come in any order, answers are lost, the
process is killed; on request somebody else uses the account, or tops it up.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from mambo_io.books import TIME
from mambo_io.ledger import from_us
from mambo_io.window import KAMPALA
from pipelines import balances
from pipelines.statement import chain, months
from support.accounts import frames, top_up
from support.simulated_account import Campaign, World

CAMPAIGNS = 150
DAY = datetime(1970, 1, 1, 12, tzinfo=UTC).astimezone(KAMPALA).date()  # all of a simulated campaign
NO_FAULTS = World(4, lost_answers=0)
WORLDS = {
    "nothing goes wrong": NO_FAULTS,
    "answers are lost, two at a time": World(2, lost_answers=0.1),
    "answers are lost, four at a time": World(4, lost_answers=0.1),
    "without readings": World(4, password=False),
    "equal calls to one person each": World(4, personalised=True),
    "somebody else uses the account": World(2, others_use_it=True),
    "a top-up that nobody enters": World(2, top_up=True),
    "a top-up that is entered": World(2, top_up=True, entered=True),
}


def account_of(campaign: Campaign) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the ledger would hold of it."""
    calls = sorted(campaign.calls, key=lambda call: call.intent_us)
    account_calls = pl.DataFrame(
        {
            "account": ["main"] * len(calls),
            "call": [f"clinic-day/1/c{call.attempt:04d}" for call in calls],
            "sent_at": [from_us(call.intent_us) for call in calls],
            "ended_at": [from_us(call.end_us) for call in calls],
            "expected_ugx": [call.expected_ugx for call in calls],
            "charged_ugx": [call.cost_ugx if call.answered else None for call in calls],
            "balance_after_ugx": [call.balance_ugx if call.answered else None for call in calls],
        },
        schema_overrides={"charged_ugx": pl.Int64, "balance_after_ugx": pl.Int64},
    ).with_columns(pl.col("sent_at", "ended_at").dt.convert_time_zone("Africa/Kampala"))
    readings = pl.DataFrame(
        [
            ("main", "reading", from_us(each.began_us), from_us(each.at_us), each.balance_ugx, None, "tester")
            for each in campaign.readings
        ],
        schema=frames([])[1].schema,
        orient="row",
    )
    entered = [top_up(-ugx, DAY) for _, ugx in campaign.other_ugx if ugx < 0] if campaign.world.entered else []
    return account_calls.cast({"sent_at": TIME, "ended_at": TIME}), pl.concat([readings, frames(entered)[1]])


def simulated(world: World, seed: int) -> Campaign:
    campaign = Campaign(world, random.Random(seed))
    campaign.run()
    return campaign


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_chain_leaves_unexplained_what_nobody_told_it(world: World) -> None:
    for seed in range(CAMPAIGNS):
        campaign = simulated(world, seed)
        account_calls, entries = account_of(campaign)
        steps = chain(account_calls, entries)
        [month] = months(account_calls, entries).to_dicts()

        named = [call for call in campaign.calls if call.answered and call.balance_ugx is not None]
        assert month["charges_ugx"] == sum(call.cost_ugx for call in named)
        assert month["top_ups_ugx"] == sum(-ugx for _, ugx in campaign.other_ugx if ugx < 0) * world.entered
        assert month["closing_ugx"] == (
            month["opening_ugx"]
            + month["top_ups_ugx"]
            - month["charges_ugx"]
            + month["open_ugx"]
            + month["unexplained_ugx"]
        )
        assert month["unexplained_ugx"] == steps["unexplained_ugx"].sum()
        assert month["opening_ugx"] == steps["balance_before_ugx"][0]
        if not (world.others_use_it or world.top_up):
            assert month["unexplained_ugx"] == 0
            assert steps["balance_ugx"][-1] == last_balance_ugx(campaign)
            lost_ugx = sum(call.cost_ugx for call in campaign.calls if call.executed_us and not call.answered)
            assert 0 <= -month["open_ugx"] <= lost_ugx


def last_balance_ugx(campaign: Campaign) -> int:
    """The balance that was named last, of replies and readings."""
    named = [(call.executed_us, call.balance_ugx) for call in campaign.calls if call.answered and call.executed_us]
    named += [(reading.began_us, reading.balance_ugx) for reading in campaign.readings]
    _, balance_ugx = max(named)
    assert balance_ugx is not None
    return balance_ugx


def test_calls_that_go_well_stand_in_the_order_in_which_they_were_executed() -> None:
    """So all of them are one step between the two readings, whatever the order of the replies."""
    campaigns = healthy(NO_FAULTS)
    assert len(campaigns) > CAMPAIGNS // 2
    for campaign in campaigns:
        steps = chain(*account_of(campaign))
        assert steps.select("kind", "explanation").rows() == [("reading", None), ("calls", None), ("reading", None)]


def test_a_top_up_that_is_entered_is_found_where_it_came_in() -> None:
    """As long as no call of unknown fate hides a part of it, and a balance before it is known."""
    top_ups = [
        campaign
        for campaign in healthy(replace(NO_FAULTS, top_up=True, entered=True))
        if campaign.other_ugx[0][0] > campaign.readings[0].began_us
    ]
    assert len(top_ups) > CAMPAIGNS // 2
    for campaign in top_ups:
        steps = chain(*account_of(campaign))
        [(_, ugx)] = campaign.other_ugx
        [step] = steps.filter(pl.col("gap_ugx") != 0).to_dicts()
        assert (step["top_ups_ugx"], step["unexplained_ugx"], step["explanation"]) == (-ugx, 0, "top_up")


def test_an_entry_that_was_taken_back_leaves_no_trace() -> None:
    """Whatever is known else; also where it has just the size of a call of unknown fate."""
    for world in WORLDS.values():
        for seed in range(10):
            campaign = simulated(world, seed)
            account_calls, entries = account_of(campaign)
            lost = [call.expected_ugx for call in campaign.calls if not call.answered]
            for ugx in (7_001, *lost[:1]):
                with_pair = pl.concat([entries, frames([top_up(ugx, DAY), top_up(-ugx, DAY)])[1]])
                assert chain(account_calls, with_pair).equals(chain(account_calls, entries))


def healthy(world: World) -> list[Campaign]:
    """Campaigns of which every call was answered: the process was not killed either."""
    campaigns = [simulated(world, seed) for seed in range(CAMPAIGNS)]
    return [campaign for campaign in campaigns if all(call.answered for call in campaign.calls)]


def test_a_whole_day_at_once_says_what_its_calls_say_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing of a day has to be looked at, its calls are not: the steps are the same as if they were."""
    accounts = [account_of(simulated(world, seed)) for world in WORLDS.values() for seed in range(30)]
    whole_days = balances._whole_days
    at_once = [chain(*account) for account in accounts]
    assert sum(not whole_days(*in_us(*account)).is_empty() for account in accounts) > 30

    monkeypatch.setattr(balances, "_whole_days", lambda *given: whole_days(*given).clear())

    assert all(steps.equals(chain(*account)) for steps, account in zip(at_once, accounts, strict=True))


def in_us(account_calls: pl.DataFrame, entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return balances._in_us(account_calls, "sent_at", "ended_at"), balances._in_us(entries, "began_at", "at")
