"""A machine loses the network in the middle of its campaigns: to the ledger and to Prefect, not to the provider.

Nothing tells either end. The ledger's server has to give the machine's locks back by itself, and the machine has to
notice that it may not send any more, also when it waits for an answer of the ledger that never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from support import cable
from support.checker import check
from support.due_campaigns import CONCURRENCY, PEOPLE, Campaigns
from support.machines import Site, machine, wait_until
from support.sandboxed import environment, rows
from support.sandboxed import settings as of_sandbox

NOTICED_S = 45  # 25 s by the settings of the connections, and what it takes to come to it

pytestmark = pytest.mark.skipif(cable.why_not() is not None, reason=f"no network can be cut: {cable.why_not()}")


@pytest.mark.timeout(400)
def test_a_machine_is_cut_off_and_another_takes_over(
    site: Site, store: Store, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    ledger = Ledger(store)
    api = start_sandbox(balance_ugx=10_000_000)
    api.set_faults([Delay(after_s=0.5, times=None)])
    here = environment(api, store._url.render_as_string(hide_password=False))
    there = here | {"MAMBO_STORE": here["MAMBO_STORE"].replace("127.0.0.1", cable.ADDRESS)}
    campaigns = Campaigns(site, "cut-off", 2, datetime.now(KAMPALA) + timedelta(seconds=10))
    campaigns.register(of_sandbox(api, here["MAMBO_STORE"]))
    with ExitStack() as running:
        wire = running.enter_context(cable.cable())
        port = running.enter_context(cable.relay(int(site.prefect.url.split(":")[2].removesuffix("/api"))))
        seen_from_there = replace(site.prefect, url=f"http://{cable.ADDRESS}:{port}/api")
        gulu = running.enter_context(machine(tmp_path, seen_from_there, there, name="gulu", at_a_time=2))
        wait_until(lambda: [row.begun for row in campaigns.found(ledger)] == [True] * len(campaigns.names))
        wire.cut()
        cut_at = time.monotonic()
        made = api.calls().height
        wait_until(lambda: not campaigns.are_held(store))
        free_s = time.monotonic() - cut_at
        wait_until(lambda: gulu.log().count("stopped by LedgerFailed") == len(campaigns.names))
        ended_s = time.monotonic() - cut_at
        assert max(free_s, ended_s) < NOTICED_S
        assert not campaigns.have_ended(ledger)
        assert api.calls().height - made <= len(campaigns.names) * CONCURRENCY, "only what was on its way"

        api.set_faults([])
        running.enter_context(machine(tmp_path, site.prefect, here, name="kampala", at_a_time=3))
        campaigns.tend()
        wait_until(lambda: campaigns.have_ended(ledger))
        wire.mend()
    for row in campaigns.found(ledger):
        check(here["MAMBO_STORE"], api, row.name, row.edition, rows=rows(PEOPLE), most_unknown=CONCURRENCY)
    campaigns.remove()
