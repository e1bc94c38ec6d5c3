"""What a report says in sentences, by examples: a segment costs UGX 50 by the tariff."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mambo_io.model import NOT_REPORTED, Delivery, Outcome
from pipelines.reasons import Reason
from pipelines.reconciliation import Books, balance_chain, prices, read_books
from pipelines.report.headline import headline, to_look_at
from pipelines.report.page import figures
from pipelines.report.words import DELIVERIES, OUTCOME_TITLES, REASONS, coverage, percent, period, reason_words
from pipelines.statement import chain
from support.accounts import Call, frames
from support.ledgers import Run, every_outcome, good_reply, plan
from support.reports import STATES, Group, books_of, empty_books, ledger

REJECTED = Group("rejected", 95, 0, 0)
UNSUPPORTED = Group("unsupported", 31, 50, 0, causes={"of_unsupported_ugx": -1550})


def headline_of(books: Books) -> list[str]:
    return headline(books, balance_chain(books))


def look_of(books: Books) -> list[str]:
    return to_look_at(books, balance_chain(books))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return empty_books(tmp_path_factory.mktemp("empty"))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        pytest.param(
            (Group("accepted", 874), REJECTED, UNSUPPORTED),
            [
                "The API accepted the message for 874 of 1,000 people.",
                "31 could not be reached and 95 were turned away before sending.",
                "It cost UGX 43,700, UGX 1,550 less than estimated: all of it for people who could not be reached.",
            ],
            id="some turned away, some not reached",
        ),
        pytest.param(
            (Group("accepted", 1000),),
            ["The API accepted the message for all of the 1,000 people.", "It cost UGX 50,000, as estimated."],
            id="everybody",
        ),
        pytest.param(
            (Group("accepted", 1),),
            ["The API accepted the message for the one person on the list.", "It cost UGX 50, as estimated."],
            id="one person",
        ),
        pytest.param(
            (Group("rejected", 1, 0, 0),),
            [
                "The API accepted nobody's message.",
                "1 was turned away before sending.",
                "It cost nothing, as estimated.",
            ],
            id="one person, turned away",
        ),
        pytest.param(
            (REJECTED,),
            [
                "The API accepted the message for none of the 95 people.",
                "All 95 were turned away before sending.",
                "It cost nothing, as estimated.",
            ],
            id="all turned away",
        ),
        pytest.param(
            (Group("accepted", 3, charged=0, causes={"of_price_ugx": -150}),),
            [
                "The API accepted the message for all of the 3 people.",
                (
                    "It cost nothing, UGX 150 less than estimated: all of it because the price of a segment was not "
                    "the tariff's."
                ),
            ],
            id="nothing charged",
        ),
        pytest.param(
            (Group("accepted", 2), Group("unknown", 1, 50, 0, causes={"of_unknown_ugx": -50})),
            [
                "The API accepted the message for 2 of 3 people.",
                "Of 1 it is not known whether that person was sent the message.",
                (
                    "As far as is known, it cost UGX 100, UGX 50 less than estimated: all of it for calls whose charge "
                    "is not known."
                ),
                "Calls whose charge is not known may have cost up to UGX 50 more.",
            ],
            id="an unknown call",
        ),
        pytest.param(
            (Group("accepted", 2, charged=60, causes={"of_price_ugx": 20}), UNSUPPORTED),
            [
                "The API accepted the message for 2 of 33 people.",
                "31 could not be reached.",
                (
                    "It cost UGX 120, UGX 1,530 less than estimated: UGX 1,550 less for people who could not be "
                    "reached and UGX 20 more because the price of a segment was not the tariff's."
                ),
            ],
            id="two causes",
        ),
        pytest.param(
            (Group("accepted", 2, causes={"of_segments_ugx": 100, "of_price_ugx": -100}),),
            [
                "The API accepted the message for all of the 2 people.",
                (
                    "It cost UGX 100, as estimated, though not for the same: UGX 100 more because the API counted "
                    "other segments in a message than we did and UGX 100 less because the price of a segment was not "
                    "the tariff's."
                ),
            ],
            id="causes that cancel each other",
        ),
        pytest.param(
            (
                Group("accepted", 5, delivery="delivered"),
                Group("accepted", 2, delivery="failed"),
                Group("accepted", 1, delivery="not_reported"),
            ),
            [
                "The API accepted the message for all of the 8 people.",
                "Of the 8 accepted, the provider's export names 5 as delivered, 2 as failed and 1 not at all.",
                "It cost UGX 400, as estimated.",
            ],
            id="with delivery reports",
        ),
        pytest.param(
            (),
            ["Nobody stands on the lists of these campaigns, so nobody was sent anything and nothing was charged."],
            id="nobody on the list",
        ),
    ],
)
def test_headline(empty: Books, groups: tuple[Group, ...], said: list[str]) -> None:
    assert headline_of(books_of(empty, *groups)) == said


def test_headline_of_nothing(empty: Books) -> None:
    assert headline_of(empty) == ["No campaign was sent or planned yet, so there is nobody and nothing to account for."]


def test_campaigns_that_do_not_ask_the_list_of_opt_outs_are_named(empty: Books) -> None:
    books = books_of(empty, Group("accepted", 1))
    books = replace(books, campaigns=books.campaigns.with_columns(transactional=pl.lit(True)))
    assert headline_of(books)[1] == (
        "clinic-day/1 is transactional: the list of opt-outs was not asked, so people who are on it may have been "
        "messaged."
    )


def test_every_outcome_is_told(tmp_path: Path) -> None:
    with ledger(tmp_path, every_outcome) as store:
        assert headline_of(read_books(store)) == [
            "The API accepted the message for 2 of 12 people.",
            (
                "1 could not be reached, 1 was turned away before sending, 2 were refused by the API, 1 is being sent "
                "just now and 1 was cancelled."
            ),
            "Of 2 the receipt does not say whether they were counted.",
            "Of 2 it is not known whether they were sent the message.",
            (
                "As far as is known, it cost UGX 201, UGX 349 less than estimated, for 4 reasons, which are listed "
                "under Money."
            ),
            "Calls whose charge is not known may have cost up to UGX 150 more.",
        ]


def test_what_needs_a_look(tmp_path: Path) -> None:
    with ledger(tmp_path, every_outcome) as store:
        assert look_of(read_books(store)) == [
            (
                "clinic-day/1/c0004 (2 people) got no clear answer: `mambo settle NAME` asks the account's balance "
                "what became of it."
            ),
            (
                "clinic-day/1/c0003 (2 people) was refused by the API: `mambo retry NAME --refused --by WHO`, once the "
                "cause is mended."
            ),
            (
                "Of 2 people a receipt does not say whether they were counted: ask the provider; `mambo resolve NAME "
                "--row ROW` records the answer."
            ),
            "clinic-day/1: sending; `mambo status` says what is left.",
            "The receipt of clinic-day/1/c0002 counts more people than were sent to the API.",
            "The receipt of clinic-day/1/c0002 does not name people times segments as the messages sent.",
            "The receipt of clinic-day/1/c0001 names a cost that is no whole price for each segment.",
        ]


def test_money_that_came_in_unentered_needs_a_look(tmp_path: Path) -> None:
    with ledger(tmp_path, STATES["a season"]) as store:
        books = read_books(store)
    assert headline_of(books)[-1] == "UGX 5,000 of what the account's balances show is not explained; see To look at."
    assert look_of(books)[-1] == (
        "Account main: UGX 5,000 came in before API call clinic-day/5/c0001 of 29 March 2026, 12:00, that nothing "
        "recorded here explains. If it is a top-up, enter it with `mambo account top-up`."
    )


def test_gaps_that_are_alike_are_one_line_and_what_is_left_is_counted(tmp_path: Path, empty: Books) -> None:
    """Each of three receipts names UGX 1 more than was taken; by hand, twelve gaps of UGX 1 to 12 that went out."""
    with ledger(tmp_path) as store, store.writer() as connection:
        run = Run.of(connection, plan(1, 1, 1, 1))
        for place, cost_ugx in enumerate((50, 51, 51, 51)):
            run.now += timedelta(minutes=1)
            call = run.claim_one()
            run.settle(call, good_reply(call, sms_cost=cost_ugx, balance_ugx=900 - 50 * place))
        assert look_of(read_books(store))[-1] == (
            "Account main: UGX 1 came in 3 times, first before API call clinic-day/1/c0002 of 2 March 2026, 12:02, "
            "that nothing recorded here explains. Perhaps the receipt names another cost than was taken: ask the "
            "provider."
        )
    fallen = [Call(f"c{i:04d}", 60 * i, 60 * i + 1, 100, 9_000 - 100 * i - i * (i + 1) // 2) for i in range(13)]
    found = to_look_at(empty, chain(*frames(fallen)))
    assert len(found) == 11
    assert found[0] == (
        "Account main: UGX 12 went out before API call clinic-day/1/c0012 of 3 November 2026, 10:12, that nothing "
        "recorded here explains."
    )
    assert found[-1] == "And 2 more, UGX 3 in all; `mambo account statement` names them."


def test_a_campaign_without_a_flaw_needs_no_look(empty: Books) -> None:
    assert look_of(books_of(empty, Group("accepted", 874), REJECTED, UNSUPPORTED)) == []


def test_a_segment_costs_what_was_paid_where_both_are_known(tmp_path: Path) -> None:
    """UGX 50 for each of three; of the fourth the charge is not known, of two more how many segments they took."""
    with ledger(tmp_path) as store, store.writer() as connection:
        run = Run.of(connection, plan(3, 1, 2))
        said: list[dict[str, Any]] = [{}, {"sms_cost": None}, {"message_count": None, "sms_sent": None}]
        for data in said:
            call = run.claim_one()
            run.settle(call, good_reply(call, **data))
        books = read_books(store)
    assert list(figures(books))[2:] == [
        ("Charged, as far as known", "UGX 250", "estimated UGX 300"),
        ("API calls", "3", "UGX 50 a segment"),
    ]
    [price] = prices(books)["ugx_per_segment"].to_list()
    assert price == 50


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (None, None, ""),
        (date(2026, 1, 1), date(2026, 1, 31), "January 2026"),
        (date(2026, 2, 1), date(2026, 2, 28), "February 2026"),
        (date(2026, 2, 1), date(2026, 2, 27), "1 February 2026 to 27 February 2026"),
        (date(2026, 1, 1), date(2026, 2, 28), "1 January 2026 to 28 February 2026"),
        (date(2026, 1, 5), date(2026, 1, 5), "5 January 2026"),
        (date(2026, 1, 5), None, "from 5 January 2026"),
        (None, date(2026, 1, 5), "until 5 January 2026"),
    ],
)
def test_periods(start: date | None, end: date | None, said: str) -> None:
    assert period(start, end) == said


def test_coverage(empty: Books) -> None:
    assert coverage(empty) == "No campaign"
    assert coverage(books_of(empty, start=date(2026, 11, 1), end=date(2026, 11, 30))) == "clinic-day/1, November 2026"


def test_every_outcome_and_every_rejection_has_words() -> None:
    assert OUTCOME_TITLES.keys() == set(Outcome)
    assert len(set(OUTCOME_TITLES.values())) == len(Outcome)
    assert DELIVERIES.keys() == {*Delivery, NOT_REPORTED}
    assert [reason for reason in Reason if reason not in REASONS] == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, ""),
        ("ok", ""),
        ("missing", "no number"),
        ("http_400", "the API answered with HTTP 400"),
        ("body_401", "the API answered with code 401"),
        ("count_above_submitted", ""),  # an alarm of an accepted call; it is told of the receipt
        ("insufficient_balance", "insufficient balance"),
    ],
)
def test_reasons(code: str | None, said: str) -> None:
    assert reason_words(code) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0%"), (0.0004, "under 0.1%"), (0.031, "3.1%"), (0.5, "50.0%"), (0.9996, "over 99.9%"), (1, "100%")],
)
def test_nobody_is_rounded_away(share: float, said: str) -> None:
    assert percent(share) == said
