"""The report as a page: one file with its style and its charts inside, without scripts, that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, assert_never

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines import reconciliation
from pipelines.reconciliation import Books
from pipelines.report import charts, headline, tables, words
from pipelines.report.drawing import Chart
from pipelines.report.people import Exceptions
from pipelines.report.tables import Column, Kind, Table
from pipelines.report.words import MINUS

_MOST_ROWS = 100  # of any other table

_RIGHT = {Kind.COUNT, Kind.UGX, Kind.CHANGE, Kind.PRICE, Kind.SHARE, Kind.DRIFT}
_MONEY = {Kind.UGX, Kind.CHANGE}


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as the page shows it: texts only."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: Sequence[str]  # empty: none
    note: str

    def classes(self, column: Column) -> str:
        return " ".join(
            name
            for name, is_so in (("right", column.kind in _RIGHT), ("whole", column.whole), ("less", column.less))
            if is_so
        )

    def unit(self, column: Column) -> str:
        return "UGX" if column.kind in _MONEY else ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    charts: Sequence[Chart] = ()
    tables: Sequence[Shown] = ()
    text: str = ""


def page(books: Books, exceptions: Exceptions, *, full_numbers: bool, made_at: datetime) -> str:
    """The whole page. `exceptions` are the people that it lists."""
    environment = Environment(
        loader=PackageLoader("pipelines.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    chain = reconciliation.balance_chain(books)
    return environment.get_template("page.html.jinja").render(
        coverage=words.coverage(books),
        called=words.called(books),
        headline=headline.headline(books, chain),
        figures=list(figures(books)),
        to_look_at=headline.to_look_at(books, chain),
        sections=list(_sections(books, chain, exceptions, full_numbers=full_numbers)),
        definitions=words.DEFINITIONS,
        made_at=words.moment(made_at),
        made_with=words.made_with("altair", "vl-convert-python"),
        full_numbers=full_numbers,
    )


def figures(books: Books) -> Iterator[tuple[str, str, str]]:
    """The few figures that stand in large letters: title, figure, and a line below it."""
    if books.campaigns.is_empty():
        return
    sums = reconciliation.cut(books).row(0, named=True)
    people, accepted, charged = sums["recipients"], sums["accepted"], sums["charged_ugx"]
    yield "People on the lists", f"{people:,}", words.count(books.campaigns.height, "campaign")
    of_them = f"{words.percent(accepted / people)} of them" if people else ""
    if words.has_deliveries(books):
        of_them += f", {books.tally.filter(delivery='delivered')['recipients'].sum():,} delivered"
    yield "Accepted", f"{accepted:,}", of_them
    known = ", as far as known" if sums["of_unknown_ugx"] else ""
    yield f"Charged{known}", words.ugx(charged), f"estimated {words.ugx(sums['estimated_ugx'])}"
    made = books.calls.filter(books.calls["attempt"].is_not_null()).height
    # Of the calls of which both are known, as in the table of prices.
    priced = reconciliation.cut(replace(books, tally=books.tally.filter("is_priced"))).row(0, named=True)
    segments, cost = priced["segments_counted"], priced["charged_ugx"]
    each = f"{cost / segments:,.2f} a segment".replace(".00", "") if segments and cost else ""
    yield "API calls", f"{made:,}", f"UGX {each}" if each else ""


def _sections(books: Books, chain: pl.DataFrame, exceptions: Exceptions, *, full_numbers: bool) -> Iterator[Section]:
    if not books.campaigns.is_empty():
        yield Section(
            "People",
            _some(charts.outcomes(books), charts.deliveries(books)),
            [*_shown("By outcome and reason", tables.reasons(books)), *_shown("By delivery", tables.deliveries(books))],
        )
        yield Section(
            "Money",
            _some(charts.difference(books), charts.campaigns(books)),
            [
                *_shown("Why the charge is not the estimate", _causes(books)),
                *_shown("By campaign", tables.campaigns(books)),
            ],
        )
        by_kept = tables.kept(books, full_numbers=full_numbers)
        if by_kept is not None:
            yield Section(
                f"By {books.kept}", _some(charts.kept(books, by_kept.frame)), _shown(f"By {books.kept}", by_kept)
            )
        yield Section(
            "Networks",
            _some(charts.networks(books)),
            [*_shown("By network", tables.networks(books)), *_shown("What a segment cost", tables.prices(books))],
        )
        by_day = _shown("By day", tables.days(books))
        if by_day:
            yield Section("Over time", list(charts.over_time(books)), by_day)
    yield _account(books, chain)
    if not books.campaigns.is_empty():
        listed = _table("API calls to look at", tables.calls_to_look_at(books), _MOST_ROWS)
        text = "" if listed.rows else "Every API call was accepted, with a receipt that agrees with what was sent."
        yield Section("API calls", (), [listed] if listed.rows else [], text if not books.calls.is_empty() else "None.")
        yield Section("People to look after", (), *_people(exceptions))


def _causes(books: Books) -> Table | None:
    causes = tables.causes(books)
    return causes if causes.frame.height > 2 else None


def _account(books: Books, chain: pl.DataFrame) -> Section:
    months, steps = tables.statement(books), tables.balances(chain)
    if months.frame.is_empty():
        return Section("The account", text="Nothing is recorded of an account in this period.")
    telling = replace(steps, frame=steps.frame.filter(steps.frame["explanation"].is_not_null()))
    text = "All campaigns of the account, not only those of this report."
    if telling.frame.is_empty():
        text += " Every balance that the API named is the one before it less the charges between them."
    shown = [*_shown("Month by month", months), *_shown("Balances that the charges alone do not explain", telling)]
    return Section("The account", list(charts.balances(chain)), shown, text)


def _people(exceptions: Exceptions) -> tuple[Sequence[Shown], str]:
    if not exceptions.found:
        return [], "Nobody: everybody was accepted."
    listed = tables.exceptions(exceptions, brief=True)
    return [_table("Not accepted, or not delivered", listed, listed.frame.height, exceptions.found)], ""


def _shown(caption: str, table: Table | None) -> list[Shown]:
    """The table, when it holds anything."""
    return [] if table is None or table.frame.is_empty() else [_table(caption, table, _MOST_ROWS)]


def _table(caption: str, table: Table, most: int, found: int | None = None) -> Shown:
    found = table.frame.height if found is None else found
    names = [column.name for column in table.columns]
    rows = [
        [cell(value, column.kind) for value, column in zip(values, table.columns, strict=True)]
        for values in table.frame.select(names).head(most).iter_rows()
    ]
    total: list[str] = []
    if table.totals and table.frame.height > 1:
        sums = table.total()
        total = [cell(sums[column.name], column.kind) if column.name in sums else "" for column in table.columns]
        total[0] = "All"
    note = f"{len(rows):,} of {found:,}; all of them: mambo report --output report.xlsx" if found > len(rows) else ""
    return Shown(caption, table.columns, rows, total, note)


def cell(value: Any, kind: Kind) -> str:
    """A value as a person reads it."""
    if value is None:
        return "\N{EN DASH}" if kind is not Kind.TEXT else ""
    match kind:
        case Kind.TEXT:
            return str(value)
        case Kind.COUNT | Kind.UGX:
            return f"{value:,}".replace("-", MINUS)
        case Kind.CHANGE:
            return f"{value:+,}".replace("-", MINUS) if value else "0"
        case Kind.PRICE:
            return f"{value:,.2f}"
        case Kind.SHARE:
            return words.percent(value)
        case Kind.DRIFT:
            return f"{100 * value:+.1f}%".replace("-", MINUS) if value else "0%"
        case Kind.DAY:
            assert isinstance(value, date)
            return words.day(value)
        case Kind.MOMENT:
            assert isinstance(value, datetime)
            return f"{value:%Y-%m-%d %H:%M}"
        case _:
            assert_never(kind)


def _some(*drawn: Chart | None) -> list[Chart]:
    return [chart for chart in drawn if chart is not None]
