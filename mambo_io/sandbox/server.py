"""The sandbox as a web server: both endpoints of the API page under /v1, and what a test may ask for under /sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from mambo_io.errors import InputError
from mambo_io.sandbox.endpoint import ProviderEndpoint
from mambo_io.sandbox.faults import Charge, Fault, Faults
from mambo_io.sandbox.options import SandboxOptions
from mambo_io.sandbox.provider import Envelope, Provider, failure
from mambo_io.sandbox.record import Account, AccountState, Call, Record, read_calls, read_deliveries

_NOT_FOUND = """<html>
<head><title>404 Not Found</title></head>
<body><center><h1>404 Not Found</h1></center></body>
</html>
"""


class AccountChange(BaseModel):
    """What happens to the account from outside: money comes in, or the provider changes its state."""

    model_config = ConfigDict(extra="forbid")

    top_up_ugx: NonNegativeInt = 0
    state: AccountState | None = None


def create_app(options: SandboxOptions, record: Record) -> FastAPI:
    """The two endpoints as plain ASGI routes, lean because every call goes through them; the rest by FastAPI."""
    provider = Provider(options, record)
    faults = Faults()
    latency_s = options.latency_ms / 1_000

    def balance(call: Call, _charge: Charge | None) -> Envelope:
        return provider.balance(call)

    app = FastAPI(
        title="Mambo sandbox",
        docs_url=None,  # its pages load their scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        routes=[
            Route("/v1/send-sms", ProviderEndpoint("send-sms", provider.send_sms, record, faults, latency_s)),
            Route("/v1/accounts/balance", ProviderEndpoint("balance", balance, record, faults, latency_s)),
        ],
    )

    @app.get("/sandbox/account")
    async def account() -> Account:
        return record.account()

    @app.post("/sandbox/account")
    async def change_account(change: AccountChange) -> Account:
        record.top_up(change.top_up_ugx)
        if change.state is not None:
            record.set_login_state(change.state, failed_logins=0)
        return record.account()

    @app.get("/sandbox/calls")
    async def calls() -> Response:
        return _json_rows(*read_calls(options.folder))

    @app.get("/sandbox/deliveries")
    async def deliveries() -> Response:
        return _json_rows(*read_deliveries(options.folder))

    @app.get("/sandbox/faults")
    async def played_faults() -> list[dict[str, Any]]:
        return faults.played()

    @app.post("/sandbox/faults")
    async def set_faults(rules: list[Fault]) -> list[dict[str, Any]]:
        faults.replace(rules)
        return faults.played()

    @app.exception_handler(404)
    async def not_found(request: Request, error: Exception) -> Response:
        return HTMLResponse(_NOT_FOUND, status_code=404)

    @app.exception_handler(Exception)
    async def server_error(request: Request, error: Exception) -> Response:
        return JSONResponse(failure(500, "Server error. Contact support if this persists.").body(), status_code=500)

    return app


def serve(options: SandboxOptions) -> None:
    """Serve until SIGTERM, SIGINT or, where asked for, the end of standard input.

    Raises:
        InputError: the folder cannot be written, or the port is taken.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn puts its own handlers in place while it serves, then raises what it caught once more.
        signal.signal(number, lambda *_: sys.exit(0))
    options.make_folder()
    record = Record(options.folder, opening_balance_ugx=options.balance_ugx)
    config = uvicorn.Config(
        create_app(options, record),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # as nginx; a connection that idles in a slow test is not cut under the client
        timeout_graceful_shutdown=1,  # calls that a fault holds back are dropped
    )
    try:
        server = _Server(config, options)
        if options.stop_on_stdin_close:
            threading.Thread(target=server.stop_on_stdin_close, daemon=True).start()
        server.run(sockets=[_listener(options.port)])
    finally:
        record.close()


def _listener(port: int) -> socket.socket:
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere the option would share a port that is in use
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen here ({error})", key="port", value=port, fix="Choose another, or 0.") from None
    return listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, options: SandboxOptions) -> None:
        super().__init__(config)
        self._options = options

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say where: one line of JSON on standard output."""
        await super().startup(sockets)
        assert sockets
        options = self._options
        greeting = {
            "url": f"http://127.0.0.1:{sockets[0].getsockname()[1]}",
            "api_key": options.api_key,
            "username": options.username,
            "password": options.password,
            "folder": str(options.folder.resolve()),
        }
        print(json.dumps(greeting), flush=True)

    def stop_on_stdin_close(self) -> None:
        # os.read holds no lock that the interpreter would want at its end, as sys.stdin does.
        while os.read(0, 4_096):
            pass
        self.should_exit = True


class _Protocol(H11Protocol):
    """uvicorn's own HTTP/1.1, that also hands each request its connection, so that a fault can cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": transport}


def _json_rows(columns: list[str], rows: list[tuple[Any, ...]]) -> Response:
    return JSONResponse([dict(zip(columns, row, strict=True)) for row in rows])
