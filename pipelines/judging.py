"""The two moments of rest around unknown calls, and what happened between them: what `pipelines.settlement` judges by.

A moment of rest is a balance that was named while nothing else of the account was in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mambo_io.doubts import LONGEST_CALL_S, AccountCall, BalanceReading, Unseen
from mambo_io.ledger import US
from mambo_io.model import Verdict
from pipelines.settlement import Charged, Doubt, Reading, Settlement, settle

NOTHING_UNKNOWN = "nothing is unknown"
NO_BALANCE_BEFORE = "no balance is known from before it"
NO_BALANCE_AFTER = (
    "no balance is known from after it; `mambo settle` asks for one with MAMBO_USERNAME and MAMBO_PASSWORD"
)
NONE_LATE_ENOUGH = "no balance is known from so long after it that it cannot be executed any more"

MAY_COME_LATE = "(settle_after_s) it may still be executed"


def is_last_word(evidence: str | None) -> bool:
    """Whether what a settlement left on a call that stays unknown (None: nothing yet) is all that the money tells: no
    further reading says more of it, and a person has to."""
    return evidence is not None and evidence != NO_BALANCE_AFTER and not evidence.endswith(MAY_COME_LATE)


def judge(
    calls: Sequence[AccountCall],
    readings: Sequence[BalanceReading],
    now_us: int,
    *,
    campaign_id: int,
    late_us: int,
    certain_ugx: Callable[[AccountCall], int],
    unseen: Sequence[Unseen] = (),
    clocks_differ_us: int = 0,
    known_us: tuple[int, int | None] = (0, None),
) -> tuple[Settlement, Reading] | str:
    """The settlement around a campaign's unknown calls and the later of its two readings, or why there is none.

    `clocks_differ_us`: so far apart the clocks of two campaigns' senders may be, where they are on several machines.
    `known_us`: between these moments (None: now) all that was in flight is among the calls.
    A call is not executed later than `late_us` after it was given up, as far as the settlement assumes.
    `calls` are those that may have been executed, by their intents; `certain_ugx` is what one costs at least. Two
    readings between which the balance may have moved by what the ledger does not know (`unseen`) tell nothing.
    """
    asked = [call for call in calls if call.campaign_id == campaign_id and call.verdict is Verdict.UNKNOWN]
    if not asked:
        return NOTHING_UNKNOWN
    from_us, until_us = known_us[0], known_us[1] if known_us[1] is None else known_us[1] - clocks_differ_us
    quiet = quiet_readings(calls, readings, now_us, clocks_differ_us=clocks_differ_us)
    # What carries a later time than now was named by a clock that was wrong, and tells nothing of when.
    last_us = now_us if until_us is None else until_us - 1
    known = [each for each in quiet if from_us <= each.at_us <= last_us]
    moments = sorted(known, key=lambda moment: moment.at_us)
    earliest_us = min(call.intent_us for call in asked)
    while True:
        before = next((moment for moment in reversed(moments) if moment.at_us <= earliest_us), None)
        if before is None:
            return NO_BALANCE_BEFORE
        # What an older call cost stands in that balance already, unless it can have been executed later.
        older_us = [
            call.intent_us
            for call in calls
            if call.is_open and call.intent_us < before.at_us < _end_us(call, now_us) + late_us
        ]
        if not older_us:
            break
        earliest_us = min(older_us)
    later = [moment for moment in moments if moment.at_us > max(_end_us(call, now_us) for call in asked)]
    # The earlier balance was named some time before the moment that is kept of it, by a call at most so long.
    named_us = before.at_us - LONGEST_CALL_S * US
    hidden = min((each for each in unseen if each.at_us >= named_us), key=lambda each: each.began_us, default=None)
    if hidden is not None and later and hidden.began_us <= later[0].at_us:
        return hidden.why
    if hidden is not None:
        later = [moment for moment in later if moment.at_us < hidden.began_us]
    given_time = [moment for moment in later if all(moment.at_us >= _end_us(call, now_us) + late_us for call in asked)]
    # The first that is late enough: the longer the time between, the more else may have happened to the account.
    after = given_time[0] if given_time else next(reversed(later), None)
    if after is None:
        return NO_BALANCE_AFTER
    if not given_time and until_us is not None:
        return NONE_LATE_ENOUGH
    between = [call for call in calls if before.at_us <= call.intent_us < after.at_us]
    charged, doubts = [], []
    for call in between:
        if call.charged_ugx is not None and call.balance_after_ugx is not None:
            if call.charged_ugx > call.expected_ugx:
                return "the API charges more than the tariff says"
            times = (call.intent_us, call.ended_us or now_us)
            charged.append(Charged(call.campaign_id, *times, call.charged_ugx, call.balance_after_ugx))
        elif call.charged_ugx is not None:
            doubts.append(Doubt(*_of(call), call.charged_ugx, call.charged_ugx, was_sent=True))
        else:
            was_sent = call.verdict is Verdict.ACCEPTED
            low_ugx = certain_ugx(call)
            doubts.append(Doubt(*_of(call), low_ugx, call.expected_ugx, was_sent=was_sent))
    return settle(before, after, charged, doubts, clocks_differ_us=clocks_differ_us), after


def quiet_readings(
    calls: Sequence[AccountCall], readings: Sequence[BalanceReading], now_us: int, *, clocks_differ_us: int = 0
) -> Iterator[Reading]:
    """Every balance that was named while nothing else of the account was in flight. `calls` by their intents.

    A call was in flight from its intent to its end; one that never ended, for as long as a call can last. Other
    campaigns' calls stay away by as much as their clock may differ.
    """
    spans = [(call.intent_us, _end_us(call, now_us)) for call in calls]

    def apart_us(one: int, other: int) -> int:
        return 0 if calls[one].campaign_id == calls[other].campaign_id else clocks_differ_us

    def none_began_before_its_end(number: int) -> bool:
        end_us = spans[number][1]
        for other in range(number + 1, len(spans)):
            if spans[other][0] >= end_us + clocks_differ_us:
                break
            if spans[other][0] < end_us + apart_us(number, other):
                return False
        return True

    last_of: dict[int, int] = {}  # by campaign, the one that ended last
    for number, (call, (intent_us, end_us)) in enumerate(zip(calls, spans, strict=True)):
        if call.balance_after_ugx is not None and call.verdict is Verdict.ACCEPTED:
            all_ended = all(spans[last][1] + apart_us(number, last) <= intent_us for last in last_of.values())
            if all_ended and none_began_before_its_end(number):
                yield Reading(end_us, call.balance_after_ugx)
        last = last_of.get(call.campaign_id)
        if last is None or end_us > spans[last][1]:
            last_of[call.campaign_id] = number
    for reading in readings:
        begin_us, at_us = reading.began_us - clocks_differ_us, reading.at_us + clocks_differ_us
        if not any(begin < at_us and end > begin_us for begin, end in spans):
            yield Reading(reading.at_us, reading.balance_ugx)


def _of(call: AccountCall) -> tuple[int, int, int]:
    return call.attempt, call.campaign_id, call.intent_us


def _end_us(call: AccountCall, now_us: int) -> int:
    return call.ended_us if call.ended_us is not None else min(now_us, call.intent_us + LONGEST_CALL_S * US)
