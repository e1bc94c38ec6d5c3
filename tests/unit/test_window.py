"""The hours in which people may be messaged, in the time of Uganda, whatever the clock of the machine shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambo_io.window import KAMPALA, Window

DAY = Window(time(8), time(20))
MARCH = {"Mon": 2, "Tue": 3, "Wed": 4}


def kampala(text: str) -> datetime:
    """`Mon 08:00` is that time of the second of March 2026, in Africa/Kampala."""
    day, clock = text.split()
    return datetime.combine(date(2026, 3, MARCH[day]), time.fromisoformat(clock), KAMPALA)


@pytest.mark.parametrize("text", ["08:00-20:00", "00:00-23:59", "08:30-08:31"])
def test_a_window_is_written_as_it_is_read(text: str) -> None:
    assert str(Window.parse(text)) == text
    assert Window.parse("08:00-20:00") == DAY


def test_any_is_no_window() -> None:
    assert Window.parse("any") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8:00-20:00",
        "08:00",
        "08:00\u201320:00",
        "08:00 - 20:00",
        "08:00-24:00",
        "08:60-20:00",
        "8-20",
        "Any",
        "08:00-20:00\n",
    ],
    ids=repr,
)
def test_what_is_no_time_of_day_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r'^is no time of day; write "08:00-20:00" or "any"$'):
        Window.parse(text)


@pytest.mark.parametrize("text", ["20:00-08:00", "08:00-08:00"])
def test_a_window_lies_within_one_day(text: str) -> None:
    with pytest.raises(ValueError, match="opens after it closes"):
        Window.parse(text)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (kampala("Mon 07:59:59.999999"), False),
        (kampala("Mon 08:00"), True),
        (kampala("Mon 19:59:59.999999"), True),
        (kampala("Mon 20:00"), False),
        (datetime(2026, 3, 2, 4, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 2, 5, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 2, 23, 0, tzinfo=timezone(timedelta(hours=9))), True),  # 17:00 in Kampala
        (datetime(2026, 7, 2, 5, 0, tzinfo=UTC), True),  # no daylight saving
    ],
    ids=str,
)
def test_a_window_opens_and_closes_in_kampala(at: datetime, is_open: bool) -> None:
    assert DAY.is_open(at) is is_open


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("Mon 00:00", "Mon 08:00"),
        ("Mon 07:59:59", "Mon 08:00"),
        ("Mon 08:00", "Mon 08:00"),
        ("Mon 12:00", "Mon 12:00"),
        ("Mon 20:00", "Tue 08:00"),
        ("Mon 23:59", "Tue 08:00"),
    ],
)
def test_the_next_opening(at: str, opens: str) -> None:
    assert DAY.next_opening(kampala(at)) == kampala(opens)
    assert DAY.next_opening(kampala(at).astimezone(UTC)) == kampala(opens)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("Mon 08:00", 0, "Mon 08:00"),
        ("Mon 09:00", 2, "Mon 11:00"),
        ("Mon 06:00", 2, "Mon 10:00"),
        ("Mon 21:00", 2, "Tue 10:00"),
        ("Mon 18:00", 2, "Mon 20:00"),  # to the last moment
        ("Mon 18:00", 3, "Tue 09:00"),
        ("Mon 08:00", 24, "Tue 20:00"),
        ("Mon 08:00", 25, "Wed 09:00"),
    ],
)
def test_work_rests_while_the_window_is_closed(start: str, hours: float, end: str) -> None:
    assert DAY.end_of(kampala(start), hours * 3600) == kampala(end)


@given(
    start=st.datetimes(timezones=st.just(KAMPALA), min_value=datetime(2026, 1, 1), max_value=datetime(2026, 12, 1)),  # noqa: DTZ001 - hypothesis adds the zone
    minutes=st.integers(0, 4000),
    opens=st.integers(0, 23),
    hours=st.integers(1, 23),
)
def test_the_end_is_where_counting_open_minutes_arrives(start: datetime, minutes: int, opens: int, hours: int) -> None:
    window = Window.parse(f"{opens:02d}:00-{min(opens + hours, 23):02d}:59")
    assert window is not None
    start = start.replace(second=0, microsecond=0)
    now, left = start, minutes
    while left or not window.is_open(now):
        left -= window.is_open(now)
        now += timedelta(minutes=1)
    end = window.end_of(start, minutes * 60)
    # Work may end at the very moment of closing, which counting steps over.
    assert end == now or (window.next_opening(end) == now and not window.is_open(end))
