"""Reading the API's reply bodies: leniently in type, strictly in range, and never raising on what came.

The envelope of every reply is `statusCode`, `success`, `messages`, `data` (the API page, "Response format").
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from mambo_io.errors import InputError, Stopped
from mambo_io.masking import mask_text
from mambo_io.model import Balance, Receipt, SendRequest, UnsupportedContact

MAX_REPLY_BYTES = 1 << 20  # a reply that lists 1,000 unsupported contacts as objects is a fifth of it
MAX_KEPT_CHARS = 1 << 16  # of the raw reply, as evidence

_TELLS_NOTHING = 4  # characters of a secret that may stand at the end of a text that was cut

_MAX_COUNT = 2**31 - 1  # a 32-bit column
_MAX_UGX = 10**12
_COUNTERS = frozenset({"recipients_count", "message_count", "sms_sent", "sms_cost"})

_WRITTEN_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,6}|[1-9][0-9]{0,17})(?:\.[0-9]{1,6})?")
_PHONE_NUMBER = re.compile(r"\+?[0-9](?:[ \u00a0().\-/]{0,2}[0-9]){6,}")
_NATIONAL = re.compile(r"(?:(?:00|000)?256)?0?([0-9]{9})")
_ITEM_SEPARATOR = re.compile(r"[,;\n|]")


class BalanceRefused(InputError):
    """The API refused the credentials, or the account is suspended. Asking again can only make it worse."""


class BalanceUnavailable(Stopped):
    """No balance came: no connection, no answer, or one that cannot be read. It says nothing about the account."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's envelope. `success` is None unless a JSON boolean, `status_code` unless a JSON integer up to 999."""

    status_code: int | None
    success: bool | None
    seems_good: bool  # `success` is missing, or not a boolean but written like a true one
    messages: tuple[str, ...]  # masked
    data: object

    @property
    def has_counters(self) -> bool:
        """Whether `data` counts anything, even zero: a documented refusal has `"data": []`."""
        return isinstance(self.data, dict) and any(self.data.get(name) is not None for name in _COUNTERS)

    @property
    def has_data(self) -> bool:
        return self.data not in (None, [], {})

    @property
    def speaks_of_sending(self) -> bool:
        """Whether anything here says that messages went out, so that no refusal can be believed."""
        return self.success is True or self.has_counters


def read_reply(body: bytes) -> Reply | None:
    """The envelope, or None when the body is not a JSON object in UTF-8."""
    try:
        # Decimal keeps a cost as it was written. A cost of NaN stays a text.
        envelope = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=str)
    except (ValueError, ArithmeticError, RecursionError):  # ArithmeticError: an exponent beyond Decimal's
        return None
    if not isinstance(envelope, dict):
        return None
    status_code, success = envelope.get("statusCode"), envelope.get("success")
    return Reply(
        status_code=status_code if type(status_code) is int and 0 <= status_code <= 999 else None,
        success=success if isinstance(success, bool) else None,
        seems_good="success" not in envelope or str(success).lower() in ("true", "1"),
        messages=_messages(envelope.get("messages")),
        data=envelope.get("data"),
    )


