"""Amounts of money as people type them."""

from __future__ import annotations

import re

from mambo_io.errors import InputError

_MOST_UGX = 10**12
# Digits, or digits in threes with one separator between them: what is grouped in any other way was mistyped.
_WHOLE = re.compile(
    r"[-+]?(?:[0-9]+|[0-9]{1,3}(?:(?P<separator>[,_ \u00a0\u202f])[0-9]{3})(?:(?P=separator)[0-9]{3})*)"
)


def whole_ugx(key: str, text: str) -> int:
    """`500000`, `500,000`, `-700`: shillings, at most 10^12 either way. Raises `InputError`."""
    text = text.strip()
    amount_ugx = int(re.sub(r"[^-0-9]", "", text)) if _WHOLE.fullmatch(text) and len(text) <= 20 else None
    if amount_ugx is None or abs(amount_ugx) > _MOST_UGX:
        raise InputError("is no amount in whole UGX", key=key, value=text, fix="Write it as 500000 or 500,000.")
    return amount_ugx
