"""What a receipt says: who could not be reached, what was charged and to whom, and what does not add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection

from mambo_io.calls_left import UnchargedCalls, uncharged_calls
from mambo_io.ledger import Ledger
from mambo_io.model import Outcome, Verdict
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, recipient_exceptions, unsupported
from pipelines import reconciliation
from pipelines.summary import summarize
from support.ledgers import Run, bad_reply, good_reply, number, plan, rows_of


@dataclass(frozen=True)
class Receipt:
    """What a reply to a call says, and the charge (UGX) and the outcome of each of its people."""

    people: int
    charged_ugx: list[int | None]
    outcomes: str  # a: accepted, s: unsupported, v: unverified
    unsupported: list[int] = field(default_factory=list)  # positions in the call
    data: dict[str, Any] = field(default_factory=dict)


WORDS = {"a": Outcome.ACCEPTED, "s": Outcome.UNSUPPORTED, "v": Outcome.UNVERIFIED}

RECEIPTS = {
    "the price for everybody": Receipt(3, [50, 50, 50], "aaa"),
    "the remainder stands on the lowest rows": Receipt(3, [34, 33, 33], "aaa", data={"sms_cost": 100}),
    "less than a shilling each": Receipt(3, [1, 1, 0], "aaa", data={"sms_cost": 2}),
    "nothing": Receipt(3, [0, 0, 0], "aaa", data={"sms_cost": 0}),
    "not known": Receipt(3, [None] * 3, "aaa", data={"sms_cost": None}),
    "no whole shillings": Receipt(2, [None] * 2, "aa", data={"sms_cost": 99.5}),
    "one unsupported and not charged": Receipt(3, [50, 0, 50], "asa", [1]),
    "one unsupported and charged": Receipt(3, [75, 0, 75], "asa", [1], {"recipients_count": 3, "sms_cost": 150}),
    "one unsupported, remainder": Receipt(3, [0, 51, 50], "saa", [0], {"sms_cost": 101}),
    "one unsupported, not known": Receipt(2, [None] * 2, "as", [1], {"sms_cost": None}),
    "all unsupported and not charged": Receipt(3, [0, 0, 0], "sss", [0, 1, 2]),
    "all unsupported and charged": Receipt(3, [34, 33, 33], "sss", [0, 1, 2], {"sms_cost": 100}),
    "all unsupported, not known": Receipt(2, [None] * 2, "ss", [0, 1], {"sms_cost": None}),
    "counts do not add up": Receipt(3, [34, 33, 33], "vvv", data={"recipients_count": 2, "sms_cost": 100}),
    "counts do not add up, one unsupported": Receipt(
        3, [50, 0, 50], "vsv", [1], {"recipients_count": 1, "sms_cost": 100}
    ),
    "no counts at all": Receipt(2, [50, 50], "vv", data={"recipients_count": None, "sms_cost": 100}),
}


def test_the_charge_is_divided_over_those_who_were_reached(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(*(receipt.people for receipt in RECEIPTS.values())))
    calls = run.claim(len(RECEIPTS))
    ends = [
        run.end(call, good_reply(call, unsupported=[number(call.rows[i]) for i in receipt.unsupported], **receipt.data))
        for call, receipt in zip(calls, RECEIPTS.values(), strict=True)
    ]
    run.exchange(*ends, want=0)

    people = Ledger(store).results(run.campaign)
    found = {
        name: (
            people.filter(chunk=call.chunk)["charged_ugx"].to_list(),
            people.filter(chunk=call.chunk)["outcome"].to_list(),
        )
        for name, call in zip(RECEIPTS, calls, strict=True)
    }
    assert found == {
        name: (receipt.charged_ugx, [WORDS[letter] for letter in receipt.outcomes])
        for name, receipt in RECEIPTS.items()
    }
    # What is not known may still cost what was expected; what is known costs that and nothing more.
    for name, attempt in zip(RECEIPTS, rows_of(store, attempts), strict=True):
        charged = [each for each in RECEIPTS[name].charged_ugx if each is not None]
        assert attempt["charged_ugx"] == (sum(charged) if charged else None), name
        assert attempt["exposed_ugx"] == (None if charged else attempt["expected_ugx"]), name
    totals = Ledger(store).totals(run.campaign)
    assert totals.charged_ugx == people["charged_ugx"].sum()
    assert totals.exposed_ugx == 150 + 100 * 3


# A call of UGX 150 to three people; how many are unsupported, what it cost, and how much less because of them.
@pytest.mark.parametrize(
    ("people", "cost_ugx", "saved_ugx"),
    [(1, 100, 50), (1, 150, 0), (3, 0, 150), (3, 150, 0), (1, None, 0), (0, 100, 0)],
)
def test_what_unsupported_people_saved_is_told_only_where_they_did(
    store: Store, connection: Connection, people: int, cost_ugx: int | None, saved_ugx: int
) -> None:
    run = Run.of(connection, plan(3))
    call = run.claim_one()
    run.settle(call, good_reply(call, unsupported=call.request.recipients[:people], sms_cost=cost_ugx))
    assert Ledger(store).totals(run.campaign).unsupported_estimate_ugx == saved_ugx


def test_only_people_who_differ_from_their_call_have_rows_of_their_own(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(100, 4))
    plain, odd = run.claim(2)
    run.exchange(
        run.end(plain, good_reply(plain)),
        run.end(odd, good_reply(odd, unsupported=[number(102)], sms_cost=151)),
        want=0,
    )
    assert [(row["row"], row["kind"], row["remainder_ugx"]) for row in rows_of(store, recipient_exceptions)] == [
        (101, None, 1),
        (102, "unsupported", 0),
    ]


def test_a_number_is_found_in_whatever_way_the_api_writes_it(store: Store, connection: Connection) -> None:
    written: list[object] = [
        "+256772000001",
        "256772000002",
        "0772000003",
        "772000004",
        "0772 000 005",
        256772000006,
        {"contact": "0772000007", "reason": "network"},
    ]
    run = Run.of(connection, plan(8))
    call = run.claim_one()
    run.settle(call, good_reply(call, unsupported=written))
    assert [row["row"] for row in rows_of(store, unsupported)] == [1, 2, 3, 4, 5, 6, 7]
    assert {row["attempt_id"] for row in rows_of(store, unsupported)} == {call.attempt_id}
    assert Ledger(store).results(run.campaign)["outcome"].to_list() == ["unsupported"] * 7 + ["accepted"]


def test_contacts_that_are_nobody_of_the_call_are_kept_as_they_came(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    call = run.claim_one()
    run.settle(call, good_reply(call, unsupported=[number(2), "0701999999", "unknown subscriber"]))
    assert [(row["raw"], row["row"]) for row in rows_of(store, unsupported)] == [
        (number(2), 2),
        ("0701999999", None),
        ("unknown subscriber", None),
    ]
    [attempt] = rows_of(store, attempts)
    assert (attempt["verdict"], attempt["consistent"]) == (Verdict.ACCEPTED, False)
    assert attempt["alarms"].split(",")[0] == "unsupported_not_in_call"
    assert Ledger(store).results(run.campaign)["outcome"].to_list() == ["unverified", "unsupported"]


def test_everything_a_receipt_says_is_kept_beside_what_was_submitted(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(3))
    call = run.claim_one()
    reply = good_reply(call, unsupported=[number(3)], balance_ugx=8_580, sms_cost="99.50")
    run.settle(call, reply)
    [attempt] = rows_of(store, attempts)
    assert {name: attempt[name] for name in attempt.keys() - {"id", "campaign_id", "intent_at_us", "ended_at_us"}} == {
        "chunk": 1,
        "account": "main",
        "run": "run",
        "epoch": 1,
        "submitted_count": 3,
        "expected_ugx": 150,
        "verdict": "accepted",
        "reason": "cost_not_whole",
        "http_status": 200,
        "api_messages": "Sent",
        "recipients_count": 2,
        "message_count": 1,
        "sms_sent": 2,
        "charged_ugx": None,
        "exposed_ugx": 150,
        "charged_each_ugx": None,
        "unsupported_charged": False,
        "cost_raw": "99.50",
        "balance_after_ugx": 8_580,
        "unsupported_count": 1,
        "consistent": True,
        "agrees": None,
        "alarms": "cost_not_whole",
        "evidence": None,
        "raw_reply": reply.raw_reply,
    }


# --- a call that is too large (HTTP 413) ------------------------------------------------------------------------------


def test_a_call_that_is_too_large_becomes_two_and_nobody_is_lost(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(5, 1, canaries=1, labels=[0, 1]))
    call = run.claim_one()
    run.settle(call, bad_reply(call, 413))

    shown = ("chunk", "parent", "state", "recipients_count", "expected_ugx", "canary", "label")
    assert [tuple(row[column] for column in shown) for row in rows_of(store, chunks)] == [
        (1, None, "split", 5, 250, True, 0),
        (2, None, "planned", 1, 50, False, 1),
        (3, 1, "planned", 3, 150, True, None),
        (4, 1, "planned", 2, 100, True, None),
    ]
    people = Ledger(store).results(run.campaign)
    assert people.select("row", "chunk", "outcome", "reason").rows() == [
        (row, chunk, "planned", None) for row, chunk in enumerate([3, 3, 3, 4, 4, 2], start=1)
    ]
    totals = Ledger(store).totals(run.campaign)
    assert (totals.outcomes, totals.exposed_ugx, totals.rows) == ({Outcome.PLANNED: 6}, 0, 6)

    run.limit(max_cost_ugx=150)
    half = run.claim_one()
    assert (half.chunk, half.rows, half.request.recipients) == (3, (1, 2, 3), (number(1), number(2), number(3)))


def test_it_is_halved_until_it_fits_and_one_person_is_not_halved(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(5))
    sizes = []
    while (exchange := run.exchange()).calls and len(exchange.calls[0].rows) > 1:
        [call] = exchange.calls
        sizes.append(len(call.rows))
        run.settle(call, bad_reply(call, 413))
    assert sizes == [5, 3, 2, 2]

    [last] = exchange.calls
    before = len(rows_of(store, chunks))
    run.settle(last, bad_reply(last, 413))
    assert len(rows_of(store, chunks)) == before
    assert Ledger(store).totals(run.campaign).outcomes == {Outcome.PLANNED: 5}
    people = {row for call in run.claim(9) for row in call.rows}
    assert people == {1, 2, 3, 4, 5}


def test_a_charge_that_is_not_known_is_told_as_that_and_nothing_else(store: Store, connection: Connection) -> None:
    """Five calls to two people each: without a cost, with one that is not whole, with a dearer one, and plain ones."""
    run = Run.of(connection, plan(2, 2, 2, 2, 2))
    said: list[dict[str, Any]] = [{"sms_cost": None}, {"sms_cost": "99.5"}, {"sms_cost": 120}, {}]
    for data in said:
        call = run.claim_one()
        run.settle(call, good_reply(call, **data))
    ledger = Ledger(store)

    summary = summarize(ledger, ledger.get("clinic-day"), command="")

    assert (summary.estimated_ugx, summary.charged_ugx) == (500, 220)
    assert summary.differences == {
        "not sent yet": 100,
        "accepted, and the charge is not known": 200,
        "price, segments or people counted other than expected": -20,
    }
    assert not summary.charge_is_known
    assert summary.uncharged_calls == UnchargedCalls(2, 200, ("clinic-day/1/c0001", "clinic-day/1/c0002"))
    assert uncharged_calls(ledger.store, run.campaign, most=1) == UnchargedCalls(2, 200, ("clinic-day/1/c0001",))
    [sums] = reconciliation.by_campaign(reconciliation.read_books(store)).to_dicts()
    assert (sums["of_unknown_ugx"], sums["of_price_ugx"], sums["of_not_sent_ugx"]) == (-200, 20, -100)
