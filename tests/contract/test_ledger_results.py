"""What is read from the ledger: results with an outcome in every row, sums, names, and who was sent what already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Connection

from mambo_io import accounting, result_rows
from mambo_io.call_ends import ClaimedCall
from mambo_io.calls_left import unknown_calls
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger, from_us
from mambo_io.model import CallResult, ChunkState, Delivery, Outcome
from mambo_io.planning import write_plan
from mambo_io.store import Store
from mambo_io.tables import account_entries
from pipelines.chunking import text_key
from pipelines.schemas import RESULTS, check_frame
from support.ledgers import (
    NOON,
    TEXT,
    Run,
    bad_reply,
    every_outcome,
    good_reply,
    msisdn,
    no_answer,
    no_connection,
    number,
    plan,
    report,
    rows_of,
    view_of,
)

EVERYTHING = NOON - timedelta(days=365)
NOBODY = ("", "")


@pytest.mark.parametrize(("rows_a_piece", "rows_a_list"), [(1, 1), (5, 2), (50_000, 5_000)])
def test_frames_say_what_the_view_says(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch, rows_a_piece: int, rows_a_list: int
) -> None:
    monkeypatch.setattr(result_rows, "ROWS_A_PIECE", rows_a_piece)
    monkeypatch.setattr(result_rows, "ROWS_A_LIST", rows_a_list)
    campaign = every_outcome(connection).campaign
    report(connection, campaign, dict.fromkeys(range(2, 11), Delivery.DELIVERED))  # of whom one was accepted

    found, view = Ledger(store).results(campaign), view_of(store, campaign)

    assert found.columns == view.columns
    assert found.rows() == view.rows()
    assert found.filter(pl.col("delivery").is_not_null()).select("row", "delivery").rows() == [
        *((1, "not_reported"), (3, "delivered")),
    ]


def test_rows_far_apart_come_in_pieces_of_which_some_are_empty(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of the rows are the spreadsheet's own, blank lines and all."""
    monkeypatch.setattr(result_rows, "ROWS_A_PIECE", 5)
    planned = plan(3)
    [people] = planned.recipients
    apart = replace(planned, recipients=[people.with_columns(pl.Series("row", [2, 6, 21]))])
    campaign = write_plan(connection, apart, who="tester")

    pieces = list(Ledger(store).result_pieces(campaign))

    assert [piece["row"].to_list() for piece in pieces] == [[2, 6], [], [], [21]]
    assert all(check_frame(piece, RESULTS).schema == pieces[0].schema for piece in pieces)


def test_results_are_those_of_one_moment(store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_rows, "ROWS_A_PIECE", 1)
    run = Run.of(connection, plan(1, 1, 1, 1))
    pieces = Ledger(store).result_pieces(run.campaign)
    first = next(pieces)
    for call in run.claim(4):
        run.settle(call, good_reply(call))
    rest = list(pieces)
    assert [piece["outcome"].item() for piece in (first, *rest)] == ["planned"] * 4
    assert Ledger(store).results(run.campaign)["outcome"].to_list() == ["accepted"] * 4


def test_whoever_has_seen_enough_of_the_results_leaves_nothing_behind(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_rows, "ROWS_A_PIECE", 1)
    threads = threading.active_count()
    pieces = Ledger(store).result_pieces(write_plan(connection, plan(9), who="tester"))
    next(pieces)
    assert threading.active_count() == threads + 1, "the next piece is fetched meanwhile"
    pieces.close()
    assert threading.active_count() == threads


