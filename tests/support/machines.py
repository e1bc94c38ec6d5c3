"""Several machines, as far as one can show them: a Prefect server on PostgreSQL, and workers with homes of their own.

Server and workers are started by the words of `docs/compose.yaml` and in its environment, with hosts and ports of this
machine. Each worker is in a process group with its flow runs; only the network is shared.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for the tests alone

from support import compose
from support.environment import GUARD, REPOSITORY
from support.postgres import PostgresServer, free_port
from support.prefect_server import PrefectServer
from support.processes import run

PREFECT = (sys.executable, "-m", "prefect")
POOL = "mambo"
_PATIENCE_S = 120
_RIG = GUARD.with_name("rig")


@dataclass(frozen=True)
class Site:
    """What the machines share."""

    prefect: PrefectServer
    database: PostgresServer
    campaigns: Path  # the folder of campaign files


@contextmanager
def prefect_on_postgres(folder: Path, database: str) -> Iterator[PrefectServer]:
    """`prefect server start` on the PostgreSQL database of this URL, with its work pool."""
    home, port = folder / "server", free_port()
    home.mkdir()
    url = f"http://127.0.0.1:{port}/api"
    settings = {
        **compose.environment("prefect"),
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": database.replace("+psycopg", "+asyncpg"),
        "HTTPS_PROXY": "http://127.0.0.1:9",  # it would ask GitHub which kinds of workers there are; it has a copy
    }
    [words] = _commands("prefect")
    assert words[-2] == "--host"
    command = [*words[:-1], "127.0.0.1", "--port", str(port)]
    with _logged(command, home / "log", {**os.environ, **settings}) as process:
        wait_until(lambda: _is_healthy(port), process, home / "log")
        yield PrefectServer(url, home / "prefect", process.pid)


def set_up(server: PrefectServer, folder: Path, campaigns: Path) -> None:
    """What docs/machines.md says is done once: the work pool, and the deployments of `prefect.yaml`."""
    document = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))
    for deployment in document["deployments"]:
        for key, value in deployment["parameters"].items():
            deployment["parameters"][key] = value.replace("/srv/mambo/campaigns", str(campaigns))
        for schedule in deployment["schedules"]:
            schedule["active"] = False  # the tests say when
    (folder / "prefect.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    settings = compose.environment("tend") | {
        "PREFECT_API_URL": server.url,
        "PREFECT_HOME": str(folder / "deploying"),
    }
    for command in _commands("tend"):
        done = run(*command, cwd=folder, env=settings, timeout_s=_PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Machine:
    """A worker with a home of its own, and what it runs."""

    home: Path
    process: subprocess.Popen[bytes]

    def is_frozen(self) -> bool:
        """Whether a flow run of it has stopped at the point at which it was to stop."""
        return any(_status(child) == psutil.STATUS_STOPPED for child in self._children())

    def log(self) -> str:
        """What its senders have written down."""
        return (self.home / ".local/share/mambo-pipelines/mambo.log").read_text(encoding="utf-8")

    def kill(self) -> None:
        """As a machine that loses its power: first the worker, so that it tells nobody of its runs."""
        children = self._children()
        self.process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()
        psutil.wait_procs(children)

    def stop(self) -> None:
        """In good order, by the line of docs/machines.md that a service manager runs before it stops the worker."""
        page = (REPOSITORY / "docs" / "machines.md").read_text(encoding="utf-8")
        [line] = re.findall(r"^ExecStop=/bin/sh -c '(.*)'$", page, re.MULTILINE)
        script = line.replace("$MAINPID", str(self.process.pid))
        subprocess.run(["/bin/sh", "-c", script], check=True, timeout=_PATIENCE_S)
        self.process.terminate()
        self.process.wait(_PATIENCE_S)

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


@contextmanager
def machine(
    folder: Path,
    server: PrefectServer,
    settings: Mapping[str, str],
    *,
    name: str,
    at_a_time: int,
    stops_at: str | None = None,
    nth: int = 1,
) -> Iterator[Machine]:
    """A worker that makes so many runs at a time; each of them stops at a point of `rigged_mambo`, if one is named."""
    home = folder / name
    home.mkdir()
    environment = {
        **os.environ,
        **compose.environment("worker"),
        **settings,
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": server.url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    if stops_at is not None:
        path = [_RIG, GUARD, REPOSITORY / "tests", REPOSITORY]
        rigged = {"RIGGED_AT": stops_at, "RIGGED_NTH": str(nth), "PYTHONPATH": os.pathsep.join(map(str, path))}
        environment |= rigged
    [words] = _commands("worker")
    command = [*words, "--name", name, "--limit", str(at_a_time)]
    with _logged(command, home / "log", environment) as process:
        found = Machine(home, process)
        try:
            yield found
        finally:
            found.kill()


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        told = log.read_text(encoding="utf-8") if log is not None else ""
        assert time.monotonic() < end, f"it never came to it; {told}"
        assert process is None or process.poll() is None, told
        time.sleep(0.2)


@contextmanager
def _logged(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _commands(service: str) -> list[list[str]]:
    """Those of a container, with the `prefect` of this Python."""
    found = compose.commands(service)
    assert {words[0] for words in found} == {"prefect"}
    return [[*PREFECT, *words[1:]] for words in found]


def _is_healthy(port: int) -> bool:
    """By the health check of the server's container."""
    how, program, *words = compose.SERVICES["prefect"]["healthcheck"]["test"]
    assert (how, program) == ("CMD", "python")
    command = [sys.executable, *(word.replace("127.0.0.1:4200", f"127.0.0.1:{port}") for word in words)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_PATIENCE_S, check=False).returncode == 0


def _status(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.status()
    return ""
