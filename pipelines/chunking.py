"""Which recipient goes into which API call.

One call carries one text, so recipients are grouped by their text. Calls that may be under way together have different
sizes: when the answer of one is lost, the balance tells by the amount which of them was charged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import polars as pl

_LOOKED_AT = ["text", "encoding", "segments", "estimated_ugx"]
CANARY_TRIES = 3  # when nobody in a canary is counted, the next one is tried


@dataclass(frozen=True)
class ChunkPlan:
    """`people`: the input. `chunks`: one row per call in the order of sending: chunk, label (which of the sizes; null
    for an odd one), canary, text, encoding, segments, recipients_count, expected_ugx. `canary_calls`: how many counted
    receipts must agree with the estimate before the rest is sent. `texts`: how many different ones.
    """

    people: pl.DataFrame
    chunks: pl.DataFrame
    canary_calls: int
    texts: int
    order: pl.Series | None  # of the sendable rows, as their calls come; None: that of the list

    @cached_property
    def frame(self) -> pl.DataFrame:
        """`people` with `chunk` (Int64, 1 …; null for a rejected row)."""
        chunk, count = self.chunks["chunk"], self.chunks["recipients_count"]
        if (count != 1).any():
            chunk = self.chunks.select(pl.col("chunk").repeat_by("recipients_count").explode()).to_series()
        if self.order is not None:
            chunk = chunk.gather(self.order.arg_sort())
        is_open = self.people["reject_reason"].is_null()
        if chunk.is_empty():
            return self.people.with_columns(chunk=pl.lit(None, pl.Int64))
        place = pl.when(is_open).then(pl.lit(is_open).cum_sum() - 1)
        return self.people.with_columns(chunk=pl.lit(chunk).gather(place))


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
    sendable = frame.lazy().filter(pl.col("reject_reason").is_null()).select(_LOOKED_AT).collect()
    sizes = labelled_sizes(chunk_size, concurrency)
    canary = min(canary_size, chunk_size)
    groups, order = _groups(sendable["text"])
    canary_calls = _calls_to_reach(canary_size, groups["people"].head(canary_size).to_list(), canary)
    calls = _calls(groups, sizes, canary, canary_calls + CANARY_TRIES - 1)
    assert calls["recipients_count"].sum() == sendable.height, "not one call for each row"
    chunks = calls.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("chunk"),
        _label(sizes),
        canary=pl.col("call") < pl.col("canaries"),
    ).with_columns(_of_the_people(sendable, order, calls["recipients_count"]))
    return ChunkPlan(frame, chunks, canary_calls, groups.height, order)


def _groups(texts: pl.Series) -> tuple[pl.DataFrame, pl.Series | None]:
    """people (Int64) of each text: the largest group first, of equal ones that which comes first in the list.

    And the order of the rows in which groups stand together, where it is not that of the list.
    """
    distinct = texts.n_unique()
    if distinct == len(texts):  # a text for each, millions perhaps: there is nothing to group
        return pl.DataFrame({"people": pl.Series([1], dtype=pl.Int64).new_from_index(0, distinct)}), None
    if distinct == 1:
        return pl.DataFrame({"people": [len(texts)]}, schema={"people": pl.Int64}), None
    groups = (
        texts.to_frame("text")
        .with_row_index("place")
        .group_by("text", maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("people"), "place")
        .sort("people", descending=True, maintain_order=True)
    )
    return groups.select("people"), groups["place"].explode()


def _calls(groups: pl.DataFrame, sizes: list[int], canary: int, most_canaries: int) -> pl.DataFrame:
    """The calls of all groups: call (its index among its group's), canaries (how many of these are), recipients_count.

    Canaries are the first calls of all: a group has some only if those before it have nothing else.
    """
    people, as_canaries = pl.col("people"), (pl.col("people") + canary - 1) // canary
    rest = people - pl.col("canaries") * canary
    calls = pl.col("canaries") + pl.when(rest > 0).then(_call_of_cycle(rest - 1, sizes) + 1).otherwise(0)
    counted = groups.with_columns(
        canaries=(most_canaries - as_canaries.cum_sum() + as_canaries).clip(0, as_canaries)
    ).with_columns(calls=calls)
    if counted["calls"].max() == 1:
        return counted.select(pl.lit(0, pl.Int64).alias("call"), "canaries", people.alias("recipients_count"))
    call = pl.col("call")
    return (
        counted.with_columns(call=pl.int_ranges("calls"))
        .explode("call")
        .with_columns(
            recipients_count=pl.min_horizontal(_start(call + 1, sizes, canary), people) - _start(call, sizes, canary)
        )
        .select("call", "canaries", "recipients_count")
    )


def _of_the_people(sendable: pl.DataFrame, order: pl.Series | None, counts: pl.Series) -> list[pl.Series]:
    """text, encoding, segments, recipients_count and expected_ugx of calls with so many people each, in `order`."""
    if order is not None:
        sendable = sendable[order]
    if (counts == 1).all():
        return [*sendable.drop("estimated_ugx"), counts, sendable["estimated_ugx"].alias("expected_ugx")]
    ends = counts.cum_sum()
    up_to = sendable["estimated_ugx"].cum_sum().gather(ends - 1)
    first = sendable.drop("estimated_ugx")[ends - counts]
    return [*first, counts, (up_to - up_to.shift(fill_value=0)).alias("expected_ugx")]


def _calls_to_reach(people: int, groups: list[int], size: int) -> int:
    """How many calls of at most `size` people of one group hold `people` people, or everybody if there are fewer."""
    calls = 0
    for group in groups:
        calls += -(-min(group, people) // size)
        people -= min(group, people)
    return calls


def _call_of_cycle(position: pl.Expr, sizes: list[int]) -> pl.Expr:
    """The index of the call that takes the recipient at `position` where calls have these sizes in turn."""
    *starts, cycle = accumulate(sizes)
    call = position // cycle * len(sizes)
    for start in starts:
        call += (position % cycle >= start).cast(pl.Int64)
    return call


def _start(call: pl.Expr, sizes: list[int], canary: int) -> pl.Expr:
    """How many people of the group are in calls before this one: in canaries, then in calls of these sizes in turn."""
    after = call - pl.col("canaries")
    starts = [0, *accumulate(sizes)]
    in_cycle = pl.lit(pl.Series(starts[:-1])).gather(after % len(sizes))
    in_cycles = pl.col("canaries") * canary + after // len(sizes) * starts[-1] + in_cycle
    return pl.when(after < 0).then(call * canary).otherwise(in_cycles)


def _label(sizes: list[int]) -> pl.Expr:
    """The index of a full call's size; null for canaries and for what was left over."""
    if len(sizes) == 1:
        return pl.lit(None, pl.Int64).alias("label")
    index = (pl.col("call") - pl.col("canaries")) % len(sizes)
    size = pl.lit(pl.Series(sizes)).gather(index)
    is_full = (pl.col("call") >= pl.col("canaries")) & (pl.col("recipients_count") == size)
    return pl.when(is_full).then(index).alias("label")
