"""Each fault as a client meets it on the wire, and what the sandbox's own record says about it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import ValidationError

from mambo_io.sandbox import SandboxHandle, running
from mambo_io.sandbox.faults import (
    Altered,
    Charge,
    Delay,
    Garbled,
    NoAnswer,
    Status,
    SuccessFalse,
    UnsupportedForm,
)


@pytest.fixture(scope="module")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    with running(tmp_path_factory.mktemp("sandbox"), unsupported_prefix=("+25671",)) as handle:
        yield handle


@pytest.fixture
def sandbox(running_sandbox: SandboxHandle) -> SandboxHandle:
    running_sandbox.set_faults([])
    return running_sandbox


@pytest.fixture(scope="module")
def http(running_sandbox: SandboxHandle) -> Iterator[httpx.Client]:
    key = {"Authorization": running_sandbox.api_key, "Accept-Encoding": "identity"}
    with httpx.Client(base_url=running_sandbox.url, headers=key, trust_env=False, timeout=10) as client:
        yield client


def send(http: httpx.Client, recipients: str = "0772000001, 0712000001", **options: Any) -> httpx.Response:
    given = {"message": "Hello", "recipients": recipients, "message_category": "info", "sender_id": "MamboSMS"}
    return http.post("/v1/send-sms", json=given, **options)


def request(sandbox: SandboxHandle) -> bytes:
    """The same call as bytes, for those who hang up."""
    body = b'{"message":"Hello","recipients":"0772000001","message_category":"info","sender_id":"MamboSMS"}'
    head = f"POST /v1/send-sms HTTP/1.1\r\nHost: localhost\r\nAuthorization: {sandbox.api_key}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def last_call(sandbox: SandboxHandle) -> dict[str, Any]:
    return sandbox.calls().row(-1, named=True)


def eventually(sandbox: SandboxHandle, known: int, settled: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The call that comes after the `known` ones, once it is on record and settled."""
    deadline = time.monotonic() + 30
    while True:
        calls = sandbox.calls()
        if calls.height > known and settled(call := calls.row(known, named=True)):
            return call
        assert time.monotonic() < deadline, calls[known:]
        time.sleep(0.02)


@pytest.mark.parametrize("executes", [False, True], ids=["not-done", "done-all-the-same"])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 408, 409, 413, 422, 429, 500, 503])
def test_status(sandbox: SandboxHandle, http: httpx.Client, status: int, executes: bool) -> None:
    before = sandbox.account()
    sandbox.set_faults([Status(http_status=status, messages=["No"], executes=executes)])

    response = send(http)

    assert response.status_code == status
    assert response.json() == {"statusCode": status, "success": False, "messages": ["No"], "data": []}
    call = last_call(sandbox)
    assert (call["fault"], call["http_status"]) == ("status", status)
    assert (call["executed_at"] is not None) == executes
    assert sandbox.account().charged_ugx - before.charged_ugx == (50 if executes else 0)


def test_status_inside_http_200_html_and_headers(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults(
        [
            Status(http_status=200, status_code=401),
            Status(http_status=502, html=True),
            Status(http_status=429, headers={"Retry-After": "2"}),
            Status(http_status=302, headers={"Location": "https://example.com/"}),
        ]
    )

    inside, page, slow, moved = (send(http) for _ in range(4))

    assert (inside.status_code, inside.json()["statusCode"]) == (200, 401)
    assert page.headers["Content-Type"] == "text/html"
    assert "502 Bad Gateway" in page.text
    assert slow.headers["Retry-After"] == "2"
    assert (moved.status_code, moved.headers["Location"]) == (302, "https://example.com/")


def test_success_false(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults([SuccessFalse(message="Try later"), SuccessFalse(message="Try later", executes=True)])
    for executed in (False, True):
        response = send(http)
        assert response.status_code == 200
        assert response.json() == {"statusCode": 200, "success": False, "messages": ["Try later"], "data": []}
        assert (last_call(sandbox)["executed_at"] is not None) == executed


@pytest.mark.parametrize("executes", [False, True], ids=["request-lost", "reply-lost"])
def test_no_answer(sandbox: SandboxHandle, http: httpx.Client, executes: bool) -> None:
    before = sandbox.deliveries().height
    sandbox.set_faults([NoAnswer(executes=executes)])

    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
        send(http)

    assert sandbox.deliveries().height - before == (1 if executes else 0)
    call = last_call(sandbox)
    assert (call["executed_at"] is not None) == executes
    assert (call["fault"], call["http_status"], call["answered_at"]) == ("no_answer", None, None)
    assert send(http).status_code == 200


def test_no_answer_for_longer_than_the_client_waits(sandbox: SandboxHandle, http: httpx.Client) -> None:
    known = sandbox.calls().height
    sandbox.set_faults([NoAnswer(executes=True, closes_after_s=60)])

    with pytest.raises(httpx.ReadTimeout):
        send(http, timeout=0.2)

    assert eventually(sandbox, known, lambda call: call["executed_at"] is not None)["charged_ugx"] == 50


def test_executed_late_after_the_connection_was_closed(sandbox: SandboxHandle, http: httpx.Client) -> None:
    known = sandbox.calls().height
    sandbox.set_faults([NoAnswer(executes=True, executes_after_s=0.5)])

    with pytest.raises(httpx.RemoteProtocolError):
        send(http)

    call = eventually(sandbox, known, lambda call: call["executed_at"] is not None)
    assert (call["executed_at"] - call["received_at"]).total_seconds() >= 0.5
    assert (call["submitted"], call["charged_ugx"]) == (2, 50)


def test_a_delay_before_and_after(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults([Delay(before_s=0.1, after_s=0.2)])

    assert send(http).json()["success"] is True

    call = last_call(sandbox)
    assert (call["executed_at"] - call["received_at"]).total_seconds() >= 0.1
    assert (call["answered_at"] - call["executed_at"]).total_seconds() >= 0.2


@pytest.mark.parametrize("fault", [Delay(before_s=1), Delay(after_s=1)], ids=["before", "after"])
def test_what_was_asked_for_is_done_though_nobody_waits_for_the_answer(sandbox: SandboxHandle, fault: Delay) -> None:
    known = sandbox.calls().height
    sandbox.set_faults([fault])
    with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 80), timeout=10) as connection:
        connection.sendall(request(sandbox))

    call = eventually(sandbox, known, lambda call: call["http_status"] is not None)

    assert call["charged_ugx"] == 50
    assert call["answered_at"] is None


def test_half_a_request_asks_for_nothing(sandbox: SandboxHandle, http: httpx.Client) -> None:
    before = sandbox.calls().height
    with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 80), timeout=10) as connection:
        connection.sendall(request(sandbox)[:-10])

    assert send(http).json()["success"] is True
    assert sandbox.calls().height == before + 1


