"""Looking at something again and again: in place on a terminal, elsewhere once more whenever it has changed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipelines.cli import screens

T = TypeVar("T")

EVERY_S = 1.0


def watch(look: Callable[[], T], show: Callable[[T], None], *, has_ended: Callable[[T], bool], in_place: bool) -> T:
    """Look every second, and show what has changed, until it has ended or somebody presses Ctrl-C. The last look.

    `show` prints on `screens.out`, which is a terminal where it is shown `in_place`.
    """
    found, shown = look(), None
    with _in_place(show) if in_place else _below(show) as show_it, suppress(KeyboardInterrupt):
        while True:
            if found != shown:
                show_it(found)
                shown = found
            if has_ended(found):
                break
            time.sleep(EVERY_S)
            found = look()
    return found


@contextmanager
def _below(show: Callable[[T], None]) -> Iterator[Callable[[T], None]]:
    def show_it(found: T) -> None:
        show(found)
        sys.stdout.flush()

    yield show_it


@contextmanager
def _in_place(show: Callable[[T], None]) -> Iterator[Callable[[T], None]]:
    # A console of its own: what `show` prints is caught, and must not be mixed with what is on the screen already.
    console = Console(highlight=False, emoji=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:

        def show_it(found: T) -> None:
            with screens.out.capture() as caught:
                show(found)
            live.update(Text.from_ansi(caught.get().rstrip("\n")), refresh=True)

        yield show_it
