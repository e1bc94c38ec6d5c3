"""Many campaigns on several workers, which are killed in each state of a call; PostgreSQL restarted under load.

Whatever goes on is `tend-campaigns`' own doing, in a run on one of the workers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.store import Store
from mambo_io.tables import events
from mambo_io.window import KAMPALA
from pipelines.summary import SERVICE_STOPPED
from support.checker import check
from support.due_campaigns import CONCURRENCY, PEOPLE, Campaigns
from support.ledgers import rows_of
from support.machines import Machine, Site, machine, wait_until
from support.problems import Pager
from support.sandboxed import environment, rows
from support.sandboxed import settings as of_sandbox

# The intent is written and nothing has left; everything has left; the answer has come and is not recorded.
POINTS = ("after_intent", "after_body", "after_headers")


@pytest.fixture
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000)


@pytest.fixture
def settings(api: SandboxHandle, store: Store) -> dict[str, str]:
    url = store._url.render_as_string(hide_password=False)
    return environment(api, url)


@pytest.mark.timeout(400)
def test_workers_are_killed_in_each_state_of_a_call_and_another_takes_over(
    site: Site, store: Store, api: SandboxHandle, settings: dict[str, str], tmp_path: Path
) -> None:
    ledger = Ledger(store)
    pager = Pager(tmp_path)
    settings = settings | {"MAMBO_ON_PROBLEM": pager.command}
    campaigns = Campaigns(site, "killed", 5, datetime.now(KAMPALA) + timedelta(seconds=10))
    campaigns.register(of_sandbox(api, settings["MAMBO_STORE"]))
    with ExitStack() as running:

        def worker(name: str, **options: Any) -> Machine:
            return running.enter_context(machine(tmp_path, site.prefect, settings, name=name, **options))

        doomed = [worker(point, at_a_time=1, stops_at=point, nth=2) for point in POINTS]
        wait_until(lambda: all(each.is_frozen() for each in doomed))
        worker("gulu", at_a_time=3)  # has the others for itself, and then those of the dead
        wait_until(lambda: len(campaigns.found(ledger)) == len(campaigns.names))
        for each in doomed:
            each.kill()
        campaigns.tend()
        campaigns.tend()
        wait_until(lambda: campaigns.have_ended(ledger))
    crashed = [problem["campaign"] for problem in pager.told() if problem["kind"] == "crashed"]
    assert len(crashed) == len(set(crashed)) == len(POINTS), "each is told once, by the worker that looked"
    killed = 0
    for row in campaigns.found(ledger):
        starts = [
            each for each in rows_of(store, events) if (each["campaign_id"], each["kind"]) == (row.id, "send_started")
        ]
        killed += len(starts) - 1
        check(
            settings["MAMBO_STORE"],
            api,
            row.name,
            row.edition,
            rows=rows(PEOPLE),
            most_unknown=CONCURRENCY * (len(starts) - 1),
        )
    assert killed == len(POINTS)
    campaigns.remove()


@pytest.mark.timeout(400)
def test_a_worker_is_stopped_and_postgres_restarted_while_campaigns_are_sent(
    site: Site, store: Store, api: SandboxHandle, settings: dict[str, str], tmp_path: Path
) -> None:
    """What is stopped in good order leaves nothing unknown. Without the ledger a sender may not send: it waits for what
    is out, and ends. The ledger's server is Prefect's as well."""
    ledger = Ledger(store)
    api.set_faults([Delay(after_s=1, times=None)])
    campaigns = Campaigns(site, "restarted", 4, datetime.now(KAMPALA) + timedelta(seconds=10))
    campaigns.register(of_sandbox(api, settings["MAMBO_STORE"]))
    with ExitStack() as running:
        kampala, _ = (
            running.enter_context(machine(tmp_path, site.prefect, settings, name=name, at_a_time=3))
            for name in ("kampala", "gulu")
        )
        wait_until(lambda: [row.begun for row in campaigns.found(ledger)] == [True] * len(campaigns.names))
        kampala.stop()
        in_good_order = {row.name for row in campaigns.found(ledger) if row.stop_detail == SERVICE_STOPPED}
        assert 1 <= len(in_good_order) < len(campaigns.names)
        site.database.restart()
        made = api.calls().height
        api.set_faults([])
        wait_until(lambda: not campaigns.are_held(store))
        assert api.calls().height - made <= len(campaigns.names) * CONCURRENCY, "only what was on its way"
        assert not campaigns.have_ended(ledger)
        campaigns.tend()
        wait_until(lambda: campaigns.have_ended(ledger))
    for row in campaigns.found(ledger):
        unknown = 0 if row.name in in_good_order else CONCURRENCY
        check(settings["MAMBO_STORE"], api, row.name, row.edition, rows=rows(PEOPLE), most_unknown=unknown)
    campaigns.remove()
