"""The hours in which people may be messaged, in the time of Uganda."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

KAMPALA = ZoneInfo("Africa/Kampala")  # UTC+3, no daylight saving

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def day_start(at: datetime) -> datetime:
    """The midnight in Kampala at which the day of `at` (aware) began."""
    return datetime.combine(at.astimezone(KAMPALA).date(), time(), KAMPALA)


@dataclass(frozen=True, slots=True)
class Window:
    """From `opens` until just before `closes`, every day, in Africa/Kampala."""

    opens: time
    closes: time

    @classmethod
    def parse(cls, text: str) -> Window | None:
        """`"08:00-20:00"`; `"any"` gives None. Raises ValueError with what is allowed."""
        if text == "any":
            return None
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError('is no time of day; write "08:00-20:00" or "any"')
        hours = [int(part) for part in match.groups()]
        window = cls(time(hours[0], hours[1]), time(hours[2], hours[3]))
        if window.opens >= window.closes:
            raise ValueError("opens after it closes; a window lies within one day")
        return window

    def is_open(self, at: datetime) -> bool:
        """Whether a call may start at `at` (aware)."""
        return self.opens <= at.astimezone(KAMPALA).time() < self.closes

    def next_opening(self, at: datetime) -> datetime:
        """The first moment at or after `at` at which the window is open, in Africa/Kampala."""
        local = at.astimezone(KAMPALA)
        if self.is_open(local):
            return local
        return self.opening_after(local)

    def opening_after(self, at: datetime) -> datetime:
        """The first opening after `at`, also while the window is open, in Africa/Kampala."""
        local = at.astimezone(KAMPALA)
        day = local.date() if local.time() < self.opens else local.date() + timedelta(days=1)
        return datetime.combine(day, self.opens, KAMPALA)

    def end_of(self, start: datetime, duration_s: float) -> datetime:
        """When work of `duration_s` seconds is done that starts at `start` and rests while the window is closed."""
        now, left = self.next_opening(start), timedelta(seconds=duration_s)
        while True:
            today = datetime.combine(now.date(), self.closes, KAMPALA) - now
            if left <= today:
                return now + left
            left -= today
            now = datetime.combine(now.date() + timedelta(days=1), self.opens, KAMPALA)

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"
