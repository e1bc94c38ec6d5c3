"""Days as people type them."""

from __future__ import annotations

import datetime as dt
import re

from mambo_io.errors import InputError
from mambo_io.window import KAMPALA

_FIRST_DAY = dt.date(2000, 1, 1)  # before it a year was mistyped


def past_day(option: str, text: str, *, what: str) -> dt.date:
    """A day in Kampala, today at the latest; `what` says what happened on it. Raises `InputError`."""
    try:
        day = dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        day = None
    if day is None:
        raise InputError("is no day", key=option, value=text, fix="Write it as 2026-11-03: year, month, day.")
    if not _FIRST_DAY <= day <= dt.datetime.now(KAMPALA).date():
        fix = "Write the day on which it did, today at the latest."
        raise InputError(f"is not a day {what}", key=option, value=text, fix=fix)
    return day
