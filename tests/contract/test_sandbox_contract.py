"""What the sandbox refuses, counts, prices and remembers, by the API page."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from mambo_io.errors import InputError
from mambo_io.sandbox import AccountState, SandboxHandle, SandboxOptions, running
from mambo_io.sandbox.provider import Provider
from mambo_io.sandbox.record import Record
from mambo_io.sandbox.server import create_app
from mambo_io.sandbox.sms import count_segments, network_of, to_e164

GOOD = {"message": "Hello", "recipients": "0772000001", "message_category": "non_customised", "sender_id": "MamboSMS"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    with running(
        tmp_path_factory.mktemp("sandbox"),
        category_price_ugx={"info": 70},
        network_price_ugx={"Airtel": 60},
        unsupported_prefix=("+25679",),
        max_recipients=5,
        max_failed_logins=3,
    ) as handle:
        yield handle


def client_of(sandbox: SandboxHandle) -> httpx.Client:
    return httpx.Client(base_url=sandbox.url, headers={"Authorization": sandbox.api_key}, trust_env=False)


@pytest.fixture(scope="module")
def http(sandbox: SandboxHandle) -> Iterator[httpx.Client]:
    with client_of(sandbox) as client:
        yield client


def refusal(response: httpx.Response) -> tuple[int, int, list[str]]:
    """HTTP status, body status and messages of an answer that is a failure as the page shows it."""
    body = response.json()
    assert list(body) == ["statusCode", "success", "messages", "data"]
    assert (body["success"], body["data"]) == (False, [])
    return response.status_code, body["statusCode"], body["messages"]


CATEGORY = "message_category must be one of: non_customised, info, customised"


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        pytest.param({"message": None}, ["message is required"], id="no-message"),
        pytest.param({"message": "  "}, ["message is required"], id="blank-message"),
        pytest.param({"message": 7}, ["message must be a string"], id="message-is-a-number"),
        pytest.param({"recipients": ""}, ["recipients is required"], id="no-recipients"),
        pytest.param({"recipients": " , ,"}, ["recipients is required"], id="only-commas"),
        pytest.param({"recipients": ["0772000001"]}, ["recipients must be a string"], id="recipients-are-a-list"),
        pytest.param({"message_category": "Info"}, [CATEGORY], id="category-in-another-case"),
        pytest.param({"message_category": "promo"}, [CATEGORY], id="unknown-category"),
        pytest.param({"sender_id": None}, ["sender_id is required"], id="no-sender"),
        pytest.param(
            {"sender_id": "MamboSMS2026"}, ["sender_id must not be longer than 11 characters"], id="sender-of-12"
        ),
        pytest.param(
            {"message": "", "sender_id": ""}, ["message is required", "sender_id is required"], id="two-at-once"
        ),
    ],
)
def test_missing_or_invalid_parameters(http: httpx.Client, changed: dict[str, Any], messages: list[str]) -> None:
    given = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    assert refusal(http.post("/v1/send-sms", json=given)) == (400, 400, messages)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe\xfd", b"message=Hello&recipients=0772000001", b"[" * 100_000],
    ids=["empty", "cut", "list", "string", "no-utf-8", "form-urlencoded", "deep"],
)
def test_bodies_that_are_no_json_object(http: httpx.Client, body: bytes) -> None:
    status, status_code, (message,) = refusal(http.post("/v1/send-sms", content=body))
    assert (status, status_code) == (400, 400)
    assert message.startswith("The request body is not")


def test_half_a_surrogate_pair_is_no_text(http: httpx.Client) -> None:
    body = b'{"message":"\\ud83d","recipients":"0772000001","message_category":"info","sender_id":"MamboSMS"}'
    assert refusal(http.post("/v1/send-sms", content=body)) == (400, 400, ["message is not valid text"])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "Unauthorized: missing API key"),
        ("another-key", "Unauthorized: invalid API key"),
        ("Bearer sandbox-key", "Unauthorized: invalid API key"),
        ("SANDBOX-KEY", "Unauthorized: invalid API key"),
    ],
)
def test_keys(http: httpx.Client, sandbox: SandboxHandle, key: str, message: str) -> None:
    before = sandbox.deliveries().height
    assert refusal(http.post("/v1/send-sms", json=GOOD, headers={"Authorization": key})) == (401, 401, [message])
    assert sandbox.deliveries().height == before


@pytest.mark.parametrize("path", ["/v1/send-sms", "/v1/accounts/balance"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_wrong_methods(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)
    assert refusal(response) == (405, 405, ["Method not allowed"])
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/v1/send-sms/", "/v2/send-sms", "/v1/accounts"])
def test_unknown_paths_get_a_web_page(http: httpx.Client, path: str) -> None:
    response = http.post(path, json=GOOD)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_too_many_recipients(http: httpx.Client) -> None:
    numbers = [f"077200000{digit}" for digit in range(6)]
    most = http.post("/v1/send-sms", json={**GOOD, "recipients": ",".join(numbers[:5])})
    assert most.json()["data"]["recipients_count"] == 5
    assert refusal(http.post("/v1/send-sms", json={**GOOD, "recipients": ",".join(numbers)})) == (
        413,
        413,
        ["A request may have 5 recipients at most"],
    )


def test_a_failure_of_its_own_is_a_server_error(tmp_path: Path) -> None:
    options = SandboxOptions(folder=tmp_path)
    record = Record(tmp_path, opening_balance_ugx=0)
    app = create_app(options, record)
    record.close()

    async def look() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as http:
            return await http.get("/sandbox/account")

    response = asyncio.run(look())

    assert refusal(response) == (500, 500, ["Server error. Contact support if this persists."])


@pytest.mark.parametrize("written", ["0772000001", "256772000001", "+256772000001", " 0772000001 "])
def test_forms_of_a_number(http: httpx.Client, sandbox: SandboxHandle, written: str) -> None:
    assert http.post("/v1/send-sms", json={**GOOD, "recipients": written}).json()["data"]["recipients_count"] == 1
    assert sandbox.deliveries()["e164"][-1] == "+256772000001"


@pytest.mark.parametrize(
    ("recipients", "category", "delivered", "unsupported"),
    [
        pytest.param(
            "0772000001,0791000001", "info", ["+256772000001"], ["0791000001"], id="prefix-that-is-not-reached"
        ),
        pytest.param(
            "0772000001,+256726000001",
            "customised",
            ["+256772000001"],
            ["+256726000001"],
            id="customised-to-lycamobile",
        ),
        pytest.param("0726000001", "non_customised", ["+256726000001"], [], id="lycamobile-otherwise"),
        pytest.param(
            "0772000001,0752000001,0712000001",
            "customised",
            ["+256772000001", "+256752000001", "+256712000001"],
            [],
            id="customised-to-mtn-airtel-utl",
        ),
        pytest.param(
            "0414123456, 0772xxxxxx,+254722000000,772000001",
            "info",
            [],
            ["0414123456", "0772xxxxxx", "+254722000000", "772000001"],
            id="no-mobile-number-of-uganda",
        ),
        pytest.param("0772000001,0772000001", "info", ["+256772000001"] * 2, [], id="twice-in-a-call-is-sent-twice"),
    ],
)
def test_unsupported_contacts(
    http: httpx.Client,
    sandbox: SandboxHandle,
    recipients: str,
    category: str,
    delivered: list[str],
    unsupported: list[str],
) -> None:
    before = sandbox.deliveries().height
    given = {**GOOD, "recipients": recipients, "message_category": category}

    data = http.post("/v1/send-sms", json=given).json()["data"]

    assert sandbox.deliveries()["e164"].to_list()[before:] == delivered
    assert data["unsupported_contacts"] == unsupported
    assert data["unsupported_contacts_count"] == len(unsupported)
    assert data["recipients_count"] == data["sms_sent"] == len(delivered)


@pytest.mark.parametrize(
    ("recipients", "category", "cost_ugx"),
    [
        ("0772000001", "non_customised", 50),
        ("0772000001", "info", 70),
        ("0752000001", "info", 60),
        ("0772000001,0752000001", "customised", 110),
    ],
    ids=["general", "by-category", "network-goes-before-category", "both-in-one-call"],
)
def test_prices(http: httpx.Client, sandbox: SandboxHandle, recipients: str, category: str, cost_ugx: int) -> None:
    before = sandbox.account()
    given = {**GOOD, "recipients": recipients, "message_category": category}

    data = http.post("/v1/send-sms", json=given).json()["data"]

    after = sandbox.account()
    assert data["sms_cost"] == after.charged_ugx - before.charged_ugx == cost_ugx
    assert data["new_balance"] == after.balance_ugx == before.balance_ugx - cost_ugx


@pytest.mark.parametrize(
    ("charged", "counted", "counts", "cost_ugx"),
    [(False, False, (1, 2), 100), (False, True, (2, 4), 100), (True, False, (1, 2), 200), (True, True, (2, 4), 200)],
)
def test_unsupported_contacts_may_be_charged_or_counted(
    tmp_path: Path, charged: bool, counted: bool, counts: tuple[int, int], cost_ugx: int
) -> None:
    options = SandboxOptions(folder=tmp_path, unsupported_charged=charged, unsupported_counted=counted)
    given = {**GOOD, "message": "x" * 161, "recipients": "0772000001, 0414123456"}
    with closing(Record(tmp_path, opening_balance_ugx=1_000)) as record:
        headers = {b"authorization": options.api_key.encode()}
        call = record.received("send-sms", headers, json.dumps(given).encode(), fault=None)

        data = Provider(options, record).send_sms(call).data

        assert isinstance(data, dict)
        assert (data["recipients_count"], data["sms_sent"]) == counts
        assert data["sms_cost"] == cost_ugx == 1_000 - record.account().balance_ugx


def test_a_balance_too_small_delivers_nothing(tmp_path: Path) -> None:
    with running(tmp_path, balance_ugx=120) as sandbox, client_of(sandbox) as http:
        two, three = "0772000001,0772000002", "0772000001,0772000002,0772000003"

        refused = http.post("/v1/send-sms", json={**GOOD, "recipients": three})
        status, status_code, (message,) = refusal(refused)
        assert (status, status_code) == (200, 200)
        assert "balance" in message
        assert (sandbox.account().balance_ugx, sandbox.deliveries().height) == (120, 0)

        assert http.post("/v1/send-sms", json={**GOOD, "recipients": two}).json()["data"]["new_balance"] == 20
        sandbox.change_account(top_up_ugx=130)
        assert http.post("/v1/send-sms", json={**GOOD, "recipients": three}).json()["data"]["new_balance"] == 0
        assert sandbox.account().charged_ugx == 250 == sandbox.deliveries()["charged_ugx"].sum()


def test_every_call_is_on_record(http: httpx.Client, sandbox: SandboxHandle) -> None:
    before = sandbox.calls().height
    body = json.dumps({**GOOD, "recipients": "0772000001, 0414123456"}).encode()
    http.post("/v1/send-sms", content=body)
    http.post("/v1/send-sms", json=GOOD, headers={"Authorization": "another-key"})
    http.post("/v1/accounts/balance", json={"username": sandbox.username, "password": sandbox.password})

    calls = sandbox.calls()[before:]

    assert calls["endpoint"].to_list() == ["send-sms", "send-sms", "balance"]
    assert calls["body_sha256"][0] == hashlib.sha256(body).hexdigest()
    assert calls["submitted"].to_list() == [2, None, None]
    assert calls["charged_ugx"].to_list() == [50, 0, 0]
    assert calls["http_status"].to_list() == [200, 401, 200]
    assert calls["executed_at"].is_null().to_list() == [False, True, True]
    assert calls["answered_at"].null_count() == 0
    assert json.loads(calls["reply"][0])["data"]["unsupported_contacts"] == ["0414123456"]


SUSPENDED = "Account suspended due to too many failed attempts. Contact support."
INACTIVE = "Account is inactive or suspended. Contact support on +256 775 508171."


@pytest.mark.parametrize(
    ("given", "status", "messages"),
    [
        ({}, 400, ["username is required", "password is required"]),
        ({"username": "jane@example.com"}, 400, ["password is required"]),
        ({"username": "john@example.com", "password": "sandbox-password"}, 200, ["Invalid credentials"]),
        ({"username": "jane@example.com", "password": "guess"}, 200, ["Invalid credentials"]),
    ],
    ids=["nothing", "no-password", "unknown-user", "wrong-password"],
)
def test_refused_balance_inquiries(http: httpx.Client, given: dict[str, str], status: int, messages: list[str]) -> None:
    assert refusal(http.post("/v1/accounts/balance", json=given)) == (status, status, messages)


@pytest.mark.parametrize("username", ["jane@example.com", "Jane@Example.com", "0756000042", "+256756000042"])
def test_either_name_of_the_account_will_do(http: httpx.Client, sandbox: SandboxHandle, username: str) -> None:
    reply = http.post("/v1/accounts/balance", json={"username": username, "password": sandbox.password}).json()
    assert reply["data"]["balance"] == sandbox.account().balance_ugx


def test_wrong_passwords_in_a_row_suspend_the_account(http: httpx.Client, sandbox: SandboxHandle) -> None:
    def inquire(password: str) -> list[str]:
        given = {"username": sandbox.username, "password": password}
        messages: list[str] = http.post("/v1/accounts/balance", json=given).json()["messages"]
        return messages

    sandbox.change_account(state=AccountState.ACTIVE)
    invalid, fetched = ["Invalid credentials"], ["Balance fetched successfully"]
    assert [inquire("guess"), inquire("guess"), inquire(sandbox.password)] == [invalid, invalid, fetched]
    assert [inquire("guess"), inquire("guess"), inquire("guess")] == [invalid, invalid, [SUSPENDED]]
    assert inquire(sandbox.password) == [SUSPENDED]
    assert refusal(http.post("/v1/send-sms", json=GOOD)) == (200, 200, [SUSPENDED])

    sandbox.change_account(state=AccountState.ACTIVE)
    assert inquire(sandbox.password) == fetched


def test_inactive_account(http: httpx.Client, sandbox: SandboxHandle) -> None:
    credentials = {"username": sandbox.username, "password": sandbox.password}
    sandbox.change_account(state=AccountState.INACTIVE)

    assert refusal(http.post("/v1/accounts/balance", json=credentials)) == (200, 200, [INACTIVE])
    assert refusal(http.post("/v1/send-sms", json=GOOD)) == (200, 200, [INACTIVE])

    sandbox.change_account(state=AccountState.ACTIVE)
    assert http.post("/v1/send-sms", json=GOOD).json()["success"] is True


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        pytest.param("x" * 160, 1, id="160-septets"),
        pytest.param("x" * 161, 2, id="161-septets"),
        pytest.param("x" * 306, 2, id="two-full-parts"),
        pytest.param("x" * 307, 3, id="one-more"),
        pytest.param("€" * 80, 1, id="80-escape-pairs"),
        pytest.param("€" * 81, 2, id="81-escape-pairs"),
        pytest.param("€" * 153, 3, id="76-pairs-a-part-because-no-pair-is-cut"),
        pytest.param("Ç" * 160, 1, id="capital-c-cedilla-is-inside"),
        pytest.param("ç" * 71, 2, id="small-c-cedilla-is-outside"),
        pytest.param("ŋ" * 70, 1, id="70-units"),
        pytest.param("ŋ" * 71, 2, id="71-units"),
        pytest.param("x" * 70 + "ŋ", 2, id="one-letter-outside-makes-all-UCS-2"),
        pytest.param("😀" * 35, 1, id="35-surrogate-pairs"),
        pytest.param("😀" * 67, 3, id="33-pairs-a-part-because-no-pair-is-cut"),
        pytest.param("`" * 71, 2, id="backtick-is-outside"),
        pytest.param("\n\r^{}\\[~]|\f" * 8, 1, id="line-ends-and-extension-table"),
    ],
)
def test_segments(text: str, segments: int) -> None:
    """By 3GPP TS 23.038: the numbers are worked out by hand from 160/153 septets and 70/67 code units."""
    assert count_segments(text) == segments


@pytest.mark.parametrize(
    ("number", "network"),
    [
        ("0772000001", "MTN"),
        ("0752000001", "Airtel"),
        ("0712000001", "UTL"),
        ("0726000001", "LycaMobile"),
        ("0721012345", "Savanna"),
        ("0722000001", ""),
    ],
)
def test_networks(number: str, network: str) -> None:
    assert network_of(to_e164(number) or "") == network


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"price_ugx": -1}, "price_ugx: '-1' is negative"),
        ({"max_recipients": 0}, "max_recipients: '0' is less than 1"),
        ({"unsupported_prefix": ("071",)}, "unsupported_prefix: '071' does not begin with +256"),
        (
            {"category_price_ugx": {"promo": 50}},
            "category_price_ugx: 'promo' is no message category. Use non_customised, info, customised.",
        ),
    ],
    ids=["price", "recipients", "prefix", "category"],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error, running(tmp_path, **options):
        pass
    assert error.value.message == message
