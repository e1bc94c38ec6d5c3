"""The Prefect flow `reconcile`: what was sent the day before is settled, added up, reported and judged.

Annotations are evaluated here (no `from __future__ import annotations`): the engine reads those of the flow's
parameters, and would look for their names where the decorator `masked` was written.
"""

from datetime import UTC, date, datetime
from pathlib import Path

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from mambo_io.errors import Difference, InputError
from mambo_io.settings import MamboSettings, load_settings
from pipelines.flows.steps import mask_engine_logs, masked, step
from pipelines.opening import open_store
from pipelines.reconciliation import Books, by_campaign, read_books
from pipelines.reconciling import (
    Reconciliation,
    SettledEdition,
    alarms,
    by_campaign_table,
    check_difference,
    days_of,
    headline,
    markdown,
    period_of,
    settle_account,
    write_days,
)


@step("settle-unknown")
def settle_unknown(settings: MamboSettings) -> tuple[SettledEdition, ...]:
    return settle_account(settings)


@step("read-books")
def read(settings: MamboSettings, names: list[str] | None, start: date, end: date) -> Books:
    with open_store(settings) as store:
        return read_books(store, names, start=start, end=end)


@step("write-report")
def write_report(settings: MamboSettings, books: Books, output: Path, days: str) -> Path:
    with open_store(settings) as store:
        return write_days(books, store, output, days)


@step("publish")
def publish(found: Reconciliation, report: Path) -> None:
    """Sums by campaign and a page in words, each under one key, so that Prefect's pages show the mornings in a row."""
    create_table_artifact(key="reconciliation-campaigns", table=by_campaign_table(found), description=headline(found))
    create_markdown_artifact(key="reconciliation", markdown=markdown(found, report), description=headline(found))


def _run_name() -> str:
    """`reconcile/2026-11-25`. What is wrong with the days is told by the run itself."""
    try:
        start, end = period_of(
            runtime.flow_run.parameters.get("start"), runtime.flow_run.parameters.get("end"), now=_scheduled()
        )
    except InputError:
        return "reconcile"
    return f"reconcile/{days_of(start, end)}"


@flow(name="reconcile", flow_run_name=_run_name, retries=0, persist_result=False, log_prints=False)
@masked
def reconcile(
    start: date | None = None,
    end: date | None = None,
    *,
    names: list[str] | None = None,
    output: str = "reports",
    max_difference_ugx: int = 0,
) -> Reconciliation | State[Reconciliation]:
    """Settle what can be settled of the account, add up what was sent, write the report, and judge the difference.

    `start` and `end` are the first day and the last (Kampala). Without an end it is the day before the run's scheduled
    time, so a run that is late, or repeated, is about the same day; without a start it is that one day. `names` are
    campaigns (`clinic-day`) or editions (`clinic-day/1`); None: all, of every account. `output` is the report: a file
    (.html, .xlsx, .csv, .parquet), or a folder for `2026-11-25.html`. The settings are those of the environment;
    without MAMBO_USERNAME and MAMBO_PASSWORD unknown calls are settled by the balances that replies named.

    Returns the sums. When more than `max_difference_ugx` is unreconciled (see `pipelines.reconciling.alarms`), the
    report is written all the same; the run ends Failed with the name `Difference`, and the caller gets
    `mambo_io.errors.Difference`, which says how much and where. Raises `InputError` for wrong input.
    """
    mask_engine_logs()
    first, last = period_of(start, end, now=_scheduled())
    settings = load_settings()
    settled = settle_unknown(settings)
    books = read(settings, names, first, last)
    report = write_report(settings, books, Path(output), days_of(first, last))
    found = Reconciliation(first, last, by_campaign(books), alarms(books), settled, max_difference_ugx)
    publish(found, report)
    try:
        check_difference(found)
    except Difference as difference:
        return Failed(name="Difference", message=difference.message, data=difference)
    return Completed(message=headline(found), data=found)


# Where the function itself is found: `serve` pickles it for another process, by this name instead of with all it uses.
reconcile.fn.__qualname__ = "reconcile.fn"


def _scheduled() -> datetime:
    return runtime.flow_run.scheduled_start_time or datetime.now(UTC)
