"""A campaign looked at: who got it, who did not and why, and why it cost what it did. A notebook for marimo.

    marimo run notebooks/campaign.py

It reads the ledger that MAMBO_STORE names, or the default one; `make notebooks` makes one to look at. It shows counts
and sums only, no number and no name, unless you switch your own rows on, or group by a column of yours (in which
telephone numbers are masked).
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="A campaign looked at")


@app.cell
def _():
    import altair as alt
    import marimo as mo
    import polars as pl

    import pipelines
    from mambo_io.errors import MamboError
    from pipelines import reconciliation
    from pipelines.markdown import markdown_table
    from pipelines.reasons import Reason
    from pipelines.report.people import masked_kept
    from pipelines.schemas import RESULTS

    # One colour for each outcome, in every chart.
    _colours = ["#3b8f5a", "#e0a030", "#c08a4a", "#9aa5b1", "#8a5fb0", "#d64545", "#4c78a8", "#bcd3e8", "#cccccc"]
    colours = dict(zip(reconciliation.OUTCOMES, _colours, strict=True))
    people_axis = alt.X("people:Q", title="people", axis=alt.Axis(format=",d", tickMinStep=1))
    return (
        MamboError,
        RESULTS,
        Reason,
        alt,
        colours,
        markdown_table,
        masked_kept,
        mo,
        people_axis,
        pipelines,
        pl,
        reconciliation,
    )


@app.cell
def _(mo):
    mo.md("""
    # A campaign looked at
    """)
    return


@app.cell
def _(mo):
    store = mo.ui.text(placeholder="MAMBO_STORE, or the default file", label="Ledger", full_width=True)
    mo.vstack([store])
    return (store,)


@app.cell
def _(MamboError, mo, reconciliation, store):
    try:
        _every = reconciliation.editions(store.value or None)
    except MamboError as error:
        mo.stop(True, mo.md(f"**{error}**"))
    mo.stop(
        _every.is_empty(),
        mo.md("**No campaign was ever sent from this ledger.** `make notebooks` makes one to look at."),
    )
    _labels = [f"{name}/{edition}" for name, edition in _every.select("campaign", "edition").iter_rows()]
    chosen = mo.ui.dropdown(
        _labels, value=_labels[0], label="Campaign", full_width=True, searchable=True, allow_select_none=False
    )
    mo.vstack([chosen])
    return (chosen,)


@app.cell
def _(MamboError, chosen, mo, reconciliation, store):
    try:
        books = reconciliation.books([chosen.value], store=store.value or None)
    except MamboError as error:  # its people are archived, say, in a file that you may not read
        mo.stop(True, mo.md(f"**{error}**"))
    total = reconciliation.by_campaign(books).row(0, named=True)

    _sent_on = f"{total['first_call_at']:%d %B %Y}" if total["first_call_at"] else "not sent yet"
    _unknown = (
        f" **Of {total['unknown']:,} nobody knows yet whether they were sent to**: `mambo settle`."
        if total["unknown"]
        else ""
    )
    mo.md(
        f"_{total['category']}, from {total['sender_id']}, {_sent_on}, {total['state']}_\n\n"
        f"**{total['accepted']:,} of {total['recipients']:,} people** were accepted by the API for delivery. "
        f"{total['unsupported']:,} could not be reached, {total['rejected']:,} were never sent to.{_unknown} "
        f"It cost **UGX {total['charged_ugx']:,}**, and UGX {total['estimated_ugx']:,} was estimated."
    )
    return books, total


@app.cell
def _(books, mo, pl, reconciliation):
    # Delivery reports come from the provider's or the networks' own exports: `mambo deliveries import`.
    delivered = dict(
        reconciliation.cut(books, "delivery")
        .filter(pl.col("delivery").is_in(["delivered", "failed", "pending"]))
        .select("delivery", "recipients")
        .iter_rows()
    )
    _reports = ", ".join(f"{people:,} {status}" for status, people in delivered.items())
    _told = (
        f"By the delivery reports that were imported: {_reports}."
        if delivered
        else "The API gives no delivery reports."
    )
    mo.md(f"## Who got it?\n*Accepted* says that the API took the message. {_told}")
    return (delivered,)


@app.cell
def _(alt, colours, people_axis, pl, reconciliation, total):
    # The nine outcomes add up to the rows of the list, so nobody is missing here.
    outcomes = (
        pl.DataFrame({"outcome": reconciliation.OUTCOMES, "people": [total[name] for name in reconciliation.OUTCOMES]})
        .filter(pl.col("people") > 0)
        .sort("people", descending=True)
    )
    _names = outcomes["outcome"].to_list()
    _chart = alt.Chart(outcomes).encode(x=people_axis, y=alt.Y("outcome:N", title=None, sort=_names))
    _bars = _chart.mark_bar().encode(
        color=alt.Color(
            "outcome:N", scale=alt.Scale(domain=_names, range=[colours[name] for name in _names]), legend=None
        ),
        tooltip=["outcome", "people"],
    )
    _numbers = _chart.mark_text(align="left", dx=4).encode(text=alt.Text("people:Q", format=","))
    (_bars + _numbers).properties(width="container", height=28 * outcomes.height)
    return (outcomes,)


@app.cell
def _(Reason, books, markdown_table, mo, pl, reconciliation):
    # Rejected before sending, or refused, unsupported or unknown after it. Those accepted need no reason.
    _meanings = {reason.value: reason.meaning for reason in Reason}
    _of_outcome = {
        "unsupported": "the API could not reach the number",
        "unverified": "the API does not say whether it took the message",
        "unknown": "no clear answer of the API: it may have taken the message",
        "refused": "the API refused the call",
        "cancelled": "somebody cancelled the campaign",
    }
    reasons = (
        reconciliation.by_reason(books)
        .filter(pl.col("reason").is_not_null())
        .select(pl.col("recipients").alias("people"), "outcome", "reason")
        .with_columns(
            pl.col("reason")
            .replace_strict(_meanings, default=pl.col("outcome").replace_strict(_of_outcome, default=""))
            .alias("what it means")
        )
        .select("people", "what it means", "outcome", "reason")
    )
    _told = markdown_table(reasons.drop("reason")) if reasons.height else "Everybody was accepted."
    mo.md(f"## Who was not reached, and why?\n\n{_told}")
    return (reasons,)


@app.cell
def _(books, mo, pl, reconciliation):
    # The network is guessed from the number; who has no readable number has no network either.
    networks = (
        reconciliation.cut(books, "network_guess", "outcome")
        .filter(pl.col("network_guess").is_not_null())
        .select("network_guess", "outcome", pl.col("recipients").alias("people"), "charged_ugx")
    )
    _told = "Guessed from the number's first digits." if networks.height else "Nobody has a readable number."
    mo.md(f"## On which networks?\n{_told}")
    return (networks,)


@app.cell
def _(alt, colours, mo, networks, people_axis):
    mo.stop(networks.is_empty())
    _names = [name for name in colours if name in networks["outcome"]]
    (
        alt.Chart(networks)
        .mark_bar()
        .encode(
            x=people_axis,
            y=alt.Y("network_guess:N", title=None, sort="-x"),
            color=alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=_names, range=[colours[name] for name in _names]),
                legend=alt.Legend(orient="top", columns=3),
            ),
            tooltip=["network_guess", "outcome", "people", "charged_ugx"],
        )
        .properties(width="container", height=32 * networks["network_guess"].n_unique())
    )
    return


@app.cell
def _(mo, pl, reconciliation, total):
    # The causes add up to the difference exactly.
    cause_names = {
        "of_unsupported_ugx": "unsupported people",
        "of_segments_ugx": "segments other than ours",
        "of_price_ugx": "a price other than the tariff's",
        "of_partial_ugx": "people counted otherwise",
        "of_unknown_ugx": "charge not known yet",
        "of_not_sent_ugx": "not sent",
        "unexplained_ugx": "unexplained",
    }
    causes = pl.DataFrame(
        {
            "cause": [cause_names[cause] for cause in reconciliation.CAUSES],
            "ugx": [total[cause] for cause in reconciliation.CAUSES],
        }
    ).filter(pl.col("ugx") != 0)
    _more = "more" if total["difference_ugx"] > 0 else "less"
    _told = f"**UGX {abs(total['difference_ugx']):,} {_more} than estimated**, because of:"
    mo.md(
        "## What did it cost, and why is that not the estimate?\n"
        f"UGX {total['estimated_ugx']:,} estimated, UGX {total['charged_ugx']:,} charged: "
        + (_told if causes.height else "just as much.")
    )
    return cause_names, causes


@app.cell
def _(alt, causes, mo):
    mo.stop(causes.is_empty())
    (
        alt.Chart(causes)
        .mark_bar()
        .encode(
            x=alt.X("ugx:Q", title="UGX more, or less, than estimated"),
            y=alt.Y("cause:N", title=None, sort=causes["cause"].to_list(), axis=alt.Axis(labelLimit=160)),
            color=alt.condition(alt.datum.ugx < 0, alt.value("#4c78a8"), alt.value("#d64545")),
            tooltip=["cause", alt.Tooltip("ugx:Q", format=",")],
        )
        .properties(width="container", height=28 * causes.height)
    )
    return


@app.cell
def _(books, markdown_table, mo, pl, reconciliation):
    # What a person should look at: calls that were not accepted, and receipts that are not what was expected.
    _states = {
        "unknown": "unknown whether it was sent",
        "in_flight": "being sent, or was when the program ended",
        "refused": "refused by the API",
    }
    _what = {
        "unexplained_ugx": "the receipt does not explain the charge",
        "of_price_ugx": "another price than the tariff's",
        "of_segments_ugx": "other segments than ours",
        "of_partial_ugx": "people counted otherwise",
        "of_unknown_ugx": "what was charged is not known",
    }
    _told = [
        pl.col("state").replace_strict(_states, default=None),
        pl.when(pl.col("state").is_null()).then(pl.lit("came to nothing; made or planned again")),
        *(pl.when(pl.col(cause) != 0).then(pl.lit(words)) for cause, words in _what.items()),
        pl.lit("the receipt is not as the API promises"),
    ]
    calls = (
        reconciliation.calls_to_look_at(books)
        .select(
            pl.col("call").str.split("/").list.last().alias("call"),
            pl.coalesce(_told).alias("what"),
            pl.col("recipients").alias("people"),
            pl.col("estimated_ugx").alias("UGX estimated"),
            pl.col("cost_ugx").alias("UGX charged"),
        )
        .sort("what", descending=True, maintain_order=True)
    )
    _sums = calls.group_by("what", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("calls"), pl.sum("people"))
    mo.md(
        "## Which calls need a look?\n\n"
        + (
            f"{markdown_table(_sums)}\n\n{markdown_table(calls, rows=5)}\n\n`mambo report` lists them all."
            if calls.height
            else "None: every answer is known, and every receipt is what was expected."
        )
    )
    return (calls,)


@app.cell
def _(pipelines, store, total):
    # One row of `results` is one row of the recipients file. The columns that the campaign keeps come last.
    results = pipelines.results(total["campaign"], total["edition"], store=store.value or None)
    return (results,)


@app.cell
def _(RESULTS, mo, results):
    _columns = [column for column in results.columns if column not in RESULTS.columns]
    kept = mo.ui.dropdown(_columns, label="Group by")  # none before it is asked for: a column may hold names
    mo.vstack(
        [
            mo.md("## And by your own columns?"),
            kept if _columns else mo.md("The campaign keeps none: `[recipients] keep` in its file names them."),
        ]
    )
    return (kept,)


@app.cell
def _(chosen, kept, markdown_table, masked_kept, mo, pl, reconciliation, store):
    mo.stop(kept.value is None)
    _books = reconciliation.books([chosen.value], kept=kept.value, store=store.value or None)
    _by_value = reconciliation.by_kept(_books)
    by_kept = (
        _by_value.with_columns(masked_kept(_by_value["kept"]))
        .select(
            pl.col("kept").fill_null("(empty)").alias(f"by {kept.value}"),
            pl.col("recipients").alias("people"),
            "accepted",
            pl.col("charged_ugx").alias("UGX charged"),
        )
        .sort("UGX charged", descending=True, maintain_order=True)
    )
    mo.md(markdown_table(by_kept, rows=15))
    return (by_kept,)


@app.cell
def _(mo, results):
    show_rows = mo.ui.switch(label="Show my rows: this puts telephone numbers on the screen")
    mo.vstack([mo.md(f"## Each of the {results.height:,} rows"), show_rows])
    return (show_rows,)


@app.cell
def _(mo, results, show_rows):
    mo.stop(not show_rows.value)
    results.drop("campaign", "edition")
    return


if __name__ == "__main__":
    app.run()
