"""Which recipient goes into which API call, on plans small enough to read."""

from __future__ import annotations

from itertools import combinations

import polars as pl
import pytest

from pipelines.chunking import CANARY_TRIES, ChunkPlan, chunk_recipients, labelled_sizes, text_key


def frame_of(texts: list[str | None]) -> pl.DataFrame:
    """A priced frame whose rows, numbered from 2, get these texts; None is a rejected row."""
    sendable = [text is not None for text in texts]
    return pl.DataFrame(
        {
            "row": range(2, len(texts) + 2),
            "reject_reason": [None if each else "missing" for each in sendable],
            "text": texts,
            "encoding": ["GSM-7" if each else None for each in sendable],
            "segments": [1 if each else None for each in sendable],
            "estimated_ugx": [50 if each else None for each in sendable],
        },
        schema={
            "row": pl.Int64,
            "reject_reason": pl.String,
            "text": pl.String,
            "encoding": pl.String,
            "segments": pl.Int64,
            "estimated_ugx": pl.Int64,
        },
    )


def plan_of(groups: dict[str, int], *, chunk_size: int = 10, canary_size: int = 10, concurrency: int = 1) -> ChunkPlan:
    """The plan for so many people with each text, one group after the other."""
    texts: list[str | None] = [text for text, people in groups.items() for _ in range(people)]
    return chunk_recipients(frame_of(texts), chunk_size=chunk_size, canary_size=canary_size, concurrency=concurrency)


def calls(plan: ChunkPlan) -> list[tuple[str, int, bool]]:
    """(text, people, whether it is a canary) of each call in the order of sending."""
    return plan.chunks.select("text", "recipients_count", "canary").rows()


# --- grouping --------------------------------------------------------------------------------------------------------


def test_one_text_a_call_the_largest_group_first_and_rows_in_their_order() -> None:
    frame = frame_of(["Hi Jane", "Hi Ali", None, "Hi Ali", "Hi Jane", "Hi Ali", "Hi Zoe"])

    plan = chunk_recipients(frame, chunk_size=2, canary_size=1, concurrency=1)

    assert plan.frame.select("row", "text", "chunk").rows() == [
        (2, "Hi Jane", 4),
        (3, "Hi Ali", 1),
        (4, None, None),
        (5, "Hi Ali", 2),
        (6, "Hi Jane", 4),
        (7, "Hi Ali", 3),
        (8, "Hi Zoe", 5),
    ]
    assert plan.chunks.drop("label").rows() == [
        (1, True, "Hi Ali", "GSM-7", 1, 1, 50),
        (2, True, "Hi Ali", "GSM-7", 1, 1, 50),
        (3, True, "Hi Ali", "GSM-7", 1, 1, 50),
        (4, False, "Hi Jane", "GSM-7", 1, 2, 100),
        (5, False, "Hi Zoe", "GSM-7", 1, 1, 50),
    ]
    assert plan.canary_calls == 1


def test_of_equal_groups_the_one_that_comes_first_in_the_list_is_sent_first() -> None:
    plan = plan_of({"Zoe": 3, "Ali": 3, "Jane": 3}, canary_size=1)

    assert list(dict.fromkeys(plan.chunks["text"])) == ["Zoe", "Ali", "Jane"]


@pytest.mark.parametrize("texts", [pytest.param([], id="no rows"), pytest.param([None, None], id="all rejected")])
def test_nobody_to_send_to(texts: list[str | None]) -> None:
    plan = chunk_recipients(frame_of(texts), chunk_size=100, canary_size=10, concurrency=2)

    assert plan.frame["chunk"].to_list() == [None] * len(texts)
    assert (plan.chunks.height, plan.canary_calls) == (0, 0)


def test_columns_and_types() -> None:
    """What the ledger stores of a call."""
    for plan in (plan_of({"Hi": 100}), plan_of({})):
        assert plan.chunks.schema == {
            "chunk": pl.Int64,
            "label": pl.Int64,
            "canary": pl.Boolean,
            "text": pl.String,
            "encoding": pl.String,
            "segments": pl.Int64,
            "recipients_count": pl.Int64,
            "expected_ugx": pl.Int64,
        }
        assert plan.frame.schema["chunk"] == pl.Int64


def test_a_text_has_the_same_key_for_ever() -> None:
    """The ledger keeps it and the repeat guard looks for it. The digests are those of `b2sum -l 64`."""
    for text, digest in [("Clinic day is Friday.", "ccbeaf45b61460d8"), ("ŋ", "6ad60001bb610e1f")]:
        assert text_key(text) == int.from_bytes(bytes.fromhex(digest), "big", signed=True)


def test_a_million_rows() -> None:
    people = 1_000_000
    frame = pl.select(row=pl.int_range(2, people + 2)).with_columns(
        reject_reason=pl.lit(None, pl.String),
        text=pl.format("Dear friend no. {}", pl.col("row") % 1_000),
        encoding=pl.lit("GSM-7"),
        segments=pl.lit(1, pl.Int64),
        estimated_ugx=pl.lit(50, pl.Int64),
    )

    plan = chunk_recipients(frame, chunk_size=100, canary_size=10, concurrency=4)

    assert plan.frame["chunk"].null_count() == 0
    assert plan.chunks["chunk"].equals(pl.int_range(1, plan.chunks.height + 1, eager=True).alias("chunk"))
    assert plan.chunks["recipients_count"].sum() == people
    assert plan.chunks["recipients_count"].max() == 95


