"""`mambo send` through the flow, killed and started again against one running server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.sandbox import SandboxHandle
from support.kills import DONE, LEFT, Hunt
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE, CONCURRENCY, KILLS = 300, 4, 3
LIMITS = f"window = 'any'\ncalls_per_second = 0\nconcurrency = {CONCURRENCY}\nchunk_size = 6\ncanary_size = 5"


def test_killed_three_times_it_messages_nobody_twice_and_loses_nobody(
    engine: PrefectServer, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api, store = start_sandbox(), str(tmp_path / "ledger.db")
    file = campaign_of(tmp_path, people(PEOPLE), name="hunted", sections=f"[sending]\n{LIMITS}").file
    hunt = Hunt(
        api=api,
        store=store,
        environment=environment(api, store),
        file=file,
        rows=rows(PEOPLE),
        calls=PEOPLE // 6,
        concurrency=CONCURRENCY,
        options=(),
        start_s=6,
    )
    hunt.kill(KILLS)
    code = hunt.finish()
    ended = engine.run("hunted/1")
    assert (ended["state_name"], code) in (("Completed", DONE), ("Stopped", LEFT))
