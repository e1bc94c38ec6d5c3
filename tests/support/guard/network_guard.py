"""Refuses every contact with another host, in the tests' process and in every Python process that they start.

`conftest.py` imports this module for the tests' own process and puts its folder on PYTHONPATH for the children, which
import it through `sitecustomize`. An audit hook cannot be taken away again, and sees what any pure Python library
does; it does not see native code such as libpq.

A refusal that a library swallows is a contact all the same: it is written to the file that NETWORK_GUARD_LOG names,
and the test during which it happened fails.
"""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import ip_address


class OutsideContact(RuntimeError):
    """A test tried to reach a host other than this one."""


def is_local(host: object) -> bool:
    """Whether `host`, as the socket functions take it, is this machine's loopback."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ip_address(str(name)).is_loopback
    except ValueError:
        return False


def hosts_of(event: str, arguments: tuple[object, ...]) -> list[object]:
    """The hosts that an audit event is about; none for what stays on this machine by its kind."""
    match event, arguments:
        case "socket.getaddrinfo" | "socket.gethostbyname" | "socket.gethostbyaddr", (host, *_):
            return [host]
        case (
            "socket.connect" | "socket.sendto" | "socket.sendmsg",
            (socket.SocketType(family=socket.AF_INET | socket.AF_INET6), (host, *_)),
        ):
            return [host]
        case _:
            return []


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    if not event.startswith("socket."):
        return
    for host in hosts_of(event, arguments):
        if is_local(host):
            continue
        if str(host).endswith(".invalid"):  # RFC 2606: no such host, ever; said without asking a resolver
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if log := os.environ.get("NETWORK_GUARD_LOG"):
            with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib slows down every start of a Python
                file.write(f"{event} {host}\n")
        raise OutsideContact(f"{event}: {host} is not this machine")


sys.addaudithook(refuse)