def decode_body(body: bytes, content_encoding: str) -> bytes | None:
    """Undo a `Content-Encoding` that we never asked for; None when that fails or is more than `MAX_REPLY_BYTES`."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            decoder = zlib.decompressobj(wbits=47)  # 47: gzip or zlib, told by the header
            try:
                decoded = decoder.decompress(body, MAX_REPLY_BYTES)
            except zlib.error:
                return None
            return decoded if decoder.eof else None
        case _:
            return None


def kept_text(body: bytes) -> str:
    """A raw reply as the ledger keeps it: at most `MAX_KEPT_CHARS`, and nothing that a database refuses."""
    return _storable(body[: 4 * MAX_KEPT_CHARS].decode("utf-8", "replace"))[:MAX_KEPT_CHARS]


def without(text: str, *secrets: str) -> str:
    """`text` without the secrets, also as PHP writes them in JSON (`\\/`), and where it was cut within one."""
    for secret in filter(None, secrets):
        for written in _written(secret):
            text = text.replace(written, "•••")
            begins = text.rfind(written[:_TELLS_NOTHING], -len(written))
            if begins >= 0 and written.startswith(text[begins:]):
                text = text[:begins] + "•••"
    return text


@lru_cache(maxsize=8)
def _written(secret: str) -> tuple[str, ...]:
    in_json = json.dumps(secret)[1:-1]
    return secret, in_json, in_json.replace("/", "\\/")


def read_whole(value: object, *, low: int, high: int) -> int | None:
    """A whole number between `low` and `high`, from `900`, `900.0`, `"900"` or `"8,580.00"`; otherwise None."""
    if isinstance(value, str):
        text = value.strip()
        if not _WRITTEN_NUMBER.fullmatch(text):
            return None
        value = Decimal(text.replace(",", ""))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return int(value) if low <= value <= high and value == int(value) else None


def read_receipt(data: object, request: SendRequest) -> Receipt:
    """`data` of a good send-sms reply, judged against the call that it answers.

    `consistent`: `recipients_count` is what was submitted, or that less the unsupported, and every unsupported
    contact is a recipient of the call. A `data` without counts does not add up; a reply without `data` names no cost.

    Alarms, worst first: `unsupported_not_in_call`, `count_above_submitted`, `cost_not_whole`; then those that are
    only reported: `no_data`, `counts_inconsistent`, `unsupported_unreadable`, `sms_sent_not_product`,
    `cost_missing`, `new_balance_unreadable`.
    """
    if not isinstance(data, dict):
        return Receipt(consistent=True, alarms=("no_data",))  # it counts nobody, so nothing disagrees

    def count(name: str) -> int | None:
        return read_whole(data.get(name), low=0, high=_MAX_COUNT)

    recipients_count, message_count, sms_sent = count("recipients_count"), count("message_count"), count("sms_sent")
    listed = data.get("unsupported_contacts")
    bare_count = read_whole(listed, low=0, high=9_999)  # `"unsupported_contacts": 3`, where a list should be
    unsupported = () if bare_count is not None else _unsupported(listed, request.recipients)
    unsupported_counts = [n for n in (count("unsupported_contacts_count"), bare_count) if n is not None]
    cost_ugx = read_whole(data.get("sms_cost"), low=0, high=_MAX_UGX)
    balance_ugx = read_whole(data.get("new_balance"), low=-_MAX_UGX, high=_MAX_UGX)

    submitted = len(request.recipients)
    named = sum(contact.e164 is not None for contact in unsupported)
    unmatched = [contact.raw for contact in unsupported if contact.e164 is None]
    consistent = (
        not unmatched
        and all(n == named for n in unsupported_counts)
        and recipients_count in (submitted, submitted - named)
    )
    product = None if recipients_count is None or message_count is None else recipients_count * message_count
    alarms = {
        "unsupported_not_in_call": any(_PHONE_NUMBER.search(raw) for raw in unmatched),
        "count_above_submitted": max(recipients_count or 0, *unsupported_counts, 0) > submitted,
        "cost_not_whole": cost_ugx is None and data.get("sms_cost") is not None,
        "counts_inconsistent": not consistent,
        "unsupported_unreadable": any(not _PHONE_NUMBER.search(raw) for raw in unmatched),
        "sms_sent_not_product": None not in (sms_sent, product) and sms_sent != product,
        "cost_missing": data.get("sms_cost") is None,
        "new_balance_unreadable": balance_ugx is None and data.get("new_balance") is not None,
    }
    return Receipt(
        recipients_count=recipients_count,
        message_count=message_count,
        sms_sent=sms_sent,
        sms_cost_ugx=cost_ugx,
        sms_cost_raw=_raw_cost(data["sms_cost"]) if alarms["cost_not_whole"] else None,
        new_balance_ugx=balance_ugx,
        unsupported_count=unsupported_counts[0] if unsupported_counts else None,
        unsupported=unsupported,
        consistent=consistent,
        alarms=tuple(code for code, raised in alarms.items() if raised),
    )


def read_balance(http_status: int, body: bytes | None, *, secrets: tuple[str, ...] = ()) -> Balance:
    """The balance in a reply of the balance endpoint (`body` None: it was cut short).

    `secrets` are taken out of what the reply says, should it echo the credentials.

    Raises BalanceRefused for `"success": false` (HTTP 200 by the API page) and for 401 and 403; BalanceUnavailable
    for anything else that is no balance. Both texts are masked; nothing else of the reply is kept.
    """
    reply = read_reply(body) if body is not None else None
    if http_status in (401, 403) or (reply is not None and reply.success is False):
        said = without(" ".join(reply.messages), *secrets) if reply is not None else ""
        raise BalanceRefused(
            f"the balance was refused: {said or f'HTTP {http_status}'}",
            fix="Check MAMBO_USERNAME and MAMBO_PASSWORD before asking again: failed attempts suspend the account.",
        )
    if reply is not None and reply.success and 200 <= http_status <= 299 and isinstance(reply.data, dict):
        balance_ugx = read_whole(reply.data.get("balance"), low=-_MAX_UGX, high=_MAX_UGX)
        if balance_ugx is not None:
            return Balance(balance_ugx)
    raise BalanceUnavailable(
        f"The balance could not be read: no balance in whole UGX in the reply (HTTP {http_status})."
    )


def _messages(value: object) -> tuple[str, ...]:
    texts = value[:20] if isinstance(value, list) else [value]
    return tuple(_storable(mask_text(text))[:300] for text in texts if isinstance(text, str))


def _storable(text: str) -> str:
    """Without NUL, which PostgreSQL refuses, and lone surrogates, which no encoder takes."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _raw_cost(value: object) -> str:
    text = _storable(_text(value))[:40]
    return text if _WRITTEN_NUMBER.fullmatch(text.strip()) else mask_text(text)


