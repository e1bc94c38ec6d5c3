"""What the flow `send-campaign` tells when a run of it failed or crashed: a Prefect event, and the owner's command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import Event, RelatedResource, Resource

from mambo_io.log import run_log
from mambo_io.masking import mask_text
from pipelines.alerts import Problem, Run, of_crash, of_error, of_summary, run_of, tell


def tell_of_end(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of the flow. The run itself calls it, or, when its process was killed, the runner that had started it."""
    if state.is_crashed():
        flow_run = _as_it_is_now(flow_run)
    run = _run(flow_run)
    problem = of_crash(run) if state.is_crashed() else _of_failure(state, run)
    if problem is not None:
        _emit(problem, flow_run)
        tell(problem, run.settings)


def _of_failure(state: State[Any], run: Run) -> Problem | None:
    """Of a run that ended with a name of its own (`Stopped`, `Skipped`) the ledger knows more than its exception."""
    if state.name == "Failed" or (summary := run.summary()) is None:
        return of_error(state.result(raise_on_failure=False), run)
    return of_summary(summary)


def _as_it_is_now(flow_run: FlowRun) -> FlowRun:
    """A runner knows its run as it was before it began and got its name."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(flow_run.id)
    except Exception as error:  # noqa: BLE001 - perhaps the server is gone, and the run crashed because of that
        run_log().warning("Prefect does not tell about a run that crashed (%s)", type(error).__name__)
        return flow_run


def _run(flow_run: FlowRun) -> Run:
    """By its name, NAME/EDITION, which it got when it began; one that ended earlier than that by its parameters."""
    file = Path(str(flow_run.parameters.get("campaign", "")))
    campaign, is_named, edition = flow_run.name.partition("/")
    if not is_named:
        return run_of(file, flow_run.parameters.get("edition"))
    return replace(run_of(file, edition), campaign=campaign)


def _emit(problem: Problem, flow_run: FlowRun) -> None:
    """`mambo.campaign.stopped`, `.skipped`, `.failed` or `.crashed`, with the problem as its payload.

    Posted, and not left to `emit_event`, which hands it to a thread: the server, or this process, may end right after.
    """
    resource = {
        "prefect.resource.id": f"mambo.campaign.{problem.campaign}",
        "prefect.resource.name": problem.label,
        "mambo.edition": problem.edition or "",
    }
    its_run = {
        "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
        "prefect.resource.role": "flow-run",
        "prefect.resource.name": flow_run.name,
    }
    event = Event(
        event=f"mambo.campaign.{problem.kind}",
        occurred=problem.at,
        resource=Resource(resource),
        related=[RelatedResource(its_run)],
        payload=problem.content(),
    )
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except Exception as error:  # noqa: BLE001 - a server that is gone, whatever it says: the command is run all the same
        run_log().warning("%s: Prefect was not told (%s)", mask_text(problem.label), type(error).__name__)
