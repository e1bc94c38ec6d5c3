"""The balance: one attempt, only the figure, nothing of the person behind the account."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import SecretStr

from mambo_io.client import AsyncMamboClient, MamboClient
from mambo_io.errors import SettingsError
from mambo_io.model import Balance
from mambo_io.replies import BalanceRefused, BalanceUnavailable
from support.raw_server import Behaviour, http, never_answer, replying, replying_once, reset_after_the_body, serving

USERNAME, PASSWORD = "jane@example.com", "canary-pa55word"
PATIENT_S, SHORT_S = 20.0, 0.8  # short where the server never answers

GOOD = {  # the API page's example
    "statusCode": 200,
    "success": True,
    "messages": ["Balance fetched successfully"],
    "data": {"client_id": 42, "name": "Jane Doe", "contact": "0756xxxxxx", "email": USERNAME, "balance": 12500},
}
GOOD_REPLY = http(json.dumps(GOOD).encode())


def ask(url: str, *, api_key: str | None = None, timeout_s: float = PATIENT_S) -> Balance:
    with MamboClient(base_url=url, api_key=api_key, timeout_s=timeout_s) as client:
        return client.balance(USERNAME, PASSWORD)


def test_it_is_read_and_needs_no_key() -> None:
    with serving(replying(GOOD_REPLY)) as server:
        assert ask(server.url, api_key="key") == Balance(12500)

    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/accounts/balance HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert json.loads(body) == {"username": USERNAME, "password": PASSWORD}


def test_both_clients_take_a_secret() -> None:
    async def ask_async(url: str) -> Balance:
        async with AsyncMamboClient(base_url=url) as client:
            return await client.balance(USERNAME, SecretStr(PASSWORD))

    with serving(replying(GOOD_REPLY)) as server:
        assert asyncio.run(ask_async(server.url)) == Balance(12500)


def test_a_refusal_is_told_once_and_without_the_credentials() -> None:
    said = f"Invalid credentials: {USERNAME} / {PASSWORD}. Call +256 775 508171."
    body = json.dumps({"statusCode": 200, "success": False, "messages": [said], "data": []}).encode()
    with serving(replying(http(body))) as server, pytest.raises(BalanceRefused) as refused:
        ask(server.url)

    assert "Invalid credentials: ••• / •••. Call +256775•••171." in refused.value.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("behaviour", "timeout_s", "told"),
    [
        (replying(http(b"<html>", "502 Bad Gateway")), PATIENT_S, "HTTP 502"),
        (replying(http(b"{}")), PATIENT_S, "HTTP 200"),
        (replying_once(http(b'{"success": tr', length=99)), PATIENT_S, "HTTP 200"),
        (replying(http(b" " * 3_000_000)), PATIENT_S, "HTTP 200"),
        (replying(http(b"", "307 Moved", "Location: /elsewhere")), PATIENT_S, "HTTP 307"),
        (never_answer, SHORT_S, "no answer"),
        (reset_after_the_body, PATIENT_S, "connection lost"),
    ],
)
def test_what_is_no_balance_is_told_and_not_asked_again(behaviour: Behaviour, timeout_s: float, told: str) -> None:
    with serving(behaviour) as server, pytest.raises(BalanceUnavailable, match=told) as unavailable:
        ask(server.url, timeout_s=timeout_s)

    assert unavailable.value.__cause__ is unavailable.value.__context__ is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(("username", "password", "variable"), [("", "x", "USERNAME"), ("x", "", "PASSWORD")])
def test_missing_credentials(username: str, password: str, variable: str) -> None:
    told = f"^MAMBO_{variable}: is not set"
    with MamboClient(base_url="http://127.0.0.1:9") as client, pytest.raises(SettingsError, match=told):
        client.balance(username, password)
