"""A file is absent, the old one, or complete, whatever kills the process that writes it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from xlsxwriter.exceptions import FileCreateError

from mambo_io.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place at the end; after any error nothing is left of it.

    A new file is its owner's alone (0600), because numbers may stand in it; one that is replaced keeps its mode.

    What a killed process left behind goes at the next writing to the same `path`; of two at a time the later one wins.
    Raises `InputError` for a folder that is missing, a file that is one, and a full disk.
    """
    folder = None
    try:
        if path.is_dir():
            raise InputError("this is a folder", file=path, fix="Give the path of a file.")
        if not path.parent.is_dir():
            raise InputError(f"no folder {str(path.parent)!r}", file=path, fix="Make the folder first.")
        target = path.resolve()  # so that a symbolic link stays one
        # A short name of its own, because the target's may be as long as the system takes.
        prefix = f".unfinished-{hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()}-"
        for left in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        # A folder, because a workbook's parts are written first; its owner's alone, because numbers stand in it.
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        unfinished = folder / f"unfinished{target.suffix}"
        yield unfinished
        with unfinished.open("r+b") as written:
            os.fsync(written.fileno())  # a power cut must not leave the new name and half of the content
        unfinished.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600)
        unfinished.replace(target)
    except (OSError, FileCreateError, pl.exceptions.ComputeError) as error:
        reason = _system_reason(error)
        if reason is None:
            raise
        if folder is not None and reason == os.strerror(errno.ENOENT):
            reason = "another process began to write it, too"
        raise InputError(f"the file cannot be written: {reason}", file=path) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _system_reason(error: Exception) -> str | None:
    """What the system said, unwrapped: polars passes on text only, "… IO error: File too large (os error 27)"."""
    if isinstance(error, FileCreateError):
        error = error.args[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = re.search(r"([^:]+) \(os error \d+\)", str(error))
    return found[1].strip() if found else None
