"""The failure model of one send-sms call: what came, or what went wrong, to a verdict.

Three questions in this order decide: was the request ever begun (if not: not sent), did a status line
come (then the table of statuses), and does the reply itself agree with it. What nobody can prove is `unknown`, and
an unknown call is never repeated by itself. A reply that says that messages went out overrules every refusal.

`GO_ON` with an unknown or refused verdict means that one alone stops nothing; the send loop counts them.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from mambo_io.model import Action, Blame, CallResult, Receipt, SendRequest, Verdict
from mambo_io.replies import MAX_REPLY_BYTES, Reply, decode_body, kept_text, read_receipt, read_reply

_PAUSING_ALARMS = frozenset({"unsupported_not_in_call", "count_above_submitted", "cost_not_whole"})
_SPEAKS_OF_BALANCE = re.compile(r"\b(?:balance|credits?)\b", re.IGNORECASE)
_SPEAKS_OF_ACCOUNT = re.compile(r"\b(?:suspended|inactive)\b", re.IGNORECASE)


class IntentTooOld(Exception):
    """The call's intent had grown too old before the first byte was written (see `AsyncMamboClient.send_sms`)."""


def judge_status(status: int, place: str = "http") -> CallResult:
    """The table of statuses; for 2xx, which the body decides, see `judge_reply`.

    `place` is `http`, or `body` for the `statusCode` that a reply of HTTP 200 holds; it begins most reason codes.
    """
    reason = f"{place}_{status}"
    match status:
        case 301 | 307 | 308:
            return CallResult(Verdict.NOT_SENT, Action.STOP, "redirected")
        case 302 | 303:
            return CallResult(Verdict.UNKNOWN, Action.STOP, "redirected")
        case 400 | 422:
            return CallResult(Verdict.REFUSED, Action.GO_ON, reason)
        case 401:
            return CallResult(Verdict.REFUSED, Action.STOP, "bad_key", Blame.ACCOUNT)
        case 402:
            return CallResult(Verdict.REFUSED, Action.PAUSE, "insufficient_balance", Blame.ACCOUNT)
        case 403:
            return CallResult(Verdict.REFUSED, Action.STOP, reason, Blame.ACCOUNT)
        case 404 | 405 | 415:  # something that does not know this call
            return CallResult(Verdict.REFUSED, Action.STOP, reason, Blame.HOST)
        case 413:
            return CallResult(Verdict.NOT_SENT, Action.SPLIT, "too_large")
        case 429:
            return CallResult(Verdict.NOT_SENT, Action.SLOW_DOWN, "rate_limited")
        case _ if status >= 500:
            return CallResult(Verdict.UNKNOWN, Action.GO_ON, reason)
        case _:
            return CallResult(Verdict.UNKNOWN, Action.STOP, reason)


def judge_reply(
    http_status: int,
    body: bytes,
    request: SendRequest,
    *,
    headers: Mapping[str, str] | None = None,
    complete: bool = True,
) -> CallResult:
    """The verdict on a call whose status line came. Raises nothing, whatever the reply holds.

    `headers` are looked up in lower case (`retry-after`, `content-encoding`). `complete` is False when the
    connection broke or the deadline passed inside the body; `body` is then what had come.
    """
    headers = headers or {}
    decoded = decode_body(body, headers.get("content-encoding", "")) if len(body) <= MAX_REPLY_BYTES else None
    reply = read_reply(decoded) if complete and decoded is not None else None

    if not 200 <= http_status <= 299:
        result = _account_words(judge_status(http_status), reply)
    elif reply is not None:
        result = _judge_body(reply, request)
    elif len(body) > MAX_REPLY_BYTES:
        result = CallResult(Verdict.UNKNOWN, Action.GO_ON, "reply_too_large")
    else:
        result = CallResult(Verdict.UNKNOWN, Action.GO_ON, "reply_unreadable" if complete else "reply_cut_short")

    if reply is not None and reply.speaks_of_sending and result.verdict in (Verdict.NOT_SENT, Verdict.REFUSED):
        result = CallResult(Verdict.UNKNOWN, Action.STOP, "contradictory_reply")
    return replace(
        result,
        http_status=http_status,
        messages=reply.messages if reply is not None else (),
        raw_reply=kept_text(decoded if decoded is not None else body),
        retry_after_s=_retry_after_s(headers.get("retry-after", "")),
    )


