"""What a reconciliation is about, what it is alarmed by, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import polars as pl
import pytest

from mambo_io.errors import Difference, InputError
from pipelines.causes import CAUSES
from pipelines.reconciliation import MEASURES, Books
from pipelines.reconciling import (
    Reconciliation,
    SettledEdition,
    alarms,
    by_campaign_table,
    check_difference,
    days_of,
    headline,
    markdown,
    period_of,
)
from support.accounts import Call as AccountCall
from support.accounts import Entry, frames, top_up

DAY = date(2026, 11, 3)

# --- the days --------------------------------------------------------------------------------------------------------

MORNING = datetime(2026, 11, 4, 4, tzinfo=UTC)  # seven in Kampala
PERIODS = {
    "the day before": (None, None, MORNING, "2026-11-03"),
    "the day before, in Kampala": (None, None, datetime(2026, 11, 3, 21, 30, tzinfo=UTC), "2026-11-03"),
    "up to the day before": (date(2026, 11, 1), None, MORNING, "2026-11-01..2026-11-03"),
    "one day": (None, date(2026, 10, 1), MORNING, "2026-10-01"),
    "days": (date(2026, 10, 1), date(2026, 10, 31), MORNING, "2026-10-01..2026-10-31"),
}


@pytest.mark.parametrize(("start", "end", "now", "days"), PERIODS.values(), ids=PERIODS)
def test_the_period(start: date | None, end: date | None, now: datetime, days: str) -> None:
    assert days_of(*period_of(start, end, now=now)) == days


def test_a_period_the_wrong_way_round() -> None:
    with pytest.raises(InputError, match=r"starts on 2026-11-04 and ends on 2026-11-03"):
        period_of(date(2026, 11, 4), None, now=MORNING)


# --- what is an alarm ------------------------------------------------------------------------------------------------


def books(*calls: dict[str, int], account: Sequence[AccountCall | Entry] = ()) -> Books:
    """Calls of one campaign by their causes, and what else is known of the account."""
    nothing = dict.fromkeys(CAUSES, 0)
    called = pl.DataFrame(
        [{"campaign": "clinic-day", "edition": "1", **nothing, **call} for call in calls],
        schema={"campaign": pl.String, "edition": pl.String, **dict.fromkeys(CAUSES, pl.Int64)},
    )
    account_calls, entries = frames(account)
    return Books(pl.DataFrame(), called, pl.DataFrame(), account_calls, entries)


PRICE, SEGMENTS, PEOPLE, RECEIPT, BALANCE = (
    "a segment's price was not the tariff's",
    "the API counted other segments than we did",
    "the API charged for more people than it was sent",
    "the receipt does not explain the charge",
    "the balance moved by more than the calls and top-ups that are known",
)
CAMPAIGN = "clinic-day/1"
TWO_CALLS = (AccountCall("c0001", 0, 1, 100, 9_900), AccountCall("c0002", 60, 61, 200, 14_700))

ALARMS = {
    "nothing was sent": (books(), []),
    "all as estimated": (books({}, {}), []),
    "people who could not be reached": (books({"of_unsupported_ugx": -500}), []),
    "calls that are unknown, and people not sent to": (books({"of_unknown_ugx": -50}, {"of_not_sent_ugx": -50}), []),
    "another price": (books({"of_price_ugx": 100}, {"of_price_ugx": 50}, {}), [(CAMPAIGN, PRICE, 150, 2)]),
    "dearer here and cheaper there": (
        books({"of_price_ugx": 100}, {"of_price_ugx": -100}),
        [(CAMPAIGN, PRICE, 200, 2)],
    ),
    "other segments, and no reason at all": (
        books({"of_segments_ugx": 100, "unexplained_ugx": -300}),
        [(CAMPAIGN, RECEIPT, 300, 1), (CAMPAIGN, SEGMENTS, 100, 1)],
    ),
    "more people than were sent to": (books({"of_partial_ugx": 50}), [(CAMPAIGN, PEOPLE, 50, 1)]),
    "fewer people than were sent to": (books({"of_partial_ugx": -50}), []),
    "a top-up that nobody entered": (books(account=TWO_CALLS), [("account main", BALANCE, 5_000, 1)]),
    "a top-up that somebody entered": (books(account=[*TWO_CALLS, top_up(5_000)]), []),
}


@pytest.mark.parametrize(("books", "found"), ALARMS.values(), ids=ALARMS)
def test_alarms(books: Books, found: list[tuple[str, str, int, int]]) -> None:
    assert alarms(books).rows() == found


# --- what is said ----------------------------------------------------------------------------------------------------


def reconciliation(
    *campaigns: dict[str, int], found: Books | None = None, limit_ugx: int = 0, settled: Sequence[SettledEdition] = ()
) -> Reconciliation:
    """Campaigns c0, c1 … by their measures; of the alarms, those of `found`."""
    measured = pl.DataFrame(
        [
            {"campaign": f"c{place}", "edition": "1", **dict.fromkeys(MEASURES, 0), **campaign}
            for place, campaign in enumerate(campaigns)
        ],
        schema={"campaign": pl.String, "edition": pl.String, **dict.fromkeys(MEASURES, pl.Int64)},
    )
    return Reconciliation(DAY, DAY, measured, alarms(found or books()), tuple(settled), limit_ugx)


SENT = {"recipients": 1_030, "accepted": 1_000, "unsupported": 30, "estimated_ugx": 51_500, "charged_ugx": 50_000}
UNSUPPORTED = {"difference_ugx": -1_500, "of_unsupported_ugx": -1_500}
DEARER = books({"of_price_ugx": 2_000}, {"of_price_ugx": 500})


def test_a_day_without_a_campaign_says_so() -> None:
    found = reconciliation()
    assert headline(found) == "2026-11-03: no campaign was sent. Nothing is unreconciled."
    assert markdown(found, None) == f"# Reconciled: 2026-11-03\n\n{headline(found)}"
    assert by_campaign_table(found) == []
    check_difference(found)


def test_the_headline() -> None:
    assert headline(reconciliation(SENT | UNSUPPORTED)) == (
        "2026-11-03: 1 campaign, 1,030 recipients (1,000 accepted, 30 unsupported). "
        "UGX 50,000 charged of 51,500 estimated. Nothing is unreconciled."
    )
    assert headline(reconciliation(SENT, SENT, found=DEARER, limit_ugx=3_000)) == (
        "2026-11-03: 2 campaigns, 2,060 recipients (2,000 accepted, 60 unsupported). "
        "UGX 100,000 charged of 103,000 estimated. UGX 2,500 are unreconciled (3,000 allowed)."
    )
    assert headline(reconciliation(SENT | {"charged_ugx": 49_750, "of_unknown_ugx": -250})) == (
        "2026-11-03: 1 campaign, 1,030 recipients (1,000 accepted, 30 unsupported). UGX 49,750 charged of 51,500 "
        "estimated, as far as known: calls whose charge is not known may have cost UGX 250 more. "
        "Nothing is unreconciled."
    )


def test_more_than_is_allowed_raises_and_as_much_does_not() -> None:
    check_difference(reconciliation(SENT, found=DEARER, limit_ugx=2_500))
    told = r"UGX 2,500 are unreconciled \(2,499 allowed\)\. clinic-day/1: UGX 2,500, a segment's price was not .* \(2 t"
    with pytest.raises(Difference, match=told) as raised:
        check_difference(reconciliation(SENT, found=DEARER, limit_ugx=2_499))
    assert raised.value.exit_code == 3


def test_the_page() -> None:
    settled = [
        SettledEdition("c0/1", 2, 0, 0, None),
        SettledEdition("c1/1", 0, 0, 1, "nothing is missing from the balance for it"),
        SettledEdition("c2/1", 0, 0, 0, "somebody is at work on it"),
    ]
    found = reconciliation(SENT | UNSUPPORTED, found=DEARER, settled=settled)
    assert markdown(found, None).splitlines() == [
        "# Unreconciled: 2026-11-03",
        "",
        headline(found),
        "",
        "## What nobody agreed to",
        "",
        "| where | what | UGX | times |",
        "| :--- | :--- | ---: | ---: |",
        "| clinic-day/1 | a segment's price was not the tariff's | 2,500 | 2 |",
        "",
        "## Why the charge is not the estimate",
        "",
        "| cause | UGX |",
        "| :--- | ---: |",
        "| people the API called unsupported | -1,500 |",
        "",
        "## Calls of unknown fate",
        "",
        "- c0/1: 2 were sent",
        "- c1/1: 1 unknown still: nothing is missing from the balance for it",
        "- c2/1: somebody is at work on it",
    ]


def test_the_table() -> None:
    [row] = by_campaign_table(reconciliation(SENT | UNSUPPORTED, found=DEARER))
    assert row == {
        "campaign": "c0/1",
        "recipients": 1_030,
        "accepted": 1_000,
        "unsupported": 30,
        "rejected": 0,
        "unknown": 0,
        "estimated_ugx": 51_500,
        "charged_ugx": 50_000,
        "difference_ugx": -1_500,
        "unreconciled_ugx": 0,
    }
