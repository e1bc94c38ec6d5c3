"""A terminal with somebody at it: what a program writes there can be read, and what it asks can be answered."""

from __future__ import annotations

import os
import pty
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_S = 60.0


class Terminal:
    """`slave` is the file descriptor for the program; `screen` is all that it has written so far."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self._seen = bytearray()
        self._news = threading.Condition()
        # Somebody has to read all the time: a terminal that is full would stop the program.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        return self._seen.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """`\\n` is Enter, `\\x04` Ctrl-D. What is typed before it is asked for waits."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Until `text` stands on the screen."""
        end = time.monotonic() + _PATIENCE_S
        with self._news:
            while text not in self.screen:
                if not self._news.wait(end - time.monotonic()):
                    raise AssertionError(f"{text!r} did not appear in {_PATIENCE_S:.0f} s:\n{self.screen}")

    @contextmanager
    def used(self) -> Iterator[None]:
        """This process's standard input and error are the terminal for the length of a block."""
        before = sys.stdin, sys.stderr
        with (
            open(self.slave, encoding="utf-8", closefd=False) as sys.stdin,
            open(self.slave, "w", encoding="utf-8", closefd=False) as sys.stderr,
        ):
            try:
                yield
            finally:
                sys.stdin, sys.stderr = before

    def close(self) -> None:
        os.close(self.slave)  # the reader ends with the last one who could write, …
        self._reader.join(_PATIENCE_S / 10)  # … or it would read what the next terminal of the same number shows
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:
                return
            with self._news:
                self._seen += data
                self._news.notify_all()


@contextmanager
def opened() -> Iterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()
