"""Which recipient goes into which API call.

One call carries one text, so recipients are grouped by their text. Calls that may be under way together have different
sizes: when the answer of one is lost, the balance tells by the amount which of them was charged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import polars as pl

CANARY_TRIES = 3  # when none of a canary's recipients is counted, the next one is tried


@dataclass(frozen=True)
class ChunkPlan:
    """`frame` is the input with `chunk` (Int64, 1 …; null for a rejected row).

    `chunks`: one row per call in the order of sending: chunk, label (which of the sizes; null for an odd one), canary,
    text, text_key (Int64), encoding, segments, recipients_count, expected_ugx. `canary_calls`: how many counted
    receipts must agree with the estimate before the rest is sent.
    """

    frame: pl.DataFrame
    chunks: pl.DataFrame
    canary_calls: int


def labelled_sizes(chunk_size: int, concurrency: int) -> list[int]:
    """Sizes below `chunk_size` whose sums differ for every subset: S - g, S - 2g, S - 4g … with g = S // 20."""
    gap = max(1, chunk_size // 20)
    sizes = [chunk_size - gap * 2**step for step in range(concurrency)]
    return [size for size in sizes if size >= 1] or [chunk_size]


def text_key(text: str) -> int:
    """64 bits of the text's BLAKE2b digest as a signed integer: the same on every machine and in every version."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def chunk_recipients(frame: pl.DataFrame, *, chunk_size: int, canary_size: int, concurrency: int) -> ChunkPlan:
    """Put every sendable row into exactly one chunk; the largest text group first, and its canary before all.

    In: `row`, `reject_reason`, `message`, `text_key`, `encoding`, `segments`, `estimated_ugx`. Within a text group the
    rows keep their order.
    """
    sendable = frame.filter(pl.col("reject_reason").is_null()).select(
        "row", "message", "text_key", "encoding", "segments", "estimated_ugx"
    )
    sizes = labelled_sizes(chunk_size, concurrency)
    canary_size = min(canary_size, chunk_size)
    groups = _groups(sendable, sizes, canary_size)
    one_by_one = bool(groups.height) and groups["people"][0] == 1

    places = (
        sendable.join(groups, on="message", how="left", maintain_order="left")
        .with_columns(position=pl.int_range(pl.len()).over("group"))
        .with_columns(_chunk_in_group(sizes, canary_size).alias("in_group"))
        .with_columns(chunk=pl.col("before") + pl.col("in_group") + 1)
    )
    chunks = (
        places.group_by("chunk")
        .agg(
            pl.col("in_group").first(),
            pl.col("canaries").first(),
            pl.col("message").first().alias("text"),
            pl.col("text_key").first(),
            pl.col("encoding").first(),
            pl.col("segments").first(),
            pl.len().cast(pl.Int64).alias("recipients_count"),
            pl.col("estimated_ugx").sum().alias("expected_ugx"),
        )
        .sort("chunk")
        .with_columns(_label(sizes))
        .with_columns(
            canary=pl.col("chunk") <= canary_size if one_by_one else pl.col("in_group") < pl.col("canaries"),
        )
    )
    chunks = chunks.select(
        "chunk", "label", "canary", "text", "text_key", "encoding", "segments", "recipients_count", "expected_ugx"
    )
    placed = frame.join(places.select("row", "chunk"), on="row", how="left", maintain_order="left")
    assert placed["chunk"].count() == sendable.height, "a sendable row without a chunk"
    return ChunkPlan(placed, chunks, int(chunks["canary"].sum()) if one_by_one else min(1, chunks.height))


def _groups(sendable: pl.DataFrame, sizes: list[int], canary_size: int) -> pl.DataFrame:
    """One row per text, the largest group first: message, group, people, canaries (calls), before (earlier chunks)."""
    people, cycle = pl.col("people"), sum(sizes)
    canaries = (
        pl.when(pl.col("group") == 0)
        .then(pl.min_horizontal(pl.lit(CANARY_TRIES), (people + canary_size - 1) // canary_size))
        .otherwise(0)
    )
    rest = pl.max_horizontal(pl.lit(0), people - pl.col("canaries") * canary_size)
    calls = pl.col("canaries") + rest // cycle * len(sizes) + _calls_for(rest % cycle, sizes)
    return (
        sendable.group_by("message", maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("people"))
        .sort("people", descending=True, maintain_order=True)
        .with_row_index("group")
        .with_columns(pl.col("group").cast(pl.Int64))
        .with_columns(canaries.cast(pl.Int64).alias("canaries"))
        .with_columns(calls.alias("calls"))
        .with_columns((pl.col("calls").cum_sum() - pl.col("calls")).alias("before"))
    )


def _calls_for(people: pl.Expr, sizes: list[int]) -> pl.Expr:
    """How many calls of the cycle `people` (fewer than one whole cycle) need."""
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return pl.sum_horizontal([(people > start).cast(pl.Int64) for start in starts])


def _chunk_in_group(sizes: list[int], canary_size: int) -> pl.Expr:
    """The index within its text group of the call that takes the recipient at `position`."""
    position, in_canaries = pl.col("position"), pl.col("canaries") * canary_size
    after = position - in_canaries
    cycle = sum(sizes)
    starts = [sum(sizes[:index]) for index in range(1, len(sizes))]
    within = pl.sum_horizontal([pl.lit(0, pl.Int64), *((after % cycle >= start).cast(pl.Int64) for start in starts)])
    return (
        pl.when(position < in_canaries)
        .then(position // canary_size)
        .otherwise(pl.col("canaries") + after // cycle * len(sizes) + within)
    )


def _label(sizes: list[int]) -> pl.Expr:
    """The index of the call's size in the cycle; null for canaries and for what was left over."""
    index = (pl.col("in_group") - pl.col("canaries")) % len(sizes)
    size = pl.lit(pl.Series(sizes, dtype=pl.Int64)).gather(index.clip(lower_bound=0))
    is_full = (pl.col("in_group") >= pl.col("canaries")) & (pl.col("recipients_count") == size)
    return pl.when(is_full & (len(sizes) > 1)).then(index).alias("label")
