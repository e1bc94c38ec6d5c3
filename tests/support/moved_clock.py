"""A wall clock for the processes of a test that is moved while they run, so that a week passes in minutes.

    clock = MovedClock(tmp_path / "clock", MONDAY.replace(hour=7))
    with started(*MAMBO, "serve", cwd=tmp_path, env=clock.environment):
        clock.move_to(MONDAY.replace(hour=9))

Between two moves it goes on as the real one does. `support/guard/followed_clock.py` says what follows it, and what does
not. The test's own process does not, and neither does a sandbox, which has an environment of its own: `shown_at` says
what the clock showed when something happened there.
"""

from __future__ import annotations

import mmap
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mambo_io.window import KAMPALA

# Ahead of the real clock: files, and what SQLite calls now, are then in the past, where they should be.
MONDAY = datetime(2030, 11, 4, tzinfo=KAMPALA)


class MovedClock:
    """A clock that shows `start` (aware) now. `file` is created; one clock for each."""

    def __init__(self, file: Path, start: datetime) -> None:
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._ahead_ns = memoryview(mmap.mmap(opened.fileno(), 8)).cast("q")  # written whole, as read
        self._moves: list[tuple[datetime, timedelta]] = []  # real time, and how far ahead from then on
        self.environment = {"TEST_CLOCK_FILE": str(file)}  # of the processes that follow
        self._set(start)

    def now(self) -> datetime:
        """What it shows now, in UTC."""
        return self.shown_at(datetime.now(UTC))

    def shown_at(self, real: datetime) -> datetime:
        """What it showed at a moment of the real clock (aware), in UTC."""
        ahead = next(ahead for since, ahead in reversed(self._moves) if since <= real)
        return real.astimezone(UTC) + ahead

    def move_to(self, moment: datetime) -> None:
        """Show `moment` (aware) from now on. Only forwards: who waits for a time would wait that much longer."""
        assert moment >= self.now(), f"{moment} is over"
        self._set(moment)

    def _set(self, moment: datetime) -> None:
        real = datetime.now(UTC)
        ahead = moment - real
        self._moves.append((real, ahead))
        self._ahead_ns[0] = ahead // timedelta(microseconds=1) * 1_000
