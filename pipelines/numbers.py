"""Telephone numbers of whole columns: text as people typed it in, E.164, network guess and reason out.

`pipelines.number_rules` says what the rules are; this module applies them to a frame. The common written forms are
decided by polars from `pipelines.number_prefixes`, every other kind of value by `judge_number`, once, see
`pipelines.number_shapes`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from pipelines.frames import REASONS
from pipelines.number_prefixes import (
    NATIONAL_DIGITS,
    NUMBERS_PER_PREFIX,
    PREFIX_DIGITS,
    networks,
    prefix_verdicts,
)
from pipelines.number_rules import CALLING_CODE, Several
from pipelines.number_shapes import judge_shapes
from pipelines.reasons import Reason

FrameT = TypeVar("FrameT", pl.DataFrame, pl.LazyFrame)

# API page, `message_category`: "customised — registered sender ID (MTN / Airtel / UTL)".
CUSTOMISED_NETWORKS = ("MTN", "Airtel", "UTL")


def normalize_numbers(frame: FrameT, *, column: str = "phone", several: Several = "reject") -> FrameT:
    """Add `e164`, `network_guess` and `reject_reason` to a frame; rows and their order stay as they are.

    In: `column` as text. Whole numbers (integers, Float64) are read as if they had been typed. A `reject_reason` that
    is already there stands, and its row gets no number.

    Out, all String: `e164` (`+2567XXXXXXXX`) and `network_guess`, null for rejected rows; `reject_reason`, a code of
    `Reason`, null for good rows. `several` is what becomes of a cell with more numbers than one: see `judge_number`.

    Raises `InputError` for a column that is not there or is of a type that holds no telephone numbers.
    """
    return _with_verdicts(frame, column, partial(_written_out, several=several), _WRITTEN_OUT)


def read_msisdns(frame: pl.LazyFrame, *, column: str, several: Several = "reject") -> pl.LazyFrame:
    """`normalize_numbers` for lists of millions, which have no room for text.

    Adds `msisdn` (Int64, `2567XXXXXXXX`) in the place of `e164`, `network_guess` (`networks()`) and `reject_reason`
    (`REASONS`).
    """
    return _with_verdicts(frame, column, partial(_in_bytes, several=several), _IN_BYTES)


def likely_unsupported(network_guess: str = "network_guess") -> pl.Expr:
    """Boolean: a network for which the API does not document the category `customised`; false without a guess."""
    return ~pl.col(network_guess).is_in(CUSTOMISED_NETWORKS).fill_null(True)


def _as_text(column: str, schema: pl.Schema) -> pl.Expr:
    if column not in schema:
        near = get_close_matches(column, schema.names(), n=3)
        known = f"Did you mean {' or '.join(near)}?" if near else f"The columns are: {', '.join(schema.names())}."
        raise InputError("no such column", column=column, fix=known)
    dtype = schema[column]
    if not (dtype.is_integer() or dtype in (pl.String, pl.Float64, pl.Decimal, pl.Categorical, pl.Enum, pl.Null)):
        # A Float32 holds seven digits, so it has rounded every number already.
        raise InputError(
            f"a column of type {dtype} holds no telephone numbers",
            column=column,
            fix="Give them as text, or as whole numbers.",
        )
    return pl.col(column).cast(pl.String)


# --- a column at once ------------------------------------------------------------------------------------------------

_WRITTEN_OUT = pl.Struct({"e164": pl.String, "network_guess": pl.String, "reject_reason": pl.String})
_IN_BYTES = pl.Struct({"msisdn": pl.Int64, "network_guess": networks(), "reject_reason": REASONS})
_BATCH = 250_000  # rows: enough to make up for what a batch costs, and few enough for memory

# Of the characters that `judge_number` reads over, those that turn up in whole columns (regex classes). A value that
# starts with a dash is left to it: that may be a minus.
_BLANKS = r" \t\r\n\u{a0}\u{2000}-\u{200f}\u{202f}\u{feff}'"
_START = f"^[{_BLANKS}]*[0-9+]"
_BETWEEN_DIGITS = rf"[{_BLANKS}\-\u{{2010}}-\u{{2015}}]+"


def _with_verdicts(frame: FrameT, column: str, judge: Callable[[pl.Series], pl.Series], verdicts: pl.Struct) -> FrameT:
    """Add what `judge` says of the column's texts, structs of the type `verdicts`; an earlier reason stands."""
    schema = frame.collect_schema()
    text = _as_text(column, schema)
    names = [field.name for field in verdicts.fields]
    earlier_reason = []
    if "reject_reason" in schema:
        earlier_reason = [pl.col("reject_reason").cast(verdicts.to_schema()["reject_reason"])]
        text = pl.when(earlier_reason[0].is_null()).then(text)

    # Each value is judged by itself, so the column may be handed over batch by batch, as a streaming engine does.
    if isinstance(frame, pl.DataFrame):
        judged = _side_by_side(frame.select(text).to_series(), judge).struct.unnest()
        reason = pl.coalesce(*earlier_reason, judged["reject_reason"]) if earlier_reason else judged["reject_reason"]
        return frame.with_columns(*(judged[name] for name in names[:-1]), reject_reason=reason)

    name = "verdict"
    while name in schema:  # a column of the user's own
        name += "_"
    verdict = pl.col(name).struct
    return (
        frame.with_columns(text.map_batches(judge, return_dtype=verdicts, is_elementwise=True).alias(name))
        .with_columns(
            *(verdict.field(each) for each in names[:-1]),
            reject_reason=pl.coalesce(*earlier_reason, verdict.field("reject_reason")),
        )
        .drop(name)
    )


