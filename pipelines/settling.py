"""Settling unknown calls: read the balance while nothing is in flight, conclude, record.

A conclusion that a call was sent is recorded at once. That it was not sent is believed only when the account is
declared to be nobody else's (`MAMBO_ACCOUNT_EXCLUSIVE`) and the call had time to be executed late (`settle_after_s`);
it is planned again only when the campaign says so (`resend_settled`). Everything else stays with a person.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import Connection

from mambo_io import accounting
from mambo_io.calls_left import unknown_attempts, unknown_calls
from mambo_io.client import MamboClient
from mambo_io.doubts import (
    LONGEST_CALL_S,
    SPANS_S,
    AccountCall,
    account_history,
    certain_cost_ugx,
    clocks_differ_s,
    end_orphans,
    in_flight,
    newest_us,
    unseen,
)
from mambo_io.errors import InputError, SettingsError
from mambo_io.ledger import US, CampaignRow, Ledger, call_name, from_us, to_us
from mambo_io.model import Balance, Verdict
from mambo_io.replies import BalanceRefused, BalanceUnavailable
from mambo_io.settings import MamboSettings
from mambo_io.settled import record_evidence, record_not_sent, record_sent
from mambo_io.store import Store, StoreBusy
from pipelines.judging import (
    MAY_COME_LATE,
    NO_BALANCE_AFTER,
    NO_BALANCE_BEFORE,
    NONE_LATE_ENOUGH,
    NOTHING_UNKNOWN,
    judge,
)
from pipelines.settlement import Conclusion, Fate, Reading, Settlement

_WHO = "settlement"
_LONGEST_SETTLING_S = LONGEST_CALL_S + 30.0  # so long no sender of the account claims a call
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class SettlingRules:
    """What may be believed and done: see the module's text."""

    exclusive: bool
    settle_after_s: int
    resend_settled: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did with a campaign's unknown calls, and why no more (`trouble`)."""

    sent: int
    not_sent: int
    left: int
    trouble: str | None


def settle_unknown(
    ledger: Ledger,
    connection: Connection,
    campaign: CampaignRow,
    settings: MamboSettings,
    rules: SettlingRules,
    *,
    who: str,
    ask: bool = True,
) -> Settled:
    """Settle what can be settled of a campaign whose lock the caller holds, while nothing of it is in flight.

    `ask`: read the account's balance first, where there are credentials. Raises `StoreBusy` when another settlement of
    the account is at work.
    """
    end_orphans(connection, campaign, datetime.now(UTC))
    if not unknown_calls(ledger.store, campaign):
        return Settled(0, 0, 0, None)
    with _account_at_rest(ledger.store, connection, campaign.account) as at_rest:
        if ask and at_rest and settings.username is not None and settings.password is not None:
            # Without a reading the balances that replies named may tell enough; a refusal has set its latch.
            with suppress(BalanceUnavailable, InputError):
                ask_balance(ledger, connection, settings, who=who)
    return conclude(connection, campaign, rules, now=datetime.now(UTC))


def conclude(connection: Connection, campaign: CampaignRow, rules: SettlingRules, *, now: datetime) -> Settled:
    """Judge the unknown calls by what the ledger knows of the account's balance, and record what follows."""
    calls, judged = _judged(connection, campaign, rules, now=now)
    ours = [call for call in calls if call.campaign_id == campaign.id and call.verdict is Verdict.UNKNOWN]
    if isinstance(judged, str):
        for call in ours:
            record_evidence(connection, call.attempt, judged)
        return Settled(0, 0, len(ours), judged)
    settlement, after = judged
    sent = not_sent = 0
    for call in ours:
        conclusion = settlement.conclusions.get(call.attempt, Conclusion(Fate.OPEN))
        if conclusion.fate is Fate.SENT:
            cost = "of unknown cost" if conclusion.cost_ugx is None else f"for UGX {conclusion.cost_ugx:,}"
            record_sent(
                connection,
                campaign,
                call.attempt,
                cost_ugx=conclusion.cost_ugx,
                # A call that cost less holds people who were not reached, and nobody knows whom.
                everybody=conclusion.cost_ugx == call.expected_ugx,
                reason="settled",
                evidence=f"the balance fell by UGX {settlement.missing_ugx:,} for unknown calls, this one {cost}",
                who=_WHO,
                now=now,
            )
            sent += 1
            continue
        why_not = _why_not_planned(call, conclusion, settlement, after, rules)
        if why_not is None:
            record_not_sent(
                connection,
                campaign,
                call.attempt,
                reason="settled_not_sent",
                evidence=f"nothing is missing from the balance for it on {from_us(after.at_us):%Y-%m-%d %H:%M} UTC",
                at_the_end=True,
                who=_WHO,
                now=now,
            )
            not_sent += 1
        else:
            record_evidence(connection, call.attempt, why_not)
    return Settled(sent, not_sent, len(ours) - sent - not_sent, settlement.trouble)


def _judged(
    connection: Connection, campaign: CampaignRow, rules: SettlingRules, *, now: datetime
) -> tuple[list[AccountCall], tuple[Settlement, Reading] | str]:
    """The account's calls around the unknown ones, and what `judge` says of them. Moments of rest are mostly near."""
    late_us = rules.settle_after_s * US
    clocks_differ_us = round(clocks_differ_s(connection) * US)
    not_seen = unseen(connection, campaign.account)
    calls: list[AccountCall] = []
    judged: tuple[Settlement, Reading] | str = NOTHING_UNKNOWN
    for before_s, after_s in SPANS_S:
        history = account_history(connection, campaign.account, before_s, after_s)
        if history is None:
            break
        until_us = history.until_us if history.until_us is not None and history.until_us < to_us(now) else None
        calls = [call for call in history.calls if call.verdict not in (Verdict.NOT_SENT, Verdict.REFUSED)]
        judged = judge(
            calls,
            history.readings,
            to_us(now),
            campaign_id=campaign.id,
            late_us=late_us,
            certain_ugx=lambda call: certain_cost_ugx(connection, campaign.account, call),
            unseen=not_seen,
            clocks_differ_us=clocks_differ_us,
            known_us=(history.from_us, until_us),
        )
        if judged != NO_BALANCE_BEFORE and (until_us is None or judged not in (NO_BALANCE_AFTER, NONE_LATE_ENOUGH)):
            break
    return calls, judged