def test_every_row_of_the_input_has_an_outcome_and_a_reason(store: Store, connection: Connection) -> None:
    run = every_outcome(connection)
    people = Ledger(store).results(run.campaign)
    assert people.select("row", "outcome", "reason", "charged_ugx", "chunk", "attempt").rows() == [
        (1, "accepted", None, 51, 1, 1),
        (2, "unsupported", "unsupported", 0, 1, 1),
        (3, "accepted", None, 50, 1, 1),
        (4, "unverified", "unverified", 50, 2, 2),
        (5, "unverified", "unverified", 50, 2, 2),
        (6, "refused", "http_400", None, 3, 3),
        (7, "refused", "http_400", None, 3, 3),
        (8, "unknown", "no_answer", None, 4, 4),
        (9, "unknown", "no_answer", None, 4, 4),
        (10, "in_flight", None, None, 5, 5),
        (11, "cancelled", "cancelled", None, 6, None),
        (12, "rejected", "missing", None, None, None),
    ]
    assert people["e164"].to_list() == [number(row) for row in range(1, 12)] + [None]
    assert people["message"].to_list() == [TEXT] * 12
    assert people["sent_at"].drop_nulls().unique().to_list() == [NOON]
    assert people["client_id"].to_list() == [f"c{row}" for row in range(1, 13)]


def test_the_columns_of_the_results_are_those_promised(store: Store, connection: Connection) -> None:
    """Reports, exports and notebooks rely on them and on their order; kept columns stand behind."""
    planned = plan(1, kept={"client_id": ["7"], "District": [None]})
    people = Ledger(store).results(write_plan(connection, planned, who="tester"))
    assert dict(people.schema) == {
        "campaign": pl.String,
        "edition": pl.String,
        "row": pl.Int64,
        "phone_raw": pl.String,
        "e164": pl.String,
        "network_guess": pl.String,
        "outcome": pl.String,
        "reason": pl.String,
        "message": pl.String,
        "encoding": pl.String,
        "segments": pl.Int64,
        "estimated_ugx": pl.Int64,
        "charged_ugx": pl.Int64,
        "chunk": pl.Int64,
        "attempt": pl.Int64,
        "sent_at": pl.Datetime("us", "Africa/Kampala"),
        "delivery": pl.String,
        "client_id": pl.String,
        "District": pl.String,
    }
    assert people.select("client_id", "District").rows() == [("7", None)]


def test_the_results_of_a_plan_of_nobody_have_the_same_columns(store: Store, connection: Connection) -> None:
    nobody = Ledger(store).results(write_plan(connection, plan(), who="tester"))
    somebody = Ledger(store).results(write_plan(connection, plan(1, edition="2"), who="tester"))
    assert (nobody.height, nobody.schema) == (0, somebody.schema)


def test_totals_are_the_sums_of_the_results(store: Store, connection: Connection) -> None:
    totals = Ledger(store).totals(every_outcome(connection).campaign)
    assert totals.outcomes == {
        Outcome.REJECTED: 1,
        Outcome.UNSUPPORTED: 1,
        Outcome.UNVERIFIED: 2,
        Outcome.ACCEPTED: 2,
        Outcome.IN_FLIGHT: 1,
        Outcome.UNKNOWN: 2,
        Outcome.REFUSED: 2,
        Outcome.CANCELLED: 1,
    }
    assert (totals.rows, totals.left) == (12, 3)
    assert totals.calls == {
        ChunkState.ACCEPTED: 2,
        ChunkState.REFUSED: 1,
        ChunkState.UNKNOWN: 1,
        ChunkState.IN_FLIGHT: 1,
        ChunkState.CANCELLED: 1,
    }
    assert (totals.estimated_ugx, totals.charged_ugx, totals.exposed_ugx) == (550, 201, 150)
    assert (totals.estimates[ChunkState.ACCEPTED], totals.unsupported_estimate_ugx) == (250, 50)


def test_editions_and_campaigns_are_kept_apart(store: Store, connection: Connection) -> None:
    ledger = Ledger(store)
    first = Run.of(connection, plan(2))
    call = first.claim_one()
    first.settle(call, good_reply(call, unsupported=[number(1)]))
    others = [Run.of(connection, plan(2, edition="2")), Run.of(connection, plan(2, name="other"))]
    for other in others:
        assert ledger.results(other.campaign)["outcome"].to_list() == ["planned"] * 2
        assert ledger.totals(other.campaign).outcomes == {Outcome.PLANNED: 2}
        assert ledger.totals(other.campaign).charged_ugx == 0
        assert unknown_calls(ledger.store, other.campaign) == []
    assert ledger.results(first.campaign)["outcome"].to_list() == ["unsupported", "accepted"]