def _side_by_side(texts: pl.Series, judge: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`judge` of each batch, as many at a time as polars has threads; polars works without Python's lock."""
    batches = [texts.slice(start, _BATCH) for start in range(0, max(1, len(texts)), _BATCH)]
    with ThreadPoolExecutor(pl.thread_pool_size()) as threads:
        return pl.concat(list(threads.map(judge, batches)))


def _in_bytes(texts: pl.Series, *, several: Several) -> pl.Series:
    """`_judged` with the number as it is dialled from abroad, as structs."""
    msisdn = pl.col("national") + CALLING_CODE * 10**NATIONAL_DIGITS
    return (
        _judged(texts, several).select(msisdn.alias("msisdn"), "network_guess", "reject_reason").to_struct(texts.name)
    )


def _written_out(texts: pl.Series, *, several: Several) -> pl.Series:
    """`_judged` as text, as structs."""
    prefix, rest = pl.col("national") // NUMBERS_PER_PREFIX, pl.col("national") % NUMBERS_PER_PREFIX
    starts = pl.lit(prefix_verdicts()["e164_start"])
    return (
        _judged(texts, several)
        .select(
            pl.format("{}{}", starts.gather(prefix), pl.lit(_numbers_of_a_prefix()).gather(rest)).alias("e164"),
            pl.col("network_guess", "reject_reason").cast(pl.String),
        )
        .to_struct(texts.name)
    )


def _judged(texts: pl.Series, several: Several) -> pl.DataFrame:
    """The verdicts on a column of text; null is missing.

    Out: `national` (Int64: the nine digits of a good number) and `network_guess` (`networks()`), or `reject_reason`
    (`REASONS`).

    Most values are nothing but digits. What is not decided by them goes a longer way: without spaces and dashes first,
    then to `judge_shapes`.
    """
    text = pl.col("text")
    national = _national_number(texts)
    left = national.is_null().arg_true()
    spaced = texts.gather(left).to_frame("text")
    compact = spaced.select(pl.when(text.str.contains(_START)).then(text.str.replace_all(_BETWEEN_DIGITS, "")))
    national = national.scatter(left, _national_number(compact.to_series()))
    left = national.is_null().arg_true()
    shaped = judge_shapes(texts.gather(left), several=several)
    national = national.scatter(left, shaped["national"])

    of_prefix = prefix_verdicts()
    prefix = national // NUMBERS_PER_PREFIX
    network, reason = of_prefix["network_guess"].gather(prefix), of_prefix["reject_reason"].gather(prefix)
    told = shaped["network_guess"].is_not_null().arg_true()
    if len(told):
        network = network.scatter(left.gather(told), shaped["network_guess"].gather(told))
    reason = reason.scatter(left, shaped["reject_reason"])
    return pl.DataFrame({"national": national, "network_guess": network, "reject_reason": reason}).with_columns(
        pl.when(pl.col("reject_reason").is_null()).then("national").alias("national")
    )


@cache
def _numbers_of_a_prefix() -> pl.Series:
    """The digits that follow a prefix, `00000` to `99999`: looking a text up is faster than writing a number."""
    return pl.Series([f"{number:0{NATIONAL_DIGITS - PREFIX_DIGITS}}" for number in range(NUMBERS_PER_PREFIX)])


def _national_number(texts: pl.Series) -> pl.Series:
    """The nine national digits of each text that is a number in a common form with a prefix that decides it.

    `772123456`, `0772123456`, `256772123456`, `+256772123456`; null for everything else.
    """
    text, national = pl.col("text"), pl.col("national")
    length = text.str.len_bytes()
    in_front = pl.lit(_in_front()).gather(length.clip(upper_bound=len(_in_front()) - 1))
    # The cast reads a sign as well. Where none may be there are fewer digits, but for `+772123456` and its like.
    fits = (text < "0") == (length == len("+256772123456"))
    # What begins with a zero is not decided.
    decided = pl.lit(prefix_verdicts()["decided"]).gather(national // NUMBERS_PER_PREFIX)
    return (
        texts.to_frame("text")
        .select(national=text.cast(pl.Int64, strict=False) - in_front, fits=fits)
        .select(national=pl.when(pl.col("fits") & national.is_between(0, 10**NATIONAL_DIGITS - 1)).then(national))
        .select(pl.when(decided).then(national))
        .to_series()
    )


@cache
def _in_front() -> pl.Series:
    """What stands before the national digits of a common form, as a part of the number, by the length of the text."""
    code = CALLING_CODE * 10**NATIONAL_DIGITS
    by_length = {len("772123456"): 0, len("0772123456"): 0, len("256772123456"): code, len("+256772123456"): code}
    return pl.Series([by_length.get(length) for length in range(max(by_length) + 2)], dtype=pl.Int64)


# --- which column, and is it sound -----------------------------------------------------------------------------------

PHONE_HEADER = re.compile(
    r"(?:phone|telephone|tel|mobile|mob|cell|msisdn|contact|number|whatsapp|essimu)+s?(?:no|nos|num|number|numbers)?"
)
PHONE_SAMPLE_ROWS = 1_000


def find_phone_column(frame: pl.DataFrame, file: Path, *, header: re.Pattern[str] = PHONE_HEADER) -> str:
    """The one column that is plainly the phone column: by its header, and most of its filled cells hold a number.

    Headers such as `phone`, `Tel. No`, `MOBILE NUMBER`, `msisdn`, `phone_no`, `Contact`, `Phone 2`; the first thousand
    rows are looked at. `header` is what a name has to look like, in small letters, without signs and a number at its
    end. Raises `InputError`, which names the columns and the key that settles it, when there is none or more than one.
    """
    # Of two columns `phone` the reader makes `phone_1` and `phone_2`, and people number theirs, too.
    plain = {name: re.sub(r"[\W_]", "", name.lower()).rstrip("0123456789") for name in frame.columns}
    by_name = [name for name in plain if header.fullmatch(plain[name])]
    found = [name for name in by_name if _holds_numbers(frame.select(name).head(PHONE_SAMPLE_ROWS))]
    match found:
        case [column]:
            return column
        case []:
            problem = "no column is plainly the phone column"
            if by_name:
                problem += f" ({', '.join(by_name)}: most cells are no telephone numbers)"
            choices = frame.columns
            lower = " If the column names stand in a lower row, say which: header_row = 2."
        case _:
            problem = "more than one column may be the phone column"
            choices = found
            lower = ""
    fix = f'Say which in the campaign file: [recipients] phone = "…", one of: {", ".join(choices)}.{lower}'
    raise InputError(mask_text(problem), file=file, fix=mask_text(fix))


def _holds_numbers(column: pl.DataFrame) -> bool:
    name = column.columns[0]
    try:
        judged = normalize_numbers(column, column=name)
    except InputError:  # a column of dates, say
        return False
    filled = judged.filter(pl.col("reject_reason").ne_missing(Reason.MISSING.value))
    digits = filled[name].cast(pl.String).str.count_matches(r"\d")
    return 2 * digits.is_between(7, 40).sum() > filled.height


_OFTEN_ROUND = 1 / 200  # the share of numbers ending in 000 from which one may suspect a spreadsheet


def rounding_suspicion(frame: pl.DataFrame) -> int | None:
    """How many rows have a `msisdn` that ends in 000, if so many that a spreadsheet must have rounded the column.

    One number in a thousand ends so by chance. Leaving room for numbers chosen to be remembered, suspicion starts where
    a share of one in 200 would bring as many with a probability below one in a million: 3 of 3 numbers, 4 of 10, 8 of
    100, 21 of 1,000. Each number counts once (rounding makes people share one); the answer counts rows.
    """
    ends_in_000 = pl.col("msisdn") % 1_000 == 0
    rows, about_distinct = frame.select(ends_in_000.sum(), pl.col("msisdn").approx_n_unique().alias("distinct")).row(0)
    if rows < _OFTEN_ROUND * about_distinct / 2:
        return None  # far from it: no need to count exactly
    suspects, distinct = frame.select(
        pl.col("msisdn").filter(ends_in_000).n_unique(), pl.col("msisdn").drop_nulls().n_unique().alias("distinct")
    ).row(0)
    if _binomial_tail(suspects, distinct, share=_OFTEN_ROUND) > 1e-6:
        return None
    return int(frame.select(ends_in_000.sum()).item())


def _binomial_tail(successes: int, trials: int, *, share: float) -> float:
    """An upper bound of the probability of at least so many successes (Chernoff: exp(-n D(k/n || p)))."""
    if successes <= share * trials:
        return 1.0
    observed = successes / trials
    divergence = observed * math.log(observed / share)
    if observed < 1:
        divergence += (1 - observed) * math.log((1 - observed) / (1 - share))
    return math.exp(-trials * divergence)
