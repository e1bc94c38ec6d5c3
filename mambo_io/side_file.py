"""Replies that the ledger could not take, in a file beside it, until the next run of the campaign has recorded them.

The room is taken, and made durable, before the first call of a run, so that a full disk cannot refuse it. An entry is
its length, the CRC-32 of its text, and the text (JSON); behind the last one stand zeros. What a crash left half-written
fails the check, and nothing behind it is read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

from sqlalchemy import and_, or_, select

from mambo_io import statements
from mambo_io.call_ends import CallEnd, ClaimedCall, record_end
from mambo_io.errors import StoreError
from mambo_io.ledger import CampaignRow
from mambo_io.model import (
    Action,
    Blame,
    CallResult,
    ChunkState,
    Receipt,
    UnsupportedContact,
    Verdict,
)
from mambo_io.prepared import Prepared
from mambo_io.tables import attempts, chunks

_ROOM_A_CALL = 512 * 1024  # bytes: a reply of `MAX_KEPT_CHARS`, each escaped, and what was read from it
_HEAD = struct.Struct("<II")  # length of the text in bytes, its CRC-32
_NO_CALL_AFTER = "no_call_after"  # an attempt: what the run may have claimed after it, it did not make
_STILL_IN_USE_S = 600.0  # a run that lost its ledger waits for its calls at most so long


class SideFile:
    """The side file of one run: `aside` is how those of its campaign begin (`Store.aside`)."""

    def __init__(self, aside: Path, run: str) -> None:
        self.path = aside.with_name(f"{aside.name}-{run}")
        self._file = -1
        self._end = 0  # of the last entry
        self._size = 0

    @contextmanager
    def reserved(self, calls: int) -> Iterator[None]:
        """Room for so many replies. The file is gone afterwards, unless replies stand in it.

        Raises `StoreError` when there is no room.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                self._size = calls * _ROOM_A_CALL
                _take_room(self._file, self._size)
                _sync_folder(self.path.parent)
            except OSError:
                os.close(self._file)
                self.path.unlink()
                raise
        except OSError as error:
            raise StoreError(
                f"no room could be taken for replies that the ledger might not take ({error.strerror})",
                file=self.path,
                fix="Free some space there; nothing was sent.",
            ) from None
        try:
            yield
        finally:
            os.close(self._file)
            if self._end == 0:
                with suppress(OSError):
                    self.path.unlink()

    def keep(self, ends: Sequence[CallEnd]) -> None:
        """Add what became of these calls, durably. Raises `OSError`."""
        for end in ends:
            entry = {
                "attempt": end.call.attempt_id,
                "ended_at": end.ended_at.isoformat(),
                "agrees": end.agrees,
                "result": asdict(end.result),
            }
            if not self._add(entry):
                # Only a reply far beyond what the API page describes: what was read from it stands, its text does not.
                self._add(entry | {"result": asdict(replace(end.result, raw_reply=None))})
        os.fsync(self._file)

    def keep_that_no_call_was_made_after(self, attempt_id: int) -> None:
        """What the run claimed after this attempt, the last one that it knew of, was not made. Raises `OSError`."""
        self._add({_NO_CALL_AFTER: attempt_id})
        os.fsync(self._file)

    def clear(self) -> None:
        """The ledger has taken everything."""
        if self._end:
            os.pwrite(self._file, bytes(self._end), 0)
            os.fsync(self._file)
            self._end = 0

    def _add(self, entry: dict[str, Any]) -> bool:
        text = json.dumps(entry, ensure_ascii=False).encode()
        whole = _HEAD.pack(len(text), zlib.crc32(text)) + text
        if self._end + len(whole) > self._size:
            return False
        os.pwrite(self._file, whole, self._end)
        self._end += len(whole)
        return True


@dataclass(frozen=True, slots=True)
class KeptEnd:
    """A `CallEnd` without its call, which stands in the ledger."""

    attempt_id: int
    result: CallResult
    ended_at: datetime
    agrees: bool | None


@dataclass(slots=True)
class KeptReplies:
    """What one run left in its side file.

    `no_call_after`: the last attempt that the run knew of (0: none); what the ledger holds of it after that was not
    made. None while the run may not have ended. `strange`: calls that this ledger does not hold, as when an older copy
    was put in its place; known once they are recorded.
    """

    path: Path
    run: str
    no_call_after: int | None
    ends: dict[int, KeptEnd] = field(repr=False)  # by attempt
    strange: int = 0

    def remove(self) -> None:
        """Everything in it is recorded. What a run may still add to, or belongs to another ledger, stays."""
        with suppress(OSError):
            if not self.strange and (self.no_call_after is not None or time() - _mtime(self.path) > _STILL_IN_USE_S):
                self.path.unlink()


def side_files(aside: Path) -> list[Path]:
    """The side files of the runs of a campaign, in no order; `aside` is how they begin."""
    return [path for path in aside.parent.iterdir() if _run_of(path, aside)] if aside.parent.is_dir() else []


