"""An account's balances in their order, and what explains the steps between them.

The API names the balance in each reply, and on asking. Between two balances the account's known charges and the top-ups
entered by hand must explain the difference; what they do not is a gap. Replies of calls that overlap come in any order.
So balances are put into an order that respects intents and replies (no call stands before one that had been answered
when it began) and leaves no gap where that can be: without a top-up between them that is the falling order by which
`pipelines.settlement` judges, too. Where the money does not go on, the next is one that goes on from no other balance:
the highest one below, because money is mostly taken; and only when there is none, one above, the first to end.

Known amounts without a balance of their own (a top-up of some moment of its day, a call that was settled, or whose
reply named no balance) are placed between those two balances that they explain: into a gap of just their size, or one
that several of them fill together, or else the one that fits best. What no balance shows yet stands behind the last. An
entry that fills no gap, and another that takes it back, leave no trace. Then a gap may still be the charge of a call of
unknown fate or cost; that is said, not concluded, which is the settlement's task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date

import polars as pl

from mambo_io.doubts import LONGEST_CALL_S

_US = 1_000_000
_LATEST_S = LONGEST_CALL_S + 120  # so long after it was given up may an unknown call take its charge


@dataclass(slots=True)
class NamedBalance:
    """A balance that was named: by a call's reply, or by a reading (without a call, and nothing was charged).

    A day of calls whose balances follow each other without a gap is one as well: what its last call named, what all of
    them were charged. `first_end_us` is when its first one ended.
    """

    begin_us: int
    end_us: int
    day: date
    calls: int
    first_call: str | None
    last_call: str | None
    charged_ugx: int
    balance_ugx: int
    first_end_us: int

    @property
    def before_ugx(self) -> int:
        return self.balance_ugx + self.charged_ugx


@dataclass(slots=True)
class LooseAmount:
    """A known amount that moved the balance (negative: taken) at some moment between these two."""

    begin_us: int
    end_us: int
    day: date
    call: str | None  # None: a top-up
    amount_ugx: int


@dataclass(slots=True)
class _Open:
    """A call that may have taken up to so much."""

    begin_us: int
    end_us: int
    left_ugx: int


@dataclass(slots=True)
class Link:
    """A named balance and what stands between it and the one before. `gap_ugx` is None before the first."""

    named: NamedBalance
    begin_us: int | None  # the money in the gap moved between these
    end_us: int
    gap_ugx: int | None
    loose: list[LooseAmount] = field(default_factory=list)
    open_ugx: int = 0

    @property
    def rest_ugx(self) -> int:
        """What of the gap is not explained yet."""
        return (self.gap_ugx or 0) - sum(each.amount_ugx for each in self.loose) - self.open_ugx

    def may_hold(self, begin_us: int, end_us: int) -> bool:
        return begin_us <= self.end_us and (self.begin_us is None or end_us >= self.begin_us)


@dataclass(slots=True)
class AccountHistory:
    """What is known of one account, in order."""

    links: list[Link]
    pending: list[LooseAmount]  # that no balance shows yet
    opening_ugx: int | None  # before everything that is known
    days: tuple[date, date] | None  # of its first call and its last


def histories(account_calls: pl.DataFrame, entries: pl.DataFrame) -> Iterator[tuple[str, AccountHistory]]:
    for name in pl.concat([account_calls["account"], entries["account"]]).unique().sort():
        yield name, _history(account_calls.filter(account=name), entries.filter(account=name))


def _history(account_calls: pl.DataFrame, entries: pl.DataFrame) -> AccountHistory:
    calls = _in_us(account_calls, "sent_at", "ended_at")
    facts = _in_us(entries, "began_at", "at").select("kind", "day", "began_at", "at", "amount_ugx")
    days = _whole_days(calls, facts.filter(kind="reading"))
    named = [NamedBalance(*row) for row in days.iter_rows()]
    loose: list[LooseAmount] = []
    opened: list[_Open] = []
    columns = ("call", "day", "sent_at", "ended_at", "expected_ugx", "charged_ugx", "balance_after_ugx")
    others = calls.join(days, on="day", how="anti", maintain_order="left").select(columns)
    for call, day, sent_us, ended_us, expected_ugx, charged_ugx, balance_ugx in others.iter_rows():
        latest_us = sent_us + _LATEST_S * _US
        if balance_ugx is not None:
            charge_ugx = charged_ugx or 0
            named.append(NamedBalance(sent_us, ended_us, day, 1, call, call, charge_ugx, balance_ugx, ended_us))
        elif charged_ugx is not None:
            loose.append(LooseAmount(sent_us, latest_us, day, call, -charged_ugx))
        if charged_ugx is None:
            opened.append(_Open(sent_us, latest_us, expected_ugx))
    for kind, day, began_us, at_us, amount_ugx in facts.iter_rows():
        if kind == "reading":
            named.append(NamedBalance(began_us, at_us, day, 0, None, None, 0, amount_ugx, at_us))
        else:
            loose.append(LooseAmount(began_us, at_us, day, None, amount_ugx))
    links = _linked(named)
    pending = _place(links, loose)
    _lay_to_open_calls(links, opened)
    opening_ugx = None
    if links:
        opening_ugx = links[0].named.before_ugx - sum(each.amount_ugx for each in links[0].loose)
    return AccountHistory(
        links, pending, opening_ugx, None if calls.is_empty() else (calls["day"][0], calls["day"][-1])
    )


def _whole_days(calls: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """The days of which nothing has to be looked at, one by one: a hundred thousand calls become one balance.

    Their calls, in the falling order of the balances, leave no gap, none stands before one that had been answered when
    it began, and nothing else of the account happened meanwhile. Out: the fields of `NamedBalance`.
    """
    sent, ended, balance = pl.col("sent_at"), pl.col("ended_at"), pl.col("balance_after_ugx")
    charged = pl.col("charged_ugx")
    before = balance + charged
    days = (
        calls.sort("day", -balance, charged == 0, "sent_at", nulls_last=True)
        .with_columns(
            ((before == balance.shift(1, fill_value=before.first())) & (ended >= sent.cum_max()))
            .fill_null(value=False)
            .over("day")
            .alias("goes_on")
        )
        .group_by("day", maintain_order=True)
        .agg(
            sent.min().alias("begin_us"),
            ended.max().alias("end_us"),
            pl.len().alias("calls"),
            pl.col("call").first().alias("first_call"),
            pl.col("call").last().alias("last_call"),
            charged.sum(),
            balance.last().alias("balance_ugx"),
            ended.first().alias("first_end_us"),
            pl.col("goes_on").all(),
        )
    )
    alone = [
        (previous is None or previous < begin)
        and (following is None or following > end)
        and readings.filter(pl.col("began_at") <= end, pl.col("at") >= begin).is_empty()
        for previous, begin, end, following in days.select(
            pl.col("end_us").shift().alias("previous"),
            "begin_us",
            "end_us",
            pl.col("begin_us").shift(-1).alias("following"),
        ).iter_rows()
    ]
    names = [field.name for field in fields(NamedBalance)]
    return days.filter(pl.Series(alone, dtype=pl.Boolean) & pl.col("goes_on")).select(names)


def _in_us(frame: pl.DataFrame, begin: str, end: str) -> pl.DataFrame:
    """With the day of its beginning, and both times in microseconds."""
    times = [pl.col(column).dt.epoch("us") for column in (begin, end)]
    return frame.with_columns(pl.col(begin).dt.date().alias("day"), *times)


# --- the order of the balances ---------------------------------------------------------------------------------------


def _linked(named: Sequence[NamedBalance]) -> list[Link]:
    links: list[Link] = []
    last: NamedBalance | None = None
    for each in _ordered(named):
        gap_ugx = None if last is None else each.before_ugx - last.balance_ugx
        links.append(Link(each, None if last is None else last.begin_us, each.first_end_us, gap_ugx))
        last = each
    return links


def _ordered(named: Sequence[NamedBalance]) -> Iterator[NamedBalance]:
    """See the module's text. Only what overlaps is compared, so that the time of this grows with the calls alone."""
    later = sorted(named, key=lambda each: (each.begin_us, each.end_us), reverse=True)
    waiting: list[NamedBalance] = []
    ends: dict[int, list[NamedBalance]] = {}  # calls by the balance that they left, the first to begin last
    for each in later:
        if each.charged_ugx:
            ends.setdefault(each.balance_ugx, []).append(each)
    placed: set[int] = set()

    def goes_on_from_another(each: NamedBalance) -> bool:
        others = ends.get(each.before_ugx, [])
        while others and id(others[-1]) in placed:
            others.pop()
        return bool(others) and others[-1].begin_us <= each.end_us

    balance_ugx: int | None = None
    while later or waiting:
        if not waiting:
            waiting.append(later.pop())
        first_end_us = min(each.end_us for each in waiting)
        while later and later[-1].begin_us <= first_end_us:
            waiting.append(later.pop())
            first_end_us = min(first_end_us, waiting[-1].end_us)
        able = [each for each in waiting if each.begin_us <= first_end_us]
        chosen = able[0] if len(able) == 1 else _next(able, balance_ugx, goes_on_from_another)
        waiting = [each for each in waiting if each is not chosen]
        placed.add(id(chosen))
        balance_ugx = chosen.balance_ugx
        yield chosen


