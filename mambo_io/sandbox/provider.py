"""The documented contract: what both endpoints check, do and answer. No HTTP server here, and no faults of its own.

Source of every rule, text and field: the provider's API page. What the page leaves open stands in `SandboxOptions`.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
from dataclasses import dataclass
from typing import Any

from mambo_io.sandbox.faults import Charge
from mambo_io.sandbox.options import SandboxOptions
from mambo_io.sandbox.record import AccountState, Call, Order, Record
from mambo_io.sandbox.sms import CATEGORIES, CUSTOMISED_NETWORKS, count_segments, network_of, to_e164

_SUSPENDED = "Account suspended due to too many failed attempts. Contact support."
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write one, UTF-8 and SQLite cannot
_INACTIVE = "Account is inactive or suspended. Contact support on +256 775 508171."


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of every answer, and the HTTP status that it goes out with (200 with a `statusCode` of 201)."""

    http_status: int
    status_code: int
    success: bool
    messages: list[str]
    data: dict[str, Any] | list[Any]  # the documented object, or [] on failure; a fault may put anything into it

    def body(self) -> dict[str, Any]:
        return {
            "statusCode": self.status_code,
            "success": self.success,
            "messages": self.messages,
            "data": self.data,
        }


def failure(status: int, *messages: str) -> Envelope:
    """An answer with `success` false and no data, whose HTTP status is the body's."""
    return Envelope(status, status, False, list(messages), [])


class Provider:
    def __init__(self, options: SandboxOptions, record: Record) -> None:
        self._options = options
        self._record = record
        self._logins = {_login(name) for name in (self._contact, self._email)}

    @property
    def _contact(self) -> str:
        return "0756000042" if "@" in self._options.username else self._options.username

    @property
    def _email(self) -> str:
        return self._options.username if "@" in self._options.username else "jane@example.com"

    def send_sms(self, call: Call, charge: Charge | None = None) -> Envelope:
        """Check, charge, deliver. `charge` makes the provider count or price otherwise than it says it does."""
        try:
            self._check_key(call)
            parameters = _parameters(call, "message", "recipients", "message_category", "sender_id")
            problems = []
            if parameters["message_category"] not in CATEGORIES:
                problems.append(f"message_category must be one of: {', '.join(CATEGORIES)}")
            if len(parameters["sender_id"]) > 11:
                problems.append("sender_id must not be longer than 11 characters")
            contacts = list(filter(None, map(str.strip, parameters["recipients"].split(","))))
            if not contacts:
                problems.append("recipients is required")
            if problems:
                raise _Refused(failure(400, *problems))
            call.submitted = len(contacts)
            if len(contacts) > self._options.max_recipients:
                raise _Refused(failure(413, f"A request may have {self._options.max_recipients} recipients at most"))
            self._check_active()
        except _Refused as refused:
            return refused.envelope

        category = parameters["message_category"]
        segments = count_segments(parameters["message"])
        if charge and charge.segments is not None:
            segments = charge.segments
        deliveries, unsupported = self._split(contacts, category, segments, charge)
        cost_ugx = sum(charged for _, charged in deliveries)
        if self._options.unsupported_charged:
            cost_ugx += len(unsupported) * segments * self._price_ugx("", category, charge)

        order = Order(parameters["message"], parameters["sender_id"], category, segments, deliveries, cost_ugx)
        balance_ugx = self._record.execute(call, order)
        if balance_ugx is None:
            return failure(200, "Insufficient SMS balance. Please top up your account.")
        counted = len(contacts) if self._options.unsupported_counted else len(deliveries)
        data = {
            "recipients_count": counted,
            "message_count": segments,
            "sms_sent": counted * segments,
            "sms_cost": cost_ugx,
            "new_balance": balance_ugx,
            "unsupported_contacts_count": len(unsupported),
            "unsupported_contacts": unsupported,
        }
        return Envelope(200, 201, True, [f"SMS successfully sent to {counted} recipients."], data)

    def balance(self, call: Call) -> Envelope:
        """Judge the credentials and tell the balance. Every failure is HTTP 200, as the page has it."""
        try:
            parameters = _parameters(call, "username", "password")
            if _login(parameters["username"]) not in self._logins:
                raise _Refused(failure(200, "Invalid credentials"))
            account = self._record.account()
            if account.state is AccountState.SUSPENDED:
                raise _Refused(failure(200, _SUSPENDED))
            if parameters["password"] != self._options.password:
                failed = account.failed_logins + 1
                suspended = failed >= self._options.max_failed_logins
                self._record.set_login_state(AccountState.SUSPENDED if suspended else account.state, failed)
                raise _Refused(failure(200, _SUSPENDED if suspended else "Invalid credentials"))
            self._check_active()
        except _Refused as refused:
            return refused.envelope

        self._record.set_login_state(account.state, 0)
        data = {
            "client_id": 42,
            "name": "Jane Doe",
            "contact": self._contact,
            "email": self._email,
            "balance": account.balance_ugx,
        }
        return Envelope(200, 200, True, ["Balance fetched successfully"], data)

    def _check_key(self, call: Call) -> None:
        key = call.headers.get(b"authorization", b"")
        if not key:
            raise _Refused(failure(401, "Unauthorized: missing API key"))
        if key != self._options.api_key.encode("latin-1", "replace"):
            raise _Refused(failure(401, "Unauthorized: invalid API key"))

    def _check_active(self) -> None:
        match self._record.account().state:
            case AccountState.ACTIVE:
                return
            case AccountState.SUSPENDED:
                raise _Refused(failure(200, _SUSPENDED))
            case AccountState.INACTIVE:
                raise _Refused(failure(200, _INACTIVE))

    def _split(
        self, contacts: list[str], category: str, segments: int, charge: Charge | None
    ) -> tuple[list[tuple[str, int]], list[str]]:
        """Deliveries (E.164, charge) and the contacts that cannot be reached, as they were written.

        A contact that is listed twice is delivered and charged twice: the page promises nothing better.
        """
        deliveries: list[tuple[str, int]] = []
        unsupported: list[str] = []
        for contact in contacts:
            e164 = to_e164(contact)
            if e164 is None or e164.startswith(self._options.unsupported_prefix):
                unsupported.append(contact)
                continue
            network = network_of(e164)
            if category == "customised" and network not in CUSTOMISED_NETWORKS:
                unsupported.append(contact)
                continue
            deliveries.append((e164, segments * self._price_ugx(network, category, charge)))
        return deliveries, unsupported

    def _price_ugx(self, network: str, category: str, charge: Charge | None) -> int:
        if charge and charge.price_ugx is not None:
            return charge.price_ugx
        options = self._options
        return options.network_price_ugx.get(network, options.category_price_ugx.get(category, options.price_ugx))