def ask_balance(ledger: Ledger, connection: Connection, settings: MamboSettings, *, who: str) -> Balance:
    """Ask the balance endpoint once and record the reading. A refusal sets a latch that outlives this process.

    Raises `BalanceRefused`, `BalanceUnavailable`, `SettingsError` without credentials, or `InputError` while the latch
    of an earlier refusal is set.
    """
    username, password = credentials(settings)
    if ledger.credentials_latch(settings.account) is not None:
        raise InputError(
            "the API refused these credentials before, and another refusal may suspend the account",
            fix="Correct MAMBO_USERNAME and MAMBO_PASSWORD, then: mambo balance --unlock.",
        )
    began = datetime.now(UTC)
    ledger.store.check_clock(connection)
    if newest_us(connection, settings.account) > to_us(began) + clocks_differ_s(connection) * US:
        raise BalanceUnavailable(
            "The ledger knows of a call or a balance that is later than this machine's clock, so a balance of now would"
            " stand before it. Set the clock right, or wait until it is later."
        )
    with MamboClient(base_url=settings.base_url) as client:
        try:
            reading = client.balance(username, password)
        except BalanceRefused as refusal:
            accounting.set_latch(connection, settings.account, refusal.message, who=who, now=datetime.now(UTC))
            raise BalanceRefused(f"{refusal.message} When they are right: mambo balance --unlock.") from None
        except BalanceUnavailable as silence:
            raise BalanceUnavailable(f"{silence.message} To ask again: mambo balance.") from None
    accounting.record_reading(
        connection, settings.account, reading.balance_ugx, who=who, began=began, now=datetime.now(UTC)
    )
    return reading


def credentials(settings: MamboSettings) -> tuple[str, SecretStr]:
    """What the balance endpoint asks for. Raises `SettingsError` when one of the two is not set."""
    if settings.username is None or settings.password is None:
        missing = "MAMBO_PASSWORD" if settings.username is not None else "MAMBO_USERNAME"
        raise SettingsError(
            "is not set",
            key=missing,
            fix="The balance endpoint asks for the account's username and password, not for the API key.",
        )
    return settings.username, settings.password


@contextmanager
def _account_at_rest(store: Store, connection: Connection, account: str) -> Iterator[bool]:
    """While it lasts, no sender of the account claims a call. Yields whether those in flight came to their end."""
    try:
        lock = store.lock(f"account:{account}", connection)
        lock.__enter__()
    except StoreBusy as busy:
        problem = f"another settlement of account {account} is at work{busy.holder}"
        raise StoreBusy(problem, fix="Wait until it ends.") from None
    try:
        end = datetime.now(UTC) + timedelta(seconds=_LONGEST_SETTLING_S)
        accounting.set_settling(connection, account, end)
        try:
            while in_flight(connection, account, datetime.now(UTC)) and datetime.now(UTC) < end:
                time.sleep(_POLL_S)
            time.sleep(clocks_differ_s(connection))  # so that what has ended carries an earlier time than the reading,
            yield datetime.now(UTC) < end
        finally:
            # and what is claimed from now on a later one, whatever clock another machine has.
            until = datetime.now(UTC) + timedelta(seconds=clocks_differ_s(connection))
            accounting.set_settling(connection, account, until)
    finally:
        lock.__exit__(None, None, None)


def _why_not_planned(
    call: AccountCall, conclusion: Conclusion, settlement: Settlement, after: Reading, rules: SettlingRules
) -> str | None:
    """Why an unknown call stays unknown; None when it may be planned again."""
    if settlement.trouble is not None:
        return settlement.trouble
    if conclusion.fate is not Fate.NOT_SENT and not settlement.missing_ugx:
        return "nothing is missing from the balance: it was not sent, or cost nothing"
    if conclusion.fate is not Fate.NOT_SENT:
        return f"UGX {settlement.missing_ugx:,} are missing from the balance, and more than one call explains them"
    # The clock starts when the call was given up.
    waited_s = (after.at_us - (call.ended_us or call.intent_us)) / US
    said = "nothing is missing from the balance for it"
    if not rules.exclusive:
        return f"{said}, but MAMBO_ACCOUNT_EXCLUSIVE is not set"
    if waited_s < rules.settle_after_s:
        return f"{said} after {waited_s:.0f} s; until {rules.settle_after_s} s {MAY_COME_LATE}"
    if not rules.resend_settled:
        return f"{said}: it was not sent; resend_settled is off"
    return None


def unknown_attempt(ledger: Ledger, campaign: CampaignRow, name: str) -> int:
    """The attempt of an unknown call by its name (`clinic-day/1/c0007` or `c0007`). Raises `InputError`."""
    known = unknown_attempts(ledger.store, campaign)
    for chunk, attempt in known.items():
        if name in (call_name(campaign, chunk), call_name(campaign, chunk).rpartition("/")[2], str(chunk)):
            return attempt
    names = ", ".join(call_name(campaign, chunk) for chunk in known) or "none"
    raise InputError("is no unknown call", file=campaign.label, value=name, fix=f"Unknown: {names}.")
