"""A server on a real socket that does what servers and networks do, and remembers every request that it read."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager


class Call:
    """One connection, as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: list[bytes]) -> None:
        self.reader, self.writer, self.requests = reader, writer, requests

    async def request(self) -> None:
        """Read one request, head and body. Ends the server's part when the client goes away."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        self.requests.append(head + await self.reader.readexactly(int(length.group(1)) if length else 0))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST, as a crashed host or an impatient middlebox does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Call], Awaitable[object]]


class Server:
    """A server in a thread of its own that treats every connection the same way, and remembers what it read."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
        self._behaviour, self._tls = behaviour, tls
        self.connections = 0
        self.requests: list[bytes] = []
        self._attending: set[asyncio.Task[None] | None] = set()  # of one that stands still nobody else knows
        self._started: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._loop, self.port = self._started.result(10)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._attend, "127.0.0.1", 0, ssl=self._tls)
        self._started.set_result((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await self._stopping.wait()
        server.close()  # whatever still runs is cancelled as this thread's loop ends

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._attending.add(asyncio.current_task())
        try:
            await self._behaviour(Call(reader, writer, self.requests))
        except (EOFError, OSError):
            pass  # the client went away, which many of these tests are about
        finally:
            writer.close()
            self._attending.discard(asyncio.current_task())


@contextmanager
def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(behaviour, tls)
    try:
        yield server
    finally:
        server.stop()


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def replying(reply: bytes) -> Behaviour:
    """Answer every request of a connection the same way."""

    async def behave(call: Call) -> None:
        while True:
            await call.request()
            await call.say(reply)

    return behave


def replying_once(reply: bytes) -> Behaviour:
    """Answer one request, then close."""

    async def behave(call: Call) -> None:
        await call.request()
        await call.say(reply)

    return behave


async def close_at_once(call: Call) -> None:
    """Not a byte read, not a byte written."""


async def reset_at_once(call: Call) -> None:
    call.reset()


async def reset_before_the_body(call: Call) -> None:
    await call.reader.readuntil(b"\r\n\r\n")
    call.reset()


async def reset_in_the_body(call: Call) -> None:
    await call.reader.readuntil(b"\r\n\r\n")
    await call.reader.readexactly(10)
    call.reset()


async def reset_after_the_body(call: Call) -> None:
    await call.request()
    call.reset()


async def close_after_the_body(call: Call) -> None:
    await call.request()


async def never_answer(call: Call) -> None:
    await call.request()
    await call.reader.read()


async def say_nothing(call: Call) -> None:
    """Take whatever comes, a TLS handshake for instance, and say nothing to it."""
    await call.reader.read()


async def drip(call: Call, data: bytes) -> None:
    """Byte by byte."""
    for byte in data:
        await call.say(bytes([byte]))
        await asyncio.sleep(0.05)
