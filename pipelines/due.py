"""Which editions want a run now, by the ledger and the campaign files: those whose time has come and that no run has
begun, and those that go on by themselves.

What time heals goes on in the next sending window: a stop at the end of the window, at the day's limit, or for want of
a connection. At once, inside the window, goes on what a person has approved or resumed, what stopped with the program
that serves it, and what was killed or cut off, unless that happens again and again. Everything else waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from mambo_io.ledger import CampaignRow, Ledger, to_us
from mambo_io.model import CampaignState, StopReason
from mambo_io.settings import MamboSettings
from mambo_io.window import Window, day_start
from pipelines.campaign import Campaign
from pipelines.schedule import edition_of, time_of
from pipelines.summary import SERVICE_STOPS

# A scheduled run has so long to begin before it counts as missed.
GRACE = timedelta(seconds=60)

KILLED = "its process ended"
# What kills a run so often will kill the next one, too, and each leaves calls of which nobody knows what they came to.
_MOST_KILLS = 3
_HEALED_BY_TIME = (
    StopReason.OUTSIDE_WINDOW,
    StopReason.DAY_BUDGET,
    StopReason.NO_CONNECTION,
    StopReason.RATE_LIMITED,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that an edition wants. `key` names the occasion: for one occasion there is one run. `scheduled` is the time
    of one that was missed."""

    campaign: str
    edition: str
    why: str
    key: str
    scheduled: datetime | None = None

    @property
    def label(self) -> str:
        return f"{self.campaign}/{self.edition}"


def missed(campaign: Campaign, ledger: Ledger | None, *, now: datetime) -> Wanted | None:
    """The edition of the last scheduled time, if nothing is known of it and it is not too late for it."""
    schedule = campaign.schedule
    at = None if schedule is None else schedule.last_time(now)
    if schedule is None or at is None or not GRACE < now - at <= schedule.lateness:
        return None
    edition = edition_of(at, schedule.zone)
    if ledger is not None and ledger.find(campaign.name, edition) is not None:
        return None
    return Wanted(campaign.name, edition, "its scheduled run did not begin", f"{campaign.name}/{edition}/missed", at)


def going_on(campaign: Campaign, ledger: Ledger, settings: MamboSettings, *, now: datetime) -> Iterator[Wanted]:
    """The scheduled editions of the campaign that go on by themselves now."""
    for row in ledger.campaigns():
        if row.name != campaign.name or (row.account, row.host) != (settings.account, settings.host):
            continue
        if (wanted := _goes_on(row, campaign, ledger, now)) is not None:
            yield wanted


def killed(campaign: Campaign, ledger: Ledger, settings: MamboSettings) -> Iterator[CampaignRow]:
    """The editions of the campaign whose process ended without a word while it was sending."""
    for row in ledger.campaigns():
        is_ours = row.name == campaign.name and (row.account, row.host) == (settings.account, settings.host)
        if is_ours and row.state is CampaignState.SENDING and not _is_at_work(row, ledger):
            yield row


def _goes_on(row: CampaignRow, campaign: Campaign, ledger: Ledger, now: datetime) -> Wanted | None:
    window = Window.parse(campaign.sending.window)
    is_scheduled = campaign.schedule is not None and time_of(row.edition, campaign.schedule.zone) is not None
    if not is_scheduled or row.is_test or row.held_by is not None or not (window is None or window.is_open(now)):
        return None
    occasion = _occasion(row, ledger)
    if occasion is None:
        return None
    why, since, at_once = occasion
    if not at_once and now < _next_chance(window, since):
        return None
    if _is_at_work(row, ledger):
        return None
    # A run that met a settlement could not begin; after it there is another occasion.
    key = f"{row.label}/{to_us(since)}/{ledger.settlements(row)}"
    return Wanted(row.name, row.edition, why, key)


def _occasion(row: CampaignRow, ledger: Ledger) -> tuple[str, datetime, bool] | None:
    """Why the edition may go on by itself, since when it stands still, and whether it goes on at once."""
    match row.state:
        case CampaignState.SENDING:
            return KILLED, ledger.last_sign(row), len(ledger.starts(row)) <= _MOST_KILLS
        case CampaignState.PLANNED:
            return _approved(row, ledger) or (KILLED, row.planned_at, True)
        case CampaignState.PAUSED:
            return _of_paused(row, ledger)
        case (
            CampaignState.PLANNING
            | CampaignState.AWAITING_APPROVAL
            | CampaignState.COMPLETE
            | CampaignState.CANCELLED
            | CampaignState.SKIPPED
        ):
            return None
        case _:
            assert_never(row.state)


def _of_paused(row: CampaignRow, ledger: Ledger) -> tuple[str, datetime, bool] | None:
    if row.stop_reason is None:  # a person had to say yes to what was left of it
        return _approved(row, ledger)
    assert row.ended_at is not None, "a run has ended when it is paused for a reason"
    if row.stop_reason == StopReason.PAUSED:
        return "resumed by a person", row.ended_at, True
    if row.stop_reason == StopReason.SIGNAL and row.stop_detail in SERVICE_STOPS:
        return "the program that served it was stopped", row.ended_at, True
    return (row.stop_reason, row.ended_at, False) if row.stop_reason in _HEALED_BY_TIME else None


def _approved(row: CampaignRow, ledger: Ledger) -> tuple[str, datetime, bool] | None:
    approval = ledger.approval(row)
    return None if approval is None else ("approved by a person", approval.at, True)


def _next_chance(window: Window | None, since: datetime) -> datetime:
    return day_start(since) + timedelta(days=1) if window is None else window.opening_after(since)


def _is_at_work(row: CampaignRow, ledger: Ledger) -> bool:
    """Whether a sender holds the edition; one that was killed does not any more."""
    return ledger.store.holder(row.label) is not None
