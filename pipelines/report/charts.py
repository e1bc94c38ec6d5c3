"""The charts of a report, each from the frames of `pipelines.reconciliation`; None where there is nothing to see."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl

from pipelines import reconciliation
from pipelines.reconciliation import Books
from pipelines.report import drawing
from pipelines.report.drawing import BAR, Chart, Drawing, amounts, drawn, names, room_for_labels
from pipelines.report.words import CAUSE_TITLES, DELIVERIES, MINUS, OUTCOME_TITLES, has_deliveries, percent

_MOST_BARS = 12  # of campaigns, networks and the like
_MOST_POINTS = 400

_COLOURS = {
    "accepted": drawing.GREEN,
    "unsupported": drawing.ORANGE,
    "rejected": drawing.GREY,
    "refused": drawing.RED,
    "unverified": drawing.PURPLE,
    "unknown": drawing.WINE,
    "in_flight": drawing.SKY,
    "planned": drawing.SKY,
    "cancelled": drawing.SILVER,
}
_DELIVERY_COLOURS = {
    "delivered": drawing.GREEN,
    "failed": drawing.RED,
    "pending": drawing.SKY,
    "not_reported": drawing.GREY,
}


def outcomes(books: Books) -> Chart | None:
    """People by outcome."""
    sums = reconciliation.cut(books).row(0, named=True)
    rows = [(title, sums[outcome], _COLOURS[outcome]) for outcome, title in OUTCOME_TITLES.items() if sums[outcome]]
    return _shares("outcomes", "What became of the people on the list", rows)


def deliveries(books: Books) -> Chart | None:
    """Accepted people by what an export of delivery reports says of them."""
    if not has_deliveries(books):
        return None
    said = dict(reconciliation.cut(books, "delivery").select("delivery", "accepted").iter_rows())
    rows = [(title, said.get(status, 0), _DELIVERY_COLOURS[status]) for status, title in DELIVERIES.items()]
    return _shares("deliveries", "Accepted people, as the provider's export says", [row for row in rows if row[1]])


def difference(books: Books) -> Chart | None:
    """From what was estimated, cause by cause, to what was charged."""
    sums = reconciliation.cut(books).row(0, named=True)
    if not sums["estimated_ugx"] and not sums["charged_ugx"]:
        return None
    level = sums["estimated_ugx"]
    rows: list[tuple[str, int, int, str, str]] = [("Estimated", 0, level, f"UGX {level:,}", drawing.PALE)]
    for cause, title in CAUSE_TITLES.items():
        if amount := sums[cause]:
            label = f"{MINUS if amount < 0 else '+'} {abs(amount):,}"
            rows.append((title, level, level + amount, label, drawing.SKY if amount < 0 else drawing.RED))
            level += amount
    rows.append(("Charged", 0, level, f"UGX {level:,}", drawing.BLUE))
    frame = pl.DataFrame(rows, schema=["title", "from", "to", "label", "colour"], orient="row")
    frame = frame.with_columns(pl.max_horizontal("from", "to").alias("end"))

    def draw(width: int) -> Drawing:
        x = room_for_labels(frame, "end", width)
        base = alt.Chart(frame).encode(y=names(frame["title"], width))
        bars = base.mark_bar(size=18).encode(
            x=alt.X("from:Q", scale=x, axis=None), x2="to:Q", color=alt.Color("colour:N", scale=None)
        )
        labels = base.mark_text(align="left", dx=5).encode(x=alt.X("end:Q", scale=x), text="label:N")
        return alt.layer(bars, labels).properties(height=BAR * frame.height)

    words = "; ".join(f"{title} {label}" for title, _, _, label, _ in rows)
    return drawn("difference", "From the estimate to the charge", words, draw)


def campaigns(books: Books) -> Chart | None:
    """Estimated and charged, by campaign; None where there is one only."""
    frame = reconciliation.by_campaign(books).select(
        pl.format("{}/{}", "campaign", "edition").alias("title"),
        pl.col("estimated_ugx").alias("whole"),
        pl.col("charged_ugx").alias("part"),
    )
    if frame.height < 2:
        return None
    return _parts("campaigns", "Charged (blue) of what was estimated, by campaign", "UGX ", frame)


def networks(books: Books) -> Chart | None:
    """People accepted of all with a valid number, by network."""
    frame = reconciliation.by_network(books).filter(pl.col("network_guess").is_not_null())
    frame = frame.select(
        pl.col("network_guess").alias("title"), pl.col("recipients").alias("whole"), pl.col("accepted").alias("part")
    )
    return _parts("networks", "People accepted (blue) of those on each network", "", frame)


def kept(books: Books, frame: pl.DataFrame) -> Chart | None:
    """Estimated and charged, by the kept column; `frame` is its table."""
    narrow = frame.select(
        pl.col("kept").alias("title"), pl.col("estimated_ugx").alias("whole"), pl.col("charged_ugx").alias("part")
    )
    return _parts("kept", f"Charged (blue) of what was estimated, by {books.kept}", "UGX ", narrow)


def over_time(books: Books) -> Iterator[Chart]:
    """People accepted, and what was charged, by day; by hour or minute where all was on one day. None where all was at
    once."""
    every, frame = _by_time(books)
    if frame.height < 2:
        return
    yield _columns("accepted", f"People accepted, by {every}", "accepted", every, frame, drawing.GREEN)
    if frame["charged_ugx"].sum():
        yield _columns("charged", f"Charged, by {every} (UGX)", "charged_ugx", every, frame, drawing.BLUE)


def balances(chain: pl.DataFrame) -> Iterator[Chart]:
    """The balance of each account, from its balance chain; only where there are several steps to see."""
    chain = chain.filter(pl.col("balance_ugx").is_not_null())
    for (account,), steps in chain.group_by("account", maintain_order=True):
        if steps.height > 1:
            yield _balance(str(account), _thinned(steps))


# --- kinds of charts -------------------------------------------------------------------------------------------------


def _shares(name: str, title: str, rows: list[tuple[str, int, str]]) -> Chart | None:
    """A bar for each part of a whole, with its figure and share."""
    whole = sum(people for _, people, _ in rows)
    if not whole:
        return None
    frame = pl.DataFrame(rows, schema=["title", "people", "colour"], orient="row").with_columns(
        pl.Series("label", [f"{people:,} ({percent(people / whole)})" for _, people, _ in rows])
    )

    def draw(width: int) -> Drawing:
        x = alt.X("people:Q", scale=room_for_labels(frame, "people", width), axis=None)
        base = alt.Chart(frame).encode(y=names(frame["title"], width), x=x)
        bars = base.mark_bar(size=18).encode(color=alt.Color("colour:N", scale=None))
        return alt.layer(bars, base.mark_text(align="left", dx=5).encode(text="label:N")).properties(
            height=BAR * frame.height
        )

    return drawn(name, title, "; ".join(f"{row['title']} {row['label']}" for row in frame.to_dicts()), draw)


def _parts(name: str, title: str, unit: str, frame: pl.DataFrame) -> Chart | None:
    """A pale bar for each `whole`, and a strong one inside it for its `part`."""
    frame = frame.filter((pl.col("whole") > 0) | (pl.col("part") > 0))
    if frame.is_empty():
        return None
    frame, more = _largest(frame)
    frame = frame.with_columns(
        pl.max_horizontal("whole", "part").alias("end"),
        pl.Series("label", [f"{unit}{part:,} of {whole:,}" for part, whole in frame.select("part", "whole").rows()]),
    )

    def draw(width: int) -> Drawing:
        scale = room_for_labels(frame, "end", width)
        base = alt.Chart(frame).encode(y=names(frame["title"], width))
        wholes = base.mark_bar(size=20, color=drawing.PALE).encode(x=alt.X("whole:Q", scale=scale, axis=None))
        parts = base.mark_bar(size=12, color=drawing.BLUE).encode(x=alt.X("part:Q", scale=scale))
        labels = base.mark_text(align="left", dx=5).encode(x=alt.X("end:Q", scale=scale), text="label:N")
        return alt.layer(wholes, parts, labels).properties(height=BAR * frame.height)

    return drawn(name, title + more, "; ".join(f"{row['title']} {row['label']}" for row in frame.to_dicts()), draw)


def _columns(name: str, title: str, column: str, every: str, frame: pl.DataFrame, colour: str) -> Chart:
    """A column for each span of time, from `at` to `until`."""
    form = {"month": "%b %Y", "week": "%-d %b", "day": "%-d %b"}.get(every, "%H:%M")

    def draw(width: int) -> Drawing:
        axis = alt.Axis(format=form, grid=False, labelOverlap=True, tickCount=width // 90)
        x, y = alt.X("at:T", title=None, axis=axis), alt.Y(f"{column}:Q", title=None, axis=amounts(width))
        bars = (
            alt.Chart(frame)
            .mark_bar(color=colour, stroke="white", strokeWidth=1)
            .encode(x=x, x2="until:T", y=y, y2=alt.datum(0))
        )
        return alt.layer(bars).properties(height=180)

    words = "; ".join(f"{at:%Y-%m-%d %H:%M} {value:,}" for at, value in frame.select("at", column).head(60).iter_rows())
    return drawn(name, title, words, draw)


def _balance(account: str, steps: pl.DataFrame) -> Chart:
    before = steps.select(pl.col("began_at").alias("at"), pl.col("balance_before_ugx").alias("ugx"))
    after = steps.select(pl.col("ended_at").alias("at"), pl.col("balance_ugx").alias("ugx"))
    line = pl.concat([before, after]).sort("at", maintain_order=True).with_columns(_plain("at"))
    is_unexplained = pl.col("unexplained_ugx") != 0
    marked = steps.filter(is_unexplained | (pl.col("top_ups_ugx") != 0)).select(
        pl.col("ended_at").dt.replace_time_zone(None).alias("at"),
        pl.col("balance_ugx").alias("ugx"),
        pl.when(is_unexplained).then(pl.lit(drawing.RED)).otherwise(pl.lit(drawing.GREEN)).alias("colour"),
        pl.when(is_unexplained).then("unexplained_ugx").otherwise("top_ups_ugx").alias("amount"),
        pl.when(is_unexplained).then(pl.lit("not explained")).otherwise(pl.lit("top-up")).alias("what"),
    )
    told = [
        f"{amount:+,} {what}".replace("-", MINUS, 1) for amount, what in marked.select("amount", "what").iter_rows()
    ]
    span = line["at"][-1] - line["at"][0]
    side = pl.when(pl.col("at") < line["at"][0] + span / 2).then(pl.lit("left")).otherwise(pl.lit("right"))
    marked = marked.with_columns(pl.Series("label", told, dtype=pl.String), side.alias("side"))
    form = "%-d %b" if span.days > 2 else "%H:%M" if span.days < 1 else "%-d %b %H:%M"

    def draw(width: int) -> Drawing:
        axis = alt.Axis(format=form, grid=False, labelOverlap=True, tickCount=width // 90)
        x = alt.X("at:T", title=None, axis=axis)
        y = alt.Y("ugx:Q", title=None, scale=alt.Scale(zero=False, padding=14), axis=amounts(width))
        path = alt.Chart(line).mark_line(color=drawing.BLUE, strokeWidth=2).encode(x=x, y=y)
        dots = alt.Chart(marked).encode(x=x, y=y, color=alt.Color("colour:N", scale=None))
        dot = dots.mark_point(size=70, filled=True, opacity=1)
        # The words stand on the side where there is room.
        left = dots.mark_text(align="left", dx=8).transform_filter(alt.datum.side == "left")
        right = dots.mark_text(align="right", dx=-8).transform_filter(alt.datum.side == "right")
        layers = [path, dot, *(words.encode(text="label:N") for words in (left, right))]
        return alt.layer(*layers).properties(height=220)

    first, last = steps["balance_before_ugx"][0], steps["balance_ugx"][-1]
    words = "; ".join([f"from UGX {first:,} to UGX {last:,} in {steps.height:,} steps", *told])
    return drawn(f"balance-{account}", f"Balance of the account {account} (UGX)", words, draw)


# --- what they show ---------------------------------------------------------------------------------------------------


def _largest(frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Not more bars than one can compare, and what is to be said of that."""
    ordered = frame.sort("whole", descending=True, maintain_order=True)
    few = ordered.head(_MOST_BARS)
    return few, "" if few.height == ordered.height else f", the {few.height} largest of {ordered.height:,}"