def test_a_campaign_is_found_by_its_name_and_newest_edition(store: Store, connection: Connection) -> None:
    ledger = Ledger(store)
    assert ledger.find("clinic-day") is None
    assert ledger.campaigns() == []
    for name, edition in (("clinic-day", "1"), ("clinic-day", "2026-03-02"), ("flour-day", "1")):
        write_plan(connection, plan(1, name=name, edition=edition), who="tester")
    assert [row.label for row in ledger.campaigns()] == ["flour-day/1", "clinic-day/2026-03-02", "clinic-day/1"]
    assert ledger.get("clinic-day").edition == "2026-03-02"
    assert ledger.get("clinic-day", "1").edition == "1"
    assert ledger.find("clinic-day", "3") is None


@pytest.mark.parametrize(
    ("name", "edition", "message"),
    [
        ("clinic-dya", None, r"there is no campaign clinic-dya in .*\. Did you mean clinic-day\?"),
        ("zzz", None, r"there is no campaign zzz in .*\. `mambo status` lists the campaigns\."),
        ("clinic-day", "7", r"clinic-day has no edition 7\. It has: 2, 1\."),
    ],
)
def test_a_name_that_is_not_there_lists_the_near_ones(
    store: Store, connection: Connection, name: str, edition: str | None, message: str
) -> None:
    for planned in (plan(1), plan(1, edition="2"), plan(1, name="vaccination-week")):
        write_plan(connection, planned, who="tester")
    with pytest.raises(InputError, match=f"^{message}$"):
        Ledger(store).get(name, edition)


def test_a_run_lasts_from_its_first_intent_to_its_last_answer(store: Store, connection: Connection) -> None:
    ledger = Ledger(store)
    run = Run.of(connection, plan(1, 1, 1))
    assert ledger.last_run_seconds(run.campaign) == 0
    first, second = run.claim(2)
    run.now = NOON + timedelta(seconds=1.5)
    run.settle(first, good_reply(first))
    run.now = NOON + timedelta(seconds=4)
    run.settle(second, good_reply(second))
    assert ledger.last_run_seconds(run.campaign) == 4

    newest = Run(connection, run.campaign, now=NOON + timedelta(hours=1), name="newest")
    third = newest.claim_one()
    newest.now += timedelta(seconds=7)
    newest.settle(third, good_reply(third))
    assert ledger.last_run_seconds(run.campaign) == 7, "the pause between the runs is not counted"


# --- the repeat guard -------------------------------------------------------------------------------------------------

# How a call ended, and whether its people count as having been sent its text.
SENT: dict[str, tuple[Callable[[ClaimedCall], CallResult] | None, bool]] = {
    "accepted": (good_reply, True),
    "unverified": (lambda call: good_reply(call, recipients_count=9), True),
    "unknown": (lambda _: no_answer(), True),
    "in flight": (None, True),
    "unsupported": (lambda call: good_reply(call, unsupported=call.request.recipients), False),
    "refused": (lambda call: bad_reply(call, 400), False),
    "not sent": (lambda _: no_connection(), False),
}


def test_who_may_have_got_a_text_was_sent_it(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(*[1] * len(SENT), 1, rejected=1))
    calls = run.claim(len(SENT))
    ends = [
        run.end(call, result(call))
        for call, (result, _) in zip(calls, SENT.values(), strict=True)
        if result is not None
    ]
    run.exchange(*ends, want=0)
    sent = Ledger(store).sent_pairs("main", EVERYTHING, other_than=NOBODY)
    assert sent.schema == {"msisdn": pl.Int64, "text_key": pl.Int64}
    assert set(sent.rows()) == {
        (msisdn(row), text_key(TEXT)) for row, (_, is_sent) in enumerate(SENT.values(), start=1) if is_sent
    }


