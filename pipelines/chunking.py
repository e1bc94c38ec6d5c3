"""Which recipient goes into which API call.

One call carries one text, so recipients are grouped by their text. Calls that may be under way together have different
sizes: when the answer of one is lost, the balance tells by the amount which of them was charged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import accumulate

import polars as pl

CANARY_TRIES = 3  # when nobody in a canary is counted, the next one is tried


@dataclass(frozen=True)
class ChunkPlan:
    """`frame` is the input with `chunk` (Int64, 1 …; null for a rejected row).

    `chunks`: one row per call in the order of sending: chunk, label (which of the sizes; null for an odd one), canary,
    text, encoding, segments, recipients_count, expected_ugx. `canary_calls`: how many counted receipts must agree with
    the estimate before the rest is sent. `texts`: how many different ones.
    """

    frame: pl.DataFrame
    chunks: pl.DataFrame
    canary_calls: int
    texts: int


def labelled_sizes(chunk_size: int, concurrency: int) -> list[int]:
    """The sizes that full calls cycle through: S - g, S - 2g, S - 4g … with g = S // 20, and at least 1.

    One for each call under way, as long as no two subsets have the same sum, whatever their lengths: while all gaps
    add up to less than S, the sum of n sizes is above (n - 1) S and not above n S, which tells n; and what it lacks of
    n S is g times a sum of different powers of two, which tells the sizes. That allows four from S = 16 on, and none is
    below half of S. A single size is S itself.
    """
    gap = max(1, chunk_size // 20)
    gaps = [gap * 2**step for step in range(concurrency)]
    sizes = [chunk_size - each for each, total in zip(gaps, accumulate(gaps), strict=True) if total < chunk_size]
    return sizes if len(sizes) > 1 else [chunk_size]


def text_key(text: str) -> int:
    """64 bits of the text's BLAKE2b digest as a signed integer: the same on every machine and in every version."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def chunk_recipients(frame: pl.DataFrame, *, chunk_size: int, canary_size: int, concurrency: int) -> ChunkPlan:
    """Put every sendable row into exactly one chunk; the largest text group first, and the canaries before all.

    In: `reject_reason`, `text` (whatever is the same for the same text), `encoding`, `segments`, `estimated_ugx`.
    Within a text group the rows keep their order.

    The rest is sent only when the receipts of as many canaries agree with the estimate as hold `canary_size` people:
    with one text that is one call, with a text for each person as many calls, so that several texts are tried. A call
    in which nobody was counted says nothing, so there are more canaries than have to agree.
    """
    is_open = frame["reject_reason"].is_null()
    sendable = frame.select("text", "encoding", "segments", "estimated_ugx").filter(is_open)
    sizes = labelled_sizes(chunk_size, concurrency)
    canary = min(canary_size, chunk_size)
    groups = _groups(sendable)
    canary_calls = _calls_to_reach(canary_size, groups["people"].head(canary_size).to_list(), canary)
    groups = _with_calls(groups, sizes, canary, canary_calls + CANARY_TRIES - 1)

    places = (
        _in_groups(sendable, groups)
        .with_columns(_call_of_group(sizes, canary).alias("call"))
        .with_columns(chunk=(pl.col("before") + pl.col("call") + 1).cast(pl.Int64))
    )
    chunks = (
        _calls(places, alone=groups.height == sendable.height)
        .with_columns(_label(sizes), canary=pl.col("call") < pl.col("canaries"))
        .select("chunk", "label", "canary", "text", "encoding", "segments", "recipients_count", "expected_ugx")
    )
    if sendable.is_empty():
        placed = frame.with_columns(chunk=pl.lit(None, pl.Int64))
    else:
        place = pl.when(is_open).then(pl.lit(is_open).cum_sum() - 1)
        placed = frame.with_columns(chunk=pl.lit(places["chunk"]).gather(place))
    assert placed["chunk"].count() == sendable.height == chunks["recipients_count"].sum(), "not one chunk for each row"
    return ChunkPlan(placed, chunks, canary_calls, groups.height)


