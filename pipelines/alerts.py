"""What the machine's owner is told when a campaign stopped, was skipped, failed or crashed: MAMBO_ON_PROBLEM is run.

The command gets one JSON object on its standard input. It may end up in a chat or on a pager of another company, so it
holds no number, no text of a message and nothing out of a list. Whether it was told stands in the log, and in the
edition's events. Knows nothing of the engine.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mambo_io.commands import run_command
from mambo_io.errors import Declined, InputError, MamboError, Stopped
from mambo_io.history import record_alert
from mambo_io.ledger import Ledger
from mambo_io.log import record_defect, run_log
from mambo_io.masking import mask_text
from mambo_io.model import CampaignState
from mambo_io.settings import MamboSettings, command_on_problem, load_settings
from mambo_io.window import KAMPALA
from pipelines.campaign import check_edition, load_campaign
from pipelines.opening import DEFAULT_EDITION, open_store, send_command
from pipelines.planned import who
from pipelines.summary import PROCESS_ENDED, CampaignSummary, stop_text, summarize

COMMAND_TIMEOUT_S = 30.0


class Kind(StrEnum):
    """What happened. The value stands in the JSON, and in the name of the Prefect event."""

    STOPPED = "stopped"  # work or unknown calls are left
    SKIPPED = "skipped"  # its time had passed
    FAILED = "failed"  # wrong input or settings, or a defect of ours
    CRASHED = "crashed"  # its process ended without a word


@dataclass(frozen=True, slots=True)
class Problem:
    """What somebody has to know of a campaign edition. Money in whole UGX; figures only where the ledger has them."""

    kind: Kind
    campaign: str
    edition: str | None  # None: the run did not get as far as to know it
    text: str  # in words
    state: str | None = None  # of the edition in the ledger
    reason: str | None = None  # a code: why it stopped, or the class of the error
    recipients: dict[str, int] = field(default_factory=dict)  # by outcome
    estimated_ugx: int | None = None
    charged_ugx: int | None = None
    unknown_calls: tuple[str, ...] = ()  # clinic-day/1/c0007
    held_by: str | None = None  # who paused it; masked
    next_command: str | None = None  # what a person types
    at: datetime = field(default_factory=lambda: datetime.now(KAMPALA))

    @property
    def label(self) -> str:
        return f"{self.campaign}/{self.edition}" if self.edition is not None else self.campaign

    def content(self) -> dict[str, Any]:
        """Ready for JSON; `at` is ISO 8601 with the offset of Kampala."""
        return asdict(self) | {"kind": self.kind.value, "at": self.at.isoformat(timespec="seconds")}


# What was told in this context, so that a command and the flow inside it do not tell the same twice.
_told: ContextVar[list[Problem] | None] = ContextVar("told", default=None)


def tell(problem: Problem, settings: MamboSettings | None, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
    """Run MAMBO_ON_PROBLEM with the problem, and record how that went. Raises nothing: the campaign's end stands.

    `settings` None: they cannot be used, so that the ledger is not known; the command is asked of the environment.
    """
    if (told := _told.get()) is not None:
        told.append(problem)
    try:
        command = command_on_problem(settings)
        if command is None:
            return
        failure = run_command(command, json.dumps(problem.content(), ensure_ascii=False), timeout_s=timeout_s)
        if failure is None:
            run_log().info("%s: %s, and MAMBO_ON_PROBLEM was told", mask_text(problem.label), problem.kind)
        else:
            run_log().error("%s: %s, but MAMBO_ON_PROBLEM %s", mask_text(problem.label), problem.kind, failure.why)
        if settings is not None and problem.edition is not None:
            _record(problem, settings, None if failure is None else str(failure))
    except Exception as error:  # noqa: BLE001 - a campaign that stopped must not become one that failed
        record_defect(error)


def _record(problem: Problem, settings: MamboSettings, failure: str | None) -> None:
    try:
        with open_store(settings) as store:
            campaign = Ledger(store).find(problem.campaign, problem.edition)
            if campaign is not None:
                with store.writer() as connection:
                    record_alert(connection, campaign, problem.kind, failure, who=who(), now=datetime.now(UTC))
    except MamboError as error:  # perhaps the very problem
        run_log().warning("%s: the alert is not in its events (%s)", mask_text(problem.label), type(error).__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that something happened to, as far as it is known."""

    campaign: str
    edition: str | None
    command: str  # what starts it again
    settings: MamboSettings | None  # None: they cannot be used, and so the ledger is not known
    file_is_there: bool = True  # that the command names; or else the ledger may know another one

    def summary(self) -> CampaignSummary | None:
        """The edition as the ledger has it; None where it has not, or cannot be read."""
        if self.settings is None or self.edition is None:
            return None
        with suppress(MamboError), open_store(self.settings) as store:
            ledger = Ledger(store)
            if (row := ledger.find(self.campaign, self.edition)) is not None:
                return summarize(ledger, row, command=self.command if self.file_is_there else None)
        return None


