"""A folder of campaigns that `mambo serve` sends, on a clock that a test moves: what a person does with it, and what
the ledger, Prefect and the sandbox say of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import psutil

from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import NoLedgerYet, Store
from mambo_io.window import KAMPALA
from pipelines.campaign import load_campaign
from support.lists import campaign_of
from support.moved_clock import MovedClock
from support.prefect_server import PrefectServer
from support.processes import MAMBO, mambo

_PATIENCE_S = 150
_GOES_ON = re.compile(r"(\S+/\S+): goes on \((.*)\)")


@dataclass
class ServedFolder:
    """`environment` is that of every `mambo` here. `close` ends what still runs."""

    folder: Path
    clock: MovedClock
    engine: PrefectServer
    api: SandboxHandle
    store: str
    environment: Mapping[str, str]
    _programs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # --- what a person does -----------------------------------------------------------------------------------------

    def write(self, name: str, people: str, *, schedule: str, sending: str = "", top: str = "") -> None:
        """A campaign file and its list, new or in the place of those that were there. Its text is `NAME.`, unless `top`
        says otherwise."""
        sections = f"[sending]\n{sending}\n[schedule]\n{schedule}"
        campaign_of(self.folder, people, name=name, message=f"{name}.", top=top, path=f"{name}.csv", sections=sections)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start `mambo serve`; it has looked at the folder once."""
        log = self._log(len(self._programs))
        with log.open("wb") as said:
            program = subprocess.Popen(
                [*MAMBO, "serve", str(self.folder)],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._programs.append(program)
        names = [file.stem for file in self.folder.glob("*.toml")]
        self.until(lambda: all(f"  {name}: " in log.read_text(encoding="utf-8") for name in names))
        return program

    def stop(self, program: subprocess.Popen[bytes]) -> None:
        """As a service manager does, once no sender is at work: Prefect calls one that is just ending cancelled."""
        self.until(lambda: not psutil.Process(program.pid).children())
        program.send_signal(signal.SIGTERM)
        assert program.wait(_PATIENCE_S) == 0, self.said()

    def mambo(self, *arguments: str) -> str:
        """A command in another terminal, to its good end."""
        done = mambo(*arguments, cwd=self.folder, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill_sender(self, edition: str) -> None:
        """SIGKILL for the process that sends this edition, which is a child of `mambo serve`."""
        run_id = self.engine.run(edition)["id"]
        served = psutil.Process(self._programs[-1].pid)
        (sender,) = (
            process for process in served.children() if process.environ().get("PREFECT__FLOW_RUN_ID") == run_id
        )
        sender.kill()

    def close(self) -> None:
        for program in self._programs:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)  # and the senders that it has started
            program.wait()

    # --- time -------------------------------------------------------------------------------------------------------

    def come(self, at: datetime) -> None:
        """Go to two seconds before `at`, once there is a run of each campaign that is due then."""
        for file in self.folder.glob("*.toml"):
            schedule = load_campaign(file).schedule
            if schedule is not None and schedule.last_time(at) == at:
                self.until(partial(self.is_scheduled, file.stem, at))
        self.clock.move_to(at - timedelta(seconds=2))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < end, self.said()
            time.sleep(0.5)

    def until_ended(self, edition: str, *states: str) -> None:
        """Until its runs have ended in these states, in the order of their start."""
        self.until(lambda: self.states(edition) == list(states))

    def until_next_call(self, *texts: str) -> None:
        """Until a further call with each of these texts has come."""
        before = {text: self._calls(text).height for text in texts}
        self.until(lambda: all(self._calls(text).height > count for text, count in before.items()))

    # --- what is told -----------------------------------------------------------------------------------------------

    def row(self, edition: str) -> CampaignRow | None:
        """What the ledger says of an edition (NAME/EDITION); None where it knows nothing of it."""
        with suppress(NoLedgerYet), Store(self.store) as opened:
            return Ledger(opened).find(*edition.split("/"))
        return None

    def states(self, edition: str) -> list[str]:
        """The states of its runs in Prefect, in the order of their start."""
        return [run["state_name"] for run in self.engine.runs(edition)]

    def is_scheduled(self, name: str, at: datetime) -> bool:
        """Whether Prefect has a run of the campaign for this time."""
        runs = self.engine.runs_of(f"send-campaign/{name}")
        return at in {datetime.fromisoformat(run["expected_start_time"]) for run in runs}

    def in_flight(self, text: str) -> int:
        """How many calls with this text were executed, and not answered yet."""
        return self._calls(text)["answered_at"].null_count()

    def sent(self) -> pl.DataFrame:
        """The calls that were executed: text, at (Datetime, what the clock showed in Kampala), charged_ugx."""
        calls = self.api.calls().filter(pl.col("executed_at").is_not_null(), pl.col("endpoint") == "send-sms")
        shown = [self.clock.shown_at(at).astimezone(KAMPALA) for at in calls["received_at"]]
        at = pl.Series("at", shown, pl.Datetime("us", KAMPALA.key))
        return calls.select(pl.col("message").alias("text"), at, "charged_ugx")

    def said(self) -> str:
        """All that `mambo serve` has said so far."""
        return "\n".join(self._log(number).read_text(encoding="utf-8") for number in range(len(self._programs)))

    def went_on(self) -> Iterator[tuple[str, str]]:
        """Which editions it has let go on by itself, and why, in order."""
        for found in _GOES_ON.finditer(self.said()):
            yield found.group(1), found.group(2)

    def _calls(self, text: str) -> pl.DataFrame:
        return self.api.calls().filter(pl.col("message") == text)

    def _log(self, number: int) -> Path:
        return self.folder / f"serve-{number}.log"
