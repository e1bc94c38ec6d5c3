"""The failure model of one send-sms call as a table: what a server does, what it is taken for, what follows.

The same rows judge both clients and, through the send loop, the ledger on both stores. Each stands for a line of the
failure model; a row is added here and nowhere else.

The call is to the two people of `CALLED`. Its key is in many of the answers, as servers that echo requests are real.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mambo_io.model import Action, CampaignState, ChunkState, Verdict
from support.raw_server import (
    Behaviour,
    Call,
    Server,
    close_after_the_body,
    drip,
    http,
    never_answer,
    replying_once,
    reset_after_the_body,
    reset_at_once,
    reset_before_the_body,
    reset_in_the_body,
    say_nothing,
    serving,
)

NOT_SENT, ACCEPTED, REFUSED, UNKNOWN = Verdict.NOT_SENT, Verdict.ACCEPTED, Verdict.REFUSED, Verdict.UNKNOWN
GO_ON, BACK_OFF, SLOW_DOWN = Action.GO_ON, Action.BACK_OFF, Action.SLOW_DOWN
SPLIT, PAUSE, STOP = Action.SPLIT, Action.PAUSE, Action.STOP

KEY = "canary/key+zqxj="
SECRET = "zqxj"  # a piece that no escaping changes, and that no digest or name of a run can hold by accident
CALLED = ("+256772000003", "+256772000004")  # rows 3 and 4 of `support.ledgers.plan`
SHORT_S = 0.8  # where the server never answers; long enough to have asked it before, also on a busy machine


@dataclass(frozen=True, slots=True)
class Ending:
    """What a campaign of three calls, of which this happens to the second, comes to."""

    call: ChunkState
    rest_is_sent: bool
    state: CampaignState
    stop_reason: str | None
    made_again: bool = False  # once, and accepted

    def __repr__(self) -> str:
        return next(name for name, value in globals().items() if value is self)


_SENT, _PAUSED = CampaignState.COMPLETE, CampaignState.PAUSED
DONE = Ending(ChunkState.ACCEPTED, True, _SENT, None)
DONE_AGAIN = Ending(ChunkState.ACCEPTED, True, _SENT, None, made_again=True)
DONE_IN_HALVES = Ending(ChunkState.SPLIT, True, _SENT, None)
DONE_THEN_STOPPED = Ending(ChunkState.ACCEPTED, False, _PAUSED, "api")
REFUSED_ALONE = Ending(ChunkState.REFUSED, True, _SENT, "refused_calls")
IN_DOUBT = Ending(ChunkState.UNKNOWN, True, _PAUSED, "unknown_calls")
IN_DOUBT_AND_STOPPED = Ending(ChunkState.UNKNOWN, False, _PAUSED, "api")
STOPPED = Ending(ChunkState.PLANNED, False, _PAUSED, "api")
STOPPED_BY_LONG_WAIT = Ending(ChunkState.PLANNED, False, _PAUSED, "rate_limited")
STOPPED_BY_ACCOUNT = Ending(ChunkState.PLANNED, False, _PAUSED, "account")
STOPPED_BY_HOST = Ending(ChunkState.PLANNED, False, _PAUSED, "host")
GIVEN_UP = Ending(ChunkState.PLANNED, False, _PAUSED, "no_connection")


@dataclass(frozen=True, slots=True)
class Row:
    """`does`: what the server does with a connection; None: nobody listens.

    `reason` may name two: which of both it is, is a race that decides nothing. `people`: what becomes of the two of an
    accepted call, a: accepted, s: unsupported, v: unverified.
    """

    does: Behaviour | None
    verdict: Verdict
    action: Action
    reason: str
    ending: Ending
    people: str = "aa"
    retry_after_s: float | None = None
    https: bool = False  # how the client calls
    certificate: bool = False  # the server speaks TLS, with a certificate that nobody vouches for
    patient: bool = True  # False: the end of this is the client's deadline


@contextmanager
def served(row: Row, does: Behaviour | None = None) -> Iterator[tuple[str, Server | None]]:
    """The address at which that happens, and the server. `does` takes the place of what the row's server does."""
    scheme = "https" if row.https else "http"
    if row.does is None:
        with socket.socket() as bound:  # bound and not listening: nobody else can take the port
            bound.bind(("127.0.0.1", 0))
            yield f"{scheme}://127.0.0.1:{bound.getsockname()[1]}", None
        return
    with serving(does or row.does, self_signed() if row.certificate else None) as server:
        yield f"{scheme}://127.0.0.1:{server.port}", server


