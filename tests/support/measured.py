"""What a command takes: time, CPU, and the peak of its memory.

On Linux a process inherits the peak of whoever started it, also through exec. So it is started by a small process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_STARTER = """
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(pid, 0)
took = time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
print(json.dumps([os.waitstatus_to_exitcode(status), *took]))
"""


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu_s: float
    peak_mb: float


def measure(*command: str, cwd: Path, env: Mapping[str, str], exit_code: int = 0) -> Cost:
    """Run it, from its start to its end. What it says is not shown, unless it ends with another exit code."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", _STARTER, *command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    ended, seconds, cpu_s, peak_mb = json.loads(done.stdout)
    assert ended == exit_code, done.stderr
    return Cost(seconds, cpu_s, peak_mb)