def not_json(response: httpx.Response) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        response.json()


def cut_json(response: httpx.Response) -> None:
    assert response.text.startswith('{"statusCode": 201')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        response.json()


def bad_utf8(response: httpx.Response) -> None:
    with pytest.raises(UnicodeDecodeError):
        response.content.decode("utf-8")


@pytest.mark.parametrize(
    ("form", "check"),
    [("not_json", not_json), ("empty", not_json), ("cut_json", cut_json), ("bad_utf8", bad_utf8)],
)
def test_garbled_bodies(
    sandbox: SandboxHandle, http: httpx.Client, form: Any, check: Callable[[httpx.Response], None]
) -> None:
    sandbox.set_faults([Garbled(form=form)])
    response = send(http)
    assert response.status_code == 200
    check(response)
    assert last_call(sandbox)["charged_ugx"] == 50


@pytest.mark.parametrize(
    ("form", "error", "says"),
    [
        ("cut_body", httpx.RemoteProtocolError, "without sending complete message body"),
        ("bad_gzip", httpx.DecodingError, "incorrect header"),
    ],
)
def test_bodies_that_break_while_they_are_read(
    sandbox: SandboxHandle, http: httpx.Client, form: Any, error: type[Exception], says: str
) -> None:
    sandbox.set_faults([Garbled(form=form)])
    with pytest.raises(error, match=says):
        send(http)
    assert last_call(sandbox)["charged_ugx"] == 50


@pytest.mark.parametrize(
    ("charge", "count", "cost_ugx"),
    [(Charge(segments=2), 2, 100), (Charge(price_ugx=65), 1, 65), (Charge(segments=3, price_ugx=0), 3, 0)],
    ids=["other-message-count", "other-price", "both"],
)
def test_charged_otherwise(
    sandbox: SandboxHandle, http: httpx.Client, charge: Charge, count: int, cost_ugx: int
) -> None:
    before = sandbox.account().balance_ugx
    sandbox.set_faults([charge])

    data = send(http).json()["data"]

    assert (data["message_count"], data["sms_sent"], data["sms_cost"]) == (count, count, cost_ugx)
    assert data["new_balance"] == sandbox.account().balance_ugx == before - cost_ugx


@pytest.mark.parametrize(
    ("form", "contacts", "count"),
    [
        ("international", ["+256712000001"], 1),
        ("integers", [256712000001], 1),
        ("objects", [{"contact": "0712000001", "reason": "unsupported network"}], 1),
        ("joined", "0712000001", 1),
        ("count", 1, 1),
        ("null", None, 1),
        ("stranger", ["0712000001", "0722000000"], 2),
    ],
)
def test_unsupported_contacts_in_other_forms(
    sandbox: SandboxHandle, http: httpx.Client, form: Any, contacts: object, count: int
) -> None:
    sandbox.set_faults([UnsupportedForm(form=form)])
    data = send(http).json()["data"]
    assert data["unsupported_contacts"] == contacts
    assert data["unsupported_contacts_count"] == count
    assert sandbox.deliveries()["e164"][-1] == "+256772000001"


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        (Altered(data={"sms_cost": 12.5}), {"sms_cost": 12.5}),
        (Altered(data={"sms_cost": "50", "recipients_count": None}), {"sms_cost": "50", "recipients_count": None}),
        (Altered(add={"recipients_count": 1, "sms_sent": -1}), {"recipients_count": 2, "sms_sent": 0}),
        (Altered(data={"campaign_id": 9}), {"campaign_id": 9}),
    ],
    ids=["fraction", "types", "relative", "unknown-field"],
)
def test_answers_that_lie(
    sandbox: SandboxHandle, http: httpx.Client, fault: Altered, changes: dict[str, object]
) -> None:
    sandbox.set_faults([fault])
    balance_ugx = sandbox.account().balance_ugx - 50
    truth = {
        "recipients_count": 1,
        "message_count": 1,
        "sms_sent": 1,
        "sms_cost": 50,
        "new_balance": balance_ugx,
        "unsupported_contacts_count": 1,
        "unsupported_contacts": ["0712000001"],
    }
    assert send(http).json()["data"] == truth | changes
    assert sandbox.account().balance_ugx == balance_ugx