@cache
def self_signed() -> ssl.SSLContext:
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
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context


# --- what the API says ------------------------------------------------------------------------------------------------


def envelope(status_code: object = 201, success: object = True, data: object = None, *said: str) -> bytes:
    return json.dumps({"statusCode": status_code, "success": success, "messages": said, "data": data}).encode()


def refusal(status_code: object, *said: str) -> bytes:
    """As the API page shows it."""
    return envelope(status_code, False, [], *said)


def receipt(people: int = len(CALLED), **changed: object) -> bytes:
    """A good reply to a call to so many people; "absent" takes a field out.

    It tells no balance, so that nothing but this call can settle what became of it.
    """
    data = {
        "recipients_count": people,
        "message_count": 1,
        "sms_sent": people,
        "sms_cost": 50 * people,
        "unsupported_contacts_count": 0,
        "unsupported_contacts": [],
    }
    kept = {name: value for name, value in (data | changed).items() if value != "absent"}
    return envelope(201, True, kept, f"SMS successfully sent to {people} recipients.")


def answer(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> Behaviour:
    """One answer, with the word that the connection ends behind it."""
    return replying_once(http(body, status, "Connection: close", *headers, length=length))


async def answer_well(call: Call) -> None:
    """A good reply to whoever was called."""
    await call.request()
    payload: dict[str, str] = json.loads(call.requests[-1].partition(b"\r\n\r\n")[2])
    await call.say(http(receipt(payload["recipients"].count(",") + 1), "200 OK", "Connection: close"))


async def take_it_for_http(call: Call) -> None:
    """As a web server does with a TLS handshake."""
    await call.reader.read(1)
    await call.say(http(HTML, "400 Bad Request", "Connection: close"))


async def say_half_of_the_body(call: Call) -> None:
    await call.request()
    await call.say(http(receipt()[:100], length=len(receipt())))
    await call.reader.read()


async def drip_the_headers(call: Call) -> None:
    """Every byte comes within any time-out per read; the whole takes far longer than the deadline."""
    await call.request()
    await drip(call, http(receipt()))


async def drip_the_body(call: Call) -> None:
    await call.request()
    await call.say(http(b"", length=len(receipt())))
    await drip(call, receipt())


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def unsupported(*items: object, count: object = "absent", counted: int = 1) -> bytes:
    """A good reply that lists these as unsupported, and counts so many as reached."""
    listed = items[0] if len(items) == 1 else list(items)
    return receipt(
        recipients_count=counted,
        sms_sent=counted,
        sms_cost=50 * counted,
        unsupported_contacts=listed,
        unsupported_contacts_count=count,
    )


HTML = f"<html><body>Sorry. You sent Authorization: {KEY}</body></html>".encode()
ECHO = refusal(401, f"There is no key {KEY}.")
GZIP = "Content-Encoding: gzip"
LOCATION = f"Location: /v1/send-sms?key={KEY}"


_REPLY_OF_PHP = b"<br />\n<b>Warning</b>: mysqli in /var/www/sms.php on line 7\n"

ROWS: dict[str, Row] = {
    # --- The body of the request was never begun: not sent. ---
    "nobody listens": Row(None, NOT_SENT, BACK_OFF, "connection_refused", GIVEN_UP),
    "TLS to a plaintext port": Row(
        take_it_for_http, NOT_SENT, BACK_OFF, "connect_failed", GIVEN_UP, https=True
    ),
    "reset in the TLS handshake": Row(reset_at_once, NOT_SENT, BACK_OFF, "connect_failed", GIVEN_UP, https=True),
    "stalled TLS handshake": Row(
        say_nothing, NOT_SENT, BACK_OFF, "connect_timeout", GIVEN_UP, https=True, patient=False
    ),
    "a certificate that nobody vouches for": Row(
        answer_well, NOT_SENT, STOP, "bad_certificate", STOPPED_BY_HOST, https=True, certificate=True
    ),
    # --- The body was begun, and no status line came: unknown. ---
    "reset before the body": Row(
        reset_before_the_body, UNKNOWN, GO_ON, "connection_lost or broken_answer", IN_DOUBT
    ),
    "reset in the body": Row(reset_in_the_body, UNKNOWN, GO_ON, "connection_lost or broken_answer", IN_DOUBT),
    "reset after the body": Row(reset_after_the_body, UNKNOWN, GO_ON, "connection_lost", IN_DOUBT),
    "closed after the body": Row(close_after_the_body, UNKNOWN, GO_ON, "broken_answer", IN_DOUBT),
    "silence": Row(never_answer, UNKNOWN, GO_ON, "no_answer", IN_DOUBT, patient=False),
    "dripped headers": Row(drip_the_headers, UNKNOWN, GO_ON, "no_answer", IN_DOUBT, patient=False),
    "cut status line": Row(replying_once(b"HTTP/1.1 2"), UNKNOWN, GO_ON, "broken_answer", IN_DOUBT),
    "not HTTP": Row(replying_once(f"SSH-2.0-{KEY}\r\n".encode()), UNKNOWN, GO_ON, "broken_answer", IN_DOUBT),
    "a status that is no number": Row(
        replying_once(f"HTTP/1.1 OK {KEY}\r\n\r\n".encode()), UNKNOWN, GO_ON, "broken_answer", IN_DOUBT
    ),
    "100 Continue, and no more": Row(
        replying_once(b"HTTP/1.1 100 Continue\r\n\r\n"), UNKNOWN, GO_ON, "broken_answer", IN_DOUBT
    ),
    "headers without end": Row(
        replying_once(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), UNKNOWN, GO_ON, "broken_answer", IN_DOUBT
    ),
    # --- A status line came, and the reply is broken: unknown. ---
    "stalled body": Row(say_half_of_the_body, UNKNOWN, GO_ON, "reply_cut_short", IN_DOUBT, patient=False),
    "dripped body": Row(drip_the_body, UNKNOWN, GO_ON, "reply_cut_short", IN_DOUBT, patient=False),
    "cut body, length known": Row(
        answer(receipt(), length=len(receipt()) + 9), UNKNOWN, GO_ON, "reply_cut_short", IN_DOUBT
    ),
    "cut body, length unknown": Row(
        replying_once(b"HTTP/1.1 200 OK\r\n\r\n" + receipt()[:-9]), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT
    ),
    "cut body, chunked": Row(
        replying_once(chunked(receipt()[:50], receipt()[50:])), UNKNOWN, GO_ON, "reply_cut_short", IN_DOUBT
    ),
    "a chunk that is none": Row(
        replying_once(chunked(receipt()) + b"zz\r\n"), UNKNOWN, GO_ON, "broken_answer or reply_cut_short", IN_DOUBT
    ),
    "empty": Row(answer(b""), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "204": Row(replying_once(b"HTTP/1.1 204 No\r\n\r\n"), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "3 MB": Row(answer(b" " * 3_000_000 + receipt()), UNKNOWN, GO_ON, "reply_too_large", IN_DOUBT),
    "no gzip at all": Row(answer(receipt(), "200 OK", GZIP), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "cut gzip": Row(
        answer(gzip.compress(receipt())[:-4], "200 OK", GZIP), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT
    ),
    "gzip bomb": Row(
        answer(gzip.compress(b" " * 5_000_000 + receipt()), "200 OK", GZIP),
        UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT,
    ),
    "an encoding that nobody asked for": Row(
        answer(receipt(), "200 OK", "Content-Encoding: br"), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT
    ),
    "HTML": Row(answer(HTML), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "a PHP warning in front": Row(
        answer(_REPLY_OF_PHP + receipt()), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT
    ),
    "bad UTF-8": Row(
        answer(b'{"success": true, "messages": ["\xff\x00"]}'), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT
    ),
    "a list": Row(answer(b"[]"), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "null": Row(answer(b"null"), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "nested without end": Row(answer(b"[" * 200_000), UNKNOWN, GO_ON, "reply_unreadable", IN_DOUBT),
    "success is a text, no counters": Row(
        answer(envelope(success="yes", data=[])), UNKNOWN, GO_ON, "success_unclear", IN_DOUBT
    ),
    "success is 1, no counters": Row(answer(envelope(success=1)), UNKNOWN, GO_ON, "success_unclear", IN_DOUBT),
    "success is missing, no counters": Row(answer(b"{}"), UNKNOWN, GO_ON, "success_unclear", IN_DOUBT),
    "success with 401 inside": Row(
        answer(envelope(401, True, [])), UNKNOWN, GO_ON, "contradictory_reply", IN_DOUBT
    ),
    "success with 500 inside": Row(
        answer(envelope(500, True, [])), UNKNOWN, GO_ON, "contradictory_reply", IN_DOUBT
    ),
    # --- Redirects are not followed. ---
    "301": Row(answer(b"", "301 Moved", LOCATION), NOT_SENT, STOP, "redirected", STOPPED),
    "302": Row(answer(b"", "302 Found", LOCATION), UNKNOWN, STOP, "redirected", IN_DOUBT_AND_STOPPED),
    "303": Row(answer(b"", "303 See Other", LOCATION), UNKNOWN, STOP, "redirected", IN_DOUBT_AND_STOPPED),
    "307": Row(answer(b"", "307 Moved", LOCATION), NOT_SENT, STOP, "redirected", STOPPED),
    "308": Row(answer(HTML, "308 Moved", LOCATION), NOT_SENT, STOP, "redirected", STOPPED),
    # --- Refused: this call alone, or whatever the account sends. ---
    "400": Row(
        answer(refusal(400, f"Bad request by {KEY}"), "400 Bad"), REFUSED, GO_ON, "http_400", REFUSED_ALONE
    ),
    "422": Row(answer(refusal(422), "422 Bad"), REFUSED, GO_ON, "http_422", REFUSED_ALONE),
    "400 that speaks of credit": Row(
        answer(refusal(400, "Not enough SMS credit"), "400 Bad"),
        REFUSED, PAUSE, "insufficient_balance", STOPPED_BY_ACCOUNT,
    ),
    "401": Row(answer(ECHO, "401 Unauthorized"), REFUSED, STOP, "bad_key", STOPPED_BY_ACCOUNT),
    "401 in HTML": Row(answer(HTML, "401 Unauthorized"), REFUSED, STOP, "bad_key", STOPPED_BY_ACCOUNT),
    "401 with nothing": Row(answer(b"", "401 Unauthorized"), REFUSED, STOP, "bad_key", STOPPED_BY_ACCOUNT),
    "402": Row(answer(b"", "402 Pay"), REFUSED, PAUSE, "insufficient_balance", STOPPED_BY_ACCOUNT),
    "403": Row(answer(HTML, "403 No"), REFUSED, STOP, "http_403", STOPPED_BY_ACCOUNT),
    "404": Row(answer(HTML, "404 No"), REFUSED, STOP, "http_404", STOPPED_BY_HOST),
    "405": Row(answer(refusal(405), "405 No"), REFUSED, STOP, "http_405", STOPPED_BY_HOST),
    "415": Row(answer(b"", "415 No"), REFUSED, STOP, "http_415", STOPPED_BY_HOST),
    "400 that says that it sent": Row(
        answer(envelope(400, True, []), "400 Bad"), UNKNOWN, STOP, "contradictory_reply", IN_DOUBT_AND_STOPPED
    ),
    # --- Nobody knows, and it is no passing trouble. ---
    "408": Row(answer(b"", "408 Timeout"), UNKNOWN, STOP, "http_408", IN_DOUBT_AND_STOPPED),
    "409": Row(answer(b"", "409 Conflict"), UNKNOWN, STOP, "http_409", IN_DOUBT_AND_STOPPED),
    "418": Row(answer(HTML, "418 Teapot"), UNKNOWN, STOP, "http_418", IN_DOUBT_AND_STOPPED),
    # --- Not sent: halved, or made again later. ---
    "413": Row(answer(b"", "413 Large"), NOT_SENT, SPLIT, "too_large", DONE_IN_HALVES),
    "413 inside": Row(answer(refusal(413)), NOT_SENT, SPLIT, "too_large", DONE_IN_HALVES),
    "429": Row(answer(HTML, "429 Slow"), NOT_SENT, SLOW_DOWN, "rate_limited", DONE_AGAIN),
    "429, in 7 s": Row(
        answer(b"", "429 Slow", "RETRY-AFTER: 7"), NOT_SENT, SLOW_DOWN, "rate_limited", DONE_AGAIN, retry_after_s=7
    ),
    "429, in 301 s": Row(
        answer(b"", "429 Slow", "Retry-After: 301"),
        NOT_SENT,
        SLOW_DOWN,
        "rate_limited",
        STOPPED_BY_LONG_WAIT,
        retry_after_s=301,
    ),
    "429, soon": Row(
        answer(b"", "429 Slow", "Retry-After: soon"), NOT_SENT, SLOW_DOWN, "rate_limited", DONE_AGAIN
    ),
    "429 inside": Row(answer(refusal(429)), NOT_SENT, SLOW_DOWN, "rate_limited", DONE_AGAIN),
    # --- Their trouble, and nobody knows how far they came. ---
    "500": Row(answer(refusal(500), "500 Oops"), UNKNOWN, GO_ON, "http_500", IN_DOUBT),
    "500 in HTML": Row(answer(HTML, "500 Oops"), UNKNOWN, GO_ON, "http_500", IN_DOUBT),
    "502, cut": Row(answer(b"<ht", "502 Bad", length=99), UNKNOWN, GO_ON, "http_502", IN_DOUBT),
    "503": Row(answer(b"", "503 Busy", "Retry-After: 1"), UNKNOWN, GO_ON, "http_503", IN_DOUBT, retry_after_s=1),
    "504": Row(answer(HTML, "504 Late"), UNKNOWN, GO_ON, "http_504", IN_DOUBT),
    # --- HTTP 200 with another word inside. ---
    "401 inside": Row(answer(ECHO), REFUSED, STOP, "bad_key", STOPPED_BY_ACCOUNT),
    "405 inside": Row(answer(refusal(405)), REFUSED, STOP, "body_405", STOPPED_BY_HOST),
    "400 inside": Row(answer(refusal(400)), REFUSED, GO_ON, "body_400", REFUSED_ALONE),
    "409 inside": Row(answer(refusal(409)), UNKNOWN, STOP, "body_409", IN_DOUBT_AND_STOPPED),
    "500 inside": Row(answer(refusal(500)), UNKNOWN, GO_ON, "body_500", IN_DOUBT),
    "success false": Row(answer(refusal(200, "Bad sender ID")), REFUSED, GO_ON, "refused", REFUSED_ALONE),
    "success false, data null": Row(answer(envelope(400, False)), REFUSED, GO_ON, "body_400", REFUSED_ALONE),
    "success false, no balance": Row(
        answer(refusal(200, "Insufficient balance.")), REFUSED, PAUSE, "insufficient_balance", STOPPED_BY_ACCOUNT
    ),
    "success false, suspended": Row(
        answer(refusal(200, "Account is inactive or suspended.")),
        REFUSED, PAUSE, "account_suspended", STOPPED_BY_ACCOUNT,
    ),
    "success false, statusCode is a text": Row(
        answer(refusal("401")), UNKNOWN, GO_ON, "refusal_without_status", IN_DOUBT
    ),
    "success false, no statusCode": Row(
        answer(refusal(None)), UNKNOWN, GO_ON, "refusal_without_status", IN_DOUBT
    ),
    "success false with counters": Row(
        answer(envelope(400, False, {"sms_sent": 0})), UNKNOWN, GO_ON, "refusal_with_data", IN_DOUBT
    ),
    # --- Accepted. ---
    "200": Row(answer(receipt()), ACCEPTED, GO_ON, "ok", DONE),
    "201": Row(answer(receipt(), "201 Created"), ACCEPTED, GO_ON, "ok", DONE),
    "100 Continue first": Row(
        replying_once(b"HTTP/1.1 100 Continue\r\n\r\n" + http(receipt(), "200 OK", "Connection: close")),
        ACCEPTED, GO_ON, "ok", DONE,
    ),
    "no length": Row(replying_once(b"HTTP/1.1 200 OK\r\n\r\n" + receipt()), ACCEPTED, GO_ON, "ok", DONE),
    "chunked": Row(replying_once(chunked(receipt(), b"")), ACCEPTED, GO_ON, "ok", DONE),
    "gzip that nobody asked for": Row(
        answer(gzip.compress(receipt()), "200 OK", GZIP), ACCEPTED, GO_ON, "ok", DONE
    ),
    "a byte order mark": Row(answer(b"\xef\xbb\xbf" + receipt()), ACCEPTED, GO_ON, "ok", DONE),
    "numbers as texts": Row(
        answer(receipt(recipients_count="2", sms_cost="100.00")), ACCEPTED, GO_ON, "ok", DONE
    ),
    "unknown fields": Row(answer(receipt(network=["MTN"], key=KEY)), ACCEPTED, GO_ON, "ok", DONE),
    "no optional fields": Row(
        answer(receipt(unsupported_contacts="absent", unsupported_contacts_count="absent")),
        ACCEPTED, GO_ON, "ok", DONE,
    ),
    "success is a text, counts add up": Row(
        answer(receipt().replace(b"true", b'"true"')), ACCEPTED, GO_ON, "ok", DONE
    ),
    "another cost": Row(answer(receipt(sms_cost=120)), ACCEPTED, GO_ON, "ok", DONE),
    "no cost": Row(answer(receipt(sms_cost=None)), ACCEPTED, GO_ON, "cost_missing", DONE),
    "a balance in words": Row(
        answer(receipt(new_balance="n/a")), ACCEPTED, GO_ON, "new_balance_unreadable", DONE
    ),
    "data is a list": Row(answer(envelope(data=[])), ACCEPTED, GO_ON, "no_data", DONE),
    "data is null": Row(answer(envelope()), ACCEPTED, GO_ON, "no_data", DONE),
    "one counted too few": Row(
        answer(receipt(recipients_count=1, sms_sent=1)), ACCEPTED, GO_ON, "counts_inconsistent", DONE, "vv"
    ),
    "one counted too many": Row(
        answer(receipt(recipients_count=3, sms_sent=3)),
        ACCEPTED, PAUSE, "count_above_submitted", DONE_THEN_STOPPED, "vv",
    ),
    "half a shilling": Row(
        answer(receipt(sms_cost=100.5)), ACCEPTED, PAUSE, "cost_not_whole", DONE_THEN_STOPPED
    ),
    "a cost that is an echo": Row(
        answer(receipt(sms_cost=KEY)), ACCEPTED, PAUSE, "cost_not_whole", DONE_THEN_STOPPED
    ),
    # --- The forms of unsupported_contacts: the second person cannot be reached. ---
    **{
        f"unsupported: {form}": Row(answer(body), ACCEPTED, GO_ON, "ok", DONE, "as")
        for form, body in {
            "national": unsupported(["0772000004"], count=1),
            "without the zero": unsupported(["772000004"]),
            "international": unsupported(["+256772000004"]),
            "with 256": unsupported(["256772000004"]),
            "with 00256": unsupported(["00256772000004"]),
            "with spaces": unsupported(["+256 772 000-004"]),
            "with .0": unsupported(["256772000004.0"]),
            "an integer": unsupported([256772000004]),
            "a national integer": unsupported([772000004]),
            "an object": unsupported([{"contact": "0772000004", "network": "Airtel"}]),
            "an object with an integer": unsupported([{"msisdn": 256772000004}]),
            "number to reason": unsupported({"0772000004": "no route"}),
            "as PHP writes a list with holes": unsupported({"3": "0772000004"}),
            "one text": unsupported("0772000004"),
            "twice": unsupported("0772000004", "+256772000004", count=1),
            "counted among the recipients": unsupported(["0772000004"], count="1", counted=2),
        }.items()
    },
    "unsupported: one comma-joined text": Row(
        answer(unsupported("0772000003, 0772000004", count=2, counted=0)), ACCEPTED, GO_ON, "ok", DONE, "ss"
    ),
    "unsupported: null": Row(answer(receipt(unsupported_contacts=None)), ACCEPTED, GO_ON, "ok", DONE),
    "unsupported: a bare count": Row(
        answer(unsupported(1, counted=1)), ACCEPTED, GO_ON, "counts_inconsistent", DONE, "vv"
    ),
    "unsupported: a bare zero": Row(answer(receipt(unsupported_contacts=0)), ACCEPTED, GO_ON, "ok", DONE),
    "unsupported: two said, one named": Row(
        answer(unsupported(["0772000004"], count=2)), ACCEPTED, GO_ON, "counts_inconsistent", DONE, "vs"
    ),
    "unsupported: a number that was not in the call": Row(
        answer(unsupported(["0701999999"], count=1)),
        ACCEPTED, PAUSE, "unsupported_not_in_call", DONE_THEN_STOPPED, "vv",
    ),
    "unsupported: one of each": Row(
        answer(unsupported("0772000004", "0701999999", count=2)),
        ACCEPTED, PAUSE, "unsupported_not_in_call", DONE_THEN_STOPPED, "vs",
    ),
    "unsupported: an echo": Row(
        answer(unsupported([f"key {KEY}"], count=1)), ACCEPTED, GO_ON, "counts_inconsistent", DONE, "vv"
    ),
    "unsupported: no number": Row(
        answer(unsupported(["a landline"], count=1)), ACCEPTED, GO_ON, "counts_inconsistent", DONE, "vv"
    ),
}  # fmt: skip