def run_of(file: Path, edition: str | None, *, direct: bool = False) -> Run:
    """The run of a campaign file; what cannot be read of it, or is no edition, is left out."""
    try:
        campaign = load_campaign(file).name
    except InputError:
        campaign = mask_text(file.stem)
    try:
        check_edition(edition or DEFAULT_EDITION)
    except InputError:
        edition = None
    try:
        settings = load_settings()
    except InputError:
        settings = None
    command = send_command(file, edition or DEFAULT_EDITION, direct=direct)
    return Run(campaign, edition, command, settings, file.is_file())


@contextmanager
def watched(file: Path, edition: str, *, direct: bool) -> Iterator[list[Problem]]:
    """Tell of an error that leaves the block, unless something was told inside of it. A person's no is no problem.

    Gives what was told so far.
    """
    told: list[Problem] = []
    token = _told.set(told)
    try:
        yield told
    except (Declined, BrokenPipeError):
        raise
    except Exception as error:
        if not told:
            run = run_of(file, edition, direct=direct)
            tell(of_error(error, run), run.settings)
        raise
    finally:
        _told.reset(token)


def of_summary(summary: CampaignSummary) -> Problem | None:
    """What there is to tell of an edition as the ledger has it; None when nothing is left to do."""
    why = stop_text(summary.stop_reason, summary.stop_detail)
    if summary.state == CampaignState.SKIPPED:
        return _problem(Kind.SKIPPED, summary, f"was skipped: {why}", summary.stop_reason)
    if summary.exit_code == 0:
        return None
    held = "; a person has paused it" if summary.held_by is not None else ""
    return _problem(Kind.STOPPED, summary, f"stopped: {why}{held}", summary.stop_reason)


def of_error(error: object, run: Run) -> Problem:
    """An error that ended a run: what of it says nothing about people, and what the ledger knows of the edition."""
    match error:
        case Stopped():
            return _of_run(Kind.STOPPED, run, f"stopped: {error.outline}", type(error).__name__)
        case MamboError():
            return _of_run(Kind.FAILED, run, f"failed: {error.outline}", type(error).__name__)
        case _:
            return _of_run(Kind.FAILED, run, "failed by a defect of mambo-pipelines; the log says where", "defect")


def of_crash(run: Run) -> Problem:
    """A run whose process ended without a word: it was killed, had no memory left, or the machine was shut down."""
    text = "crashed: its process was ended; starting it again tells what became of the calls in flight"
    return _of_run(Kind.CRASHED, run, text, PROCESS_ENDED)


def _of_run(kind: Kind, run: Run, text: str, reason: str) -> Problem:
    if (summary := run.summary()) is not None:
        return _problem(kind, summary, text, reason)
    problem = Problem(
        kind, run.campaign, run.edition, text, reason=reason, next_command=_masked(run.command, run.edition)
    )
    return replace(problem, text=f"{problem.label} {mask_text(text)}")


def _problem(kind: Kind, summary: CampaignSummary, text: str, reason: str | None) -> Problem:
    return Problem(
        kind=kind,
        campaign=summary.campaign,
        edition=summary.edition,
        text=f"{summary.label} {mask_text(text)}",
        state=summary.state,
        reason=reason,
        recipients=summary.outcomes,
        estimated_ugx=summary.estimated_ugx,
        charged_ugx=summary.charged_ugx,
        unknown_calls=tuple(call.name for call in summary.unknown_calls),
        held_by=summary.held_by,
        next_command=summary.next_command and _masked(summary.next_command, summary.edition),
    )


def _masked(command: str, edition: str | None) -> str:
    """A file's path may hold a number; an edition may be a date written without dashes, and is no number."""
    words = shlex.split(command)
    masked = [word if word == edition else mask_text(word) for word in words]
    return command if masked == words else shlex.join(masked)
