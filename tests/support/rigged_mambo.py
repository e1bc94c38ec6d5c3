"""`mambo`, rigged for the crash tests: killed or frozen at a named point, or with a fault put into it.

    python rigged_mambo.py --at mid_body --nth 2 send campaign.toml --direct    # dead in the second call's body
    python rigged_mambo.py --fault late_intent send campaign.toml --direct

A program of its own: imported, this module changes nothing in the process of the tests.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from aiohttp.connector import Connection as HttpConnection
from sqlalchemy import Connection, Engine, Transaction, event, update

from mambo_io import event_log, overwriting, settled, statements, verdicts
from mambo_io.call_ends import CallEnd, ClaimedCall
from mambo_io.datasets import export
from mambo_io.datasets.replacing import replacing
from mambo_io.model import Action, CallResult, ChunkState, Verdict
from mambo_io.sender import Exchange, Sender
from mambo_io.tables import chunks
from mambo_io.transport import OneAttemptTransport, _Connector

RIGGED = (sys.executable, str(Path(__file__).resolve()))

# In the order in which a call comes by. One commit may settle some calls and record the intents of others.
POINTS = (
    "before_intent",
    "after_intent",
    "after_connect",
    "mid_body",
    "after_body",
    "after_headers",
    "before_settling",
    "after_settling",
)

# An unknown call is recorded as sent.
SETTLEMENT_POINTS = ("before_settlement", "after_settlement")

# `mambo results` has half of the file on the disk, has all of it there, has put it in the old one's place.
EXPORT_POINTS = ("mid_export", "before_replacing", "after_replacing")

# `mambo store archive`, `bring-back` and `mambo erase`: before the commit that has this event, and after it; half of an
# archive is zeros; before the database's space is written anew, and after that.
ERASING_POINTS = (
    *("before_archived", "after_archived", "before_brought_back", "after_brought_back", "mid_removing"),
    *("before_erasing", "after_erasing", "before_overwriting", "after_overwriting", "before_erased"),
)


@dataclass
class Trap:
    """Sends `signal` to this process when it comes by `point` for the `nth` time."""

    point: str
    nth: int
    signal: signal.Signals

    def passed(self, point: str | None) -> None:
        if point == self.point:
            self.nth -= 1
            if self.nth == 0:
                os.kill(os.getpid(), self.signal)


def watch_commits(trap: Trap) -> None:
    """Tell the trap of the commits of sending and of settlement: before each, while its transaction is open, and after.

    Before `pipelines` is imported, which takes what it settles with by name.
    """
    exchange, record_intent, record_sent = Sender.exchange, Sender._record_intent, settled.record_sent
    held: set[str] = set()  # what the transaction of the moment holds

    def watched_exchange(sender: Sender, ends: Sequence[CallEnd], **options: Any) -> Exchange:
        held.update(["settling"] if ends else [])
        result = exchange(sender, ends, **options)
        for each in held:
            trap.passed(f"after_{each}")
        held.clear()
        return result

    def watched_intent(sender: Sender, *call: Any) -> ClaimedCall:
        held.add("intent")
        return record_intent(sender, *call)

    def watched_settlement(*given: Any, **options: Any) -> None:
        held.add("settlement")
        record_sent(*given, **options)
        trap.passed("after_settlement")
        held.clear()

    @event.listens_for(Engine, "commit")
    def before_commit(_: Connection) -> None:
        for each in held:
            trap.passed(f"before_{each}")

    patch.object(Sender, "exchange", watched_exchange).start()
    patch.object(Sender, "_record_intent", watched_intent).start()
    patch.object(settled, "record_sent", watched_settlement).start()


def watch_calls(trap: Trap) -> None:
    """Tell the trap how far each HTTP request has come."""
    connect, handle = _Connector.connect, OneAttemptTransport.handle_async_request

    async def watched_connect(connector: _Connector, *given: Any, **options: Any) -> HttpConnection:
        connection = await connect(connector, *given, **options)
        trap.passed("after_connect")
        protocol = connection.protocol
        assert protocol is not None  # it has just been connected
        if not isinstance(protocol.transport, _InHalves):  # of a connection that is used again it is
            patch.object(protocol, "transport", _InHalves(protocol.transport, trap)).start()
        return connection

    async def watched_handle(transport: OneAttemptTransport, request: httpx.Request) -> httpx.Response:
        response = await handle(transport, request)
        trap.passed("after_headers")
        return response

    patch.object(_Connector, "connect", watched_connect).start()
    patch.object(OneAttemptTransport, "handle_async_request", watched_handle).start()


class _InHalves:
    """A socket's transport that has half of a body on its way before the trap is told."""

    def __init__(self, transport: Any, trap: Trap) -> None:
        self._transport = transport
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        head, end_of_head, body = bytes(data).rpartition(b"\r\n\r\n")
        half = len(head) + len(end_of_head) + len(body) // 2
        self._transport.write(data[:half])
        if body:
            self._trap.passed("mid_body")
            self._transport.write(data[half:])
            self._trap.passed("after_body")

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))