def judge_failure(exc: Exception, begun: bool) -> CallResult:
    """The verdict on a call that got no status line. `begun`: whether any of the request may have left.

    The phase decides the verdict, the class of the exception only the reason. Nothing of its text is kept: the
    exceptions of an HTTP library may quote headers.
    """
    if begun:
        match exc:
            case httpx.TimeoutException() | TimeoutError():
                return CallResult(Verdict.UNKNOWN, Action.GO_ON, "no_answer")
            case httpx.RemoteProtocolError():
                return CallResult(Verdict.UNKNOWN, Action.GO_ON, "broken_answer")
            case httpx.TransportError() | OSError():
                return CallResult(Verdict.UNKNOWN, Action.GO_ON, "connection_lost")
            case _:
                return CallResult(Verdict.UNKNOWN, Action.STOP, f"unexpected_{type(exc).__name__}")
    match exc:
        case IntentTooOld():
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "intent_too_old")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return CallResult(Verdict.NOT_SENT, Action.STOP, "bad_request_settings", Blame.HOST)
        case _ if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(exc)):
            return CallResult(Verdict.NOT_SENT, Action.STOP, "bad_certificate", Blame.HOST)
        case httpx.PoolTimeout():
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "pool_exhausted")
        case httpx.TimeoutException() | TimeoutError():
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "connect_timeout")
        case httpx.ProxyError():
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "proxy_failed")
        case _ if any(isinstance(cause, socket.gaierror) for cause in _causes(exc)):
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "host_not_found")
        case _ if any(isinstance(cause, ConnectionRefusedError) for cause in _causes(exc)):
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "connection_refused")
        case httpx.TransportError() | OSError():
            return CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "connect_failed")
        case _:
            return CallResult(Verdict.NOT_SENT, Action.STOP, f"unexpected_{type(exc).__name__}")


def _judge_body(reply: Reply, request: SendRequest) -> CallResult:
    """The rows of 2xx. The body's `statusCode` is 201 where HTTP says 200, so the two are never compared."""
    if reply.success is False:
        if reply.has_data:
            return CallResult(Verdict.UNKNOWN, Action.GO_ON, "refusal_with_data")
        if reply.status_code is None:
            return CallResult(Verdict.UNKNOWN, Action.GO_ON, "refusal_without_status")
        if reply.status_code >= 400:
            return _account_words(judge_status(reply.status_code, "body"), reply)
        return _account_words(CallResult(Verdict.REFUSED, Action.GO_ON, "refused"), reply)
    if reply.status_code is not None and reply.status_code >= 400:
        return CallResult(Verdict.UNKNOWN, Action.GO_ON, "contradictory_reply")
    receipt = read_receipt(reply.data, request)
    if reply.success or (reply.seems_good and reply.has_counters and receipt.consistent):
        return _accepted(receipt)
    return CallResult(Verdict.UNKNOWN, Action.GO_ON, "success_unclear")


def _accepted(receipt: Receipt) -> CallResult:
    action = Action.PAUSE if _PAUSING_ALARMS.intersection(receipt.alarms) else Action.GO_ON
    return CallResult(Verdict.ACCEPTED, action, receipt.alarms[0] if receipt.alarms else "ok", receipt=receipt)


def _account_words(result: CallResult, reply: Reply | None) -> CallResult:
    """A refusal that would mark the chunk concerns the account when its text says so (no code does)."""
    if reply is None or (result.verdict, result.blame) != (Verdict.REFUSED, Blame.CALL):
        return result
    said = " ".join(reply.messages)
    if _SPEAKS_OF_BALANCE.search(said):
        return replace(result, action=Action.PAUSE, reason="insufficient_balance", blame=Blame.ACCOUNT)
    if _SPEAKS_OF_ACCOUNT.search(said):
        return replace(result, action=Action.PAUSE, reason="account_suspended", blame=Blame.ACCOUNT)
    return result


def _retry_after_s(value: str) -> float | None:
    """`Retry-After` in seconds, from seconds or an HTTP date; None when missing or unreadable."""
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, IndexError):  # the standard library's parser on odd dates
        return None


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
