"""What the clients refuse before a byte leaves, and that no refusal shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from mambo_io.client import AsyncMamboClient, MamboClient
from mambo_io.errors import InputError, SettingsError
from mambo_io.model import Category, SendRequest
from support.raw_server import close_at_once, serving

KEY = "canary/key+9f3b="
PASSWORD = "canary-pa55word"

GOOD: dict[str, Any] = {
    "message": "Hello",
    "recipients": ("+256772123456", "+256756406178"),
    "category": Category.INFO,
    "sender_id": "MamboSMS",
}


def changed(**fields: Any) -> SendRequest:
    return SendRequest(**GOOD | fields)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (changed(message=""), "message: is empty"),
        (changed(message=" \n"), "message: is empty"),
        (changed(message="\ud83d"), "message: holds half of a character"),
        (changed(category="INFO"), "category: 'INFO' is no message category"),
        (changed(sender_id=""), "sender_id: '' must have 1 to 11 characters"),
        (changed(sender_id="TwelveLetter"), "sender_id: 'TwelveLetter' must have 1 to 11 characters"),
        (changed(recipients=()), "recipients: a call carries 1 to 1,000, not 0"),
        (changed(recipients=tuple(f"+2567{n:08}" for n in range(1_001))), "a call carries 1 to 1,000, not 1,001"),
        (changed(recipients=("+256772123456",) * 2), "recipients: name somebody twice"),
        (changed(recipients=("0772123456",)), "recipients: '•••456' is no Ugandan mobile number"),
        (changed(recipients=("+256414123456",)), "'+256414•••456' is no Ugandan mobile number"),
        (changed(recipients=("+254722123456",)), "is no Ugandan mobile number"),
        (changed(recipients=("+25677212345\N{ARABIC-INDIC DIGIT SIX}",)), "is no Ugandan mobile number"),
        (changed(recipients=("+256772123456, 0772123457",)), "is no Ugandan mobile number"),
    ],
)
def test_a_request_that_must_not_be_sent_is_refused_before_anything_leaves(request_: SendRequest, told: str) -> None:
    with (
        serving(close_at_once) as server,
        MamboClient(base_url=server.url, api_key=KEY) as client,
        pytest.raises(InputError) as refused,
    ):
        client.send_sms(request_)

    assert told in refused.value.message
    assert server.connections == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_key": KEY + "\n"}, "MAMBO_API_KEY: holds a character that no key has"),
        ({"api_key": KEY + "\N{EN DASH}"}, "MAMBO_API_KEY: holds a character that no key has"),
        ({"api_key": ""}, "MAMBO_API_KEY: is not set"),
        ({"base_url": f"https://jane:{PASSWORD}@api.example.org"}, "base_url: is not a plain web address"),
        ({"base_url": "http://api.example.org"}, "base_url: is http"),
        ({"timeout_s": 0}, "timeout_s: must be above 0"),
        ({"timeout_s": 26}, "timeout_s: must be above 0 and at most 25"),
        ({"timeout_s": float("nan")}, "timeout_s: must be above 0"),
        ({"proxy": f"ftp://jane:{PASSWORD}@127.0.0.1"}, "proxy: is no http:// or https:// address"),
        ({"proxy": f"http://jane:{PASSWORD}@127.0.0.1:port"}, "proxy: is no http:// or https:// address"),
        ({"proxy": "127.0.0.1:8080"}, "proxy: is no http:// or https:// address"),
    ],
)
@pytest.mark.parametrize("client_class", [AsyncMamboClient, MamboClient])
def test_settings_that_cannot_be_used(client_class: type, options: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        client_class(**{"base_url": "https://api.example.org", "api_key": KEY} | options)

    assert refused.value.message.startswith(told)
    shown = "".join(f"{error!r}" for error in (refused.value, refused.value.__cause__, refused.value.__context__))
    assert KEY not in shown
    assert PASSWORD not in shown


def test_sending_needs_a_key() -> None:
    with MamboClient(base_url="http://127.0.0.1:9") as client, pytest.raises(SettingsError, match="is not set"):
        client.send_sms(changed())


def test_a_client_does_not_show_its_secrets() -> None:
    with MamboClient(base_url="http://127.0.0.1:9", api_key=KEY) as client:
        shown = f"{client!r} {vars(client)} {vars(client._client)}"

    assert KEY not in shown
