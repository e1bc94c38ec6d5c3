"""What would it cost? A text while it is written: its segments, its price, and where the next segment begins.

    marimo run notebooks/what_would_it_cost.py

A notebook for marimo. Nothing is read but what you type, and nothing is sent.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="What would it cost?")


@app.cell
def _():
    import altair as alt
    import marimo as mo
    import polars as pl

    from pipelines.markdown import markdown_table
    from pipelines.messages import measure_messages
    from pipelines.segments import PART, SINGLE, explain

    return PART, SINGLE, alt, explain, markdown_table, measure_messages, mo, pl


@app.cell
def _(mo):
    mo.md("""
    # What would it cost?
    """)
    return


@app.cell
def _(mo):
    text = mo.ui.text_area(
        "Vaccination week starts on Monday at your health centre. Please bring the child\u2019s card.",
        label="The text",
        rows=4,
        max_length=2_000,
        debounce=300,
        full_width=True,
    )
    _steps = [step * size for size in (10, 100, 1_000, 10_000, 100_000) for step in (1, 2, 3, 5)]
    people = mo.ui.slider(steps=[*_steps, 1_000_000], value=1_000, label="People", full_width=True)
    price = mo.ui.number(0, 10_000, value=50, label="UGX a segment")
    mo.vstack([text, people, price])
    return people, price, text


@app.cell
def _(explain, mo, people, price, text):
    message = text.value.strip()  # as a campaign's message is
    mo.stop(not message, mo.md("**Write a text above.**"))
    told = explain(message, price_per_segment_ugx=price.value or 0)
    cost_ugx = told.cost_ugx * people.value

    def segments(count):
        return "1 segment" if count == 1 else f"{count} segments"

    saved_ugx, _advice = 0, ""
    if told.smart is not None:
        saved_ugx = (told.segments - told.smart.segments) * (price.value or 0) * people.value
        _advice = (
            f"**`smart_encoding = true` saves UGX {saved_ugx:,}.** It writes plain quotes, dashes and spaces, and the "
            f"text takes {segments(told.smart.segments)}."
        )
    elif told.forcing:
        _advice = (
            "A character below makes the whole text travel as UCS-2, 70 characters a segment instead of 160. "
            "No plain one can stand for it without changing what is read."
        )
    _fields = "Fields count as they stand here: write a long name in place of `{first_name}`." if "{" in message else ""
    mo.md(
        f"## UGX {cost_ugx:,} for {people.value:,} people\n"
        f"{segments(told.segments).capitalize()}, UGX {told.cost_ugx:,} a person; {told.room} characters more are "
        f"free. {_advice} {_fields}"
    )
    return cost_ugx, message, saved_ugx, told


@app.cell
def _(markdown_table, mo, people, pl, told):
    characters = pl.DataFrame(
        [
            (
                each.character,
                "left out" if each.replacement == "" else each.replacement,
                each.saved_ugx * people.value,
                len(each.positions),
                each.name.lower(),
            )
            for each in told.forcing
        ],
        schema={
            "character": pl.String,
            "plain instead": pl.String,
            "UGX saved by itself": pl.Int64,
            "times": pl.Int64,
            "its name": pl.String,
        },
        orient="row",
    )
    _double = ", ".join(f"`{character}`" for character in told.double)
    mo.md(
        "## Which characters cost extra?\n\n"
        + (
            markdown_table(characters)
            if characters.height
            else "None: all are of the alphabet of short messages (GSM-7), 160 a segment."
        )
        + (f"\n\nThese count double: {_double}." if _double else "")
    )
    return (characters,)


@app.cell
def _(PART, SINGLE, measure_messages, message, mo, people, pl, price, told):
    # The text as it grows: what is there, character by character, and then as many plain letters more.
    _more = max(PART[told.encoding], SINGLE[told.encoding]) + told.room
    _longest = message + "x" * _more
    growth = (
        measure_messages(pl.DataFrame({"message": [_longest[:length] for length in range(1, len(_longest) + 1)]}))
        .with_row_index("characters", offset=1)
        .select("characters", "segments", (pl.col("segments") * (price.value or 0) * people.value).alias("cost_ugx"))
    )
    next_segment_at = growth.filter(pl.col("segments") > told.segments)["characters"].min()
    mo.md(
        "## Where does the next segment begin?\n"
        f"The text has {len(message):,} characters. With {told.room + 1:,} plain letters more, at {next_segment_at:,}, "
        f"everybody costs UGX {price.value or 0:,} more."
    )
    return growth, next_segment_at


@app.cell
def _(alt, growth, message, pl):
    _line = (
        alt.Chart(growth)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("characters:Q", title="characters"),
            y=alt.Y("cost_ugx:Q", title="UGX", axis=alt.Axis(format="~s")),
            tooltip=["characters", "segments", alt.Tooltip("cost_ugx:Q", format=",")],
        )
    )
    _here = (
        alt.Chart(growth.filter(pl.col("characters") == len(message)))
        .mark_point(filled=True, size=90, color="#d64545", opacity=1)
        .encode(x="characters:Q", y="cost_ugx:Q")
    )
    (_line + _here).properties(width="container", height=240)
    return


if __name__ == "__main__":
    app.run()
