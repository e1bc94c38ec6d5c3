"""Two hosts that have nothing in common but a PostgreSQL server: one sends, and the other takes over when it is gone.

As root on Linux each command has a host name, processes and a file system table of its own; the network stays this
machine's, because nothing here contacts another host.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.store import Store
from mambo_io.tables import events
from support.checker import check
from support.kills import DONE, LEFT
from support.ledgers import rows_of
from support.lists import campaign_of
from support.processes import MAMBO, run, started
from support.sandboxed import environment, people, rows

PEOPLE, CONCURRENCY = 60, 2
LIMITS = f"window = 'any'\ncalls_per_second = 0\nconcurrency = {CONCURRENCY}\nchunk_size = 5\ncanary_size = 1"
REFUSED = 2  # exit code
_OF_ITS_OWN = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


class Host:
    """A home folder with a copy of the campaign, in a world of its own where this machine allows that."""

    def __init__(self, folder: Path, api: SandboxHandle, store: str) -> None:
        folder.mkdir()
        file = campaign_of(folder, people(PEOPLE), sections=f"[sending]\n{LIMITS}").file
        apart = _OF_ITS_OWN if _may_be_apart() else ()
        self._folder = folder
        self._send = (*apart, *MAMBO, "send", file.name, "--direct", "--yes")
        self._environment = {**environment(api, store), "HOME": str(folder)}

    def sending(self) -> AbstractContextManager[subprocess.Popen[str]]:
        return started(*self._send, cwd=self._folder, env=self._environment)

    def send(self) -> subprocess.CompletedProcess[str]:
        return run(*self._send, cwd=self._folder, env=self._environment)


def _may_be_apart() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run([*_OF_ITS_OWN, "true"], capture_output=True, check=False).returncode == 0


def test_one_sends_and_the_other_takes_over_when_it_is_killed(
    postgres_url: str, start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api = start_sandbox()
    first, second = (Host(tmp_path / name, api, postgres_url) for name in ("kampala", "gulu"))
    api.set_faults([Delay(after_s=19, skip=2, times=None)])  # so that two calls are out for as long as this takes
    with first.sending() as sender:
        while api.calls().height < 2 + CONCURRENCY:
            assert sender.poll() is None, sender.communicate()[0]
            time.sleep(0.05)
        refused = second.send()
        assert refused.returncode == REFUSED
        told = r"another process is sending clinic-day/1: \S+ on \S+, since \S+ \S+ in Kampala\. Wait until it ends, or"
        assert re.search(told, refused.stderr)
        sender.kill()
        sender.wait()
    check(postgres_url, api, "clinic-day", rows=rows(PEOPLE), complete=False)
    api.set_faults([])

    end = time.monotonic() + 60
    while (taken_over := second.send()).returncode == REFUSED:  # the server notices a moment later
        assert time.monotonic() < end, taken_over.stderr
    assert taken_over.returncode in (DONE, LEFT), taken_over.stderr
    check(postgres_url, api, "clinic-day", rows=rows(PEOPLE), most_unknown=CONCURRENCY)
    with Store(postgres_url) as store:
        starts = [event["detail"] for event in rows_of(store, events) if event["kind"] == "send_started"]
        assert starts == [None, f"{CONCURRENCY} calls of an ended process are unknown"]
        assert Ledger(store).get("clinic-day").calls == api.calls().filter(endpoint="send-sms").height
