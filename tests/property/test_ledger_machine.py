"""The ledger beside an account whose truth is known: whatever happens in whatever order, nobody gets a second message.

The machine claims, executes (at once, late, or in part), answers, loses answers, crashes, is taken over, reads the
balance, settles, and lets a person resolve, pause, resume and cancel. Late means: within the time that the settlement
waits.
"""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mambo_io import accounting, control, statements
from mambo_io.call_ends import ClaimedCall
from mambo_io.calls_left import unknown_attempts
from mambo_io.errors import Stopped
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import ChunkState, Outcome
from mambo_io.settled import record_not_sent, record_sent
from mambo_io.store import Store
from pipelines.settling import SettlingRules, conclude
from support.ledgers import PRICE_UGX, Run, bad_reply, good_reply, no_answer, number, plan

EDITIONS = itertools.count(1)
RULES = SettlingRules(exclusive=True, settle_after_s=120, resend_settled=True)
NOT_DELIVERED = {Outcome.PLANNED, Outcome.REFUSED, Outcome.REJECTED, Outcome.UNSUPPORTED, Outcome.CANCELLED}
SECOND = timedelta(seconds=1)


class Account(RuleBasedStateMachine):
    """One campaign of one account. `url` is the store's."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.delivered: Counter[int] = Counter()  # by row
        self.balance_ugx = 100_000
        self.out: list[ClaimedCall] = []
        self.executed: dict[int, int] = {}  # by attempt, what it cost
        self.unreached: dict[int, list[str]] = {}
        self.may_come_late: list[ClaimedCall] = []
        self.held = self.cancelled = False
        self._open = ExitStack()

    @initialize(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=6))
    def plan_it(self, sizes: list[int]) -> None:
        self.store = self._open.enter_context(Store(self.url, create=True))
        self.connection = self._open.enter_context(self.store.writer())
        edition = str(next(EDITIONS))
        self.account, self.edition = edition, edition
        self.run = Run.of(self.connection, plan(*sizes, edition=edition, account=edition))
        self.people = sum(sizes)
        self.read()

    def teardown(self) -> None:
        self._open.close()

    # --- what the sender and the API do ------------------------------------------------------------------------------

    @rule(want=st.integers(1, 3))
    def claim(self, want: int) -> None:
        self.tick()
        calls = self.run.claim(want)
        assert not (calls and (self.held or self.cancelled)), "a person has stopped it"
        for call in calls:
            assert not any(self.delivered[row] for row in call.rows), "somebody who has it is in another call"
            self.out.append(call)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def execute(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.out), label="call")
        if call.attempt_id not in self.executed:
            self.carry_out(call)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The reply of a call that was executed; one that was not is refused."""
        call = self.out.pop(data.draw(st.integers(0, len(self.out) - 1), label="which"))
        self.tick()
        if call.attempt_id in self.executed:
            # The balance of the moment at which it was executed, when nothing came between.
            balance_ugx = None if self.out else self.balance_ugx
            reply = good_reply(call, unsupported=self.unreached[call.attempt_id], balance_ugx=balance_ugx)
            self.run.settle(call, reply)
        else:
            self.run.settle(call, bad_reply(call, 400, "blocked word"))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def lose_the_answer(self, data: st.DataObject) -> None:
        call = self.out.pop(data.draw(st.integers(0, len(self.out) - 1), label="which"))
        self.tick()
        self.may_come_late.append(call)
        self.run.settle(call, no_answer())

    @precondition(lambda self: self.may_come_late)
    @rule()
    def execute_late(self) -> None:
        call = self.may_come_late.pop()
        if call.attempt_id not in self.executed:
            self.carry_out(call)

    @rule()
    def crash_and_start_again(self) -> None:
        self.tick()
        self.may_come_late += self.out
        in_flight, self.out = len(self.out), []
        self.run = Run(self.connection, Ledger(self.store).get("clinic-day", self.edition), now=self.run.now)
        assert self.run.orphans == in_flight

    @rule()
    def a_second_sender_takes_over(self) -> None:
        """It can only when the first one's lock is gone; what the first does afterwards counts for nothing."""
        first = self.run
        self.crash_and_start_again()
        with pytest.raises(Stopped):
            first.claim()

    # --- what a person says meanwhile --------------------------------------------------------------------------------

    @precondition(lambda self: not self.cancelled)
    @rule()
    def pause_or_resume(self) -> None:
        say = control.resume if self.held else control.hold
        say(self.connection, self.campaign, who="Grace", note=None, now=self.run.now)
        self.held = not self.held

    @precondition(lambda self: not self.cancelled)
    @rule(really=st.sampled_from([True, False, False, False, False]))
    def cancel(self, really: bool) -> None:
        """Not often, as little happens afterwards."""
        if really:
            control.cancel(self.connection, self.campaign, who="Grace", note=None, now=self.run.now)
            self.held, self.cancelled = False, True

    # --- the money, and people ---------------------------------------------------------------------------------------

    @precondition(lambda self: not self.out)
    @rule()
    def read_and_settle(self) -> None:
        """After the wait, when nothing is executed any more."""
        self.may_come_late.clear()
        self.run.now += timedelta(minutes=5)
        self.read()
        self.settle()

    @precondition(lambda self: not self.out)
    @rule()
    def settle_without_a_reading(self) -> None:
        self.settle()

    @rule(amount=st.integers(1, 400))
    def top_up(self, amount: int) -> None:
        """Of an amount that no calls cost, or the money could not tell it apart from them (the README says so)."""
        self.balance_ugx += amount * PRICE_UGX + 7

    @rule(data=st.data())
    def a_person_finds_out(self, data: st.DataObject) -> None:
        ledger = Ledger(self.store)
        campaign = ledger.get("clinic-day", self.edition)
        unknown = unknown_attempts(ledger.store, campaign)
        late = {call.attempt_id for call in self.may_come_late}
        settled = [attempt for attempt in unknown.values() if attempt not in late]
        if not settled:
            return
        attempt = data.draw(st.sampled_from(settled), label="attempt")
        words: dict[str, Any] = {"reason": "resolved", "evidence": "asked", "who": "Grace", "now": self.run.now}
        if attempt in self.executed:
            reached = not self.unreached[attempt]
            record_sent(self.connection, campaign, attempt, cost_ugx=self.executed[attempt], everybody=reached, **words)
        else:
            record_not_sent(self.connection, campaign, attempt, at_the_end=False, **words)
        self.run.sender.look_again()

    # --- what holds at any moment ------------------------------------------------------------------------------------

    @invariant()
    def nobody_twice_and_nobody_lost(self) -> None:
        if not hasattr(self, "run"):
            return
        ledger = Ledger(self.store)
        campaign = ledger.get("clinic-day", self.edition)
        table = ledger.results(campaign)
        assert table["row"].to_list() == list(range(1, self.people + 1))
        assert max(self.delivered.values(), default=0) <= 1
        late = {row for call in self.may_come_late + self.out for row in call.rows}
        for row, outcome in table.select("row", "outcome").iter_rows():
            if outcome == Outcome.ACCEPTED:
                assert self.delivered[row] == 1
            elif outcome in NOT_DELIVERED:
                assert self.delivered[row] == 0
                assert row not in late
        assert ledger.totals(campaign).charged_ugx <= sum(self.executed.values())

    @property
    def campaign(self) -> CampaignRow:
        return Ledger(self.store).get("clinic-day", self.edition)

    # --- small pieces ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.run.now += SECOND

    def carry_out(self, call: ClaimedCall) -> None:
        """Everybody in it but those in the rows that end in 3 gets the message, and is charged."""
        reached = [row for row in call.rows if row % 10 != 3]
        self.delivered.update(reached)
        self.unreached[call.attempt_id] = [number(row) for row in call.rows if row % 10 == 3]
        self.executed[call.attempt_id] = PRICE_UGX * len(reached)
        self.balance_ugx -= PRICE_UGX * len(reached)

    def read(self) -> None:
        self.tick()
        began = self.run.now
        self.tick()
        accounting.record_reading(
            self.connection, self.account, self.balance_ugx, who="tester", began=began, now=self.run.now
        )
        self.tick()

    def settle(self) -> None:
        campaign = Ledger(self.store).get("clinic-day", self.edition)
        conclude(self.connection, campaign, RULES, now=self.run.now)
        self.run.sender.look_again()


def run_machine(url: str, examples: int) -> None:
    machine: type[Account] = type("AccountOfThisStore", (Account,), {"url": url})
    # Not made smaller when it fails: that takes minutes, and the steps are short enough to read.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None, phases=phases),
    )


def test_whatever_happens_nobody_gets_a_second_message(store_url: str) -> None:
    run_machine(store_url, 8)


def test_the_machine_finds_a_sender_that_calls_again_what_a_crash_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = statements.ORPHANED_CHUNKS.values(state=ChunkState.PLANNED)
    monkeypatch.setattr(statements, "ORPHANED_CHUNKS", again)
    with pytest.raises(AssertionError):
        run_machine(str(tmp_path / "ledger.db"), 100)
