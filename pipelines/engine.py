"""The Prefect server that a run needs: the user's own, the one of `mambo up`, or one for the length of this command.

A server of ours is a child that ends when this process does, however it ends: it watches its standard input. It is in
a process group of its own, so that Ctrl-C reaches the sender, which drains, and not the server it reports to.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow
from mambo_io.settings import MamboSettings
from pipelines.sending import Progress
from pipelines.summary import CampaignSummary

START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0

_CONSOLE_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"

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
    on_progress: Callable[[Progress, CampaignRow], None],
) -> CampaignSummary:
    """Run the flow `send-campaign` in this process, and sum up what the ledger says afterwards.

    Raises `InputError` for wrong input, and where there is no Prefect server to be had.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    if "PREFECT_LOGGING_LEVEL" not in os.environ:
        os.environ.setdefault(_CONSOLE_LEVEL, "CRITICAL")  # the command tells how the run ended
    with _server() as api_url:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from mambo_io.errors import Stopped
        from mambo_io.ledger import Ledger
        from pipelines.campaign import load_campaign
        from pipelines.flows import progress_listener, send_campaign, told_in_full
        from pipelines.opening import open_store
        from pipelines.summary import summarize

        with temporary_settings({PREFECT_API_URL: api_url} if api_url else {}), suppress(Stopped), _surviving_server():
            progress_listener.set(on_progress)
            with told_in_full():
                send_campaign(
                    str(file), edition, approved=approved, allow_repeat=allow_repeat, accept_canary=accept_canary
                )
        with open_store(settings) as store:
            ledger = Ledger(store)
            return summarize(ledger, ledger.get(load_campaign(file).name, edition), command=command)


@contextmanager
def standing_server() -> Iterator[Callable[[], bool]]:
    """Prefect's settings for as long as the block lasts: the user's own server, or that of `mambo up`. Gives what tells
    whether that one was started anew at another address.

    Raises `InputError` where there is neither: schedules need a server that stays.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if get_current_settings().api.url:
        _check_own_server()
        yield lambda: False
        return
    if (running := running_server()) is None:
        raise InputError(
            "there is no Prefect server", fix="Start `mambo up` in another terminal, or set PREFECT_API_URL."
        )
    _ask_no_proxy()
    with temporary_settings({PREFECT_API_URL: running}):
        yield lambda: running_server() not in (None, running)


@contextmanager
def _surviving_server() -> Iterator[None]:
    """Sending does not need the server, and the ledger tells how it went: one that goes away is only mentioned."""
    try:
        yield
    except httpx.HTTPError as error:
        print(f"mambo: Prefect's record of this run is not whole ({type(error).__name__}).", file=sys.stderr)


@contextmanager
def _server() -> Iterator[str | None]:
    """The API's address for this run; None when the user's own Prefect settings name one."""
    from prefect.settings import get_current_settings

    if get_current_settings().api.url:
        _check_own_server()
        yield None
        return
    _ask_no_proxy()
    if (running := running_server()) is not None:
        yield running
    else:
        if sys.stderr.isatty():
            print("Starting a Prefect server for this run; the very first start takes half a minute.", file=sys.stderr)
        with serving(ui=False) as url:
            yield url


def _ask_no_proxy() -> None:
    """Prefect's client would ask a proxy of the user's for the way to this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def _check_own_server() -> None:
    """Raises `InputError` when the server of the user's Prefect settings does not answer, or is of another version."""
    from prefect.client.orchestration import get_client

    problem = None
    with get_client(sync_client=True) as client:
        try:
            client.raise_for_api_version_mismatch()
        except (RuntimeError, httpx.HTTPError) as error:
            problem = str(error)
    if problem is not None:
        raise InputError(problem, key="PREFECT_API_URL", fix="Start that server, or use `mambo send --direct`.")


@contextmanager
def serving(*, ui: bool, port: int = 0) -> Iterator[str]:
    """A Prefect server as a child process; gives its API address. Raises `InputError` when it does not start.

    `port` is on 127.0.0.1; 0 takes a free one. With `ui` it serves the pages, too, and runs schedules.
    """
    home = _home()
    environment = {
        **os.environ,
        **_QUIET,
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
        # Beside the database: its place in the installed package may be another user's.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT__SERVER_FINAL": "1",
    }
    if not ui:
        environment["PREFECT__SERVER_EPHEMERAL"] = "1"  # Prefect only looks whether it is set
    # Its part is to keep the record of runs; the account's secrets are none of its business.
    hidden = ("MAMBO_", _CONSOLE_LEVEL)
    environment = {name: value for name, value in environment.items() if not name.startswith(hidden)}
    # One at a time: two that set up the same database would trip over each other.
    with FileLock(home / "mambo-server.lock"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.engine", str(port)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{_port_of(process, port)}/api"
            importlib.import_module("pipelines.flows")  # takes seconds, as the server's start does: both at once
            _wait_until_healthy(process, url)
        except BaseException:
            _stop(process)
            raise
    try:
        yield url
    finally:
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()  # what was logged of a run in this process is on its way to the server
        _stop(process)


@contextmanager
def announced(api_url: str) -> Iterator[None]:
    """Let `send` find a server of this process for as long as the block lasts."""
    file = _address_file()
    file.write_text(json.dumps({"api_url": api_url, **_this_process()}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running_server() -> str | None:
    """The API address of a `mambo up` that runs with the same PREFECT_HOME."""
    try:
        told = json.loads(_address_file().read_text())
        # Whoever listens there now may be somebody else's server when the one who wrote this was killed.
        alive = psutil.Process(told["pid"]).create_time() == told["started"]
        url = str(told["api_url"])
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return url if alive and _is_healthy(url) else None


def _address_file() -> Path:
    return _home() / "mambo-up.json"


def _home() -> Path:
    """Prefect's own folder: its database is there, and what two servers of the same user have to agree on."""
    from prefect.settings import get_current_settings

    home = Path(get_current_settings().home)
    home.mkdir(parents=True, exist_ok=True)
    return home


def _this_process() -> dict[str, float]:
    process = psutil.Process()
    return {"pid": process.pid, "started": process.create_time()}


def _port_of(process: subprocess.Popen[bytes], wanted: int) -> int:
    """The port that the child has taken: it says so in its first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    if not line:
        raise InputError(f"cannot listen on 127.0.0.1:{wanted}", key="port", fix="Choose another --port.")
    return int(line)


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


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close its standard input, at which it ends; a killed one sets its database right at the next start."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve(port: int) -> None:
    """The child: say which port it is, then serve until standard input closes."""
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere the option would share a port that is in use
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError):
        sys.exit(2)
    port = listener.getsockname()[1]
    print(port, flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads any further

    import uvicorn

    os.environ["PREFECT_SERVER_UI_API_URL"] = f"http://127.0.0.1:{port}/api"
    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=5,
    )

    def stop_with_parent() -> None:
        # os.read holds no lock that the interpreter would want at its end, as sys.stdin does.
        while os.read(0, 4_096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_with_parent, daemon=True).start()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
