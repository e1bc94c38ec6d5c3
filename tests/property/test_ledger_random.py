"""The ledger under random plans, replies and restarts, on both stores, against a plain account of what happened."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from mambo_io import accounting
from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import US, Ledger, from_us, to_us
from mambo_io.model import Action, Blame, CallResult, Outcome, Receipt, UnsupportedContact, Verdict
from mambo_io.planning import write_plan, write_suppressions
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, recipients
from pipelines.chunking import text_key
from support.ledgers import NOON, PRICE_UGX, TEXT, Run, number, plan, rows_of, suppressed, view_of

EDITIONS = itertools.count(1)
NO_REASON = {Outcome.ACCEPTED, Outcome.PLANNED, Outcome.IN_FLIGHT}
MAY_HAVE_BEEN_SENT = {None, Verdict.ACCEPTED, Verdict.UNKNOWN}
STEPS_OF_TWO = ["claim", "claim", "settle", "restart"]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store(store_url, create=True) as store:
        yield store


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.writer() as connection:
        yield connection


@st.composite
def receipts(draw: st.DrawFn, call: ClaimedCall) -> Receipt:
    """Any receipt that the reading of replies may hand on: nothing in it has to fit together."""
    listed = draw(st.lists(st.sampled_from([*call.request.recipients, None]), unique=True, max_size=len(call.rows) + 1))
    return Receipt(
        sms_cost_ugx=draw(st.none() | st.integers(0, 3 * call.expected_ugx)),
        new_balance_ugx=draw(st.none() | st.integers(-100, 10**6)),
        unsupported=tuple(UnsupportedContact(e164 or "a stranger", e164) for e164 in listed),
        consistent=draw(st.booleans()),
    )


@st.composite
def results(draw: st.DrawFn, call: ClaimedCall) -> CallResult:
    """Whatever may become of a call."""
    match draw(st.sampled_from(["accepted", "unknown", "refused", "refused for the account", "not sent", "too large"])):
        case "accepted":
            return CallResult(Verdict.ACCEPTED, Action.GO_ON, "ok", receipt=draw(receipts(call)))
        case "unknown":
            return CallResult(Verdict.UNKNOWN, Action.GO_ON, "no_answer")
        case "refused":
            return CallResult(Verdict.REFUSED, Action.GO_ON, "http_400")
        case "refused for the account":
            return CallResult(Verdict.REFUSED, Action.STOP, "bad_key", Blame.ACCOUNT)
        case "not sent":
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "connect_failed")
        case _:
            return CallResult(Verdict.NOT_SENT, Action.SPLIT, "too_large")


def new_run(connection: Connection, *sizes: int, rejected: int = 0) -> Run:
    """An edition and an account of its own for every example, so that none finds what another left."""
    name = str(next(EDITIONS))
    return Run.of(connection, plan(*sizes, rejected=rejected, edition=name, account=name))


@dataclass
class Story:
    """What happened, told without a database: who was in a call that the API may have got, or was refused in one."""

    done: set[int] = field(default_factory=set)
    opted_out: set[int] = field(default_factory=set)
    out: list[ClaimedCall] = field(default_factory=list)

    def claimed(self, calls: tuple[ClaimedCall, ...]) -> None:
        for call in calls:
            assert len(set(call.rows)) == len(call.rows) > 0
            assert self.done.isdisjoint(call.rows), "somebody is in a second call without proof about the first"
            assert self.opted_out.isdisjoint(call.rows), "somebody who opted out is messaged"
            assert call.request.recipients == tuple(number(row) for row in call.rows)
            assert call.expected_ugx == PRICE_UGX * len(call.rows)
            self.done.update(call.rows)
            self.out.append(call)

    def ended(self, call: ClaimedCall, result: CallResult) -> None:
        if result.verdict is Verdict.NOT_SENT or result.blame is Blame.ACCOUNT:
            self.done.difference_update(call.rows)


def check(store: Store, run: Run) -> None:
    """Every rule that holds of a campaign at any moment."""
    ledger, campaign = Ledger(store), run.campaign
    people, totals = ledger.results(campaign).to_dicts(), ledger.totals(campaign)
    tries = rows_of(store, attempts, campaign_id=campaign.id)
    calls = {row["chunk"]: row for row in rows_of(store, chunks, campaign_id=campaign.id)}

    assert people == view_of(store, campaign).to_dicts()
    assert [person["row"] for person in people] == list(range(1, campaign.rows + 1))
    for person in people:
        assert (person["reason"] is None) == (Outcome(person["outcome"]) in NO_REASON)

    alive = Counter(attempt["chunk"] for attempt in tries if attempt["verdict"] in MAY_HAVE_BEEN_SENT)
    assert max(alive.values(), default=0) <= 1, "two attempts of a call of which neither is known to have failed"
    for attempt in tries:
        is_open = attempt["verdict"] in MAY_HAVE_BEEN_SENT and attempt["charged_ugx"] is None
        assert attempt["exposed_ugx"] == (attempt["expected_ugx"] if is_open else None)
        charges = [person["charged_ugx"] for person in people if person["attempt"] == attempt["id"]]
        if attempt["charged_ugx"] is None:
            assert set(charges) <= {None}
        else:
            assert sum(charges) == attempt["charged_ugx"]

    inside = Counter(person["chunk"] for person in people if person["chunk"] is not None)
    assert {chunk: calls[chunk]["recipients_count"] for chunk in inside} == inside
    assert all(call["state"] in ("split", "skipped") for chunk, call in calls.items() if chunk not in inside)

    assert totals.rows == len(people)
    assert totals.outcomes == Counter(person["outcome"] for person in people)
    assert totals.charged_ugx == sum(person["charged_ugx"] or 0 for person in people)
    charged = {attempt["id"]: attempt for attempt in tries if attempt["charged_ugx"] is not None}
    charged_less = {number for number, attempt in charged.items() if attempt["charged_ugx"] < attempt["expected_ugx"]}
    assert totals.unsupported_estimate_ugx == sum(
        person["estimated_ugx"]
        for person in people
        if person["outcome"] == Outcome.UNSUPPORTED and person["attempt"] in charged_less
    )
    assert totals.exposed_ugx == sum(attempt["exposed_ugx"] or 0 for attempt in tries)
    assert totals.calls == Counter(call["state"] for call in calls.values())
    open_outcomes = {Outcome.PLANNED, Outcome.IN_FLIGHT, Outcome.UNKNOWN}
    assert totals.left == sum(person["outcome"] in open_outcomes for person in people)


def test_nobody_is_messaged_twice_or_lost_whatever_happens(store: Store, connection: Connection) -> None:
    @settings(max_examples=20)
    @given(
        sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
        rejected=st.integers(0, 2),
        steps=st.lists(st.sampled_from(["claim", "claim", "settle", "settle", "restart", "opt out"]), max_size=14),
        data=st.data(),
    )
    def campaign(sizes: list[int], rejected: int, steps: list[str], data: st.DataObject) -> None:
        run = new_run(connection, *sizes, rejected=rejected)
        story = Story()
        for step in steps:
            match step:
                case "claim":
                    story.claimed(run.claim(data.draw(st.integers(1, 3), label="want")))
                case "settle" if story.out:
                    call = story.out.pop(data.draw(st.integers(0, len(story.out) - 1), label="which"))
                    result = data.draw(results(call), label="result")
                    story.ended(call, result)
                    story.claimed(run.exchange(run.end(call, result), want=data.draw(st.integers(0, 1))).calls)
                case "restart":
                    in_flight, story.out = len(story.out), []
                    run = Run(connection, Ledger(store).get("clinic-day", run.campaign.edition))
                    assert run.orphans == in_flight
                case "opt out":
                    row = data.draw(st.integers(1, sum(sizes)), label="row")
                    story.opted_out.add(row)
                    write_suppressions(connection, run.campaign.id, suppressed(row))
                case _:
                    pass  # nothing is out that could be settled
        check(store, run)

        # And to the end, with all the money there is: everybody who is left is messaged.
        accounting.record_reading(connection, run.campaign.account, 10**9, who="tester", now=NOON)
        hold = None
        while hold is None:
            exchange = run.exchange(want=3)
            story.claimed(exchange.calls)
            hold = exchange.hold
        assert hold is Hold.NOTHING_LEFT
        assert story.done | story.opted_out == set(range(1, sum(sizes) + 1))
        check(store, run)

    campaign()


def test_two_editions_at_once_send_a_text_to_nobody_twice(store: Store, connection: Connection) -> None:
    """The same people in other calls, of whom some are sent another text, whatever becomes of the calls of either.

    Nobody is in two calls with one text that both may have reached them; who is in none has a reason, which is that
    the other edition's call may have reached them when they were claimed.
    """

    @settings(max_examples=10)
    @given(
        sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        steps=st.lists(st.tuples(st.sampled_from(STEPS_OF_TWO), st.integers(0, 1)), min_size=4, max_size=12),
        data=st.data(),
    )
    def editions(sizes: list[int], steps: list[tuple[str, int]], data: st.DataObject) -> None:
        account = str(next(EDITIONS))
        others = data.draw(st.permutations(sizes), label="sizes of the other")
        planned = plan(*others, edition=f"{account}-b", account=account)
        is_last = pl.col("chunk") == len(others)
        of_last = {"text": pl.lit("Another text."), "text_key": pl.lit(text_key("Another text."))}
        texts = [pl.when(is_last).then(value).otherwise(name).alias(name) for name, value in of_last.items()]
        planned = replace(planned, chunks=planned.chunks.with_columns(texts))
        runs = [Run.of(connection, each) for each in (plan(*sizes, edition=f"{account}-a", account=account), planned)]
        out: list[list[ClaimedCall]] = [[], []]
        reached: Counter[tuple[int, str]] = Counter()  # by row and text: calls that are accepted, unknown or in flight
        left_out: list[set[int]] = [set(), set()]

        def claim(which: int, want: int) -> Hold | None:
            run = runs[which]
            exchange = run.exchange(want=want)
            rejected = rows_of(store, recipients, campaign_id=run.campaign.id, reason="already_sent")
            fresh = {person["row"] for person in rejected} - left_out[which]
            assert all(reached[row, TEXT] for row in fresh), "somebody is left out for no reason"
            left_out[which] |= fresh
            for call in exchange.calls:
                reached.update((row, call.request.message) for row in call.rows)
            assert max(reached.values(), default=0) <= 1, "a text may have reached somebody twice"
            out[which] += exchange.calls
            return exchange.hold

        def settle(which: int, result: CallResult, call: ClaimedCall) -> None:
            runs[which].settle(call, result)
            if result.verdict in (Verdict.REFUSED, Verdict.NOT_SENT):
                reached.subtract((row, call.request.message) for row in call.rows)
            elif result.receipt is not None:
                gone = {contact.e164 for contact in result.receipt.unsupported}
                reached.subtract((row, call.request.message) for row in call.rows if number(row) in gone)

        for run in runs:
            run.limit(repeat_guard_days=7)
        for step, which in steps:
            match step:
                case "claim":
                    claim(which, data.draw(st.integers(1, 3), label="want"))
                case "settle" if out[which]:
                    call = out[which].pop(data.draw(st.integers(0, len(out[which]) - 1), label="which"))
                    settle(which, data.draw(results(call), label="result"), call)
                case "restart":
                    out[which] = []
                    runs[which] = Run(connection, Ledger(store).get("clinic-day", runs[which].campaign.edition))
                    runs[which].limit(repeat_guard_days=7)
                case _:
                    pass  # nothing is out that could be settled
        accounting.record_reading(connection, account, 10**9, who="tester", now=NOON)
        for which in (0, 1):
            while claim(which, 3) is None:
                pass
        for run in runs:
            check(store, run)

    editions()


# Whatever may stand in a cell: any text (NUL bytes are refused where a list is read), what JSON has to escape far more
# often than chance would have it, and words that mean something to JSON, to SQL or to a spreadsheet program.
CELL = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.text(st.sampled_from("\"'\\/,:;{}[]\n\r\t\x01\x1f\x7f\u2028aŋ€\U0001f642"), max_size=8),
    st.sampled_from(
        ["", "null", "NULL", "\\N", "[]", '{"client_id": "7"}', "0772", "1e5", "true", "\\u0000", "\ufeff"]
    ),
)


def test_any_text_comes_out_of_the_ledger_as_it_went_in(store: Store, connection: Connection) -> None:
    texts = ("phone_raw", "network_guess", "client_id", "message", "encoding")
    people = st.lists(st.tuples(*[CELL] * len(texts)), min_size=1, max_size=6)

    @settings(max_examples=60)
    @given(sendable=people, rejected=people)
    def campaign(sendable: list[tuple[str | None, ...]], rejected: list[tuple[str | None, ...]]) -> None:
        cells = pl.DataFrame([*sendable, *rejected], schema=dict.fromkeys(texts, pl.String), orient="row")
        edition, kept = str(next(EDITIONS)), {"client_id": cells["client_id"].to_list()}
        planned = plan(len(sendable), rejected=len(rejected), edition=edition, account=edition, kept=kept)
        [recipients] = planned.recipients
        changed = replace(planned, recipients=[recipients.with_columns(cells)])
        row = write_plan(connection, changed, who="tester")

        found = Ledger(store).results(row)

        assert found.rows() == view_of(store, row).rows()
        assert found.select(texts[:3]).equals(cells.select(texts[:3]))
        of_rejected = len(rejected)  # the message of the others is their call's
        assert found.select(texts).tail(of_rejected).equals(cells.tail(of_rejected))

    campaign()


def test_the_charges_of_a_calls_people_add_up_to_what_it_was_charged(store: Store, connection: Connection) -> None:
    @settings(max_examples=15)
    @given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8), data=st.data())
    def campaign(sizes: list[int], data: st.DataObject) -> None:
        run = new_run(connection, *sizes)
        calls = run.claim(len(sizes))
        receipts_of = [data.draw(receipts(call)) for call in calls]
        ends = [
            run.end(call, CallResult(Verdict.ACCEPTED, Action.GO_ON, "ok", receipt=receipt))
            for call, receipt in zip(calls, receipts_of, strict=True)
        ]
        run.exchange(*ends, want=0)
        check(store, run)

        people = Ledger(store).results(run.campaign)
        for call, receipt in zip(calls, receipts_of, strict=True):
            mine = people.filter(chunk=call.chunk)
            if receipt.sms_cost_ugx is None:
                assert mine["charged_ugx"].null_count() == mine.height
                continue
            unsupported = {contact.e164 for contact in receipt.unsupported} - {None}
            reached = mine.filter(~mine["e164"].is_in(list(unsupported)))
            paying = reached if reached.height else mine
            shares = paying.sort("row")["charged_ugx"].to_list()
            assert shares == sorted(shares, reverse=True), "the remainder stands on the lowest rows"
            assert shares[0] - shares[-1] <= 1
            assert sum(shares) == receipt.sms_cost_ugx

    campaign()


def test_the_rate_of_an_account_holds_over_any_time(connection: Connection) -> None:
    """At most one call more than the rate allows, or those of a tenth of a second: what makes a late wake-up good.
    A sender that comes at its turn may call, whoever else has asked meanwhile."""

    @settings(max_examples=12)
    @given(
        per_second=st.sampled_from([0.5, 1.0, 3.0, 40.0]),
        moments=st.lists(
            st.tuples(st.integers(0, 3 * US), st.integers(0, 1), st.integers(1, 4)), min_size=1, max_size=8
        ),
    )
    def account(per_second: float, moments: list[tuple[int, int, int]]) -> None:
        edition = str(next(EDITIONS))
        runs = [Run.of(connection, plan(*[1] * 48, name=name, edition=edition, account=edition)) for name in ("a", "b")]
        interval, called_at_us = round(US / per_second), list[int]()
        now = NOON
        for pause_us, which, want in moments:
            now += timedelta(microseconds=pause_us)
            run, other = runs[which], runs[1 - which]
            run.now = other.now = now
            run.limit(calls_per_second=per_second)
            other.limit(calls_per_second=per_second)
            exchange = run.exchange(want=want)
            called_at_us += [to_us(now)] * len(exchange.calls)
            if exchange.hold is Hold.RATE:
                assert exchange.retry_at_us is not None
                assert to_us(now) < exchange.retry_at_us <= to_us(now) + 2 * interval
                called_at_us += [to_us(now)] * len(other.exchange(want=1).calls)
                now = from_us(exchange.retry_at_us)
                run.now = now
                [_] = run.claim()
                called_at_us.append(to_us(now))
        for first, last in itertools.combinations(range(len(called_at_us)), 2):
            calls, grace = last - first + 1, max(interval, US // 10)
            assert calls - 1 <= (called_at_us[last] - called_at_us[first] + grace) / interval

    account()


@given(st.integers(0, to_us(datetime(2200, 1, 1, tzinfo=UTC))))
def test_a_time_comes_back_to_the_microsecond(at_us: int) -> None:
    assert to_us(from_us(at_us)) == at_us
