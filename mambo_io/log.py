"""The log that lies in the data folder: which runs began, how each ended, which calls are unknown, defects of ours.

It is there for whoever looks into a stop later, and may be passed on: it names campaigns, editions and calls, and holds
no number, no text, no secret and nothing that an exception says, because that may be any of these. What cannot be
written to it is left out, and `mambo status` says so; a log never stops a send.
"""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from mambo_io.errors import MamboError
from mambo_io.masking import MaskingFilter
from mambo_io.settings import data_folder

_FILE_BYTES = 1_000_000
_OLDER_FILES = 4  # mambo.log.1 to mambo.log.4


def log_file() -> Path:
    """Where the log is; it may not be there yet."""
    return data_folder() / "mambo.log"


def log_problem() -> str | None:
    """Why nothing can be added to the log, in the system's words; None where it can be. Makes nothing."""
    file = log_file()
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND))
    except FileNotFoundError:
        folder = next(folder for folder in file.parents if folder.exists())
        return None if os.access(folder, os.W_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        return error.strerror
    return None


@cache
def run_log() -> logging.Logger:
    """The log, which nothing but this file hears; times are UTC."""
    logger = logging.getLogger("mambo-run-log")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(_LogFile(log_file()))
    return logger


@contextmanager
def recorded_run(label: str) -> Iterator[None]:
    """Record that a run of the campaign edition `label` begins, and what ends it where that is an error."""
    run_log().info("%s: a run begins", label)
    try:
        yield
    except BaseException as error:
        what = "stopped by" if isinstance(error, MamboError) else "broken off by"
        run_log().error("%s: %s %s", label, what, type(error).__name__)
        raise


def record_defect(error: BaseException) -> str:
    """Record where a defect of ours came up; returns that."""
    outline = outline_of(error)
    run_log().error("a defect\n%s", outline)
    return outline


def outline_of(error: BaseException) -> str:
    """The traceback of `error` and of what led to it, without the words of any: they may quote a row, a text, a key."""
    told = "".join([*traceback.format_tb(error.__traceback__), type(error).__qualname__])
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told if before is None else f"{outline_of(before)}\nand then\n{told}"


class _LogFile(RotatingFileHandler):
    """Opened at the first record, for this user alone. Several processes may write to it."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            file,
            maxBytes=_FILE_BYTES,
            backupCount=_OLDER_FILES,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )
        formatter = logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self.addFilter(MaskingFilter())

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return open(
            self.baseFilename,
            "a",
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def handleError(self, record: logging.LogRecord) -> None:
        """Left out: a full disk, a folder that nobody may write to."""
