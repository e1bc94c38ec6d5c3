"""Days as people type them."""

from __future__ import annotations

import datetime as dt
import re
from typing import overload

from mambo_io.errors import InputError
from mambo_io.window import KAMPALA

_FIRST_DAY = dt.date(2000, 1, 1)  # before it a year was mistyped
# A year and two groups of digits, in either order: shown as it was typed, for it can be no mobile number.
_MISTYPED = re.compile(r"(?:19|20)\d\d(?:[-/. ]?\d{1,2}){2}\d?|(?:\d{1,2}[-/. ]){2}(?:19|20)\d\d", re.ASCII)


@overload
def day(option: str, text: str) -> dt.date: ...
@overload
def day(option: str, text: str | None) -> dt.date | None: ...
def day(option: str, text: str | None) -> dt.date | None:
    """The day that was typed behind `option`, as 2026-11-03; None: nothing was. Raises `InputError`."""
    if text is None:
        return None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    fix = "Write it as 2026-11-03: year, month, day."
    if _MISTYPED.fullmatch(text):
        raise InputError(f"{text!r} is no day", key=option, fix=fix)
    raise InputError("is no day", key=option, value=text, fix=fix)


def past_day(option: str, text: str, *, what: str) -> dt.date:
    """A day in Kampala, today at the latest; `what` says what happened on it. Raises `InputError`."""
    found = day(option, text)
    if not _FIRST_DAY <= found <= dt.datetime.now(KAMPALA).date():
        fix = "Write the day on which it did, today at the latest."
        raise InputError(f"is not a day {what}", key=option, value=text, fix=fix)
    return found
