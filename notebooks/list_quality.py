"""Is a list fit to be sent? The mess in a spreadsheet, and what each repair would win back. A notebook for marimo.

    marimo run notebooks/list_quality.py

Nothing is written or sent. It shows counts and the shapes of what stands in the cells (`0000 000000 xxx`), no number
and no name.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Is this list fit to be sent?")


@app.cell
def _():
    from pathlib import Path

    import altair as alt
    import marimo as mo
    import polars as pl

    from mambo_io.datasets import read_dataset
    from mambo_io.errors import MamboError
    from pipelines.examples import example_folder
    from pipelines.markdown import markdown_table
    from pipelines.numbers import find_phone_column, likely_unsupported, normalize_numbers, rounding_suspicion
    from pipelines.reasons import Reason

    return (
        MamboError,
        Path,
        Reason,
        alt,
        example_folder,
        find_phone_column,
        likely_unsupported,
        markdown_table,
        mo,
        normalize_numbers,
        pl,
        read_dataset,
        rounding_suspicion,
    )


@app.cell
def _(mo):
    mo.md("""
    # Is this list fit to be sent?
    """)
    return


@app.cell
def _(example_folder, mo):
    path = mo.ui.text(
        value=str(example_folder() / "people.csv"), label="Your list (.csv, .xlsx, .parquet)", full_width=True
    )
    sheet = mo.ui.text(placeholder="the only one", label="Sheet of a workbook")
    header_row = mo.ui.number(1, 100, value=1, label="Row of the column names")
    mo.vstack([path, mo.hstack([sheet, header_row], justify="start", wrap=True)])
    return header_row, path, sheet


@app.cell
def _(MamboError, Path, find_phone_column, header_row, mo, path, read_dataset, sheet):
    try:
        dataset = read_dataset(Path(path.value), sheet=sheet.value or None, header_row=header_row.value)
    except MamboError as error:
        mo.stop(True, mo.md(f"**{error}**"))
    try:
        _guess = find_phone_column(dataset.frame, dataset.path)
    except MamboError:
        _guess = None
    column = mo.ui.dropdown(dataset.frame.columns[2:], value=_guess, label="Column of the telephone numbers")
    mo.vstack([column])
    return column, dataset


@app.cell
def _(column, dataset, mo, normalize_numbers, pl):
    mo.stop(column.value is None, mo.md("**No column is plainly the one of the numbers: choose it.**"))
    # Who stands twice is sent to once; the first row counts.
    cells = dataset.frame.select("reject_reason", pl.col(column.value).alias("typed"))
    _again = pl.col("e164").is_not_null() & ~pl.col("e164").is_first_distinct()
    judged = normalize_numbers(cells, column="typed").with_columns(
        pl.when(_again).then(pl.lit("duplicate")).otherwise("reject_reason").alias("reason")
    )
    people = judged.filter(pl.col("reason").is_null())
    left = judged.height - people.height

    mo.md(
        f"**{people.height:,} of {judged.height:,} rows ({people.height / judged.height:.1%}) can be sent to.** "
        + (f"{left:,} cannot; below stands why, and what would help." if left else "The list is clean.")
    )
    return cells, judged, left, people


@app.cell
def _(Reason, judged, left, markdown_table, mo, pl):
    # The shape of a cell, with 0 for every digit and x for every letter, tells what is wrong and whose it is not.
    _shape = pl.col("typed").str.slice(0, 30).str.replace_all(r"\p{Nd}", "0").str.replace_all(r"\p{L}", "x")
    _meanings = {reason.value: reason.meaning for reason in Reason}
    reasons = (
        judged.filter(pl.col("reason").is_not_null())
        .with_columns(_shape.fill_null("(empty)").alias("shape"))
        .group_by("reason", "shape")
        .len()
        .sort("len", "shape", descending=[True, False])
        .group_by("reason", maintain_order=True)
        .agg(pl.sum("len").alias("rows"), pl.col("shape").head(2).str.join(" or ").alias("looks like"))
        .sort("rows", "reason", descending=[True, False])
        .select(
            pl.col("rows").cast(pl.Int64),
            pl.col("reason").replace_strict(_meanings, default="").alias("what is wrong"),
            "looks like",
            "reason",
        )
    )
    mo.stop(not left)
    mo.md(
        "## What is wrong?\nEvery row keeps its place and its reason; nothing is dropped silently.\n\n"
        + markdown_table(reasons.drop("reason"))
    )
    return (reasons,)


@app.cell
def _(cells, judged, normalize_numbers, people, pl):
    typed = pl.col("typed")

    def won_back(rows, text=typed, several="reject"):
        """How many people more there would be, were these rows read so."""
        read = normalize_numbers(rows.select(text.alias("phone")), column="phone", several=several)
        return read["e164"].drop_nulls().unique().is_in(people["e164"].implode()).not_().sum()

    def of(*reasons):
        return judged.filter(pl.col("reason").is_in(reasons))

    _letters = typed.str.replace_all("[Oo]", "0").str.replace_all("[lI]", "1")
    _remarks = typed.str.replace_all(r"[\p{L}()]+\.?", "")
    _extension = typed.str.replace(r"(?i)\s*(?:ext\.?|x|#|;).*$", "")
    _retyped = of("contains_letters").filter(~typed.str.contains(r"\s\p{L}|\("))
    _remarked = of("contains_letters").filter(typed.str.contains(r"\s\p{L}|\("))
    _hidden, _ragged = (cells.filter(pl.col("reject_reason") == flaw) for flaw in ("hidden_row", "ragged_row"))

    # Each by itself: two repairs may win the same person.
    repairs = pl.DataFrame(
        [
            ("take the first number of a cell", 'several = "first"', won_back(of("several_numbers"), several="first")),
            ("send to hidden rows, too", 'hidden_rows = "send"', won_back(_hidden)),
            ("format the column as text, export again", "the spreadsheet", of("rounded_by_spreadsheet").height),
            ("type digits for letters (O, l)", "the spreadsheet", won_back(_retyped, _letters)),
            ("move remarks to another column", "the spreadsheet", won_back(_remarked, _remarks)),
            ("leave extensions out", "the spreadsheet", won_back(of("has_extension"), _extension)),
            ("give rows the cells of the header", "the spreadsheet", won_back(_ragged)),
        ],
        schema={"repair": pl.String, "where": pl.String, "people": pl.Int64},
        orient="row",
    ).sort("people", descending=True, maintain_order=True)
    return (repairs,)


@app.cell
def _(judged, left, markdown_table, mo, pl, repairs):
    mo.stop(not left)
    _won = repairs.filter(pl.col("people") > 0).select("people", "repair", "where")
    _again = judged.filter(pl.col("reason") == "duplicate").height
    _by_hand = {"missing", "too_short", "too_long", "foreign", "not_mobile", "invalid_number"}
    _asked = judged.filter(pl.col("reason").is_in(_by_hand)).height
    mo.md(
        "## What would each repair win back?\nAt most so many people, each repair by itself.\n\n"
        + (markdown_table(_won) if _won.height else "No repair would win anybody.")
        + f"\n\n{_asked:,} rows hold no number that could be repaired: only the people themselves can help. "
        + f"{_again:,} rows repeat a number. One message reaches it; where a family shares a telephone, and each "
        + 'is sent a text of their own, `duplicates = "same_text"` sends them all.'
    )
    return


@app.cell
def _(mo, people, pl, rounding_suspicion):
    # A column that a spreadsheet program held as numbers may have lost its last digits without a word.
    suspects = rounding_suspicion(people.select(pl.col("e164").str.slice(1).cast(pl.Int64).alias("msisdn")))
    mo.md(
        "## Did the spreadsheet round the numbers?\n"
        + (
            "There is no sign of it: numbers end as they do by chance."
            if suspects is None
            else f"**{suspects:,} numbers end in 000**, far more than by chance. Their last digits are lost, and they "
            "belong to other people: go back to the list that this one was made from."
        )
    )
    return (suspects,)


@app.cell
def _(likely_unsupported, mo, people, pl):
    networks = (
        people.group_by("network_guess")
        .agg(pl.len().cast(pl.Int64).alias("people"))
        .with_columns(
            pl.when(likely_unsupported())
            .then(pl.lit("not documented"))
            .otherwise(pl.lit("documented"))
            .alias("customised")
        )
        .sort("people", descending=True)
    )
    _few = networks.filter(likely_unsupported())["people"].sum()
    mo.stop(networks.is_empty())
    mo.md(
        "## On which networks are they?\n"
        f"Guessed from the first digits. {_few:,} people are on networks for which the API does not document "
        "`customised` sender IDs: they may come back as unsupported, at no cost."
    )
    return (networks,)


@app.cell
def _(alt, mo, networks):
    mo.stop(networks.is_empty())
    _chart = alt.Chart(networks).encode(
        x=alt.X("people:Q", title="people", axis=alt.Axis(format=",d", tickMinStep=1)),
        y=alt.Y("network_guess:N", title=None, sort=networks["network_guess"].to_list()),
    )
    _bars = _chart.mark_bar().encode(
        color=alt.Color("customised:N", title="customised is", legend=alt.Legend(orient="top")),
        tooltip=["network_guess", "people"],
    )
    _numbers = _chart.mark_text(align="left", dx=4).encode(text=alt.Text("people:Q", format=","))
    (_bars + _numbers).properties(width="container", height=30 * networks.height)
    return


@app.cell
def _(dataset, mo):
    mo.stop(not dataset.notes)
    mo.md("## What else was noticed\n" + "\n".join(f"- {note}" for note in dataset.notes))
    return


if __name__ == "__main__":
    app.run()
