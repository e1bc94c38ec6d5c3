"""What a flow run tells of itself: whether a schedule has made it, for when, and who has stopped it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from mambo_io.window import KAMPALA
from pipelines.campaign import Campaign
from pipelines.opening import DEFAULT_EDITION
from pipelines.schedule import DEFAULT_MAX_LATENESS, edition_of, lateness_of, time_of


def edition_of_run(campaign: Campaign) -> str:
    """The edition of a run that names none: its scheduled time, or the first where no schedule has made it."""
    run = _this_run()
    if run is None or not run.auto_scheduled or run.expected_start_time is None:
        return DEFAULT_EDITION  # any run has an expected start: that of a click
    return edition_of(run.expected_start_time, _zone(campaign))


def lateness(campaign: Campaign, edition: str) -> str | None:
    """By how much it is too late to begin this edition; None while it is not, and for a run that a person has made.

    Of a deployment every run counts whose edition is a time: one may have waited long for a worker.
    """
    run = _this_run()
    due = time_of(edition, _zone(campaign)) if run is not None and run.deployment_id is not None else None
    if due is None and run is not None and run.auto_scheduled:
        due = run.expected_start_time
    if due is None:
        return None
    allowed = campaign.schedule.max_lateness if campaign.schedule is not None else DEFAULT_MAX_LATENESS
    late = timedelta(seconds=int(datetime.now(UTC).timestamp() - due.timestamp()))
    if late <= lateness_of(allowed):
        return None
    return f"it could begin {late} after its time, and max_lateness is {allowed}"


def stopped_with_its_service() -> bool:
    """Whether a run that got a signal was stopped with the program that serves it, and not by a person in Prefect."""
    run = _this_run()
    if run is None or run.deployment_id is None:
        return False
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
    except (httpx.HTTPError, RuntimeError):  # the server has gone away, which no person does to cancel a run
        return True
    return state is None or not state.is_cancelling()


def _this_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context is not None else None


def _zone(campaign: Campaign) -> ZoneInfo:
    return campaign.schedule.zone if campaign.schedule is not None else KAMPALA
