"""How times of delivery reports are read: what is written without a zone is Kampala's time, three hours before UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mambo_io.ledger import to_us
from pipelines.delivery_times import read_times

NOON = datetime(2026, 3, 2, 9, tzinfo=UTC)  # in Kampala
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
AFTER_5_S, AFTER_5_MIN = NOON + 5 * SECOND, NOON + 5 * MINUTE
MIDNIGHT = NOON - timedelta(hours=12)


def span(written: str, time_format: str | None = None) -> tuple[datetime, timedelta]:
    """What one cell means: the first moment, and how long the moments last that it may mean."""
    [(at_us, until_us, is_read)] = read_times(pl.Series([written]), time_format).rows()
    assert is_read, written
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + timedelta(microseconds=at_us), timedelta(microseconds=until_us - at_us + 1)


@pytest.mark.parametrize(
    ("written", "meaning", "lasts"),
    [
        ("2026-03-02 12:00:05", AFTER_5_S, SECOND),
        ("2026-03-02T12:00:05", AFTER_5_S, SECOND),
        (" 2026/03/02  12:00:05 ", AFTER_5_S, SECOND),
        ("2026-03-02 12:00:05.000", AFTER_5_S, SECOND),
        ("2026-03-02 12:05", AFTER_5_MIN, MINUTE),
        ("2026-3-2 12:05", AFTER_5_MIN, MINUTE),
        ("2026-03-02", MIDNIGHT, DAY),
        # With a zone.
        ("2026-03-02T09:00:05Z", AFTER_5_S, SECOND),
        ("2026-03-02T09:00:05.000Z", AFTER_5_S, SECOND),
        ("2026-03-02T12:00:05+03:00", AFTER_5_S, SECOND),
        ("2026-03-02 11:00:05 +0200", AFTER_5_S, SECOND),
        ("2026-03-02 12:05+03:00", AFTER_5_MIN, MINUTE),
        # The day before the month.
        ("02/03/2026 12:00:05", AFTER_5_S, SECOND),
        ("2/3/2026 12:05", AFTER_5_MIN, MINUTE),
        ("02.03.2026 12:05", AFTER_5_MIN, MINUTE),
        ("02-03-2026, 12:05", AFTER_5_MIN, MINUTE),
        ("02/03/2026", MIDNIGHT, DAY),
        ("02/03/2026 12:05 PM", AFTER_5_MIN, MINUTE),
        ("02/03/2026 12:00:05 pm", AFTER_5_S, SECOND),
        ("02-Mar-2026 12:00:05", AFTER_5_S, SECOND),
        ("2 March 2026 12:05", AFTER_5_MIN, MINUTE),
        # As a receipt of SMPP has it, and its longer sisters.
        ("2603021205", AFTER_5_MIN, MINUTE),
        ("260302120005", AFTER_5_S, SECOND),
        ("202603021205", AFTER_5_MIN, MINUTE),
        ("20260302120005", AFTER_5_S, SECOND),
    ],
)
def test_a_time_is_read_however_it_is_written(written: str, meaning: datetime, lasts: timedelta) -> None:
    assert span(written) == (meaning, lasts)


@pytest.mark.parametrize("written", [None, "", "  ", "-", "N/A", "null", "0000-00-00 00:00:00"])
def test_a_cell_may_say_that_there_is_no_time(written: str | None) -> None:
    assert read_times(pl.Series([written], dtype=pl.String)).rows() == [(None, None, True)]


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "12:05",
        "31/02/2026 12:05",
        "03/25/2026 12:05",  # the American way
        "02/03/26 12:05",
        "1772442000",  # seconds since 1970: as a receipt's time it would be in the 72nd month
        "46083.5",  # as a spreadsheet counts days
    ],
)
def test_what_is_no_plain_time_is_not_read(written: str) -> None:
    assert read_times(pl.Series([written])).rows() == [(None, None, False)]


@pytest.mark.parametrize(
    ("written", "time_format", "meaning", "lasts"),
    [
        ("03/02/2026 12:05", "%m/%d/%Y %H:%M", AFTER_5_MIN, MINUTE),
        ("02/03/26 12:00:05", "%d/%m/%y %H:%M:%S", AFTER_5_S, SECOND),
        ("02/03/26", "%d/%m/%y", MIDNIGHT, DAY),
        ("02/03/26 09:05 +0000", "%d/%m/%y %H:%M %z", AFTER_5_MIN, MINUTE),
    ],
)
def test_another_way_to_write_times_can_be_told(
    written: str, time_format: str, meaning: datetime, lasts: timedelta
) -> None:
    assert span(written, time_format) == (meaning, lasts)
    assert read_times(pl.Series(["2026-03-02 12:00:05"]), time_format).rows() == [(None, None, False)]


def test_a_column_may_mix_them_and_keeps_its_order() -> None:
    times = read_times(pl.Series(["2603021205", None, "2026-03-02 12:00:05", "?", "02/03/2026 12:05"]))
    assert times.schema == {"at_us": pl.Int64, "until_us": pl.Int64, "is_read": pl.Boolean}
    assert times["at_us"].to_list() == [to_us(AFTER_5_MIN), None, to_us(AFTER_5_S), None, to_us(AFTER_5_MIN)]
    assert times["is_read"].to_list() == [True, True, True, False, True]
