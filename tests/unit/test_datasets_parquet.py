"""Parquet: typed columns as the text that a person would have typed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from mambo_io.datasets import open_dataset, read_dataset

moment = dt.datetime.fromisoformat
NOON_UTC = moment("2026-01-11T12:00+00:00")


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        pytest.param(pl.Series(["0772", "", None]), ["0772", None, None], id="text"),
        pytest.param(pl.Series(["a\0b"]), ["ab"], id="NUL, which no database takes"),
        pytest.param(pl.Series([256772123456, None]), ["256772123456", None], id="integers"),
        pytest.param(pl.Series([7], dtype=pl.UInt8), ["7"], id="small integers"),
        pytest.param(
            pl.Series([256772123456.0, 1.5, float("nan"), None, -0.0]),
            ["256772123456", "1.5", None, None, "0"],
            id="floats: whole ones in digits",
        ),
        pytest.param(
            pl.Series([0.1 + 0.2, 4.35 * 100, 1 / 3, -2.5, 772900002.0000001, 123456789012345.6]),
            ["0.3", "435", "0.333333333333333", "-2.5", "772900002", "123456789012346"],
            id="fractions have 15 digits",
        ),
        pytest.param(pl.Series([0.1, 1.5], dtype=pl.Float32), ["0.1", "1.5"], id="short floats"),
        pytest.param(pl.Series([1e20]), ["1e+20"], id="a float beyond whole numbers"),
        pytest.param(pl.Series([Decimal("12.50")]), ["12.50"], id="decimals"),
        pytest.param(pl.Series([True, False]), ["TRUE", "FALSE"], id="booleans, as spreadsheets write them"),
        pytest.param(pl.Series([dt.date(2026, 1, 11)]), ["11/01/2026"], id="dates"),
        pytest.param(pl.Series([moment("2026-01-11")]), ["11/01/2026"], id="a moment at midnight is a date"),
        pytest.param(pl.Series([moment("2026-01-11T08:05")]), ["11/01/2026 08:05"], id="moments"),
        pytest.param(pl.Series([moment("2026-01-11T08:05:09")]), ["11/01/2026 08:05:09"], id="to the second"),
        pytest.param(pl.Series([NOON_UTC]), ["11/01/2026 15:00"], id="moments with a time zone are Kampala's"),
        pytest.param(pl.Series([dt.time(8, 30), dt.time(8, 30, 1)]), ["08:30", "08:30:01"], id="times of day"),
        pytest.param(pl.Series(["Gulu"], dtype=pl.Categorical), ["Gulu"], id="categories"),
        pytest.param(pl.Series([None, None]), [None, None], id="nothing at all"),
    ],
)  # fmt: skip
def test_types_become_text(tmp_path: Path, column: pl.Series, texts: list[str | None]) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"value": column, "filler": ["x"] * len(column)}).write_parquet(path)

    frame = read_dataset(path).frame

    assert frame["value"].dtype == pl.String
    assert frame["value"].to_list() == texts
    assert frame["row"].to_list() == list(range(2, len(texts) + 2))


def test_dates_are_written_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"day": [dt.date(2026, 1, 11)]}).write_parquet(path)

    assert read_dataset(path, date_format="%-d %B %Y").frame["day"].to_list() == ["11 January 2026"]


def test_nested_columns_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"phone": ["0772"], "tags": [["a"]], "raw": [b"\xff"], "who": [{"a": 1}]}).write_parquet(path)

    dataset = read_dataset(path)

    assert open_dataset(path).header == dataset.frame.columns[2:] == ["phone"]
    assert dataset.notes == ("Left out, because they hold no text, numbers or dates: 'tags', 'raw', 'who'.",)


def test_rows_without_anything_are_blank(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"phone": ["1", None, "3"], "name": ["a", " ", None]}).write_parquet(path)

    dataset = read_dataset(path)

    assert dataset.frame["row"].to_list() == [2, 4]
    assert dataset.blank_rows == 1


def test_names_are_renamed_as_in_every_format(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"row": [1], "*": ["a"], " phone": ["0772"]}).write_parquet(path)

    assert read_dataset(path).frame.rows(named=True) == [
        {"row": 2, "reject_reason": None, "row_": "1", "*_": "a", "phone": "0772"}
    ]
