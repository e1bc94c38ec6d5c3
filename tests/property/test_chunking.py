"""Chunks of whole frames are those that a plain loop packs, group by group and call by call."""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.chunking import CANARY_TRIES, chunk_recipients, labelled_sizes

Row = tuple[str, int]  # text, price

# Few texts make large groups, many make one-person groups.
TEXTS = st.sampled_from("ab") | st.sampled_from("abcdefgh") | st.integers(0, 10**6).map(str)
ROWS = st.lists(st.none() | st.tuples(TEXTS, st.sampled_from([50, 100])), max_size=60)
REPEATED = st.lists(st.tuples(TEXTS, st.integers(1, 80)), max_size=5).map(
    lambda groups: [(text, 50) for text, people in groups for _ in range(people)]
)


class Call(NamedTuple):
    text: str
    rows: list[int]
    label: int | None
    canary: bool


def pack(rows: list[Row | None], chunk_size: int, canary_size: int, concurrency: int) -> tuple[list[Call], int]:
    """The calls in the order of sending, and how many canaries must agree."""
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=2):
        if row is not None:
            groups.setdefault(row[0], []).append(number)
    sizes = labelled_sizes(chunk_size, concurrency)
    calls: list[Call] = []
    must_agree, further_tries = 0, CANARY_TRIES - 1
    tried = 0  # people in canaries

    for text, left in sorted(groups.items(), key=lambda group: -len(group[1])):
        while left and (tried < canary_size or further_tries):
            if tried < canary_size:
                must_agree += 1
            else:
                further_tries -= 1
            taken, left = left[: min(canary_size, chunk_size)], left[min(canary_size, chunk_size) :]
            tried += len(taken)
            calls.append(Call(text, taken, None, canary=True))
        for label, size in cycle(enumerate(sizes)):
            if not left:
                break
            taken, left = left[:size], left[size:]
            calls.append(Call(text, taken, label if len(taken) == size and len(sizes) > 1 else None, canary=False))
    return calls, must_agree


@given(ROWS | REPEATED, st.integers(1, 40), st.integers(1, 15), st.integers(1, 8))
@settings(max_examples=150)
@example([("a", 50)] * 400, 100, 10, 2)
@example([("a", 50)] * 400, 100, 10, 16)
@example([None, None], 100, 10, 2)
@example([(str(number), 50) for number in range(40)], 1, 10, 4)
def test_chunks_agree_with_packing_by_hand(
    rows: list[Row | None], chunk_size: int, canary_size: int, concurrency: int
) -> None:
    frame = pl.DataFrame(
        [
            (number, *((None, row[0], "GSM-7", 1, row[1]) if row else ("missing", None, None, None, None)))
            for number, row in enumerate(rows, start=2)
        ],
        schema={
            "row": pl.Int64,
            "reject_reason": pl.String,
            "text": pl.String,
            "encoding": pl.String,
            "segments": pl.Int64,
            "estimated_ugx": pl.Int64,
        },
        orient="row",
    )

    plan = chunk_recipients(frame, chunk_size=chunk_size, canary_size=canary_size, concurrency=concurrency)

    assert plan.frame.drop("chunk").equals(frame)
    calls, must_agree = pack(rows, chunk_size, canary_size, concurrency)
    assert plan.canary_calls == must_agree
    by_hand = {row: chunk for chunk, call in enumerate(calls, start=1) for row in call.rows}
    assert plan.frame["chunk"].to_list() == [by_hand.get(row) for row in frame["row"]]
    price = {number: row[1] for number, row in enumerate(rows, start=2) if row}
    assert plan.chunks.select("chunk", "text", "label", "canary", "recipients_count", "expected_ugx").rows() == [
        (chunk, call.text, call.label, call.canary, len(call.rows), sum(price[row] for row in call.rows))
        for chunk, call in enumerate(calls, start=1)
    ]
