"""A SQLite ledger as a file: that it is still the one that was opened, and that it is no older copy of itself.

SQLite goes on writing without an error into a file that was deleted or replaced, and without its log the last commits
are gone. An older copy looks like a good ledger; who was sent something since would be sent it again. So a sender looks
at the files before each commit, and notes the number of the newest call beside the ledger after it.
"""

from __future__ import annotations

import glob
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mambo_io.errors import StoreError
from mambo_io.store_errors import RESTORE, LedgerFailed

_PAGE_SIZE_AT, _PAGES_AT = 16, 28  # https://www.sqlite.org/fileformat.html, "The Database Header"
_LOG_HEAD, _FRAME_HEAD = 32, 24  # bytes, the same page: "WAL File Format"
MOVED = 10**18  # noted in the place of the newest call: calls are made from another store
_NOTE = b"%020d %020d\n"  # of one length, so that it is overwritten in place


class FileWatch:
    """The files of a ledger that this process has open for writing, and the number of the newest call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = str(path), f"{path}-wal"
        self._opened: list[tuple[int, int]] = []
        self._bytes = 0
        self._note: int | None = None  # a file descriptor

    def close(self) -> None:
        if self._note is not None:
            os.close(self._note)
            self._note = None

    def opened(self) -> None:
        """SQLite has both files open now; the first time, these are the ones to go on with."""
        if not self._opened:
            self._opened = [(found.st_dev, found.st_ino) for found in map(os.stat, self._names)]

    def check(self) -> None:
        """Raise `LedgerFailed` when the files are not those that were opened any more."""
        if not self._opened:
            return
        try:
            database, log = map(os.stat, self._names)
        except OSError:
            missing = next((name for name in self._names if not Path(name).exists()), self._names[0])
            raise self._failure(f"{Path(missing).name} was deleted while it was in use") from None
        if [(database.st_dev, database.st_ino), (log.st_dev, log.st_ino)] != self._opened:
            raise self._failure("was replaced by another file while it was in use")
        if database.st_size < self._bytes:
            raise self._failure("was cut short while it was in use")
        self._bytes = database.st_size

    def note(self, call: int) -> None:
        """Remember that the call of this number was made. A note that is lost is no harm: less is noticed then."""
        with suppress(OSError):  # a full disk refuses a new file; to overwrite these bytes takes no room
            if self._note is None:
                self._note = os.open(_note_of(self._path), os.O_WRONLY | os.O_CREAT, 0o600)
            os.pwrite(self._note, _NOTE % (call, self._opened[0][1]), 0)

    def _failure(self, what: str) -> LedgerFailed:
        return LedgerFailed.for_good(
            f"{self._path}: {what}. Put back what was there and send again; or put a backup in its place: "
            "mambo store restore FILE."
        )


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a ledger: the number of the newest call that was made from it, and its file's inode."""

    newest_call: int = 0
    inode: int | None = None


def note_beside(path: Path) -> Note:
    """The note beside the ledger at `path`; an empty one on a new machine, or where nothing was sent yet."""
    try:
        return _read_note(_note_of(path).read_bytes())
    except OSError:
        return Note()


def write_note(path: Path, newest_call: int) -> None:
    """Note what was put in place."""
    _note_of(path).write_bytes(_NOTE % (newest_call, path.stat().st_ino))


def check_its_own_log(path: Path, note: Note) -> None:
    """Raise `StoreError` when the log beside a ledger is that of another file: SQLite would mix the two."""
    log = path.with_name(f"{path.name}-wal")
    if note.inode not in (None, path.stat().st_ino) and log.exists() and log.stat().st_size:
        raise StoreError(
            f"the file was replaced, but the log of the one before, {log.name}, still lies beside it",
            file=path,
            fix=f"Put the one before back. If it is lost, move {log} away, then: mambo store restore FILE.",
        )


def check_not_gone(path: Path, note: Note) -> None:
    """Raise `StoreError` where no ledger lies at `path`, or an empty file, and what lies beside it tells of one.

    `note` is from before it was seen that there is none.
    """
    if note.newest_call == MOVED:
        raise _was_moved(path)
    beside = [path.with_name(f"{path.name}-wal"), *sorted(path.parent.glob(f"{glob.escape(path.name)}.replies-*"))]
    left = [file.name for file in beside if file.exists()]
    if note.newest_call:
        calls = "1 call was" if note.newest_call == 1 else f"{note.newest_call} calls were"
        problem = f"the ledger is gone; {calls} made from it"
    elif left and not path.exists():  # asked last: a first run makes the file before anything else
        problem = f"the ledger is gone; {' and '.join(left)} still {'lies' if len(left) == 1 else 'lie'} beside it"
    else:
        return
    raise StoreError(
        problem,
        file=path,
        fix="Put it back, or a backup in its place: mambo store restore FILE. "
        "A new ledger, at another MAMBO_STORE, would message everybody again.",
    )


def check_not_older(path: Path, newest_call: int, note: Note, *, moved: bool) -> None:
    """Raise `StoreError` when the ledger ends with `newest_call`, and more calls were made from it.

    `moved`: the ledger itself says that it was moved, so that nobody sends from it.
    """
    if note.newest_call == MOVED:
        if not moved:
            raise _was_moved(path)
        return
    if newest_call < note.newest_call:
        raise StoreError(
            f"is an older copy of the ledger: it ends with call {newest_call}, and {note.newest_call} were made",
            file=path,
            fix="Put the newest one in its place; if this is it: mambo store restore FILE (a backup, or this file)."
            if newest_call
            else "Put the newest one in its place, or a backup: mambo store restore FILE.",
        )


def _was_moved(path: Path) -> StoreError:
    return StoreError(
        "the ledger that was here was moved to another store, and no file here knows what was sent since",
        file=path,
        fix="Set MAMBO_STORE to that store; to go on from a file all the same: mambo store restore FILE.",
    )


def check_not_cut_short(path: Path) -> None:
    """Raise `StoreError` when pages are missing from the file that are not in its log either.

    SQLite looks only where there is no log. With one, a file that is too short may be good: that is how it stands while
    the log is copied into it, or after a crash in between.
    """
    page_size, missing = _pages_behind_the_end(path)
    if missing and not set(missing) <= _pages_in_log(path, page_size) and _pages_behind_the_end(path)[1]:
        raise StoreError("the file is cut short", file=path, fix=RESTORE)


def _pages_behind_the_end(path: Path) -> tuple[int, range]:
    """The page size, and the pages that the file should hold by its own head and does not."""
    with path.open("rb") as file:
        head = file.read(100)
        size = os.fstat(file.fileno()).st_size
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return 0, range(0)  # new, or no database: SQLite says so
    page_size: int = struct.unpack_from(">H", head, _PAGE_SIZE_AT)[0]
    page_size = 65536 if page_size == 1 else page_size
    pages: int = struct.unpack_from(">I", head, _PAGES_AT)[0]
    return page_size, range(size // page_size + 1, pages + 1)


def _pages_in_log(path: Path, page_size: int) -> set[int]:
    try:
        content = path.with_name(f"{path.name}-wal").read_bytes()
    except FileNotFoundError:
        return set()
    return {
        struct.unpack_from(">I", content, at)[0]
        for at in range(_LOG_HEAD, len(content) - _FRAME_HEAD, _FRAME_HEAD + page_size)
    }


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.newest-call")


def _read_note(text: bytes) -> Note:
    try:
        newest_call, inode = map(int, text.split())
    except ValueError:
        return Note()
    return Note(newest_call, inode)
