"""`mambo reconcile`: what the flow of that name does, without an engine; for a timer of the system's own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mambo_io.errors import InputError
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.cli.amounts import whole_ugx
from pipelines.cli.days import day


def reconcile(
    *names: str,
    first: Annotated[str | None, Parameter(name="--from")] = None,
    last: Annotated[str | None, Parameter(name="--to")] = None,
    output: Path = Path("reports"),
    max_difference_ugx: Annotated[str, Parameter(allow_leading_hyphen=True)] = "0",
) -> int:
    """Settle, add up, report and judge what was sent yesterday.

    Settles what can be settled of the account's unknown calls, writes the report, and judges what nobody agreed to:
    prices other than the tariff's, counts other than ours, a balance that moved without a known reason. The exit code
    is 3 when that is more than is allowed. Nothing is sent. For example, every morning:

        mambo reconcile --output reports
        mambo reconcile --from 2026-11-01 --to 2026-11-30 --output november.xlsx

    Parameters
    ----------
    names
        Campaigns, each with all of its editions (`clinic-day`) or one of them (`clinic-day/1`); none: all.
    first
        From this day on, as 2026-01-31; Kampala's days. None: the last day only.
    last
        Until this day, and on it. None: yesterday.
    output
        The report: a file (.html, .xlsx, .csv, .parquet), or a folder for 2026-11-25.html.
    max_difference_ugx
        What may differ without a reason, in UGX.
    """
    from pipelines.reconciling import check_difference, headline, period_of, reconcile_days, settled_text

    allowed_ugx = whole_ugx("--max-difference-ugx", max_difference_ugx)
    if allowed_ugx < 0:
        raise InputError("is below zero", key="--max-difference-ugx", value=max_difference_ugx)
    start, end = period_of(day("--from", first), day("--to", last), now=dt.datetime.now(dt.UTC))
    found, report = reconcile_days(
        load_settings(), names or None, start, end, output=output, max_difference_ugx=allowed_ugx
    )
    for edition in found.settled:
        screens.say(settled_text(edition))
    screens.say(f"Report: {report}")
    check_difference(found)
    screens.say(headline(found))
    return 0