def _by_time(books: Books) -> tuple[str, pl.DataFrame]:
    """People accepted and UGX charged by the finest of month, week, day, hour and minute that is not too fine."""
    days = reconciliation.by_day(books).filter(pl.col("day").is_not_null())
    if days.height > 1:
        length = (days["day"].max() - days["day"].min()).days  # type: ignore[operator, union-attr] # dates, not empty
        every, step = ("day", "1d") if length <= 62 else ("week", "1w") if length <= 400 else ("month", "1mo")
        frame = days.select(pl.col("day").cast(pl.Datetime("us")).alias("at"), "accepted", "charged_ugx")
    else:
        made = books.calls.filter(pl.col("state") == "accepted")
        frame = made.select(pl.col("sent_at").alias("at"), "accepted", "charged_ugx").with_columns(_plain("at"))
        minutes = frame["at"].dt.truncate("1m").n_unique()
        every, step = ("minute", "1m") if minutes <= 60 else ("hour", "1h")
    summed = frame.group_by(pl.col("at").dt.truncate(step)).agg(pl.col("accepted", "charged_ugx").sum()).sort("at")
    return every, summed.with_columns(pl.col("at").dt.offset_by(step).alias("until"))


def _thinned(steps: pl.DataFrame) -> pl.DataFrame:
    """Not more steps than a picture shows: every so many, and those that need an explanation."""
    every = -(-steps.height // _MOST_POINTS)
    needed = pl.col("explanation").is_not_null().cum_sum() <= _MOST_POINTS
    return steps.with_row_index().filter(
        (pl.col("index") % every == 0)
        | (pl.col("explanation").is_not_null() & needed)
        | (pl.col("index") == pl.len() - 1)
    )


def _plain(column: str) -> pl.Expr:
    """Kampala's time without its zone, so that it is drawn as it is wherever the report is made."""
    return pl.col(column).dt.replace_time_zone(None)
