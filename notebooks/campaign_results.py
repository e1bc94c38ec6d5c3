"""What became of a campaign: who got it, who did not and why, and what it cost. A notebook for marimo.

    marimo edit notebooks/campaign_results.py

It reads the ledger that MAMBO_STORE names, or the default one; `mambo demo` prints where its own is. It shows counts
and sums only: no number and no name.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Campaign results")


@app.cell
def _():
    import altair as alt
    import marimo as mo
    import polars as pl

    import pipelines
    from mambo_io.errors import InputError

    return InputError, alt, mo, pipelines, pl


@app.cell
def _(mo):
    campaign = mo.ui.text(value="clinic-day", label="Campaign")
    edition = mo.ui.text(placeholder="the newest", label="Edition")
    store = mo.ui.text(placeholder="MAMBO_STORE, or the default file", label="Ledger", full_width=True)
    mo.vstack([mo.md("# What became of a campaign"), mo.hstack([campaign, edition, store], widths=[1, 1, 2])])
    return campaign, edition, store


@app.cell
def _(InputError, campaign, edition, mo, pipelines, store):
    try:
        results = pipelines.results(campaign.value, edition.value or None, store=store.value or None)
    except InputError as error:
        mo.stop(True, mo.callout(str(error), kind="warn"))
    return (results,)


@app.cell
def _(mo, pl, results):
    # One row of `results` is one row of the recipients file, so nobody is missing from these sums.
    outcomes = (
        results.group_by("outcome")
        .agg(pl.len().alias("people"), pl.sum("estimated_ugx", "charged_ugx"))
        .sort("people", descending=True)
    )
    mo.vstack([mo.md("## Outcomes"), mo.ui.table(outcomes, selection=None)])
    return (outcomes,)


@app.cell
def _(mo, pl, results):
    # Rejected before sending, or refused, unsupported or unknown after it. Those accepted need no reason.
    reasons = (
        results.filter(pl.col("reason").is_not_null())
        .group_by("outcome", "reason")
        .agg(pl.len().alias("people"))
        .sort("people", "reason", descending=[True, False])
    )
    mo.vstack([mo.md("## Who was not reached, and why"), mo.ui.table(reasons, selection=None)])
    return (reasons,)


@app.cell
def _(alt, mo, pl, results):
    # The network is guessed from the number; who has no readable number has no network either.
    networks = (
        results.filter(pl.col("network_guess").is_not_null())
        .group_by("network_guess", "outcome")
        .agg(pl.len().alias("people"), pl.sum("charged_ugx"))
        .sort("network_guess", "outcome")
    )
    chart = (
        alt.Chart(networks)
        .mark_bar()
        .encode(
            x=alt.X("people:Q", title="people"),
            y=alt.Y("network_guess:N", title=None, sort="-x"),
            color=alt.Color("outcome:N", title="outcome"),
            tooltip=["network_guess", "outcome", "people", "charged_ugx"],
        )
    )
    mo.vstack([mo.md("## Networks"), chart])
    return (networks,)


@app.cell
def _(mo, pl, results):
    # Estimated less charged is what was not spent, on people who could not be reached for example; but a call whose
    # fate is unknown may have been charged.
    cost = results.select(
        pl.sum("estimated_ugx", "charged_ugx"),
        pl.col("estimated_ugx").filter(pl.col("outcome") == "unknown").sum().alias("unknown_ugx"),
        (pl.col("charged_ugx") > 0).sum().alias("people_charged"),
    ).row(0, named=True)
    tiles = [
        mo.stat(f"UGX {cost['estimated_ugx']:,}", label="Estimated", bordered=True),
        mo.stat(f"UGX {cost['charged_ugx']:,}", label="Charged", bordered=True),
        mo.stat(f"UGX {cost['unknown_ugx']:,}", label="Unknown", bordered=True),
        mo.stat(f"{cost['people_charged']:,}", label="People charged for", bordered=True),
    ]
    mo.vstack([mo.md("## Cost"), mo.hstack(tiles)])
    return (cost,)


if __name__ == "__main__":
    app.run()
