"""`mambo serve`: the campaigns of a folder at their times, by a real Prefect server, runner and sandbox."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import NoLedgerYet, Store
from mambo_io.window import KAMPALA
from pipelines.schedule import edition_of
from pipelines.summary import SERVICE_STOPPED
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.processes import MAMBO, started
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

_PATIENCE_S = 90
PEOPLE = 30
SLOW = 'window = "any"\nchunk_size = 5\ncanary_size = 5\nconcurrency = 1\ncalls_per_second = 0.5'


def test_a_folder_is_served(engine: PrefectServer, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path) -> None:
    """The program is stopped while it sends a campaign; its files are changed, and it is started again."""
    api, store = start_sandbox(), str(tmp_path / "ledger.db")
    folder = tmp_path / "campaigns"
    folder.mkdir()
    due = datetime.now(KAMPALA).replace(microsecond=0) + timedelta(seconds=14)
    edition = edition_of(due, KAMPALA)

    def write(name: str, block: int, schedule: str, sending: str = 'window = "any"') -> Path:
        path = f"{name}.csv"
        sections = f"[sending]\n{sending}\n[schedule]\n{schedule}"
        people_of = people(PEOPLE, block=block)
        return campaign_of(folder, people_of, name=name, message=f"{name}.", path=path, sections=sections).file

    write("weekly", 1, f'at = "{due:%Y-%m-%d %H:%M:%S}"', SLOW)
    gone = write("gone", 2, 'cron = "0 9 1 1 *"')
    broken = write("broken", 3, 'cron = "0 9 1 1 *"')
    broken.write_text(broken.read_text(encoding="utf-8").replace("customised", "customized"), encoding="utf-8")
    settings = {**environment(api, store), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}

    with started(*MAMBO, "serve", str(folder), cwd=tmp_path, env=settings) as served:
        wait_until(lambda: (found := row(store, "weekly")) is not None and found.begun)
        served.send_signal(signal.SIGTERM)
        said, _ = served.communicate(timeout=_PATIENCE_S)
        assert served.returncode == 0, said
    assert f"weekly: next {due:%Y-%m-%d %H:%M}" in said
    assert "broken.toml, category: 'customized' is not allowed" in said
    assert "Traceback" not in said

    stopped = row(store, "weekly")
    assert stopped is not None
    assert (stopped.edition, stopped.state, stopped.stop_detail) == (edition, "paused", SERVICE_STOPPED)
    check(store, api, "weekly", edition=edition, rows=rows(PEOPLE), complete=False)

    gone.unlink()
    write("broken", 3, "at = 2099-01-01T09:00:00")
    with started(*MAMBO, "serve", str(folder), cwd=tmp_path, env=settings) as served:
        wait_until(lambda: (found := row(store, "weekly")) is not None and found.state == "complete")
        wait_until(lambda: engine.deploys("send-campaign/broken") and not engine.deploys("send-campaign/gone"))
        served.send_signal(signal.SIGTERM)
        said, _ = served.communicate(timeout=_PATIENCE_S)
    assert f"weekly/{edition}: goes on (the program that served it was stopped)" in said
    assert "gone: its file is gone" in said
    assert "broken: next 2099-01-01 09:00" in said
    check(store, api, "weekly", edition=edition, rows=rows(PEOPLE))


def row(store: str, name: str) -> CampaignRow | None:
    """The newest edition of a campaign; None before there is one."""
    with suppress(NoLedgerYet), Store(store) as opened:
        return Ledger(opened).find(name)
    return None


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
