"""The Prefect flows. Each task is a few lines over the plain functions that `mambo send --direct` calls as well.

Nothing personal reaches the engine: parameters are the campaign file and the edition, frames are passed from task to
task without being stored, artifacts hold sums. No task retries and none is cached, because the ledger alone knows what
was sent; a flow that is started twice finds the same edition and sends nothing twice.
"""

from __future__ import annotations

import contextvars
import logging
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, runtime, task
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from mambo_io.datasets import write_dataset
from mambo_io.errors import InputError, Stopped
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.masking import MaskingFilter
from mambo_io.settings import MamboSettings, load_settings
from pipelines import prepare as steps
from pipelines.campaign import Campaign, load_campaign
from pipelines.estimate import make_estimate
from pipelines.prepare import Loaded, Prepared, Priced
from pipelines.runs import DEFAULT_EDITION, begun_edition, check_target, open_ledger, open_store, send_edition
from pipelines.schemas import RESULTS, check_frame
from pipelines.sending import Progress
from pipelines.summary import CampaignSummary, stop_text

_PROGRESS_EVERY_S = 3.0

# What every task of ours has in common: run once, in this process, and leave nothing behind in the engine.
_ONCE: dict[str, Any] = {"retries": 0, "persist_result": False, "cache_policy": NO_CACHE, "log_prints": False}


@task(name="load-recipients", **_ONCE)
def load_recipients(campaign: Campaign) -> Loaded:
    return steps.load_recipients(campaign)


@task(name="normalize-numbers", **_ONCE)
def normalize_numbers(campaign: Campaign, frame: pl.DataFrame) -> pl.DataFrame:
    return steps.normalize(campaign, frame)


@task(name="validate-recipients", **_ONCE)
def validate_recipients(frame: pl.DataFrame) -> pl.DataFrame:
    return steps.validate(frame)


@task(name="estimate-cost", **_ONCE)
def estimate_cost(
    campaign: Campaign, frame: pl.DataFrame, edition: str, account: str, ledger: Ledger | None, allow_repeat: bool
) -> Priced:
    return steps.estimate(campaign, frame, edition=edition, account=account, ledger=ledger, allow_repeat=allow_repeat)


@task(name="chunk-recipients", **_ONCE)
def chunk_recipients(campaign: Campaign, edition: str, loaded: Loaded, priced: Priced) -> Prepared:
    return Prepared(campaign, edition, loaded, priced, steps.chunk(campaign, priced.frame))


@task(name="send-chunks", **_ONCE)
def send_chunks(
    campaign: Campaign,
    settings: MamboSettings,
    edition: str,
    prepared: Prepared | None,
    approved: str | None,
    accept_canary: bool,
) -> CampaignSummary:
    """The send loop. It runs in this task's own thread, where it can see SIGTERM, and drains what is in flight."""
    with _progress_artifact(campaign.name, edition) as on_progress:
        return send_edition(
            campaign,
            settings,
            edition=edition,
            prepared=prepared,
            command=_command(campaign, edition),
            approved=approved,
            accept_canary=accept_canary,
            on_progress=on_progress,
        )


@task(name="write-results", **_ONCE)
def write_results(summary: CampaignSummary, settings: MamboSettings, output: Path | None) -> None:
    """Publish the sums, and write the results table to `output` where one is asked for."""
    counted = [{"outcome": outcome, "recipients": count} for outcome, count in summary.outcomes.items()]
    money = [
        {"outcome": "estimated, UGX", "recipients": summary.estimated_ugx},
        {"outcome": "charged, UGX", "recipients": summary.charged_ugx},
    ]
    create_table_artifact(key=f"summary-{summary.campaign}", table=counted + money, description=_told(summary))
    if output is not None:
        with open_store(settings) as store:
            ledger = Ledger(store)
            row = ledger.get(summary.campaign, summary.edition)
            write_dataset(check_frame(ledger.results(row), RESULTS), output)


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"{load_campaign(Path(parameters['campaign'])).name}/{parameters.get('edition') or DEFAULT_EDITION}"


