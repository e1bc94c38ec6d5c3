"""`[schedule]` of a campaign file: when it is sent by itself, and which edition a moment is.

Each scheduled time is one edition, named by it: `2026-11-30T09:00` in the schedule's time zone. So a run that is
started twice, retried, or picked up by two workers finds the same edition in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mambo_io.window import KAMPALA
from pipelines.campaign_sections import Section

DEFAULT_MAX_LATENESS = "30m"
SCHEDULE_HELP = 'a section [schedule] with either cron = "0 9 * * MON" or at = "2026-12-01 09:00"'

_CRON_FIELDS = 5
_CRON_FIELD = re.compile(r"[0-9A-Z*,/-]+")
_REACH_OF_ONE = re.compile(r"\b(\w+)-\1\b")  # which cron programs do not read alike
_LATENESS = re.compile(r"([1-9]\d{0,3})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?")
_EDITION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


def _check_cron(text: str) -> str:
    fields = text.upper().split()
    if len(fields) != _CRON_FIELDS or not all(map(_CRON_FIELD.fullmatch, fields)) or _REACH_OF_ONE.search(text):
        raise ValueError("is no cron line: minute, hour, day of the month, month, day of the week")
    if "*" not in (fields[2], fields[4]):
        # Cron programs differ in whether both must hold or one is enough.
        raise ValueError("names days of the month and days of the week; one of the two must be *")
    try:
        next(CronSim(text, datetime(2026, 1, 1)))  # noqa: DTZ001 - a local time, as cron's are
    except (CronSimError, StopIteration):
        raise ValueError("is no cron line, or one of a day that never comes") from None
    return text


def _local_times(given: object) -> object:
    """One time or a list of them, as TOML writes it or between quotes; the earliest first."""
    if given is None:
        return None
    return tuple(sorted(map(_local_time, given if isinstance(given, list | tuple) else [given])))


def _local_time(given: object) -> datetime:
    at = given
    if isinstance(given, str) and _LOCAL_TIME.fullmatch(given):
        try:
            at = datetime.fromisoformat(given)
        except ValueError:
            raise ValueError("names a day or an hour that does not exist") from None
    if not isinstance(at, datetime):
        raise ValueError("is no date with a time")
    if at.tzinfo is not None or at.microsecond:
        raise ValueError("is no plain local time; the key timezone says where")
    return at


def _check_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no time zone")
    return name


def _check_lateness(text: str) -> str:
    if not _LATENESS.fullmatch(text):
        raise ValueError("is no length of time")
    return text


class Schedule(Section):
    """`[schedule]`: when `mambo serve` sends the campaign. Either `cron` or `at`."""

    cron: Annotated[str, AfterValidator(_check_cron)] | None = Field(
        default=None, description='minute, hour, day of the month, month, day of the week: cron = "0 9 * * MON"'
    )
    at: Annotated[tuple[datetime, ...], BeforeValidator(_local_times)] | None = Field(
        default=None, description='a local time, or a list of them: at = "2026-12-01 09:00"'
    )
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default=KAMPALA.key, description='the name of a time zone: timezone = "Africa/Kampala"'
    )
    # Later than this after its time, an edition that has not begun is skipped: the text may be wrong by then.
    max_lateness: Annotated[str, AfterValidator(_check_lateness)] = Field(
        default=DEFAULT_MAX_LATENESS,
        description='a whole number of seconds, minutes, hours or days: max_lateness = "30m" (or "90s", "2h", "1d")',
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Schedule:
        if (self.cron is None) == (not self.at):
            raise ValueError("needs cron or at, and not both")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def times_after(self, moment: datetime) -> Iterator[datetime]:
        """The scheduled times after `moment` (aware), in the schedule's time zone; `at` has an end."""
        if self.cron is not None:
            for at in CronSim(self.cron, self._local(moment)):
                yield at.replace(tzinfo=self.zone)
        yield from (at for at in self._listed() if at > moment)

    def last_time(self, moment: datetime) -> datetime | None:
        """The last scheduled time not after `moment` (aware); None where there was none yet."""
        if self.cron is not None:
            # Backwards it looks before the second that it is given, and the moment's own counts here.
            second = self._local(moment).replace(microsecond=0)
            found = next(CronSim(self.cron, second + timedelta(seconds=1), reverse=True), None)
            return None if found is None else found.replace(tzinfo=self.zone)
        return max((at for at in self._listed() if at <= moment), default=None)

    def next_times(self, moment: datetime, count: int) -> list[datetime]:
        return list(islice(self.times_after(moment), count))

    @property
    def lateness(self) -> timedelta:
        return lateness_of(self.max_lateness)

    def told(self) -> str:
        """In a few words: `0 9 * * MON, Africa/Kampala`."""
        when = self.cron or ", ".join(f"{at:%Y-%m-%d %H:%M}" for at in self.at or ())
        return f"{when}, {self.timezone}"

    def _listed(self) -> list[datetime]:
        return [at.replace(tzinfo=self.zone) for at in self.at or ()]

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def lateness_of(text: str) -> timedelta:
    """`"30m"`, `"90s"`, `"2h"`, `"1d"` as a length of time."""
    match = _LATENESS.fullmatch(text)
    assert match is not None, text
    unit: dict[str, Any] = {_UNITS[match.group(2)]: int(match.group(1))}
    return timedelta(**unit)


def edition_of(at: datetime, zone: ZoneInfo) -> str:
    """The edition of a scheduled time (aware): `2026-11-30T09:00`, with seconds where there are any."""
    local = at.astimezone(zone).replace(microsecond=0)
    return f"{local:%Y-%m-%dT%H:%M:%S}" if local.second else f"{local:%Y-%m-%dT%H:%M}"


def time_of(edition: str, zone: ZoneInfo) -> datetime | None:
    """The scheduled time that an edition is named by; None for any other name."""
    if not _EDITION.fullmatch(edition):
        return None
    try:
        return datetime.fromisoformat(edition).replace(tzinfo=zone)
    except ValueError:
        return None
