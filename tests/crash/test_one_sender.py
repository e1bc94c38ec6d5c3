"""One sender a campaign: of many that start at once one sends, and nobody takes over from one that is only frozen."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from mambo_io.ledger import Ledger
from mambo_io.planning import write_plan
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store, StoreBusy
from support.hunts import hunt
from support.kills import DONE, LEFT
from support.ledgers import Run, plan

STARTS = 100
COMMANDS = 10 if "KILLS" in os.environ else 3  # a process takes more than a second, so `make test` starts few
REFUSED = 2  # exit code


def test_of_a_hundred_simultaneous_starts_one_sends(store_url: str) -> None:
    """Each with a store and a connection of its own, all of them open when the first asks for the lock. The one that
    has it keeps it until all others have asked."""
    barrier, others_refused = threading.Barrier(STARTS, timeout=60), threading.Semaphore(0)

    def start(_: int) -> str | None:
        """The call that this one may make; None when another is the sender."""
        with Store(store_url) as store, store.writer() as connection:
            barrier.wait()
            try:
                with store.lock("clinic-day/1", connection):
                    run = Run(connection, Ledger(store).get("clinic-day"))
                    call = run.claim_one()
                    for _ in range(STARTS - 1):
                        assert others_refused.acquire(timeout=60), "another one was not refused"
                    return call.name
            except StoreBusy:
                others_refused.release()
                return None

    with Store(store_url, create=True) as store, store.writer() as connection:
        write_plan(connection, plan(1, 1, 1), who="tester")
    with ThreadPoolExecutor(STARTS) as pool:
        for turn in (1, 2, 3):  # the call of the turn before is unknown by then, so this one makes the next
            calls = [call for call in pool.map(start, range(STARTS)) if call is not None]
            assert calls == [f"clinic-day/1/c{turn:04d}"]


@pytest.mark.timeout(300)
@pytest.mark.skipif("KILLS" not in os.environ, reason="takes a while: `make crash` does it")
def test_of_many_commands_at_once_one_sends(
    store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api = start_sandbox()
    it = hunt(tmp_path, api, store_url, people=600, call_s=6)  # so slow that it outlasts all starts by far
    with ExitStack() as running:
        commands = [running.enter_context(it.started()) for _ in range(COMMANDS)]
        while sum(command.poll() is None for command in commands) > 1:
            time.sleep(0.05)
        codes = sorted(command.returncode for command in commands if command.returncode is not None)
        assert codes == [REFUSED] * (COMMANDS - 1)
        api.set_faults([])  # the rest of the calls without delay
        [sender] = (command for command in commands if command.returncode is None)
        assert sender.wait(120) == DONE
    it.judge(complete=True)
    assert set(it.record().messages.values()) == {1}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", ["before_intent", "after_intent", "after_body"])
def test_a_frozen_sender_is_not_taken_over_and_messages_nobody_twice(
    point: str, store_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    """It wakes up when its calls have had their time: what was not sent by then is not sent as if nothing had been.

    Frozen before the intent is durable it holds the ledger's transaction open, too.
    """
    timeout_s = 2.0
    it = hunt(tmp_path, start_sandbox(), store_url, people=60, timeout_s=timeout_s)
    with it.started(rig=("--at", point, "--nth", "2", "--signal", "SIGSTOP")) as frozen:
        it.freeze_at(point, frozen)
        frozen_at = time.monotonic()
        with it.started() as second:
            assert second.wait(120) == REFUSED
            assert "another process is sending hunted-0/1" in it.said()
        time.sleep(max(0.0, frozen_at + timeout_s + 0.1 - time.monotonic()))
        frozen.send_signal(signal.SIGCONT)
        code = frozen.wait(120)
    assert code in (DONE, LEFT), it.said()
    it.judge(complete=code == DONE)
    if point != "after_body":
        assert not it.record().unknown_calls, "calls that were too old to be sent were proved not to be sent"
    if code == LEFT:
        it.finish()
