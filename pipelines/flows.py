"""The Prefect flows. Each task is a few lines over the plain functions that `mambo send --direct` calls as well.

Nothing personal reaches the engine: parameters are the campaign file and the edition, frames are passed from task to
task without being stored, artifacts hold sums, and a defect's exception is masked before the engine pickles it. No task
retries and none is cached, because the ledger alone knows what was sent; a flow that is started twice finds the same
edition and sends nothing twice.

`send_campaign` runs wherever Prefect's settings say. Without PREFECT_API_URL Prefect starts a server of its own and
gives it 20 s, which its first start may exceed: set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120.
`send_campaign.serve()` offers it in Prefect's pages; a run that is cancelled there drains what is in flight.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import polars as pl
from prefect import Task, flow, runtime, task
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from mambo_io.datasets import write_dataset
from mambo_io.errors import InputError, MamboError, Stopped
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.log import record_defect
from mambo_io.masking import MaskingFilter, mask_text
from mambo_io.model import Outcome
from mambo_io.settings import MamboSettings, load_settings
from pipelines import prepare as steps
from pipelines.campaign import Campaign, load_campaign
from pipelines.edition import Loaded, Prepared, Priced
from pipelines.estimate import make_estimate
from pipelines.opening import DEFAULT_EDITION, open_ledger, open_store, send_command
from pipelines.runs import begun_edition, check_target, send_edition
from pipelines.schemas import RESULTS, check_frame
from pipelines.sending import Progress
from pipelines.summary import CampaignSummary, stop_text

P = ParamSpec("P")
R = TypeVar("R")

_PROGRESS_EVERY_S = 3.0

OnProgress = Callable[[Progress, CampaignRow], None]

# Who else wants to hear of a run's progress, in this process: a terminal. A parameter of the flow would be stored.
progress_listener: contextvars.ContextVar[OnProgress] = contextvars.ContextVar(
    "progress_listener", default=lambda *_: None
)


def _masked(function: Callable[P, R]) -> Callable[P, R]:
    """Let our own errors through, which hold no data; of any other only the text of its traceback, masked.

    The engine pickles, logs and publishes what a run raises, and a library's exception may hold rows.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except MamboError:
            raise
        except Exception as error:  # noqa: BLE001 - raised below, outside this block, so that nothing is chained to it
            record_defect(error)
            defect = mask_text(traceback.format_exc())
        raise RuntimeError(defect)

    return run


def _step(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that runs once, in this process, and leaves nothing behind in the engine but its state."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name, task_run_name=name, retries=0, persist_result=False, cache_policy=NO_CACHE, log_prints=False
        )(_masked(function))

    return decorate


@_step("load-recipients")
def load_recipients(campaign: Campaign) -> Loaded:
    return steps.load_recipients(campaign)


@_step("normalize-numbers")
def normalize_numbers(campaign: Campaign, loaded: Loaded) -> pl.DataFrame:
    return steps.normalize(campaign, loaded)


@_step("validate-recipients")
def validate_recipients(people: pl.DataFrame) -> pl.DataFrame:
    return steps.validate(people)


@_step("estimate-cost")
def estimate_cost(
    campaign: Campaign,
    loaded: Loaded,
    people: pl.DataFrame,
    edition: str,
    account: str,
    ledger: Ledger | None,
    allow_repeat: bool,
) -> Priced:
    return steps.estimate(
        campaign, loaded, people, edition=edition, account=account, ledger=ledger, allow_repeat=allow_repeat
    )


@_step("chunk-recipients")
def chunk_recipients(campaign: Campaign, edition: str, loaded: Loaded, priced: Priced) -> Prepared:
    return Prepared(campaign, edition, loaded, priced, steps.chunk(campaign, priced.people))


@_step("send-chunks")
def send_chunks(
    campaign: Campaign,
    settings: MamboSettings,
    edition: str,
    prepared: Prepared | None,
    approved: str | None,
    accept_canary: bool,
    sent_before: int,
    command: str,
) -> CampaignSummary:
    """The send loop. It runs in this task's own thread, where it can see SIGTERM, and drains what is in flight."""
    listen = progress_listener.get()
    with _progress_artifact(campaign.name, edition, sent_before) as publish:

        def on_progress(now: Progress, row: CampaignRow) -> None:
            publish(now, row)
            listen(now, row)

        return send_edition(
            campaign,
            settings,
            edition=edition,
            prepared=prepared,
            command=command,
            approved=approved,
            accept_canary=accept_canary,
            on_progress=on_progress,
        )


