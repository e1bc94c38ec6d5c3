"""What each person is sent, and how many segments that takes: whole frames, eager or lazy.

`render_messages` writes the texts, `measure_messages` counts them. The rules are those of `pipelines.templates` and
`pipelines.segments`; here stands how polars follows them quickly. What is too long is turned down by the schema
`priced` of `pipelines.schemas`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import polars as pl

from mambo_io.errors import InputError
from pipelines.frames import change_some
from pipelines.reasons import Reason
from pipelines.segments import BASIC, EXTENSION, PART, SINGLE, Encoding, measure, smart_encode
from pipelines.templates import BLANK, SPREADSHEET_ERROR, Field, Template

FrameT = TypeVar("FrameT", pl.DataFrame, pl.LazyFrame)


def _class(characters: str) -> str:
    """The inside of a character class for polars' regular expressions (Rust), every character as its code point."""
    return "".join(rf"\x{{{ord(character):X}}}" for character in characters)


_OUTSIDE = f"[^{_class(BASIC + EXTENSION)}]"
_NOT_BASIC = f"[^{_class(BASIC)}]"
# Characters that take two units, and one of them with another character in front.
_DOUBLE = {Encoding.GSM_7: f"[{_class(EXTENSION)}]", Encoding.UCS_2: r"[\x{10000}-\x{10FFFF}]"}
_PARTS_AT_ONCE = 20  # what is longer is no message, and is scanned by itself
_TWO_FOR_A_PAIR = {Encoding.GSM_7: "\x1b€", Encoding.UCS_2: "\x1b\N{GRINNING FACE}"}


def render_messages(frame: FrameT, template: Template, *, smart_encoding: bool = False) -> FrameT:
    """Add `message` (String), null where the row is rejected, and set `reject_reason` (String, added where absent).

    Cells are stripped of surrounding white space and invisible characters. One that is empty or holds a spreadsheet's
    error (`#N/A`) takes the field's default, and without a default the row is `missing_merge_field`. What comes out is
    stripped the same way, and is `empty_message` if nothing is left. A reason that stands already stays. What a cell
    holds is never read as a template. InputError before any row is read if the template names a column that `frame`
    lacks.
    """
    template.check_columns(frame.collect_schema().names())
    written = "".join(
        "{}" if isinstance(part, Field) else part.replace("{", "{{").replace("}", "}}") for part in template.parts
    )
    text = pl.format(written, *(_cell(part) for part in template.parts if isinstance(part, Field)))
    text = text.map_batches(_with_line_feeds, return_dtype=pl.String(), is_elementwise=True)
    if not _has_solid_ends(template):
        text = text.map_batches(_stripped, return_dtype=pl.String(), is_elementwise=True)
    if smart_encoding:
        outside = pl.when(text.str.contains(_OUTSIDE)).then(text)
        text = pl.coalesce(each_distinct(outside, smart_encode, pl.String()), text)
    message = pl.col("message")
    rendered = _reject(
        frame.with_columns(message=text),
        pl.when(message.is_null())
        .then(pl.lit(Reason.MISSING_MERGE_FIELD.value))
        .when(message == "")
        .then(pl.lit(Reason.EMPTY_MESSAGE.value)),
    )
    return rendered.with_columns(message=pl.when(pl.col("reject_reason").is_null()).then(message))


def measure_messages(frame: FrameT, *, column: str = "message") -> FrameT:
    """Add `encoding` (String, "GSM-7" or "UCS-2"), `units` (Int64) and `segments` (Int64); null where `column` is null.

    `units` are septets with escapes, or UTF-16 code units; an empty text has 0 segments. Says what
    `pipelines.segments.measure` says of each text, exactly. InputError if `frame` has no such column.
    """
    if column not in frame.collect_schema().names():
        raise InputError("the frame has no such column", column=column, fix="Say which one holds the text: `column=…`.")
    if isinstance(frame, pl.DataFrame):  # in batches, side by side
        return measure_messages(frame.lazy(), column=column).collect()
    name = "measure"
    while name in frame.collect_schema():  # a column of the user's own
        name += "_"
    text = pl.col(column).cast(pl.String)
    return (
        frame.with_columns(text.map_batches(_measured, return_dtype=_MEASURE, is_elementwise=True).alias(name))
        .with_columns(pl.col(name).struct.unnest())
        .drop(name)
    )


