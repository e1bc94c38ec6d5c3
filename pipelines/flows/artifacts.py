"""The artifacts of a run in Prefect's pages: how far it is, and in the end its sums.

They show what the ledger holds. That Prefect does not take one, or is away, is logged, and neither stops a campaign nor
keeps it waiting.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact

from mambo_io.ledger import CampaignRow
from mambo_io.log import run_log
from mambo_io.masking import mask_text
from pipelines.sending import Progress
from pipelines.summary import CampaignSummary

_PROGRESS_EVERY_S = 3.0

OnProgress = Callable[[Progress, CampaignRow], None]


@contextmanager
def progress_artifact(name: str, edition: str, sent_before: int) -> Iterator[OnProgress]:
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
            with _published(name, edition):
                if artifact_id is None:
                    description = f"Recipients of {name}/{edition} in accepted calls."
                    artifact_id = create_progress_artifact(latest[-1], key=f"progress-{name}", description=description)
                else:
                    update_progress_artifact(artifact_id=artifact_id, progress=latest[-1])
                published = latest[-1]

    def on_progress(now: Progress, row: CampaignRow) -> None:
        latest[:] = [round(100.0 * (sent_before + now.recipients) / row.sendable, 1) if row.sendable else 100.0]

    # A daemon: where Prefect's server is away its client tries for minutes, and nobody is to wait for a picture.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(publish,), name="progress", daemon=True)
    thread.start()
    try:
        yield on_progress
    finally:
        done.set()
        thread.join(_PROGRESS_EVERY_S)


def publish_summary(summary: CampaignSummary, description: str) -> None:
    """The sums of an edition as a table."""
    figures = [*((outcome, count, "recipients") for outcome, count in summary.outcomes.items())]
    figures += [("estimated", summary.estimated_ugx, "UGX"), ("charged", summary.charged_ugx, "UGX")]
    table = [{"figure": figure, "value": value, "unit": unit} for figure, value, unit in figures]
    with _published(summary.campaign, summary.edition):
        create_table_artifact(key=f"summary-{summary.campaign}", table=table, description=description)


@contextmanager
def _published(name: str, edition: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever is wrong with Prefect's server, the money is not there
        run_log().warning(
            "%s: an artifact was not published (%s)", mask_text(f"{name}/{edition}"), type(error).__name__
        )