class _Refused(Exception):
    def __init__(self, envelope: Envelope) -> None:
        super().__init__(envelope.status_code)
        self.envelope = envelope


def _parameters(call: Call, *names: str) -> dict[str, str]:
    """The required text parameters of a body; each that is missing, blank or no text is named in the refusal."""
    given = _form(call) if _media_type(call).startswith("multipart/form-data") else _json(call)
    problems = []
    for name in names:
        match given.get(name):
            case None:
                problems.append(f"{name} is required")
            case str(text) if not text.strip():
                problems.append(f"{name} is required")
            case str(text) if _LONE_SURROGATE.search(text):
                problems.append(f"{name} is not valid text")
            case str():
                pass
            case _:
                problems.append(f"{name} must be a string")
    if problems:
        raise _Refused(failure(400, *problems))
    return {name: given[name] for name in names}


def _json(call: Call) -> dict[str, Any]:
    try:
        given = json.loads(call.body)
    except (ValueError, RecursionError):
        raise _Refused(failure(400, "The request body is not valid JSON")) from None
    if not isinstance(given, dict):
        raise _Refused(failure(400, "The request body is not a JSON object"))
    return given


def _form(call: Call) -> dict[str, Any]:
    """multipart/form-data: the other branch of the page's PHP helper (`$dataType` other than 'json')."""
    head = f"Content-Type: {_media_type(call)}\r\n\r\n".encode()
    parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + call.body)
    fields: dict[str, Any] = {}
    for part in parsed.iter_parts():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            fields[str(part.get_param("name", header="content-disposition"))] = content.decode("utf-8", "replace")
    return fields


def _media_type(call: Call) -> str:
    return call.headers.get(b"content-type", b"").decode("latin-1")


def _login(username: str) -> str:
    """A user name as it is compared: a phone number in any of its three forms, an e-mail address in any case."""
    return to_e164(username.strip()) or username.strip().casefold()
