"""Lets the wall clock of this process follow a clock that a test moves (`support.moved_clock`).

time-machine patches what reads the time in C, so `from time import time` and subclasses of `datetime` follow as well;
monotonic clocks, and with them sleeps, time-outs and event loops, stay real. Each reading adds what the shared file
says at that moment, so a move is seen at once and in all processes. What asks the system by itself does not follow:
SQLite's and PostgreSQL's `now`, and the times of files.
"""

from __future__ import annotations

import mmap
import sys

# time-machine has a plugin for pytest in the same module, and would import it into every process of a test.
sys.modules["pytest"] = None  # type: ignore[assignment]  # so Python is told that there is none
import time_machine  # noqa: E402 - after the line above

del sys.modules["pytest"]


class _Follower(time_machine.Traveller):
    """Is as far ahead of the real clock as the file says: one signed number of nanoseconds."""

    def __init__(self, file: str) -> None:
        super().__init__(0, None, tick=True)
        with open(file, "rb") as opened:  # noqa: PTH123 - pathlib slows down every start of a Python
            self._ahead_ns = memoryview(mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)).cast("q")

    def time_ns(self) -> int:
        return time_machine.escape_hatch.time.time_ns() + self._ahead_ns[0]


def follow(file: str) -> None:
    """Put the patches in place, for as long as this process lives."""
    follower = _Follower(file)
    time_machine.travel(0).start()
    time_machine.traveller_stack.append(follower)  # the last one is asked