@flow(name="send-campaign", flow_run_name=_run_name, retries=0, persist_result=False, log_prints=False)
def send_campaign(
    campaign: str,
    edition: str | None = None,
    *,
    approved: str | None = None,
    allow_repeat: bool = False,
    accept_canary: bool = False,
    output: str | None = None,
) -> CampaignSummary | State[CampaignSummary]:
    """Send a campaign, or go on where it stopped.

    `campaign` is the path of a campaign file, `edition` which sending of it, `approved` the digest of an estimate that
    a person approved, `output` a file for the results table. The settings are those of the environment.

    Returns the summary when nothing is left to do. Otherwise the run ends Failed with the name `Stopped`, and the
    caller gets `mambo_io.errors.Stopped`, which says why and what to type. Raises `InputError` for wrong input.
    """
    _mask_engine_logs()
    spec, settings, edition = load_campaign(Path(campaign)), load_settings(), edition or DEFAULT_EDITION
    check_target(spec, settings)
    ledger = open_ledger(settings)
    prepared: Prepared | None = None
    if begun_edition(ledger, spec, edition, settings) is None:
        loaded = load_recipients(spec)
        frame = validate_recipients(normalize_numbers(spec, loaded.frame))
        priced = estimate_cost(spec, frame, edition, settings.account, ledger, allow_repeat)
        prepared = chunk_recipients(spec, edition, loaded, priced)
        obstacles = make_estimate(prepared, account=settings.account, ledger=ledger).obstacles
        if obstacles:
            raise InputError(obstacles[0], file=campaign)
    summary = send_chunks(spec, settings, edition, prepared, approved, accept_canary)
    write_results(summary, settings, Path(output) if output is not None else None)
    if summary.exit_code == 0:
        return summary
    told = _told(summary)
    return Failed(name="Stopped", message=told, data=Stopped(told))


def _told(summary: CampaignSummary) -> str:
    """The summary in one line without anything personal."""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.outcomes.items())
    why = f" Stopped: {stop_text(summary.stop_reason, summary.stop_detail)}." if summary.exit_code else ""
    after = f" Next: {summary.next_command}" if summary.next_command else ""
    return f"{summary.label}: {counts}; UGX {summary.charged_ugx:,} of {summary.estimated_ugx:,}.{why}{after}"


def _command(campaign: Campaign, edition: str) -> str:
    suffix = f" --edition {shlex.quote(edition)}" if edition != DEFAULT_EDITION else ""
    return f"mambo send {shlex.quote(campaign.file.name)}{suffix}"


@contextmanager
def _progress_artifact(name: str, edition: str) -> Iterator[Callable[[Progress, CampaignRow], None]]:
    """A progress artifact that is updated every few seconds by a thread of its own, so that sending never waits."""
    # Synchronous here; the annotation covers its use in a coroutine, too.
    artifact_id: Any = create_progress_artifact(
        progress=0.0, key=f"progress-{name}", description=f"Recipients of {name}/{edition} in accepted calls."
    )
    latest: list[float] = [0.0]
    done = threading.Event()

    def publish() -> None:
        published = 0.0
        while not done.wait(_PROGRESS_EVERY_S) or latest[0] != published:
            if latest[0] != published:
                published = latest[0]
                update_progress_artifact(artifact_id=artifact_id, progress=published)
            if done.is_set():
                return

    def on_progress(now: Progress, row: CampaignRow) -> None:
        latest[0] = round(100.0 * now.recipients / row.sendable, 1) if row.sendable else 100.0

    thread = threading.Thread(target=contextvars.copy_context().run, args=(publish,), name="progress")
    thread.start()
    try:
        yield on_progress
    finally:
        done.set()
        thread.join()


def _mask_engine_logs() -> None:
    """Whatever the engine logs of a run, a traceback of a defect included, goes out without numbers."""
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(known, MaskingFilter) for known in handler.filters):
                handler.addFilter(MaskingFilter())