def _next(
    able: Sequence[NamedBalance], balance_ugx: int | None, goes_on_from_another: Callable[[NamedBalance], bool]
) -> NamedBalance:
    """Which of the balances that may come next does."""
    going_on = [each for each in able if each.before_ugx == balance_ugx]
    if going_on:  # what cost nothing first: the money does not come back to it
        return min(going_on, key=lambda each: (each.charged_ugx != 0, each.end_us))
    heads = [each for each in able if not goes_on_from_another(each)] or able
    below = [each for each in heads if balance_ugx is None or each.before_ugx < balance_ugx]
    if below:
        return max(below, key=lambda each: (each.before_ugx, each.charged_ugx == 0, -each.end_us))
    return min(heads, key=lambda each: each.end_us)


# --- what explains the gaps ------------------------------------------------------------------------------------------


def _place(links: Sequence[Link], loose: Sequence[LooseAmount]) -> list[LooseAmount]:
    """Put each known amount into the link that it explains; returns those that no balance shows yet."""
    left = sorted((each for each in loose if each.amount_ugx), key=lambda each: each.begin_us)
    for link in links:
        if not link.gap_ugx or not left:
            continue
        able = [each for each in left if link.may_hold(each.begin_us, each.end_us)]
        fitting = [each for each in able if each.amount_ugx == link.gap_ugx][:1]
        if not fitting and sum(each.amount_ugx for each in able) == link.gap_ugx:
            fitting = able
        link.loose += fitting
        left = [each for each in left if not any(each is one for one in fitting)]
    pending: list[LooseAmount] = []
    for each in sorted(_netted(_without_taken_back(left, links)), key=lambda each: -abs(each.amount_ugx)):
        place = _best(each, links)
        if place is None:
            pending.append(each)
        else:
            place.loose.append(each)
    return sorted(pending, key=lambda each: each.begin_us)


