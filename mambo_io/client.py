"""The Mambo SMS API over HTTP: `AsyncMamboClient`, and `MamboClient` for code without an event loop.

    with MamboClient(base_url=settings.base_url, api_key=settings.require_api_key()) as client:
        result = client.send_sms(
            SendRequest("Clinic day is Friday.", ("+256772123456",), Category.CUSTOMISED, "MamboSMS")
        )

A call is one attempt: nothing here retries, follows a redirect, keeps a cookie or reads a proxy from the
environment, because each of those could send a message a second time or show the key to a stranger.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from mambo_io.errors import InputError, SettingsError
from mambo_io.model import Balance, CallResult, Category, SendRequest
from mambo_io.replies import MAX_REPLY_BYTES, BalanceUnavailable, decode_body, read_balance, without
from mambo_io.settings import check_api_key, check_base_url
from mambo_io.transport import OneAttemptTransport
from mambo_io.verdicts import IntentTooOld, judge_failure, judge_reply

MAX_RECIPIENTS = 1_000  # the API page names no limit; this is also how many are in doubt after one lost answer
MAX_TIMEOUT_S = 25  # engines kill 30 s after SIGTERM, and a call in flight has to drain before

_NOTICED_S = 0.05  # an event loop that stood still for less gives no call up for it

_SEND_SMS = "/v1/send-sms"
_BALANCE = "/v1/accounts/balance"

_SURROGATE = re.compile("[\ud800-\udfff]")
_MOBILE = re.compile(r"\+2567[0-9]{8}")
_MOBILES = re.compile(r"\+2567[0-9]{8}(?:, \+2567[0-9]{8})*")

T = TypeVar("T")


def boot_time_s() -> float:
    """Seconds on a clock that never goes back and counts the time a machine is suspended, where it has one."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)  # counts sleep there; time.monotonic() does not
    return time.monotonic()


