"""What runs until it is stopped, and the demo: `mambo demo`, `mambo sandbox`, `mambo up`."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mambo_io.errors import InputError, Stopped
from mambo_io.sandbox import SandboxHandle, running
from pipelines.examples import example_folder

_DEMO_CAMPAIGN = "clinic-day"

Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]


def demo() -> int:
    """Send the example campaign to a sandbox on this machine.

    Through the Prefect flow, and shows what came of it. No key, no questions, no other host, at any hour. Everything is
    kept in a new folder, which is named at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="mambo-demo-"))
    campaign = folder / f"{_DEMO_CAMPAIGN}.toml"
    for file in example_folder().iterdir():
        if file.is_file() and file.suffix != ".py":
            (folder / file.name).write_bytes(file.read_bytes())
    _say(f"A sandbox and {campaign.name}, all in {folder}\n")
    with running(folder / "sandbox", unsupported_prefix=("+25672",)) as api:
        environment = _demo_environment(folder, api)
        for command in (["send", campaign.name, "--yes"], ["results", _DEMO_CAMPAIGN, "--output", "results.xlsx"]):
            if code := _mambo(command, folder, environment):
                raise Stopped(f"`mambo {command[0]}` did not complete (exit code {code}); look into {folder}.")
        same = _compare(folder, api)
    ledger = folder / "ledger.db"
    _say(f"\n{same}\nResults: {folder / 'results.xlsx'}\nLedger:  {ledger}")
    _say(f"A report: MAMBO_STORE={shlex.quote(str(ledger))} mambo report --output report.html")
    return 0


def sandbox(*, port: Port = 8014, folder: Path | None = None, latency_ms: int = 0) -> int:
    """Run a Mambo API of one's own on this machine.

    The documented replies, an account with play money, no SMS. It prints the settings that make `mambo` use it, and
    runs until Ctrl-C.

    Parameters
    ----------
    port
        On 127.0.0.1; 0 takes a free one.
    folder
        Where it keeps its record; none: ./sandbox.
    latency_ms
        How long it waits before it answers.
    """
    place = folder or Path("sandbox")
    with running(place, port=port, latency_ms=latency_ms) as api:
        _say(f"The sandbox listens at {api.url}. In the shell that sends:\n")
        for name, value in _sandbox_settings(place.absolute(), api).items():
            _say(f"export {name}={shlex.quote(value)}")
        _say("\nStop it with Ctrl-C.")
        _until_stopped()
    return 0


def up(*, port: Port = 4200) -> int:
    """Run a Prefect server with its pages; `send` uses it while it runs.

    On this machine, until Ctrl-C.

    Parameters
    ----------
    port
        On 127.0.0.1.
    """
    from pipelines.engine import announced, running_server, serving

    if (other := running_server()) is not None:
        raise InputError(f"a server runs already at {other.removesuffix('/api')}", fix="`mambo send` uses it.")
    _say("Starting, this takes some seconds.")
    with serving(ui=True, port=port) as api_url, announced(api_url):
        _say(f"Prefect: {api_url.removesuffix('/api')}\nStop it with Ctrl-C.")
        _until_stopped()
    return 0


def _sandbox_settings(folder: Path, api: SandboxHandle) -> dict[str, str]:
    """The settings that point `mambo` at a sandbox, with a ledger of its own beside it."""
    return {
        "MAMBO_BASE_URL": api.url,
        "MAMBO_API_KEY": api.api_key,
        "MAMBO_USERNAME": api.username,
        "MAMBO_PASSWORD": api.password,
        "MAMBO_STORE": str(folder / "ledger.db"),
    }


def _demo_environment(folder: Path, api: SandboxHandle) -> dict[str, str]:
    """Nothing of the user's own settings, Prefect profile or proxies takes part."""
    ours = ("MAMBO_", "PREFECT_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(ours) and not name.upper().endswith("_PROXY")
    }
    return {
        **kept,
        **_sandbox_settings(folder, api),
        "PREFECT_HOME": str(folder / "prefect"),
        "XDG_DATA_HOME": str(folder / "data"),  # the log goes there
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _mambo(arguments: list[str], folder: Path, environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def _compare(folder: Path, api: SandboxHandle) -> str:
    """What the sandbox says it delivered, beside what the results table says, person by person."""
    from mambo_io.ledger import Ledger
    from mambo_io.store import Store

    with Store(str(folder / "ledger.db")) as store:
        table = Ledger(store).results(Ledger(store).get(_DEMO_CAMPAIGN))
    accepted = table.filter(table["outcome"] == "accepted").select("e164", "message").sort("e164", "message")
    delivered = api.deliveries().select("e164", message="text").sort("e164", "message")
    if not accepted.equals(delivered):
        raise AssertionError("the sandbox delivered something else than the results say")
    charged, spent = table["charged_ugx"].sum(), api.account().charged_ugx
    if charged != spent:
        raise AssertionError("the sandbox charged something else than the results say")
    return f"The sandbox delivered {delivered.height:,} messages for UGX {spent:,}: just what the results say."


def _say(text: str) -> None:
    """At once, also into a pipe: whoever started a server waits for what it says."""
    print(text, flush=True)


def _until_stopped() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
