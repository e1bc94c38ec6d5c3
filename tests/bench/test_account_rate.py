"""One account's rate limit, held by several senders at once: each a process of its own, as on machines of their own.

Counted are the calls that the sandbox received while all of the senders had calls left to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mambo_io.sandbox import running
from support import postgres
from support.senders import Shared, send_together

SECONDS = 12


@pytest.fixture(scope="module")
def durable_server() -> Iterator[postgres.PostgresServer]:
    """Its commits reach the disk, as a ledger's do."""
    with postgres.running(fsync=True) as server:
        yield server


@pytest.mark.parametrize("senders", [1, 2, 4])
@pytest.mark.parametrize("per_second", [5, 20, 50])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_rate_of_an_account_and_how_it_is_shared(
    kind: str,
    per_second: int,
    senders: int,
    durable_server: postgres.PostgresServer,
    tmp_path: Path,
    table_row: Callable[..., None],
) -> None:
    with durable_server.database() as url, running(tmp_path / "sandbox", balance_ugx=10**9) as api:
        shared = send_together(
            tmp_path / "campaigns",
            api,
            str(tmp_path / "ledger.db") if kind == "sqlite" else url,
            senders=senders,
            calls=max(20, SECONDS * per_second // senders),
            calls_per_second=per_second,
            concurrency=4,
        )
    together = Shared.while_all_sent(shared.calls)
    shares = together.group_by("sender").len()["len"].to_list()
    table_row(
        f"rate of {senders} senders, {kind}",
        f"calls_per_second = {per_second}",
        reached=f"{Shared.rate(together) / per_second:.3f} of it, over {together.height} calls; "
        f"shares of {min(shares)} to {max(shares)}",
        wanted="0.95 to 1.05",
    )
