"""What every flow's tasks have in common: they run once, and leave nothing personal behind in the engine."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console

from mambo_io.errors import MamboError
from mambo_io.log import record_defect
from mambo_io.masking import MaskingFilter, mask_text

P = ParamSpec("P")
R = TypeVar("R")


def masked(function: Callable[P, R]) -> Callable[P, R]:
    """Let our own errors through, which hold no data; of any other only the text of its traceback, masked.

    The engine pickles, logs and publishes what a run raises, and a library's exception may hold rows.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except MamboError:
            raise
        except Exception as error:  # noqa: BLE001 - raised below, outside this block, so that nothing is chained to it
            record_defect(error)
            defect = mask_text(traceback.format_exc())
        raise RuntimeError(defect)

    return run


def step(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that runs once, in this process, and leaves nothing behind in the engine but its state."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name, task_run_name=name, retries=0, persist_result=False, cache_policy=NO_CACHE, log_prints=False
        )(masked(function))

    return decorate


def mask_engine_logs() -> None:
    """Whatever the engine logs of a run goes out without numbers, and of our own errors without a traceback."""
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(known, MaskingFilter) for known in handler.filters):
                handler.addFilter(_told_in_a_line)
                handler.addFilter(MaskingFilter())
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            _outlive_reader(handler.console)


def _outlive_reader(console: Console) -> None:
    """The program that serves a run reads what it says. When that one is killed, the run goes on and says no more."""

    def be_quiet() -> None:
        console.quiet = True

    console.on_broken_pipe = be_quiet  # type: ignore[method-assign]  # rich's own ends the process


def _told_in_a_line(record: logging.LogRecord) -> bool:
    """An error of ours is an end that was foreseen, and says all there is to say."""
    if record.exc_info and isinstance(record.exc_info[1], MamboError):
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1].message}", None
        record.exc_info = None
    return True
