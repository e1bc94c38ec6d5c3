"""A frame as a table in Markdown, which pages of Prefect, notebooks and browsers show alike."""

from __future__ import annotations

import html
from datetime import date, datetime

import polars as pl

# What Markdown would read as its own; HTML's own is escaped first.
_ENTITIES = str.maketrans({mark: f"&#{ord(mark)};" for mark in "|*`[]~\\"} | dict.fromkeys("\r\n", " "))


def markdown_table(frame: pl.DataFrame, *, rows: int | None = None) -> str:
    """The first `rows` (None: all) of a frame, and how many there are more.

    Numbers stand to the right, with commas between thousands; null is an empty cell. Text is shown as it is, whatever
    is in it.
    """
    shown = frame if rows is None else frame.head(rows)
    rule = ["---:" if dtype.is_numeric() else ":---" for dtype in frame.dtypes]
    lines = [list(map(_cell, frame.columns)), rule, *(list(map(_cell, row)) for row in shown.iter_rows())]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    more = frame.height - shown.height
    return f"{table}\n\n… and {more:,} more." if more else table


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case date():
            return f"{value}"
        case _:
            return html.escape(str(value), quote=False).translate(_ENTITIES)
