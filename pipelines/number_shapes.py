"""Cells of a telephone column that are more than bare digits, judged by what they look like.

The rules of `judge_number` look at signs and letters, at how many digits stand where, and at few of the digits: zeros
and 256 in front, and the prefix. Two cells that differ in other digits only have one verdict. So each kind of cell is
asked about once, with a stand-in: `Tel: 0772 000000 (Jane)` speaks for `Tel: 0701 234567 (Jane)`. No rule is written
twice. What makes it true is decided in `_with_lead`, and a cell for which it cannot be shown is judged by itself.
"""

from __future__ import annotations

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
    """What `judge_number` says of each text (null is missing): `e164`, `network_guess`, `reject_reason`, all String."""
    text, lead = pl.col("text"), pl.col("lead")
    rows = (
        pl.DataFrame({"text": _with_plain_digits(texts.fill_null(""))})
        .pipe(_without_spreadsheet_forms)
        .with_columns(_one_list_for_all(text) if several == "reject" else text)
        .with_columns(digits=text.str.replace_all("[^0-9+]+", ""))
        .pipe(_with_lead)
        .with_columns(shape=pl.when(lead.is_not_null()).then(text.str.replace_many(list("123456789"), ["0"])))
        .select("text", "national", "network", "shape", "lead", "is_abroad")
    )
    kinds = rows.select("shape", "lead", "is_abroad").drop_nulls("lead").unique()
    asked = _table([_judge_stand_in(*kind, several) for kind in kinds.rows()])
    rows = rows.join(kinds.hstack(asked), on=["shape", "lead"], how="left", maintain_order="left")
    verdicts = rows.select(
        e164=pl.when("good").then(f"+{CALLING_CODE}" + pl.col("national")),
        network_guess=pl.when("good").then("network"),
        reject_reason="reject_reason",
    )

    left = rows["good"].is_null().arg_true()
    alone = rows.select("text")[left]
    values = alone.unique()
    judged = values.hstack(_table([_judge(value, several) for value in values["text"]]))
    judged = alone.join(judged, on="text", how="left", maintain_order="left")
    return pl.DataFrame([verdicts[name].scatter(left, judged[name]) for name in verdicts.columns])


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
    is_ascii = texts.str.len_bytes() == texts.str.len_chars()
    return texts if is_ascii.all() else texts.str.replace_many(_digits_of_all_scripts())


def _without_spreadsheet_forms(rows: pl.DataFrame) -> pl.DataFrame:
    """`772123456.0` and `2.56772123456E+11` as the whole numbers they are; a number that was rounded as `2E+11`."""
    text, unusual, digits = pl.col("text"), pl.col("unusual"), pl.col("first") + pl.col("others").fill_null("")
    length = pl.col("exponent").cast(pl.Int64) + 1
    is_whole = (digits.str.len_bytes() >= length) & (digits.str.slice(length).str.strip_chars("0") == "")
    return (
        rows.with_columns(unusual=pl.when(text.str.contains("[.Ee]")).then(text))
        .with_columns(groups=unusual.str.extract_groups(_SCIENTIFIC))
        .unnest("groups")
        .select(
            text=pl.when(digits.is_not_null())
            .then(pl.when(is_whole).then(digits.str.head(length)).otherwise(pl.lit("2E+11")))
            .when(unusual.str.contains(_POINT_ZERO))
            .then(unusual.str.strip_chars_end("0").str.head(-1))
            .otherwise(text)
        )
    )


_SCIENTIFIC = r"^\+?(?P<first>[1-9])(?:[.,](?P<others>[0-9]*))?[Ee]\+?(?P<exponent>[0-9]{1,2})$"
_POINT_ZERO = r"^\+?[0-9]{6,}\.00?$"
_COMPLETE = r"(?:(?:\+|00)?256[ -]?)?0?[2-9](?:[ -]?[0-9]){8}"
_LIST = rf"^\s*{_COMPLETE}(?:\s*(?:\s|[/,;&|\\]|or|and)\s*{_COMPLETE})+\s*$"


