"""An account's balance, step by step and month by month: what came in, what went out, and what nobody explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from mambo_io.books import TIME
from pipelines.balances import AccountHistory, Link, LooseAmount, histories

CHAIN: dict[str, Any] = {
    "account": pl.String,
    "kind": pl.String,
    "began_at": TIME,
    "ended_at": TIME,
    "day": pl.Date,
    "calls": pl.Int64,
    **dict.fromkeys(("first_call", "last_call"), pl.String),
    **dict.fromkeys(("balance_before_ugx", "charged_ugx", "top_ups_ugx", "expected_ugx", "balance_ugx"), pl.Int64),
    **dict.fromkeys(("gap_ugx", "open_ugx", "unexplained_ugx"), pl.Int64),
    "explanation": pl.String,
}
MONTHS: dict[str, Any] = {
    **dict.fromkeys(("account", "month"), pl.String),
    **dict.fromkeys(("opening_ugx", "top_ups_ugx", "charges_ugx", "open_ugx", "unexplained_ugx"), pl.Int64),
    **dict.fromkeys(("closing_ugx", "calls", "open_calls"), pl.Int64),
}


def chain(account_calls: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Each balance that the API named against what went before, in order, by account.

    In: `account_calls` and `entries` of `pipelines.reconciliation.Books`. A step is a run of calls of one day between
    whose balances nothing is missing, or one balance reading. What no balance shows yet comes last, a step for each.

    Out: account, kind (String: calls, reading, top_up), began_at, ended_at (Datetime, Kampala), day (Date), calls
    (Int64), first_call, last_call (String), balance_before_ugx (Int64; of the first step: reckoned back from its own),
    charged_ugx (Int64: what is known of its calls, and of calls without a balance that are placed before it),
    top_ups_ugx (Int64: entered by hand and placed before it), expected_ugx (Int64: before - charged + top-ups),
    balance_ugx (Int64: as the API named it; null where it has not yet), gap_ugx (Int64: balance - before + charged;
    null with the balance), open_ugx (Int64, 0 or less: the part of the gap that calls of unknown fate or cost may have
    taken), unexplained_ugx (Int64: balance - expected - open), explanation (String: of a gap, the last that applies:
    top_up, open_calls, unexplained; no_balance_yet; null where there is no gap).
    """
    rows = [row for name, account in histories(account_calls, entries) for row in _steps(name, account)]
    found = pl.DataFrame(rows, schema=CHAIN | {"began_at": pl.Int64, "ended_at": pl.Int64}, orient="row")
    return found.with_columns(
        pl.from_epoch(column, time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("Africa/Kampala")
        for column in ("began_at", "ended_at")
    )


def months(account_calls: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """The account month by month: opening + top-ups - charges + open + unexplained = closing.

    In: as for `chain`. Every month from the first of which something is known to the last. Out: account, month
    (String, `2026-11`), opening_ugx, top_ups_ugx, charges_ugx, open_ugx (0 or less: what calls of unknown fate or cost
    seem to have taken), unexplained_ugx, closing_ugx, calls (whose charge is known), open_calls (whose charge is not);
    all Int64.

    A charge stands in the month of its call, a top-up in that of its date, what is open or unexplained in that of the
    balance that shows it. The first opening is reckoned back from the first balance. Opening, closing, open and
    unexplained are null while the API has named no balance.
    """
    rows = [row for name, account in histories(account_calls, entries) for row in _months(name, account)]
    found = pl.DataFrame(rows, schema={name: MONTHS[name] for name in list(MONTHS)[:-2]}, orient="row")
    is_known = pl.col("charged_ugx").is_not_null()
    counted = account_calls.group_by("account", pl.col("sent_at").dt.strftime("%Y-%m").alias("month")).agg(
        is_known.sum().cast(pl.Int64).alias("calls"), (~is_known).sum().cast(pl.Int64).alias("open_calls")
    )
    found = found.join(counted, on=["account", "month"], how="left", maintain_order="left")
    return found.with_columns(pl.col("calls", "open_calls").fill_null(0))


def _steps(name: str, account: AccountHistory) -> Iterator[tuple[Any, ...]]:
    balance_ugx = account.opening_ugx
    run: list[Link] = []
    for link in [*account.links, None]:
        goes_on = run and link is not None and _goes_on(run[-1], link)
        if run and not goes_on:
            yield _step(name, run, balance_ugx or 0)
            balance_ugx, run = run[-1].named.balance_ugx, []
        if link is not None:
            run.append(link)
    for each in account.pending:
        charged_ugx, top_ups_ugx = _parts([each])
        after_ugx = None if balance_ugx is None else balance_ugx + each.amount_ugx
        yield (
            *(name, "top_up" if each.call is None else "calls", each.begin_us, each.end_us, each.day),
            *(int(each.call is not None), each.call, each.call),
            *(balance_ugx, charged_ugx, top_ups_ugx, after_ugx, None, None, 0, 0, "no_balance_yet"),
        )
        balance_ugx = after_ugx


def _goes_on(last: Link, link: Link) -> bool:
    """Whether a link belongs to the step of the one before it."""
    are_calls = last.named.calls > 0 and link.named.calls > 0
    return are_calls and not link.gap_ugx and not link.loose and last.named.day == link.named.day


def _step(name: str, run: Sequence[Link], before_ugx: int) -> tuple[Any, ...]:
    named = [link.named for link in run]
    charged_ugx, top_ups_ugx = _parts([each for link in run for each in link.loose])
    charged_ugx += sum(each.charged_ugx for each in named)
    open_ugx = sum(link.open_ugx for link in run)
    balance_ugx = named[-1].balance_ugx
    expected_ugx = before_ugx - charged_ugx + top_ups_ugx
    unexplained_ugx = balance_ugx - expected_ugx - open_ugx
    explanations = {"unexplained": unexplained_ugx, "open_calls": open_ugx, "top_up": top_ups_ugx}
    # Of a reading, the calls without a balance of their own that it shows.
    placed = [each.call for link in run for each in link.loose if each.call is not None]
    calls = sum(each.calls for each in named) + len(placed)
    first_call, last_call = named[0].first_call, named[-1].last_call
    if placed and not named[0].calls:
        first_call, last_call = placed[0], placed[-1]
    return (
        *(name, "calls" if named[0].calls else "reading"),
        *(min(each.begin_us for each in named), max(each.end_us for each in named), named[0].day),
        *(calls, first_call, last_call),
        *(before_ugx, charged_ugx, top_ups_ugx, expected_ugx, balance_ugx, balance_ugx - before_ugx + charged_ugx),
        *(open_ugx, unexplained_ugx),
        next((explanation for explanation, ugx in explanations.items() if ugx), None),
    )


def _parts(loose: Sequence[LooseAmount]) -> tuple[int, int]:
    """What was charged, and what was put in by hand."""
    charged_ugx = -sum(each.amount_ugx for each in loose if each.call is not None)
    return charged_ugx, sum(each.amount_ugx for each in loose if each.call is None)


def _months(name: str, account: AccountHistory) -> Iterator[tuple[Any, ...]]:
    sums: dict[date, Counter[str]] = {}

    def add(day: date, kind: str, ugx: int) -> None:
        sums.setdefault(day.replace(day=1), Counter())[kind] += ugx

    for day in account.days or ():
        add(day, "charges", 0)
    for link in account.links:
        add(link.named.day, "charges", link.named.charged_ugx)
        add(link.named.day, "open", link.open_ugx)
        add(link.named.day, "unexplained", 0 if link.gap_ugx is None else link.rest_ugx)
    for each in [*account.pending, *(each for link in account.links for each in link.loose)]:
        charged_ugx, top_ups_ugx = _parts([each])
        add(each.day, "charges", charged_ugx)
        add(each.day, "top_ups", top_ups_ugx)
    balance_ugx, month, last = account.opening_ugx, min(sums, default=date.max), max(sums, default=date.min)
    while month <= last:
        of = sums.get(month, Counter())
        opening_ugx, known = balance_ugx, balance_ugx is not None
        if balance_ugx is not None:
            balance_ugx += of["top_ups"] - of["charges"] + of["open"] + of["unexplained"]
        yield (
            *(name, f"{month:%Y-%m}", opening_ugx, of["top_ups"], of["charges"]),
            *(of["open"] if known else None, of["unexplained"] if known else None, balance_ugx),
        )
        month = (month + timedelta(days=31)).replace(day=1)