def _groups(sendable: pl.DataFrame) -> pl.DataFrame:
    """text, people (Int64) of each text: the largest group first, of equal ones that which comes first in the list."""
    if sendable["text"].n_unique() == sendable.height:  # a text for each, millions perhaps: there is nothing to group
        return sendable.select("text", people=pl.lit(1, pl.Int64))
    groups = sendable.group_by("text", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("people"))
    return groups.sort("people", descending=True, maintain_order=True)


def _calls(places: pl.DataFrame, *, alone: bool) -> pl.DataFrame:
    """The rows of each call together, in the order of the calls; `alone`: each row is a call."""
    of_call = ["call", "canaries", "text", "encoding", "segments"]
    if alone:
        return places.select(
            "chunk",
            *of_call,
            pl.lit(1, pl.Int64).alias("recipients_count"),
            pl.col("estimated_ugx").alias("expected_ugx"),
        )
    return (
        places.group_by("chunk")
        .agg(
            pl.col(of_call).first(),
            pl.len().cast(pl.Int64).alias("recipients_count"),
            pl.col("estimated_ugx").sum().alias("expected_ugx"),
        )
        .sort("chunk")
    )


def _in_groups(sendable: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Add to each row what `_with_calls` says of its text, and its position among those who get the same."""
    if groups.height == sendable.height:
        return sendable.hstack(groups.drop("text")).with_columns(position=pl.lit(0, pl.Int64))
    if groups.height == 1:
        of_all = groups.drop("text").row(0, named=True)
        return sendable.with_columns(
            *(pl.lit(value, pl.Int32).alias(name) for name, value in of_all.items()),
            position=pl.int_range(pl.len(), dtype=pl.Int32),
        )
    return sendable.join(groups, on="text", how="left", maintain_order="left").with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64).over("before")
    )


def _calls_to_reach(people: int, groups: list[int], size: int) -> int:
    """How many calls of at most `size` people of one group hold `people` people, or everybody if there are fewer."""
    calls = 0
    for group in groups:
        calls += -(-min(group, people) // size)
        people -= min(group, people)
    return calls


def _with_calls(groups: pl.DataFrame, sizes: list[int], canary: int, most_canaries: int) -> pl.DataFrame:
    """Add to each text: canaries (how many of its calls are), before (calls of the texts before it).

    Canaries are the first calls of all: a text has some only if those before it have nothing else.
    """
    people, as_canaries = pl.col("people"), pl.col("as_canaries")
    rest = people - pl.col("canaries") * canary
    calls = pl.col("canaries") + pl.when(rest > 0).then(_call_of_cycle(rest - 1, sizes) + 1).otherwise(0)
    return (
        groups.with_columns(
            ((people + canary - 1) // canary).alias("as_canaries"),
        )
        .with_columns(
            (most_canaries - as_canaries.cum_sum() + as_canaries).clip(0, as_canaries).alias("canaries"),
        )
        .with_columns(calls.alias("calls"))
        .with_columns((pl.col("calls").cum_sum() - pl.col("calls")).alias("before"))
        .select("text", "canaries", "before")
    )


def _call_of_group(sizes: list[int], canary: int) -> pl.Expr:
    """The index, among its text's calls, of the call that takes the recipient at `position`."""
    position, canaries = pl.col("position"), pl.col("canaries")
    after = position - canaries * canary
    return pl.when(after < 0).then(position // canary).otherwise(canaries + _call_of_cycle(after, sizes))


def _call_of_cycle(position: pl.Expr, sizes: list[int]) -> pl.Expr:
    """The index of the call that takes the recipient at `position` where calls have these sizes in turn."""
    *starts, cycle = accumulate(sizes)
    call = position // cycle * len(sizes)
    for start in starts:
        call += (position % cycle >= start).cast(pl.Int32)
    return call


def _label(sizes: list[int]) -> pl.Expr:
    """The index of a full call's size; null for canaries and for what was left over."""
    if len(sizes) == 1:
        return pl.lit(None, pl.Int64).alias("label")
    index = (pl.col("call") - pl.col("canaries")) % len(sizes)
    size = index.replace_strict(dict(enumerate(sizes)), return_dtype=pl.Int64)
    is_full = (pl.col("call") >= pl.col("canaries")) & (pl.col("recipients_count") == size)
    return pl.when(is_full).then(index).alias("label")
