"""What the frame holds after each stage, as pandera schemas, and how a failed check becomes a row's reason.

A check whose `error` is a `Reason` code is a rule about a person's row: it rejects the row. Any other failure (a wrong
dtype, a null where none may be) is a defect of ours and raises `AssertionError`, which holds no value.

To add a rule: a check with its reason here, the reason in `frames.py`, an example in the table of
`tests/unit/test_schemas.py`.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from pipelines.frames import Reason

E164_PATTERN = r"^\+2567\d{8}$"

_Row = pa.Column(pl.Int64, pa.Check.ge(1))
_Reason = pa.Column(pl.String, pa.Check.isin([reason.value for reason in Reason]), nullable=True)

# Checked over every row.
RAW = pa.DataFrameSchema(
    {"row": _Row, "reject_reason": _Reason, "phone_raw": pa.Column(pl.String, nullable=True)}, name="raw"
)

# Checked over the rows that no rule has rejected yet.
NORMALIZED = pa.DataFrameSchema(
    {
        "row": _Row,
        "e164": pa.Column(pl.String, pa.Check.str_matches(E164_PATTERN, error=Reason.INVALID_NUMBER.value)),
        "network_guess": pa.Column(pl.String, nullable=True),
    },
    name="normalized",
)


def priced(max_segments: int) -> pa.DataFrameSchema:
    """After rendering, measuring and pricing; a message of more than `max_segments` is turned away."""
    return pa.DataFrameSchema(
        {
            "message": pa.Column(pl.String, pa.Check.str_length(min_value=1, error=Reason.EMPTY_MESSAGE.value)),
            "encoding": pa.Column(pl.String, pa.Check.isin(["GSM-7", "UCS-2"])),
            "units": pa.Column(pl.Int64, pa.Check.ge(1)),
            "segments": pa.Column(pl.Int64, pa.Check.le(max_segments, error=Reason.MESSAGE_TOO_LONG.value)),
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
        "outcome": pa.Column(pl.String),
        "reason": pa.Column(pl.String, nullable=True),
        "message": pa.Column(pl.String, nullable=True),
        "encoding": pa.Column(pl.String, nullable=True),
        "segments": pa.Column(pl.Int64, nullable=True),
        "estimated_ugx": pa.Column(pl.Int64, nullable=True),
        "charged_ugx": pa.Column(pl.Int64, nullable=True),
        "chunk": pa.Column(pl.Int64, nullable=True),
        "attempt": pa.Column(pl.Int64, nullable=True),
        "sent_at": pa.Column(pl.Datetime("us", "Africa/Kampala"), nullable=True),
    },
    name="results",
)


def check_frame(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """`frame` as it is, once every row has passed; any failure is a defect of ours."""
    failures = _failures(frame, schema)
    if failures.height:
        raise AssertionError(_told(schema, failures))
    return frame


def reject_failures(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Give the rows that fail a rule of `schema` its reason, where no reason stands yet. No row is added or lost.

    Eager frames only: pandera passes a LazyFrame without looking at its data.
    """
    open_rows = frame.filter(pl.col("reject_reason").is_null())
    failures = _failures(open_rows, schema)
    if failures.is_empty():
        return frame
    known = [reason.value for reason in Reason]
    defects = failures.filter(~pl.col("check").is_in(known) | pl.col("index").is_null())
    if defects.height:
        raise AssertionError(_told(schema, defects))
    reasons = failures.group_by("index", maintain_order=True).agg(pl.col("check").first().alias("failed"))
    failed = reasons.select(open_rows["row"].gather(reasons["index"]).alias("row"), "failed")
    judged = (
        frame.join(failed, on="row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("reject_reason", "failed").alias("reject_reason"))
        .drop("failed")
    )
    assert judged.height == frame.height, "accepted + rejected = input"
    return judged


def _failures(frame: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """The `check` and `index` of every failed check; never the values, which are people's."""
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases
        return cases.select("column", "check", "index")
    return pl.DataFrame(schema={"column": pl.String, "check": pl.String, "index": pl.Int32})


def _told(schema: pa.DataFrameSchema, failures: pl.DataFrame) -> str:
    checks = failures.select(pl.format("{}: {}", "column", "check").unique().sort()).to_series().to_list()
    return f"the {schema.name} frame breaks its schema: {'; '.join(checks)}"
