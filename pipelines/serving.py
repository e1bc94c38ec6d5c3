"""`mambo serve`: a folder's campaigns, registered with a Prefect server and run when they are due.

Prefect's runner starts a process for each run; beside it the folder and the ledger are looked at every few seconds.
When the server is away for longer, or this program is stopped, the senders drain their calls, and their editions go on
by themselves once both are there again.
"""

from __future__ import annotations

import asyncio
import signal
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

    def __init__(self, folder: Path, settings: MamboSettings, say: Callable[[str], None]) -> None:
        """Raises `InputError` where there is no such folder."""
        self._tender = Tender(folder, settings)
        self._say = say
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
        tending = asyncio.create_task(self._keep_looking(runner, known))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
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

    async def _keep_looking(self, runner: Runner, known: set[UUID]) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._look(runner, known)

    async def _look(self, runner: Runner, known: set[UUID]) -> None:
        """What cannot be read or asked now is told, and tried again at the next look."""
        try:
            tended: Tended = await asyncio.to_thread(self._tender.look)
        except MamboError as error:
            self._say(error.message)
            return
        except (httpx.HTTPError, PrefectException, SQLAlchemyError) as error:
            self._say(f"A look at the folder and the ledger failed ({type(error).__name__}); trying again.")
            return
        for line in tended.said:
            self._say(line)
        for name, deployment_id in tended.deployments.items():
            if deployment_id not in known:
                await runner.aadd_deployment(cast("RunnerDeployment", _Registered(deployment_id, name)))
                known.add(deployment_id)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _catch_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        self._stopped_by = number
        self._loop.call_soon_threadsafe(self._stop.set)
