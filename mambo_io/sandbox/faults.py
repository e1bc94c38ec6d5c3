"""Faults that a sandbox plays on request: what goes wrong, and on which calls.

    sandbox.set_faults([NoAnswer(executes=True, skip=3)])                    # the fourth call is done, its answer lost
    sandbox.set_faults([Status(http_status=500, probability=0.1, seed=7, times=None)])

The rules are asked in order for every call; the first that fires is played. As JSON, for `POST /sandbox/faults`:
``[{"kind": "no_answer", "executes": true, "skip": 3}]``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, TypeAdapter

Endpoint = Literal["send-sms", "balance"]


class _Rule(BaseModel):
    """On which calls a fault is played: those of `endpoint`, after `skip` of them, `times` times (None: always),
    each with `probability` drawn from `seed`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint = "send-sms"
    skip: NonNegativeInt = 0
    times: PositiveInt | None = 1
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: int = 0


class Status(_Rule):
    """Answer with this HTTP status: an envelope, or a web server's HTML page.

    `status_code` is the body's (default: the same); `executes` does what the call asks all the same.
    """

    kind: Literal["status"] = "status"
    http_status: Annotated[int, Field(ge=200, le=599)]
    status_code: int | None = None
    messages: list[str] | None = None
    html: bool = False
    headers: dict[str, str] = {}  # e.g. {"Retry-After": "2"}
    executes: bool = False


class SuccessFalse(_Rule):
    """HTTP 200 with `success` false and no data, as the balance endpoint says its failures."""

    kind: Literal["success_false"] = "success_false"
    message: str
    status_code: int = 200
    executes: bool = False


class NoAnswer(_Rule):
    """Close the connection without a byte, `closes_after_s` after the request.

    With `executes` the call is done, `executes_after_s` after the request, which may be long after the connection
    was closed. (A call that waits for that is lost when the sandbox stops.)
    """

    kind: Literal["no_answer"] = "no_answer"
    executes: bool
    executes_after_s: NonNegativeFloat = 0
    closes_after_s: NonNegativeFloat = 0


class Delay(_Rule):
    """Wait `before_s`, do what the call asks, wait `after_s`, then answer as if nothing had been."""

    kind: Literal["delay"] = "delay"
    before_s: NonNegativeFloat = 0
    after_s: NonNegativeFloat = 0


class Garbled(_Rule):
    """Do what the call asks, then answer with its HTTP status and a body that cannot be read.

    `not_json`: an HTML page; `cut_json`: half of the JSON, complete as HTTP; `cut_body`: half of the bytes that
    Content-Length promises, then the end; `bad_gzip`: plain text that calls itself gzip.
    """

    kind: Literal["garbled"] = "garbled"
    form: Literal["not_json", "empty", "cut_json", "cut_body", "bad_utf8", "bad_gzip"]


class Charge(_Rule):
    """Count or price otherwise than documented, truly: the account is charged so, and the answer says so."""

    kind: Literal["charge"] = "charge"
    endpoint: Literal["send-sms"] = "send-sms"
    segments: PositiveInt | None = None
    price_ugx: NonNegativeInt | None = None


class UnsupportedForm(_Rule):
    """Do what the call asks and give `unsupported_contacts` in another form.

    `joined`: one string, comma-separated; `count`: only how many; `stranger`: a number more that was not in the call.
    """

    kind: Literal["unsupported_form"] = "unsupported_form"
    endpoint: Literal["send-sms"] = "send-sms"
    form: Literal["international", "integers", "objects", "joined", "count", "null", "stranger"]


class Altered(_Rule):
    """Do what the call asks and lie about it: replace, add to or leave out fields of the answer.

    `data` and `add` work on `data` where that is an object, `envelope` on the envelope, `remove` on both.
    """

    kind: Literal["altered"] = "altered"
    data: dict[str, Any] = {}
    add: dict[str, int] = {}
    envelope: dict[str, Any] = {}
    remove: list[str] = []


AnyFault = Status | SuccessFalse | NoAnswer | Delay | Garbled | Charge | UnsupportedForm | Altered
Fault = Annotated[AnyFault, Field(discriminator="kind")]
FAULTS: TypeAdapter[list[AnyFault]] = TypeAdapter(list[Fault])


class Faults:
    """The rules in force, and how often each has been asked and played."""

    def __init__(self) -> None:
        self._rules: list[_Counted] = []

    def replace(self, rules: Sequence[AnyFault]) -> None:
        self._rules = [_Counted(rule) for rule in rules]

    def next(self, endpoint: Endpoint) -> AnyFault | None:
        """The fault to play on a call that has just come in, if any."""
        return next((counted.rule for counted in self._rules if counted.fires(endpoint)), None)

    def played(self) -> list[dict[str, Any]]:
        return [{**counted.rule.model_dump(), "played": counted.played} for counted in self._rules]


class _Counted:
    def __init__(self, rule: AnyFault) -> None:
        self.rule = rule
        self.asked = self.played = 0
        self._random = random.Random(rule.seed)  # noqa: S311  # chances of a test, not secrets

    def fires(self, endpoint: Endpoint) -> bool:
        if endpoint != self.rule.endpoint or self.played == self.rule.times:
            return False
        self.asked += 1
        if self.asked <= self.rule.skip or self._random.random() >= self.rule.probability:
            return False
        self.played += 1
        return True
