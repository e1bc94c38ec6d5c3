"""What a Prefect server knows of our runs, asked over its API, and everything that it has ever written down."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from support.processes import MAMBO

_PATIENCE_S = 30
_PAGE = 200
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


@dataclass(frozen=True)
class PrefectServer:
    """A server that is running; `home` is its PREFECT_HOME."""

    url: str  # of its API
    home: Path
    pid: int  # of `mambo up`, whose child it is

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The flow runs of this name, the oldest first."""
        return self._all("flow_runs", {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_ASC"})

    def run(self, name: str) -> dict[str, Any]:
        """The latest flow run of this name."""
        return self.runs(name)[-1]

    def runs_of(self, deployment: str) -> list[dict[str, Any]]:
        """The flow runs of a deployment (FLOW/NAME), those to come as well, by the time for which they are made."""
        flow, name = deployment.split("/")
        of_it = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
        return self._all("flow_runs", {**of_it, "sort": "EXPECTED_START_TIME_ASC"})

    def deploys(self, deployment: str) -> bool:
        """Whether this deployment (FLOW/NAME) is there."""
        with self._client() as client:
            return client.get(f"/deployments/name/{deployment}").is_success

    def start(self, deployment: str, **parameters: str) -> str:
        """Ask for a run of a deployment, as its page does; gives the run's id."""
        with self._client() as client:
            found = client.get(f"/deployments/name/{deployment}").raise_for_status().json()
            asked = _post(client, f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})
            return str(asked.json()["id"])

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a run, as its page does."""
        with self._client() as client:
            state = {"type": "CANCELLING", "name": "Cancelling"}
            _post(client, f"/flow_runs/{run_id}/set_state", {"state": state})

    def final_state(self, run_id: str) -> str | None:
        """The name of the state in which a run has ended; None as long as it goes on."""
        with self._client() as client:
            run = client.get(f"/flow_runs/{run_id}").raise_for_status().json()
        return run["state_name"] if run["state_type"] in _FINAL else None

    def task_runs(self, run: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """The task runs of a flow run, in the order in which they began.

        The engine records them a moment later than they happen, so this waits for `count` that have ended.
        """
        end = time.monotonic() + _PATIENCE_S
        while True:
            found = self._all("task_runs", {"flow_runs": {"id": {"any_": [run["id"]]}}})
            if len(found) >= count and all(task["state_type"] in _FINAL for task in found):
                return sorted(found, key=lambda task: str(task["start_time"]))
            assert time.monotonic() < end, [(task["name"], task["state_name"]) for task in found]
            time.sleep(0.1)

    def artifacts(self, key: str) -> list[dict[str, Any]]:
        """The artifacts with this key, the oldest first."""
        return self._all("artifacts", {"artifacts": {"key": {"any_": [key]}}})

    def automate(self, automation: dict[str, Any]) -> str:
        """Have something done when an event comes; gives the automation's id."""
        with self._client() as client:
            return str(_post(client, "/automations/", automation).json()["id"])

    def events(self, resource: str, count: int) -> list[dict[str, Any]]:
        """The events of a resource, the oldest first. The server writes them down a moment after it was told."""
        end = time.monotonic() + _PATIENCE_S
        query = {"filter": {"resource": {"id": [resource]}, "order": "ASC"}, "limit": 50}
        while True:
            with self._client() as client:
                found: list[dict[str, Any]] = _post(client, "/events/filter", query).json()["events"]
            if len(found) >= count:
                return found
            assert time.monotonic() < end, found
            time.sleep(0.1)

    def everything(self) -> bytes:
        """All that it answers about runs, logs and artifacts, and every file in its home, where its database is.

        Pickles are kept as base64, so whatever looks like that is there a second time, decoded.
        """
        answers = [repr(self._all(kind)).encode() for kind in ("flow_runs", "task_runs", "logs", "artifacts")]
        files = [file.read_bytes() for file in self.home.rglob("*") if file.is_file()]
        found = b"\n".join([*answers, *files])
        return b"\n".join([found, *_decoded(found)])

    def _all(self, kind: str, query: Mapping[str, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
        """Every item of a kind, page by page."""
        found: list[dict[str, Any]] = []
        with self._client() as client:
            while True:
                page = {**query, "limit": _PAGE, "offset": len(found)}
                response = client.post(f"/{kind}/filter", json=page).raise_for_status()
                items = response.json()
                found += items
                if len(items) < _PAGE:
                    return found

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30)


@contextmanager
def running(
    log: Path, home: Path, env: Mapping[str, str] = MappingProxyType({}), *, port: int = 0
) -> Iterator[PrefectServer]:
    """What `mambo up` starts; what it says is in `log`. `home` is the PREFECT_HOME that it finds in `env` or around.
    `port` 0: a free one."""
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [*MAMBO, "up", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MAMBO_API_KEY": "a-secret-of-the-account", **env},
        ) as process,
    ):
        try:
            yield PrefectServer(f"{_address(process, log)}/api", home, process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that it prints when it is ready."""
    while process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("Prefect: "):
                return line.removeprefix("Prefect: ")
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _post(client: httpx.Client, path: str, content: dict[str, Any]) -> httpx.Response:
    """Asks again while the server answers 503, as Prefect's own client does: its database is busy, nothing was done."""
    end = time.monotonic() + _PATIENCE_S
    while (response := client.post(path, json=content)).status_code == 503 and time.monotonic() < end:
        time.sleep(0.5)
    return response.raise_for_status()


def _decoded(found: bytes) -> Iterator[bytes]:
    for match in _BASE64.finditer(found):
        with suppress(ValueError):
            yield base64.b64decode(match.group(), validate=True)