def test_answers_with_another_envelope_or_less_in_it(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults(
        [
            Altered(envelope={"data": []}),
            Altered(envelope={"success": "true", "statusCode": "201"}),
            Altered(remove=["messages", "new_balance"]),
        ]
    )
    no_data, texts, less = (send(http).json() for _ in range(3))
    assert (no_data["success"], no_data["data"]) == (True, [])
    assert (texts["success"], texts["statusCode"]) == ("true", "201")
    assert list(less) == ["statusCode", "success", "data"]
    assert "new_balance" not in less["data"]


def test_faults_of_the_balance_endpoint(sandbox: SandboxHandle, http: httpx.Client) -> None:
    credentials = {"username": sandbox.username, "password": sandbox.password}
    sandbox.set_faults(
        [
            Status(endpoint="balance", http_status=500),
            NoAnswer(endpoint="balance", executes=True),
            Altered(endpoint="balance", data={"balance": "12,500"}),
        ]
    )

    assert send(http).json()["success"] is True
    assert http.post("/v1/accounts/balance", json=credentials).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/accounts/balance", json=credentials)
    assert http.post("/v1/accounts/balance", json=credentials).json()["data"]["balance"] == "12,500"


def test_a_refused_call_stays_refused_under_a_fault(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults([UnsupportedForm(form="null"), Altered(add={"sms_cost": 1}), Charge(price_ugx=0)])
    for _ in range(3):
        assert send(http, recipients="").status_code == 400


def test_rules_skip_count_and_take_turns(sandbox: SandboxHandle, http: httpx.Client) -> None:
    sandbox.set_faults([Status(http_status=500, skip=1, times=2), Status(http_status=503, skip=3)])

    assert [send(http).status_code for _ in range(7)] == [200, 500, 500, 200, 200, 503, 200]
    assert [rule["played"] for rule in sandbox.faults()] == [2, 1]


def test_a_seed_repeats_a_run_of_chances(sandbox: SandboxHandle, http: httpx.Client) -> None:
    def run(seed: int) -> list[int]:
        sandbox.set_faults([Status(http_status=500, probability=0.5, seed=seed, times=None)])
        return [send(http).status_code for _ in range(24)]

    first = run(seed=1)
    assert set(first) == {200, 500}
    assert run(seed=1) == first
    assert run(seed=2) != first


def test_rules_as_json_over_http(sandbox: SandboxHandle, http: httpx.Client) -> None:
    rules = [{"kind": "status", "http_status": 503}]
    assert http.post("/sandbox/faults", json=rules).json()[0]["played"] == 0
    assert send(http).status_code == 503
    assert http.get("/sandbox/faults").json()[0]["played"] == 1


@pytest.mark.parametrize(
    "rule",
    [{"kind": "earthquake"}, {"kind": "status"}, {"kind": "status", "http_status": 500, "typo": 1}],
    ids=["unknown-kind", "missing-field", "unknown-field"],
)
def test_wrong_rules_are_refused_and_change_nothing(
    sandbox: SandboxHandle, http: httpx.Client, rule: dict[str, object]
) -> None:
    sandbox.set_faults([Status(http_status=503)])
    assert http.post("/sandbox/faults", json=[rule]).status_code == 422
    assert send(http).status_code == 503


def test_a_probability_is_a_probability() -> None:
    with pytest.raises(ValidationError):
        Status(http_status=500, probability=2)


def test_the_record_over_http_is_the_record(sandbox: SandboxHandle, http: httpx.Client) -> None:
    """For whoever looks with curl: the same rows that the handle reads from the file, times in microseconds."""
    send(http)
    deliveries, calls = http.get("/sandbox/deliveries").json(), http.get("/sandbox/calls").json()
    account = http.get("/sandbox/account").json()

    assert [row["e164"] for row in deliveries] == sandbox.deliveries()["e164"].to_list()
    assert [row["body_sha256"] for row in calls] == sandbox.calls()["body_sha256"].to_list()
    assert calls[-1]["received_us"] == sandbox.calls()["received_at"].dt.epoch("us")[-1]
    assert json.loads(calls[-1]["reply"])["data"]["new_balance"] == account["balance_ugx"]
    assert (
        account["charged_ugx"] == sandbox.calls()["charged_ugx"].sum() == pl.DataFrame(deliveries)["charged_ugx"].sum()
    )
