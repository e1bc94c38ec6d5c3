"""What reconciliation reads from a ledger, in both stores: every person and every shilling once, in each cut."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import polars as pl
import pytest
from sqlalchemy import Connection

from mambo_io import accounting
from mambo_io.books import known_days
from mambo_io.errors import InputError
from mambo_io.model import Delivery
from mambo_io.planning import write_plan
from mambo_io.store import Store
from pipelines.reconciliation import (
    CAUSES,
    MEASURES,
    Books,
    by_call,
    by_campaign,
    by_day,
    by_kept,
    by_network,
    by_reason,
    cut,
    read_books,
)
from support.ledgers import NOON, Run, every_outcome, good_reply, no_answer, no_connection, number, plan, report

TODAY, TOMORROW = date(2026, 3, 2), date(2026, 3, 3)

# Of `every_outcome`: call 1 reaches two of three for UGX 101, call 2 contradicts itself and costs what was estimated.
ALL = {
    "recipients": 12,
    "accepted": 2,
    "unsupported": 1,
    "unverified": 2,
    "rejected": 1,
    "refused": 2,
    "unknown": 2,
    "in_flight": 1,
    "cancelled": 1,
    "segments_expected": 11,
    "segments_counted": 4,
    "estimated_ugx": 550,
    "charged_ugx": 201,
    "difference_ugx": -349,
    "of_unsupported_ugx": -50,
    "of_price_ugx": 1,
    "of_unknown_ugx": -150,
    "of_not_sent_ugx": -150,
}


def measured(frame: pl.DataFrame) -> list[dict[str, int]]:
    """The measures of each row that are not 0."""
    return [{name: value for name, value in row.items() if value} for row in frame.select(MEASURES).to_dicts()]


def test_a_campaign_with_every_outcome(store: Store, connection: Connection) -> None:
    campaign = every_outcome(connection).campaign

    found = by_campaign(read_books(store))

    assert measured(found) == [ALL]
    [row] = found.to_dicts()
    assert (row["campaign"], row["edition"], row["account"], row["category"], row["state"]) == (
        ("clinic-day", "1", "main", "customised", "sending")
    )
    assert (row["planned_at"], row["first_call_at"], row["ended_at"]) == (campaign.planned_at, NOON, None)


def test_what_was_reported_of_accepted_people(store: Store, connection: Connection) -> None:
    campaign = every_outcome(connection).campaign
    assert cut(read_books(store), "delivery").select("delivery", "recipients").rows() == [
        ("not_reported", 2),
        (None, 10),
    ]
    report(connection, campaign, dict.fromkeys(range(2, 11), Delivery.FAILED))
    found = cut(read_books(store), "outcome", "delivery").select("outcome", "delivery", "recipients", "charged_ugx")
    assert found.filter(pl.col("delivery").is_not_null()).rows() == [
        ("accepted", "failed", 1, 50),
        ("accepted", "not_reported", 1, 51),
    ]
    assert measured(by_campaign(read_books(store))) == [ALL], "a report changes no other figure"


def test_its_calls(store: Store, connection: Connection) -> None:
    every_outcome(connection)

    found = by_call(read_books(store))

    columns = ["call", "attempt", "verdict", "state", "reason", "submitted", "expected_ugx", "cost_ugx"]
    assert found.select(columns).rows() == [
        ("clinic-day/1/c0001", 1, "accepted", "accepted", "ok", 3, 150, 101),
        ("clinic-day/1/c0002", 2, "accepted", "accepted", "count_above_submitted", 2, 100, 100),
        ("clinic-day/1/c0003", 3, "refused", "refused", "http_400", 2, 100, None),
        ("clinic-day/1/c0004", 4, "unknown", "unknown", "no_answer", 2, 100, None),
        ("clinic-day/1/c0005", 5, None, "in_flight", None, 1, 50, None),
        ("clinic-day/1/c0006", None, None, "cancelled", None, 1, 50, None),
        (None, None, None, None, None, None, None, None),
    ]
    assert [sum(row[cause] for cause in CAUSES) for row in found.to_dicts()] == [-49, 0, -100, -100, -50, -50, 0]
    assert measured(found)[0] == {
        "recipients": 3,
        "accepted": 2,
        "unsupported": 1,
        "segments_expected": 3,
        "segments_counted": 2,
        "estimated_ugx": 150,
        "charged_ugx": 101,
        "difference_ugx": -49,
        "of_unsupported_ugx": -50,
        "of_price_ugx": 1,
    }
    assert measured(found)[-1] == {"recipients": 1, "rejected": 1}
    first = found.row(0, named=True)
    assert (first["sent_at"], first["ended_at"], first["day"]) == (NOON, NOON + timedelta(seconds=2), TODAY)
    receipt = ("recipients_count", "message_count", "sms_sent", "unsupported_count", "balance_after_ugx", "segments")
    assert [first[name] for name in receipt] == [2, 1, 2, 1, 8_580, 1]
    assert found["messages"][2] == "The sender ID is not registered"


def test_its_people_by_reason_network_and_day(store: Store, connection: Connection) -> None:
    every_outcome(connection)
    books = read_books(store)

    assert by_reason(books).select("outcome", "reason", "recipients", "charged_ugx", "difference_ugx").sort(
        "recipients", "outcome", descending=[True, False]
    ).rows() == [
        ("accepted", None, 2, 101, 1),
        ("refused", "http_400", 2, 0, -100),
        ("unknown", "no_answer", 2, 0, -100),
        ("unverified", "unverified", 2, 100, 0),
        ("cancelled", "cancelled", 1, 0, -50),
        ("in_flight", None, 1, 0, -50),
        ("rejected", "missing", 1, 0, 0),
        ("unsupported", "unsupported", 1, 0, -50),
    ]
    assert by_network(books).select("network_guess", "recipients", "charged_ugx").rows() == [
        ("MTN Uganda", 11, 201),
        (None, 1, 0),
    ]
    assert by_day(books).select("day", "recipients", "charged_ugx").rows() == [(TODAY, 10, 201), (None, 2, 0)]


def test_a_call_that_was_made_again_counts_its_people_once(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    run.settle(run.claim_one(), no_connection())
    again = run.claim_one()
    run.settle(again, good_reply(again))

    found = by_call(read_books(store))

    assert found.select("call", "attempt", "verdict", "state", "submitted", "recipients", "charged_ugx").rows() == [
        ("clinic-day/1/c0001", 1, "not_sent", None, 2, 0, 0),
        ("clinic-day/1/c0001", 2, "accepted", "accepted", 2, 2, 100),
    ]


def test_what_is_planned_again_stands_in_no_call(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    run.settle(run.claim_one(), no_connection())

    books = read_books(store)

    assert by_call(books).select("attempt", "verdict", "state", "recipients", "of_not_sent_ugx").rows() == [
        (1, "not_sent", None, 0, 0),
        (None, None, "planned", 2, -100),
    ]
    assert by_day(books)["day"].to_list() == [None]


# --- kept columns -----------------------------------------------------------------------------------------------------

DONORS = ("UNICEF", "WHO", None, "UNICEF", 'the "other" 100%')


@pytest.mark.parametrize("name", ["donor", "cost centre", 'the "donor"', "100% 'paid' by", "a.b[0]", "Spënder"])
def test_people_by_a_kept_column_whatever_its_name(store: Store, connection: Connection, name: str) -> None:
    run = Run.of(connection, plan(4, rejected=1, kept={name: DONORS, "other": ["x"] * 5}))
    call = run.claim_one()
    run.settle(call, good_reply(call, unsupported=[number(1)]))

    found = by_kept(read_books(store, kept=name))

    assert found.select("kept", "recipients", "accepted", "unsupported", "rejected", "charged_ugx").rows() == [
        ("UNICEF", 2, 1, 1, 0, 50),
        ("WHO", 1, 1, 0, 0, 50),
        ('the "other" 100%', 1, 0, 0, 1, 0),
        (None, 1, 1, 0, 0, 50),
    ]


def test_a_campaign_without_the_kept_column_counts_under_none(store: Store, connection: Connection) -> None:
    write_plan(connection, plan(2, kept={"donor": ["WHO", "WHO"]}), who="tester")
    write_plan(connection, plan(3, name="flour-day"), who="tester")
    assert by_kept(read_books(store, kept="donor")).select("kept", "recipients").rows() == [("WHO", 2), (None, 3)]


def test_books_without_a_kept_column_cannot_be_cut_by_it(store: Store, connection: Connection) -> None:
    every_outcome(connection)
    with pytest.raises(ValueError, match="without a kept column"):
        by_kept(read_books(store))


def test_a_kept_column_that_is_not_there_is_told(store: Store, connection: Connection) -> None:
    every_outcome(connection)
    with pytest.raises(InputError, match=r"^'donor' is a column that .* keeps\. They keep: client_id\.$"):
        read_books(store, kept="donor")


# --- which campaigns, and when ----------------------------------------------------------------------------------------


def two_days(connection: Connection) -> None:
    """clinic-day/1: a call of one person on one day, and of two on the next; a row is rejected, a person is left.

    clinic-day/2 is planned and not sent; flour-day is of another account, and of the second day.
    """
    run = Run.of(connection, plan(1, 2, 1, rejected=1))
    for _ in range(2):
        call = run.claim_one()
        run.settle(call, good_reply(call))
        run.now += timedelta(days=1)
    write_plan(connection, plan(5, edition="2"), who="tester")
    other = Run.of(connection, plan(1, name="flour-day", account="second"), now=NOON + timedelta(days=1))
    call = other.claim_one()
    other.settle(call, no_answer())


def figures(books: Books) -> tuple[int, int, int, int]:
    [row] = cut(books).select("recipients", "rejected", "planned", "charged_ugx").rows()
    return row


def test_a_period_holds_its_calls_and_the_people_in_them(store: Store, connection: Connection) -> None:
    """Who stands in no call belongs to the first day of the campaign, or to that of its plan (some later day)."""
    two_days(connection)
    first, second = (read_books(store, start=day, end=day) for day in (TODAY, TOMORROW))
    later = read_books(store, start=TOMORROW + timedelta(days=1))

    assert figures(first) == (3, 1, 1, 50)
    assert figures(second) == (3, 0, 0, 100)
    assert figures(later) == (5, 0, 5, 0)
    assert figures(read_books(store)) == (11, 1, 6, 150)
    assert figures(read_books(store, end=TODAY - timedelta(days=1))) == (0, 0, 0, 0)
    assert first.calls["call"].to_list() == ["clinic-day/1/c0001", "clinic-day/1/c0003"]
    assert second.calls["call"].to_list() == ["flour-day/1/c0001", "clinic-day/1/c0002"]
    assert second.campaigns.select("campaign", "edition", "rows").rows() == [
        ("flour-day", "1", 1),
        ("clinic-day", "1", 5),
    ]
    assert (first.start, first.end) == (TODAY, TODAY)


def test_campaigns_by_name_or_edition(store: Store, connection: Connection) -> None:
    two_days(connection)
    labels = pl.format("{}/{}", "campaign", "edition")
    for names, expected in {
        ("clinic-day",): {"clinic-day/1", "clinic-day/2"},
        ("clinic-day/2",): {"clinic-day/2"},
        ("clinic-day/1", "flour-day"): {"clinic-day/1", "flour-day/1"},
    }.items():
        assert set(read_books(store, names).campaigns.select(labels).to_series()) == expected
    assert read_books(store, "clinic-day/2").campaigns["edition"].to_list() == ["2"]
    with pytest.raises(InputError, match="starts on 2026-03-03 and ends on 2026-03-02"):
        read_books(store, start=TOMORROW, end=TODAY)


@pytest.mark.parametrize("name", ["clinic-dya", "clinic-day/7"])
def test_a_campaign_that_is_not_there_is_told(store: Store, connection: Connection, name: str) -> None:
    two_days(connection)
    with pytest.raises(InputError, match="clinic-day"):
        read_books(store, [name])


def test_the_account_is_read_whole_up_to_the_end_of_the_period(store: Store, connection: Connection) -> None:
    """Its balances stand in a chain: what other campaigns took of it, and what was before, counts as well."""
    two_days(connection)
    accounting.record_reading(connection, "main", 700, who="tester", now=NOON)
    accounting.record_top_up(connection, "main", 500, day=TOMORROW, reference="MoMo 1", who="Grace")
    accounting.record_top_up(connection, "second", 400, day=TODAY, reference="MoMo 1", who="Grace")
    accounting.set_latch(connection, "main", "refused", who="tester", now=NOON)

    of_second_edition = read_books(store, ["clinic-day/2"])
    everything = read_books(store)
    first_day = read_books(store, end=TODAY)

    calls = ["clinic-day/1/c0001", "clinic-day/1/c0002", "flour-day/1/c0001"]
    assert of_second_edition.account_calls["call"].to_list() == calls[:2]
    assert everything.account_calls["call"].to_list() == calls
    assert first_day.account_calls["call"].to_list() == calls[:1]
    assert everything.account_calls.select("expected_ugx", "charged_ugx", "balance_after_ugx").rows() == [
        (50, 50, None),
        (100, 100, None),
        (50, None, None),
    ]
    assert everything.entries.select("account", "kind", "amount_ugx", "reference", "who").rows() == [
        ("main", "reading", 700, None, "tester"),
        ("second", "top_up", 400, "MoMo 1", "Grace"),
        ("main", "top_up", 500, "MoMo 1", "Grace"),
    ]
    with store.reader() as reader:
        planned_last = max(everything.campaigns["planned_at"]).date()  # of what is not sent yet
        assert known_days(reader) == (TODAY, planned_last)
    assert of_second_edition.entries["amount_ugx"].to_list() == [700, 500]
    assert first_day.entries["amount_ugx"].to_list() == [700, 400]


def test_a_ledger_of_nothing_has_frames_of_the_same_columns(store: Store, connection: Connection) -> None:
    nothing = read_books(store)
    with store.reader() as reader:
        assert known_days(reader) is None
    every_outcome(connection)
    something = read_books(store)
    for field in dataclasses.fields(Books)[:5]:
        assert getattr(nothing, field.name).schema == getattr(something, field.name).schema
    for frame in (by_campaign, by_call, by_network, by_day, by_reason):
        assert frame(nothing).schema == frame(something).schema
        assert frame(nothing).is_empty()
    assert measured(cut(nothing)) == [{}]