def watch_exports(trap: Trap) -> None:
    """Tell the trap how far the writing of a file has come, whatever its kind."""

    @contextmanager
    def watched_replacing(path: Path) -> Iterator[Path]:
        with replacing(path) as unfinished:
            yield unfinished
            whole = unfinished.read_bytes()
            unfinished.write_bytes(whole[: len(whole) // 2])
            trap.passed("mid_export")
            unfinished.write_bytes(whole)
            trap.passed("before_replacing")
        trap.passed("after_replacing")

    patch.object(export, "replacing", watched_replacing).start()


def watch_erasing(trap: Trap) -> None:
    """Tell the trap how far archiving and erasing have come. Before `pipelines` is imported, as above."""
    add, overwrite, vacuum = event_log.add_event, overwriting.overwrite_file, overwriting.overwrite_space
    held: list[str] = []  # the event that the transaction of the moment holds
    committed: list[str] = []

    def watched_add(connection: Connection, campaign: Any, kind: str, *given: Any) -> None:
        add(connection, campaign, kind, *given)
        held.append(kind)

    @event.listens_for(Engine, "commit")
    def before_commit(_: Connection) -> None:
        for kind in held:
            trap.passed(f"before_{kind}")
        committed[:], held[:] = held, []

    @event.listens_for(Engine, "begin")
    def after_commit(_: Connection) -> None:
        for kind in committed:
            trap.passed(f"after_{kind}")
        committed.clear()

    def watched_overwrite(path: Path) -> None:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size // 2))
        trap.passed("mid_removing")
        overwrite(path)

    def watched_vacuum(*given: Any, **options: Any) -> tuple[str, ...]:
        trap.passed("before_overwriting")
        notes = vacuum(*given, **options)
        trap.passed("after_overwriting")
        return notes

    patch.object(event_log, "add_event", watched_add).start()
    patch.object(overwriting, "overwrite_file", watched_overwrite).start()
    patch.object(overwriting, "overwrite_space", watched_vacuum).start()


def write_intents_late() -> None:
    """The intent of a call is committed when the call is over."""
    begin, exchange = Connection.begin, Sender.exchange

    def commit_and_begin(connection: Connection) -> Transaction:
        if connection.in_transaction():
            connection.commit()
        return begin(connection)

    def begin_and_leave_open(connection: Connection) -> AbstractContextManager[None]:
        commit_and_begin(connection)
        return nullcontext()

    def exchange_without_commit(sender: Sender, ends: Sequence[CallEnd], **options: Any) -> Exchange:
        with patch.object(Connection, "begin", begin_and_leave_open):
            return exchange(sender, ends, **options)

    patch.object(Connection, "begin", commit_and_begin).start()
    patch.object(Sender, "exchange", exchange_without_commit).start()


def repeat_after_500() -> None:
    """HTTP 500 is taken for proof that nothing was sent, so the call is made again."""
    judge = verdicts.judge_status

    def judge_wrongly(status: int, place: str = "http") -> CallResult:
        if status == 500:
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, f"{place}_{status}")
        return judge(status, place)

    patch.object(verdicts, "judge_status", judge_wrongly).start()


def plan_orphans_again() -> None:
    """What a dead process left in flight goes back to planned, as a queue would do it."""
    again = update(chunks).where(chunks.c.state == ChunkState.IN_FLIGHT).values(state=ChunkState.PLANNED)
    patch.object(statements, "ORPHANED_CHUNKS", again).start()


FAULTS: dict[str, Callable[[], None]] = {
    "late_intent": write_intents_late,
    "repeat_after_500": repeat_after_500,
    "orphans_planned": plan_orphans_again,
}


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--at", choices=POINTS + SETTLEMENT_POINTS + EXPORT_POINTS + ERASING_POINTS)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--signal", choices=["SIGKILL", "SIGSTOP"], default="SIGKILL")
    parser.add_argument("mambo", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.fault:
        FAULTS[given.fault]()
    if given.at:
        trap = Trap(given.at, given.nth, signal.Signals[given.signal])
        watch_commits(trap)
        watch_calls(trap)
        watch_exports(trap)
        watch_erasing(trap)
    sys.argv[1:] = given.mambo
    from pipelines.cli import main as mambo

    mambo()


if __name__ == "__main__":
    main()
