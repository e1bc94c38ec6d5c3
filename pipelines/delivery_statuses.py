"""What the words of delivery reports mean: delivered, failed, or pending. One table, to which a word is added here.

Letter case, blanks, dashes and underscores do not count. *Failed* is final: nothing more will come. *Pending* is
everything that is not final: on its way, handed to a network, or a state that says itself that it does not know.

Sources: SMPP v3.4, 5.2.28 `message_state` and appendix B (the receipt's `stat:`); SMPP v5.0, 4.7.15; and what providers
publish of their own words:
https://api.support.vonage.com/hc/en-us/articles/360018438551-DLR-Statuses
https://www.infobip.com/docs/developer-resources/errors-and-responses/response-codes
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/
https://docs.smsportal.com/docs/delivery-statuses
https://blog.sozuri.net/2021/06/08/explanation-delivery-message-statuses

Left out, because they mean one thing here and another there: `success`, `ok`, `error`; and bare numbers, see
`SMPP_CODES`.
"""

from __future__ import annotations

import re

from mambo_io.model import Delivery

# What each SMPP state means. ACCEPTED is "read on behalf of the subscriber" in the specification and "taken by the
# network" everywhere else; UNKNOWN is no state of the message, and some networks report what they buffer so.
_SMPP = {
    Delivery.DELIVERED: "delivered delivrd",
    Delivery.FAILED: "expired deleted undeliverable undeliv rejected rejectd skipped",
    Delivery.PENDING: "scheduled enroute accepted acceptd unknown",
}

_PLAIN = {
    Delivery.DELIVERED: (
        "delivered to handset", "delivered to phone", "delivered to recipient", "delivered to subscriber",
        "sent to handset", "delivery confirmed", "message delivered", "read",
    ),
    Delivery.FAILED: (
        "failed", "fail", "failure", "delivery failed", "delivery failure", "failed delivery", "message failed",
        "undelivered", "not delivered", "undeliverable not delivered", "undeliverable rejected operator",
        "delivery impossible", "not sent", "expired expired", "validity expired", "validity period expired",
        "rejected network", "rejected by network", "rejected by operator", "rejected by smsc", "rejected by carrier",
        "absent subscriber", "absent subscribers", "unknown subscriber", "unidentified subscriber",
        "illegal subscriber", "invalid subscriber", "subscriber not found", "invalid number", "invalid destination",
        "unallocated number", "call barred", "memory capacity exceeded", "handset memory full", "network failure",
        "blocked", "blacklisted", "blacklist", "blist", "black listed", "opted out",
        "dnd", "no route", "noroute", "unroutable", "aborted", "cancelled", "canceled", "insufficient credit",
        "insufficient balance",
    ),
    Delivery.PENDING: (
        "pending", "pending enroute", "pending accepted", "pending waiting delivery", "waiting", "waiting delivery",
        "queue", "queued", "buffered", "en route", "in transit", "on the way", "in progress", "processing", "sending",
        "retrying", "sent", "sent to network", "sent to operator", "sent to carrier", "sent to smsc",
        "delivered to operator", "delivered to network", "delivered to carrier", "delivered to smsc",
        "submitted", "submitd", "submitted to network", "submitted to operator", "submitted to smsc", "dispatched",
        "transmitted", "accepted by smsc", "accepted by network", "accepted by operator", "accepted by carrier",
        "staged", "no dlr", "dlr unknown", "dlr expired", "expired dlr unknown", "sent no dlr",
        "no report", "not reported", "no delivery report",
    ),
}  # fmt: skip

WORDS: dict[str, Delivery] = {
    word: status
    for status in Delivery
    for word in (*_SMPP[status].split(), *_PLAIN[status], *(plain.replace(" ", "") for plain in _PLAIN[status]))
}

# Read only when a person says that they are SMPP's: Kannel and others count 1 as delivered, and 2 as failed or queued.
SMPP_CODES: dict[str, Delivery] = {
    code: WORDS[state]
    for code, state in {
        "0": "scheduled",
        "1": "enroute",
        "2": "delivered",
        "3": "expired",
        "4": "deleted",
        "5": "undeliverable",
        "6": "accepted",
        "7": "unknown",
        "8": "rejected",
        "9": "skipped",
    }.items()
}

_RECEIPT = re.compile(r"\bstat:\s*(\w+)", re.IGNORECASE)  # id:7 sub:001 … done date:2603021201 stat:DELIVRD err:000 …
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def plain_word(raw: str) -> str:
    """The word of a cell as the table has it: `DELIVERED_TO_HANDSET ` is `delivered to handset`."""
    receipt = _RECEIPT.search(raw)
    return _BETWEEN_WORDS.sub(" ", receipt[1] if receipt else raw).strip().casefold()
