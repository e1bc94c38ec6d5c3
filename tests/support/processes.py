"""Starting real processes: the command `mambo` as a person runs it, and any other.

A child sees the isolated environment of the tests (see `support.environment`) plus what the test adds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

MAMBO = (sys.executable, "-c", "from pipelines.cli import main; main()")


def run(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end; its output is in `stdout` and `stderr`, a bad exit code raises nothing."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )


def mambo(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `mambo` with these arguments, as `run` does."""
    return run(*MAMBO, *arguments, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)


@contextlib.contextmanager
def started(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start `command` in a process group of its own, and kill what is left of the group at the end.

    Both outputs come through `process.stdout`.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
