"""What the frame holds after each stage, as pandera schemas, and how a failed check becomes a row's reason.

A check whose `error` is a `Reason` code is a rule about a person's row: it rejects the row. Any other failure (a wrong
dtype, a null where none may be) is a defect of ours and raises `AssertionError`, which holds no value.

To add a rule: a check with its reason here, the reason in `reasons.py`, an example in the table of
`tests/unit/test_schemas.py`.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context

from mambo_io.model import NOT_REPORTED, Delivery, Outcome
from pipelines.frames import REASONS
from pipelines.reasons import Reason
from pipelines.segments import Encoding

E164_PATTERN = r"^\+2567[0-9]{8}$"

ENCODINGS = pl.Enum([encoding.value for encoding in Encoding])  # in a byte, as `REASONS`

_ROWS_AT_ONCE = 1_000_000  # that are checked, so that a frame of many millions is not copied

_Row = pa.Column(pl.Int64, pa.Check.ge(1))

# Checked over every row.
RAW = pa.DataFrameSchema({"row": _Row, "reject_reason": pa.Column(REASONS, nullable=True)}, name="raw")

# Checked over the rows that no rule has rejected yet. A mobile number of Uganda is +2567 and eight digits.
NORMALIZED = pa.DataFrameSchema(
    {
        "row": _Row,
        "msisdn": pa.Column(
            pl.Int64, pa.Check.in_range(256_700_000_000, 256_799_999_999, error=Reason.INVALID_NUMBER.value)
        ),
    },
    name="normalized",
)


def priced(max_segments: int) -> pa.DataFrameSchema:
    """After rendering, measuring and pricing; a message of more than `max_segments` is turned away."""
    return pa.DataFrameSchema(
        {
            "encoding": pa.Column(ENCODINGS),
            "units": pa.Column(pl.UInt32, pa.Check.ge(1, error=Reason.EMPTY_MESSAGE.value)),
            "segments": pa.Column(pl.UInt32, pa.Check.le(max_segments, error=Reason.MESSAGE_TOO_LONG.value)),
            "estimated_ugx": pa.Column(pl.Int64, pa.Check.ge(1)),
        },
        name="priced",
    )


RESULTS = pa.DataFrameSchema(
    {
        "campaign": pa.Column(pl.String),
        "edition": pa.Column(pl.String),
        "row": _Row,
        "phone_raw": pa.Column(pl.String, nullable=True),
        "e164": pa.Column(pl.String, pa.Check.str_matches(E164_PATTERN), nullable=True),
        "network_guess": pa.Column(pl.String, nullable=True),
        "outcome": pa.Column(pl.String, pa.Check.isin([outcome.value for outcome in Outcome])),
        "reason": pa.Column(pl.String, nullable=True),
        "message": pa.Column(pl.String, nullable=True),
        "encoding": pa.Column(pl.String, nullable=True),
        "segments": pa.Column(pl.Int64, nullable=True),
        "estimated_ugx": pa.Column(pl.Int64, nullable=True),
        "charged_ugx": pa.Column(pl.Int64, nullable=True),
        "chunk": pa.Column(pl.Int64, nullable=True),
        "attempt": pa.Column(pl.Int64, nullable=True),
        "sent_at": pa.Column(pl.Datetime("us", "Africa/Kampala"), nullable=True),
        "delivery": pa.Column(pl.String, pa.Check.isin([*map(str, Delivery), NOT_REPORTED]), nullable=True),
    },
    name="results",
)


def check_frame(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """`frame` as it is, once every row has passed; any failure is a defect of ours."""
    _raise_defects(schema, _failures(frame, schema))
    return frame


def reject_failures(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Give the rows that fail a rule of `schema` its reason, where no reason stands yet. No row is added or lost."""
    _check_columns(frame, schema)
    looked_at = frame.select("row", "reject_reason", *(name for name in schema.columns if name != "row"))
    slices = list(looked_at.iter_slices(_ROWS_AT_ONCE)) or [looked_at]
    failed = pl.concat(_failed_rows(rows, schema) for rows in slices)
    if failed.is_empty():
        return frame
    reason = pl.col("row").replace_strict(failed["row"], failed["check"], default=None, return_dtype=pl.String)
    stands = pl.col("reject_reason")
    return frame.with_columns(stands.fill_null(reason.cast(frame.schema["reject_reason"])))


def _failed_rows(rows: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """row and check (the reason) of the rows that are open and fail a rule, the first one of each."""
    open_rows = rows.filter(pl.col("reject_reason").is_null())
    failures = _failures(open_rows, schema)
    is_rule = pl.col("check").is_in([reason.value for reason in Reason]) & pl.col("index").is_not_null()
    _raise_defects(schema, failures.filter(~is_rule))
    first = failures.unique("index", keep="first", maintain_order=True)
    return pl.DataFrame([open_rows["row"].gather(first["index"]), first["check"]])


def _failures(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """The column, check and index of every failed check; never the values, which are people's.

    pandera sees no other column, because it gives some names a meaning of its own (`check_output`). It does not look
    at the data of a LazyFrame, nor at any where the environment turns that off (PANDERA_VALIDATION_DEPTH), and says
    nothing.
    """
    _check_columns(frame, schema)
    try:
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            schema.validate(frame.select(*schema.columns), lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases
        return cases.select("column", "check", "index")
    return pl.DataFrame(schema={"column": pl.String, "check": pl.String, "index": pl.Int32})


def _check_columns(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> None:
    assert isinstance(frame, pl.DataFrame), f"the {schema.name} frame must be eager to be checked"
    lacking = [name for name in schema.columns if name not in frame.columns]
    assert not lacking, f"the {schema.name} frame lacks {', '.join(lacking)}"


def _raise_defects(schema: pa.DataFrameSchema, failures: pl.DataFrame) -> None:
    if failures.height:
        checks = failures.select(pl.format("{}: {}", "column", "check").unique().sort()).to_series()
        raise AssertionError(f"the {schema.name} frame breaks its schema: {'; '.join(checks)}")
