"""Many real `mambo send` at once on one account, let go at the same moment, and how they shared its rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy import func, select

from mambo_io import accounting
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store
from mambo_io.tables import attempts, campaigns
from support.lists import ACCOUNT, campaign_of
from support.processes import MAMBO, started
from support.sandboxed import environment, people

_PATIENCE_S = 120


@dataclass(frozen=True)
class Shared:
    """Intents of the ledger and calls of the sandbox's record: `sender` (0, 1, …), `at_us`, in the order of `at_us`."""

    intents: pl.DataFrame
    calls: pl.DataFrame

    @staticmethod
    def while_all_sent(moments: pl.DataFrame) -> pl.DataFrame:
        """Those from when the last of the senders had begun until the first of them had made its last."""
        spans = moments.group_by("sender").agg(first="at_us", last=pl.col("at_us").max()).explode("first")
        spans = spans.group_by("sender").agg(pl.col("first").min(), pl.col("last").max())
        return moments.filter(pl.col("at_us").is_between(spans["first"].max(), spans["last"].min()))

    @staticmethod
    def rate(moments: pl.DataFrame) -> float:
        """Calls a second."""
        at_us = moments["at_us"]
        return float((len(at_us) - 1) * 1e6 / (at_us[-1] - at_us[0]))


def send_together(
    folder: Path, api: SandboxHandle, store: str, *, senders: int, calls: int, calls_per_second: float, concurrency: int
) -> Shared:
    """Send so many campaigns of `calls` calls to one person each, and wait until all are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"sender-{number}" for number in range(senders)]
    sending = {
        "window": '"any"',
        "calls_per_second": calls_per_second,
        "concurrency": concurrency,
        "chunk_size": 1,
        "canary_size": 1,
    }
    sections = "\n".join(["[sending]", *(f"{key} = {value}" for key, value in sending.items())])
    files = [
        campaign_of(
            folder,
            people(calls, block=number),
            name=name,
            message=f"Clinic day of {name}.",
            path=f"{name}.csv",
            sections=sections,
        ).file
        for number, name in enumerate(names)
    ]
    settings = {**environment(api, store), "MAMBO_ACCOUNT": ACCOUNT}
    with ExitStack() as running:
        opened = running.enter_context(Store(store, create=True))
        connection = running.enter_context(opened.writer())
        # As if a balance were being read: they start, and none makes a call before all are ready.
        accounting.set_settling(connection, ACCOUNT, datetime.now(UTC) + timedelta(seconds=_PATIENCE_S))
        processes = [
            running.enter_context(
                started(*MAMBO, "send", file, "--direct", "--yes", "--json", cwd=folder, env=settings)
            )
            for file in files
        ]
        end = time.monotonic() + _PATIENCE_S
        while _ready(opened) < senders:
            assert all(process.poll() is None for process in processes), [
                process.communicate()[0] for process in processes if process.poll() is not None
            ]
            assert time.monotonic() < end, "not all of them have started"
            time.sleep(0.1)
        accounting.set_settling(connection, ACCOUNT, None)
        for process in processes:
            said, _ = process.communicate(timeout=600)
            assert process.returncode == 0, said
        return Shared(_intents(opened, names), _calls(api, names))


def _ready(store: Store) -> int:
    with store.reader() as connection:
        started = select(func.count()).where(campaigns.c.state == "sending", campaigns.c.sender_epoch > 0)
        return int(connection.scalar(started) or 0)


def _intents(store: Store, names: Sequence[str]) -> pl.DataFrame:
    query = (
        select(campaigns.c.name, attempts.c.intent_at_us)
        .join(attempts, attempts.c.campaign_id == campaigns.c.id)
        .order_by(attempts.c.intent_at_us)
    )
    with store.reader() as connection:
        rows = connection.execute(query).all()
    return pl.DataFrame(
        {"sender": [names.index(name) for name, _ in rows], "at_us": [at_us for _, at_us in rows]},
        schema={"sender": pl.Int64, "at_us": pl.Int64},
    )


def _calls(api: SandboxHandle, names: Sequence[str]) -> pl.DataFrame:
    made = api.calls().filter(pl.col("message").is_not_null()).sort("received_at")
    return made.select(
        sender=pl.col("message").str.extract(r"sender-(\d+)").cast(pl.Int64),
        at_us=pl.col("received_at").dt.epoch("us"),
    )
