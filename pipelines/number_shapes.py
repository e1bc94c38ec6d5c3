"""Cells of a telephone column that are more than bare digits, judged by what they look like.

The rules of `judge_number` look at signs and letters, at how many digits stand where, and at few of the digits: zeros
and 256 in front, and the prefix. Two cells that differ in other digits only have one verdict. So each kind of cell is
asked about once, with a stand-in: `Tel: 0772 000000 (Jane)` speaks for `Tel: 0701 234567 (Jane)`. No rule is written
twice. What makes it true is decided in `_with_lead`, and a cell for which it cannot be shown is judged by itself.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

import polars as pl

from pipelines.number_prefixes import (
    NATIONAL_DIGITS,
    PREFIX_DIGITS,
    are_alike_abroad,
    is_impossible_length,
    prefix_verdicts,
)
from pipelines.number_rules import (
    CALLING_CODE,
    NumberVerdict,
    Several,
    depends_on_every_digit,
    is_one_number,
    judge_number,
)

_REMEMBERED = 10_000  # verdicts: a column comes in batches, and what it repeats stands in each of them


def judge_shapes(texts: pl.Series, *, several: Several) -> pl.DataFrame:
    """What `judge_number` says of each text (String, no nulls): `e164`, `network_guess`, `reject_reason`, all String."""
    text, lead = pl.col("text"), pl.col("lead")
    rows = (
        pl.LazyFrame({"text": _with_plain_digits(texts)})
        .with_columns(_without_spreadsheet_forms(text))
        .with_columns(_one_list_for_all(text) if several == "reject" else text)
        .with_columns(digits=text.str.replace_all("[^0-9+]+", ""))
        .pipe(_with_lead)
        .with_columns(shape=pl.when(lead.is_not_null()).then(text.str.replace_all("[1-9]", "0")))
        .collect()
    )
    kinds = rows.select("shape", "lead", "is_abroad").drop_nulls().unique()
    kinds = kinds.hstack(_table([_judge_stand_in(*kind, several) for kind in kinds.rows()]))
    rows = rows.join(kinds, on=["shape", "lead", "is_abroad"], how="left", maintain_order="left")

    alone = rows.select(pl.when(pl.col("good").is_null()).then("text")).drop_nulls().unique()
    alone = alone.hstack(_table([_judge(value, several) for value in alone["text"]]))
    good = pl.col("good")
    return rows.join(alone, on="text", how="left", maintain_order="left", suffix="_alone").select(
        e164=pl.when("good").then(f"+{CALLING_CODE}" + pl.col("national")).otherwise("e164_alone"),
        network_guess=pl.when("good").then("network").otherwise("network_guess_alone"),
        reject_reason=pl.when(good.is_null()).then("reject_reason_alone").otherwise("reject_reason"),
    )


def _table(verdicts: list[NumberVerdict | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "good": [verdict and verdict.reason is None for verdict in verdicts],
            "e164": [verdict and verdict.e164 for verdict in verdicts],
            "network_guess": [verdict and verdict.network_guess for verdict in verdicts],
            "reject_reason": [verdict and verdict.reason for verdict in verdicts],
        },
        schema={"good": pl.Boolean, "e164": pl.String, "network_guess": pl.String, "reject_reason": pl.String},
    )


@lru_cache(_REMEMBERED)
def _judge(text: str, several: Several) -> NumberVerdict:
    return judge_number(text, several=several)


@lru_cache(_REMEMBERED)
def _judge_stand_in(shape: str, lead: str, is_abroad: bool, several: Several) -> NumberVerdict | None:
    """The verdict on every text of this shape whose digits start with `lead`, or None where they may differ."""
    count = shape.count("0")
    digits = iter(lead.removeprefix("+").ljust(count, "0"))
    stand_in = "".join(next(digits) if sign == "0" else sign for sign in shape)
    if depends_on_every_digit(stand_in) or any(sign.isdecimal() and sign != "0" for sign in shape):
        return None
    # Other countries have their own rules for extensions, so there may be nothing but digits.
    if is_abroad and not (is_one_number(stand_in) and (lead.startswith("+") or are_alike_abroad(lead, count))):
        return None
    return judge_number(stand_in, several=several)


# --- the same text written differently -------------------------------------------------------------------------------


@cache
def _digits_of_all_scripts() -> dict[str, str]:
    """Digits beyond ASCII, and the plus of full width, and what `judge_number` reads them as."""
    digits = [character for character in map(chr, range(0x80, 0x1_0000)) if character.isdecimal()]
    return {digit: str(int(digit)) for digit in digits} | {"\uff0b": "+"}


def _with_plain_digits(texts: pl.Series) -> pl.Series:
    return texts.str.replace_many(_digits_of_all_scripts())


def _without_spreadsheet_forms(text: pl.Expr) -> pl.Expr:
    """`772123456.0` and `2.56772123456E+11` as the whole numbers they are; a number that was rounded as `2E+11`."""
    scientific = text.str.extract_groups(r"^\+?([1-9])(?:[.,]([0-9]*))?[Ee]\+?([0-9]{1,2})$").struct
    digits = scientific.field("1") + scientific.field("2").fill_null("")
    length = scientific.field("3").cast(pl.Int64) + 1
    is_whole = (digits.str.len_bytes() >= length) & (digits.str.slice(length).str.strip_chars("0") == "")
    return pl.coalesce(
        pl.when(digits.is_not_null()).then(pl.when(is_whole).then(digits.str.head(length)).otherwise(pl.lit("2E+11"))),
        text.str.replace(r"^(\+?[0-9]{6,})\.00?$", "${1}"),
    )


_COMPLETE = r"(?:(?:\+|00)?256[ -]?)?0?[2-9](?:[ -]?[0-9]){8}"
_LIST = rf"^\s*{_COMPLETE}(?:\s*(?:\s|[/,;&|\\]|or|and)\s*{_COMPLETE})+\s*$"


def _one_list_for_all(text: pl.Expr) -> pl.Expr:
    """One and the same list of numbers in the place of every list that is plainly one."""
    return pl.when(text.str.contains(_LIST)).then(pl.lit("0772000000/0772000000")).otherwise(text)


# --- what decides a verdict ------------------------------------------------------------------------------------------

# What stands in front of the national digits.
_FRONT = r"^((?:(?:\+|000?)?256|\+|000?)?0?)([1-9][0-9]*)$"
_OF_UGANDA = [country + zero for country in ("", "256", "+256", "00256", "000256") for zero in ("", "0")]
# Fewer digits may be a short code; more may be two numbers, with a plus among them.
_FEWEST_DIGITS, _MOST_DIGITS = 6, 16
_ABROAD_DIGITS = 6  # of a number of another country, code and all: enough to tell its kind


def _with_lead(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `lead`: the first digits, after which no other digit can change the verdict; null where one may.

    Also `national`, the digits after zeros and codes, and `network`, of a good number of Uganda.
    """
    digits, front, national = pl.col("digits"), pl.col("front"), pl.col("national")
    prefixes = prefix_verdicts()
    # The country's code without a plus is one only in front of more digits than a number has.
    is_bare = digits.str.starts_with(str(CALLING_CODE)) & (digits.str.len_bytes() <= NATIONAL_DIGITS)
    groups = digits.str.extract_groups(_FRONT).struct
    rows = rows.with_columns(
        front=pl.when(is_bare).then(pl.lit("")).otherwise(groups.field("1").fill_null("")),
        national=pl.when(is_bare).then(digits).otherwise(groups.field("2")),
    )
    rows = rows.with_columns(prefix=national.str.head(PREFIX_DIGITS), length=national.str.len_bytes())
    number = pl.col("prefix").cast(pl.Int64)
    rows = rows.with_columns(
        decided=pl.lit(prefixes["decided"]).gather(number),
        mobile=pl.lit(prefixes["good"]).gather(number),
        network=pl.lit(prefixes["network_guess"]).gather(number),
    )
    length, prefix = pl.col("length"), pl.col("prefix")
    any_mobile = pl.when("mobile").then(pl.lit(_a_mobile_prefix())).otherwise(prefix)
    of_uganda = front.is_in(_OF_UGANDA)
    is_longer = length > NATIONAL_DIGITS
    has_code_again = national.str.starts_with(str(CALLING_CODE))  # and then zeros, or it would be part of the front
    lead = (
        # The prefix decides.
        pl.when(of_uganda & (length == NATIONAL_DIGITS))
        .then(pl.when("decided").then(front + any_mobile))
        # The length decides, but a longer number without anything in front may be one of another country …
        .when(of_uganda & is_impossible_length(length) & ((front != "") | ~is_longer))
        .then(front + any_mobile)
        # … unless it starts with a mobile number.
        .when((front == "") & is_longer & ~has_code_again & pl.col("mobile"))
        .then(prefix)
    )
    abroad = (
        # The country's code decides.
        pl.when((front == "+") & (length >= 8) & ~has_code_again)
        .then(front + prefix)
        # Whether there is such a number decides.
        .when(front.is_in(["", "00", "000"]) & is_longer & ~has_code_again & pl.col("decided"))
        .then(front + national.str.head(_ABROAD_DIGITS))
    )
    can_tell = digits.str.len_bytes().is_between(_FEWEST_DIGITS, _MOST_DIGITS)
    return rows.with_columns(lead=pl.when(can_tell).then(pl.coalesce(lead, abroad)), is_abroad=lead.is_null())


@cache
def _a_mobile_prefix() -> str:
    """The prefix that speaks for all mobile numbers."""
    number: int = prefix_verdicts()["good"].arg_max() or 0
    return f"{number:0{PREFIX_DIGITS}}"
