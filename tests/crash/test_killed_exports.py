"""`mambo results`, killed while it writes: the file is absent, the old one, or complete, and the ledger as it was."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.datasets import read_dataset, write_dataset
from mambo_io.ledger import Ledger
from mambo_io.planning import write_plan
from mambo_io.store import Store
from support.cli import dump
from support.kills import kill_seed
from support.ledgers import plan
from support.processes import MAMBO, mambo, run, started
from support.rigged_mambo import RIGGED

ENDINGS = (".csv", ".xlsx", ".parquet")
OLD = b"what stood there before"
KILLS = 10
PATIENCE_S = 60


class Export:
    """A campaign whose results go to one file again and again."""

    def __init__(self, folder: Path, ending: str, *, people: int) -> None:
        self.folder = folder
        self.ledger = folder / "ledger.db"
        with Store(str(self.ledger), create=True) as store, store.writer() as connection:
            write_plan(connection, plan(people), who="tester")
            ledger = Ledger(store)
            self.complete = folder / f"complete{ending}"
            write_dataset(ledger.results(ledger.get("clinic-day")), self.complete)
        self._ledger_before = dump(self.ledger)
        self.environment = {"MAMBO_STORE": str(self.ledger)}
        (folder / "results").mkdir()
        self.path = folder / "results" / f"results{ending}"
        self.command = ("results", "clinic-day", "--output", str(self.path))

    def kill_at(self, point: str) -> None:
        rig = ("--at", point)
        assert run(*RIGGED, *rig, *self.command, cwd=self.folder, env=self.environment).returncode == -signal.SIGKILL
        self.check()

    def kill_while_it_writes(self, after_s: float) -> None:
        """Kill the command itself, so long after it began to write."""
        left = self.unfinished()
        with started(*MAMBO, *self.command, cwd=self.folder, env=self.environment) as process:
            end = time.monotonic() + PATIENCE_S
            while self.unfinished() <= left and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.001)
            time.sleep(after_s)
            process.kill()
            process.wait()
        self.check()

    def unfinished(self) -> set[Path]:
        return set(self.path.parent.iterdir()) - {self.path}

    def is_complete(self) -> bool:
        return read_dataset(self.path).frame.equals(read_dataset(self.complete).frame)

    def check(self) -> None:
        """What holds after every kill; at most one unfinished file lies about, however often it was killed."""
        assert not self.path.exists() or self.path.read_bytes() == OLD or self.is_complete()
        assert len(self.unfinished()) <= 1
        assert dump(self.ledger) == self._ledger_before


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_at_any_point_it_leaves_no_half_file(ending: str, tmp_path: Path) -> None:
    export = Export(tmp_path, ending, people=200)
    export.kill_at("mid_export")
    assert not export.path.exists()
    assert export.unfinished()

    export.path.write_bytes(OLD)
    export.kill_at("before_replacing")
    assert export.path.read_bytes() == OLD
    export.kill_at("after_replacing")
    assert export.is_complete()
    assert not export.unfinished(), "what the killed ones left is gone"


@pytest.mark.timeout(600)
@pytest.mark.skipif("KILLS" not in os.environ, reason="takes a while: `make crash` does it")
@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_at_any_instant_it_leaves_no_half_file(
    ending: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    export = Export(tmp_path, ending, people=9000)
    seed, old = kill_seed(), 0
    chance = random.Random(seed)
    for _ in range(KILLS):
        export.path.write_bytes(OLD)
        export.kill_while_it_writes(after_s=chance.uniform(0, 1) ** 3)  # a workbook takes a second, the others less
        old += export.path.read_bytes() == OLD
    assert mambo(*export.command, cwd=tmp_path, env=export.environment).returncode == 0
    assert export.is_complete()
    assert not export.unfinished()
    record_property("crash", f"results{ending}: {KILLS} kills, {old} of them left the old file  (KILL_SEED={seed})")
