"""The cuts, prices and receipts of small books, worked out by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from pipelines import reconciliation
from pipelines.reconciliation import MEASURES, Books, by_campaign, by_day, by_kept, by_network, by_reason, cut, prices
from support.accounts import DAY, Call, at, frames, top_up

MONDAY, TUESDAY = date(2026, 11, 2), DAY


def books(tally: list[dict[str, Any]] | None = None, calls: list[dict[str, Any]] | None = None, **more: Any) -> Books:
    """Books of clinic-day/1; what a row does not say is 0, or the usual."""
    empty_calls, empty_tally = reconciliation._no_calls(), reconciliation._no_tally()
    usual = {"campaign": "clinic-day", "edition": "1"}
    account_calls, entries = frames([])
    return Books(
        campaigns=pl.DataFrame(
            {
                **usual,
                "account": ["main"],
                "category": "customised",
                "sender_id": "MamboSMS",
                "state": "complete",
                "planned_at": at(0),
                "first_call_at": at(60),
                "ended_at": at(3_600),
            }
        ),
        calls=pl.concat([empty_calls, frame(calls, empty_calls.schema, usual)]),
        tally=pl.concat([empty_tally, frame(tally, empty_tally.schema, usual | {"day": MONDAY, "is_priced": True})]),
        **({"account_calls": account_calls, "entries": entries} | more),
    )


def frame(rows: list[dict[str, Any]] | None, schema: pl.Schema, usual: dict[str, Any]) -> pl.DataFrame:
    zeros = dict.fromkeys([name for name in MEASURES if name in schema], 0)
    return pl.DataFrame([dict.fromkeys(schema) | zeros | usual | row for row in rows or []], schema=schema)


MTN, AIRTEL = "MTN Uganda", "Airtel Uganda"
# 13 people: on Monday 6 accepted and 1 unsupported, on Tuesday 4 accepted at another price; 2 rejected.
PEOPLE: list[dict[str, Any]] = [
    {
        "network_guess": MTN,
        "outcome": "accepted",
        "kept": "WHO",
        "recipients": 6,
        "segments_expected": 12,
        "segments_counted": 12,
        "estimated_ugx": 600,
        "charged_ugx": 600,
    },
    {
        "network_guess": AIRTEL,
        "outcome": "unsupported",
        "reason": "unsupported",
        "kept": "WHO",
        "recipients": 1,
        "segments_expected": 2,
        "estimated_ugx": 100,
        "difference_ugx": -100,
        "of_unsupported_ugx": -100,
        "is_priced": False,
    },
    {
        "network_guess": MTN,
        "outcome": "accepted",
        "day": TUESDAY,
        "kept": "UNICEF",
        "recipients": 4,
        "segments_expected": 4,
        "segments_counted": 4,
        "estimated_ugx": 200,
        "charged_ugx": 220,
        "difference_ugx": 20,
        "of_price_ugx": 20,
    },
    {"outcome": "rejected", "reason": "missing", "day": None, "recipients": 2, "is_priced": False},
]


def rows(found: pl.DataFrame, *more: str) -> list[tuple[Any, ...]]:
    """The keys, recipients, estimate, charge and difference; and `more`."""
    keys = [name for name in found.columns if name not in MEASURES]
    return found.select(*keys, "recipients", "estimated_ugx", "charged_ugx", "difference_ugx", *more).rows()


def test_totals() -> None:
    [row] = cut(books(PEOPLE)).to_dicts()
    assert {name: value for name, value in row.items() if value} == {
        "recipients": 13,
        "accepted": 10,
        "unsupported": 1,
        "rejected": 2,
        "segments_expected": 18,
        "segments_counted": 16,
        "estimated_ugx": 900,
        "charged_ugx": 820,
        "difference_ugx": -80,
        "of_unsupported_ugx": -100,
        "of_price_ugx": 20,
    }


def test_by_network() -> None:
    assert rows(by_network(books(PEOPLE)), "accepted") == [
        (AIRTEL, 1, 100, 0, -100, 0),
        (MTN, 10, 800, 820, 20, 10),
        (None, 2, 0, 0, 0, 0),
    ]


def test_by_day() -> None:
    assert rows(by_day(books(PEOPLE))) == [
        (MONDAY, 7, 700, 600, -100),
        (TUESDAY, 4, 200, 220, 20),
        (None, 2, 0, 0, 0),
    ]


def test_by_reason() -> None:
    assert rows(by_reason(books(PEOPLE))) == [
        ("accepted", None, 10, 800, 820, 20),
        ("rejected", "missing", 2, 0, 0, 0),
        ("unsupported", "unsupported", 1, 100, 0, -100),
    ]


def test_by_kept() -> None:
    assert rows(by_kept(books(PEOPLE, kept="donor"))) == [
        ("UNICEF", 4, 200, 220, 20),
        ("WHO", 7, 700, 600, -100),
        (None, 2, 0, 0, 0),
    ]


def test_by_campaign() -> None:
    [row] = by_campaign(books(PEOPLE)).to_dicts()
    assert (row["campaign"], row["account"], row["sender_id"], row["state"]) == (
        ("clinic-day", "main", "MamboSMS", "complete")
    )
    assert (row["first_call_at"], row["recipients"], row["charged_ugx"]) == (at(60), 13, 820)


def test_a_campaign_of_nobody_has_a_row() -> None:
    [row] = by_campaign(books([])).to_dicts()
    assert (row["campaign"], row["recipients"], row["charged_ugx"]) == ("clinic-day", 0, 0)


def test_any_other_cut() -> None:
    assert rows(cut(books(PEOPLE), "account", "day", "kept")) == [
        ("main", MONDAY, "WHO", 7, 700, 600, -100),
        ("main", TUESDAY, "UNICEF", 4, 200, 220, 20),
        ("main", None, None, 2, 0, 0, 0),
    ]


def test_prices_of_who_was_charged() -> None:
    assert prices(books(PEOPLE)).rows() == [("customised", MTN, 16, 820, 51.25, 50.0, pytest.approx(0.025))]


def test_prices_by_day() -> None:
    assert prices(books(PEOPLE), "day").rows() == [
        ("customised", MTN, MONDAY, 12, 600, 50.0, 50.0, 0.0),
        ("customised", MTN, TUESDAY, 4, 220, 55.0, 50.0, pytest.approx(0.1)),
    ]


def test_a_tariff_of_nothing_has_no_drift() -> None:
    free = PEOPLE[0] | {"estimated_ugx": 0}
    assert prices(books([free]))["drift"].to_list() == [None]


# --- receipts ---------------------------------------------------------------------------------------------------------

# An accepted call to three people, of one segment at UGX 50, one of whom is unsupported; then what its receipt says.
CALL: dict[str, Any] = {
    "call": "clinic-day/1/c0001",
    "attempt": 1,
    "verdict": "accepted",
    "submitted": 3,
    "segments": 1,
    "unsupported": 1,
    "unsupported_count": 1,
    "expected_ugx": 150,
    "segments_expected": 3,
    "estimated_ugx": 150,
    "difference_ugx": -50,
    "of_unsupported_ugx": -50,
}
# recipients_count, message_count, sms_sent, cost; causes of the difference beside that; and what does not hold then.
RECEIPTS: dict[str, tuple[tuple[int | None, ...], dict[str, int], dict[str, bool | None]]] = {
    "it adds up": ((2, 1, 2, 100), {}, {}),
    "it counts the unsupported one": ((3, 1, 3, 100), {}, {}),
    "another price": ((2, 1, 2, 120), {"of_price_ugx": 20}, {"price_is_tariff": False}),
    "no price at all": (
        (2, 1, 2, 121),
        {"of_price_ugx": 21},
        {"price_is_tariff": False, "cost_is_product": False},
    ),
    "two segments": ((2, 2, 4, 200), {"of_segments_ugx": 100}, {"segments_are_ours": False}),
    "it contradicts itself": (
        (2, 1, 3, 120),
        {"unexplained_ugx": 20},
        {"sent_is_product": False},
    ),
    "it counts somebody less": ((1, 1, 1, 50), {"of_partial_ugx": -50}, {"count_is_ours": False}),
    "it counts nobody, and costs something": (
        (0, 1, 0, 50),
        {"unexplained_ugx": -50},
        {"count_is_ours": False, "cost_is_product": False},
    ),
    "it names no cost": ((2, 1, 2, None), {}, {"cost_is_product": None, "price_is_tariff": None}),
    "it names no product": (
        (2, 1, None, 100),
        {},
        {"sent_is_product": None, "cost_is_product": None, "price_is_tariff": None},
    ),
    "it names nothing": (
        (None, None, None, None),
        {},
        {
            "sent_is_product": None,
            "cost_is_product": None,
            "price_is_tariff": None,
            "count_is_ours": None,
            "segments_are_ours": None,
        },
    ),
}
IDENTITIES = ("sent_is_product", "cost_is_product", "price_is_tariff", "count_is_ours", "segments_are_ours")


@pytest.mark.parametrize(("receipt", "causes", "not_true"), RECEIPTS.values(), ids=RECEIPTS)
def test_whether_a_receipt_adds_up(
    receipt: tuple[int | None, ...], causes: dict[str, int], not_true: dict[str, bool | None]
) -> None:
    names = ("recipients_count", "message_count", "sms_sent", "cost_ugx")
    call = CALL | dict(zip(names, receipt, strict=True)) | causes
    call["difference_ugx"] += sum(causes.values())

    [row] = reconciliation.receipts(books(calls=[call])).to_dicts()

    assert {name: row[name] for name in IDENTITIES} == dict.fromkeys(IDENTITIES, True) | not_true
    assert row["tariff_ugx_per_segment"] == 50.0
    assert tuple(row[name] for name in names) == receipt


def test_only_accepted_calls_have_receipts_in_the_order_of_sending() -> None:
    calls = [
        CALL | {"call": "third", "attempt": 3, "sent_at": at(2)},
        CALL | {"call": "first", "attempt": 1, "sent_at": at(1)},
        CALL | {"call": "second", "attempt": 2, "sent_at": at(2)},
        *(CALL | {"verdict": verdict} for verdict in ("refused", "unknown", "not_sent", None)),
    ]
    assert reconciliation.receipts(books(calls=calls))["call"].to_list() == ["first", "second", "third"]


# --- the account in a period ------------------------------------------------------------------------------------------


def test_a_period_shows_its_part_of_the_chain_and_its_months() -> None:
    """What was before is reckoned with all the same: the balance that November begins with is October's last."""
    october, november = date(2026, 10, 30), date(2026, 11, 3)
    account_calls, entries = frames(
        [
            Call("c0001", 0, 1, 100, 9_900, day=october),
            Call("c0002", 0, 1, 200, 14_700, day=november),
            top_up(5_000, november),
        ]
    )
    of_november = books(account_calls=account_calls, entries=entries, start=date(2026, 11, 1), end=date(2026, 11, 30))

    chain = reconciliation.balance_chain(of_november)
    statement = reconciliation.statement(of_november)

    assert chain.select("balance_before_ugx", "top_ups_ugx", "charged_ugx", "balance_ugx").rows() == [
        (9_900, 5_000, 200, 14_700)
    ]
    assert statement.select("month", "opening_ugx", "top_ups_ugx", "charges_ugx", "closing_ugx").rows() == [
        ("2026-11", 9_900, 5_000, 200, 14_700)
    ]
