"""Sending with both clients, against a real socket whose server does what networks and servers do."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

import pytest
from pydantic import SecretStr

from mambo_io import transport as transport_module
from mambo_io.client import AsyncMamboClient, MamboClient, boot_time_s
from mambo_io.model import Action, CallResult, Category, SendRequest, Verdict
from support.failure_model import CALLED, KEY, ROWS, SECRET, SHORT_S, Row, served
from support.raw_server import (
    Behaviour,
    Call,
    close_after_the_body,
    close_at_once,
    http,
    never_answer,
    replying,
    replying_once,
    reset_after_the_body,
    reset_at_once,
    serving,
)

NOT_SENT, ACCEPTED, UNKNOWN = Verdict.NOT_SENT, Verdict.ACCEPTED, Verdict.UNKNOWN

PASSWORD = "canary-pa55word"
PATIENT_S = 20.0

REQUEST = SendRequest("Hello \N{LATIN SMALL LETTER ENG}", CALLED, Category.INFO, "MamboSMS")
GOOD = {
    "statusCode": 201,
    "success": True,
    "messages": ["SMS successfully sent to 2 recipients."],
    "data": {
        "recipients_count": 2,
        "message_count": 1,
        "sms_sent": 2,
        "sms_cost": 100,
        "new_balance": 8580,
        "unsupported_contacts_count": 0,
        "unsupported_contacts": [],
    },
}
GOOD_BODY = json.dumps(GOOD).encode()


def send_async(
    base_url: str, *, request: SendRequest = REQUEST, not_after: float | None = None, **options: Any
) -> CallResult:
    async def call() -> CallResult:
        async with AsyncMamboClient(base_url=base_url, api_key=KEY, **options) as client:
            return await client.send_sms(request, not_after=not_after)

    return asyncio.run(call())


def send_sync(
    base_url: str, *, request: SendRequest = REQUEST, not_after: float | None = None, **options: Any
) -> CallResult:
    with MamboClient(base_url=base_url, api_key=SecretStr(KEY), **options) as client:
        return client.send_sms(request, not_after=not_after)


Send = Callable[..., CallResult]
both_clients = pytest.mark.parametrize("send", [send_async, send_sync], ids=["async", "sync"])


@both_clients
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_a_server_does_and_what_it_is_taken_for(send: Send, row: Row) -> None:
    """Both clients come to the same; the server sees one request at most, whatever happens."""
    with served(row) as (url, server):
        result = send(url, timeout_s=PATIENT_S if row.patient else SHORT_S)

    assert (result.verdict, result.action) == (row.verdict, row.action), result.reason
    assert result.reason in row.reason.split(" or ")
    assert result.retry_after_s == row.retry_after_s
    if server is not None:
        assert (server.connections, len(server.requests)) <= (1, 1), "one attempt"
    assert SECRET not in f"{result!r} {asdict(result)}"


@both_clients
@pytest.mark.filterwarnings("ignore:Sending a large body")  # no message is; but a small one, the sockets buffer whole
@pytest.mark.parametrize(("stalls", "timeout_s"), [(False, PATIENT_S), (True, SHORT_S)], ids=["reset", "stalled"])
def test_a_body_that_is_written_in_part_is_unknown(send: Send, stalls: bool, timeout_s: float) -> None:
    """Of a body that no socket buffers whole the server reads the beginning; then it is gone, or reads no more."""

    async def read_some(call: Call) -> None:
        await call.reader.readuntil(b"\r\n\r\n")
        if stalls:
            await asyncio.Event().wait()
        call.reset()

    long = replace(REQUEST, message="x" * 8_000_000)
    with serving(read_some) as server:
        result = send(server.url, request=long, timeout_s=timeout_s)

    reason = "no_answer" if stalls else "connection_lost"
    assert (result.verdict, result.action, result.reason) == (UNKNOWN, Action.GO_ON, reason)
    assert server.connections == 1


def test_a_reply_without_end_is_not_read_to_its_end() -> None:
    came_to_the_end: Future[bool] = Future()

    async def talk_on(call: Call) -> None:
        await call.request()
        await call.say(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(200):
                await call.say(b" " * 1_000_000)
        except OSError:
            came_to_the_end.set_result(False)
        else:
            came_to_the_end.set_result(True)

    with serving(talk_on) as server:
        result = send_async(server.url)
        assert not came_to_the_end.result(10)

    assert (result.verdict, result.reason) == (UNKNOWN, "reply_too_large")


@both_clients
@pytest.mark.parametrize("behaviour", [close_at_once, reset_at_once])
def test_a_connection_that_ends_at_once_is_judged_by_the_phase_and_never_repeated(
    send: Send, behaviour: Behaviour
) -> None:
    """Whether the body was begun before the end was noticed is a race, and either verdict is then the truth."""
    with serving(behaviour) as server:
        result = send(server.url)

    assert result.verdict in (NOT_SENT, UNKNOWN)
    assert server.connections == 1
    assert server.requests == []


class TestIntentTooOld:
    """An intent that is too old must not leave: not one byte of the request."""

    @both_clients
    def test_on_a_fresh_connection(self, send: Send) -> None:
        read: Future[bytes] = Future()

        async def read_everything(call: Call) -> None:
            read.set_result(await call.reader.read())

        with serving(read_everything) as server:
            result = send(server.url, not_after=boot_time_s() - 0.001)
            assert read.result(10) == b""

        assert (result.verdict, result.action, result.reason) == (NOT_SENT, Action.BACK_OFF, "intent_too_old")

    def test_on_a_connection_that_is_used_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport_module, "_KEEPALIVE_S", 60.0)
        read: Future[bytes] = Future()

        async def answer_once_and_read_on(call: Call) -> None:
            await call.request()
            await call.say(http(GOOD_BODY))
            read.set_result(await call.reader.read())

        with serving(answer_once_and_read_on) as server, MamboClient(base_url=server.url, api_key=KEY) as client:
            assert client.send_sms(REQUEST, not_after=boot_time_s() + 60).verdict is ACCEPTED
            result = client.send_sms(REQUEST, not_after=boot_time_s() - 0.001)
            assert read.result(10) == b""

        assert (result.verdict, result.reason) == (NOT_SENT, "intent_too_old")
        assert server.connections == 1


def test_the_request_is_what_the_api_page_shows() -> None:
    reply = http(GOOD_BODY, "200 OK", "Set-Cookie: session=1")
    with serving(replying(reply)) as server, MamboClient(base_url=f"{server.url}/v1/", api_key=KEY) as client:
        client.send_sms(REQUEST)
        client.send_sms(REQUEST)

    assert len(server.requests) == 2
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        request_line, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert request_line == "POST /v1/send-sms HTTP/1.1"
        assert f"Authorization: {KEY}" in lines  # raw, no `Bearer`
        assert headers["content-type"] == "application/json"
        assert headers["accept-encoding"] == "identity"
        assert "cookie" not in headers
        assert json.loads(body) == {
            "message": "Hello ŋ",
            "recipients": "0772000003, 0772000004",
            "message_category": "info",
            "sender_id": "MamboSMS",
        }


@pytest.mark.parametrize(("keepalive_s", "connections"), [(60.0, 1), (0.0, 3)], ids=["busy", "after idling"])
def test_connections_are_used_again_in_a_busy_run_and_not_after_idling(
    keepalive_s: float, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "_KEEPALIVE_S", keepalive_s)
    with serving(replying(http(GOOD_BODY))) as server, MamboClient(base_url=server.url, api_key=KEY) as client:
        for _ in range(3):
            assert client.send_sms(REQUEST).verdict is ACCEPTED

    assert server.connections == connections


def test_a_connection_that_ended_while_the_loop_stood_still_is_not_used() -> None:
    """The event loop has not read that the server closed it; a request written into it would be lost."""

    async def call_twice(base_url: str) -> list[Verdict]:
        async with AsyncMamboClient(base_url=base_url, api_key=KEY) as client:
            first = await client.send_sms(REQUEST)
            time.sleep(0.3)  # noqa: ASYNC251 - what stands still is the point
            return [first.verdict, (await client.send_sms(REQUEST)).verdict]

    with serving(replying_once(http(GOOD_BODY))) as server:
        assert asyncio.run(call_twice(server.url)) == [ACCEPTED, ACCEPTED]

    assert server.connections == 2


def test_a_client_works_after_failures() -> None:
    first = iter([never_answer, close_after_the_body, reset_after_the_body])

    async def fail_first(call: Call) -> None:
        await next(first, replying(http(GOOD_BODY)))(call)

    with serving(fail_first) as server, MamboClient(base_url=server.url, api_key=KEY, timeout_s=SHORT_S) as client:
        verdicts = [client.send_sms(REQUEST).verdict for _ in range(4)]

    assert verdicts == [UNKNOWN] * 3 + [ACCEPTED]


def test_calls_run_side_by_side() -> None:
    all_are_here = asyncio.Event()

    async def answer_when_all_are_here(call: Call) -> None:
        await call.request()
        if len(call.requests) == 5:
            all_are_here.set()
        await all_are_here.wait()
        await call.say(http(GOOD_BODY))

    async def calls(url: str) -> list[CallResult]:
        async with AsyncMamboClient(base_url=url, api_key=KEY) as client:
            return await asyncio.gather(*(client.send_sms(REQUEST) for _ in range(5)))

    with serving(answer_when_all_are_here) as server:
        results = asyncio.run(calls(server.url))

    assert [result.verdict for result in results] == [ACCEPTED] * 5


def test_a_cancelled_call_says_so_and_leaves_the_client_usable() -> None:
    arrived = threading.Event()

    async def answer_the_second(call: Call) -> None:
        await call.request()
        if arrived.is_set():
            await call.say(http(GOOD_BODY))
        arrived.set()
        await call.reader.read()

    async def cancel_then_send(url: str) -> CallResult:
        async with AsyncMamboClient(base_url=url, api_key=KEY) as client:
            call = asyncio.create_task(client.send_sms(REQUEST))
            await asyncio.to_thread(arrived.wait, 10)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return await client.send_sms(REQUEST)

    with serving(answer_the_second) as server:
        assert asyncio.run(cancel_then_send(server.url)).verdict is ACCEPTED


def test_ctrl_c_ends_a_call_of_the_synchronous_client() -> None:
    gone: Future[bytes] = Future()

    async def press_ctrl_c(call: Call) -> None:
        await call.request()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        gone.set_result(await call.reader.read())

    with serving(press_ctrl_c) as server, MamboClient(base_url=server.url, api_key=KEY) as client:
        with pytest.raises(KeyboardInterrupt):
            client.send_sms(REQUEST)
        assert gone.result(10) == b""  # the call does not go on in the background


def test_the_synchronous_client_works_where_a_loop_runs_already() -> None:
    async def cell_of_a_notebook(url: str) -> CallResult:
        return send_sync(url)

    with serving(replying(http(GOOD_BODY))) as server:
        assert asyncio.run(cell_of_a_notebook(server.url)).verdict is ACCEPTED


def test_a_closed_client_says_so() -> None:
    client = MamboClient(base_url="http://127.0.0.1:9", api_key=KEY)
    client.close()
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.send_sms(REQUEST)


class TestProxy:
    """A proxy is only ever an explicit choice, and its CONNECT is not the request."""

    @both_clients
    def test_the_environments_proxy_is_not_asked(self, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(close_at_once) as proxy, serving(replying(http(GOOD_BODY))) as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            result = send(server.url)

        assert (result.verdict, proxy.connections) == (ACCEPTED, 0)

    @pytest.mark.parametrize(
        ("behaviour", "timeout_s", "reason"),
        [
            (replying_once(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), PATIENT_S, "proxy_failed"),
            (close_after_the_body, PATIENT_S, "connect_failed"),
            (never_answer, SHORT_S, "connect_timeout"),
        ],
        ids=["407", "closed", "silent"],
    )
    def test_a_failing_connect_is_not_sent(self, behaviour: Behaviour, timeout_s: float, reason: str) -> None:
        with serving(behaviour) as proxy:
            result = send_async(
                "https://127.0.0.1:9", timeout_s=timeout_s, proxy=f"http://jane:{PASSWORD}@127.0.0.1:{proxy.port}"
            )

        assert (result.verdict, result.action, result.reason) == (NOT_SENT, Action.BACK_OFF, reason)
        assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:9 ")
        assert KEY.encode() not in b"".join(proxy.requests)
        assert PASSWORD not in repr(result)

    @both_clients
    def test_what_is_lost_behind_a_proxy_is_unknown(self, send: Send) -> None:
        with serving(close_after_the_body) as proxy:
            result = send("http://127.0.0.1:9", proxy=proxy.url)  # loopback: forwarded, not tunnelled

        assert (result.verdict, result.reason) == (UNKNOWN, "broken_answer")
        assert proxy.requests[0].startswith(b"POST http://127.0.0.1:9/v1/send-sms ")


@pytest.mark.parametrize(("given_back", "verdict"), [(True, ACCEPTED), (False, UNKNOWN)])
def test_an_answer_that_waits_while_the_loop_stands_still_is_read(given_back: bool, verdict: Verdict) -> None:
    """A commit on a slow disk holds the event loop up for longer than a call may take."""

    async def call(base_url: str) -> CallResult:
        async with AsyncMamboClient(base_url=base_url, api_key=KEY, timeout_s=SHORT_S) as client:
            result = asyncio.create_task(client.send_sms(REQUEST))
            await asyncio.sleep(SHORT_S / 4)  # the request leaves
            time.sleep(2 * SHORT_S)  # noqa: ASYNC251 - what stands still is the point
            if given_back:
                client.stood_still(2 * SHORT_S)
            return await result

    async def behave(call: Call) -> None:
        await call.request()
        await asyncio.sleep(SHORT_S / 2)
        await call.say(http(GOOD_BODY))

    with serving(behave) as server:
        assert asyncio.run(call(server.url)).verdict is verdict
