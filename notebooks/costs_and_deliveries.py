"""Cost and delivery across campaigns: what was spent, at which price, and whom it did not reach. A notebook for marimo.

    marimo run notebooks/costs_and_deliveries.py

It reads the ledger that MAMBO_STORE names, or the default one; `make notebooks` makes one to look at. It shows counts
and sums only, no number and no name.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Cost and delivery across campaigns")


@app.cell
def _():
    from datetime import date, timedelta

    import altair as alt
    import marimo as mo
    import polars as pl

    from mambo_io.errors import MamboError
    from pipelines import reconciliation
    from pipelines.markdown import markdown_table

    return MamboError, alt, date, markdown_table, mo, pl, reconciliation, timedelta


@app.cell
def _(mo):
    mo.md("""
    # Cost and delivery across campaigns
    """)
    return


@app.cell
def _(mo):
    store = mo.ui.text(placeholder="MAMBO_STORE, or the default file", label="Ledger", full_width=True)
    mo.vstack([store])
    return (store,)


@app.cell
def _(MamboError, mo, pl, reconciliation, store):
    try:
        _days = reconciliation.days(store.value or None)
    except MamboError as error:
        mo.stop(True, mo.md(f"**{error}**"))
    mo.stop(
        _days is None, mo.md("**No campaign was ever sent from this ledger.** `make notebooks` makes one to look at.")
    )
    # Every month of which anything is known: a campaign goes on in the next one, and money moves without a campaign.
    _months = pl.date_range(_days[0].replace(day=1), _days[1], "1mo", eager=True).dt.strftime("%Y-%m").to_list()
    first = mo.ui.dropdown(_months, value=_months[0], label="From", allow_select_none=False)
    last = mo.ui.dropdown(_months, value=_months[-1], label="to", allow_select_none=False)
    mo.hstack([first, last], justify="start", wrap=True)
    return first, last


@app.cell
def _(MamboError, date, first, last, mo, reconciliation, store, timedelta):
    _start = date.fromisoformat(f"{first.value}-01")
    _end = (date.fromisoformat(f"{last.value}-01") + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    mo.stop(_start > _end, mo.md("**The first month comes after the last.**"))
    try:
        books = reconciliation.books(start=_start, end=_end, store=store.value or None)
    except MamboError as error:  # people are archived, say, in a file that you may not read
        mo.stop(True, mo.md(f"**{error}** Other months may do without it."))
    total = reconciliation.cut(books).row(0, named=True)

    _campaigns = "1 campaign" if books.campaigns.height == 1 else f"{books.campaigns.height} campaigns"
    _known = ", as far as is known" if total["of_unknown_ugx"] else ""
    _each = f", UGX {total['charged_ugx'] / total['accepted']:,.1f} each" if total["accepted"] else ""
    _unknown = f", and of {total['unknown']:,} nobody knows yet" if total["unknown"] else ""
    mo.md(
        f"**UGX {total['charged_ugx']:,}** for {total['accepted']:,} accepted messages in {_campaigns}{_each}{_known}. "
        f"UGX {total['estimated_ugx']:,} was estimated. {total['unsupported']:,} people could not be reached{_unknown}."
        if books.campaigns.height
        else "**No campaign was sent in these months.**"
    )
    return books, total


@app.cell
def _(books, mo, pl, reconciliation):
    campaigns = reconciliation.by_campaign(books).select(
        pl.format("{}/{}", "campaign", "edition").alias("campaign"),
        pl.col("first_call_at").dt.date().alias("day"),
        "accepted",
        "unsupported",
        "unknown",
        "estimated_ugx",
        "charged_ugx",
        "difference_ugx",
    )
    has_cost = campaigns.select((pl.col("estimated_ugx") + pl.col("charged_ugx")).sum()).item() > 0
    _told = "Bars are what was charged, red ticks what was estimated." if has_cost else "Nothing, as was estimated."
    mo.md(f"## What did each campaign cost?\n{_told}")
    return campaigns, has_cost


@app.cell
def _(alt, campaigns, has_cost, mo):
    mo.stop(not has_cost)
    _chart = alt.Chart(campaigns).encode(
        y=alt.Y("campaign:N", title=None, sort=campaigns["campaign"].to_list(), axis=alt.Axis(labelLimit=150)),
        tooltip=[
            "campaign",
            "day",
            *(alt.Tooltip(f"{name}:Q", format=",") for name in ("estimated_ugx", "charged_ugx")),
        ],
    )
    _bars = _chart.mark_bar().encode(x=alt.X("charged_ugx:Q", title="UGX charged", axis=alt.Axis(format="~s")))
    _ticks = _chart.mark_tick(color="#d64545", thickness=3, opacity=1).encode(x="estimated_ugx:Q")
    (_bars + _ticks).properties(width="container", height=26 * campaigns.height)
    return


@app.cell
def _(books, markdown_table, mo, pl, reconciliation):
    statement = reconciliation.statement(books)
    # Step by step: what came in and went out again within a month stands in no month's sum.
    _unexplained = reconciliation.balance_chain(books).filter(pl.col("unexplained_ugx") != 0)
    _moved = _unexplained["day"].dt.strftime("%Y-%m").unique().sort().to_list()
    _open_ugx = -statement["open_ugx"].sum()
    _without_balance = statement.filter(pl.col("closing_ugx").is_null())["account"].unique().sort().to_list()
    _told = "Every shilling is explained." if statement.height else "No money moved."
    if _moved:
        _told = (
            f"**The balance of {' and '.join(_moved)} moved by more than is known:** UGX "
            f"{_unexplained['unexplained_ugx'].abs().sum():,}, up or down. It rose: a top-up that nobody entered "
            "(`mambo account top-up`). It fell: somebody else uses the account, or an unknown call cost more than the "
            "tariff says. `mambo account statement` names the calls."
        )
    elif _without_balance:
        _told = (
            f"No balance of {' and '.join(_without_balance)} is known, so nobody can tell whether anything is missing."
        )
    elif _open_ugx:
        _told = f"Every shilling is explained, if calls whose charge is not known took UGX {_open_ugx:,}."
    _columns = {
        "opening_ugx": "opening",
        "top_ups_ugx": "top-ups",
        "charges_ugx": "charges",
        "open_ugx": "open",
        "unexplained_ugx": "unexplained",
        "closing_ugx": "closing",
    }
    _accounts = ["account"] if statement["account"].n_unique() > 1 else []
    _table = markdown_table(statement.select("month", *_columns, *_accounts).rename(_columns))
    mo.md(
        f"## Where did the money go, month by month?\n{_told}\n\n"
        + (
            f"{_table}\n\nUGX: opening + top-ups - charges + open + unexplained = closing. Open is what calls of "
            "unknown fate seem to have taken."
            if statement.height
            else ""
        )
    )
    return (statement,)


@app.cell
def _(books, mo, pl, reconciliation):
    # What a segment cost, over all networks: a call to several of them has one charge.
    prices = (
        reconciliation.prices(books, "day")
        .filter(pl.col("day").is_not_null())
        .group_by("category", "day")
        .agg(
            pl.sum("segments", "charged_ugx"),
            (pl.col("tariff_ugx_per_segment") * pl.col("segments")).sum().alias("at_tariff"),
        )
        .select(
            "category",
            "day",
            "segments",
            (pl.col("charged_ugx") / pl.col("segments")).alias("ugx_per_segment"),
            (pl.col("at_tariff") / pl.col("segments")).alias("tariff_ugx_per_segment"),
        )
        .sort("day", "category")
    )
    _drifted = prices.filter((pl.col("ugx_per_segment") - pl.col("tariff_ugx_per_segment")).abs() >= 0.5)
    if prices.is_empty():
        _told = "No segment's price is known yet."
    elif _drifted.is_empty():
        _told = "Yes, on every day. The dashed line is the tariff of the campaign files."
    else:
        _last = _drifted.row(-1, named=True)
        _told = (
            f"**Not since {_drifted['day'][0]:%d %B %Y}.** On {_last['day']:%d %B} a segment cost UGX "
            f"{_last['ugx_per_segment']:,.1f}; the campaign files say {_last['tariff_ugx_per_segment']:,.1f} (the "
            "dashed line). Ask the provider, or correct `[tariff]`."
        )
    mo.md(f"## Is the price the tariff's?\n{_told}")
    return (prices,)


@app.cell
def _(alt, mo, prices):
    mo.stop(prices.is_empty())
    _chart = alt.Chart(prices).encode(x=alt.X("day:T", title=None))
    _paid = _chart.mark_point(filled=True, size=90, opacity=1).encode(
        y=alt.Y("ugx_per_segment:Q", title="UGX a segment", scale=alt.Scale(zero=False, padding=12)),
        color=alt.Color("category:N", title=None, legend=alt.Legend(orient="top")),
        tooltip=["category", "day", "segments", alt.Tooltip("ugx_per_segment:Q", format=".2f")],
    )
    _stroke = alt.OverlayMarkDef(shape="stroke", size=160, color="#888888")
    _tariff = _chart.mark_line(strokeDash=[4, 4], color="#888888", point=_stroke).encode(y="tariff_ugx_per_segment:Q")
    (_tariff + _paid).properties(width="container", height=220)
    return


@app.cell
def _(books, mo, pl, reconciliation):
    # Of those in calls that the API took: how many it called unsupported.
    unsupported = (
        reconciliation.cut(books, "network_guess", "day")
        .filter(pl.col("day").is_not_null(), pl.col("network_guess").is_not_null())
        .group_by("network_guess", pl.col("day").dt.strftime("%Y-%m").alias("month"))
        .agg(pl.sum("accepted", "unsupported"))
        .with_columns((pl.col("unsupported") / (pl.col("accepted") + pl.col("unsupported"))).alias("share"))
        .filter(pl.col("share").is_not_nan())
        .sort("network_guess", "month")
    )
    _told = (
        "The share of people whom the API called unsupported." if unsupported.height else "No call was accepted yet."
    )
    mo.md(f"## Which networks are not reached?\n{_told}")
    return (unsupported,)


@app.cell
def _(alt, mo, unsupported):
    mo.stop(unsupported.is_empty())
    _cells = alt.Chart(unsupported).encode(
        x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("network_guess:N", title=None),
        tooltip=["network_guess", "month", "accepted", "unsupported", alt.Tooltip("share:Q", format=".1%")],
    )
    _squares = _cells.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#f4f4f2", "#b5480f"]), legend=None)
    )
    _words = _cells.mark_text().encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.share > 0.6", alt.value("white"), alt.value("#333333")),
    )
    (_squares + _words).properties(width="container", height=34 * unsupported["network_guess"].n_unique())
    return


@app.cell
def _(books, mo, pl, reconciliation):
    # Reports come from the provider's or the networks' own exports; only campaigns that any of them is about count.
    _cut = reconciliation.cut(books, "campaign", "edition", "network_guess", "delivery")
    _reported = _cut.filter(pl.col("delivery").is_in(["delivered", "failed", "pending"]))
    deliveries = (
        _cut.filter(pl.col("delivery").is_not_null())
        .join(_reported, on=["campaign", "edition"], how="semi")
        .group_by("network_guess", pl.col("delivery").str.replace("_", " "))
        .agg(pl.sum("recipients").alias("people"))
        .sort("network_guess", "delivery")
    )
    _nothing = (
        "Nobody has said so yet: the API gives no delivery reports, *accepted* is all it says. "
        "`mambo deliveries import` takes in what the provider or a network exports."
    )
    _campaigns = ", ".join(_reported.select(pl.format("{}/{}", "campaign", "edition")).to_series().unique().sort())
    mo.md(f"## Was it delivered?\n{f'What exports say of {_campaigns}.' if _campaigns else _nothing}")
    return (deliveries,)


@app.cell
def _(alt, deliveries, mo):
    mo.stop(deliveries.is_empty())
    _colours = alt.Scale(
        domain=["delivered", "pending", "failed", "not reported"], range=["#3b8f5a", "#bcd3e8", "#d64545", "#9aa5b1"]
    )
    (
        alt.Chart(deliveries)
        .mark_bar()
        .encode(
            x=alt.X("people:Q", title="people", stack="normalize", axis=alt.Axis(format="%")),
            y=alt.Y("network_guess:N", title=None),
            color=alt.Color("delivery:N", title=None, scale=_colours, legend=alt.Legend(orient="top", columns=2)),
            tooltip=["network_guess", "delivery", "people"],
        )
        .properties(width="container", height=32 * deliveries["network_guess"].n_unique())
    )
    return


if __name__ == "__main__":
    app.run()
