"""The charts: which there are in each state, that their words are the figures, and that no name breaks them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from pipelines.reconciliation import Books, balance_chain, read_books
from pipelines.reconciliation import by_day as by_day_of
from pipelines.report import charts
from pipelines.report.drawing import NARROW, WIDE, Chart
from pipelines.report.tables import kept
from pipelines.report.words import MINUS
from support.reports import LONG_NAME, STATES, Group, books_of, empty_books, ledger, millions

BY_STATE = {
    "no campaign": [],
    "every outcome": ["outcomes", "difference", "networks"],
    "all rejected": ["outcomes"],
    "one call": ["outcomes", "difference", "networks"],
    "zero charge": ["outcomes", "difference", "networks"],
    "an unknown call": ["outcomes", "difference", "networks"],
    "a season": [
        *("outcomes", "difference", "campaigns", "networks", "kept", "accepted", "charged", "balance-main"),
    ],
}


def drawn(books: Books) -> Iterator[Chart]:
    for chart in (charts.outcomes, charts.deliveries, charts.difference, charts.campaigns, charts.networks):
        if (found := chart(books)) is not None:
            yield found
    if (table := kept(books, full_numbers=False)) is not None and (found := charts.kept(books, table.frame)):
        yield found
    yield from charts.over_time(books)
    yield from charts.balances(balance_chain(books))


def words(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Books]:
    found = {}
    for name, fill in STATES.items():
        with ledger(tmp_path_factory.mktemp("ledger"), fill) as store:
            found[name] = read_books(store, kept="donor" if name == "a season" else None)
    return found


@pytest.mark.parametrize("state", STATES)
def test_the_charts_of_each_state(books: dict[str, Books], state: str) -> None:
    found = list(drawn(books[state]))
    assert [chart.name for chart in found] == BY_STATE[state]
    for chart in found:
        for svg, width in ((chart.wide, WIDE), (chart.narrow, NARROW)):
            [box] = re.findall(r'^<svg viewBox="0 0 ([\d.]+) [\d.]+" role="img" aria-label="[^"]+">', svg)
            assert float(box) == pytest.approx(width, abs=8), "the picture is as wide as it was to be"
            assert len(svg) < 50_000


def test_bars_carry_their_figures(books: dict[str, Books]) -> None:
    outcomes, difference, networks = drawn(books["every outcome"])
    assert words(outcomes.wide) == words(outcomes.narrow)
    assert set(words(outcomes.wide)) >= {"Accepted", "2 (16.7%)", "Not known", "1 (8.3%)"}
    assert [text for text in words(difference.wide) if re.search(r"\d", text)] == [
        *("UGX 550", f"{MINUS} 50", "+ 1", f"{MINUS} 150", f"{MINUS} 150", "UGX 201"),
    ]
    assert words(networks.wide) == ["MTN Uganda", "2 of 11"]


def test_those_who_cannot_see_it_are_told(books: dict[str, Books]) -> None:
    [outcomes, *_] = drawn(books["zero charge"])
    assert 'aria-label="What became of the people on the list: Accepted 3 (75.0%); Turned away 1 (25.0%)"' in (
        outcomes.wide
    )


def test_millions_fit(books: dict[str, Books]) -> None:
    difference = charts.difference(millions(books["every outcome"]))
    assert difference is not None
    assert {"UGX 550,000,000", f"{MINUS} 150,000,000"} <= set(words(difference.narrow))


def test_a_long_name_is_cut_in_its_middle(books: dict[str, Books]) -> None:
    campaigns = charts.campaigns(books["a season"])
    assert campaigns is not None
    assert campaigns.title.endswith(", the 12 largest of 16")
    long = [text for text in words(campaigns.wide) if text.startswith("a-camp")]
    assert len(set(long)) == len(long) > 1, "editions of one campaign stay apart"
    assert all("…" in text and text.endswith(tuple(f"/{edition}" for edition in range(1, 9))) for text in long)
    assert max(map(len, long)) < len(LONG_NAME)


def test_what_people_typed_stays_text(books: dict[str, Books]) -> None:
    by_donor = list(drawn(books["a season"]))[4]
    assert by_donor.name == "kept"
    assert "<img" not in by_donor.wide
    assert "&lt;img" in by_donor.wide


def test_columns_stand_on_the_ground_and_are_as_high_as_what_they_say(books: dict[str, Books]) -> None:
    accepted, charged = charts.over_time(books["a season"])
    by_day = by_day_of(books["a season"]).drop_nulls("day")
    for chart, measure in ((accepted, "accepted"), (charged, "charged_ugx")):
        assert chart.title.endswith((", by day", ", by day (UGX)"))
        heights = [float(height) for height in re.findall(r'<path d="M[^"]*?h[\d.]+v([\d.]+)h', chart.wide)]
        figures = by_day[measure].to_list()
        assert heights == [pytest.approx(max(heights) * figure / max(figures), abs=0.5) for figure in figures]
        assert max(heights) > 100


def test_money_that_nobody_entered_stands_out(books: dict[str, Books]) -> None:
    [balance] = charts.balances(balance_chain(books["a season"]))
    assert "+5,000 not explained" in words(balance.wide)


def test_delivery_reports(tmp_path: Path) -> None:
    empty = empty_books(tmp_path)
    accepted = [Group("accepted", 5, delivery="delivered"), Group("accepted", 3, delivery="not_reported")]
    found = charts.deliveries(books_of(empty, *accepted))
    assert found is not None
    assert {"Delivered", "5 (62.5%)", "Not reported", "3 (37.5%)"} <= set(words(found.wide))
