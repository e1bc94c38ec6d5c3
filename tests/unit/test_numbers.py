"""Telephone numbers of a whole frame: what is added, and what stays as it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mambo_io.errors import InputError
from pipelines.numbers import likely_unsupported, normalize_numbers

PEOPLE = pl.DataFrame(
    {
        "row": [2, 3, 4, 5, 6, 7, 8, 9],
        "phone": [
            "0772123456",
            None,
            "+256 (0)701-123456",
            "0772xxxxxx",
            "0414123456",
            "0772123456",
            "0202430123",  # a fixed line of a range that more than four digits decide
            "0772123456;0701123456",
        ],
        "name": ["Akello", "Okot", "Nambi", "Mukasa", "Clinic", "Akello", "Apio", "Opio"],
    }
)


def test_adds_three_columns_and_keeps_rows_and_order() -> None:
    normalized = normalize_numbers(PEOPLE)

    assert_frame_equal(normalized.select(PEOPLE.columns), PEOPLE)
    assert normalized.select("e164", "network_guess", "reject_reason").rows() == [
        ("+256772123456", "MTN", None),
        (None, None, "missing"),
        ("+256701123456", "Airtel", None),
        (None, None, "contains_letters"),
        (None, None, "not_mobile"),
        ("+256772123456", "MTN", None),
        (None, None, "invalid_number"),
        (None, None, "several_numbers"),
    ]


def test_first_of_several_on_request() -> None:
    assert normalize_numbers(PEOPLE, several="first")["e164"].last() == "+256772123456"


@pytest.mark.parametrize(
    "frame",
    [PEOPLE, PEOPLE.clear(), PEOPLE.with_columns(phone=pl.lit(None, pl.String)), PEOPLE.with_columns(phone=None)],
)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_lazy_frame_in_lazy_frame_out(frame: pl.DataFrame, engine: Literal["in-memory", "streaming"]) -> None:
    lazy = normalize_numbers(frame.lazy())

    assert isinstance(lazy, pl.LazyFrame)
    eager = normalize_numbers(frame)
    assert lazy.collect_schema() == eager.schema
    assert_frame_equal(lazy.collect(engine=engine), eager)


def test_streaming_keeps_the_order_of_many_rows() -> None:
    many = pl.DataFrame(
        {"phone": [f"0772{number:06}" if number % 3 else f"no {number % 5}" for number in range(200_000)]}
    )
    assert_frame_equal(normalize_numbers(many.lazy()).collect(engine="streaming"), normalize_numbers(many))


@pytest.mark.parametrize("earlier", [["hidden_row", None], [None, None]])
def test_the_first_reason_stands(earlier: list[str | None]) -> None:
    frame = pl.DataFrame({"phone": ["0772123456", "junk"], "reject_reason": earlier})
    normalized = normalize_numbers(frame)

    assert normalized["reject_reason"].to_list() == [earlier[0], "contains_letters"]
    assert normalized["e164"].to_list() == [None if earlier[0] else "+256772123456", None]
    assert normalized.columns == ["phone", "reject_reason", "e164", "network_guess"]


@pytest.mark.parametrize(
    ("numbers", "e164"),
    [
        (pl.Series([772123456, 256772123456, 0, None]), ["+256772123456", "+256772123456", None, None]),
        (pl.Series([772123456, -772123456], dtype=pl.Int32), ["+256772123456", None]),
        (pl.Series([772123456.0, 256772123450.0, 7721234.56]), ["+256772123456", "+256772123450", None]),
        (pl.Series([float("nan"), float("inf"), 1e300]), [None, None, None]),
        (pl.Series([Decimal("772123456.00")]), ["+256772123456"]),
        (pl.Series(["0772123456", "x", "0772123456"], dtype=pl.Categorical), ["+256772123456", None, "+256772123456"]),
    ],
    ids=["Int64", "Int32", "Float64", "not finite", "Decimal", "Categorical"],
)
def test_columns_that_are_not_text(numbers: pl.Series, e164: list[str | None]) -> None:
    frame = pl.DataFrame({"msisdn": numbers})
    normalized = normalize_numbers(frame, column="msisdn")
    assert normalized["e164"].to_list() == e164
    assert normalized.schema["msisdn"] == numbers.dtype


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Boolean, pl.Date, pl.List(pl.String)], ids=str)
def test_columns_that_hold_no_numbers(dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"phone": []}, schema={"phone": dtype})
    with pytest.raises(InputError, match=r"column phone: a column of type .* holds no telephone numbers"):
        normalize_numbers(frame)


@pytest.mark.parametrize(
    ("column", "told"),
    [("phnoe", "column phnoe: no such column. Did you mean phone?"), ("essimu", "The columns are: row, phone, name.")],
)
def test_unknown_column(column: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        normalize_numbers(PEOPLE.lazy(), column=column)
    assert told in raised.value.message


def test_networks_without_documented_sender_id() -> None:
    frame = pl.DataFrame({"network_guess": ["MTN", "Airtel", "UTL", "LycaMobile", "Africell", None]})
    assert frame.select(likely_unsupported()).to_series().to_list() == [False, False, False, True, True, False]


def test_a_column_of_the_users_own_named_verdict_stays() -> None:
    frame = pl.DataFrame({"phone": ["0772123456"], "verdict": ["paid"], "verdict_": ["twice"]})
    judged = normalize_numbers(frame)
    assert judged.select("verdict", "verdict_", "e164").row(0) == ("paid", "twice", "+256772123456")
