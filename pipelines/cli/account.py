"""The money of an account: `mambo account top-up`, `entries`, `statement`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import polars as pl
from cyclopts import App, Parameter

from mambo_io import accounting, books
from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.cli.amounts import whole_ugx
from pipelines.cli.days import past_day
from pipelines.opening import open_store
from pipelines.statement import chain, months

account = App(name="account", help="Enter what was paid into the account; show what became of the money.")

_MOST_GAPS = 20


@account.command
def top_up(
    amount: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, date: str, reference: str, by: str
) -> int:
    """Enter what was paid into the account, so that the statement can explain it.

    Nothing is paid by this, and the API is not asked. A wrong entry is taken back by another with the amount below
    zero, under a reference of its own. For example:

        mambo account top-up 500,000 --date 2026-11-03 --reference "MoMo 8812" --by Grace

    Parameters
    ----------
    amount
        Whole UGX.
    date
        The day on which it came in, as 2026-11-03.
    reference
        Of the payment. One that was entered before is refused.
    by
        Your name.
    """
    amount_ugx = whole_ugx("AMOUNT", amount)
    if not amount_ugx:
        raise InputError("is no amount that came in", key="AMOUNT", value=amount, fix="Write it as 500000 or 500,000.")
    day = past_day("--date", date, what="on which anything can have come in")
    for option, value in (("--reference", reference), ("--by", by)):
        if not value.strip():
            raise InputError("needs something in it", key=option)
    settings = load_settings()
    with open_store(settings, create=True) as store, store.writer() as connection:
        accounting.record_top_up(
            connection, settings.account, amount_ugx, day=day, reference=reference.strip(), who=by.strip()
        )
    screens.say(f"Account {settings.account}: UGX {amount_ugx:,} entered for {day}")
    screens.say("What it explains:", command="mambo account statement")
    return 0


@account.command
def entries(*, json: bool = False) -> int:
    """List what was entered by hand of the account, by day; long numbers in references and names are masked.

    Parameters
    ----------
    json
        One JSON object a line.
    """
    settings = load_settings()
    with open_store(settings) as store, store.reader() as connection, connection.begin():
        found = books.entries(connection, [settings.account]).filter(kind="top_up")
    rows = [
        (f"{day:%Y-%m-%d}", amount_ugx, mask_text(reference), mask_text(who))
        for day, amount_ugx, reference, who in found.select("began_at", "amount_ugx", "reference", "who").iter_rows()
    ]
    if json:
        for day, amount_ugx, reference, who in rows:
            entry = {"date": day, "amount_ugx": amount_ugx, "reference": reference, "by": who}
            screens.print_json({"account": settings.account} | entry)
    elif rows:
        lines = [(day, f"{amount_ugx:,}", reference, who) for day, amount_ugx, reference, who in rows]
        _show([("date", "UGX", "reference", "by"), *lines], right=(1,))
    else:
        screens.say(f"Nothing was entered for account {settings.account}.")
    return 0


@account.command
def statement(*, month: str | None = None, json: bool = False) -> int:
    """Show the account month by month: opening + top-ups - charges + unknown + unexplained = closing.

    Balances are those that the API named. What unknown calls seem to have taken stands under unknown; what nothing
    explains (a top-up that was not entered, another use of the account) is listed. For example:

        mambo account statement --month 2026-11

    Parameters
    ----------
    month
        One month, as 2026-11; none: all of them.
    json
        One JSON object a line, a month each.
    """
    if month is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise InputError("is no month", key="--month", value=month, fix="Write it as 2026-11.")
    settings = load_settings()
    with open_store(settings) as store, store.reader() as connection, connection.begin():
        calls = books.account_calls(connection, [settings.account])
        entered = books.entries(connection, [settings.account])
    found, steps = months(calls, entered), chain(calls, entered).filter(pl.col("unexplained_ugx") != 0)
    if month is not None:
        found = found.filter(month=month)
        steps = steps.filter(pl.col("day").dt.strftime("%Y-%m") == month)
    if json:
        for row in found.iter_rows(named=True):
            screens.print_json(row)
        return 0
    if found.is_empty():
        screens.say(f"Nothing is known of account {settings.account}{f' in {month}' if month else ''}.")
        return 0
    _show_months(found)
    _show_gaps(steps)
    return 0


def _show_months(found: pl.DataFrame) -> None:
    columns = {
        "month": "month",
        "opening_ugx": "opening",
        "top_ups_ugx": "top-ups",
        "charges_ugx": "charges",
        "open_ugx": "unknown",
        "unexplained_ugx": "unexplained",
        "closing_ugx": "closing",
        "calls": "calls",
    }
    if not found["open_ugx"].sum():
        del columns["open_ugx"]
    cells = [[_cell(value) for value in row] for row in found.select(list(columns)).iter_rows()]
    _show([list(columns.values()), *cells], right=range(1, len(columns)))
    if found["closing_ugx"].null_count():
        screens.say("The API has named no balance of this account yet, so only what is known is added up.")


def _cell(value: int | str | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else value


def _show_gaps(steps: pl.DataFrame) -> None:
    names = ("unexplained_ugx", "balance_ugx", "began_at", "kind", "first_call")
    for unexplained_ugx, balance_ugx, began_at, kind, call in steps.head(_MOST_GAPS).select(names).iter_rows():
        where = "the balance reading" if kind == "reading" else f"API call {call}"
        screens.say(
            f"Unexplained: UGX {abs(unexplained_ugx):,} {'too much' if unexplained_ugx > 0 else 'missing'} at {where} "
            f"of {screens.local_time(began_at)}; the API named {balance_ugx:,}, "
            f"expected were {balance_ugx - unexplained_ugx:,}"
        )
    if steps.height > _MOST_GAPS:
        screens.say(f"… and {steps.height - _MOST_GAPS:,} more")


def _show(rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> None:
    """Rows in columns, the first row being their names; those in `right` stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if place in right else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        screens.say("  ".join(cells).rstrip())
