"""`mambo store move`, as its two users see it."""

from __future__ import annotations

from collections.abc import Callable

from mambo_io.sandbox import SandboxHandle
from support.cli import Cli

SEND = ("send", "clinic-day.toml", "--direct", "--yes")


def test_a_campaign_goes_on_from_where_its_ledger_was_moved(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle], postgres_url: str
) -> None:
    api = start_sandbox()
    cli.use(api)
    cli.campaign(sending={"chunk_size": 1, "canary_size": 1})
    cli.set(MAX_COST_PER_DAY_UGX="100")
    assert cli(*SEND).code == 3, "that is for two of three"

    said = cli("store", "move", postgres_url, "--by", "Grace")
    assert said.code == 0, said
    assert "only-for-tests" not in said.out + said.err
    assert "Read back and compared, row by row: 1 campaign edition, 4 people, UGX 100 charged" in said.out
    for refused in (SEND, ("store", "move", postgres_url, "--by", "Grace"), ("pause", "clinic-day", "--by", "Grace")):
        assert "the ledger was moved to postgresql+psycopg://mambo:***@" in cli.refused(*refused)
    assert "Here is how it stood when it was moved:" in cli("status").out
    assert "moved to: postgresql" in cli("store", "info").out

    cli.set(STORE=postgres_url, MAX_COST_PER_DAY_UGX=None)
    assert cli(*SEND).code == 0
    assert cli("status", "clinic-day").pairs()["accepted"] == "3"
    assert api.deliveries().height == 3, "nobody was messaged twice"
    assert "moved" in cli("events").out
