"""Frames as tables in Markdown."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from mambo_io.window import KAMPALA
from pipelines.markdown import markdown_table


def test_a_table() -> None:
    frame = pl.DataFrame({"campaign": ["clinic-day/1", None], "UGX": [43_800, -1_550], "each": [50.04, None]})
    assert markdown_table(frame).splitlines() == [
        "| campaign | UGX | each |",
        "| :--- | ---: | ---: |",
        "| clinic-day/1 | 43,800 | 50.0 |",
        "|  | -1,550 |  |",
    ]


def test_the_first_rows_and_how_many_there_are_more() -> None:
    frame = pl.DataFrame({"row": range(1_500)})
    *_, last, blank, more = markdown_table(frame, rows=2).splitlines()
    assert (last, blank, more) == ("| 1 |", "", "… and 1,498 more.")


def test_no_rows() -> None:
    assert markdown_table(pl.DataFrame(schema={"a": pl.String})) == "| a |\n| :--- |"


CELLS = {
    "a day": (date(2026, 11, 3), "2026-11-03"),
    "a time": (datetime(2026, 11, 3, 10, 5, tzinfo=KAMPALA), "2026-11-03 10:05"),
    "what Markdown reads": ("a|b *c* `d` [e](f)", "a&#124;b &#42;c&#42; &#96;d&#96; &#91;e&#93;(f)"),
    "what HTML reads": ("<script>&", "&lt;script&gt;&amp;"),
    "a line break": ("a\r\nb", "a  b"),
    "a name with an underscore": ("too_short", "too_short"),
}


@pytest.mark.parametrize(("value", "written"), CELLS.values(), ids=CELLS)
def test_cells(value: object, written: str) -> None:
    assert markdown_table(pl.DataFrame({"a": [value]})).splitlines()[-1] == f"| {written} |"
