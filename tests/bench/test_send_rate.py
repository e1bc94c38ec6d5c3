"""The send loop with its durable ledger, against a bare httpx loop that makes the same calls and keeps nothing.

`make bench` prints the ratio; it decides nothing. Both run against a fresh sandbox in its own process.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from statistics import median

import httpx
import polars as pl
import pytest

from mambo_io.sandbox import SandboxHandle, running
from pipelines.campaign import load_campaign
from pipelines.prepare import prepare
from support import processes

RECIPIENTS = 100_000
TURNS = 7

CAMPAIGN = """
name = "bench"
sender_id = "MamboSMS"
category = "customised"
message = "Clinic day is Friday. Bring your card."
sandbox_only = true
[recipients]
path = "people.csv"
phone = "phone"
[sending]
window = "any"
calls_per_second = 0
concurrency = {concurrency}
"""


@pytest.mark.parametrize("concurrency", [2, 4, 8])
def test_send_rate_against_a_bare_loop(tmp_path: Path, concurrency: int) -> None:
    """100,000 recipients, one text; seconds from the first call to the last answer."""
    numbers = random.Random(1).sample(range(10_000_000), RECIPIENTS)
    pl.DataFrame({"phone": [f"077{number:07d}" for number in numbers]}).write_csv(tmp_path / "people.csv")
    (tmp_path / "bench.toml").write_text(CAMPAIGN.format(concurrency=concurrency))
    campaign = load_campaign(tmp_path / "bench.toml")
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
    print(
        f"\nconcurrency {concurrency}, {len(bodies):,} calls: bare loop {len(bodies) / median(bare_s):,.0f} calls/s, "
        f"mambo send --direct {len(bodies) / median(ours_s):,.0f} calls/s, ratio {median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f} in {TURNS} turns)"
    )


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
