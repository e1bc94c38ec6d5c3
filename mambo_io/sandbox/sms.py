"""Numbers, networks and segments as the sandbox judges them.

Written apart from `pipelines` on purpose: when estimate and charge agree, two independent counters agree.
"""

from __future__ import annotations

import re
from functools import cache

from phonenumbers import PhoneNumber, carrier

# 3GPP TS 23.038, 6.2.1: the default alphabet, then its extension table (two septets each).
_ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")

# The API page names these three categories, letter for letter.
CATEGORIES = ("non_customised", "info", "customised")
# And for `customised`: "registered sender ID (MTN / Airtel / UTL)". Names as `phonenumbers.carrier` writes them.
CUSTOMISED_NETWORKS = frozenset({"MTN", "Airtel", "UTL"})

_UGANDAN_MOBILE = re.compile(r"(?:0|\+?256)(7\d{8})", re.ASCII)


def to_e164(written: str) -> str | None:
    """E.164 of a Ugandan mobile number written as 07…, 2567… or +2567…; None for anything else."""
    match = _UGANDAN_MOBILE.fullmatch(written)
    return f"+256{match[1]}" if match else None


def network_of(e164: str) -> str:
    """The network whose range a number is in, by the tables of `phonenumbers`; empty when they name none."""
    return _network_of_range(e164[4:10])


@cache  # on six of nine digits: no range in the tables is finer
def _network_of_range(first_digits: str) -> str:
    return carrier.name_for_valid_number(PhoneNumber(country_code=256, national_number=int(first_digits + "000")), "en")


def count_segments(text: str) -> int:
    """Messages that the network sends for one text (3GPP TS 23.038 and 23.040).

    160 septets alone or 153 a part; with a character outside the alphabet, 70 UTF-16 units alone or 67 a part.
    Neither an escape pair nor a surrogate pair is cut in two.
    """
    if all(char in _ALPHABET or char in _EXTENSION for char in text):
        sizes = [2 if char in _EXTENSION else 1 for char in text]
        alone, part = 160, 153
    else:
        sizes = [2 if char > "\uffff" else 1 for char in text]
        alone, part = 70, 67
    if sum(sizes) <= alone:
        return 1
    segments, used = 1, 0
    for size in sizes:
        if used + size > part:
            segments, used = segments + 1, 0
        used += size
    return segments
