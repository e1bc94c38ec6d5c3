"""The Prefect flow `send-campaign`. Each task is a few lines over what `mambo send --direct` calls as well."""

from __future__ import annotations

import contextvars
from dataclasses import replace
from pathlib import Path

import polars as pl
from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Failed

from mambo_io import control
from mambo_io.datasets import write_dataset
from mambo_io.errors import InputError, Stopped
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import SIGNALLED_TWICE, CampaignState, Outcome, StopReason
from mambo_io.settings import MamboSettings, load_settings
from pipelines import prepare as steps
from pipelines.campaign import Campaign, load_campaign
from pipelines.edition import Loaded, Prepared, Priced
from pipelines.estimate import make_estimate
from pipelines.flows.alerting import tell_of_end
from pipelines.flows.artifacts import OnProgress, progress_artifact, publish_summary
from pipelines.flows.scheduled import edition_of_run, lateness, stopped_with_its_service
from pipelines.flows.steps import mask_engine_logs, masked, step
from pipelines.opening import DEFAULT_EDITION, open_ledger, open_store, send_command
from pipelines.planned import skip_edition
from pipelines.runs import begun_edition, check_target, send_edition
from pipelines.schemas import RESULTS, check_frame
from pipelines.sending import Progress
from pipelines.summary import SERVICE_GAVE_UP, SERVICE_STOPPED, CampaignSummary, stop_text

# Who else wants to hear of a run's progress, in this process: a terminal. A parameter of the flow would be stored.
progress_listener: contextvars.ContextVar[OnProgress] = contextvars.ContextVar(
    "progress_listener", default=lambda *_: None
)


@step("load-recipients")
def load_recipients(campaign: Campaign) -> Loaded:
    return steps.load_recipients(campaign)


@step("normalize-numbers")
def normalize_numbers(campaign: Campaign, loaded: Loaded) -> pl.DataFrame:
    return steps.normalize(campaign, loaded)


@step("validate-recipients")
def validate_recipients(people: pl.DataFrame) -> pl.DataFrame:
    return steps.validate(people)


@step("estimate-cost")
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


@step("chunk-recipients")
def chunk_recipients(campaign: Campaign, edition: str, loaded: Loaded, priced: Priced) -> Prepared:
    return Prepared(campaign, edition, loaded, priced, steps.chunk(campaign, priced.people))


@step("send-chunks")
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
    with progress_artifact(campaign.name, edition, sent_before) as publish:

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


@step("write-results")
def write_results(summary: CampaignSummary, settings: MamboSettings, output: Path | None) -> None:
    """Write the results table to `output` where one is asked for, and publish the sums."""
    if output is not None:
        with open_store(settings) as store:
            ledger = Ledger(store)
            row = ledger.get(summary.campaign, summary.edition)
            write_dataset((check_frame(piece, RESULTS) for piece in ledger.result_pieces(row)), output)
    publish_summary(summary, _told(summary))


def _run_name() -> str:
    """NAME/EDITION. A file that cannot be read is told by the run itself: an error here would leave it pending."""
    parameters = runtime.flow_run.parameters
    file, edition = Path(parameters["campaign"]), parameters.get("edition")
    try:
        spec = load_campaign(file)
    except InputError:
        return f"{file.stem}/{edition or DEFAULT_EDITION}"
    return f"{spec.name}/{edition or edition_of_run(spec)}"


@flow(
    name="send-campaign",
    flow_run_name=_run_name,
    retries=0,
    persist_result=False,
    log_prints=False,
    on_failure=[tell_of_end],
    on_crashed=[tell_of_end],
)
@masked
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
    a person approved, `output` a file for the results table. The settings are those of the environment. Of a run that
    a schedule has made the edition is its scheduled time (`2026-11-30T09:00`); one that is later than the campaign's
    `max_lateness`, and of which nothing is known yet, is skipped, which is recorded.

    Returns the summary when nothing is left to do. Otherwise the run ends Failed with the name `Stopped` (or
    `Skipped`), and the caller gets `mambo_io.errors.Stopped`, which says why and what to type. Raises `InputError` for
    wrong input.
    """
    mask_engine_logs()
    spec, settings = load_campaign(Path(campaign)), load_settings()
    edition = edition or edition_of_run(spec)
    check_target(spec, settings)
    ledger = open_ledger(settings)
    if (late := lateness(spec, edition)) is not None and not _is_known(ledger, spec, edition):
        return _ended(skip_edition(spec, settings, edition=edition, detail=late))
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
    if summary.stop_reason == StopReason.SIGNAL and stopped_with_its_service():
        gave_up = (summary.stop_detail or "").endswith(SIGNALLED_TWICE)
        summary = _explained(summary, settings, SERVICE_GAVE_UP if gave_up else SERVICE_STOPPED)
    write_results(summary, settings, Path(output) if output is not None else None)
    return _ended(summary)


# Where the function itself is found: `serve` pickles it for another process, by this name instead of with all it uses.
send_campaign.fn.__qualname__ = "send_campaign.fn"


def _is_known(ledger: Ledger | None, campaign: Campaign, edition: str) -> bool:
    """Whether a run has taken the edition up in time, whatever has become of it."""
    return ledger is not None and ledger.find(campaign.name, edition) is not None


def _explained(summary: CampaignSummary, settings: MamboSettings, detail: str) -> CampaignSummary:
    with open_store(settings) as store, store.writer() as connection:
        control.explain_stop(connection, Ledger(store).get(summary.campaign, summary.edition), detail)
    return replace(summary, stop_detail=detail)


def _ended(summary: CampaignSummary) -> CampaignSummary | State[CampaignSummary]:
    """What the flow gives back."""
    if summary.exit_code == 0 and summary.state != CampaignState.SKIPPED:
        return summary
    told = _told(summary)
    name = "Skipped" if summary.state == CampaignState.SKIPPED else "Stopped"
    return Failed(name=name, message=told, data=Stopped(told))


def _told(summary: CampaignSummary) -> str:
    """The summary in one line without anything personal."""
    if summary.state == CampaignState.SKIPPED:
        return f"{summary.label}: skipped: {stop_text(summary.stop_reason, summary.stop_detail)}."
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.outcomes.items())
    why = f" Stopped: {stop_text(summary.stop_reason, summary.stop_detail)}." if summary.exit_code else ""
    why += " A person has paused it." if summary.held_by is not None else ""
    after = f" Next: {summary.next_command}" if summary.next_command else ""
    known = "" if summary.charge_is_known else ", as far as known"
    return f"{summary.label}: {counts}; UGX {summary.charged_ugx:,} of {summary.estimated_ugx:,}{known}.{why}{after}"


def _in_accepted_calls(ledger: Ledger, campaign: CampaignRow) -> int:
    outcomes = ledger.totals(campaign).outcomes
    return sum(outcomes.get(outcome, 0) for outcome in (Outcome.ACCEPTED, Outcome.UNSUPPORTED, Outcome.UNVERIFIED))
