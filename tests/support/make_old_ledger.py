"""Write the small ledger that later versions must still be able to read, as it lies in SQLite and in PostgreSQL:
`tests/data/ledger-v<schema version>.db`, and a dump beside it, `.sql`.

Run once for each version of the schema, from the repository's folder, and commit what it writes:
`PYTHONPATH=.:tests python tests/support/make_old_ledger.py`. A file that is there is not written again.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from mambo_io import accounting
from mambo_io.model import CampaignState, Delivery
from mambo_io.planning import write_suppressions
from mambo_io.sender import Hold
from mambo_io.store import Store
from mambo_io.tables import SCHEMA_VERSION
from support import postgres
from support.environment import REPOSITORY
from support.ledgers import NOON, Run, bad_reply, every_outcome, good_reply, plan, report, suppressed


def fill(store: Store) -> None:
    """A campaign with a person of every outcome, of which a provider has reported one accepted person and one unknown;
    and one that is complete: a call was split, people opted out."""
    with store.writer() as connection:
        clinic_day = every_outcome(connection).campaign
        report(connection, clinic_day, {1: Delivery.DELIVERED, 8: Delivery.FAILED})
        run = Run.of(connection, plan(3, 2, 1, name="flour-day", edition="2026-03-02", canaries=1))
        canary = run.claim_one()
        run.settle(canary, bad_reply(canary, 413))
        write_suppressions(connection, run.campaign.id, suppressed(2, 6))
        while (exchange := run.exchange()).hold is not Hold.NOTHING_LEFT:
            for call in exchange.calls:
                run.settle(call, good_reply(call))
        run.sender.finish(CampaignState.COMPLETE, None, NOON + timedelta(minutes=1))
        accounting.record_reading(connection, "main", 8_000, who="officer", now=NOON + timedelta(minutes=2))
        accounting.set_latch(connection, "second", "Invalid credentials", who="officer", now=NOON)


if __name__ == "__main__":
    target = REPOSITORY / "tests" / "data" / f"ledger-v{SCHEMA_VERSION}.db"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder) / "ledger.db"), create=True) as store:
        fill(store)
        store.backup(target)
    with postgres.running() as server, server.database() as url:
        with Store(url, create=True) as store:
            fill(store)
        with target.with_suffix(".sql").open("x", encoding="utf-8") as dump:
            dump.write(server.dump(url))
