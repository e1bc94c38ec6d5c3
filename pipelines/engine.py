"""The Prefect server that a run needs: the user's own, the one of `mambo up`, or one for the length of this command.

A server of ours is a child that ends when this process does, however it ends: it watches its standard input. It is in
a process group of its own, so that Ctrl-C reaches the sender, which drains, and not the server it reports to.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from mambo_io.errors import InputError
from mambo_io.settings import MamboSettings, data_folder
from pipelines.summary import CampaignSummary

START_TIMEOUT_S = 120.0

# Nothing about a user's runs is told to anybody.
_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def send_through_engine(
    file: Path,
    settings: MamboSettings,
    *,
    edition: str,
    approved: str | None,
    allow_repeat: bool,
    accept_canary: bool,
    command: str,
) -> CampaignSummary:
    """Run the flow `send-campaign` in this process, and sum up what the ledger says afterwards."""
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", str(int(START_TIMEOUT_S)))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    with _server() as api_url:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from mambo_io.errors import Stopped
        from mambo_io.ledger import Ledger
        from pipelines.flows import send_campaign
        from pipelines.runs import open_store
        from pipelines.summary import summarize

        with temporary_settings({PREFECT_API_URL: api_url} if api_url else {}), suppress(Stopped):
            send_campaign(str(file), edition, approved=approved, allow_repeat=allow_repeat, accept_canary=accept_canary)
        from pipelines.campaign import load_campaign

        with open_store(settings) as store:
            ledger = Ledger(store)
            return summarize(ledger, ledger.get(load_campaign(file).name, edition), command=command)


@contextmanager
def _server() -> Iterator[str | None]:
    """The API's address for this run; None when the user's own Prefect settings name one."""
    from prefect.settings import get_current_settings

    if get_current_settings().api.url:
        yield None
    elif (running := running_server()) is not None:
        yield running
    else:
        with serving(ui=False) as url:
            yield url


@contextmanager
def serving(*, ui: bool, port: int = 0) -> Iterator[str]:
    """A Prefect server as a child process; gives its API address. Raises `InputError` when it does not start."""
    port = port or _free_port()
    environment = {
        **os.environ,
        **_QUIET,
        "PREFECT_UI_ENABLED": str(int(ui)),
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT__SERVER_EPHEMERAL": str(int(not ui)),
        "PREFECT__SERVER_FINAL": "1",
    }
    # Its part is to keep the record of runs; the account's secrets are none of its business.
    environment = {name: value for name, value in environment.items() if not name.startswith("MAMBO_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.engine", str(port)],
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_until_healthy(process, url)
        yield url
    finally:
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def running_server() -> str | None:
    """The API address of a `mambo up` that runs on this machine."""
    try:
        url = str(json.loads(address_file().read_text())["api_url"])
    except (OSError, ValueError, KeyError):
        return None
    return url if _is_healthy(url) else None


def address_file() -> Path:
    """Where `mambo up` says at which address it listens."""
    return data_folder() / "engine.json"


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise InputError(
                f"the Prefect server ended with code {process.returncode}", fix="Try `mambo send --direct`."
            )
        if _is_healthy(url):
            return
        time.sleep(0.1)
    raise InputError(f"the Prefect server did not start in {START_TIMEOUT_S:.0f} s", fix="Try `mambo send --direct`.")


def _is_healthy(url: str) -> bool:
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return client.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _serve(port: int) -> None:
    """The child: serve until standard input closes."""
    import uvicorn

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
