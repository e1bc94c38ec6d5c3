"""The send loop with its durable ledger, against a bare httpx loop that makes the same calls and keeps nothing.

Both run against a fresh sandbox in its own process. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
import polars as pl
import pytest

from mambo_io.sandbox import SandboxHandle, running
from pipelines.campaign import Campaign, load_campaign
from pipelines.prepare import prepare
from support import processes

RECIPIENTS = 100_000
TURNS = 7
CANARIES = 10  # the default of `canary_size`

CAMPAIGN = """
name = "bench"
sender_id = "MamboSMS"
category = "customised"
message = "{message}"
sandbox_only = true
[recipients]
path = "people.csv"
phone = "phone"
[sending]
window = "any"
calls_per_second = 0
concurrency = {concurrency}
chunk_size = {chunk_size}
"""
ONE_TEXT = "Clinic day is Friday. Bring your card."


@pytest.mark.parametrize(
    ("chunk_size", "concurrency", "wanted"),
    [(100, 2, "-"), (100, 4, "at least 0.8"), (50, 4, "at least 0.9"), (100, 8, "-")],
)
def test_send_rate_against_a_bare_loop(
    tmp_path: Path, table_row: Callable[..., None], chunk_size: int, concurrency: int, wanted: str
) -> None:
    """100,000 recipients, one text; seconds from the first call to the last answer."""
    campaign = _campaign(tmp_path, RECIPIENTS, message=ONE_TEXT, concurrency=concurrency, chunk_size=chunk_size)
    plan = prepare(campaign, edition="1", account="sandbox", ledger=None)
    by_call = plan.frame.filter(pl.col("chunk").is_not_null()).group_by("chunk", maintain_order=True).agg("e164")
    bodies = [
        {
            "message": campaign.message,
            "recipients": ", ".join(f"0{number[4:]}" for number in numbers_of_call),
            "message_category": "customised",
            "sender_id": "MamboSMS",
        }
        for numbers_of_call in by_call["e164"]
    ]
    # The two take turns, and the median of the turns' ratios counts: a shared machine is slow for seconds at a time.
    bare_s, ours_s = [], []
    for turn in range(TURNS):
        with running(tmp_path / f"bare{turn}", balance_ugx=10**9) as sandbox:
            bare_s.append(asyncio.run(_bare_loop(sandbox, bodies, concurrency)))
        with running(tmp_path / f"ours{turn}", balance_ugx=10**9) as sandbox:
            ours_s.append(_send(tmp_path, sandbox, store=f"ledger{turn}.db"))
    ratios = [bare / ours for bare, ours in zip(bare_s, ours_s, strict=True)]
    table_row(
        f"send loop, {chunk_size} a call, {concurrency} in flight",
        f"bare httpx loop ({len(bodies) / median(bare_s):,.0f} calls/s)",
        wanted=wanted,
        reached=f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{len(bodies) / median(ours_s):,.0f} calls/s",
    )


def test_personalised_send_rate_against_the_limit(tmp_path: Path, table_row: Callable[..., None]) -> None:
    """One recipient a call, 16 in flight, and a server that takes 100 ms to answer."""
    people, concurrency, latency_s = 3_200, 16, 0.1
    _campaign(tmp_path, people, message="{phone}: clinic day is Friday.", concurrency=concurrency, chunk_size=1)
    with running(tmp_path / "sandbox", balance_ugx=10**9, latency_ms=int(latency_s * 1000)) as sandbox:
        took_s = _send(tmp_path, sandbox, store="ledger.db")
    alone_s = CANARIES * latency_s  # of the first calls, each of which has to come back before the next
    limit_s = alone_s + (people - CANARIES) * latency_s / concurrency
    table_row(
        "send loop, 1 a call, 16 in flight, 100 ms",
        f"16 / 0.1 s ({people / limit_s:,.0f} calls/s with {CANARIES} canaries)",
        wanted="at least 0.95",
        reached=f"{limit_s / took_s:.2f} ({people / took_s:,.0f} calls/s)",
    )


def _campaign(folder: Path, people: int, **keys: object) -> Campaign:
    numbers = random.Random(1).sample(range(10_000_000), people)
    pl.DataFrame({"phone": [f"077{number:07d}" for number in numbers]}).write_csv(folder / "people.csv")
    (folder / "bench.toml").write_text(CAMPAIGN.format(**keys))
    return load_campaign(folder / "bench.toml")


async def _bare_loop(sandbox: SandboxHandle, bodies: list[dict[str, str]], concurrency: int) -> float:
    todo = iter(bodies)
    limits = httpx.Limits(keepalive_expiry=1.0)
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=20, limits=limits) as client:

        async def work() -> None:
            for body in todo:
                reply = await client.post("/v1/send-sms", json=body, headers={"Authorization": sandbox.api_key})
                assert reply.json()["success"] is True

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - started


def _send(folder: Path, sandbox: SandboxHandle, *, store: str) -> float:
    environment = {
        "MAMBO_BASE_URL": sandbox.url,
        "MAMBO_API_KEY": sandbox.api_key,
        "MAMBO_STORE": str(folder / store),
    }
    sent = processes.mambo(
        "send", "bench.toml", "--direct", "--yes", "--json", cwd=folder, env=environment, timeout_s=600
    )
    assert sent.returncode == 0, sent.stderr
    return float(json.loads(sent.stdout.splitlines()[-1])["sending_seconds"])
