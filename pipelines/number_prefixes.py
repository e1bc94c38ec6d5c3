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
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.carrierdata import CARRIER_DATA
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from pipelines.frames import REASONS
from pipelines.number_rules import CALLING_CODE, REGION, NumberVerdict, judge_number

NATIONAL_DIGITS = 9
PREFIX_DIGITS = 4
NUMBERS_PER_PREFIX = 10 ** (NATIONAL_DIGITS - PREFIX_DIGITS)


@cache
def prefix_verdicts() -> pl.DataFrame:
    """One row for each prefix from 0000 to 9999, at the position that is the prefix.

    Columns: `decided` (Boolean: one verdict for all numbers of the prefix), and where it is true `good` (Boolean:
    they are mobile numbers), `network_guess` (`networks()`) and `reject_reason` (`REASONS`). `e164_start` (String)
    begins the E.164 form of its numbers.
    """
    verdicts = list(_verdicts())
    return pl.DataFrame(
        {
            "decided": [verdict is not None for verdict in verdicts],
            "good": [verdict is not None and verdict.reason is None for verdict in verdicts],
            "network_guess": [verdict and verdict.network_guess for verdict in verdicts],
            "reject_reason": [verdict and verdict.reason for verdict in verdicts],
            "e164_start": [f"+{CALLING_CODE}{prefix:0{PREFIX_DIGITS}}" for prefix in range(len(verdicts))],
        },
        schema={
            "decided": pl.Boolean,
            "good": pl.Boolean,
            "network_guess": networks(),
            "reject_reason": REASONS,
            "e164_start": pl.String,
        },
    )


def _verdicts(prefix: str = "") -> Iterator[NumberVerdict | None]:
    """The verdict, or None for undecided, of each prefix of `PREFIX_DIGITS` that starts with `prefix`, in order."""
    below = 10 ** (PREFIX_DIGITS - len(prefix))
    if prefix == "0":
        yield from repeat(None, below)  # a zero in front is written, but no national number starts with it
    elif _all_alike(prefix) and _one_carrier(prefix):
        one_of_them = prefix.ljust(NATIONAL_DIGITS, "0")
        yield from repeat(judge_number(f"+{CALLING_CODE}{one_of_them}"), below)
    elif len(prefix) == PREFIX_DIGITS:
        yield None
    else:
        for digit in "0123456789":
            yield from _verdicts(prefix + digit)


def _all_alike(prefix: str, *, region: str = REGION, length: int = NATIONAL_DIGITS) -> bool:
    """Whether each pattern of a country matches all its numbers of this length with this prefix, or none."""
    return all(
        _matches(pattern, prefix, _ALL, length) or not _matches(pattern, prefix, _SOME, length)
        for pattern in _patterns(region)
    )


def _one_carrier(prefix: str) -> bool:
    longer = f"{CALLING_CODE}{prefix}"
    return not any(key.startswith(longer) and key != longer for key in _carrier_prefixes())


def is_impossible_length(digits: int) -> bool:
    """Whether no number of Uganda has so many national digits, and no short code, a zero in front counted or not."""
    numbers = PhoneMetadata.metadata_for_region(REGION)
    short_codes = PhoneMetadata.short_metadata_for_region(REGION)
    zero_may_count = any(_matches(pattern, "0", _SOME, NATIONAL_DIGITS) for pattern in _patterns(REGION))
    if zero_may_count or not numbers or not numbers.general_desc or not short_codes or not short_codes.general_desc:
        return False  # it cannot be told
    longest_code: int = max(short_codes.general_desc.possible_length)
    return digits > longest_code and digits not in numbers.general_desc.possible_length


def are_alike_abroad(start: str, length: int) -> bool:
    """Whether numbers of `length` digits (no plus) with this start are all valid abroad, or none.

    `start` is a number with its country code, with or without an international prefix or two zeros in front. Shown
    for countries that share their code with no other, where no national prefix can be read into what follows.
    """
    here = PhoneMetadata.metadata_for_region(REGION)
    dialled = re.match(here.international_prefix, start) if here and here.international_prefix else None
    abroad = start[dialled.end() :] if dialled else start.removeprefix("00")
    if abroad.startswith("0"):
        return False  # what looks like an international prefix is none in front of a zero
    for digits in (1, 2, 3):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(abroad[:digits] or "0"), ())
        if len(regions) == 1 and regions[0] != REGION and (there := PhoneMetadata.metadata_for_region(regions[0])):
            prefix = abroad[digits:]
            before = there.national_prefix_for_parsing
            if before and _with_signs(before).match(prefix.ljust(length, _SOME)):
                return False
            return _all_alike(prefix, region=regions[0], length=length - len(start) + len(prefix))
    return False


# Two signs stand for the digits after a prefix, and the patterns are rewritten so that they can meet them. A pattern
# that matches a prefix filled up with `*` matches all its numbers; one that does not match it with `?` matches none.
_ALL = "*"  # taken where a pattern takes every digit
_SOME = "?"  # taken where a pattern takes any digit
_KNOWN_SYNTAX = re.compile(r"(?:\\d|[0-9]|\[[0-9-]+\]|\(\?:|\)|\||\{[0-9,]+\})*")
_PART = re.compile(r"\{[0-9,]+\}|\\d|\[[0-9-]+\]|[0-9]")
_TELLS_NOTHING = f"[0-9{_SOME}]*"


def _matches(pattern: re.Pattern[str], prefix: str, sign: str, length: int) -> bool:
    return pattern.fullmatch(prefix.ljust(length, sign)) is not None


@cache
def _patterns(region: str) -> tuple[re.Pattern[str], ...]:
    """Every pattern by which `phonenumbers` tells a country's kinds of numbers apart, rewritten for the two signs."""
    metadata = PhoneMetadata.metadata_for_region(region)
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


@cache
def networks() -> pl.Enum:
    """Every network of Uganda that `phonenumbers` knows: what a number may be taken for."""
    return pl.Enum(sorted({CARRIER_DATA[key]["en"] for key in _carrier_prefixes()}))


@cache
def _carrier_prefixes() -> tuple[str, ...]:
    return tuple(key for key in CARRIER_DATA if key.startswith(str(CALLING_CODE)))
