"""The sandbox as a process: how it starts, says where it is, stops, and what is left when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from mambo_io.errors import InputError
from mambo_io.sandbox import SandboxHandle, SandboxOptions, running
from mambo_io.sandbox.faults import NoAnswer
from mambo_io.sandbox.record import Record

ROOT = Path(__file__).parents[2]


def send(sandbox: SandboxHandle, recipients: str) -> httpx.Response:
    given = {"message": "Hello", "recipients": recipients, "message_category": "info", "sender_id": "MamboSMS"}
    with httpx.Client(trust_env=False) as http:
        return http.post(f"{sandbox.url}/v1/send-sms", headers={"Authorization": sandbox.api_key}, json=given)


@contextlib.contextmanager
def by_hand(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m mambo_io.sandbox …` as a person would start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mambo_io.sandbox", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(
    os.name != "posix", reason="Windows has no SIGTERM: there the sandbox stops with its standard input"
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_of_json_then_a_clean_end(tmp_path: Path, number: signal.Signals) -> None:
    with by_hand("--folder", str(tmp_path / "new"), "--api-key", "k", "--price-ugx", "60") as process:
        assert process.stdout
        where = json.loads(process.stdout.readline())
        assert list(where) == ["url", "api_key", "username", "password", "folder"]
        assert where["url"].startswith("http://127.0.0.1:")
        assert (where["api_key"], where["folder"]) == ("k", str(tmp_path / "new"))
        assert httpx.get(f"{where['url']}/sandbox/account", trust_env=False).json()["balance_ugx"] == 1_000_000

        process.send_signal(number)

        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


def test_it_ends_with_its_parent_when_asked_to(tmp_path: Path) -> None:
    with by_hand("--folder", str(tmp_path), "--stop-on-stdin-close") as process:
        assert process.stdout
        process.stdout.readline()
        out, err = process.communicate(timeout=30)  # closes its standard input, as the death of a parent would
        assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port: '{port}' cannot listen here"), running(tmp_path, port=port):
            pass


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be used as a folder"), running(tmp_path / "file"):
        pass


def test_a_record_that_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "sandbox.db").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match=r"cannot keep its record here \(file is not a database\)"):
        Record(tmp_path, opening_balance_ugx=0)


def test_its_folder_and_its_record_are_their_owners_alone(tmp_path: Path) -> None:
    options = SandboxOptions(folder=tmp_path / "sandbox")
    options.make_folder()
    with closing(Record(options.folder, opening_balance_ugx=0)):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in options.folder.iterdir()}

    assert stat.S_IMODE(options.folder.stat().st_mode) == 0o700
    assert modes == {"sandbox.db": 0o600, "sandbox.db-wal": 0o600, "sandbox.db-shm": 0o600}


def test_a_start_that_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="The sandbox did not start"), running(tmp_path, start_timeout_s=0.001):
        pass


def test_its_environment_is_its_own_and_its_record_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither has a part in it: the first would stop it from starting, the second its handle from reaching it.
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running(tmp_path, latency_ms=50) as sandbox:
        sandbox.set_faults([])
        send(sandbox, "0772000001,0772000002")
        assert sandbox.api_key not in repr(sandbox)
        assert sandbox.password not in repr(sandbox)

    assert sandbox.deliveries()["e164"].to_list() == ["+256772000001", "+256772000002"]
    assert sandbox.account().balance_ugx == 999_900
    call = sandbox.calls().row(0, named=True)
    assert call["answered_at"] - call["executed_at"] >= timedelta(milliseconds=50)


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_what_was_delivered_outlives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as sandbox:
        for last_digit in range(5):
            assert send(sandbox, f"077200000{last_digit}").json()["success"] is True
        sandbox.set_faults([NoAnswer(executes=True)])
        with pytest.raises(httpx.RemoteProtocolError):
            send(sandbox, "0772000005")
        os.kill(sandbox.pid, signal.SIGKILL)

    with running(tmp_path, balance_ugx=7) as again:
        assert again.account().balance_ugx == 1_000_000 - 6 * 50
        assert again.deliveries()["e164"].to_list() == [f"+25677200000{last_digit}" for last_digit in range(6)]
        assert send(again, "0772000006").json()["data"]["new_balance"] == 1_000_000 - 7 * 50
        assert again.deliveries()["call_id"].to_list() == [1, 2, 3, 4, 5, 6, 7]