def test_the_repeat_guard_looks_at_one_account_one_time_and_other_editions(
    store: Store, connection: Connection
) -> None:
    for name, edition, text in (("one", "1", "A"), ("one", "2", "B"), ("two", "1", "A")):
        run = Run.of(connection, plan(1, name=name, edition=edition, message=text))
        call = run.claim_one()
        run.settle(call, good_reply(call))

    def texts(account: str = "main", since: datetime = NOON, other_than: tuple[str, str] = NOBODY) -> list[str]:
        sent = Ledger(store).sent_pairs(account, since, other_than=other_than)
        assert sent.is_unique().all()
        return sorted("AB"[key != text_key("A")] for key in sent["text_key"])

    assert texts() == ["A", "B"], "two campaigns sent A to the same person: that is one pair"
    assert texts(other_than=("one", "2")) == ["A"]
    assert texts(other_than=("one", "1")) == ["A", "B"], "the other campaign's A"
    assert texts(account="second") == []
    assert texts(since=NOON + timedelta(microseconds=1)) == []


# --- the account ------------------------------------------------------------------------------------------------------


def test_a_refusal_of_the_credentials_stands_until_a_person_clears_it(store: Store, connection: Connection) -> None:
    ledger = Ledger(store)
    assert ledger.credentials_latch("main") is None
    accounting.set_latch(connection, "main", "Invalid credentials", who="officer", now=NOON)
    assert ledger.credentials_latch("main") == "Invalid credentials"
    assert ledger.credentials_latch("second") is None
    accounting.record_reading(connection, "main", 8_580, who="officer", now=NOON)
    assert ledger.credentials_latch("main") == "Invalid credentials", "a reading clears nothing"
    accounting.clear_latch(connection, "main", who="head", now=NOON)
    assert ledger.credentials_latch("main") is None
    assert [(row["kind"], row["amount_ugx"], row["note"], row["who"]) for row in rows_of(store, account_entries)] == [
        ("latch", None, "Invalid credentials", "officer"),
        ("reading", 8_580, None, "officer"),
        ("latch_cleared", None, None, "head"),
    ]
    assert ledger.last_balance("main") == (8_580, NOON)
    assert ledger.last_balance("main") == (8_580, datetime(2026, 3, 2, 9, tzinfo=UTC))


def test_a_top_up_is_an_entry_and_no_balance(store: Store, connection: Connection) -> None:
    accounting.record_reading(connection, "main", 8_580, who="officer", now=NOON)
    day = date(2026, 3, 2)
    accounting.record_top_up(connection, "main", 500_000, day=day, reference="MoMo 1", who="Grace")
    accounting.record_top_up(connection, "second", -700, day=day, reference="MoMo 1", who="Grace")
    assert Ledger(store).last_balance("main") == (8_580, NOON), "senders know no other balance by it"
    [_, first, second] = rows_of(store, account_entries)
    assert (first["account"], first["kind"], first["amount_ugx"], first["note"], first["who"]) == (
        ("main", "top_up", 500_000, "MoMo 1", "Grace")
    )
    assert (second["account"], second["amount_ugx"]) == ("second", -700)
    assert from_us(first["began_us"]) == datetime(2026, 3, 1, 21, tzinfo=UTC), "midnight in Kampala"
    assert from_us(first["at_us"]) == datetime(2026, 3, 2, 20, 59, 59, 999_999, tzinfo=UTC)


def test_the_same_reference_is_not_entered_twice(store: Store, connection: Connection) -> None:
    entry: dict[str, Any] = {"day": date(2026, 3, 2), "reference": "MoMo 1", "who": "Grace"}
    accounting.record_top_up(connection, "main", 500_000, **entry)
    told = r"^--reference: 'MoMo 1' was entered before: UGX 500,000 on 2026-03-02 by Grace\. Nothing was changed\. "
    with pytest.raises(InputError, match=told):
        accounting.record_top_up(connection, "main", 400_000, **(entry | {"day": date(2026, 3, 3)}))
    assert len(rows_of(store, account_entries)) == 1
