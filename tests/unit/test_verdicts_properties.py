"""Whatever the API replies: no exception, and never a second call for people who may have been texted."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mambo_io.model import Category, SendRequest, Verdict
from mambo_io.verdicts import judge_reply

REQUEST = SendRequest("Hello", ("+256772100001", "+256756100002"), Category.INFO, "MamboSMS")
COUNTERS = ("recipients_count", "message_count", "sms_sent", "sms_cost")

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2, 100, 200, 201, 400, 401, 413, 429, 500])
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["0772100001", "256756100002", "+254722000111", "2", "8,580.00", "9" * 400, "\ud800", "\0", "true"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
datas = values | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(COUNTERS, scalars),
        "new_balance": scalars,
        "unsupported_contacts_count": scalars,
        "unsupported_contacts": values,
    },
)
envelopes = st.fixed_dictionaries(
    {}, optional={"statusCode": scalars, "success": st.booleans() | scalars, "messages": values, "data": datas}
)
statuses = st.integers(100, 599) | st.sampled_from([200, 201, 301, 400, 401, 413, 429, 500])


def says_that_something_was_sent(envelope: dict[str, Any]) -> bool:
    data = envelope.get("data")
    counted = isinstance(data, dict) and any(data.get(name) is not None for name in COUNTERS)
    return envelope.get("success") is True or counted


@given(status=statuses, envelope=envelopes)
@example(status=413, envelope={"success": True})
@example(status=200, envelope={"statusCode": 400, "success": False, "data": {"sms_sent": 2}})
def test_a_reply_that_speaks_of_sending_never_allows_a_second_call(status: int, envelope: dict[str, Any]) -> None:
    result = judge_reply(status, json.dumps(envelope).encode(), REQUEST)

    if says_that_something_was_sent(envelope):
        assert result.verdict in (Verdict.ACCEPTED, Verdict.UNKNOWN)


@given(status=statuses, envelope=envelopes)
def test_what_is_kept_of_a_reply_can_be_stored_and_shown(status: int, envelope: dict[str, Any]) -> None:
    result = judge_reply(status, json.dumps(envelope).encode(), REQUEST)

    kept = [result.raw_reply or "", *result.messages]
    if result.receipt is not None:
        kept += [contact.raw for contact in result.receipt.unsupported] + [result.receipt.sms_cost_raw or ""]
        for name in ("recipients_count", "message_count", "sms_sent", "sms_cost_ugx", "unsupported_count"):
            assert (getattr(result.receipt, name) or 0) in range(2**63)
        assert {contact.e164 for contact in result.receipt.unsupported} <= {None, *REQUEST.recipients}
    for text in kept:
        assert "\0" not in text
        text.encode()


@given(
    status=statuses,
    body=st.binary(max_size=200),
    complete=st.booleans(),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "retry-after": st.text(max_size=40),
            "content-encoding": st.sampled_from(["gzip", "deflate", "identity", "br", "gzip, br", ""]),
        },
    ),
)
def test_any_bytes_under_any_headers_are_judged(
    status: int, body: bytes, complete: bool, headers: dict[str, str]
) -> None:
    judge_reply(status, body, REQUEST, headers=headers, complete=complete)
