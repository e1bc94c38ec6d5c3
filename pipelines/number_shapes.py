"""Cells of a telephone column that are more than bare digits, judged by what they look like.

The rules of `judge_number` look at signs and letters, at how many digits stand where, and at few of the digits: zeros
and 256 in front, and the prefix. Two cells that differ in other digits only have one verdict. So each kind of cell is
asked about once, with a stand-in: `Tel: 0772 000000 (Jane)` speaks for `Tel: 0701 234567 (Jane)`. No rule is written
twice. What makes it true is decided in `_lead`, and a cell for which it cannot be shown is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

import polars as pl

from pipelines.frames import REASONS, change_some
from pipelines.number_prefixes import (
    NATIONAL_DIGITS,
    PREFIX_DIGITS,
    are_alike_abroad,
    is_impossible_length,
    networks,
    prefix_verdicts,
)
from pipelines.number_rules import (
    CALLING_CODE,
    NumberVerdict,
    Several,
    depends_on_every_digit,
    is_one_number,
    judge_number,
    with_plain_digits,
    without_exponent,
)

_REMEMBERED = 10_000  # verdicts: a column comes in batches, and what it repeats stands in each of them
_KIND = ["shape", "front", "start"]


def judge_shapes(texts: pl.Series, *, several: Several) -> pl.DataFrame:
    """What `judge_number` says of each text; null is missing.

    Out: `national` (Int64: the nine digits of a good number) or `reject_reason` (`REASONS`), and `network_guess`
    (`networks()`) where the prefix does not tell it.
    """
    rows = _plainer(texts.fill_null(""), several).to_frame("text")
    for step in _steps():
        rows = rows.with_columns(step)
    rows = rows.select("text", "national", *_KIND)

    kinds = rows.select(_KIND).drop_nulls("shape").unique()
    verdicts = [_judge_kind(*kind, several) for kind in kinds.rows()]
    kinds = kinds.with_columns(
        pl.Series("good", [verdict and verdict.reason is None for verdict in verdicts], dtype=pl.Boolean),
        pl.Series("reject_reason", [verdict and verdict.reason for verdict in verdicts], dtype=REASONS),
    )
    of_kind = rows.join(kinds, on=_KIND, how="left", nulls_equal=True, maintain_order="left")

    left = of_kind["good"].is_null().arg_true()
    alone = _judge_each(of_kind["text"].gather(left), several)
    national = of_kind.select(pl.when("good").then("national").cast(pl.Int64)).to_series()
    network = pl.Series("network_guess", [None], dtype=networks()).new_from_index(0, len(texts))
    return pl.DataFrame(
        [
            national.scatter(left, alone["national"]),
            network.scatter(left, alone["network_guess"]),
            of_kind["reject_reason"].scatter(left, alone["reject_reason"]),
        ]
    )


def _judge_each(texts: pl.Series, several: Several) -> pl.DataFrame:
    """The same columns for texts that are no kind, each distinct one judged once."""
    distinct = texts.unique()
    verdicts = [_judge(text, several) for text in distinct]
    numbers = [verdict.e164 and int(verdict.e164.removeprefix(f"+{CALLING_CODE}")) for verdict in verdicts]
    judged = pl.DataFrame(
        {
            "text": distinct,
            "national": numbers,
            "network_guess": [verdict.network_guess for verdict in verdicts],
            "reject_reason": [verdict.reason for verdict in verdicts],
        },
        schema={"text": pl.String, "national": pl.Int64, "network_guess": networks(), "reject_reason": REASONS},
    )
    return texts.to_frame("text").join(judged, on="text", how="left", maintain_order="left")


@lru_cache(_REMEMBERED)
def _judge(text: str, several: Several) -> NumberVerdict:
    return judge_number(text, several=several)


# --- the same said more plainly --------------------------------------------------------------------------------------

_COMPLETE = r"(?:(?:\+|00)?256[ -]?)?0?[2-9](?:[ -]?[0-9]){8}"
_LIST = rf"^\s*{_COMPLETE}(?:\s*(?:\s|[/,;&|\\]|or|and)\s*{_COMPLETE})+\s*$"


def _plainer(texts: pl.Series, several: Several) -> pl.Series:
    """Other texts with the same verdicts, of fewer kinds."""
    # Digits of other scripts, and a plus of full width.
    texts = _replaced(texts, r"[\p{Nd}--0-9]|\x{FF0B}", lambda some: _each(some, with_plain_digits))
    texts = _replaced(texts, "[0-9.,][Ee][+0-9]", lambda some: _each(some, without_exponent))
    texts = _replaced(texts, r"^\+?[0-9]{6,}\.00?$", lambda some: some.str.strip_chars_end("0").str.head(-1))
    if several == "reject":  # one and the same list in the place of every list that is plainly one
        texts = _replaced(texts, _LIST, lambda _: pl.Series(["0772000000/0772000000"]))
    return texts


def _replaced(texts: pl.Series, pattern: str, by: Callable[[pl.Series], pl.Series]) -> pl.Series:
    return change_some(texts, texts.str.contains(pattern), by)


def _each(texts: pl.Series, function: Callable[[str], str]) -> pl.Series:
    return pl.Series([function(text) for text in texts], dtype=pl.String)


# --- kinds -----------------------------------------------------------------------------------------------------------

# What may stand in front of the national digits of a number of Uganda.
_OF_UGANDA = [country + zero for country in ("", "256", "+256", "00256", "000256") for zero in ("", "0")]
# Fewer digits may be a short code; more may be two numbers, with a plus among them.
_ONE_PLUS_AND_DIGITS = r"^\+?[0-9]{6,16}$"
_START_ABROAD = 6  # digits of a number of another country, code and all: enough to tell its kind


@cache  # made once, for a column comes in many batches
def _steps() -> list[list[pl.Expr]]:
    """The columns of a text's kind, each step from those before it.

    `shape` is the text with its digits as zeros, `front` are zeros and codes in front, and `start` the first of the
    national digits; null in the place of every prefix of mobile numbers, and where the text is no kind at all.
    `national` are all of these digits.
    """
    text, digits, national, front = pl.col("text"), pl.col("digits"), pl.col("national"), pl.col("front")
    code = str(CALLING_CODE)
    # Without a plus or zeros, the country's code is one only in front of more digits than a number has.
    has_code = pl.any_horizontal(digits.str.starts_with(start + code) for start in ("+", "00", "000")) | (
        digits.str.starts_with(code) & (digits.str.len_bytes() > NATIONAL_DIGITS)
    )
    significant = digits.str.strip_chars_start("+0")
    after_code = pl.when(has_code).then(significant.str.slice(len(code)).str.strip_chars_start("0"))
    is_longer = national.str.len_bytes() > NATIONAL_DIGITS
    prefix = national.str.head(PREFIX_DIGITS)
    start = (
        pl.when(pl.col("mobile") & ~((front == "") & is_longer))
        .then(None)
        .when(is_longer & ~pl.col("mobile"))
        .then(national.str.head(_START_ABROAD))
        .otherwise(prefix)
    )
    return [
        [text.str.replace_all("[^0-9+]+", "").alias("digits")],
        [pl.when(digits.str.contains(_ONE_PLUS_AND_DIGITS)).then(digits).alias("digits")],
        [pl.coalesce(after_code, significant).alias("national")],
        [
            digits.str.head(digits.str.len_bytes() - national.str.len_bytes()).alias("front"),
            prefix.cast(pl.Int64, strict=False).alias("prefix"),
            pl.when(digits.is_not_null()).then(text.str.replace_many(list("123456789"), ["0"])).alias("shape"),
        ],
        [pl.lit(prefix_verdicts()["good"]).gather(pl.col("prefix")).fill_null(False).alias("mobile")],
        [start.alias("start")],
    ]


@lru_cache(_REMEMBERED)
def _judge_kind(shape: str, front: str, start: str | None, several: Several) -> NumberVerdict | None:
    """The verdict on every text of a kind, or None where they may differ."""
    count = shape.count("0")
    lead = _lead(front, start, length=count - len(front.removeprefix("+")))
    if lead is None:
        return None
    digits = iter(lead.removeprefix("+").ljust(count, "0"))
    stand_in = "".join(next(digits) if sign == "0" else sign for sign in shape)
    if depends_on_every_digit(stand_in) or any(sign.isdecimal() and sign != "0" for sign in shape):
        return None
    # Other countries have rules of their own for extensions.
    if len(lead) - len(front) == _START_ABROAD and not is_one_number(stand_in):
        return None
    return judge_number(stand_in, several=several)


def _lead(front: str, start: str | None, *, length: int) -> str | None:
    """The first digits after which no other changes the verdict on a number with so many national digits, or None."""
    prefix = _a_mobile_prefix() if start is None else start[:PREFIX_DIGITS]
    if not prefix:
        return None
    of_prefix = prefix_verdicts().row(int(prefix), named=True)
    if front in _OF_UGANDA and length == NATIONAL_DIGITS:
        return front + prefix if of_prefix["decided"] else None  # the prefix decides
    is_longer = length > NATIONAL_DIGITS
    # The length decides. But a longer number with nothing in front may be one of another country, unless it starts
    # with a mobile number.
    if front in _OF_UGANDA and is_impossible_length(length) and (front or not is_longer or of_prefix["good"]):
        return front + prefix
    if not start or len(start) < _START_ABROAD:
        return None
    if front == "+":
        return front + start  # the country's code decides
    # Whether there is such a number decides.
    if front in ("", "00", "000") and of_prefix["decided"] and are_alike_abroad(front + start, len(front) + length):
        return front + start
    return None


@cache
def _a_mobile_prefix() -> str:
    """The prefix that speaks for all mobile numbers."""
    number: int = prefix_verdicts()["good"].arg_max() or 0
    return f"{number:0{PREFIX_DIGITS}}"
