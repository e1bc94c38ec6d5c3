"""The report's page in a real browser: it needs no network, says what the frames say, and fits a phone and a sheet of
paper. `Browser.look` fails on every error of the console and on every request that is not for a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from pipelines import reconciliation
from pipelines.reconciliation import Books, read_books
from pipelines.report import write_report
from pipelines.report.headline import headline
from pipelines.report.words import MINUS
from support.browser import Browser
from support.reports import LONG_NAME, STATES, ledger, millions, season

pytestmark = pytest.mark.xdist_group("browser")

DESKTOP, PHONE, PAPER = 1280, 390, 703  # CSS pixels; the last is the width of A4 less its margins
MILLIONS = "ten million people"

READ = """() => ({
  title: document.title,
  headline: [...document.querySelectorAll('#headline p')].map(p => p.innerText),
  figures: Object.fromEntries([...document.querySelectorAll('#figures div')].map(
    div => [div.querySelector('dt').innerText, div.querySelector('b').innerText])),
  tables: Object.fromEntries([...document.querySelectorAll('table')].map(table => [table.caption.innerText,
    [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ')))])),
  charts: [...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 0).length,
  figuresDrawn: document.querySelectorAll('figure').length,
  scripts: document.scripts.length,
  wide: document.documentElement.scrollWidth,
  room: document.documentElement.clientWidth,
  smallest: Math.min(99, ...[...document.querySelectorAll('figure svg text')].map(
    text => text.getBoundingClientRect().height).filter(height => height > 0)),
})"""


@dataclass(frozen=True)
class Report:
    path: Path
    books: Books


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """The report of a state; each is made once."""
    made: dict[str, Report] = {}

    def make(state: str) -> Report:
        if state not in made:
            folder = tmp_path_factory.mktemp("report")
            fill = STATES["every outcome" if state == MILLIONS else state]
            with ledger(folder, fill) as store:
                books = read_books(store, kept="donor" if state == "a season" else None)
                books = millions(books) if state == MILLIONS else books
                write_report(books, folder / "report.html", store=store)
            made[state] = Report(folder / "report.html", books)
        return made[state]

    return make


def read(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(READ)
    return found


def whole(text: str) -> int:
    return int(text.replace(",", "").replace(MINUS, "-").replace("+", "").replace("UGX ", ""))


@pytest.mark.parametrize("state", [*STATES, MILLIONS])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_state_fits_the_screen(browser: Browser, report: Callable[[str], Report], state: str, width: int) -> None:
    found = report(state)
    shown = browser.look(found.path, read, width=width)
    assert shown["headline"] == headline(found.books, reconciliation.balance_chain(found.books))
    assert shown["wide"] <= shown["room"], "nothing is wider than the screen"
    assert shown["charts"] == shown["figuresDrawn"], "each chart is there once, for this width"
    assert shown["smallest"] >= 12, "letters in charts are as large as those beside them"
    assert shown["scripts"] == 0


@pytest.mark.parametrize("state", [*STATES, MILLIONS])
def test_it_prints_on_a4(browser: Browser, report: Callable[[str], Report], state: str) -> None:
    def printed(page: Page) -> tuple[dict[str, Any], bytes]:
        page.emulate_media(media="print")
        return read(page), page.pdf(prefer_css_page_size=True)

    shown, pdf = browser.look(report(state).path, printed, width=PAPER)
    assert shown["wide"] <= shown["room"], "nothing is cut off at the edge of the paper"
    assert shown["charts"] == shown["figuresDrawn"]
    assert re.search(rb"/MediaBox \[0 0 (594\.\d+|595) (841\.\d+|842)\]", pdf), "A4"


@pytest.mark.parametrize("state", ["every outcome", "a season", MILLIONS])
def test_the_figures_are_those_of_the_frames(browser: Browser, report: Callable[[str], Report], state: str) -> None:
    books = report(state).books
    shown = browser.look(report(state).path, read)
    sums = reconciliation.cut(books).row(0, named=True)
    figures = {title.partition(",")[0]: figure for title, figure in shown["figures"].items()}
    assert whole(figures["People on the lists"]) == sums["recipients"]
    assert whole(figures["Accepted"]) == sums["accepted"]
    assert whole(figures["Charged"]) == sums["charged_ugx"]

    header, *rows = shown["tables"]["By network"]
    assert header[-3:] == ["Estimated UGX", "Charged UGX", "Difference UGX"]
    by_network = reconciliation.by_network(books).sort("recipients", descending=True)
    measures = ("recipients", "accepted", "unsupported", "rejected")
    assert [[whole(text) for text in row[1:5]] for row in rows[: by_network.height]] == [
        list(row) for row in by_network.select(measures).rows()
    ]
    money = ("estimated_ugx", "charged_ugx", "difference_ugx")
    assert [[whole(text) for text in row[-3:]] for row in rows] == [
        *([*row] for row in by_network.select(money).rows()),
        [sums[name] for name in money],  # the last line is the sum
    ]
    by_reason = {(row[0], row[1]): whole(row[2]) for row in shown["tables"]["By outcome and reason"][1:-1]}
    assert sum(by_reason.values()) == sums["recipients"]

    statement = reconciliation.statement(books)
    shown_statement = shown["tables"]["Month by month"][1:]
    names = ("opening_ugx", "top_ups_ugx", "charges_ugx", "open_ugx", "unexplained_ugx", "closing_ugx")
    assert [tuple(whole(text) for text in row[2:8]) for row in shown_statement] == statement.select(names).rows()


def test_it_holds_all_that_it_needs(report: Callable[[str], Report]) -> None:
    """No address stands in it but the names of SVG's own vocabulary, which nobody asks for."""
    for state in STATES:
        source = report(state).path.read_text("utf-8")
        assert len(source.encode()) < 3_000_000
        assert re.findall(r"https?://(?!www\.w3\.org/)[^\s\"'<]+", source) == []
        assert not re.search(r"<(script|link rel=.stylesheet|iframe|object)|@import|url\(", source)


def test_what_people_typed_is_shown_as_text(browser: Browser, report: Callable[[str], Report]) -> None:
    """A donor whose name is markup: it would show a box with a number in it, and does not."""
    dialogs: list[str] = []

    def look(page: Page) -> list[list[str]]:
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.wait_for_timeout(100)
        assert page.locator("img").count() == 0
        rows: list[list[str]] = read(page)["tables"]["By donor"]
        return rows

    rows = browser.look(report("a season").path, look)
    assert [row[0] for row in rows] == ["donor", "(empty)", '<img src="x" onerror="alert(1)">', "All"]
    assert dialogs == []


def test_a_long_name_stands_there_whole(browser: Browser, report: Callable[[str], Report]) -> None:
    for width in (DESKTOP, PHONE):
        rows = browser.look(report("a season").path, read, width=width)["tables"]["By campaign"]
        assert f"{LONG_NAME}/1" in [row[0] for row in rows]


def test_a_long_table_is_cut_and_says_where_the_rest_is(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.report.page._MOST_ROWS", 3)
    monkeypatch.setattr("pipelines.report.MOST_ON_A_PAGE", 5)
    with ledger(tmp_path, season) as store:
        books = read_books(store)
        write_report(books, tmp_path / "report.html", store=store)

    def look(page: Page) -> tuple[dict[str, Any], list[str]]:
        return read(page), page.locator(".note").all_inner_texts()

    shown, notes = browser.look(tmp_path / "report.html", look)
    header, *rows, total = shown["tables"]["By campaign"]
    assert (len(rows), total[0], whole(total[header.index("People")])) == (3, "All", books.tally["recipients"].sum())
    assert len(shown["tables"]["Not accepted, or not delivered"]) == 1 + 5
    assert "3 of 16; all of them: mambo report --output report.xlsx" in notes
    assert "5 of 37; all of them: mambo report --output report.xlsx" in notes


def test_a_keyboard_reaches_what_scrolls_and_a_reader_hears_the_charts(
    browser: Browser, report: Callable[[str], Report]
) -> None:
    def look(page: Page) -> tuple[int, int, list[str]]:
        labels = page.locator("figure .wide svg").evaluate_all("all => all.map(svg => svg.getAttribute('aria-label'))")
        return page.locator(".scroll[tabindex='0'][aria-label]").count(), page.locator("table").count(), labels

    reachable, tables, labels = browser.look(report("every outcome").path, look)
    assert reachable == tables > 0
    assert labels[0].startswith("What became of the people on the list: Accepted 2 (16.7%); ")
