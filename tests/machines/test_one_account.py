"""Several senders at once on one account, each a process of its own: one rate for all of them, and a balance that is
read while the others wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay, NoAnswer
from mambo_io.store import Store
from mambo_io.tables import account_entries, attempts
from support.checker import check
from support.ledgers import rows_of
from support.sandboxed import rows
from support.senders import Shared, send_together

SENDERS, CALLS, PER_SECOND, CONCURRENCY = 4, 20, 10, 2


@pytest.mark.timeout(240)
def test_four_senders_hold_one_rate_and_share_it(
    store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    """In whatever time one looks at, no more calls than the rate allows, but for those of a tenth of a second."""
    shared = send_together(
        tmp_path,
        start_sandbox(),
        store_url,
        senders=SENDERS,
        calls=CALLS,
        calls_per_second=PER_SECOND,
        concurrency=CONCURRENCY,
    )
    at_us = shared.intents["at_us"]
    assert len(at_us) == SENDERS * CALLS
    for first in range(len(at_us)):
        for last in range(first + 1, len(at_us)):
            assert last - first <= (at_us[last] - at_us[first] + 100_000) * PER_SECOND / 1e6
    shares = Shared.while_all_sent(shared.intents).group_by("sender").len()["len"]
    assert len(shares) == SENDERS
    assert min(shares) >= max(shares) / 2, "none of them was starved"


@pytest.mark.timeout(240)
def test_a_balance_is_read_while_three_others_are_sending(
    postgres_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    """The calls whose answers are lost are settled by the balance, read when nothing is out; each loss costs the others
    one wait, or two where the first reading told nothing, for the calls that are out, and not one call more."""
    api = start_sandbox(balance_ugx=10_000_000)
    lost = 2
    api.set_faults(
        [
            NoAnswer(executes=True, skip=20),
            NoAnswer(executes=True, skip=40),
            Delay(before_s=0.05, after_s=0.05, times=None),
        ]
    )
    send_together(
        tmp_path,
        api,
        postgres_url,
        senders=SENDERS,
        calls=CALLS,
        calls_per_second=PER_SECOND,
        concurrency=CONCURRENCY,
    )
    with Store(postgres_url) as store:
        for row in Ledger(store).campaigns():
            check(postgres_url, api, row.name, row.edition, rows=rows(CALLS))
        made = rows_of(store, attempts)
        readings = [entry for entry in rows_of(store, account_entries) if entry["kind"] == "reading"]
    assert [attempt["reason"] for attempt in made].count("settled") == lost
    calls = pl.DataFrame([{"began": each["intent_at_us"], "ended": each["ended_at_us"]} for each in made])
    settling = [each for each in readings if each["began_us"] > calls["began"].min()]
    assert lost <= len(settling) <= 2 * lost
    for each in settling:
        out = calls.filter(pl.col("began") < each["at_us"], pl.col("ended") > each["began_us"])
        assert out.is_empty(), "nothing was out while the balance was read"
