"""Schemas: a rule about a person's row gives it a reason, anything else is a defect that stops everything."""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from pandera.config import config_context

from pipelines.frames import REASONS
from pipelines.reasons import Reason
from pipelines.schemas import ENCODINGS, NORMALIZED, RAW, RESULTS, check_frame, priced, reject_failures

ROW: dict[str, Any] = {
    "row": 2,
    "reject_reason": None,
    "msisdn": 256_772_123_456,
    "encoding": "GSM-7",
    "units": 12,
    "segments": 1,
    "estimated_ugx": 50,
}
SCHEMA: dict[str, Any] = dict.fromkeys(ROW, pl.Int64) | {
    "reject_reason": REASONS,
    "encoding": ENCODINGS,
    "units": pl.UInt32,
    "segments": pl.UInt32,
}
SECRET = 256_414_999_888


def frame_of(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows that are good but for what is given, numbered from 2."""
    return pl.DataFrame([ROW | {"row": number} | row for number, row in enumerate(rows, start=2)], schema=SCHEMA)


# Every rule, with what breaks it. A new rule wants a line here.
RULES = [
    pytest.param(NORMALIZED, {"msisdn": SECRET}, Reason.INVALID_NUMBER, id="a number that is no mobile one"),
    pytest.param(NORMALIZED, {"msisdn": 772_123_456}, Reason.INVALID_NUMBER, id="a number that is not E.164"),
    pytest.param(priced(3), {"units": 0, "segments": 0}, Reason.EMPTY_MESSAGE, id="an empty message"),
    pytest.param(priced(3), {"segments": 4}, Reason.MESSAGE_TOO_LONG, id="more segments than allowed"),
    pytest.param(priced(1), {"segments": 2}, Reason.MESSAGE_TOO_LONG, id="more segments than this campaign allows"),
]


@pytest.mark.parametrize(("schema", "broken", "reason"), RULES)
def test_a_rule_rejects_its_row_and_no_other(schema: pa.DataFrameSchema, broken: dict[str, Any], reason: str) -> None:
    frame = frame_of({}, broken, {}, broken | {"reject_reason": "hidden_row"})

    judged = reject_failures(frame, schema)

    assert judged["reject_reason"].to_list() == [None, reason, None, "hidden_row"]
    assert judged.drop("reject_reason").equals(frame.drop("reject_reason"))


def test_every_rule_of_the_schemas_has_an_example() -> None:
    examples = {str(rule.values[2]) for rule in RULES}
    rules = {
        check.error
        for schema in (RAW, NORMALIZED, priced(3), RESULTS)
        for column in schema.columns.values()
        for check in column.checks
        if check.error in set(Reason)
    }
    assert rules == examples


def test_of_two_reasons_the_first_rule_counts() -> None:
    frame = frame_of({"units": 0, "segments": 9})

    assert reject_failures(frame, priced(3))["reject_reason"].to_list() == ["empty_message"]


def test_rows_that_are_rejected_already_need_not_be_complete() -> None:
    rejected = {
        "reject_reason": "missing",
        "msisdn": None,
        "encoding": None,
        "units": None,
        "segments": None,
        "estimated_ugx": None,
    }

    assert reject_failures(frame_of(rejected), priced(3))["reject_reason"].to_list() == ["missing"]
    assert reject_failures(frame_of(rejected), NORMALIZED)["reject_reason"].to_list() == ["missing"]


def test_order_and_count_stay_among_many_rows() -> None:
    rows = range(2, 50_002)
    frame = (
        frame_of({})
        .select(pl.all().exclude("row", "segments"))
        .join(
            pl.DataFrame({"row": rows, "segments": pl.Series([row % 7 for row in rows], dtype=pl.UInt32)}).reverse(),
            how="cross",
        )
    )

    judged = reject_failures(frame, priced(3))

    assert judged["row"].equals(frame["row"])
    accepted = judged.filter(pl.col("reject_reason").is_null())
    rejected = judged.filter(pl.col("reject_reason") == "message_too_long")
    assert accepted.height + rejected.height == frame.height
    assert sorted(set(accepted["segments"])) == [0, 1, 2, 3]
    assert sorted(set(rejected["segments"])) == [4, 5, 6]


def test_an_empty_frame_passes() -> None:
    assert reject_failures(frame_of(), priced(3)).height == 0


# --- defects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "broken", "told"),
    [
        pytest.param(NORMALIZED, {"msisdn": None}, "msisdn: not_nullable", id="neither a number nor a reason"),
        pytest.param(NORMALIZED, {"row": 0}, "row: greater_than_or_equal_to(1)", id="a row number below 1"),
        pytest.param(priced(3), {"encoding": None}, "encoding: not_nullable", id="neither a text nor a reason"),
        pytest.param(priced(3), {"estimated_ugx": 0}, "estimated_ugx: greater_than_or_equal_to(1)", id="a free call"),
    ],
)
def test_a_defect_stops_and_shows_no_value(schema: pa.DataFrameSchema, broken: dict[str, Any], told: str) -> None:
    frame = frame_of({}, broken).with_columns(phone_raw=pl.lit(str(SECRET)))

    with pytest.raises(AssertionError) as caught:
        reject_failures(frame, schema)

    assert str(caught.value) == f"the {schema.name} frame breaks its schema: {told}"
    assert caught.value.__context__ is None  # pandera's error holds the rows


def test_a_column_of_another_type_stops_and_shows_no_value() -> None:
    frame = frame_of({}).with_columns(segments=pl.lit(str(SECRET)), encoding=pl.lit("UCS-2"))

    with pytest.raises(AssertionError, match=r"segments: dtype\('UInt32'\)") as caught:
        reject_failures(frame, priced(3))

    assert str(SECRET) not in str(caught.value)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(AssertionError, match=r"the priced frame lacks units, segments$"):
        reject_failures(frame_of({}).drop("units", "segments"), priced(3))


def test_a_reason_that_does_not_exist_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="the raw frame breaks its schema: reject_reason: dtype"):
        check_frame(frame_of({}).with_columns(reject_reason=pl.lit("rounded")), RAW)


@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_reason_may_stand_in_a_frame(reason: str | None) -> None:
    frame = frame_of({"reject_reason": reason})

    assert check_frame(frame, RAW) is frame


# --- what pandera would let pass -------------------------------------------------------------------------------------


def test_a_lazy_frame_is_refused() -> None:
    too_long: Any = frame_of({"segments": 9}).lazy()  # the types refuse it too
    assert priced(3).validate(too_long, lazy=True) is not None  # pandera has nothing against it

    with pytest.raises(AssertionError, match="the priced frame must be eager"):
        check_frame(too_long, priced(3))
    with pytest.raises(AssertionError, match="the priced frame must be eager"):
        reject_failures(too_long, priced(3))


@pytest.mark.parametrize("setting", [{"validation_enabled": False}, {"validation_depth": "SCHEMA_ONLY"}])
def test_the_checks_run_where_the_environment_turns_them_off(setting: dict[str, Any]) -> None:
    """PANDERA_VALIDATION_ENABLED and PANDERA_VALIDATION_DEPTH are read into this very configuration."""
    with config_context(**setting):
        judged = reject_failures(frame_of({"segments": 9}), priced(3))

    assert judged["reject_reason"].to_list() == ["message_too_long"]


@pytest.mark.parametrize("name", ["check_output", "index", "failure_case", "check", "failed", "rejected"])
def test_a_column_of_the_file_may_have_any_name(name: str) -> None:
    frame = frame_of({}, {"segments": 9}).with_columns(pl.lit("hidden_row").alias(name))

    judged = reject_failures(frame, priced(3))

    assert judged["reject_reason"].to_list() == [None, "message_too_long"]
    assert judged.columns == frame.columns
    assert judged[name].to_list() == ["hidden_row", "hidden_row"]


# --- results ---------------------------------------------------------------------------------------------------------


def test_a_result_has_an_outcome_that_exists() -> None:
    columns = {name: column.dtype.type for name, column in RESULTS.columns.items()}
    filled = {"campaign": "clinic-day", "edition": "1", "row": 2, "outcome": "accepted"}
    frame = pl.DataFrame([dict.fromkeys(columns) | filled], schema=columns)

    assert check_frame(frame, RESULTS) is frame
    with pytest.raises(AssertionError, match="the results frame breaks its schema: outcome: isin"):
        check_frame(frame.with_columns(outcome=pl.lit("delivered")), RESULTS)
