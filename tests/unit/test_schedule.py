"""When a campaign is sent by itself, and which edition each moment is."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mambo_io.window import KAMPALA
from pipelines.campaign import check_edition
from pipelines.schedule import Schedule, edition_of, lateness_of, time_of


def at(text: str, zone: ZoneInfo = KAMPALA) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


# 2026-11-26 is a Thursday.
@pytest.mark.parametrize(
    ("keys", "now", "before", "after"),
    [
        ({"cron": "0 9 * * MON"}, "2026-11-26 12:00", "2026-11-23 09:00", ["2026-11-30 09:00", "2026-12-07 09:00"]),
        ({"cron": "0 9 * * MON"}, "2026-11-30 08:59:59", "2026-11-23 09:00", ["2026-11-30 09:00", "2026-12-07 09:00"]),
        # The moment itself has come, and is not to come any more.
        ({"cron": "0 9 * * MON"}, "2026-11-30 09:00", "2026-11-30 09:00", ["2026-12-07 09:00", "2026-12-14 09:00"]),
        ({"cron": "0 9 * * MON"}, "2026-11-30 09:00:00.5", "2026-11-30 09:00", ["2026-12-07 09:00"]),
        ({"cron": "0 9 * * MON"}, "2026-11-30 08:59:59.9", "2026-11-23 09:00", ["2026-11-30 09:00"]),
        ({"cron": "30 8,16 28-31 * *"}, "2026-02-27 10:00", "2026-01-31 16:30", ["2026-02-28 08:30",
                                                                                 "2026-02-28 16:30"]),
        ({"cron": "0 9 29 2 *"}, "2026-11-26 12:00", "2024-02-29 09:00", ["2028-02-29 09:00"]),
        ({"at": "2026-12-01 09:00"}, "2026-11-26 12:00", None, ["2026-12-01 09:00"]),
        ({"at": ["2026-12-02 07:30:15", "2026-12-01T09:00"]}, "2026-12-01 09:00", "2026-12-01 09:00",
         ["2026-12-02 07:30:15"]),
        ({"at": "2026-12-01 09:00"}, "2027-01-01 00:00", "2026-12-01 09:00", []),
    ],
)  # fmt: skip
def test_times(keys: dict[str, Any], now: str, before: str | None, after: list[str]) -> None:
    schedule = Schedule(**keys)
    assert schedule.last_time(at(now)) == (None if before is None else at(before))
    assert schedule.next_times(at(now), max(1, len(after))) == [at(each) for each in after]


def test_times_are_of_the_schedules_own_time_zone() -> None:
    lagos = ZoneInfo("Africa/Lagos")  # two hours behind Kampala
    schedule = Schedule(cron="0 9 * * *", timezone="Africa/Lagos")
    assert schedule.next_times(at("2026-11-26 10:30"), 1) == [at("2026-11-26 11:00")]
    assert edition_of(at("2026-11-26 11:00"), lagos) == "2026-11-26T09:00"


@pytest.mark.parametrize(
    ("moment", "edition"),
    [("2026-11-30 09:00", "2026-11-30T09:00"), ("2026-11-30 09:00:05", "2026-11-30T09:00:05")],
)
def test_an_edition_is_named_by_its_time(moment: str, edition: str) -> None:
    assert edition_of(at(moment), KAMPALA) == edition
    assert time_of(edition, KAMPALA) == at(moment)
    check_edition(edition)


@pytest.mark.parametrize(
    "edition", ["1", "friday", "2026-11-30", "2026-13-30T09:00", "2026-11-30T09:00+03:00", "test-1"]
)
def test_other_editions_have_no_time(edition: str) -> None:
    assert time_of(edition, KAMPALA) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("9999m", 599_940)]
)
def test_lateness(text: str, seconds: int) -> None:
    assert lateness_of(text) == timedelta(seconds=seconds)


# --- as Prefect reads a cron line, whose server makes the runs --------------------------------------------------------


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    one = numbers.map(str)
    reach = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.builds("{}/{}".format, st.one_of(st.just("*"), reach), st.integers(1, high))
    return st.one_of(st.just("*"), one, reach, steps, st.lists(one, min_size=2, max_size=3, unique=True).map(",".join))


_CRON = st.one_of(
    st.builds("{} {} {} {} *".format, _field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12)),
    st.builds("{} {} * {} {}".format, _field(0, 59), _field(0, 23), _field(1, 12), _field(0, 6)),
    st.sampled_from(["0 9 * * MON-FRI", "0 9 * JAN,JUL *", "0 9 * * 7", "0 9 * * sun", "*/15 8-19 * * 1-5"]),
)


_MOMENTS = st.integers(0, 3 * 366 * 86_400).map(lambda second: at("2026-01-01") + timedelta(seconds=second))


@settings(max_examples=60)
@given(cron=_CRON, moment=_MOMENTS)
def test_a_cron_line_means_what_it_means_to_prefect(cron: str, moment: datetime) -> None:
    from prefect.server.schemas.schedules import CronSchedule

    schedule = None
    with contextlib.suppress(ValidationError):  # of a day that never comes
        schedule = Schedule(cron=cron)
    assume(schedule is not None)
    assert schedule is not None
    theirs = asyncio.run(CronSchedule(cron=cron, timezone="Africa/Kampala").get_dates(4, moment))
    assert [time for time in theirs if time > moment][:3] == schedule.next_times(moment, 3)


@settings(max_examples=60)
@given(cron=_CRON, moment=_MOMENTS)
def test_the_last_time_is_the_one_before_the_next(cron: str, moment: datetime) -> None:
    schedule = None
    with contextlib.suppress(ValidationError):
        schedule = Schedule(cron=cron)
    assume(schedule is not None)
    assert schedule is not None
    times = schedule.next_times(moment, 3)
    for earlier, later in pairwise(times):
        assert schedule.last_time(later) == later
        assert schedule.last_time(later - timedelta(seconds=1)) == earlier