def _one_list_for_all(text: pl.Expr) -> pl.Expr:
    """One and the same list of numbers in the place of every list that is plainly one."""
    return pl.when(text.str.contains(_LIST)).then(pl.lit("0772000000/0772000000")).otherwise(text)


# --- what decides a verdict ------------------------------------------------------------------------------------------

# What may stand in front of the national digits.
_OF_UGANDA = [country + zero for country in ("", "256", "+256", "00256", "000256") for zero in ("", "0")]
_BEFORE_CODES = ["", "00", "000"]
# Fewer digits may be a short code; more may be two numbers, with a plus among them.
_ONE_PLUS_AND_DIGITS = r"^\+?[0-9]{6,16}$"
_ABROAD_DIGITS = 6  # of a number of another country, code and all: enough to tell its kind


def _with_lead(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `lead`: the first digits, after which no other digit can change the verdict; null where one may.

    Also `national`, the digits after zeros and codes, and `network`, of a good number of Uganda.
    """
    digits, national, front = pl.col("digits"), pl.col("national"), pl.col("front")
    prefix, length = pl.col("prefix"), national.str.len_bytes()
    code = str(CALLING_CODE)
    # Without a plus or zeros, the country's code is one only in front of more digits than a number has.
    has_code = pl.any_horizontal(digits.str.starts_with(start + code) for start in ("+", "00", "000")) | (
        digits.str.starts_with(code) & (digits.str.len_bytes() > NATIONAL_DIGITS)
    )
    significant = digits.str.strip_chars_start("+0")
    after_code = pl.when(has_code).then(significant.str.slice(len(code)).str.strip_chars_start("0"))
    is_longer = length > NATIONAL_DIGITS
    of_uganda = (
        # The prefix decides.
        pl.when(length == NATIONAL_DIGITS)
        .then("decided")
        # The length decides, but a longer number with nothing in front may be one of another country …
        .otherwise(is_impossible_length(length) & ((front != "") | ~is_longer))
    )
    kept = (
        pl.when(front.is_in(_OF_UGANDA) & of_uganda)
        .then(pl.when("mobile").then(pl.lit(_a_mobile_prefix())).otherwise(prefix))
        # … unless it starts with a mobile number.
        .when((front == "") & is_longer & pl.col("mobile"))
        .then(prefix)
    )
    kept_abroad = (
        # The country's code decides.
        pl.when((front == "+") & (length >= 8))
        .then(prefix)
        # Whether there is such a number decides.
        .when(front.is_in(_BEFORE_CODES) & is_longer & pl.col("decided"))
        .then(national.str.head(_ABROAD_DIGITS))
    )
    prefixes = prefix_verdicts()
    return (
        rows.with_columns(digits=pl.when(digits.str.contains(_ONE_PLUS_AND_DIGITS)).then(digits))
        .with_columns(national=pl.coalesce(after_code, significant))
        .with_columns(front=digits.str.head(digits.str.len_bytes() - length), prefix=national.str.head(PREFIX_DIGITS))
        .with_columns(number=prefix.cast(pl.Int64, strict=False))
        .with_columns(
            decided=pl.lit(prefixes["decided"]).gather(pl.col("number")),
            mobile=pl.lit(prefixes["good"]).gather(pl.col("number")),
            network=pl.lit(prefixes["network_guess"]).gather(pl.col("number")),
        )
        .with_columns(kept=kept, kept_abroad=kept_abroad)
        .with_columns(
            lead=front + pl.coalesce("kept", "kept_abroad"),
            is_abroad=pl.col("kept").is_null(),
        )
    )


@cache
def _a_mobile_prefix() -> str:
    """The prefix that speaks for all mobile numbers."""
    number: int = prefix_verdicts()["good"].arg_max() or 0
    return f"{number:0{PREFIX_DIGITS}}"