def _without_taken_back(left: Sequence[LooseAmount], links: Sequence[Link]) -> list[LooseAmount]:
    """Without the entries that fill no gap and were taken back by one of just their amount, of whatever day.

    The one that takes back may have filled a gap of its size, which then is another's: a call's of unknown charge.
    """
    kept = list(left)
    for entered in (each for each in left if each.call is None and each.amount_ugx > 0):
        for place in (kept, *(link.loose for link in links if len(link.loose) == 1)):
            back = next(
                (
                    each
                    for each in place
                    if each.call is None
                    and each.amount_ugx == -entered.amount_ugx
                    and (place is kept or each.begin_us >= entered.begin_us)
                ),
                None,
            )
            if back is not None:
                place.remove(back)
                kept.remove(entered)
                break
    return kept


def _netted(left: Sequence[LooseAmount]) -> Iterator[LooseAmount]:
    """What was entered for one day and partly taken back, as what it comes to."""
    entered: dict[date, list[LooseAmount]] = {}
    for each in left:
        if each.call is None:
            entered.setdefault(each.day, []).append(each)
        else:
            yield each
    for first, *others in entered.values():
        amounts = [each.amount_ugx for each in (first, *others)]
        if min(amounts) > 0 or max(amounts) < 0:
            yield from (first, *others)
        elif sum(amounts):
            yield replace(first, amount_ugx=sum(amounts))


def _best(each: LooseAmount, links: Sequence[Link]) -> Link | None:
    """The link for an amount that fills no gap; None: no balance shows it yet."""
    able = [link for link in links if link.may_hold(each.begin_us, each.end_us)]
    same_way = [link for link in able if link.gap_ugx is not None and link.rest_ugx * each.amount_ugx > 0]
    may_be_shown_later = not able or each.end_us >= links[-1].named.end_us
    if each.amount_ugx < 0 and may_be_shown_later:
        # Only a top-up lets a balance rise, perhaps one of another amount; a smaller fall may be any call's charge.
        same_way = [link for link in same_way if link.rest_ugx <= each.amount_ugx]
    if same_way:
        # It leaves something of a gap rather than turning it round; then as little as can be.
        return min(
            same_way,
            key=lambda link: (abs(link.rest_ugx) < abs(each.amount_ugx), abs(link.rest_ugx - each.amount_ugx)),
        )
    if able and able[0].gap_ugx is None:
        return able[0]  # before the first balance
    if may_be_shown_later:
        return None
    return able[-1]  # the balance should show it, and does not


def _lay_to_open_calls(links: Sequence[Link], opened: Sequence[_Open]) -> None:
    for link in links:
        if link.gap_ugx is None or link.rest_ugx >= 0:
            continue
        for call in opened:
            if call.left_ugx and link.rest_ugx < 0 and link.may_hold(call.begin_us, call.end_us):
                taken_ugx = min(call.left_ugx, -link.rest_ugx)
                call.left_ugx -= taken_ugx
                link.open_ugx -= taken_ugx
