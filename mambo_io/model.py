"""The words of the package as types: a call, its reply, its verdict, and the states the ledger keeps.

Standard library only, frozen, and without behaviour beyond arithmetic on their own fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Category(StrEnum):
    """`message_category` of the send-sms page; the letter case is part of the contract."""

    NON_CUSTOMISED = "non_customised"
    INFO = "info"
    CUSTOMISED = "customised"


class Verdict(StrEnum):
    """What became of one send-sms call. Only NOT_SENT and REFUSED allow a second call."""

    NOT_SENT = "not_sent"  # proved: the body was never started, or the API says that it did nothing
    ACCEPTED = "accepted"  # a good reply
    REFUSED = "refused"  # a definite refusal by the API
    UNKNOWN = "unknown"  # anything else; never repeated by itself


class Action(StrEnum):
    """What the send loop does next, besides recording the verdict."""

    GO_ON = "go_on"
    BACK_OFF = "back_off"  # wait with jitter, then the chunk again
    SLOW_DOWN = "slow_down"  # wait `retry_after_s`, then the chunk again
    SPLIT = "split"  # halve the chunk (HTTP 413)
    PAUSE = "pause"  # stop the campaign; it goes on when a person says so
    STOP = "stop"  # stop the campaign; a setting has to change first


class Blame(StrEnum):
    """Whom a refusal concerns: it decides what becomes of the chunk."""

    CALL = "call"  # this text or these recipients: the chunk is `refused`
    ACCOUNT = "account"  # key, balance, suspension: the chunk goes back to `planned`
    HOST = "host"  # what is at this address is not the API, or cannot be trusted: the chunk goes back to `planned`


class CampaignState(StrEnum):
    PLANNING = "planning"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"  # planned, and nothing is sent before a person has approved the plan
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETE = "complete"
    CANCELLED = "cancelled"  # by a person, for good
    SKIPPED = "skipped"  # never planned: its time had passed


FINAL_STATES = (CampaignState.COMPLETE, CampaignState.CANCELLED, CampaignState.SKIPPED)  # nothing is sent any more


class ChunkState(StrEnum):
    PLANNED = "planned"
    IN_FLIGHT = "in_flight"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SPLIT = "split"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class CanaryState(StrEnum):
    """Whether the first receipts agree with the estimate; the rest is sent only then, or when a person accepts them."""

    PENDING = "pending"
    AGREED = "agreed"
    DISAGREED = "disagreed"
    WAIVED = "waived"  # a person accepted what the canary showed


class ExceptionKind(StrEnum):
    """How one recipient differs from the chunk it stands in."""

    UNSUPPORTED = "unsupported"
    UNVERIFIED = "unverified"


class Outcome(StrEnum):
    """What became of one recipient, as the results table says it."""

    REJECTED = "rejected"
    PLANNED = "planned"
    IN_FLIGHT = "in_flight"
    ACCEPTED = "accepted"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    UNVERIFIED = "unverified"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class Delivery(StrEnum):
    """What a provider's export of delivery reports says of one message. The API itself reports no delivery."""

    DELIVERED = "delivered"  # final
    FAILED = "failed"  # final: expired, rejected, no such subscriber …
    PENDING = "pending"  # no final word: on its way, or the network does not know


NOT_REPORTED = "not_reported"  # in the results, of a person whom the API accepted and no export names


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One send-sms call. `recipients` are E.164 (`+256772123456`), distinct, 1 to 1,000 of them."""

    message: str
    recipients: tuple[str, ...] = field(repr=False)
    category: Category
    sender_id: str


@dataclass(frozen=True, slots=True)
class UnsupportedContact:
    """One item of `unsupported_contacts`: as it came, and the recipient of the call that it names (E.164 or None)."""

    raw: str = field(repr=False)
    e164: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """`data` of a good send-sms reply. A field is None where the reply did not hold it or not in range."""

    recipients_count: int | None = None
    message_count: int | None = None  # segments of one message
    sms_sent: int | None = None
    sms_cost_ugx: int | None = None
    sms_cost_raw: str | None = None  # kept when the cost is not a whole number of shillings
    new_balance_ugx: int | None = None
    unsupported_count: int | None = None
    unsupported: tuple[UnsupportedContact, ...] = ()
    consistent: bool = False  # counts add up as api-contract defines it
    alarms: tuple[str, ...] = ()  # codes of breaches of the contract, e.g. `count_above_submitted`


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one send-sms call came to: the verdict, and what stands behind it. Times are the ledger's business."""

    verdict: Verdict
    action: Action
    reason: str  # a code: `ok`, `connect_failed`, `no_answer`, `http_500`, `bad_key` …
    blame: Blame = Blame.CALL
    http_status: int | None = None
    messages: tuple[str, ...] = ()
    receipt: Receipt | None = None
    raw_reply: str | None = field(default=None, repr=False)
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance reading. The reply's name, contact and e-mail address are dropped on reading."""

    balance_ugx: int


SIGNALLED_TWICE = ", twice"  # ends the detail of a stop by a signal whose repetition gave the calls in flight up


class StopReason(StrEnum):
    """Why a run ended. The value stands in the ledger."""

    NOTHING_LEFT = "nothing_left"
    OUTSIDE_WINDOW = "outside_window"
    BUDGET = "budget"
    DAY_BUDGET = "day_budget"
    BALANCE = "balance"
    CANARY = "canary"
    APPROVAL = "approval"
    TOO_LATE = "too_late"  # of an edition that was skipped
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SIGNAL = "signal"
    NO_CONNECTION = "no_connection"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_IN_A_ROW = "unknown_in_a_row"
    REFUSED_IN_A_ROW = "refused_in_a_row"
    ACCOUNT = "account"
    HOST = "host"
    API = "api"