_MEASURE = pl.Struct({"encoding": pl.String, "units": pl.Int64, "segments": pl.Int64})


def _measured(texts: pl.Series) -> pl.Series:
    """encoding, units and segments of each text, as structs. Most texts have only characters of one septet each."""
    part, single, units = PART[Encoding.GSM_7], SINGLE[Encoding.GSM_7], pl.col("units")
    measured = (
        texts.to_frame("text")
        .select(
            encoding=pl.when(pl.col("text").is_not_null()).then(pl.lit(Encoding.GSM_7.value)),
            units=pl.col("text").str.len_chars().cast(pl.Int64),
        )
        .with_columns(
            segments=pl.when(units > single).then((units + part - 1) // part).otherwise((units > 0).cast(pl.Int64))
        )
    )
    others = texts.str.contains(_NOT_BASIC).arg_true()
    if len(others):
        closely = _measured_closely(texts.gather(others))
        measured = measured.select(each.scatter(others, closely[each.name]) for each in measured)
    return measured.to_struct(texts.name)


def _measured_closely(texts: pl.Series) -> pl.DataFrame:
    """The same of texts with any characters; none is null."""
    text, encoding = pl.col("text"), pl.col("encoding")
    return (
        texts.to_frame("text")
        .with_columns(
            encoding=pl.when(text.str.contains(_OUTSIDE))
            .then(pl.lit(Encoding.UCS_2.value))
            .otherwise(pl.lit(Encoding.GSM_7.value))
        )
        .with_columns(units=text.str.len_chars().cast(pl.Int64) + _pairs(text))
        .select(
            "encoding",
            "units",
            segments=pl.when(encoding == Encoding.GSM_7.value)
            .then(_segments(text, Encoding.GSM_7))
            .otherwise(_segments(text, Encoding.UCS_2)),
        )
    )


def _pairs(text: pl.Expr) -> pl.Expr:
    """How many characters of a text take two units, by the column `encoding`."""
    gsm_7 = pl.when(pl.col("encoding") == Encoding.GSM_7.value).then(text)
    # A character beyond the first 65,536 takes four bytes of UTF-8, three more than it counts for.
    may_hold = text.str.len_bytes().cast(pl.Int64) - text.str.len_chars() >= 3
    ucs_2 = pl.when((pl.col("encoding") == Encoding.UCS_2.value) & may_hold).then(text)
    return pl.coalesce(
        gsm_7.str.count_matches(_DOUBLE[Encoding.GSM_7]),
        ucs_2.str.count_matches(_DOUBLE[Encoding.UCS_2]),
        0,
    ).cast(pl.Int64)


def _segments(text: pl.Expr, encoding: Encoding) -> pl.Expr:
    """Segments from the columns `encoding` and `units`, without a look at the text, but where the cuts decide.

    A part that ends before a pair wastes one unit and no more. So there are at least units / part parts and at most
    units / (part - 1), and no more than if each pair had wasted one, all rounded up. Where these differ it is packed.
    """
    part, units = PART[encoding], pl.col("units")
    pairs = units - text.str.len_chars()
    least = (units + part - 1) // part
    most = pl.min_horizontal((units + part - 2) // (part - 1), (units + pairs + part - 1) // part)
    undecided = (pl.col("encoding") == encoding.value) & (units > SINGLE[encoding]) & (least != most)
    packed = (
        pl.when(undecided)
        .then(text)
        .map_batches(partial(_count_parts, encoding=encoding), return_dtype=pl.Int64, is_elementwise=True)
    )
    return pl.when(units == 0).then(0).when(units <= SINGLE[encoding]).then(1).otherwise(pl.coalesce(packed, least))


def _count_parts(texts: pl.Series, *, encoding: Encoding) -> pl.Series:
    """The parts of each text, filled one after the other, those of all texts at once; null stays null."""
    counts = pl.Series(texts.name, [None], dtype=pl.Int64).new_from_index(0, len(texts))
    rest = pl.col("rest")
    # Two characters stand for each pair, so that a unit is a character. Where a part would end between them, the second
    # one comes next.
    is_cut = rest.str.slice(PART[encoding], 1).str.contains(_DOUBLE[encoding])
    left = (
        texts.to_frame("rest")
        .with_row_index("row")
        .drop_nulls()
        .with_columns(rest.str.replace_all(_DOUBLE[encoding], _TWO_FOR_A_PAIR[encoding]))
    )
    for parts in range(1, _PARTS_AT_ONCE + 1):
        if left.is_empty():
            break
        left = left.with_columns(rest.str.slice(PART[encoding] - is_cut.cast(pl.Int64)))
        counts = counts.scatter(left.filter(rest == "")["row"], parts)
        left = left.filter(rest != "")
    long = texts.gather(left["row"])
    return counts.scatter(left["row"], pl.Series([measure(text).segments for text in long], dtype=pl.Int64))


def _cell(field: Field) -> pl.Expr:
    """What a field writes: null where the cell is empty and there is no default."""
    value = pl.col(field.column).cast(pl.String).map_batches(_filled_in, return_dtype=pl.String(), is_elementwise=True)
    return value if field.default is None else value.fill_null(field.default)


def _with_line_feeds(texts: pl.Series) -> pl.Series:
    """An LF for every line break."""
    has_other = texts.str.contains("\r", literal=True)
    return change_some(texts, has_other, lambda some: some.str.replace_all(r"\r\n?", "\n"))


def _filled_in(cells: pl.Series) -> pl.Series:
    """What cells say: stripped, and null where that is nothing, or an error of a spreadsheet."""
    may_be_empty = _may_have_blank_ends(cells, below="$") | cells.str.starts_with("Err:")  # `#` is below `$`

    def said(some: pl.Series) -> pl.Series:
        stripped = some.str.strip_chars(BLANK)
        return stripped.set((stripped == "") | stripped.str.contains(SPREADSHEET_ERROR), None)

    return change_some(cells, may_be_empty, said)


def _stripped(texts: pl.Series) -> pl.Series:
    """Without `BLANK` characters at the ends."""
    return change_some(texts, _may_have_blank_ends(texts), lambda some: some.str.strip_chars(BLANK))


def _may_have_blank_ends(texts: pl.Series, *, below: str = "!") -> pl.Series:
    """`BLANK` characters are up to the space in ASCII, which is below `!`, or beyond ASCII."""
    return (texts < below) | (texts.str.tail(1) < "!") | (texts.str.len_bytes() != texts.str.len_chars())


def _has_solid_ends(template: Template) -> bool:
    """Whether no text of this template can begin or end with a blank."""
    return all(isinstance(part, str) and part.strip(BLANK) == part for part in (template.parts[0], template.parts[-1]))


def _reject(frame: FrameT, reason: pl.Expr) -> FrameT:
    """`reject_reason` becomes `reason` (null: none) where no reason stands yet."""
    stands = "reject_reason" in frame.collect_schema().names()
    return frame.with_columns(reject_reason=pl.coalesce("reject_reason", reason) if stands else reason)


def each_distinct(expr: pl.Expr, function: Callable[[str], object], dtype: pl.DataType) -> pl.Expr:
    """`function` of every text, called once for each distinct one of a batch; null stays null."""

    def of_batch(texts: pl.Series) -> pl.Series:
        distinct = texts.drop_nulls().unique()
        if distinct.is_empty():
            return pl.Series(texts.name, [None], dtype=dtype).new_from_index(0, len(texts))
        results = pl.Series([function(text) for text in distinct], dtype=dtype)
        return texts.replace_strict(distinct, results, default=None, return_dtype=dtype)

    return expr.map_batches(of_batch, return_dtype=dtype, is_elementwise=True)
