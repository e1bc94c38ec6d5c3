"""The Prefect server goes away for longer than Prefect's runner waits for it, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import NoLedgerYet, Store
from mambo_io.window import KAMPALA
from pipelines.schedule import edition_of
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import running
from support.processes import MAMBO
from support.sandboxed import environment, people, rows

_PATIENCE_S = 150
PEOPLE = 30
SLOW = "chunk_size = 2\ncanary_size = 2\nconcurrency = 1\ncalls_per_second = 0.5"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("moves", [False, True], ids=["at the same address", "at another one"])
def test_what_is_sent_then_and_what_is_due_afterwards(
    start_sandbox: Callable[..., SandboxHandle], tmp_path: Path, moves: bool
) -> None:
    api, store, folder, log = start_sandbox(), str(tmp_path / "ledger.db"), tmp_path / "campaigns", tmp_path / "said"
    folder.mkdir()
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_RUNNER_POLL_FREQUENCY": "1", "DO_NOT_TRACK": "1"}

    def write(name: str, block: int, sending: str = "") -> str:
        """A campaign that is due in a moment; its edition."""
        at = datetime.now(KAMPALA).replace(microsecond=0) + timedelta(seconds=25)
        sections = f'[sending]\nwindow = "any"\n{sending}\n[schedule]\nat = "{at:%Y-%m-%d %H:%M:%S}"'
        listed = people(PEOPLE, block=block)
        campaign_of(folder, listed, name=name, message=f"{name}.", path=f"{name}.csv", sections=sections)
        return edition_of(at, KAMPALA)

    with ExitStack() as server, ExitStack() as server_again, log.open("wb") as said:
        first = server.enter_context(running(tmp_path / "up.log", tmp_path / "prefect", home))
        port = 0 if moves else int(first.url.split(":")[2].partition("/")[0])
        during = write("during", 1, SLOW)
        program = subprocess.Popen(
            [*MAMBO, "serve", str(folder)],
            cwd=tmp_path,
            env={**os.environ, **environment(api, store), **home},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: api.calls().height > 1)
            server.close()
            wait_until(lambda: "does not answer" in log.read_text(encoding="utf-8"))
            time.sleep(10)  # longer than the runner waits
            server_again.enter_context(running(tmp_path / "up-again.log", tmp_path / "prefect", home, port=port))
            if moves:
                wait_until(lambda: log.read_text(encoding="utf-8").count("Serving ") == 2)
            after = write("after", 2)
            wait_until(lambda: states(store) == {"during": "complete", "after": "complete"})
            program.send_signal(signal.SIGTERM)
            assert program.wait(_PATIENCE_S) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    if moves:
        assert "lost its server; starting anew" in log.read_text(encoding="utf-8")
    check(store, api, "during", edition=during, rows=rows(PEOPLE))
    check(store, api, "after", edition=after, rows=rows(PEOPLE))


def states(store: str) -> dict[str, str]:
    with suppress(NoLedgerYet), Store(store) as opened:
        return {row.name: row.state for row in Ledger(opened).campaigns()}
    return {}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)
