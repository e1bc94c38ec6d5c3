"""One documented endpoint over ASGI: read the call, let the provider do it, answer; or play a fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.client import responses
from typing import Any, assert_never

from starlette.types import Receive, Scope, Send

from mambo_io.sandbox.faults import (
    Altered,
    AnyFault,
    Charge,
    Delay,
    Endpoint,
    Faults,
    Garbled,
    NoAnswer,
    Status,
    SuccessFalse,
    UnsupportedForm,
)
from mambo_io.sandbox.provider import Envelope, failure
from mambo_io.sandbox.record import Call, Record
from mambo_io.sandbox.sms import to_e164

# A number in a range that no network has: it stands in no sensible call.
STRANGER = "0722000000"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as bytes. `cut` sends half of the body that Content-Length promises and closes the connection."""

    http_status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    cut: bool = False


class ProviderEndpoint:
    """An ASGI application for one path. `execute` does what a call asks and says how it went."""

    def __init__(
        self,
        name: Endpoint,
        execute: Callable[[Call, Charge | None], Envelope],
        record: Record,
        faults: Faults,
        latency_s: float,
    ) -> None:
        self._name = name
        self._execute = execute
        self._record = record
        self._faults = faults
        self._latency_s = latency_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            refusal = _envelope_reply(failure(405, "Method not allowed"))
            await _write(send, replace(refusal, headers={"Allow": "POST"}))
            return
        body = await _read_body(receive)
        if body is None:
            return  # the caller went away in the middle of its request: nothing was asked for
        connection: asyncio.Transport = scope["state"]["connection"]
        fault = self._faults.next(self._name)
        call = self._record.received(self._name, dict(scope["headers"]), body, fault.kind if fault else None)

        reply = await self._reply(call, fault, connection)
        if reply is None:
            self._record.finished(call, http_status=None, reply=None, answered=False)
            await _closed(receive)
            return
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        answered = not connection.is_closing()
        self._record.finished(call, http_status=reply.http_status, reply=reply.body, answered=answered)
        await _write(send, reply)
        if reply.cut:
            connection.close()
            await _closed(receive)

    async def _reply(self, call: Call, fault: AnyFault | None, connection: asyncio.Transport) -> Reply | None:
        """Do what the call asks, as far as the fault lets it, and make the answer; None: the connection is closed."""
        match fault:
            case None:
                return _envelope_reply(self._execute(call, None))
            case Charge():
                return _envelope_reply(self._execute(call, fault))
            case Delay():
                await asyncio.sleep(fault.before_s)
                envelope = self._execute(call, None)
                await asyncio.sleep(fault.after_s)
                return _envelope_reply(envelope)
            case Status():
                if fault.executes:
                    self._execute(call, None)
                return _status_reply(fault)
            case SuccessFalse():
                if fault.executes:
                    self._execute(call, None)
                return _envelope_reply(Envelope(200, fault.status_code, False, [fault.message], []))
            case NoAnswer():
                await asyncio.gather(self._execute_later(call, fault), _close_later(connection, fault.closes_after_s))
                return None
            case Garbled():
                return _garbled(_envelope_reply(self._execute(call, None)), fault)
            case UnsupportedForm():
                envelope = self._execute(call, None)
                _rewrite_unsupported(envelope, fault)
                return _envelope_reply(envelope)
            case Altered():
                return _altered(self._execute(call, None), fault)
            case _:
                assert_never(fault)

    async def _execute_later(self, call: Call, fault: NoAnswer) -> None:
        if fault.executes:
            if fault.executes_after_s:
                await asyncio.sleep(fault.executes_after_s)
            self._execute(call, None)


async def _close_later(connection: asyncio.Transport, after_s: float) -> None:
    if after_s:
        await asyncio.sleep(after_s)
    connection.abort()


async def _read_body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def _write(send: Send, reply: Reply) -> None:
    headers = {"content-type": reply.media_type, "content-length": str(len(reply.body)), **reply.headers}
    await send(
        {
            "type": "http.response.start",
            "status": reply.http_status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
    await send({"type": "http.response.body", "body": body, "more_body": reply.cut})


async def _closed(receive: Receive) -> None:
    """Wait until uvicorn has seen that the connection is gone; before that it would answer in our place."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _envelope_reply(envelope: Envelope) -> Reply:
    return Reply(envelope.http_status, json.dumps(envelope.body()).encode())


def _status_reply(fault: Status) -> Reply:
    phrase = responses.get(fault.http_status, "Unknown")
    if fault.html:
        title = f"{fault.http_status} {phrase}"
        page = f"<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n"
        return Reply(fault.http_status, page.encode(), fault.headers, "text/html")
    status_code = fault.http_status if fault.status_code is None else fault.status_code
    messages = [phrase] if fault.messages is None else fault.messages
    body = json.dumps(Envelope(fault.http_status, status_code, False, messages, []).body()).encode()
    return Reply(fault.http_status, body, fault.headers)


def _garbled(reply: Reply, fault: Garbled) -> Reply:
    status, body = reply.http_status, reply.body
    match fault.form:
        case "not_json":
            return Reply(status, b"<html><body>Service restarted</body></html>", media_type="text/html")
        case "empty":
            return Reply(status, b"")
        case "cut_json":
            return Reply(status, body[: len(body) // 2])
        case "cut_body":
            return Reply(status, body, cut=True)
        case "bad_utf8":
            return Reply(status, body.replace(b'["', b'["\xff', 1))
        case "bad_gzip":
            return Reply(status, body, {"content-encoding": "gzip"})
        case _:
            assert_never(fault.form)


def _rewrite_unsupported(envelope: Envelope, fault: UnsupportedForm) -> None:
    data = envelope.data
    if not isinstance(data, dict):
        return  # the call was refused
    contacts: list[str] = data["unsupported_contacts"]
    numbers = [to_e164(contact) or contact for contact in contacts]
    rewritten: Any
    match fault.form:
        case "international":
            rewritten = numbers
        case "integers":
            rewritten = [int(number) if number.lstrip("+").isdecimal() else number for number in numbers]
        case "objects":
            rewritten = [{"contact": contact, "reason": "unsupported network"} for contact in contacts]
        case "joined":
            rewritten = ", ".join(contacts)
        case "count":
            rewritten = len(contacts)
        case "null":
            rewritten = None
        case "stranger":
            rewritten = [*contacts, STRANGER]
            data["unsupported_contacts_count"] += 1
        case _:
            assert_never(fault.form)
    data["unsupported_contacts"] = rewritten


def _altered(envelope: Envelope, fault: Altered) -> Reply:
    data = envelope.data
    if isinstance(data, dict):
        data = {**data, **fault.data}
        for name, number in fault.add.items():
            data[name] += number
        data = {name: value for name, value in data.items() if name not in fault.remove}
    body = {**envelope.body(), "data": data, **fault.envelope}
    body = {name: value for name, value in body.items() if name not in fault.remove}
    return Reply(envelope.http_status, json.dumps(body).encode())
