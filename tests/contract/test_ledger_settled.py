"""Unknown calls and the money, in both stores: what the balance tells, what a person says, and who waits meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, update

from mambo_io import accounting
from mambo_io.calls_left import UnverifiedCall, unknown_calls, unverified_calls
from mambo_io.doubts import end_orphans, in_flight
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState, Verdict
from mambo_io.sender import Hold
from mambo_io.settled import record_not_sent, record_person, record_sent, settle_state
from mambo_io.store import Store
from mambo_io.tables import attempts, campaigns, chunks, events
from pipelines.settling import Settled, SettlingRules, conclude, unknown_attempt
from support.ledgers import NOON, PRICE_UGX, Run, good_reply, no_answer, plan, rows_of

BALANCE_UGX = 10_000
CAUTIOUS = SettlingRules(exclusive=False, settle_after_s=120, resend_settled=False)
RESENDING = SettlingRules(exclusive=True, settle_after_s=120, resend_settled=True)
SECOND = timedelta(seconds=1)


class Unknowns:
    """A run whose first call tells the balance, and whose second one, of two people, gets no answer."""

    def __init__(self, connection: Connection, *sizes: int, rest: timedelta = timedelta()) -> None:
        self.connection = connection
        self.run = Run.of(connection, plan(*(sizes or (1, 2, 3))))
        self.balance_ugx = BALANCE_UGX
        self.answered()
        self.run.now += rest
        self.lost = self.run.claim_one()
        self.run.now += 20 * SECOND
        self.run.settle(self.lost, no_answer())
        self.run.now += SECOND

    def answered(self) -> None:
        """The next call goes alone and is accepted; its reply names the balance."""
        call = self.run.claim_one()
        self.run.now += SECOND
        self.balance_ugx -= call.expected_ugx
        self.run.settle(call, good_reply(call, balance_ugx=self.balance_ugx))
        self.run.now += SECOND

    def was_charged(self) -> None:
        self.balance_ugx -= self.lost.expected_ugx

    def reading(self, *, after: timedelta = timedelta()) -> datetime:
        self.run.now += after
        accounting.record_reading(
            self.connection,
            "main",
            self.balance_ugx,
            who="officer",
            began=self.run.now,
            now=self.run.now + SECOND,
        )
        return self.run.now + 2 * SECOND

    def concluded(self, rules: SettlingRules = CAUTIOUS) -> Settled:
        return conclude(self.connection, self.run.campaign, rules, now=self.run.now + 2 * SECOND)


@pytest.fixture
def unknowns(connection: Connection) -> Unknowns:
    return Unknowns(connection)


def outcomes(store: Store) -> list[str]:
    ledger = Ledger(store)
    return ledger.results(ledger.get("clinic-day"))["outcome"].to_list()


def evidence(store: Store) -> str | None:
    ledger = Ledger(store)
    [call] = unknown_calls(ledger.store, ledger.get("clinic-day"))
    return call.evidence


def test_a_call_that_the_balance_paid_for_was_sent(store: Store, unknowns: Unknowns) -> None:
    unknowns.was_charged()
    unknowns.reading()
    assert unknowns.concluded() == Settled(sent=1, not_sent=0, left=0, trouble=None)
    assert outcomes(store) == ["accepted"] * 3 + ["planned"] * 3
    charged = Ledger(store).results(unknowns.run.campaign)["charged_ugx"].to_list()
    assert charged == [PRICE_UGX] * 3 + [None] * 3
    [_, attempt] = rows_of(store, attempts)
    assert (attempt["verdict"], attempt["reason"], attempt["exposed_ugx"]) == (Verdict.ACCEPTED, "settled", None)
    [settled] = [event for event in rows_of(store, events) if event["kind"] == "settled"]
    assert settled["detail"].startswith("clinic-day/1/c0002 sent: the balance fell by UGX 100 for unknown calls")


def test_the_balance_behind_the_next_call_tells_as_much_as_a_reading(store: Store, unknowns: Unknowns) -> None:
    unknowns.was_charged()
    unknowns.answered()
    assert unknowns.concluded().sent == 1
    assert outcomes(store) == ["accepted"] * 6


@pytest.mark.parametrize("after", [timedelta(minutes=10), timedelta(hours=5), timedelta(days=3)], ids=str)
@pytest.mark.parametrize("before", [timedelta(minutes=10), timedelta(hours=5), timedelta(days=3)], ids=str)
def test_the_balances_may_be_days_away(connection: Connection, before: timedelta, after: timedelta) -> None:
    unknowns = Unknowns(connection, rest=before)
    unknowns.was_charged()
    unknowns.reading(after=after)
    assert unknowns.concluded().sent == 1


def test_no_balance_is_looked_for_more_than_a_week_before(connection: Connection) -> None:
    unknowns = Unknowns(connection, rest=timedelta(days=8))
    unknowns.was_charged()
    unknowns.reading()
    assert unknowns.concluded() == Settled(sent=0, not_sent=0, left=1, trouble="no balance is known from before it")


def test_a_later_balance_tells_what_an_earlier_one_could_not_tell_yet(connection: Connection) -> None:
    """Half a minute after it was given up the call might still have been executed; days later not any more."""
    unknowns = Unknowns(connection)
    unknowns.reading(after=30 * SECOND)
    assert unknowns.concluded(RESENDING).left == 1
    unknowns.reading(after=timedelta(days=2))
    assert unknowns.concluded(RESENDING).not_sent == 1


def test_a_balance_of_a_clock_that_was_ahead_tells_nothing(connection: Connection) -> None:
    """Read before the call was made, and dated ten minutes later: nothing is missing from it, and nobody waited."""
    unknowns = Unknowns(connection)
    now = unknowns.run.now
    unknowns.reading(after=timedelta(minutes=10))
    unknowns.run.now = now
    assert unknowns.concluded(RESENDING).not_sent == 0


def test_a_part_of_it_that_was_not_reached_leaves_everybody_in_it_unverified(store: Store, unknowns: Unknowns) -> None:
    """Two people of a network that nobody has been reached on yet, and the money of one."""
    with unknowns.connection.begin():
        unknowns.connection.exec_driver_sql("UPDATE recipients SET network_guess = 'Lyca' WHERE row > 1")
    unknowns.balance_ugx -= PRICE_UGX
    unknowns.reading()
    assert unknowns.concluded().sent == 1
    assert outcomes(store)[1:3] == ["unverified", "unverified"]
    assert Ledger(store).totals(unknowns.run.campaign).charged_ugx == 2 * PRICE_UGX


NOTHING_MISSING = {
    "somebody else may use the account": (CAUTIOUS, timedelta(minutes=10), "MAMBO_ACCOUNT_EXCLUSIVE is not set"),
    "it may still be executed": (RESENDING, timedelta(seconds=30), "until 120 s (settle_after_s) it may still"),
    "nobody asked for it to be sent again": (
        SettlingRules(exclusive=True, settle_after_s=120, resend_settled=False),
        timedelta(minutes=10),
        "it was not sent; resend_settled is off",
    ),
}


@pytest.mark.parametrize(("rules", "after", "why"), NOTHING_MISSING.values(), ids=NOTHING_MISSING)
def test_that_nothing_is_missing_is_told_and_changes_nothing(
    store: Store, unknowns: Unknowns, rules: SettlingRules, after: timedelta, why: str
) -> None:
    unknowns.reading(after=after)
    assert unknowns.concluded(rules) == Settled(sent=0, not_sent=0, left=1, trouble=None)
    assert why in (evidence(store) or "")
    assert outcomes(store)[1:3] == ["unknown", "unknown"]


def test_a_top_up_that_was_entered_hides_what_was_taken(store: Store, unknowns: Unknowns) -> None:
    """The call was charged UGX 100 and the account topped up by UGX 100: nothing is missing, and yet it was sent."""
    unknowns.was_charged()
    unknowns.balance_ugx += 100
    accounting.record_top_up(unknowns.connection, "main", 100, day=NOON.date(), reference="MoMo 1", who="Grace")
    unknowns.reading(after=timedelta(minutes=10))
    settled = unknowns.concluded(RESENDING)
    assert (settled.sent, settled.not_sent, settled.left) == (0, 0, 1)
    assert (evidence(store) or "").startswith("the account was topped up meanwhile, as was entered by hand")
    assert outcomes(store)[1:3] == ["unknown", "unknown"]


@pytest.mark.parametrize(("account", "days"), [("main", -1), ("main", 1), ("second", 0)])
def test_a_top_up_of_another_day_or_account_hides_nothing(
    store: Store, unknowns: Unknowns, account: str, days: int
) -> None:
    unknowns.was_charged()
    day = NOON.date() + timedelta(days=days)
    accounting.record_top_up(unknowns.connection, account, 100, day=day, reference="MoMo 1", who="Grace")
    unknowns.reading(after=timedelta(minutes=10))
    assert unknowns.concluded(RESENDING) == Settled(sent=1, not_sent=0, left=0, trouble=None)


def test_a_call_that_was_not_sent_is_planned_again_behind_all_others(store: Store, unknowns: Unknowns) -> None:
    unknowns.reading(after=timedelta(minutes=10))
    assert unknowns.concluded(RESENDING) == Settled(sent=0, not_sent=1, left=0, trouble=None)
    assert outcomes(store) == ["accepted"] + ["planned"] * 5
    assert unknowns.run.claim_one().rows == (4, 5, 6)
    assert unknowns.run.claim_one().rows == (2, 3)


def test_without_a_balance_from_after_it_nothing_is_concluded(store: Store, unknowns: Unknowns) -> None:
    assert unknowns.concluded().left == 1
    assert (evidence(store) or "").startswith("no balance is known from after it")


def test_without_a_balance_from_before_it_nothing_is_concluded(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2, 1))
    run.settle(run.claim_one(), no_answer())
    accounting.record_reading(connection, "main", BALANCE_UGX, who="officer", now=NOON + timedelta(hours=1))
    assert conclude(connection, run.campaign, CAUTIOUS, now=NOON + timedelta(hours=2)).left == 1
    assert evidence(store) == "no balance is known from before it"


def test_a_balance_that_was_read_while_a_call_was_out_counts_for_nothing(store: Store, unknowns: Unknowns) -> None:
    unknowns.run.claim_one()
    unknowns.was_charged()
    unknowns.reading()
    assert unknowns.concluded().left == 1
    assert (evidence(store) or "").startswith("no balance is known from after it")


def test_an_account_that_others_use_tells_nothing(store: Store, unknowns: Unknowns) -> None:
    unknowns.balance_ugx -= 7 * PRICE_UGX
    unknowns.reading()
    assert unknowns.concluded().left == 1
    assert evidence(store) == "UGX 350 are missing from the balance, and no unknown call explains it"


def test_another_campaign_of_the_account_counts_as_well(
    store: Store, connection: Connection, unknowns: Unknowns
) -> None:
    other = Run.of(connection, plan(4, name="elsewhere"), now=unknowns.run.now)
    call = other.claim_one()
    other.now += SECOND
    other.settle(call, good_reply(call, balance_ugx=unknowns.balance_ugx - 4 * PRICE_UGX))
    unknowns.balance_ugx -= 4 * PRICE_UGX
    unknowns.run.now = other.now + SECOND
    unknowns.reading(after=timedelta(minutes=10))
    assert unknowns.concluded(RESENDING).not_sent == 1, "what is missing was charged for the other campaign"


def test_an_older_call_that_stays_unknown_and_a_top_up_do_not_end_settling(
    store: Store, connection: Connection
) -> None:
    older = Run.of(connection, plan(4, name="elsewhere"))
    older.settle(older.claim_one(), no_answer())
    unknowns = Unknowns(connection)  # its first call names a balance, but the older call might still be executed
    unknowns.reading(after=timedelta(hours=1))
    other = Run.of(connection, plan(1, 2, name="afterwards"), now=unknowns.run.now)
    unknowns.balance_ugx += 50_000
    other.now += timedelta(hours=1)
    accounting.record_reading(connection, "main", unknowns.balance_ugx, who="officer", now=other.now)
    other.now += SECOND
    lost = other.claim_one()
    other.now += SECOND
    other.settle(lost, no_answer())
    unknowns.balance_ugx -= lost.expected_ugx
    other.now += SECOND
    accounting.record_reading(connection, "main", unknowns.balance_ugx, who="officer", now=other.now + SECOND)
    now = other.now + 2 * SECOND
    assert conclude(connection, other.campaign, CAUTIOUS, now=now) == Settled(sent=1, not_sent=0, left=0, trouble=None)


def test_no_sender_of_the_account_claims_while_the_balance_is_read(store: Store, unknowns: Unknowns) -> None:
    run = unknowns.run
    accounting.set_settling(unknowns.connection, "main", run.now + 90 * SECOND)
    assert run.try_to_claim() == (0, Hold.SETTLING)
    accounting.set_settling(unknowns.connection, "main", None)
    assert run.try_to_claim() == (1, None)


def test_a_settlement_whose_process_was_killed_holds_nobody_up_for_long(unknowns: Unknowns) -> None:
    run = unknowns.run
    accounting.set_settling(unknowns.connection, "main", run.now + 90 * SECOND)
    run.now += 91 * SECOND
    assert run.try_to_claim() == (1, None)


def test_what_a_living_process_may_be_sending_is_in_flight(connection: Connection, unknowns: Unknowns) -> None:
    now = unknowns.run.now
    unknowns.run.claim_one()
    assert in_flight(connection, "main", now) == 1
    assert in_flight(connection, "main", now + timedelta(minutes=2)) == 0, "no call takes so long"
    assert in_flight(connection, "other", now) == 0
    end_orphans(connection, unknowns.run.campaign, now)
    assert in_flight(connection, "main", now) == 0


# --- a person's word -------------------------------------------------------------------------------------------------


def test_a_person_says_that_it_was_sent(store: Store, connection: Connection, unknowns: Unknowns) -> None:
    campaign, now = unknowns.run.campaign, unknowns.run.now
    attempt = unknown_attempt(Ledger(store), campaign, "c0002")
    record_sent(
        connection,
        campaign,
        attempt,
        cost_ugx=None,
        everybody=True,
        reason="resolved",
        evidence="their log shows it",
        who="Grace",
        now=now,
    )
    assert outcomes(store)[1:3] == ["accepted", "accepted"]
    assert Ledger(store).totals(campaign).exposed_ugx == 2 * PRICE_UGX, "what it cost is still not known"
    [said] = [event for event in rows_of(store, events) if event["kind"] == "settled"]
    assert (said["who"], said["detail"]) == ("Grace", "clinic-day/1/c0002 sent: their log shows it")


def test_a_person_says_that_it_was_not_sent(store: Store, connection: Connection, unknowns: Unknowns) -> None:
    campaign, now = unknowns.run.campaign, unknowns.run.now
    attempt = unknown_attempt(Ledger(store), campaign, "clinic-day/1/c0002")
    record_not_sent(
        connection, campaign, attempt, reason="resolved", evidence="no trace", at_the_end=False, who="Grace", now=now
    )
    with connection.begin():
        connection.execute(update(campaigns).values(state=CampaignState.PAUSED, stop_reason="unknown_calls"))
    assert settle_state(connection, campaign, now) is CampaignState.PAUSED
    assert Ledger(store).get("clinic-day").stop_reason == "resolved", "no unknown call is left"
    assert outcomes(store) == ["accepted"] + ["planned"] * 5
    again = Run(connection, Ledger(store).get("clinic-day"), now=now)
    assert again.claim_one().rows == (2, 3), "it goes first"


def test_what_is_not_unknown_cannot_be_resolved(store: Store, connection: Connection, unknowns: Unknowns) -> None:
    campaign, now = unknowns.run.campaign, unknowns.run.now
    attempt = unknown_attempt(Ledger(store), campaign, "2")
    word = {"reason": "resolved", "evidence": "no trace", "at_the_end": False, "who": "Grace", "now": now}
    record_not_sent(connection, campaign, attempt, **word)  # type: ignore[arg-type]  # one dictionary for two calls
    with pytest.raises(InputError, match="is not unknown"):
        record_not_sent(connection, campaign, attempt, **word)  # type: ignore[arg-type]  # as above
    with pytest.raises(InputError, match="is no unknown call"):
        unknown_attempt(Ledger(store), campaign, "c0003")


@pytest.mark.parametrize(("reached", "outcome"), [(True, "accepted"), (False, "unsupported")])
def test_a_person_knows_of_one_unverified_recipient(
    store: Store, connection: Connection, reached: bool, outcome: str
) -> None:
    run = Run.of(connection, plan(2))
    call = run.claim_one()
    run.settle(call, good_reply(call, recipients_count=7))
    unverified = UnverifiedCall("clinic-day/1/c0001", 2, 1, 2, 7, 0, "count_above_submitted")
    assert unverified_calls(store, run.campaign) == [unverified]
    record_person(connection, run.campaign, 2, reached=reached, note="asked her", who="Grace", now=NOON)
    assert outcomes(store) == ["unverified", outcome]
    assert unverified_calls(store, run.campaign) == [replace(unverified, recipients_count=1)]
    with pytest.raises(InputError, match="is nobody whom a reply left unverified"):
        record_person(connection, run.campaign, 2, reached=True, note="again", who="Grace", now=NOON)


def test_who_was_not_reached_pays_nothing_and_the_others_pay_for_the_call(store: Store, connection: Connection) -> None:
    """Three unverified people in a call of UGX 100; then two of them were not reached, then nobody was."""
    run = Run.of(connection, plan(3, 1))
    call = run.claim_one()
    run.settle(call, good_reply(call, recipients_count=7, sms_cost=100))
    charges = [Ledger(store).results(run.campaign)["charged_ugx"].to_list()]
    for row in (2, 1, 3):
        record_person(connection, run.campaign, row, reached=False, note="asked her", who="Grace", now=NOON)
        charges.append(Ledger(store).results(run.campaign)["charged_ugx"].to_list())
    assert charges == [
        [34, 33, 33, None],
        [50, 0, 50, None],
        [0, 0, 100, None],
        [34, 33, 33, None],
    ]


def test_a_campaign_of_which_everything_is_settled_is_complete(store: Store, connection: Connection) -> None:
    unknowns = Unknowns(connection, 1, 2)
    unknowns.was_charged()
    unknowns.reading()
    assert unknowns.concluded().sent == 1
    assert settle_state(connection, unknowns.run.campaign, unknowns.run.now) is CampaignState.COMPLETE
    assert {row["state"] for row in rows_of(store, chunks)} == {"accepted"}