class AsyncMamboClient:
    """Both endpoints of the API for asyncio. Use it within one event loop; calls may run side by side.

    `api_key` is needed for sending only. `timeout_s` (above 0, at most 25) covers a whole call: connecting
    (two thirds of it), writing, and the last byte of the answer. `proxy` (`http://…` or `https://…`) is the
    only way to a proxy. Raises SettingsError for an address, key, proxy or time-out that cannot be used.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: SecretStr | str | None = None,
        timeout_s: float = 20,
        proxy: str | None = None,
    ) -> None:
        if not 0 < timeout_s <= MAX_TIMEOUT_S:
            raise SettingsError(f"must be above 0 and at most {MAX_TIMEOUT_S} seconds", key="timeout_s")
        base_url = _checked_base_url(base_url)
        self._urls = {path: httpx.URL(base_url + path) for path in (_SEND_SMS, _BALANCE)}
        self._api_key = _secret(api_key) if api_key is not None else None
        key = check_api_key(self._api_key.get_secret_value()) if self._api_key is not None else None
        self._headers = {_SEND_SMS: _headers(key), _BALANCE: _headers(None)}
        self._timeout_s = timeout_s
        self._deadlines: set[asyncio.Timeout] = set()  # of the calls in flight
        # The transport alone: a client above it would add redirects, cookies and credentials from .netrc.
        # The deadline of a call covers all; but a cancelled TLS handshake leaves its socket open, so connecting has a
        # limit of its own that comes first.
        self._transport = OneAttemptTransport(
            verify=_trust(base_url, proxy), proxy=_checked_proxy(proxy), connect_timeout_s=timeout_s * 2 / 3
        )

    @property
    def host(self) -> str:
        """The API's host, without port."""
        return self._urls[_SEND_SMS].host

    async def send_sms(self, request: SendRequest, *, not_after: float | None = None) -> CallResult:
        """One send-sms call, and what it came to.

        Whatever the network or the API does becomes a CallResult. `not_after` is a value of `boot_time_s()`: if the
        request has not begun to leave by then, because the process was frozen or connecting took long, no byte of
        it leaves and the result is `not_sent`, `intent_too_old`.

        Raises InputError for a request that must not be sent as it is, SettingsError without an API key. A
        **cancelled** call raises `asyncio.CancelledError` as ever: its fate is then unknown, and the caller has to
        record it so.
        """
        body = _send_body(request)
        key = check_api_key(self._api_key.get_secret_value() if self._api_key is not None else "")
        exchange = await self._post(_SEND_SMS, body, not_after)
        if exchange.status is None:
            assert exchange.failure is not None  # either a status line came or something failed
            return judge_failure(exchange.failure, exchange.begun)
        result = judge_reply(
            exchange.status, bytes(exchange.body), request, headers=exchange.headers, complete=exchange.complete
        )
        return _without_key(result, key)

    async def balance(self, username: str, password: SecretStr | str) -> Balance:
        """The account's balance: one attempt, never repeated, because failed ones suspend the account.

        `username` is the account's phone number or e-mail address. Raises BalanceRefused when the API says no (do not
        ask again before a person has looked), BalanceUnavailable when no readable answer came, SettingsError when
        either is empty. The reply's name, contact and e-mail address are dropped.
        """
        secret = _secret(password).get_secret_value()
        if not username or not secret:
            raise SettingsError("is not set", key="MAMBO_PASSWORD" if username else "MAMBO_USERNAME")
        exchange = await self._post(_BALANCE, {"username": username, "password": secret})
        if exchange.status is None:
            assert exchange.failure is not None  # either a status line came or something failed
            reason = judge_failure(exchange.failure, exchange.begun).reason
            raise BalanceUnavailable(f"The balance could not be read: {reason.replace('_', ' ')}.")
        whole = exchange.complete and len(exchange.body) <= MAX_REPLY_BYTES
        encoding = exchange.headers.get("content-encoding", "")
        body = decode_body(bytes(exchange.body), encoding) if whole else None
        return read_balance(exchange.status, body, secrets=(secret, username))

    def stood_still(self, seconds: float) -> None:
        """The event loop did something else for so long: calls in flight get that time back.

        Without it an answer that came meanwhile, and waits to be read, would be given up when its time is over.
        """
        if seconds < _NOTICED_S:
            return
        for deadline in self._deadlines:
            when = deadline.when()
            if when is not None and not deadline.expired():
                deadline.reschedule(when + seconds)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _post(self, path: str, payload: Mapping[str, str], not_after: float | None = None) -> _Exchange:
        """Write one request, read one reply, and tell how far it came. Only cancellation escapes."""
        exchange = _Exchange()

        def begins() -> None:
            if not_after is not None and boot_time_s() > not_after:
                raise IntentTooOld
            exchange.begun = True

        request = httpx.Request(
            "POST",
            self._urls[path],
            headers=self._headers[path],
            stream=httpx.ByteStream(json.dumps(payload).encode("ascii")),
            extensions={"begins": begins},
        )
        deadline = asyncio.timeout(self._timeout_s)
        self._deadlines.add(deadline)
        try:
            async with deadline:
                response = await self._transport.handle_async_request(request)
                exchange.status = response.status_code
                exchange.headers = {
                    name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
                }
                try:
                    async for piece in response.aiter_raw():
                        exchange.body += piece
                        if len(exchange.body) > MAX_REPLY_BYTES:
                            break
                    exchange.complete = True
                finally:
                    await response.aclose()
        except Exception as exc:  # noqa: BLE001 - an unforeseen one too: the phase decides, the reason names its class
            exchange.failure = exc
        finally:
            self._deadlines.remove(deadline)
        return exchange


