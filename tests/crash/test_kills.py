"""`mambo send --direct`, killed at random instants and started again: nobody is messaged twice, and nobody is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mambo_io.sandbox import SandboxHandle
from support import forgetful_mambo
from support.kills import LEFT, Hunt
from support.lists import campaign_of
from support.sandboxed import environment, people, rows

CONCURRENCY = 4


def hunt(folder: Path, api: SandboxHandle, store: str, count: int, **options: object) -> Hunt:
    """A campaign of `count` people in calls of about five."""
    limits = f"window = 'any'\ncalls_per_second = 0\nconcurrency = {CONCURRENCY}\nchunk_size = 6\ncanary_size = 5"
    campaign = campaign_of(folder, people(count), sections=f"[sending]\n{limits}")
    return Hunt(
        api=api,
        store=store,
        environment=environment(api, store),
        file=campaign.file,
        rows=rows(count),
        calls=count // 6,
        concurrency=CONCURRENCY,
        **options,  # type: ignore[arg-type] # they are those of Hunt
    )


@pytest.mark.timeout(300)
def test_killed_again_and_again_it_messages_nobody_twice_and_loses_nobody(
    store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    on_sqlite = store_url.startswith("sqlite")
    campaign = hunt(tmp_path, start_sandbox(balance_ugx=10_000_000), store_url, 1500 if on_sqlite else 500)
    campaign.kill(20 if on_sqlite else 5)
    campaign.finish()


def test_the_judge_finds_a_sender_that_calls_again_what_a_dead_one_left_in_flight(
    start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    forgetful = (sys.executable, str(Path(forgetful_mambo.__file__)))
    api, store = start_sandbox(), str(tmp_path / "ledger.db")
    campaign = hunt(tmp_path, api, store, 30, command=forgetful, call_s=0.5)
    campaign.kill_before_an_answer()
    with pytest.raises(AssertionError, match="got the same message 2 times"):
        campaign.finish()


def test_the_judge_has_nothing_against_ours_at_the_same_instant(
    start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    campaign = hunt(tmp_path, start_sandbox(), str(tmp_path / "ledger.db"), 30, call_s=0.5)
    campaign.kill_before_an_answer()
    assert campaign.finish() == LEFT