@_step("write-results")
def write_results(summary: CampaignSummary, settings: MamboSettings, output: Path | None) -> None:
    """Write the results table to `output` where one is asked for, and publish the sums."""
    figures = [*((outcome, count, "recipients") for outcome, count in summary.outcomes.items())]
    figures += [("estimated", summary.estimated_ugx, "UGX"), ("charged", summary.charged_ugx, "UGX")]
    table = [{"figure": figure, "value": value, "unit": unit} for figure, value, unit in figures]
    if output is not None:
        with open_store(settings) as store:
            ledger = Ledger(store)
            row = ledger.get(summary.campaign, summary.edition)
            write_dataset((check_frame(piece, RESULTS) for piece in ledger.result_pieces(row)), output)
    create_table_artifact(key=f"summary-{summary.campaign}", table=table, description=_told(summary))


def _run_name() -> str:
    """NAME/EDITION. A file that cannot be read is told by the run itself: an error here would leave it pending."""
    parameters = runtime.flow_run.parameters
    file = Path(parameters["campaign"])
    try:
        name = load_campaign(file).name
    except InputError:
        name = file.stem
    return f"{name}/{parameters.get('edition') or DEFAULT_EDITION}"


@flow(name="send-campaign", flow_run_name=_run_name, retries=0, persist_result=False, log_prints=False)
@_masked
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
    begun = begun_edition(ledger, spec, edition, settings)
    if begun is None:
        loaded = load_recipients(spec)
        people = validate_recipients(normalize_numbers(spec, loaded))
        priced = estimate_cost(spec, loaded, people, edition, settings.account, ledger, allow_repeat)
        prepared = chunk_recipients(spec, edition, loaded, priced)
        obstacles = make_estimate(prepared, account=settings.account, ledger=ledger).obstacles
        if obstacles:
            raise InputError(obstacles[0], file=campaign)
    sent_before = 0 if ledger is None or begun is None else _in_accepted_calls(ledger, begun)
    command = send_command(Path(campaign), edition)
    summary = send_chunks(spec, settings, edition, prepared, approved, accept_canary, sent_before, command)
    write_results(summary, settings, Path(output) if output is not None else None)
    if summary.exit_code == 0:
        return summary
    told = _told(summary)
    return Failed(name="Stopped", message=told, data=Stopped(told))


# Where the function itself is found: `serve` pickles it for another process, by this name instead of with all it uses.
send_campaign.fn.__qualname__ = "send_campaign.fn"


def _told(summary: CampaignSummary) -> str:
    """The summary in one line without anything personal."""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.outcomes.items())
    why = f" Stopped: {stop_text(summary.stop_reason, summary.stop_detail)}." if summary.exit_code else ""
    after = f" Next: {summary.next_command}" if summary.next_command else ""
    return f"{summary.label}: {counts}; UGX {summary.charged_ugx:,} of {summary.estimated_ugx:,}.{why}{after}"


def _in_accepted_calls(ledger: Ledger, campaign: CampaignRow) -> int:
    outcomes = ledger.totals(campaign).outcomes
    return sum(outcomes.get(outcome, 0) for outcome in (Outcome.ACCEPTED, Outcome.UNSUPPORTED, Outcome.UNVERIFIED))


@contextmanager
def _progress_artifact(name: str, edition: str, sent_before: int) -> Iterator[OnProgress]:
    """A progress artifact, published every few seconds by a thread of its own, so that sending never waits for it."""
    latest: list[float] = []
    done = threading.Event()

    def publish() -> None:
        artifact_id: Any = None  # of a coroutine, too, in the annotations; here all is synchronous
        published = None
        while not done.is_set():
            done.wait(_PROGRESS_EVERY_S)
            if not latest or latest[-1] == published:
                continue
            published = latest[-1]
            if artifact_id is not None:
                update_progress_artifact(artifact_id=artifact_id, progress=published)
                continue
            description = f"Recipients of {name}/{edition} in accepted calls."
            artifact_id = create_progress_artifact(published, key=f"progress-{name}", description=description)

    def on_progress(now: Progress, row: CampaignRow) -> None:
        latest[:] = [round(100.0 * (sent_before + now.recipients) / row.sendable, 1) if row.sendable else 100.0]

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
