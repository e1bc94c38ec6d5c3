"""HTTP/1.1 for the client: an httpx transport over aiohttp, which takes a fraction of the time of httpx's own.

It tells the one thing that the failure model asks of it: whether anything of the request may have left. It never sends
a request twice, follows no redirect, keeps no cookie, decodes nothing and reads nothing from the environment.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

# Servers close idle connections without a word, and a request written into such a one is lost with its fate
# unknown. A busy run reuses its connections; after a second of rest a fresh one is cheaper than the doubt.
_KEEPALIVE_S = 1.0


@dataclass(slots=True)
class _Attempt:
    """One request, and the connection that it is written to."""

    begins: Callable[[], None]
    transport: asyncio.Transport | None = None

    def abort(self) -> None:
        """Nothing more of the request may leave: what is closed would write what it holds, for as long as it takes."""
        if self.transport is not None:
            self.transport.abort()


_attempt: ContextVar[_Attempt] = ContextVar("_attempt")


class OneAttemptTransport(httpx.AsyncBaseTransport):
    """One request, one attempt. Use it within one event loop.

    `connect_timeout_s` is for TCP and TLS together. The request has an extension `begins`, a function that is called
    when a connection is there and before the first byte is written to it (what it raises is raised, and nothing is
    written; a proxy's CONNECT is not the request).

    Raises httpx's exceptions: before `begins` ConnectTimeout, ProxyError or ConnectError, after it ReadTimeout,
    RemoteProtocolError (no HTTP, or an end too soon) or ReadError.
    """

    def __init__(self, *, verify: ssl.SSLContext, connect_timeout_s: float, proxy: str | None = None) -> None:
        self._verify = verify
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, ceil_threshold=float("inf"))
        self._session: aiohttp.ClientSession | None = None  # made in the event loop that uses it

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=0,  # the caller decides how many calls run at a time
                    keepalive_timeout=_KEEPALIVE_S,
                    ssl=self._verify,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=self._timeout,
            )
        attempt = _Attempt(request.extensions["begins"])
        _attempt.set(attempt)
        try:
            with _told_as_httpx(attempt):
                response = await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=[(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw],
                    data=await request.aread(),
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        except BaseException:
            attempt.abort()
            raise
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=_Body(response, attempt), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Hands out a connection that is not stale, and tells that the request begins."""

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the method of aiohttp that is extended here
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        while connection.protocol in self._used and _has_news(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        attempt = _attempt.get()
        try:
            attempt.begins()
        except BaseException:
            connection.close()
            raise
        assert connection.protocol is not None  # it has just been connected
        self._used.add(connection.protocol)
        attempt.transport = connection.transport
        return connection


def _has_news(connection: Connection) -> bool:
    """Whether an idle connection has something to read. That can only be its end, or an answer that nobody awaits.

    The event loop reads by itself, but has not looked since it was last busy with something else.
    """
    transport = connection.transport
    descriptor = transport.get_extra_info("socket").fileno() if transport is not None else -1
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, attempt: _Attempt) -> None:
        self._response = response
        self._attempt = attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_as_httpx(self._attempt):
            async for piece in self._response.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        if not self._response.closed:  # the answer was not read to its end
            self._response.close()
            self._attempt.abort()


@contextmanager
def _told_as_httpx(attempt: _Attempt) -> Iterator[None]:
    """aiohttp's exceptions as httpx's. The original is the cause."""
    try:
        yield
    except TimeoutError as error:
        raise (httpx.ReadTimeout if attempt.transport else httpx.ConnectTimeout)("no answer in time") from error
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
        raise httpx.ProxyError("the proxy failed") from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.RemoteProtocolError("no HTTP, or an end too soon") from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise httpx.UnsupportedProtocol("no address for HTTP") from error
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise (httpx.ReadError if attempt.transport else httpx.ConnectError)("the connection failed") from error
