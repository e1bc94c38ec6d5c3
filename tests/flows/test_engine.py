"""The server that a run reports to: whose it is, what it gets to know, and that it goes when its parent goes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from mambo_io.errors import InputError
from mambo_io.sandbox import SandboxHandle
from pipelines import engine as engines
from pipelines.cli.servers import up
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.processes import MAMBO, started
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE = 40
_PATIENCE_S = 120


def test_up_shows_pages_that_know_where_the_runs_are(prefect_server: PrefectServer) -> None:
    address = prefect_server.url.removesuffix("/api")
    with httpx.Client(base_url=address, trust_env=False, follow_redirects=True) as browser:
        page = browser.get("/", headers={"Accept": "text/html"})
        assert page.status_code == httpx.codes.OK
        assert page.headers["content-type"].startswith("text/html")
        assert "<title>" in page.text
        assert browser.get("/ui-settings").json()["api_url"] == prefect_server.url


def test_up_is_used_as_long_as_it_runs(prefect_server: PrefectServer) -> None:
    assert engines.running_server() == prefect_server.url
    with engines._server() as used:
        assert used == prefect_server.url
    with pytest.raises(InputError, match=f"a server runs already at {prefect_server.url.removesuffix('/api')}"):
        up()


def test_a_server_of_the_users_own_settings_comes_first(prefect_server: PrefectServer) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server.url}), engines._server() as used:
        assert used is None, "their settings stand"


def test_a_server_of_theirs_that_does_not_answer_is_told() -> None:
    told = r"PREFECT_API_URL: Failed to reach API at http://127.0.0.1:9/api/. Start that server, or use `mambo send --d"
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(InputError, match=told),
        engines._server(),
    ):
        pass


@contextlib.contextmanager
def announcement(server: PrefectServer, text: str | None) -> Iterator[None]:
    """Another text, or none, where `mambo up` says where it is."""
    file = server.home / "mambo-up.json"
    before = file.read_text(encoding="utf-8")
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def test_an_address_that_a_killed_one_left_behind_is_not_used(prefect_server: PrefectServer) -> None:
    """Whoever listens there now may be somebody else's server."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as dead:
        started_at = psutil.Process(dead.pid).create_time()
    left = f'{{"api_url": "{prefect_server.url}", "pid": {dead.pid}, "started": {started_at}}}'
    with announcement(prefect_server, left):
        assert engines.running_server() is None


def test_a_port_that_is_taken_is_told(prefect_server: PrefectServer) -> None:
    port = httpx.URL(prefect_server.url).port
    assert port is not None
    told = rf"port: cannot listen on 127.0.0.1:{port}. Choose another --port."
    with pytest.raises(InputError, match=told), engines.serving(ui=False, port=port):
        pass


# --- a server for the length of one command ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000, api_key="a-secret-of-the-account")


def write(folder: Path, name: str, block: int) -> Path:
    """A campaign in a folder of its own that takes half a minute."""
    limits = "window = 'any'\ncalls_per_second = 0.25\nchunk_size = 5\ncanary_size = 5"
    sections, message = f"[sending]\n{limits}", f"Hello from {name}."
    folder = folder / name
    folder.mkdir()
    return campaign_of(folder, people(PEOPLE, block=block), name=name, message=message, sections=sections).file


def server_of(pid: int) -> psutil.Process:
    [server] = psutil.Process(pid).children()
    return server


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(_PATIENCE_S)
    return not process.is_running()


def wait_for_a_call(api: SandboxHandle, text: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while text not in api.calls()["message"]:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_sends_at_the_same_time_of_which_one_is_interrupted_and_one_is_killed(
    prefect_server: PrefectServer, running_sandbox: SandboxHandle, tmp_path: Path
) -> None:
    """Each has a server of its own, over the same database; what they recorded is asked of the one that stays."""
    api, store = running_sandbox, str(tmp_path / "ledger.db")
    proxies = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")  # not for the way to this machine
    with announcement(prefect_server, None), contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(
                started(*MAMBO, "send", file, "--yes", cwd=tmp_path, env={**environment(api, store), **proxies})
            )
            for file in (write(tmp_path, "interrupted", 20), write(tmp_path, "killed", 21))
        )
        wait_for_a_call(api, "Hello from interrupted.", first)
        server = server_of(first.pid)
        assert "a-secret-of-the-account" not in str(server.environ())
        os.killpg(first.pid, signal.SIGINT)  # as Ctrl-C does it at a terminal
        told, _ = first.communicate(timeout=_PATIENCE_S)
        assert first.returncode == 3, told
        assert is_gone(server)

        wait_for_a_call(api, "Hello from killed.", second)
        server = server_of(second.pid)
        second.kill()
        second.wait()
        assert is_gone(server)

    check(store, api, "interrupted", rows=rows(PEOPLE), complete=False)
    check(store, api, "killed", rows=rows(PEOPLE), complete=False)
    run = prefect_server.run("interrupted/1")
    assert run["state_name"] == "Stopped"
    assert "stopped by SIGINT; the calls in flight were waited for" in run["state"]["message"]
    prefect_server.task_runs(run, 7)  # nothing was lost on the way to a server that was to stop
    assert prefect_server.run("killed/1")["state_name"] == "Running", "nobody was left to say that it ended"


def test_the_server_of_up_knows_no_secret(prefect_server: PrefectServer) -> None:
    assert "a-secret-of-the-account" in str(psutil.Process(prefect_server.pid).environ())
    assert "a-secret-of-the-account" not in str(server_of(prefect_server.pid).environ())
