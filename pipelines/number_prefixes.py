"""The prefixes of Uganda's numbers that have one answer, found in `phonenumbers`' own data when they are first needed.

The first four of the nine national digits nearly always decide what a number is. For a prefix, this module *proves*
from the patterns that `phonenumbers` holds that its numbers cannot be told apart, and then asks `judge_number` about
one of them. Where a proof fails the prefix stays undecided, and its numbers are judged one by one: data of a kind that
is not known here makes things slower, never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import repeat

import polars as pl
from phonenumbers.carrierdata import CARRIER_DATA
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from pipelines.number_rules import CALLING_CODE, REGION, NumberVerdict, judge_number

NATIONAL_DIGITS = 9
PREFIX_DIGITS = 4
NUMBERS_PER_PREFIX = 10 ** (NATIONAL_DIGITS - PREFIX_DIGITS)


@cache
def prefix_verdicts() -> pl.DataFrame:
    """One row for each prefix from 0000 to 9999, at the position that is the prefix.

    Columns: `decided` (Boolean: one verdict for all numbers of the prefix), and where it is true `good` (Boolean:
    they are mobile numbers), `network_guess` (String) and `reject_reason` (String).
    """
    verdicts = list(_verdicts())
    return pl.DataFrame(
        {
            "decided": [verdict is not None for verdict in verdicts],
            "good": [verdict is not None and verdict.reason is None for verdict in verdicts],
            "network_guess": [verdict and verdict.network_guess for verdict in verdicts],
            "reject_reason": [verdict and verdict.reason for verdict in verdicts],
        },
        schema={"decided": pl.Boolean, "good": pl.Boolean, "network_guess": pl.String, "reject_reason": pl.String},
    )


def _verdicts(prefix: str = "") -> Iterator[NumberVerdict | None]:
    """The verdict, or None for undecided, of each prefix of `PREFIX_DIGITS` that starts with `prefix`, in order."""
    below = 10 ** (PREFIX_DIGITS - len(prefix))
    if prefix == "0":
        yield from repeat(None, below)  # a zero in front is written, but no national number starts with it
    elif _all_alike(prefix):
        one_of_them = prefix.ljust(NATIONAL_DIGITS, "0")
        yield from repeat(judge_number(f"+{CALLING_CODE}{one_of_them}"), below)
    elif len(prefix) == PREFIX_DIGITS:
        yield None
    else:
        for digit in "0123456789":
            yield from _verdicts(prefix + digit)


def _all_alike(prefix: str) -> bool:
    """Whether each pattern matches all numbers with this prefix or none, and they have the same carrier."""
    carriers = f"{CALLING_CODE}{prefix}"
    return all(
        _matches(pattern, prefix, _ALL) or not _matches(pattern, prefix, _SOME) for pattern in _patterns()
    ) and not any(key.startswith(carriers) and key != carriers for key in _carrier_prefixes())


# Two signs stand for the digits after a prefix, and the patterns are rewritten so that they can meet them. A pattern
# that matches a prefix filled up with `*` matches all its numbers; one that does not match it with `?` matches none.
_ALL = "*"  # taken where a pattern takes every digit
_SOME = "?"  # taken where a pattern takes any digit
_KNOWN_SYNTAX = re.compile(r"(?:\\d|[0-9]|\[[0-9-]+\]|\(\?:|\)|\||\{[0-9,]+\})*")
_PART = re.compile(r"\{[0-9,]+\}|\\d|\[[0-9-]+\]|[0-9]")
_TELLS_NOTHING = f"[0-9{_SOME}]*"


def _matches(pattern: re.Pattern[str], prefix: str, sign: str) -> bool:
    return pattern.fullmatch(prefix.ljust(NATIONAL_DIGITS, sign)) is not None


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Every pattern by which `phonenumbers` tells the kinds of Uganda's numbers apart, rewritten for the two signs."""
    metadata = PhoneMetadata.metadata_for_region(REGION)
    kinds = [kind for kind in vars(metadata).values() if isinstance(kind, PhoneNumberDesc)]
    return tuple(_with_signs(kind.national_number_pattern) for kind in kinds if kind.national_number_pattern)


def _with_signs(pattern: str) -> re.Pattern[str]:
    if not _KNOWN_SYNTAX.fullmatch(pattern):
        return re.compile(_TELLS_NOTHING)

    def with_signs(part: re.Match[str]) -> str:
        text = part.group()
        match text[0]:
            case "{":
                return text
            case "\\":
                return f"[0-9{_ALL}{_SOME}]"
            case "[":
                return f"{text[:-1]}{_SOME}]"
            case digit:
                return f"[{digit}{_SOME}]"

    return re.compile(_PART.sub(with_signs, pattern))


def known_networks() -> set[str]:
    """Every network that `phonenumbers` knows in Uganda."""
    return {CARRIER_DATA[key]["en"] for key in _carrier_prefixes()}


@cache
def _carrier_prefixes() -> tuple[str, ...]:
    return tuple(key for key in CARRIER_DATA if key.startswith(str(CALLING_CODE)))
