"""Start a sandbox as a child process, and read what it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mambo_io.errors import InputError
from mambo_io.sandbox.faults import FAULTS, AnyFault
from mambo_io.sandbox.options import SandboxOptions
from mambo_io.sandbox.record import Account, AccountState, read_account, read_calls, read_deliveries

if TYPE_CHECKING:
    import polars as pl

START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_CONTROL_TIMEOUT_S = 30.0
_LOG_NAME = "sandbox.log"
_TEXT_COLUMNS = frozenset(
    {"endpoint", "body_sha256", "fault", "message", "text", "sender_id", "category", "reply", "e164"}
)


@dataclass(frozen=True)
class SandboxHandle:
    """A sandbox that is running, or was: its record can be read after it has stopped."""

    url: str
    api_key: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    folder: Path
    pid: int

    def account(self) -> Account:
        """Balance, everything charged so far, and the state of the account."""
        return read_account(self.folder)

    def calls(self) -> pl.DataFrame:
        """One row per POST to either endpoint, refused ones too, in the order in which they came.

        Columns: call_id, endpoint ("send-sms", "balance"), received_at (Datetime UTC), body_sha256, fault (its kind
        or null), submitted (contacts listed), executed_at (null: never done), message, sender_id, category,
        segments, charged_ugx, balance_after_ugx, http_status, reply, answered_at (null: nobody got the answer).
        """
        return _frame(*read_calls(self.folder))

    def deliveries(self) -> pl.DataFrame:
        """One row per message that reached a person, in order; a number that was sent to twice stands there twice.

        Columns: call_id, delivered_at (Datetime UTC), e164, text, sender_id, category, segments, charged_ugx.
        """
        return _frame(*read_deliveries(self.folder))

    def set_faults(self, rules: Sequence[AnyFault]) -> None:
        """Put these rules in the place of all that were in force; an empty list ends every fault."""
        self._request("POST", "/sandbox/faults", FAULTS.dump_python(list(rules), mode="json"))

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, each with how often it was `played`."""
        rules: list[dict[str, Any]] = self._request("GET", "/sandbox/faults")
        return rules

    def change_account(self, *, top_up_ugx: int = 0, state: AccountState | None = None) -> None:
        """Bring in money, or suspend, deactivate or reactivate the account."""
        self._request("POST", "/sandbox/account", {"top_up_ugx": top_up_ugx, "state": state})

    def _request(self, method: str, path: str, content: object = None) -> Any:
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=_CONTROL_TIMEOUT_S)) as connection:
            connection.request(method, path, json.dumps(content), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"The sandbox answered {path} with {response.status}: {body.decode()}")
        return json.loads(body)


@contextmanager
def running(folder: Path, *, start_timeout_s: float = START_TIMEOUT_S, **options: Any) -> Iterator[SandboxHandle]:
    """A sandbox in its own process for the length of a `with` block; `options` are fields of `SandboxOptions`.

    It has an environment of its own and no part in Ctrl-C at the terminal, so that whoever sends to it can drain
    first; it ends with the block, or with this process. What it has to say is in `sandbox.log` in its folder.

    Raises:
        InputError: an option is wrong, the port is taken, or the folder cannot be written.
        RuntimeError: it did not start in `start_timeout_s`.
    """
    settings = SandboxOptions(folder=folder.resolve(), **{**options, "stop_on_stdin_close": True})
    settings.make_folder()
    with (settings.folder / _LOG_NAME).open("a+b") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "mambo_io.sandbox", *settings.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=settings.folder,
            env=_environment(),
            **_own_process_group(),
        )
        try:
            greeting = _first_line(process, start_timeout_s)
            if not greeting:
                log.seek(log_start)
                said = log.read().decode("utf-8", "replace").strip()
                if process.returncode == InputError.exit_code:
                    raise InputError(said)
                raise RuntimeError(f"The sandbox did not start in {start_timeout_s:g} s. {said}".strip())
            where = json.loads(greeting)
            yield SandboxHandle(**{**where, "folder": Path(where["folder"])}, pid=process.pid)
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    """Where to find this package and the system, and nothing else: no MAMBO_*, no proxies."""
    package_root = str(Path(__file__).parents[2])
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP") if name in os.environ}
    return {**kept, "PYTHONPATH": package_root, "PYTHONUTF8": "1"}


def _own_process_group() -> Mapping[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _first_line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """The first line of the child's standard output; empty when it ends before, or the time is up."""
    assert process.stdout is not None
    lines: list[bytes] = []
    stdout = process.stdout
    reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
    reader.start()
    reader.join(timeout_s)
    if not lines:
        process.kill()
        reader.join()
        return b""
    if not lines[0]:
        _stop(process)
    return lines[0]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close its standard input, which asks it to stop on every system; kill it when it does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    import polars as pl  # here, because the sandbox's own process imports this package and has no use for polars

    dtypes = {name: pl.String() if name in _TEXT_COLUMNS else pl.Int64() for name in columns}
    frame = pl.DataFrame(rows, schema=dtypes, orient="row")
    times = [name for name in columns if name.endswith("_us")]
    return frame.with_columns(pl.from_epoch(name, "us").dt.replace_time_zone("UTC") for name in times).rename(
        {name: name.removesuffix("_us") + "_at" for name in times}
    )
