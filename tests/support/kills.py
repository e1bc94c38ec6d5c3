"""Kill `mambo send` with SIGKILL at random instants, start it again, and let the checker judge after every kill.

Real processes and a sandbox in a process of its own. An instant is drawn in calls and milliseconds: after so many
further calls have reached the sandbox, and a moment later, in the middle of one; now and then it falls anywhere in the
start, where the plan is written. So the kills land throughout a campaign on a machine of any speed.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from support.checker import check
from support.processes import MAMBO

DONE, LEFT = 0, 3  # exit codes of a run that came to its end: everything is known, or unknown calls are left
_PATIENCE_S = 120


@dataclass
class Hunt:
    """One campaign, and how it is killed.

    `file` is the campaign file, `calls` about how many calls it has, `concurrency` how many of them may be out at a
    time, `rows` the numbers of its spreadsheet's rows. Calls take `call_s`, half of it before the sandbox does what it
    is asked for and half of it after.
    """

    api: SandboxHandle
    store: str
    environment: Mapping[str, str]
    file: Path
    rows: Sequence[int]
    calls: int
    concurrency: int
    options: Sequence[str] = ("--direct",)
    command: Sequence[str] = MAMBO
    call_s: float = 0.06
    start_s: float = 2.5  # about what a start takes, up to its first call
    seed: int = field(default_factory=lambda: int(os.environ.get("KILL_SEED") or random.randrange(2**32)))
    kills: int = 0

    def __post_init__(self) -> None:
        print(f"KILL_SEED={self.seed} draws the same instants again")
        self._random = random.Random(self.seed)
        self.api.set_faults([Delay(before_s=self.call_s / 2, after_s=self.call_s / 2, times=None)])

    def kill(self, times: int) -> None:
        """Start it so often, kill it at a random instant each time, and judge what is there."""
        for left in range(times, 0, -1):
            with self._started() as process:
                if self._random.random() < 0.2:
                    after_s = self._random.uniform(0, self.start_s)
                    print(f"kill {self.kills + 1}: {after_s:.3f} s after the start")
                else:
                    further = self._random.randint(1, max(1, 2 * (self.calls - self._count()) // (left + 1)))
                    after_s = self._random.uniform(0, 2 * self.call_s)
                    print(f"kill {self.kills + 1}: {after_s:.3f} s after {further} calls")
                    self._wait_for_calls(process, self._count() + further)
                time.sleep(after_s)
                self._kill(process)

    def kill_before_an_answer(self) -> None:
        """Start it, and kill it when the sandbox has done what a call asks and has not answered yet."""
        with self._started() as process:
            self._wait_until(process, lambda: self._count("executed_us IS NOT NULL AND answered_us IS NULL") > 0)
            self._kill(process)

    def finish(self) -> int:
        """Start it once more, let it end, and judge; its exit code."""
        with self._started() as process:
            code = process.wait(_PATIENCE_S)
        assert code in (DONE, LEFT), self._log().read_text(encoding="utf-8")
        self.judge(complete=True)
        return code

    def judge(self, *, complete: bool) -> None:
        most_unknown = self.kills * self.concurrency
        try:
            check(self.store, self.api, self.file.stem, rows=self.rows, most_unknown=most_unknown, complete=complete)
        except InputError:  # killed before the plan was written
            assert not complete
            assert not self._count()

    @contextlib.contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*self.command, "send", str(self.file), "--yes", "--json", *self.options]
        environment = {**os.environ, **self.environment}
        with (
            self._log().open("wb") as log,
            subprocess.Popen(
                command, cwd=self.file.parent, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def _wait_for_calls(self, process: subprocess.Popen[bytes], wanted: int) -> None:
        self._wait_until(process, lambda: self._count() >= wanted)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        assert process.poll() is None, f"it had ended before it was killed, with {process.returncode}"
        process.kill()
        process.wait()
        self.kills += 1
        self.judge(complete=False)

    def _log(self) -> Path:
        return self.file.with_suffix(".log")

    def _wait_until(self, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            assert process.poll() is None, self._log().read_text(encoding="utf-8")
            assert time.monotonic() < end, "no call came"
            time.sleep(0.005)

    def _count(self, condition: str = "1") -> int:
        """How many calls have reached the sandbox, of those for which the SQL condition holds."""
        record = (self.api.folder / "sandbox.db").as_uri()
        with contextlib.closing(sqlite3.connect(f"{record}?mode=ro", uri=True)) as db:
            count: int = db.execute(f"SELECT count(*) FROM calls WHERE {condition}").fetchone()[0]
            return count
