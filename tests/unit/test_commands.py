"""A command of the machine's owner: what it is given, how it may end, and that it ends."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from mambo_io.commands import CommandFailure, run_command

LONG_S = 60.0


def shell(script: str, *arguments: object) -> list[str]:
    return ["sh", "-c", script, "sh", *map(str, arguments)]


def test_it_reads_the_content_and_nothing_of_it_reaches_our_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    assert run_command(shell('cat > "$1"; echo done; echo careful >&2', kept), '{"a": "é"}', timeout_s=LONG_S) is None
    assert kept.read_text("utf-8") == '{"a": "é"}'
    assert capfd.readouterr() == ("", "")


def test_no_key_password_or_store_is_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [
        *("MAMBO_API_KEY", "MAMBO_PASSWORD", "MAMBO_USERNAME", "MAMBO_STORE", "MAMBO_BASE_URL", "mambo_api_key"),
        "MAMBO_ON_PROBLEM",  # or what it starts would call it again
        *("PGPASSWORD", "PGPASSFILE", "PGHOST"),  # what libpq reads
        *("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"),
        *("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"),
        *("PREFECT_SERVER_DATABASE_PASSWORD", "PREFECT_CLIENT_CUSTOM_HEADERS"),
    ]
    for name in hidden:
        monkeypatch.setenv(name, f"canary of {name}")
    seen = {"PREFECT_HOME": "/srv/prefect", "HTTPS_PROXY": "http://proxy.example.org:3128"}
    for name, value in seen.items():
        monkeypatch.setenv(name, value)

    assert run_command(shell('env > "$1"', tmp_path / "env"), "", timeout_s=LONG_S) is None

    lines = (tmp_path / "env").read_text("utf-8").splitlines()
    assert [line for line in lines if "canary" in line] == []
    assert {f"{name}={value}" for name, value in seen.items()} <= set(lines)


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        (shell("exit 3"), "ended with exit code 3"),
        (shell("kill -9 $$"), "was ended by signal 9"),
        (shell("echo 'No route.' >&2; exit 1"), "ended with exit code 1: No route."),
        (shell("printf 'a\\n\\n b\\nc\\nd\\n' >&2; exit 1"), "ended with exit code 1: a / b / c"),
        (shell("echo 'for 0772123456' >&2; exit 1"), "ended with exit code 1: for •••456"),
        (shell("printf 'a\\033[31m\\000\\377b' >&2; exit 1"), "ended with exit code 1: a [31m �b"),
        (shell("yes | tr -d '\\n' | head -c 9999 >&2; exit 1"), "ended with exit code 1: " + "y" * 300),
        (["/no/such/program"], "cannot be started (No such file or directory)"),
        (["/etc"], "cannot be started (Permission denied)"),
        (["sh\0"], "cannot be started (ValueError)"),
    ],
)
def test_how_it_may_fail(command: list[str], failure: str) -> None:
    assert str(run_command(command, "content", timeout_s=LONG_S)) == failure


def test_it_need_not_read_what_it_is_given() -> None:
    assert run_command(shell("exit 0"), "x" * 1_000_000, timeout_s=LONG_S) is None


def test_one_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = 'echo waiting >&2; sleep 600 & echo $! > "$1.new"; mv "$1.new" "$1"; wait'
    found = None
    while not pid.exists():  # a slow machine may not have come that far
        found = run_command(shell(script, pid), "", timeout_s=0.3)
    assert found == CommandFailure("took longer than 0.3 s", "waiting")
    child = int(pid.read_text("utf-8"))
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)  # the kernel takes a moment; when it is not killed, the test's own limit ends this


def test_one_that_ended_in_time_is_not_late_because_of_what_it_left_behind(tmp_path: Path) -> None:
    """What runs on in the background holds the output open."""
    left = tmp_path / "left"
    script = 'sleep 600 & echo $! > "$1"; exit 0'
    timeout_s = 0.5
    while run_command(shell(script, left), "", timeout_s=timeout_s) is not None:
        timeout_s *= 2  # a slow machine
    psutil.Process(int(left.read_text("utf-8"))).kill()