def _unsupported(listed: object, recipients: tuple[str, ...]) -> tuple[UnsupportedContact, ...]:
    """What `unsupported_contacts` lists: each recipient once, and each item that names none as it came."""
    items = _items(listed)
    recipient_by_national = {e164[-9:]: e164 for e164 in recipients} if items else {}
    contacts: dict[str, UnsupportedContact] = {}
    for item in items:
        raw = _storable(_text(item).strip())[:200]
        # Where a number may stand: the item itself, or the values of an object.
        parts = item.values() if isinstance(item, dict) else [item]
        named = [e164 for part in parts for e164 in _named(_text(part), recipient_by_national)]
        for e164 in named or (None,):
            contacts.setdefault(e164 or raw, UnsupportedContact(raw=raw, e164=e164))
    return tuple(contacts.values())


def _items(value: object) -> list[Any]:
    match value:
        case None | False:
            return []
        case str():
            return [part for part in _ITEM_SEPARATOR.split(value) if part.strip()]
        case list():
            return [item for part in value for item in (_items(part) if isinstance(part, str | None) else [part])]
        case dict() if any(_PHONE_NUMBER.fullmatch(key) for key in value):  # number -> why
            return list(value)
        case dict() if value and all(key.isdecimal() for key in value):  # what PHP makes of a list with holes
            return list(value.values())
        case dict() if not value:
            return []
        case _:
            return [value]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):  # 772123456.0, 2.56772123456E+11
        whole = read_whole(value, low=0, high=10**15)
        return str(value if whole is None else whole)
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"


def _named(text: str, recipient_by_national: dict[str, str]) -> list[str]:
    """The recipients that `text` names: the same nine national digits, behind nothing but Uganda's own prefixes."""
    runs = (re.sub(r"[^0-9]", "", re.sub(r"\.00?$", "", run)) for run in _PHONE_NUMBER.findall(text))
    nationals = (found.group(1) for run in runs if (found := _NATIONAL.fullmatch(run)))
    return [recipient_by_national[national] for national in nationals if national in recipient_by_national]
