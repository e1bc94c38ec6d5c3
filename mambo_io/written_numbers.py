"""One telephone number as it may be written in a text, among others."""

from __future__ import annotations

import re

from mambo_io.masking import mask_text

HIDDEN = "•••"

# What people put between the digits of a number; a backslash, because JSON may have one before a slash, or for a tab.
_BETWEEN = r"(?:\\t|[^\S\r\n]|[().\-/\\\u200b-\u2015\u202a-\u202e\u2060-\u2069\u2212\ufeff]){0,3}"


def written_number(msisdn: int) -> re.Pattern[str]:
    """The number as it may stand in a text: with and without 256 or 0, with what people put between digits."""
    country, national = _BETWEEN.join("256"), _BETWEEN.join(national_number(msisdn))
    before = rf"(?:(?:\+|0{{2,3}})?{_BETWEEN}{country}{_BETWEEN})?(?:\(?0\)?{_BETWEEN})?"
    return re.compile(rf"(?<![0-9]){before}{national}(?![0-9])")


def national_number(msisdn: int) -> str:
    """The digits that every way of writing the number has, in their order."""
    return str(msisdn)[3:]


def others_masked(text: str, msisdn: int) -> str:
    """The text with every number masked but this one."""
    parts = written_number(msisdn).split(text)
    own = written_number(msisdn).findall(text)
    return "".join(mask_text(part) + number for part, number in zip(parts, [*own, ""], strict=True))
