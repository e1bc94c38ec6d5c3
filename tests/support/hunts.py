"""The campaigns that the crash tests send: many small calls, as fast as they go."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mambo_io.sandbox import SandboxHandle
from support.kills import Hunt
from support.lists import campaign_of
from support.sandboxed import environment, rows
from support.sandboxed import people as list_of

CONCURRENCY = 4


def hunt(
    folder: Path,
    api: SandboxHandle,
    store: str,
    *,
    people: int,
    number: int = 0,
    unreachable: Collection[int] = (),
    timeout_s: float = 20,
    **options: Any,
) -> Hunt:
    """A campaign to `people` people in calls of about five. Another `number`: another text, and another account.

    `unreachable` are the indexes of those on a network that the sandbox may call unsupported; `options` are those of
    `Hunt`.
    """
    sending = {
        "window": '"any"',
        "calls_per_second": 0,
        "concurrency": CONCURRENCY,
        "chunk_size": 6,
        "canary_size": 5,
        "timeout_s": timeout_s,
    }
    campaign = campaign_of(
        folder,
        list_of(people, unreachable=unreachable),
        name=f"hunted-{number}",
        message=f"Clinic day {number} is Friday.",
        sections="\n".join(["[sending]", *(f"{key} = {value}" for key, value in sending.items())]),
    )
    return Hunt(
        api=api,
        store=store,
        environment={**environment(api, store), "MAMBO_ACCOUNT": f"account-{number}"},
        file=campaign.file,
        rows=rows(people),
        calls=people // 6,
        concurrency=CONCURRENCY,
        **options,
    )
