"""`mambo serve`: a folder's campaigns, registered with a Prefect server and run when they are due.

Prefect's runner starts a process for each run; beside it the folder and the ledger are looked at every few seconds.
Runs that are being sent do without the server. A runner that has given up on it, or a server that has come back at
another address, makes this program start anew in its place, and leaves them alone. When the program is stopped, senders
drain their calls, and their editions go on by themselves once it is there again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
import psutil
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import PrefectException
from prefect.runner import Runner
from prefect.runner.storage import RunnerStorage
from sqlalchemy.exc import SQLAlchemyError

from mambo_io.errors import MamboError
from mambo_io.settings import MamboSettings
from pipelines.flows.tending import Tended, Tender

_LOOK_EVERY_S = 5.0
_AGAIN_AFTER_S = 10.0  # when the server did not answer
_STUCK_AFTER_S = 30.0  # without a question of the runner's, while the server answers ours
_DRAIN_S = 40.0  # a call takes 25 s at the most


@dataclass(frozen=True)
class _Registered:
    """A deployment that the server has already, as the runner takes one."""

    id: UUID
    name: str
    storage: RunnerStorage | None = None

    async def aapply(self) -> UUID:
        return self.id


class FolderServer:
    """Serves one folder until it is stopped. `say` gets lines for a person or a log. Made inside a running loop."""

    def __init__(
        self, folder: Path, settings: MamboSettings, say: Callable[[str], None], has_moved: Callable[[], bool]
    ) -> None:
        """`has_moved`: whether the server is to be found at another address now.

        Raises `InputError` where there is no such folder.
        """
        self._tender = Tender(folder, settings)
        self._say = say
        self._has_moved = has_moved
        self._answers = True
        self._stopped_by: int | None = None
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        for line in await asyncio.to_thread(lambda: list(self._tender.tell_of_killed())):
            self._say(line)
        while not self._stop.is_set():
            try:
                await self._serve()
            except (httpx.HTTPError, PrefectException, RuntimeError, ExceptionGroup) as error:
                self._say(f"The Prefect server does not answer ({type(error).__name__}); trying again.")
                await self._sleep(_AGAIN_AFTER_S)

    async def _serve(self) -> None:
        """Until a signal comes, or the server is away for longer than the runner waits."""
        runner = Runner(name="mambo-serve", pause_on_shutdown=False, limit=None)
        known: set[UUID] = set()
        await self._look(runner, known)
        serving = asyncio.create_task(runner.start())
        while not (runner.started or serving.done()):  # noqa: ASYNC110 - the runner has no event to wait for
            await asyncio.sleep(0.05)
        self._catch_signals()  # the runner has put its own in place by now
        tending = asyncio.create_task(self._look_until_stuck(runner, known))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({serving, stopping, tending}, return_when=asyncio.FIRST_COMPLETED)
            if tending.done():
                tending.result()  # a defect ends the program
                self._start_anew()
            tending.cancel()
            if self._stop.is_set() and runner.started:
                await self._drain(runner)
            await serving
        finally:
            tending.cancel()
            stopping.cancel()

    async def _drain(self, runner: Runner) -> None:
        if self._stopped_by == signal.SIGINT:
            # A terminal's Ctrl-C has reached the senders, too, and a second signal would hurry them.
            await asyncio.to_thread(psutil.wait_procs, psutil.Process().children(), _DRAIN_S)
        await runner.astop()

    async def _look_until_stuck(self, runner: Runner, known: set[UUID]) -> None:
        """Look again and again; return when the server answers us, and the runner asks it no more, or it has moved."""
        stuck_after_s = max(_STUCK_AFTER_S, 6 * runner.query_seconds)
        polled, since_s = runner.last_polled, time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            answers = await self._look(runner, known)
            if runner.last_polled != polled:
                polled, since_s = runner.last_polled, time.monotonic()
            if answers and time.monotonic() - since_s > stuck_after_s:
                return
            if not answers and await asyncio.to_thread(self._has_moved):
                return

    def _start_anew(self) -> None:
        """In the place of this process, whose senders stay its children. Prefect's runner cannot be started again: it
        waits for its own ends, and would take the senders along."""
        self._say("Prefect's runner has lost its server; starting anew.")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command

    async def _look(self, runner: Runner, known: set[UUID]) -> bool:
        """Whether the server answered. What cannot be read or asked now is told once, and tried at the next look."""
        try:
            tended: Tended = await asyncio.to_thread(self._tender.look)
        except MamboError as error:
            self._say(error.message)
            return True
        except (httpx.HTTPError, PrefectException, SQLAlchemyError) as error:
            if self._answers:
                self._say(f"The Prefect server or the ledger does not answer ({type(error).__name__}); trying again.")
            self._answers = False
            return False
        if not self._answers:
            self._say("They answer again.")
            self._answers = True
        for line in tended.said:
            self._say(line)
        for name, deployment_id in tended.deployments.items():
            if deployment_id not in known:
                await runner.aadd_deployment(cast("RunnerDeployment", _Registered(deployment_id, name)))
                known.add(deployment_id)
        return True

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _catch_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        self._stopped_by = number
        self._loop.call_soon_threadsafe(self._stop.set)
