"""A folder of campaign files kept in step with a Prefect server: a deployment for each file, and a run for each edition
that wants one by itself.

`mambo serve` does so every few seconds and runs what is due; the flow `tend_campaigns` does it once, for a server whose
runs are made by the workers of a work pool. The ledger decides what is sent: a run too many finds nothing to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, RRule, Schedule
from prefect.types.entrypoint import EntrypointType

from mambo_io.ledger import Ledger
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import NoLedgerYet
from pipelines.alerts import of_crash, run_of, tell
from pipelines.campaign import Campaign
from pipelines.due import GRACE, KILLED, Wanted, going_on, killed, missed
from pipelines.flows.sending import send_campaign
from pipelines.flows.steps import mask_engine_logs, masked
from pipelines.folder import CampaignFile, CampaignFolder, Told
from pipelines.opening import open_store

_TAG = "mambo-campaign"

# A run that has begun, and of which the ledger knows nothing so long afterwards, was lost with its worker; ten million
# people are planned in a minute.
_LOST_AFTER = timedelta(minutes=5)
_MOST_RUNS_OF_AN_OCCASION = 3


@dataclass
class Tended:
    """What one look at the folder came to; in words, without anything personal."""

    said: list[str] = field(default_factory=list)
    deployments: dict[str, UUID] = field(default_factory=dict)  # by campaign, of all that are served


class Tender:
    """Keeps the deployments of one folder, and starts the runs that are wanted. Call `look` again and again.

    `work_pool` is whose workers make the runs; None: the program that serves the folder does.
    """

    def __init__(self, folder: Path, settings: MamboSettings, *, work_pool: str | None = None) -> None:
        """Raises `InputError` where there is no such folder."""
        self._folder = CampaignFolder(folder)
        self._settings = settings
        self._work_pool = work_pool
        self._taken_in: dict[Path, CampaignFile] = {}
        self._deployments: dict[str, UUID] = {}

    def look(self) -> Tended:
        """Read what changed, register it, remove what is gone, and start what is wanted."""
        now = datetime.now(UTC)
        tended = Tended()
        self._folder.read()
        with get_client(sync_client=True) as client:
            for path, file in self._folder.files.items():
                if self._taken_in.get(path) != file:
                    tended.said.append(self._register(client, file, now))
                    self._taken_in[path] = file  # not before: the server may not have answered
            tended.said += self._remove_gone(client)
            for file, wanted in self._wanted(client, now):
                tended.said += self._start(client, file, wanted)
        tended.deployments = dict(self._deployments)
        return tended

    def _register(self, client: SyncPrefectClient, file: CampaignFile, now: datetime) -> str:
        """Make the deployment of a campaign file what the file says. What a person has switched off stays so."""
        campaign = file.campaign
        if campaign is None:
            assert file.problem is not None, "why there is none"
            return f"{self._words(file.problem)} Nothing of it is sent until that is set right."
        known = _read_deployment(client, campaign.name)
        other = None if known is None else Path(str(known.parameters.get("campaign")))
        if other is not None and other != file.path and other.is_file():
            return f"{file.path}: {campaign.name} is served from {other} already, and stays so"
        deployment = _deployment(campaign, self._work_pool)
        if known is not None and known.version == deployment.version:
            self._deployments[campaign.name] = known.id
        else:
            deployment.paused = known is not None and known.paused
            self._deployments[campaign.name] = cast("UUID", deployment.apply(work_pool_name=self._work_pool))
        problem = file.problem_at(now)
        but = "" if problem is None else f"; but as its files are now, nothing would be sent: {self._words(problem)}"
        return f"{campaign.name}: {_next_run(campaign, now)}{but}"

    def _words(self, problem: Told) -> str:
        """In full at the terminal of the program that serves; a flow's words are kept in Prefect's database."""
        return problem.message if self._work_pool is None else f"{problem.outline}."

    def _remove_gone(self, client: SyncPrefectClient) -> Iterator[str]:
        """Remove the deployments whose file was in this folder and is not there any more, or has another name now."""
        tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[_TAG]))
        for deployment in client.read_deployments(deployment_filter=tagged):
            path = Path(str(deployment.parameters.get("campaign")))
            if path.parent != self._folder.folder:
                continue
            file = self._folder.files.get(path)
            if file is None or (file.campaign is not None and file.campaign.name != deployment.name):
                client.delete_deployment(deployment.id)
                self._deployments.pop(deployment.name, None)
                yield f"{deployment.name}: its file is gone, and it is not served any more"

    def tell_of_killed(self) -> Iterator[str]:
        """Tell of campaigns that were being sent when the machine went down: there was nobody left to tell it."""
        self._folder.read()
        with suppress(NoLedgerYet), open_store(self._settings) as store:
            ledger = Ledger(store)
            for file in self._folder.campaigns:
                assert file.campaign is not None, "only files that hold a campaign"
                for row in killed(file.campaign, ledger, self._settings):
                    tell(of_crash(run_of(file.path, row.edition)), self._settings)
                    yield f"{row.label}: its process ended while it was sending"

    def _wanted(self, client: SyncPrefectClient, now: datetime) -> list[tuple[CampaignFile, Wanted]]:
        try:
            store = open_store(self._settings)
        except NoLedgerYet:
            return [(file, wanted) for file in self._folder.campaigns if (wanted := _missed(client, file, None, now))]
        found: list[tuple[CampaignFile, Wanted]] = []
        with store:
            ledger = Ledger(store)
            for file in self._folder.campaigns:
                assert file.campaign is not None, "only files that hold a campaign"
                found += [(file, wanted) for wanted in going_on(file.campaign, ledger, self._settings, now=now)]
                if (wanted := _missed(client, file, ledger, now)) is not None:
                    found.append((file, wanted))
        return found

    def _start(self, client: SyncPrefectClient, file: CampaignFile, wanted: Wanted) -> Iterator[str]:
        """A run of the edition, unless a person has switched its deployment off; one for each occasion."""
        deployment_id = self._deployments.get(wanted.campaign)
        if deployment_id is None:
            return
        try:
            if client.read_deployment(deployment_id).paused:
                return
        except ObjectNotFound:  # the server's database is a new one
            self._taken_in.clear()
            return
        key = wanted.key
        for _ in range(_MOST_RUNS_OF_AN_OCCASION):
            of_it = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
            is_new = not client.read_flow_runs(flow_run_filter=of_it)
            run = client.create_flow_run_from_deployment(
                deployment_id, parameters={"edition": wanted.edition}, name=wanted.label, idempotency_key=key
            )
            if not (_is_lost(run, datetime.now(UTC)) or _is_set_right(run, file)):
                break
            key = f"{wanted.key}/{run.id}"  # the next one, in its place
        if is_new:
            if wanted.why == KILLED and self._work_pool is not None:
                # Which a worker does not do; `mambo serve` hears of its own runs.
                tell(of_crash(run_of(file.path, wanted.edition)), self._settings)
            yield f"{wanted.label}: goes on ({wanted.why})"


@flow(name="tend-campaigns", retries=0, persist_result=False, log_prints=True)
@masked
def tend_campaigns(folder: str, work_pool: str) -> None:
    """Look once at a folder of campaign files, for workers: each file is a deployment in `work_pool`, and each edition
    that is due or goes on by itself gets a run. A schedule of a few minutes does (`prefect.yaml`).

    Raises `InputError` where there is no such folder.
    """
    mask_engine_logs()
    for line in Tender(Path(folder), load_settings(), work_pool=work_pool).look().said:
        print(line)


# Where the function itself is found: `serve` pickles it for another process, by this name instead of with all it uses.
tend_campaigns.fn.__qualname__ = "tend_campaigns.fn"


def _deployment(campaign: Campaign, work_pool: str | None) -> RunnerDeployment:
    """The deployment `send-campaign/NAME`. Its version names all that it is made from."""
    schedules = list(_schedules(campaign))
    facts = [str(campaign.file), work_pool, [(each.cron, each.rrule, each.timezone) for each in schedules]]
    deployment = send_campaign.to_deployment(
        name=campaign.name,
        parameters={"campaign": str(campaign.file)},
        schedules=schedules,
        description=f"Sends the campaign file {campaign.file.name}.",
        tags=[_TAG],
        version=hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest(),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment), "made outside an event loop"
    return deployment


def _schedules(campaign: Campaign) -> Iterator[Schedule]:
    schedule = campaign.schedule
    if schedule is None:
        return
    if schedule.cron is not None:
        yield Cron(schedule.cron, timezone=schedule.timezone)
    for at in schedule.at or ():
        yield RRule(f"DTSTART:{at:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1", timezone=schedule.timezone)


def _read_deployment(client: SyncPrefectClient, campaign: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{send_campaign.name}/{campaign}")
    except ObjectNotFound:
        return None


def _missed(client: SyncPrefectClient, file: CampaignFile, ledger: Ledger | None, now: datetime) -> Wanted | None:
    """An edition whose time has come, and that no run has taken up but those that were lost, or failed before its files
    were set right. What is late has its run, which waits for a worker. If a lost one works still, the other one finds
    the edition and sends nothing. A schedule begins with its file: whoever writes it a minute later means the next."""
    assert file.campaign is not None, "only files that hold a campaign"
    wanted = missed(file.campaign, ledger, now=now)
    deployment = None if wanted is None else _read_deployment(client, file.campaign.name)
    if wanted is None or deployment is None or not all(schedule.active for schedule in deployment.schedules):
        return None
    assert wanted.scheduled is not None, "what was missed had its time"
    of_that_time = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        expected_start_time=FlowRunFilterExpectedStartTime(
            after_=wanted.scheduled - GRACE / 2, before_=wanted.scheduled + GRACE / 2
        ),
    )
    runs = client.read_flow_runs(flow_run_filter=of_that_time)
    if not runs:
        return wanted if file.written_at <= wanted.scheduled else None
    set_right = [run for run in runs if _is_set_right(run, file)]
    if not all(run in set_right or _is_lost(run, now) for run in runs):
        return None
    return replace(wanted, why="its files were saved again since its run failed") if set_right else wanted


def _is_lost(run: FlowRun, now: datetime) -> bool:
    """Whether a run of an edition that nobody is sending will not come to its end: it was killed, or Prefect is told
    nothing of its worker, which was killed or cut off, and it stays Pending or Running for good."""
    state = run.state
    if state is None or state.is_crashed():
        return state is not None
    return (state.is_pending() or state.is_running()) and state.timestamp < now - _LOST_AFTER


def _is_set_right(run: FlowRun, file: CampaignFile) -> bool:
    """Whether a run has failed, and one of the files it was made from was saved since."""
    return run.state is not None and run.state.is_failed() and run.state.timestamp < file.changed_at


def _next_run(campaign: Campaign, now: datetime) -> str:
    if campaign.schedule is None:
        return "has no schedule; it is sent when somebody starts it"
    upcoming = campaign.schedule.next_times(now, 1)
    return f"next {upcoming[0]:%Y-%m-%d %H:%M %Z}" if upcoming else "no time of its schedule is to come"
