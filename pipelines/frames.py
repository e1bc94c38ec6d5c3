"""The frame: one row per input row, from file to report. What each stage adds.

A step adds columns and never removes rows. A row that will not be sent carries its `Reason` in `reject_reason`; the
first reason stands.

=================  ==========================================================================================
raw                row Int64 (the spreadsheet's own number), reject_reason, phone_raw, the file's own columns
normalized         + e164 (`+2567XXXXXXXX`), network_guess; null for a rejected row
priced             + message, encoding ("GSM-7" or "UCS-2"), units, segments, estimated_ugx Int64
chunked            + chunk Int64, the API call; null for a rejected row
=================  ==========================================================================================

What is not Int64 is String. The schemas are in `pipelines.schemas`, those of the results as well.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from pipelines.reasons import Reason

REASONS = pl.Enum([reason.value for reason in Reason])  # how frames of millions keep one: in a byte


def change_some(values: pl.Series, where: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`values` with `change` of those for which `where` is true in their place; it never sees the others.

    In expressions polars works out both sides of a `when` for every row. This is for what costs much and few rows need.
    """
    places = where.arg_true()
    return values.scatter(places, change(values.gather(places))) if len(places) else values
