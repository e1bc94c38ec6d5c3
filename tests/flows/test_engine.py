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

from mambo_io.errors import InputError
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from pipelines import engine as engines
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.processes import MAMBO, mambo, started
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

PEOPLE = 40
_PATIENCE_S = 60

SERVE = """
import time
from pipelines.engine import serving
with serving(ui=False) as url:
    print(url, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000)


@pytest.fixture
def api(running_sandbox: SandboxHandle) -> SandboxHandle:
    running_sandbox.set_faults([])
    return running_sandbox


def write(folder: Path, name: str, block: int, *, chunk_size: int = 10) -> Path:
    limits = f"window = 'any'\ncalls_per_second = 0\nchunk_size = {chunk_size}\ncanary_size = 5"
    sections, message = f"[sending]\n{limits}", f"Hello from {name}."
    return campaign_of(folder, people(PEOPLE, block=block), name=name, message=message, sections=sections).file


def ends(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(_PATIENCE_S)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def is_answered(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False) as client:
        return client.get(f"{url}/health").status_code == httpx.codes.OK
    return False


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_server_ends_with_its_parent_however_that_ends_and_knows_no_secret(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    secrets = {"MAMBO_API_KEY": "secret", "MAMBO_PASSWORD": "secret", "MAMBO_STORE": "postgresql://u:secret@host/db"}
    with started(sys.executable, "-c", SERVE, cwd=tmp_path, env=secrets) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert is_answered(url)
        [server] = psutil.Process(parent.pid).children()
        assert "secret" not in str(server.environ())
        assert os.getpgid(server.pid) != os.getpgid(parent.pid), "Ctrl-C at the terminal would reach it"
        parent.kill()
        parent.wait()
        assert ends(server)
        assert not is_answered(url)


def test_ctrl_c_reaches_the_sender_and_the_server_lives_to_record_how_it_ended(
    prefect_server: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    """`mambo send` with a server of its own; what that recorded is asked of the other one, which has the same home."""
    file, store = write(tmp_path, "interrupted", 20), str(tmp_path / "ledger.db")
    api.set_faults([Delay(after_s=0.3, times=None)])
    before = api.calls().height
    with started(*MAMBO, "send", file, "--yes", cwd=tmp_path, env=environment(api, store)) as process:
        wait_for(lambda: api.calls().height > before, process)
        [server] = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 3, told
    assert ends(server)
    check(store, api, "interrupted", rows=rows(PEOPLE), complete=False)
    run = prefect_server.run("interrupted/1")
    assert run["state_name"] == "Stopped"
    assert "stopped by you" in run["state"]["message"]
    assert len(prefect_server.task_runs(run, 7)) == 7, "nothing was lost on the way to a server that was to stop"


def test_two_sends_at_the_same_time(prefect_server: PrefectServer, api: SandboxHandle, tmp_path: Path) -> None:
    """Each starts a server over the same database; a proxy of the user's has no part in the way there."""
    store = str(tmp_path / "ledger.db")
    hostile = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    with contextlib.ExitStack() as stack:
        processes = []
        for block, name in enumerate(("one", "other"), start=21):
            folder = tmp_path / name
            folder.mkdir()
            command = (*MAMBO, "send", write(folder, name, block), "--yes")
            processes.append(
                stack.enter_context(started(*command, cwd=folder, env={**environment(api, store), **hostile}))
            )
        for process in processes:
            told, _ = process.communicate(timeout=2 * _PATIENCE_S)
            assert process.returncode == 0, told
    for name in ("one", "other"):
        check(store, api, name, rows=rows(PEOPLE))
        assert prefect_server.run(f"{name}/1")["state_name"] == "Completed"


def test_a_server_in_the_users_profile_is_used_and_no_other_is_started(
    prefect_server: PrefectServer, api: SandboxHandle, tmp_path: Path
) -> None:
    home = tmp_path / "prefect"
    home.mkdir()
    (home / "profiles.toml").write_text(
        f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{prefect_server.url}"\n', encoding="utf-8"
    )
    file, store = write(tmp_path, "profile", 23), str(tmp_path / "ledger.db")
    sent = mambo("send", file, "--yes", cwd=tmp_path, env={**environment(api, store), "PREFECT_HOME": str(home)})
    assert sent.returncode == 0, sent.stderr
    assert prefect_server.run("profile/1")["state_name"] == "Completed"
    assert not (home / "prefect.db").exists()


def test_a_server_that_does_not_answer_is_told_in_one_line(api: SandboxHandle, tmp_path: Path) -> None:
    file, store = write(tmp_path, "nowhere", 24), str(tmp_path / "ledger.db")
    settings = {**environment(api, store), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    sent = mambo("send", file, "--yes", cwd=tmp_path, env=settings)
    assert sent.returncode == 2, sent.stderr
    assert sent.stderr == (
        "mambo: PREFECT_API_URL: Failed to reach API at http://127.0.0.1:9/api/. "
        "Start that server, or use `mambo send --direct`.\n"
    )


@pytest.fixture
def up(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`mambo up`, and the address that it prints."""
    with started(*MAMBO, "up", "--port", "0", cwd=tmp_path) as process:
        assert process.stdout is not None
        address = next(line.split()[1] for line in process.stdout if line.startswith("Prefect:"))
        yield process, address


def test_up_shows_pages_and_is_used_as_long_as_it_runs(
    up: tuple[subprocess.Popen[str], str], prefect_server: PrefectServer
) -> None:
    process, address = up
    with httpx.Client(base_url=address, trust_env=False, follow_redirects=True) as browser:
        page = browser.get("/", headers={"Accept": "text/html"})
        assert page.status_code == httpx.codes.OK
        assert page.headers["content-type"].startswith("text/html")
        assert "<title>" in page.text
        settings = browser.get("/ui-settings").json()
    assert settings["api_url"] == f"{address}/api", "where the pages look for the runs"

    assert engines.running_server() == f"{address}/api"
    with engines._server() as used:
        assert used == f"{address}/api"
    second = mambo("up", cwd=Path(), env={})
    assert (second.returncode, second.stderr) == (2, f"mambo: a server runs already at {address}.\n")

    process.send_signal(signal.SIGINT)
    assert process.wait(_PATIENCE_S) == 0
    assert engines.running_server() is None
    assert not list(prefect_server.home.glob("mambo-up*"))


def test_an_address_that_a_killed_one_left_behind_is_not_used(prefect_server: PrefectServer) -> None:
    """Whoever listens there now may be somebody else's server."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as dead:
        started_at = psutil.Process(dead.pid).create_time()
    left = prefect_server.home / "mambo-up.json"
    left.write_text(f'{{"api_url": "{prefect_server.url}", "pid": {dead.pid}, "started": {started_at}}}')
    try:
        assert engines.running_server() is None
    finally:
        left.unlink()


def test_a_port_that_is_taken_is_told(prefect_server: PrefectServer) -> None:
    port = httpx.URL(prefect_server.url).port
    assert port is not None
    with (
        pytest.raises(InputError, match=rf"port: cannot listen on 127.0.0.1:{port}"),
        engines.serving(ui=False, port=port),
    ):
        pass
