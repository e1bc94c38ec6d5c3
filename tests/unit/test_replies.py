"""Reading reply bodies: every written form that may come, and what must not be kept of it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambo_io.model import Balance, Category, SendRequest
from mambo_io.replies import (
    BalanceRefused,
    BalanceUnavailable,
    read_balance,
    read_receipt,
    read_reply,
    read_whole,
    without,
)

A, B, C = "+256772123456", "+256756406178", "+256701234567"
REQUEST = SendRequest("Hello", (A, B, C), Category.CUSTOMISED, "MamboSMS")

WHOLE_NUMBERS = [
    (900, 900),
    (0, 0),
    ("900", 900),
    (" 900 ", 900),
    ("8,580.00", 8580),
    ("1,234", 1234),
    (Decimal("900.00"), 900),
    (Decimal("9E+2"), 900),
    ("-20", -20),
    ("900.5", None),
    (Decimal("900.5"), None),
    (Decimal("1E+999999"), None),
    ("8.580,00", None),
    ("85,80", None),
    ("0772123456", None),  # a number for telephoning, not for counting
    ("UGX 900", None),
    ("9e2", None),
    ("NaN", None),
    ("٩٠٠", None),
    ("", None),
    (True, None),
    (None, None),
    ([900], None),
    (10_001, None),
    (-101, None),
]


@pytest.mark.parametrize(("value", "expected"), WHOLE_NUMBERS, ids=lambda value: repr(value))
def test_numbers_are_read_leniently_in_type_and_strictly_in_range(value: object, expected: int | None) -> None:
    assert read_whole(value, low=-100, high=10_000) == expected


# `unsupported_contacts` as it might come, and the recipients that it names (None: an item that names none).
UNSUPPORTED = [
    pytest.param(["0772123456", "0756406178"], [A, B], id="as the page writes numbers"),
    pytest.param(["+256772123456"], [A], id="E.164"),
    pytest.param(["256772123456"], [A], id="without plus"),
    pytest.param(["00256772123456"], [A], id="with 00"),
    pytest.param(["772123456"], [A], id="national"),
    pytest.param(["+256 (0)772 123-456"], [A], id="with separators"),
    pytest.param([772123456, 256756406178], [A, B], id="integers"),
    pytest.param([772123456.0, 2.56756406178e11], [A, B], id="numbers with a point"),
    pytest.param(["772123456.0"], [A], id="a text that was a float"),
    pytest.param(["0772123456 (MTN)"], [A], id="with a remark"),
    pytest.param([{"contact": "0772123456", "reason": "Unsupported network"}], [A], id="objects"),
    pytest.param([{"id": 7, "number": 772123456}], [A], id="objects with integers"),
    pytest.param([{"number": "0772123456", "msisdn": "256772123456"}], [A], id="an object that says it twice"),
    pytest.param("0772123456, 0756406178", [A, B], id="one text, commas"),
    pytest.param("0772123456;0756406178\n", [A, B], id="one text, semicolons and lines"),
    pytest.param(["0772123456,0756406178"], [A, B], id="a list of one text"),
    pytest.param({"0": "0772123456", "2": "0756406178"}, [A, B], id="a PHP list with holes"),
    pytest.param({"0772123456": "Unsupported network"}, [A], id="number to reason"),
    pytest.param({"contact": "0772123456"}, [A], id="one object for a list"),
    pytest.param(772123456, [A], id="one integer for a list"),
    pytest.param(["0772123456", "+256772123456"], [A], id="the same person twice"),
    pytest.param([], [], id="none"),
    pytest.param(None, [], id="null"),
    pytest.param("", [], id="an empty text"),
    pytest.param({}, [], id="an empty object"),
    pytest.param(False, [], id="false"),
    pytest.param([None], [], id="a list of null"),
    pytest.param(0, [], id="a bare zero"),
    pytest.param(["0701999999"], [None], id="not in the call"),
    pytest.param(["+254772123456"], [None], id="the same digits in another country"),
    pytest.param(["0772123456 0756406178"], [None], id="two without a comma are not guessed at"),
    pytest.param(["0772xxx456"], [None], id="masked"),
    pytest.param([[["0772123456"]]], [A], id="lists in lists"),
    pytest.param([True], [None], id="true"),
    pytest.param([{}], [None], id="a list of an empty object"),
]


@pytest.mark.parametrize(("listed", "named"), UNSUPPORTED)
def test_unsupported_contacts_are_matched_to_the_recipients_of_the_call(
    listed: object, named: list[str | None]
) -> None:
    envelope = read_reply(json.dumps({"data": {"recipients_count": 3, "unsupported_contacts": listed}}).encode())
    assert envelope is not None

    receipt = read_receipt(envelope.data, REQUEST)

    assert [contact.e164 for contact in receipt.unsupported] == named
    assert receipt.consistent is (None not in named)


@given(
    national=st.from_regex(r"7[0-9]{8}", fullmatch=True),
    written=st.sampled_from(["{0}", "0{0}", "256{0}", "+256{0}", "00256{0}", "000256{0}", "+256 (0){0}", "Tel: 0{0}."]),
    gap=st.sampled_from(["", " ", "-", ".", "\u00a0"]),
)
def test_a_recipient_is_found_in_every_written_form(national: str, written: str, gap: str) -> None:
    e164 = f"+256{national}"
    text = written.format(gap.join((national[:3], national[3:6], national[6:])))
    request = SendRequest("Hello", (e164,), Category.CUSTOMISED, "MamboSMS")

    (contact,) = read_receipt({"unsupported_contacts": [text]}, request).unsupported

    assert (contact.e164, contact.raw) == (e164, text)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [("450.50", "450.50"), (Decimal("450.50"), "450.50"), ("UGX 900", "UGX 900"), ([], "[]"), ("x" * 99, "x" * 40)],
)
def test_a_cost_that_is_no_whole_number_is_kept_as_it_came(cost: object, kept: str) -> None:
    receipt = read_receipt({"sms_cost": cost}, REQUEST)
    assert (receipt.sms_cost_ugx, receipt.sms_cost_raw) == (None, kept)


def test_messages_are_masked_and_can_be_stored() -> None:
    reply = read_reply(b'{"messages": ["Call +256 775 508171\\u0000\\ud800.", 7, null, "Bye."]}')

    assert reply is not None
    assert reply.messages == ("Call +256775•••171\ufffd?.", "Bye.")


@pytest.mark.parametrize("kept", range(4, 7))
def test_a_secret_within_which_a_text_was_cut_is_taken_out(kept: int) -> None:
    assert without(f"Authorization: {'ab/c+9='[:kept]}", "ab/c+9=") == "Authorization: •••"


def test_a_text_that_only_ends_like_a_secret_begins_stays_as_it_is() -> None:
    assert without("0.5 kg of ab/", "ab/c+9=") == "0.5 kg of ab/"


@pytest.mark.parametrize(
    "echo", ["ab/c+9=", json.dumps("ab/c+9="), r"ab\/c+9="], ids=["as it is", "JSON", "JSON as PHP writes it"]
)
def test_a_secret_that_is_echoed_is_taken_out(echo: str) -> None:
    assert without(f"Authorization: {echo}", "ab/c+9=").replace('"', "") == "Authorization: •••"


def balance_reply(balance: object, success: object = True, *said: str) -> bytes:
    data = {"client_id": 42, "name": "Jane Doe", "email": "jane@example.com", "balance": balance}
    return json.dumps({"statusCode": 200, "success": success, "messages": said, "data": data}).encode()


@pytest.mark.parametrize(("written", "ugx"), [(12500, 12500), ("12,500.00", 12500), (0, 0), (-50, -50)])
def test_only_the_balance_is_read(written: object, ugx: int) -> None:
    assert read_balance(200, balance_reply(written)) == Balance(ugx)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, balance_reply(0, False, "Invalid credentials"), "Invalid credentials"),
        (200, balance_reply(0, False, "Suspended. Call +256 775 508171."), r"Suspended\. Call \+256775•••171\."),
        (400, balance_reply(0, False, "Missing username"), "Missing username"),
        (401, b"<html>", "HTTP 401"),
        (403, None, "HTTP 403"),
        (200, balance_reply(0, False, "No account jane@example.com with pa55word"), "No account ••• with •••"),
    ],
)
def test_a_refused_balance(status: int, body: bytes | None, told: str) -> None:
    with pytest.raises(BalanceRefused, match=told) as refused:
        read_balance(status, body, secrets=("jane@example.com", "pa55word"))
    assert "before asking again" in refused.value.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, None),
        (200, b""),
        (200, b"<html>"),
        (200, b'{"success": true, "data": []}'),
        (200, balance_reply(12500.5)),
        (200, balance_reply(None)),
        (200, balance_reply(12500, "true")),
        (302, balance_reply(12500)),
        (500, balance_reply(12500)),
    ],
)
def test_a_reply_that_holds_no_balance(status: int, body: bytes | None) -> None:
    with pytest.raises(BalanceUnavailable, match=f"HTTP {status}") as unavailable:
        read_balance(status, body)
    assert "Jane" not in repr(unavailable.value)
