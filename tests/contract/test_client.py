"""Sending with both clients, against a real socket whose server does what networks and servers do."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from mambo_io import client as client_module
from mambo_io.client import AsyncMamboClient, MamboClient, boot_time_s
from mambo_io.model import Action, CallResult, Category, SendRequest, Verdict
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
    serving,
)

NOT_SENT, ACCEPTED, REFUSED, UNKNOWN = Verdict.NOT_SENT, Verdict.ACCEPTED, Verdict.REFUSED, Verdict.UNKNOWN

KEY = "canary/key+9f3b="
PASSWORD = "canary-pa55word"
PATIENT_S = 20.0
SHORT_S = 0.8  # where the server never answers; long enough to have asked it before, also on a busy machine

REQUEST = SendRequest("Hello \N{LATIN SMALL LETTER ENG}", ("+256772123456", "+256756406178"), Category.INFO, "MamboSMS")
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


def send_async(base_url: str, *, not_after: float | None = None, **options: Any) -> CallResult:
    async def call() -> CallResult:
        async with AsyncMamboClient(base_url=base_url, api_key=KEY, **options) as client:
            return await client.send_sms(REQUEST, not_after=not_after)

    return asyncio.run(call())


def send_sync(base_url: str, *, not_after: float | None = None, **options: Any) -> CallResult:
    with MamboClient(base_url=base_url, api_key=SecretStr(KEY), **options) as client:
        return client.send_sms(REQUEST, not_after=not_after)


Send = Callable[..., CallResult]
both_clients = pytest.mark.parametrize("send", [send_async, send_sync], ids=["async", "sync"])


async def drip_a_good_reply(call: Call) -> None:
    """Every byte comes within any time-out per read; the whole takes far longer than the deadline."""
    await call.request()
    for byte in http(GOOD_BODY):
        await call.say(bytes([byte]))
        await asyncio.sleep(0.05)


async def say_half_of_the_body(call: Call) -> None:
    await call.request()
    await call.say(http(GOOD_BODY[:100], length=len(GOOD_BODY)))
    await call.reader.read()


PLAIN_KEY_ECHO = http(f"no such key: {KEY}".encode(), "401 Unauthorized")

# Both clients come to the same; the server sees one request at most, whatever happens.
CASES = [
    # behaviour, verdict, action, reason
    pytest.param(replying(http(GOOD_BODY)), ACCEPTED, Action.GO_ON, "ok", id="200 good"),
    pytest.param(
        replying_once(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD_BODY), ACCEPTED, Action.GO_ON, "ok", id="no length"
    ),
    pytest.param(
        replying(http(gzip.compress(GOOD_BODY), "200 OK", "Content-Encoding: gzip")),
        ACCEPTED, Action.GO_ON, "ok", id="gzip that nobody asked for",
    ),
    pytest.param(reset_after_the_body, UNKNOWN, Action.GO_ON, "connection_lost", id="reset after the body"),
    pytest.param(close_after_the_body, UNKNOWN, Action.GO_ON, "broken_answer", id="closed after the body"),
    pytest.param(replying_once(b"HTTP/1.1 2"), UNKNOWN, Action.GO_ON, "broken_answer", id="cut status line"),
    pytest.param(replying_once(b"SSH-2.0-x\r\n"), UNKNOWN, Action.GO_ON, "broken_answer", id="not HTTP"),
    pytest.param(
        replying_once(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000),
        UNKNOWN, Action.GO_ON, "broken_answer", id="headers without end",
    ),
    pytest.param(
        replying_once(http(GOOD_BODY, length=len(GOOD_BODY) + 9)),
        UNKNOWN, Action.GO_ON, "reply_cut_short", id="cut body",
    ),
    pytest.param(
        replying(http(b" " * 3_000_000 + GOOD_BODY)), UNKNOWN, Action.GO_ON, "reply_too_large", id="3 MB"
    ),
    pytest.param(
        replying(http(b"<html>Sorry</html>", "500 Oops")), UNKNOWN, Action.GO_ON, "http_500", id="HTML 500"
    ),
    pytest.param(
        replying_once(http(b"<ht", "502 Bad", length=99)), UNKNOWN, Action.GO_ON, "http_502", id="cut 502"
    ),
    pytest.param(
        replying(http(b"", "301 Moved", "Location: /v1/send-sms")), NOT_SENT, Action.STOP, "redirected", id="301"
    ),
    pytest.param(
        replying(http(b"", "302 Found", "Location: /v1/send-sms")), UNKNOWN, Action.STOP, "redirected", id="302"
    ),
    pytest.param(
        replying(http(b"", "307 Moved", "Location: /v1/send-sms")), NOT_SENT, Action.STOP, "redirected", id="307"
    ),
    pytest.param(replying(PLAIN_KEY_ECHO), REFUSED, Action.STOP, "bad_key", id="401 that echoes the key"),
    pytest.param(
        replying_once(http(b"", "413 Large", "Connection: close")), NOT_SENT, Action.SPLIT, "too_large", id="413"
    ),
    pytest.param(
        replying(http(b"", "429 Slow", "Retry-After: 7")), NOT_SENT, Action.SLOW_DOWN, "rate_limited", id="429"
    ),
]  # fmt: skip


@both_clients
@pytest.mark.parametrize(("behaviour", "verdict", "action", "reason"), CASES)
def test_what_a_server_does_and_what_it_is_taken_for(
    send: Send, behaviour: Behaviour, verdict: Verdict, action: Action, reason: str
) -> None:
    with serving(behaviour) as server:
        result = send(server.url)

    assert (result.verdict, result.action, result.reason) == (verdict, action, reason)
    assert (server.connections, len(server.requests)) == (1, 1)  # one attempt
    assert KEY not in f"{result!r} {result.raw_reply}"


@pytest.mark.parametrize(
    ("send", "behaviour", "reason"),
    [
        pytest.param(send_async, never_answer, "no_answer", id="silence, async"),
        pytest.param(send_sync, never_answer, "no_answer", id="silence, sync"),
        pytest.param(send_async, drip_a_good_reply, "no_answer", id="dripped headers"),
        pytest.param(send_async, say_half_of_the_body, "reply_cut_short", id="stalled body"),
    ],
)
def test_the_deadline_covers_the_whole_call(send: Send, behaviour: Behaviour, reason: str) -> None:
    with serving(behaviour) as server:
        result = send(server.url, timeout_s=SHORT_S)

    assert (result.verdict, result.action, result.reason) == (UNKNOWN, Action.GO_ON, reason)
    assert (server.connections, len(server.requests)) == (1, 1)


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
def test_retry_after_reaches_the_result(send: Send) -> None:
    with serving(replying(http(b"", "429 Slow", "RETRY-AFTER: 7"))) as server:
        assert send(server.url).retry_after_s == 7


@both_clients
def test_a_refused_connection_is_not_sent(send: Send) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        result = send(f"http://127.0.0.1:{bound.getsockname()[1]}")

    assert (result.verdict, result.action, result.reason) == (NOT_SENT, Action.BACK_OFF, "connect_failed")


@both_clients
def test_a_connection_that_closes_at_once_is_judged_by_the_phase_and_never_repeated(send: Send) -> None:
    """Whether the body was begun before the close was noticed is a race, and either verdict is then the truth."""
    with serving(close_at_once) as server:
        result = send(server.url)

    assert result.verdict in (NOT_SENT, UNKNOWN)
    assert server.connections == 1
    assert server.requests == []


def test_a_stalled_tls_handshake_is_not_sent() -> None:
    async def say_nothing(call: Call) -> None:
        await call.reader.read()

    with serving(say_nothing) as server:
        result = send_async(server.url.replace("http:", "https:"), timeout_s=SHORT_S)

    assert (result.verdict, result.action, result.reason) == (NOT_SENT, Action.BACK_OFF, "connect_timeout")


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@both_clients
def test_a_certificate_that_nobody_vouches_for_stops_at_once(send: Send, self_signed: ssl.SSLContext) -> None:
    with serving(replying(http(GOOD_BODY)), self_signed) as server:
        result = send(server.url)

    assert (result.verdict, result.action, result.reason) == (NOT_SENT, Action.STOP, "bad_certificate")
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
        monkeypatch.setattr(client_module, "_KEEPALIVE_S", 60.0)
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
            "recipients": "0772123456, 0756406178",
            "message_category": "info",
            "sender_id": "MamboSMS",
        }


@pytest.mark.parametrize(("keepalive_s", "connections"), [(60.0, 1), (0.0, 3)], ids=["busy", "after idling"])
def test_connections_are_used_again_in_a_busy_run_and_not_after_idling(
    keepalive_s: float, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_KEEPALIVE_S", keepalive_s)
    with serving(replying(http(GOOD_BODY))) as server, MamboClient(base_url=server.url, api_key=KEY) as client:
        for _ in range(3):
            assert client.send_sms(REQUEST).verdict is ACCEPTED

    assert server.connections == connections


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
