"""Secrets and numbers, searched for in everything that a run through the engine leaves behind: the server's database
and answers, logs, artifacts, stored results, the log in the data folder, and what the command says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.log import log_file
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay, SuccessFalse
from support import canaries
from support.canaries import API_KEY, PASSWORD, rows_in, search
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.processes import MAMBO, mambo, started
from support.sandboxed import environment

pytestmark = pytest.mark.xdist_group("engine")

LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 2\ncanary_size = 1"


def test_a_run_that_stops_and_goes_on(
    engine: PrefectServer, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    """The API refuses calls and repeats the key and a number in what it says; then it takes them."""
    api = start_sandbox(api_key=API_KEY, password=PASSWORD)
    file = campaign_of(tmp_path, canaries.people(12), name="secrets", sections=LIMITS).file
    number = canaries.people(1).split()[1]
    api.set_faults([SuccessFalse(message=f"No, {API_KEY}: {number}, +256{number[1:]}", skip=1, times=2)])

    runs = []
    for _ in range(2):
        found = mambo(
            "send", file.name, "--yes", cwd=tmp_path, env=environment(api, str(tmp_path / "ledger.db")), timeout_s=120
        )
        runs.append(found)

    assert [run.returncode for run in runs] == [3, 3], [run.stderr for run in runs]
    assert [run["state_name"] for run in engine.runs("secrets/1")] == ["Stopped", "Stopped"], "refused calls are left"
    known = engine.everything()
    # What this looks for would be found: the state's message, which repeats what the API said.
    assert b"the API refused several calls in a row (refused: No, " in known
    assert "secrets/1: paused, refused_in_a_row" in log_file().read_text(encoding="utf-8")
    said = "".join(run.stdout + run.stderr for run in runs).encode()
    assert search(iter([("engine", known), ("output", said), ("log", log_file().read_bytes())])) == []


def test_a_run_that_is_killed_and_goes_on(
    engine: PrefectServer, start_sandbox: Callable[..., SandboxHandle], postgres_url: str, tmp_path: Path
) -> None:
    """Killed with a call out, so that it could tell nobody; the next run settles it by the account's password."""
    api = start_sandbox(api_key=API_KEY, password=PASSWORD)
    file = campaign_of(tmp_path, canaries.people(12, block=1), name="secrets-killed", sections=LIMITS).file
    settings = environment(api, canaries.store(postgres_url))
    api.set_faults([Delay(after_s=60, skip=1)])

    with started(*MAMBO, "send", file.name, "--yes", cwd=tmp_path, env=settings) as process:
        while api.calls().height < 2:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(0.5)  # it has come in; now it has been executed as well
        process.kill()
        said, _ = process.communicate()
    api.set_faults([])
    left = search(iter([("engine", engine.everything()), ("output", said.encode()), ("log", log_file().read_bytes())]))
    again = mambo("send", file.name, "--yes", cwd=tmp_path, env=settings, timeout_s=120)

    assert again.returncode == 0, again.stderr
    assert [run["state_name"] for run in engine.runs("secrets-killed/1")] == ["Running", "Completed"]
    assert left == []
    known, said = engine.everything(), again.stdout + again.stderr
    assert b"secrets-killed.toml" in known, "the killed run's parameters"
    assert search(iter([("engine", known), ("output", said.encode()), ("log", log_file().read_bytes())])) == []
    assert search(rows_in(postgres_url), numbers=False) == []
