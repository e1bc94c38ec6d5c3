"""The failure model, row by row: what the API or the network did, and what it is taken for."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from typing import Any

import httpx
import pytest

from mambo_io.model import Action, Blame, CallResult, Category, SendRequest, Verdict
from mambo_io.verdicts import IntentTooOld, judge_failure, judge_reply

NOT_SENT, ACCEPTED, REFUSED, UNKNOWN = Verdict.NOT_SENT, Verdict.ACCEPTED, Verdict.REFUSED, Verdict.UNKNOWN
GO_ON, BACK_OFF, SLOW_DOWN = Action.GO_ON, Action.BACK_OFF, Action.SLOW_DOWN
SPLIT, PAUSE, STOP = Action.SPLIT, Action.PAUSE, Action.STOP

REQUEST = SendRequest(
    "Clinic day is Friday.",
    tuple(f"+25677210000{n}" for n in range(1, 10)),
    Category.CUSTOMISED,
    "MamboSMS",
)
GOOD_DATA: dict[str, Any] = {  # the API page's example
    "recipients_count": 9,
    "message_count": 2,
    "sms_sent": 18,
    "sms_cost": 900,
    "new_balance": 8580,
    "unsupported_contacts_count": 0,
    "unsupported_contacts": [],
}


def envelope(status_code: object = 201, success: object = True, data: object = GOOD_DATA, *said: str) -> bytes:
    return json.dumps({"statusCode": status_code, "success": success, "messages": said, "data": data}).encode()


def refusal(status_code: object, *said: str) -> bytes:
    return envelope(status_code, False, [], *said)


def good(**changed: object) -> bytes:
    data = {name: value for name, value in (GOOD_DATA | changed).items() if value != "absent"}
    return envelope(data=data)


def what(result: CallResult) -> tuple[Verdict, Action, str]:
    return result.verdict, result.action, result.reason


def test_the_api_pages_good_reply() -> None:
    result = judge_reply(200, envelope(), REQUEST)

    assert what(result) == (ACCEPTED, GO_ON, "ok")
    assert result.receipt is not None
    assert result.receipt.consistent
    assert (result.receipt.sms_sent, result.receipt.sms_cost_ugx, result.receipt.new_balance_ugx) == (18, 900, 8580)
    assert result.http_status == 200
    assert json.loads(result.raw_reply or "")["data"] == GOOD_DATA


HTML = b"<html><body>Sorry</body></html>"

BY_STATUS = [
    # status, verdict, action, reason, whom it concerns
    (101, UNKNOWN, STOP, "http_101", Blame.CALL),
    (300, UNKNOWN, STOP, "http_300", Blame.CALL),
    (301, NOT_SENT, STOP, "redirected", Blame.CALL),
    (302, UNKNOWN, STOP, "redirected", Blame.CALL),
    (303, UNKNOWN, STOP, "redirected", Blame.CALL),
    (307, NOT_SENT, STOP, "redirected", Blame.CALL),
    (308, NOT_SENT, STOP, "redirected", Blame.CALL),
    (400, REFUSED, GO_ON, "http_400", Blame.CALL),
    (401, REFUSED, STOP, "bad_key", Blame.ACCOUNT),
    (402, REFUSED, PAUSE, "insufficient_balance", Blame.ACCOUNT),
    (403, REFUSED, STOP, "http_403", Blame.ACCOUNT),
    (404, REFUSED, STOP, "http_404", Blame.HOST),
    (405, REFUSED, STOP, "http_405", Blame.HOST),
    (408, UNKNOWN, STOP, "http_408", Blame.CALL),
    (409, UNKNOWN, STOP, "http_409", Blame.CALL),
    (413, NOT_SENT, SPLIT, "too_large", Blame.CALL),
    (415, REFUSED, STOP, "http_415", Blame.HOST),
    (418, UNKNOWN, STOP, "http_418", Blame.CALL),
    (422, REFUSED, GO_ON, "http_422", Blame.CALL),
    (429, NOT_SENT, SLOW_DOWN, "rate_limited", Blame.CALL),
    (500, UNKNOWN, GO_ON, "http_500", Blame.CALL),
    (502, UNKNOWN, GO_ON, "http_502", Blame.CALL),
    (503, UNKNOWN, GO_ON, "http_503", Blame.CALL),
    (599, UNKNOWN, GO_ON, "http_599", Blame.CALL),
]


@pytest.mark.parametrize(
    "body", [HTML, b"", refusal(400, "No."), b'{"statusCode": 4'], ids=["html", "none", "json", "cut"]
)
@pytest.mark.parametrize(("status", "verdict", "action", "reason", "blame"), BY_STATUS, ids=lambda value: str(value))
def test_a_status_other_than_2xx_decides_whatever_the_body_is(
    status: int, verdict: Verdict, action: Action, reason: str, blame: Blame, body: bytes
) -> None:
    result = judge_reply(status, body, REQUEST)

    assert (what(result), result.blame) == ((verdict, action, reason), blame)
    assert result.raw_reply == body.decode()


@pytest.mark.parametrize("status", [row[0] for row in BY_STATUS])
@pytest.mark.parametrize("body", [envelope(), envelope(400, False)], ids=["success", "counters"])
def test_no_refusal_is_believed_while_the_reply_says_that_messages_went_out(status: int, body: bytes) -> None:
    assert judge_reply(status, body, REQUEST).verdict is UNKNOWN


REFUSED_IN_200 = [
    # body, verdict, action, reason, whom it concerns
    pytest.param(refusal(401, "Unauthorized"), REFUSED, STOP, "bad_key", Blame.ACCOUNT, id="401 inside"),
    pytest.param(refusal(400, "Missing sender"), REFUSED, GO_ON, "body_400", Blame.CALL, id="400 inside"),
    pytest.param(refusal(405), REFUSED, STOP, "body_405", Blame.HOST, id="405 inside"),
    pytest.param(refusal(409), UNKNOWN, STOP, "body_409", Blame.CALL, id="409 inside"),
    pytest.param(refusal(413), NOT_SENT, SPLIT, "too_large", Blame.CALL, id="413 inside"),
    pytest.param(refusal(429), NOT_SENT, SLOW_DOWN, "rate_limited", Blame.CALL, id="429 inside"),
    pytest.param(refusal(500, "Server error"), UNKNOWN, GO_ON, "body_500", Blame.CALL, id="500 inside"),
    pytest.param(refusal(200, "Bad sender ID"), REFUSED, GO_ON, "refused", Blame.CALL, id="200 inside"),
    pytest.param(
        refusal(200, "Insufficient balance."), REFUSED, PAUSE, "insufficient_balance", Blame.ACCOUNT, id="balance"
    ),
    pytest.param(
        refusal(400, "Not enough SMS CREDITS"), REFUSED, PAUSE, "insufficient_balance", Blame.ACCOUNT, id="credit"
    ),
    pytest.param(refusal(200, "Your sender was accredited"), REFUSED, GO_ON, "refused", Blame.CALL, id="accredited"),
    pytest.param(
        refusal(200, "Account is inactive or suspended. Contact support on +256 775 508171."),
        REFUSED, PAUSE, "account_suspended", Blame.ACCOUNT, id="suspended",
    ),
    pytest.param(refusal("401"), UNKNOWN, GO_ON, "refusal_without_status", Blame.CALL, id="statusCode is a text"),
    pytest.param(refusal(True), UNKNOWN, GO_ON, "refusal_without_status", Blame.CALL, id="statusCode is a boolean"),
    pytest.param(refusal(10**400), UNKNOWN, GO_ON, "refusal_without_status", Blame.CALL, id="statusCode without end"),
    pytest.param(refusal(None), UNKNOWN, GO_ON, "refusal_without_status", Blame.CALL, id="no statusCode"),
    pytest.param(envelope(400, False), UNKNOWN, GO_ON, "refusal_with_data", Blame.CALL, id="with counters"),
    pytest.param(
        envelope(400, False, {"sms_sent": 0}), UNKNOWN, GO_ON, "refusal_with_data", Blame.CALL, id="with a zero counter"
    ),
    pytest.param(envelope(400, False, ["?"]), UNKNOWN, GO_ON, "refusal_with_data", Blame.CALL, id="with a list"),
    pytest.param(envelope(400, False, None), REFUSED, GO_ON, "body_400", Blame.CALL, id="data is null"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "verdict", "action", "reason", "blame"), REFUSED_IN_200)
@pytest.mark.parametrize("http_status", [200, 201])
def test_success_false_inside_a_good_status(
    http_status: int, body: bytes, verdict: Verdict, action: Action, reason: str, blame: Blame
) -> None:
    result = judge_reply(http_status, body, REQUEST)

    assert (what(result), result.blame) == ((verdict, action, reason), blame)
    assert result.receipt is None


def test_http_400_that_speaks_of_the_balance_concerns_the_account() -> None:
    result = judge_reply(400, refusal(400, "Insufficient balance"), REQUEST)

    assert (what(result), result.blame) == ((REFUSED, PAUSE, "insufficient_balance"), Blame.ACCOUNT)


UNREADABLE = [
    # body, headers, complete, reason
    pytest.param(envelope()[:-9], {}, False, "reply_cut_short", id="cut short, length known"),
    pytest.param(envelope(), {}, False, "reply_cut_short", id="all there, but the end was not seen"),
    pytest.param(envelope()[:-9], {}, True, "reply_unreadable", id="cut short, length unknown"),
    pytest.param(b"", {}, True, "reply_unreadable", id="empty"),
    pytest.param(HTML, {}, True, "reply_unreadable", id="a captive portal"),
    pytest.param(b"<br>Warning: x in y.php" + envelope(), {}, True, "reply_unreadable", id="a PHP warning in front"),
    pytest.param(b"[]", {}, True, "reply_unreadable", id="a list"),
    pytest.param(b"null", {}, True, "reply_unreadable", id="null"),
    pytest.param(b'{"success": true, "messages": ["\xff"]}', {}, True, "reply_unreadable", id="bad UTF-8"),
    pytest.param(b"[" * 200_000, {}, True, "reply_unreadable", id="nested without end"),
    pytest.param(b'{"a":' * 100_000, {}, True, "reply_unreadable", id="objects without end"),
    pytest.param(
        b'{"success": true, "data": ' + b"9" * 5000 + b"}", {}, True, "reply_unreadable", id="endless integer"
    ),
    pytest.param(
        b'{"success": true, "data": 1e99999999999999999999}', {}, True, "reply_unreadable", id="endless exponent"
    ),
    pytest.param(gzip.compress(envelope())[:-4], {"content-encoding": "gzip"}, True, "reply_unreadable", id="cut gzip"),
    pytest.param(envelope(), {"content-encoding": "gzip"}, True, "reply_unreadable", id="no gzip at all"),
    pytest.param(envelope(), {"content-encoding": "br"}, True, "reply_unreadable", id="an encoding nobody asked for"),
    pytest.param(
        gzip.compress(b" " * 5_000_000 + envelope()),
        {"content-encoding": "gzip"},
        True,
        "reply_unreadable",
        id="gzip bomb",
    ),
    pytest.param(b" " * 1_100_000 + envelope(), {}, True, "reply_too_large", id="more than 1 MiB"),
    pytest.param(envelope(success="yes", data={}), {}, True, "success_unclear", id="success is a text, no counters"),
    pytest.param(envelope(success=1, data=[]), {}, True, "success_unclear", id="success is 1, no counters"),
    pytest.param(envelope(success="no"), {}, True, "success_unclear", id="success is not true, with counters"),
    pytest.param(b"{}", {}, True, "success_unclear", id="no success at all"),
    pytest.param(envelope(500), {}, True, "contradictory_reply", id="success with 500 inside"),
    pytest.param(envelope(401), {}, True, "contradictory_reply", id="success with 401 inside"),
]


@pytest.mark.parametrize(("body", "headers", "complete", "reason"), UNREADABLE)
def test_2xx_that_cannot_be_read_or_believed_is_unknown(
    body: bytes, headers: dict[str, str], complete: bool, reason: str
) -> None:
    result = judge_reply(200, body, REQUEST, headers=headers, complete=complete)

    assert what(result) == (UNKNOWN, GO_ON, reason)
    assert len(result.raw_reply or "") <= 65_536


FIRST = REQUEST.recipients[0]
LAST = REQUEST.recipients[-1]

ACCEPTED_WITH = [
    # body, action, alarms
    pytest.param(b"\xef\xbb\xbf" + envelope(), GO_ON, (), id="a byte order mark"),
    pytest.param(good(sms_cost="900", new_balance="8,580.00", sms_sent="18"), GO_ON, (), id="numbers as texts"),
    pytest.param(good(sms_cost=900.0, new_balance=8.58e3), GO_ON, (), id="numbers with a point"),
    pytest.param(good(network="MTN", extra=[1]), GO_ON, (), id="unknown fields"),
    pytest.param(good(new_balance=-20), GO_ON, (), id="an overdrawn account"),
    pytest.param(
        good(unsupported_contacts_count="absent", unsupported_contacts="absent"), GO_ON, (), id="no optional fields"
    ),
    pytest.param(envelope(success="true"), GO_ON, (), id="success is a text, counts add up"),
    pytest.param(
        good(unsupported_contacts_count=1, unsupported_contacts=["0772100001"]), GO_ON, (), id="unsupported are counted"
    ),
    pytest.param(
        good(recipients_count=8, sms_sent=16, unsupported_contacts_count=1, unsupported_contacts=["0772100001"]),
        GO_ON, (), id="unsupported are not counted",
    ),
    pytest.param(good(unsupported_contacts=None, sms_cost="absent"), GO_ON, ("cost_missing",), id="no cost"),
    pytest.param(good(new_balance="n/a"), GO_ON, ("new_balance_unreadable",), id="a balance in words"),
    pytest.param(good(sms_sent=9), GO_ON, ("sms_sent_not_product",), id="sms_sent is no product"),
    pytest.param(good(recipients_count=8, sms_sent=16), GO_ON, ("counts_inconsistent",), id="one is missing"),
    pytest.param(good(recipients_count="absent"), GO_ON, ("counts_inconsistent",), id="no count"),
    pytest.param(good(recipients_count=True), GO_ON, ("counts_inconsistent",), id="a count that is a boolean"),
    pytest.param(
        good(unsupported_contacts_count=2, unsupported_contacts=["0772100001"]),
        GO_ON, ("counts_inconsistent",), id="two unsupported, one named",
    ),
    pytest.param(
        good(unsupported_contacts_count=2, unsupported_contacts=["0772100001", "+256772100001"]),
        GO_ON, ("counts_inconsistent",), id="two unsupported, one named twice",
    ),
    pytest.param(
        good(unsupported_contacts="absent", unsupported_contacts_count=3),
        GO_ON, ("counts_inconsistent",), id="only the number of unsupported",
    ),
    pytest.param(
        good(unsupported_contacts=3, unsupported_contacts_count="absent"),
        GO_ON, ("counts_inconsistent",), id="a bare count for a list",
    ),
    pytest.param(
        good(unsupported_contacts=["some landline"]),
        GO_ON, ("counts_inconsistent", "unsupported_unreadable"), id="an item that is no number",
    ),
    pytest.param(
        good(unsupported_contacts=["0701999999"], unsupported_contacts_count=1),
        PAUSE, ("unsupported_not_in_call", "counts_inconsistent"), id="a number that was not in the call",
    ),
    pytest.param(
        good(recipients_count=10, sms_sent=20),
        PAUSE, ("count_above_submitted", "counts_inconsistent"), id="more than was sent",
    ),
    pytest.param(good(sms_cost=900.5), PAUSE, ("cost_not_whole",), id="a fractional cost"),
    pytest.param(good(sms_cost="UGX 900"), PAUSE, ("cost_not_whole",), id="a cost in words"),
    pytest.param(good(sms_cost=-900), PAUSE, ("cost_not_whole",), id="a negative cost"),
    pytest.param(envelope(data=[]), GO_ON, ("no_data",), id="data is a list"),
    pytest.param(envelope(data=None), GO_ON, ("no_data",), id="data is null"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "action", "alarms"), ACCEPTED_WITH)
def test_accepted_with_what_is_reported(body: bytes, action: Action, alarms: tuple[str, ...]) -> None:
    result = judge_reply(200, body, REQUEST)

    assert what(result) == (ACCEPTED, action, alarms[0] if alarms else "ok")
    assert result.receipt is not None
    assert result.receipt.alarms == alarms
    assert result.receipt.consistent is ("counts_inconsistent" not in alarms)


@pytest.mark.parametrize("depth", [100, 900, 990, 3_000, 30_000])
@pytest.mark.parametrize("field", ["sms_cost", "unsupported_contacts", "recipients_count"])
def test_nesting_of_any_depth_is_judged(field: str, depth: int) -> None:
    """What the parser just takes, later steps may not: each has a limit of its own."""
    for opening, closing in ("[", "]"), ('{"0772100001":', "}"):
        nested = f"{opening * depth}1{closing * depth}"
        body = f'{{"success": true, "data": {{"{field}": {nested}}}}}'
        assert judge_reply(200, body.encode(), REQUEST).verdict in (ACCEPTED, UNKNOWN)


def test_a_zipped_reply_that_nobody_asked_for_is_read() -> None:
    headers = {"content-encoding": "gzip"}
    assert what(judge_reply(200, gzip.compress(envelope()), REQUEST, headers=headers)) == (ACCEPTED, GO_ON, "ok")


RETRY_AFTER = [
    ("7", 7.0),
    (" 300 ", 300.0),
    ("301", 301.0),
    ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
    ("Fri, 31 Dec 1999 23:59:59 -0000", 0.0),
    ("", None),
    ("soon", None),
    ("-5", None),
    ("1e999", None),
    ("Fri, 99 Foo 99999 23:59:59 GMT", None),
]


@pytest.mark.parametrize(("header", "wait_s"), RETRY_AFTER)
@pytest.mark.parametrize(("status", "body"), [(429, b""), (200, refusal(429))], ids=["http", "body"])
def test_retry_after(status: int, body: bytes, header: str, wait_s: float | None) -> None:
    result = judge_reply(status, body, REQUEST, headers={"retry-after": header})

    assert (what(result), result.retry_after_s) == ((NOT_SENT, SLOW_DOWN, "rate_limited"), wait_s)


def connect_error(reason: Exception) -> httpx.ConnectError:
    """As it comes from the transport: the reason is two causes down."""
    between = OSError("as aiohttp tells it")
    between.__cause__ = reason
    error = httpx.ConnectError("the connection failed")
    error.__cause__ = between
    return error


CANARY = "key-that-must-not-be-seen"

FAILURES = [
    # exception, before the body: verdict is not sent; after: unknown
    (IntentTooOld(), (BACK_OFF, "intent_too_old"), None),
    (httpx.LocalProtocolError(CANARY), (STOP, "bad_request_settings"), (GO_ON, "connection_lost")),
    (httpx.InvalidURL(CANARY), (STOP, "bad_request_settings"), (STOP, "unexpected_InvalidURL")),
    (httpx.UnsupportedProtocol(CANARY), (STOP, "bad_request_settings"), (GO_ON, "connection_lost")),
    (connect_error(ssl.SSLCertVerificationError(CANARY)), (STOP, "bad_certificate"), None),
    (connect_error(socket.gaierror(-2, CANARY)), (BACK_OFF, "host_not_found"), None),
    (connect_error(ConnectionRefusedError(111, CANARY)), (BACK_OFF, "connection_refused"), None),
    (connect_error(ConnectionResetError(104, CANARY)), (BACK_OFF, "connect_failed"), None),
    (httpx.PoolTimeout(CANARY), (BACK_OFF, "pool_exhausted"), None),
    (httpx.ConnectError(CANARY), (BACK_OFF, "connect_failed"), None),
    (httpx.ConnectTimeout(CANARY), (BACK_OFF, "connect_timeout"), None),
    (httpx.ProxyError(CANARY), (BACK_OFF, "proxy_failed"), None),
    (TimeoutError(CANARY), (BACK_OFF, "connect_timeout"), (GO_ON, "no_answer")),
    (httpx.WriteTimeout(CANARY), (BACK_OFF, "connect_timeout"), (GO_ON, "no_answer")),
    (httpx.ReadTimeout(CANARY), (BACK_OFF, "connect_timeout"), (GO_ON, "no_answer")),
    (httpx.ReadError(CANARY), (BACK_OFF, "connect_failed"), (GO_ON, "connection_lost")),
    (httpx.WriteError(CANARY), (BACK_OFF, "connect_failed"), (GO_ON, "connection_lost")),
    (httpx.RemoteProtocolError(CANARY), (BACK_OFF, "connect_failed"), (GO_ON, "broken_answer")),
    (OSError(CANARY), (BACK_OFF, "connect_failed"), (GO_ON, "connection_lost")),
    (KeyError(CANARY), (STOP, "unexpected_KeyError"), (STOP, "unexpected_KeyError")),
]


@pytest.mark.parametrize(("exc", "before", "after"), FAILURES, ids=[type(row[0]).__name__ for row in FAILURES])
def test_without_a_status_line_the_phase_decides(
    exc: Exception, before: tuple[Action, str], after: tuple[Action, str] | None
) -> None:
    not_started, started = judge_failure(exc, begun=False), judge_failure(exc, begun=True)

    assert what(not_started) == (NOT_SENT, *before)
    assert started.verdict is UNKNOWN  # also where the class says that it cannot happen
    if after is not None:
        assert what(started) == (UNKNOWN, *after)
    assert CANARY not in repr(not_started) + repr(started)
