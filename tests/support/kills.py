"""Kill `mambo send` with SIGKILL, start it again, and let the checker judge after every kill.

Real processes and a sandbox in a process of its own. It is killed at a named point of a call (see `rigged_mambo`), or
at a random instant, which is drawn in calls and milliseconds: after so many further calls have reached the sandbox,
and a moment later, in the middle of one; now and then it falls anywhere in the start, where the plan is written, or
at the first call. So the kills land throughout a campaign on a machine of any speed.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import AnyFault, Delay
from mambo_io.store import Store
from support.checker import Record, check, record_of
from support.processes import MAMBO
from support.rigged_mambo import RIGGED

DONE, LEFT = 0, 3  # exit codes of a run that came to its end: everything is known, or unknown calls are left
_PATIENCE_S = 120


def kill_seed() -> int:
    """A new seed for instants, or that of the environment's KILL_SEED, which draws the same ones again."""
    seed = int(os.environ.get("KILL_SEED") or random.randrange(2**32))
    print(f"KILL_SEED={seed}")
    return seed


@dataclass
class Hunt:
    """One campaign, and how it is killed.

    `file` is the campaign file, `calls` about how many calls it has, `concurrency` how many of them may be out at a
    time, `rows` the numbers of its spreadsheet's rows. Calls take `call_s`, half of it before the sandbox does what it
    is asked for and half of it after, unless one of `faults` is played on them. `fault` is one of `rigged_mambo`.
    """

    api: SandboxHandle
    store: str
    environment: Mapping[str, str]
    file: Path
    rows: Sequence[int]
    calls: int
    concurrency: int
    options: Sequence[str] = ("--direct",)
    fault: str | None = None
    faults: Sequence[AnyFault] = ()
    call_s: float = 0.06
    start_s: float = 2.5  # about what a start takes, up to its first call
    seed: int = field(default_factory=kill_seed)
    starts: int = 0
    kills: int = 0
    freezes: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.api.set_faults([*self.faults, self._delay()])

    def kill(self, times: int) -> None:
        """Start it so often, kill it at a random instant each time, and judge what is there."""
        for left in range(times, 0, -1):
            # A kill may keep a call in flight from ever reaching the sandbox: it never comes, then.
            coming = self.calls - self._count() - self.concurrency * (self.kills + 1)
            most = max(1, min(2 * coming // (left + 1), coming))
            assert self.kill_at_random(most), "it had ended before it was killed"

    def kill_at_random(self, most_calls: int) -> bool:
        """Start it, kill it somewhere in the start or the next `most_calls` calls, and judge.

        False when it had come to its end before.
        """
        with self.started() as process:
            if self._random.random() < 0.2:
                after_s = self._random.uniform(0, self.start_s)
                print(f"start {self.starts}: {after_s:.3f} s later, or at its first call")
                self.wait_for_calls(process, 1, at_most_s=after_s)
            else:
                further = self._random.randint(1, most_calls)
                after_s = self._random.uniform(0, 2 * self.call_s)
                print(f"start {self.starts}: {after_s:.3f} s after {further} calls")
                self.wait_for_calls(process, further)
                time.sleep(after_s)
            process.kill()
            return self._was_killed(process.wait())

    def kill_at(self, point: str, nth: int = 1) -> bool:
        """Start it, let it die when it comes by this point for the nth time, and judge; False when it never did."""
        print(f"start {self.starts + 1}: {point}, {nth}")
        with self.started(rig=("--at", point, "--nth", str(nth))) as process:
            return self._was_killed(process.wait(_PATIENCE_S))

    def freeze_at(self, point: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process, rigged to stop at this point, has stopped there."""
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"it never came by {point}"
        self.freezes += 1

    def finish(self, *options: str) -> int:
        """Start it once more, on a sandbox without faults, let it end, and judge; its exit code."""
        self.api.set_faults([])
        with self.started(*options) as process:
            code = process.wait(_PATIENCE_S)
        assert code in (DONE, LEFT), self.said()
        self.judge(complete=True)
        return code

    def judge(self, *, complete: bool) -> None:
        """Raises `Disagreement`."""
        if not self._is_planned():  # killed before the plan was written
            assert not complete
            assert not self._count()
            return
        disturbed = (self.kills + self.freezes) * self.concurrency
        unclear = self._count("fault IN ('no_answer', 'garbled') OR http_status >= 500")
        name, unknown = self.file.stem, disturbed + unclear
        check(self.store, self.api, name, rows=self.rows, most_unknown=unknown, complete=complete)

    def record(self) -> Record:
        return record_of(self.store, self.api, self.file.stem)

    @contextlib.contextmanager
    def started(self, *options: str, rig: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """The running command, killed at the end of the block if it still runs; `rig` are options of `rigged_mambo`."""
        self.starts += 1
        if self.fault is not None:
            rig = ("--fault", self.fault, *rig)
        command = [*(RIGGED if rig else MAMBO), *rig]
        with (
            self._log().open("wb") as log,
            subprocess.Popen(
                [*command, "send", str(self.file), "--yes", "--json", *self.options, *options],
                cwd=self.file.parent,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def said(self) -> str:
        """What the process that was started last has printed."""
        return self._log().read_text(encoding="utf-8")

    def wait_for_calls(self, process: subprocess.Popen[bytes], further: int, at_most_s: float = math.inf) -> None:
        """Until so many more calls have reached the sandbox, the process has ended, or so long."""
        wanted, end = self._count() + further, time.monotonic() + at_most_s
        self._wait_until(lambda: self._count() >= wanted or process.poll() is not None or time.monotonic() >= end)

    def _is_planned(self) -> bool:
        store = Store.if_present(self.store)
        if store is None:
            return False
        with store:
            return Ledger(store).find(self.file.stem) is not None

    def _was_killed(self, code: int) -> bool:
        killed = code == -signal.SIGKILL
        self.kills += killed
        assert killed or code in (DONE, LEFT), self.said()
        self.judge(complete=False)
        return killed

    def _delay(self) -> Delay:
        return Delay(before_s=self.call_s / 2, after_s=self.call_s / 2, times=None)

    def _log(self) -> Path:
        return self.file.with_name(f"{self.file.stem}-{self.starts}.log")

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"no call came; it says: {self.said()}"
            time.sleep(0.005)

    def _count(self, condition: str = "1") -> int:
        """How many calls have reached the sandbox, of those for which the SQL condition holds."""
        record = (self.api.folder / "sandbox.db").as_uri()
        with contextlib.closing(sqlite3.connect(f"{record}?mode=ro", uri=True)) as db:
            count: int = db.execute(f"SELECT count(*) FROM calls WHERE {condition}").fetchone()[0]
            return count
