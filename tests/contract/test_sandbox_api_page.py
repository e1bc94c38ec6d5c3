"""The sandbox against the API page itself: its examples run, its requests are understood, its replies come back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from mambo_io.sandbox import SandboxHandle, running

PAGE = Path(__file__).parent / "api_page"
HOST = "https://api-mongolia.mambosms.com"
NUMBERS = ["0756000001", "0772000002"]

# What stands in the place of the page's `0756xxxxxx, 0772xxxxxx` and `0756xxxxxx`: as long as these, so that every
# Content-Length stays as it was recorded. The key and the password are the page's own.
RECIPIENTS = ", ".join(NUMBERS)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    folder = tmp_path_factory.mktemp("sandbox")
    with running(folder, api_key="your_api_key", username=NUMBERS[0], password="your_password") as handle:
        yield handle


@pytest.fixture(scope="module")
def http(sandbox: SandboxHandle) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers={"Authorization": sandbox.api_key}, trust_env=False) as client:
        yield client


def with_our_numbers(text: str) -> str:
    return text.replace("0756xxxxxx, 0772xxxxxx", RECIPIENTS).replace("0756xxxxxx", NUMBERS[0])


def run_python(example: str) -> str:
    """Run a program in a process of its own, without proxies; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", example], env={"NO_PROXY": "*"}, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def exchange(sandbox: SandboxHandle, request: bytes) -> tuple[int, Any]:
    """Put a request on the wire as it is; the status and the JSON that come back."""
    url = httpx.URL(sandbox.url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


def test_python_example_of_send_sms(sandbox: SandboxHandle) -> None:
    before = sandbox.account().balance_ugx
    example = (PAGE / "send_sms.python.py.txt").read_text(encoding="utf-8")

    printed = run_python(with_our_numbers(example.replace(HOST, sandbox.url).replace("your_api_key", sandbox.api_key)))

    assert "'statusCode': 201, 'success': True" in printed
    assert f"'new_balance': {before - 100}" in printed
    sent = sandbox.deliveries().tail(2)
    assert sent["e164"].to_list() == ["+256756000001", "+256772000002"]
    assert sent["text"].to_list() == ["Hello from Mambo SMS"] * 2
    assert sent["sender_id"].to_list() == ["MamboSMS"] * 2


def test_python_example_of_balance(sandbox: SandboxHandle) -> None:
    example = (PAGE / "balance.python.py.txt").read_text(encoding="utf-8")

    printed = run_python(with_our_numbers(example.replace(HOST, sandbox.url)))

    assert printed == f"Balance: {sandbox.account().balance_ugx}\n"


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.http")), ids=lambda path: path.stem)
def test_requests_of_the_other_languages(sandbox: SandboxHandle, path: Path) -> None:
    recorded = path.read_bytes().decode("utf-8")
    before = sandbox.account().balance_ugx

    status, reply = exchange(
        sandbox, with_our_numbers(recorded).replace("{host}", httpx.URL(sandbox.url).netloc.decode()).encode()
    )

    assert (status, reply["success"]) == (200, True)
    if path.name.startswith("balance."):
        assert reply["data"]["balance"] == before
    else:
        assert reply["data"]["new_balance"] == before - 100
        assert sandbox.deliveries().tail(2)["text"].to_list() == ["Hello from Mambo SMS"] * 2


def test_every_language_of_the_page_is_there() -> None:
    languages = {"csharp", "go", "java", "javascript", "php", "ruby"}
    assert {path.name for path in PAGE.glob("*.http")} == {
        *(f"{endpoint}.{language}.http" for endpoint in ("send_sms", "balance") for language in languages),
        "send_sms.php_form.http",
    }


# One text as the page's seven languages write it: escaped slashes, escaped letters, escaped markup, plain UTF-8.
TEXT = "a/b <ŋ> & “q” 😀"
WRITTEN = {
    "php": rb'"a\/b <\u014b> & \u201cq\u201d \ud83d\ude00"',
    "python": rb'"a/b <\u014b> & \u201cq\u201d \ud83d\ude00"',
    "go": '"a/b \\u003cŋ\\u003e \\u0026 “q” 😀"'.encode(),
    "javascript, java, ruby, csharp": '"a/b <ŋ> & “q” 😀"'.encode(),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_one_text_in_each_language_is_the_same_text(sandbox: SandboxHandle, http: httpx.Client, written: bytes) -> None:
    rest = b'"recipients":"0772000002","message_category":"non_customised","sender_id":"MamboSMS"'
    http.post(
        "/v1/send-sms",
        headers={"Content-Type": "application/json"},
        content=b'{"message":%s,%s}' % (written, rest),
    ).raise_for_status()

    assert sandbox.deliveries()["text"][-1] == TEXT


def test_reply_to_send_sms_is_that_of_the_page(sandbox: SandboxHandle, http: httpx.Client) -> None:
    """Nine recipients of two segments at 50 each, as in the page's example; only the balance is another."""
    balance_ugx = sandbox.account().balance_ugx - 900

    response = http.post(
        "/v1/send-sms",
        json={
            "message": "x" * 161,
            "recipients": ", ".join(f"077200000{digit}" for digit in range(9)),
            "message_category": "non_customised",
            "sender_id": "MamboSMS",
        },
    )

    assert response.status_code == 200
    # Compared as text, so that the order of the fields and their types (900, not 900.0 or "900") count too.
    assert response.text == json.dumps(
        {
            "statusCode": 201,
            "success": True,
            "messages": ["SMS successfully sent to 9 recipients."],
            "data": {
                "recipients_count": 9,
                "message_count": 2,
                "sms_sent": 18,
                "sms_cost": 900,
                "new_balance": balance_ugx,
                "unsupported_contacts_count": 0,
                "unsupported_contacts": [],
            },
        }
    )


def test_reply_to_a_balance_inquiry_is_that_of_the_page(sandbox: SandboxHandle, http: httpx.Client) -> None:
    response = http.post(
        "/v1/accounts/balance",
        json={"username": sandbox.username, "password": sandbox.password},
    )

    assert response.status_code == 200
    assert response.text == json.dumps(
        {
            "statusCode": 200,
            "success": True,
            "messages": ["Balance fetched successfully"],
            "data": {
                "client_id": 42,
                "name": "Jane Doe",
                "contact": NUMBERS[0],
                "email": "jane@example.com",
                "balance": sandbox.account().balance_ugx,
            },
        }
    )
