"""What every flow's tasks have in common: they run once, and leave nothing personal behind in the engine."""

from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class Defect(RuntimeError):
    """Where a defect of ours came up, without the words of its exception."""


# Who hears of errors as they were raised, in this process.
_heard: contextvars.ContextVar[list[MamboError] | None] = contextvars.ContextVar("_heard", default=None)


@contextmanager
def told_in_full() -> Iterator[None]:
    """An error of ours that ends a run in this block leaves it with all that it says, for a terminal."""
    heard: list[MamboError] = []
    token = _heard.set(heard)
    try:
        yield
    except MamboError:
        if heard:
            raise heard[0] from None  # a step's own, before the flow's of the same
        raise
    finally:
        _heard.reset(token)


def masked(function: Callable[P, R]) -> Callable[P, R]:
    """Of an error of ours let its outline through, as the same type; of any other a `Defect`.

    The engine pickles, logs and publishes what a run raises. An error of ours quotes what is wrong, perhaps a column
    name that is somebody's in a list without names of columns, and a library's exception may hold rows.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Defect:  # of a step
            raise
        except MamboError as error:
            if (heard := _heard.get()) is not None:
                heard.append(error)
            published: Exception = type(error)(error.outline)
        except Exception as error:  # noqa: BLE001 - raised below, outside this block, so that nothing is chained to it
            published = Defect(mask_text(record_defect(error)))
        raise published

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
    """An error of ours is an end that was foreseen: no traceback says more, and what it quotes is nobody's here."""
    if record.exc_info and isinstance(record.exc_info[1], MamboError):
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1].outline}", None
        record.exc_info = None
    return True
