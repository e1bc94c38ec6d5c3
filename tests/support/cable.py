"""A network between two machines that can be cut, on this machine: an address of loopback whose packets are lost.

Both directions are lost, nobody is told, and connections stay open as they are: what keepalives and time limits are
for. A firewall or a proxy would not do, the one because it answers, the other because it keeps the connections alive.
Changes the routes of this one address, so it wants root.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ADDRESS = "127.77.0.2"
_LOCAL = f"local {ADDRESS}/32 dev lo src {ADDRESS}"  # as it was, but that answers go to this address as well
_LOST = f"blackhole {ADDRESS}/32"


class Cable:
    """The network to `ADDRESS`: whole at first."""

    def cut(self) -> None:
        _route("replace", _LOST)

    def mend(self) -> None:
        _route("replace", _LOCAL)


@contextmanager
def cable() -> Iterator[Cable]:
    _route("replace", _LOCAL)
    try:
        yield Cable()
    finally:
        _route("del", f"{ADDRESS}/32")


def why_not() -> str | None:
    """Why no network can be cut here; None where it can be."""
    if shutil.which("ip") is None:
        return "the command `ip` is not installed (Debian's package iproute2)"
    try:
        with cable() as found:
            found.cut()
    except subprocess.CalledProcessError as error:
        return f"the routes of {ADDRESS} cannot be changed: {error.stderr.strip()}"
    return None


@contextmanager
def relay(port: int) -> Iterator[int]:
    """What listens to 127.0.0.1 can be reached at `ADDRESS`, too, at the port that this gives."""
    loop = asyncio.new_event_loop()
    listening = socket.create_server((ADDRESS, 0))
    thread = threading.Thread(target=loop.run_until_complete, args=[_relay(listening, port)], daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    # The thread ends with the tests: what was cut off may hold its connections until then.


async def _relay(listening: socket.socket, port: int) -> None:
    async def both_ways(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))

    async with await asyncio.start_server(both_ways, sock=listening) as server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
    writer.close()


def _route(action: str, route: str) -> None:
    command = ["ip", "route", action, *route.split(), "table", "local"]
    subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
