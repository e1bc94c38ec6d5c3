"""What a person may read of a phone number: the first six digits and the last three."""

from __future__ import annotations

import logging
import re

# Seven or more digits, also when they are written with what people put inside a number: spaces of any width and marks
# that cannot be seen, brackets, dots, slashes, dashes of any length. Times and money (`08:00`, `600,000`) have shorter
# groups or other separators. An ISO date is told apart by its month and day, so that no number passes for one. So are
# the addresses of computers in private networks (RFC 1918) and on this one: a database that is away has to be named.
#
# `31/12/2026` and `31.12.2026` have eight digits, and every number of Uganda nine at least (`772123456`; ten with its
# zero, twelve with 256). So such a date is none where no other digit is near enough to belong to it, on either side:
# what stands in front is taken together with it. A time may follow, as no number has a colon in it.
_BETWEEN = r"(?:[^\S\r\n]|[().\-/\u200b-\u2015\u202a-\u202e\u2060-\u2069\u2212\ufeff]){0,3}"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_NUMBER_OR_NONE = re.compile(
    r"(?P<none>(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0[1-9]|[12]\d|3[01])(?P<mark>[/.])(?:0[1-9]|1[0-2])(?P=mark)(?:19|20)\d\d"
    rf"(?: (?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?!{_BETWEEN}\d)|(?!{_BETWEEN}\d))"
    rf"|(?<![\d.+])(?:(?:10|127)\.{_OCTET}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.{_OCTET}){{2}}(?!{_BETWEEN}\d))"
    rf"|\+?\d(?:{_BETWEEN}\d){{6,}}"
)


def mask_number(e164: str) -> str:
    """`+256772123456` becomes `+256772•••456`; what is too short to mask that way becomes `•••`."""
    return f"{e164[:7]}•••{e164[-3:]}" if len(e164) >= 12 else "•••"


def mask_text(text: str) -> str:
    """Mask every run of seven or more digits in `text`.

    ISO dates, dates such as 31/12/2026 and 31.12.2026, and private IPv4 addresses stay as they are.
    """

    def masked(match: re.Match[str]) -> str:
        if match["none"]:
            return match["none"]
        digits = re.sub(r"[^\d+]", "", match.group())
        return mask_number(digits) if digits.startswith("+256") else "•••" + digits[-3:]

    return _NUMBER_OR_NONE.sub(masked, text)


class MaskingFilter(logging.Filter):
    """Masks the numbers in every record that passes a handler, its traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a log call whose arguments do not fit must not end what it reports on
            message = str(record.msg)
        record.msg, record.args = mask_text(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            # Formatters take the text where there is one; whoever would write the traceback anew finds none.
            record.exc_text, record.exc_info = mask_text(record.exc_text), None
        return True
