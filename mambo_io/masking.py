"""What a person may read of a phone number: the first six digits and the last three."""

from __future__ import annotations

import logging
import re

# Any run of seven or more digits, also when it is written with the separators people use inside a number.
# Dates, times and money (`2026-01-11`, `08:00`, `600,000`) have shorter groups or other separators.
_NUMBER = re.compile(r"\+?\d(?:[ \u00a0().\-/]?\d){6,}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\b")


def mask_number(e164: str) -> str:
    """`+256772123456` becomes `+256772•••456`; what is too short to mask that way becomes `•••`."""
    return f"{e164[:7]}•••{e164[-3:]}" if len(e164) >= 12 else "•••"


def mask_text(text: str) -> str:
    """Mask every run of seven or more digits in `text`; leave ISO dates as they are."""

    def masked(match: re.Match[str]) -> str:
        run = match.group()
        if _DATE.match(run):
            return run
        digits = re.sub(r"[^\d+]", "", run)
        return mask_number(digits) if digits.startswith("+256") else "•••" + digits[-3:]

    return _NUMBER.sub(masked, text)


class MaskingFilter(logging.Filter):
    """Masks the numbers in every record that passes a handler, its traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask_text(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = mask_text(logging.Formatter().formatException(record.exc_info))
        return True