# --- canaries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "sizes", "canaries", "must_agree"),
    [
        pytest.param({"a": 100}, {}, [10, 10, 10], 1, id="one text: one call of canary_size, and two more tries"),
        pytest.param({"a": 100}, {"canary_size": 3}, [3, 3, 3], 1, id="a smaller canary"),
        pytest.param({"a": 24}, {}, [10, 10, 4], 1, id="the last try takes who is left"),
        pytest.param({"a": 12, "b": 5}, {}, [10, 2, 5], 1, id="a further try with the next text"),
        pytest.param({"a": 4}, {}, [4], 1, id="fewer people than canary_size"),
        pytest.param({"a": 1}, {}, [1], 1, id="one person"),
        pytest.param(dict.fromkeys("abcdefghijklmnop", 1), {}, [1] * 12, 10, id="a text each: ten one by one"),
        pytest.param(dict.fromkeys("abc", 1), {}, [1] * 3, 3, id="a text each, and only three people"),
        pytest.param({"a": 2, **dict.fromkeys("bcdefghijklmn", 1)}, {}, [2] + [1] * 10, 9, id="two of them alike"),
        pytest.param(dict.fromkeys("abcdefgh", 4), {}, [4] * 5, 3, id="small groups: until ten people are reached"),
        pytest.param({"a": 9, "b": 9, "c": 9, "d": 9, "e": 9}, {}, [9] * 4, 2, id="nine are not ten"),
        pytest.param({"a": 50}, {"chunk_size": 4}, [4] * 5, 3, id="calls smaller than canary_size"),
        pytest.param({"a": 50}, {"chunk_size": 1}, [1] * 12, 10, id="one person a call"),
    ],
)
def test_the_first_calls_are_canaries(
    groups: dict[str, int], sizes: dict[str, int], canaries: list[int], must_agree: int
) -> None:
    plan = plan_of(groups, **{"chunk_size": 50, **sizes})

    found = [(people, canary) for _, people, canary in calls(plan)]
    assert [people for people, canary in found if canary] == canaries
    assert [canary for _, canary in found] == sorted((canary for _, canary in found), reverse=True)
    assert plan.canary_calls == must_agree
    assert len(canaries) <= must_agree + CANARY_TRIES - 1
    # What has to agree holds `canary_size` people, or everybody.
    assert sum(canaries[:must_agree]) >= min(sizes.get("canary_size", 10), sum(groups.values()))


# --- sizes that tell calls apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk_size", "concurrency", "sizes"),
    [
        pytest.param(100, 2, [95, 90], id="the defaults"),
        pytest.param(100, 4, [95, 90, 80, 60], id="four under way"),
        pytest.param(100, 16, [95, 90, 80, 60], id="a fifth would be 20, and 20 + 60 is 80"),
        pytest.param(1000, 64, [950, 900, 800, 600], id="the most of both"),
        pytest.param(10, 4, [9, 8, 6], id="small calls"),
        pytest.param(4, 4, [3, 2], id="smaller"),
        pytest.param(3, 2, [3], id="too small for two sizes"),
        pytest.param(1, 16, [1], id="one person a call"),
        pytest.param(100, 1, [100], id="one call at a time needs no sizes"),
    ],
)
def test_sizes(chunk_size: int, concurrency: int, sizes: list[int]) -> None:
    assert labelled_sizes(chunk_size, concurrency) == sizes


def test_every_subset_of_the_sizes_has_a_sum_of_its_own() -> None:
    """So the balance tells which calls were charged. For every setting that there is; looked at one by one."""
    different = {tuple(labelled_sizes(size, concurrency)) for size in range(1, 1001) for concurrency in range(1, 17)}
    for sizes in different:
        sums = [sum(subset) for count in range(len(sizes) + 1) for subset in combinations(sizes, count)]
        assert len(set(sums)) == len(sums), sizes


@pytest.mark.parametrize("concurrency", [1, 2, 3, 4, 8, 64])
def test_sizes_are_as_many_as_they_can_be_and_never_small(concurrency: int) -> None:
    for chunk_size in range(1, 1001):
        sizes = labelled_sizes(chunk_size, concurrency)
        assert all(chunk_size <= 2 * size <= 2 * chunk_size for size in sizes), chunk_size
        assert len(sizes) >= min(concurrency, 4) or chunk_size < 16


def test_full_calls_carry_the_label_of_their_size() -> None:
    plan = plan_of({"a": 400, "b": 95, "c": 90}, chunk_size=100, concurrency=2)

    assert plan.chunks.select("text", "recipients_count", "label").rows() == [
        ("a", 10, None),  # canaries
        ("a", 10, None),
        ("a", 10, None),
        ("a", 95, 0),
        ("a", 90, 1),
        ("a", 95, 0),
        ("a", 90, 1),
        ("b", 95, 0),
        ("c", 90, None),  # left over from a call of 95
    ]


def test_with_one_size_there_is_nothing_to_label() -> None:
    plan = plan_of({"a": 230}, chunk_size=100, concurrency=1)

    assert plan.chunks["recipients_count"].to_list() == [10, 10, 10, 100, 100]
    assert plan.chunks["label"].null_count() == 5