def kept_replies(aside: Path) -> list[KeptReplies]:
    """What earlier runs of a campaign left in their side files, the oldest first."""
    try:
        return [_read(path, _run_of(path, aside)) for path in sorted(side_files(aside), key=_mtime)]
    except OSError as error:
        raise StoreError(
            f"the replies of an earlier run cannot be read ({error.strerror})",
            file=aside,
            fix="Make them readable: they say who got a message.",
        ) from None


def record_kept(sql: Prepared, campaign: CampaignRow, kept: KeptReplies, now: datetime) -> int:
    """Record, in the caller's transaction, what the calls of an ended run came to; returns how many calls that were.

    Only calls of that very run that are in flight, or unknown because the run ended: what a person or the account's
    balance has said of a call since stands.
    """
    a, c = attempts.c, chunks.c
    made = sql.connection.scalars(select(a.id).where(a.id.in_(kept.ends), a.run == kept.run)).all()
    kept.strange = len(kept.ends.keys() - set(made))
    open_calls = sql.connection.execute(
        select(*c, a.id.label("attempt_id"), a.expected_ugx.label("attempt_ugx"), a.intent_at_us)
        .join(attempts, and_(a.campaign_id == c.campaign_id, a.id == c.last_attempt))
        .where(
            c.campaign_id == campaign.id,
            a.run == kept.run,
            c.state.in_([ChunkState.IN_FLIGHT, ChunkState.UNKNOWN]),
            or_(a.verdict.is_(None), and_(a.verdict == Verdict.UNKNOWN, a.reason == "process_ended")),
        )
        .order_by(a.id)
    ).all()
    recorded = 0
    for row in open_calls:
        rows, msisdns, estimates_ugx, _ = zip(*sql.tuples(statements.PEOPLE, the_chunk=row.chunk), strict=True)
        call = ClaimedCall.of(
            campaign,
            row,
            rows=rows,
            msisdns=msisdns,
            estimates_ugx=estimates_ugx,
            expected_ugx=row.attempt_ugx,
            attempt_id=row.attempt_id,
            label=row.label,
        )
        if (end := kept.ends.get(row.attempt_id)) is not None:
            record_end(sql, campaign, CallEnd(call, end.result, end.ended_at, end.agrees))
        elif kept.no_call_after is not None and row.attempt_id > kept.no_call_after:
            # Its intent was in a commit whose outcome the run never learned, and only a commit lets a call begin. One
            # of an earlier number was made, and is open here because this is an older copy of the ledger.
            never = CallResult(Verdict.NOT_SENT, Action.GO_ON, "never_begun")
            record_end(sql, campaign, CallEnd(call, never, now))
        else:
            continue
        recorded += 1
    return recorded


def _read(path: Path, run: str) -> KeptReplies:
    ends: dict[int, KeptEnd] = {}
    no_call_after: int | None = None
    for entry in _entries(path.read_bytes()):
        if "attempt" in entry:
            end = _end_of(entry)
            ends[end.attempt_id] = end
        else:  # of an earlier version without a number: what is open in the ledger stays open
            no_call_after = entry.get(_NO_CALL_AFTER)
    return KeptReplies(path, run, no_call_after, ends)


def _entries(content: bytes) -> Iterator[Any]:
    at = 0
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        text = content[at + _HEAD.size : at + _HEAD.size + length]
        if length == 0 or len(text) < length or zlib.crc32(text) != checksum:
            return
        yield json.loads(text)
        at += _HEAD.size + length


def _end_of(entry: dict[str, Any]) -> KeptEnd:
    result = entry["result"]
    receipt = result["receipt"]
    if receipt is not None:
        contacts = tuple(UnsupportedContact(**contact) for contact in receipt["unsupported"])
        receipt = Receipt(**receipt | {"unsupported": contacts, "alarms": tuple(receipt["alarms"])})
    return KeptEnd(
        attempt_id=entry["attempt"],
        result=CallResult(
            **result
            | {
                "verdict": Verdict(result["verdict"]),
                "action": Action(result["action"]),
                "blame": Blame(result["blame"]),
                "messages": tuple(result["messages"]),
                "receipt": receipt,
            }
        ),
        ended_at=datetime.fromisoformat(entry["ended_at"]),
        agrees=entry["agrees"],
    )


def _run_of(path: Path, aside: Path) -> str:
    """The run that a side file is of; empty for another file."""
    begins = f"{aside.name}-"
    return path.name.removeprefix(begins) if path.name.startswith(begins) else ""


def _mtime(path: Path) -> float:
    return path.stat().st_mtime


def _take_room(file: int, size: int) -> None:
    """Bytes that are on the disk: an offset beyond the end of a file would take none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Make a new name in it durable, where the system knows how (Windows does so by itself)."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