class MamboClient:
    """`AsyncMamboClient` for code without an event loop: scripts, notebooks, a Python prompt.

    Only asyncio can stop a server that drips its answer byte by byte, so the calls run on an event loop in a thread of
    this client's own. Several threads may share it. Ctrl-C cancels the call in flight, whose fate is then unknown.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: SecretStr | str | None = None,
        timeout_s: float = 20,
        proxy: str | None = None,
    ) -> None:
        self._client = AsyncMamboClient(base_url=base_url, api_key=api_key, timeout_s=timeout_s, proxy=proxy)
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(started),), name="mambo-client", daemon=True
        )
        self._thread.start()
        self._loop = started.result()

    def send_sms(self, request: SendRequest, *, not_after: float | None = None) -> CallResult:
        """See `AsyncMamboClient.send_sms`."""
        return self._run(self._client.send_sms(request, not_after=not_after))

    def balance(self, username: str, password: SecretStr | str) -> Balance:
        """See `AsyncMamboClient.balance`."""
        return self._run(self._client.balance(username, password))

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        async with self._client:
            started.set_result(asyncio.get_running_loop())
            await self._closing.wait()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            call.close()
            raise RuntimeError("this client is closed")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # after Ctrl-C; a call that is done does not notice


@dataclass(slots=True)
class _Exchange:
    """How far one HTTP exchange came."""

    begun: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    failure: Exception | None = None


def _headers(key: str | None) -> httpx.Headers:
    return httpx.Headers(
        {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "mambo-pipelines",
            **({} if key is None else {"Authorization": key}),
        }
    )


def _send_body(request: SendRequest) -> dict[str, str]:
    """The JSON of a send-sms call as the API page writes it. Raises InputError for what must not be sent."""
    if not request.message.strip():
        raise InputError("is empty", key="message")
    if _SURROGATE.search(request.message):
        raise InputError("holds half of a character (a lone surrogate), which no phone can show", key="message")
    if request.category not in list(Category):
        raise InputError(
            "is no message category", key="category", value=request.category, fix=f"Allowed: {', '.join(Category)}."
        )
    if not 1 <= len(request.sender_id) <= 11:
        raise InputError("must have 1 to 11 characters", key="sender_id", value=request.sender_id)
    recipients = request.recipients
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise InputError(f"a call carries 1 to {MAX_RECIPIENTS:,}, not {len(recipients):,}", key="recipients")
    together = ", ".join(recipients)
    if together.count(",") != len(recipients) - 1 or not _MOBILES.fullmatch(together):
        wrong = next(recipient for recipient in recipients if not _MOBILE.fullmatch(recipient))
        fix = "Written as +256772123456."
        raise InputError("is no Ugandan mobile number", key="recipients", value=wrong, fix=fix)
    if len(set(recipients)) < len(recipients):
        raise InputError("name somebody twice, so that counts could not add up", key="recipients")
    return {
        "message": request.message,
        "recipients": together.replace("+256", "0"),  # each begins with it, and it stands nowhere else
        "message_category": Category(request.category).value,
        "sender_id": request.sender_id,
    }


def _without_key(result: CallResult, key: str) -> CallResult:
    """A server that echoes the request must not bring the key into the ledger."""
    raw_reply, *messages = (without(text, key) for text in (result.raw_reply or "", *result.messages))
    receipt = result.receipt
    if receipt is not None and (receipt.unsupported or receipt.sms_cost_raw is not None):
        receipt = replace(
            receipt,
            sms_cost_raw=None if receipt.sms_cost_raw is None else without(receipt.sms_cost_raw, key),
            unsupported=tuple(replace(item, raw=without(item.raw, key)) for item in receipt.unsupported),
        )
    if (raw_reply, tuple(messages), receipt) == (result.raw_reply, result.messages, result.receipt):
        return result
    return replace(result, raw_reply=raw_reply, messages=tuple(messages), receipt=receipt)


def _trust(base_url: str, proxy: str | None) -> ssl.SSLContext:
    """The certificates to trust: none where no TLS is spoken, for reading them takes up to half a second."""
    if base_url.startswith("http://") and proxy is None:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and trusts nobody
    return _certificates()


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted, read once: every client needs the same."""
    return httpx.create_ssl_context(trust_env=False)


def _secret(value: SecretStr | str) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)


def _checked_base_url(text: str) -> str:
    try:
        return check_base_url(text)
    except ValueError as error:
        problem = SettingsError(str(error), key="base_url")
    raise problem


def _checked_proxy(proxy: str | None) -> str | None:
    if proxy is None:
        return None
    try:
        usable = httpx.URL(proxy).scheme in ("http", "https") and bool(httpx.URL(proxy).host)
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise SettingsError("is no http:// or https:// address", key="proxy")
    return proxy
