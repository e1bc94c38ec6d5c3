"""Which editions want a run by themselves, as the ledger tells it: on both stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from mambo_io import control
from mambo_io.ledger import Ledger, to_us
from mambo_io.model import CampaignState, StopReason
from mambo_io.planning import write_plan
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import Store
from mambo_io.tables import campaigns
from mambo_io.window import KAMPALA
from pipelines.campaign import Campaign
from pipelines.due import Wanted, going_on, killed, missed
from pipelines.summary import SERVICE_GAVE_UP, SERVICE_STOPPED
from support.ledgers import Run, plan
from support.lists import campaign_of

EDITION = "2026-03-02T09:00"
CRON = '[schedule]\ncron = "0 9 * * *"'


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=KAMPALA)


@pytest.fixture
def settings() -> MamboSettings:
    return load_settings(base_url="http://127.0.0.1:9", api_key="key", account="main")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Sent every day at 09:00, from 08:00 to 20:00."""
    return campaign_of(tmp_path, None, sections=CRON)


def wanted(store: Store, campaign: Campaign, settings: MamboSettings, now: str) -> list[Wanted]:
    return list(going_on(campaign, Ledger(store), settings, now=at(now)))


def stopped(
    connection: Connection,
    ended: str,
    reason: StopReason,
    detail: str | None = None,
    *,
    edition: str = EDITION,
    account: str = "main",
) -> Run:
    """A run of the edition that began at nine and was stopped at `ended`."""
    run = Run.of(connection, plan(1, 1, edition=edition, account=account), now=at("02 09:00"))
    run.claim_one()
    run.sender.finish(CampaignState.PAUSED, reason, at(ended), detail=detail)
    return run


@pytest.mark.parametrize(
    ("reason", "detail", "ended", "not_yet", "then"),
    [
        # What time heals goes on when the window opens after the stop.
        (StopReason.OUTSIDE_WINDOW, None, "02 20:00", ["02 20:01", "03 07:59"], "03 08:00"),
        (StopReason.OUTSIDE_WINDOW, None, "02 07:00", ["02 07:59"], "02 08:00"),
        (StopReason.OUTSIDE_WINDOW, None, "02 20:00", ["03 20:00", "04 07:00"], "05 19:59"),  # nobody was there before
        (StopReason.DAY_BUDGET, None, "02 11:00", ["02 11:01", "02 19:59", "03 00:00"], "03 08:00"),
        (StopReason.NO_CONNECTION, "connect_failed", "02 11:00", ["02 12:00"], "03 08:00"),
        (StopReason.RATE_LIMITED, None, "02 11:00", ["02 12:00"], "03 08:00"),
        # The program that served it was stopped; it is there again.
        (StopReason.SIGNAL, SERVICE_STOPPED, "02 11:00", ["02 21:00"], "02 11:00"),
        (StopReason.SIGNAL, SERVICE_GAVE_UP, "02 11:00", ["02 21:00"], "02 11:00"),
        # Everything else waits for a person.
        (StopReason.SIGNAL, "SIGINT", "02 11:00", ["02 12:00", "03 08:00"], None),
        (StopReason.BUDGET, None, "02 11:00", ["03 08:00"], None),
        (StopReason.BALANCE, None, "02 11:00", ["03 08:00"], None),
        (StopReason.CANARY, None, "02 11:00", ["03 08:00"], None),
        (StopReason.UNKNOWN_IN_A_ROW, None, "02 11:00", ["03 08:00"], None),
        (StopReason.REFUSED_IN_A_ROW, None, "02 11:00", ["03 08:00"], None),
        (StopReason.ACCOUNT, None, "02 11:00", ["03 08:00"], None),
        (StopReason.API, None, "02 11:00", ["03 08:00"], None),
    ],
)
def test_a_stopped_edition_goes_on(
    reason: StopReason,
    detail: str | None,
    ended: str,
    not_yet: list[str],
    then: str | None,
    store: Store,
    connection: Connection,
    campaign: Campaign,
    settings: MamboSettings,
) -> None:
    stopped(connection, ended, reason, detail)
    for now in not_yet:
        assert wanted(store, campaign, settings, now) == [], now
    if then is not None:
        [found] = wanted(store, campaign, settings, then)
        assert found.label == f"clinic-day/{EDITION}"
        assert wanted(store, campaign, settings, then) == [found], "the same occasion has the same key"


def test_each_stop_is_an_occasion_of_its_own(
    store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    run = stopped(connection, "02 20:00", StopReason.OUTSIDE_WINDOW)
    [first] = wanted(store, campaign, settings, "03 08:00")
    again = Run(connection, run.campaign, now=at("03 08:00"))
    again.sender.finish(CampaignState.PAUSED, StopReason.OUTSIDE_WINDOW, at("03 20:00"))
    [second] = wanted(store, campaign, settings, "04 08:00")
    assert first.key != second.key


@pytest.mark.parametrize("edition", ["1", "friday", "test-1"])
def test_an_edition_of_another_name_is_somebodys_own(
    edition: str, store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    stopped(connection, "02 20:00", StopReason.OUTSIDE_WINDOW, edition=edition)
    assert wanted(store, campaign, settings, "03 08:00") == []


def test_so_is_one_of_another_account(
    store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    stopped(connection, "02 20:00", StopReason.OUTSIDE_WINDOW, account="other")
    assert wanted(store, campaign, settings, "03 08:00") == []


def test_without_a_window_it_goes_on_the_next_day(
    tmp_path: Path, store: Store, connection: Connection, settings: MamboSettings
) -> None:
    campaign = campaign_of(tmp_path, None, sections=f'[sending]\nwindow = "any"\n{CRON}')
    stopped(connection, "02 11:00", StopReason.DAY_BUDGET)
    assert wanted(store, campaign, settings, "02 23:59") == []
    assert len(wanted(store, campaign, settings, "03 00:00")) == 1


def test_what_a_person_holds_waits_for_them(
    store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    row = stopped(connection, "02 11:00", StopReason.PAUSED).campaign
    control.hold(connection, row, who="Grace", note=None, now=at("02 11:00"))
    assert wanted(store, campaign, settings, "03 08:00") == []
    control.resume(connection, row, who="Grace", note=None, now=at("02 15:00"))
    assert [found.why for found in wanted(store, campaign, settings, "02 15:00")] == ["resumed by a person"]
    assert wanted(store, campaign, settings, "02 21:00") == []


@pytest.mark.parametrize("began", [False, True])
def test_what_a_person_has_approved_goes_on_at_once(
    began: bool, store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    if began:  # the key was written into the campaign file when it had begun
        row = stopped(connection, "02 11:00", StopReason.SIGNAL).campaign
        control.await_approval(connection, row)
    else:
        row = write_plan(connection, plan(1, edition=EDITION), who="tester", awaits_approval=True)
    assert wanted(store, campaign, settings, "03 08:00") == []
    control.approve(connection, row, who="Grace", digest=None, now=at("02 15:00"))
    assert wanted(store, campaign, settings, "02 21:00") == [], "outside the window"
    assert [found.why for found in wanted(store, campaign, settings, "02 15:00")] == ["approved by a person"]


def test_one_whose_process_was_killed_goes_on_at_once(
    store: Store, campaign: Campaign, settings: MamboSettings
) -> None:
    """Three times; what is killed again and again waits for the next window. A run that comes to an end starts anew."""
    with store.locked_writer(f"clinic-day/{EDITION}") as connection:
        row = write_plan(connection, plan(*[1] * 9, edition=EDITION), who="tester")
        with connection.begin():
            connection.execute(update(campaigns).values(planned_at_us=to_us(at("02 09:00"))))
        assert wanted(store, campaign, settings, "02 09:01") == [], "its sender is at work"
    assert [found.why for found in wanted(store, campaign, settings, "02 09:01")] == ["its process ended"]
    assert wanted(store, campaign, settings, "02 21:00") == [], "outside the window"

    assert list(killed(campaign, Ledger(store), settings)) == [], "it had not begun"
    keys = set()
    with store.writer() as connection:
        for minute in (5, 6, 7):
            Run(connection, row, now=at(f"02 09:0{minute}")).claim_one()
            [found] = wanted(store, campaign, settings, "02 09:08")
            keys.add(found.key)
        assert len(keys) == 3
        assert [row.edition for row in killed(campaign, Ledger(store), settings)] == [EDITION]
        Run(connection, row, now=at("02 09:08")).claim_one()
        assert wanted(store, campaign, settings, "02 19:00") == []
        assert [found.why for found in wanted(store, campaign, settings, "03 08:00")] == ["its process ended"]

        Run(connection, row, now=at("03 08:00")).sender.finish(
            CampaignState.PAUSED, StopReason.OUTSIDE_WINDOW, at("03 20:00")
        )
        Run(connection, row, now=at("04 08:00")).claim_one()
        assert len(wanted(store, campaign, settings, "04 08:01")) == 1


def test_what_is_finished_wants_nothing(
    store: Store, connection: Connection, campaign: Campaign, settings: MamboSettings
) -> None:
    run = stopped(connection, "02 20:00", StopReason.OUTSIDE_WINDOW)
    control.cancel(connection, run.campaign, who="Grace", note=None, now=at("02 21:00"))
    assert wanted(store, campaign, settings, "03 08:00") == []


# --- an edition that no run has begun ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "edition"),
    [
        ("02 09:00:30", None),  # its own run may be about to begin
        ("02 09:02", EDITION),
        ("02 09:30", EDITION),
        ("02 09:31", None),  # max_lateness is 30m
        ("03 08:59", None),
    ],
)
@pytest.mark.parametrize("has_ledger", [False, True])
def test_a_missed_edition(now: str, edition: str | None, has_ledger: bool, store: Store, campaign: Campaign) -> None:
    found = missed(campaign, Ledger(store) if has_ledger else None, now=at(now))
    assert (None if found is None else found.edition) == edition


@pytest.mark.parametrize(
    "known",
    [
        lambda connection: write_plan(connection, plan(1, edition=EDITION), who="tester"),
        lambda connection: stopped(connection, "02 09:01", StopReason.BUDGET),
    ],
)
def test_one_that_was_taken_up_is_not_missed(
    known: Callable[[Connection], object], store: Store, connection: Connection, campaign: Campaign
) -> None:
    known(connection)
    assert missed(campaign, Ledger(store), now=at("02 09:02")) is None


def test_a_campaign_without_a_schedule_misses_nothing(tmp_path: Path, settings: MamboSettings, store: Store) -> None:
    campaign = campaign_of(tmp_path, None)
    assert missed(campaign, None, now=at("02 09:05")) is None
    assert wanted(store, campaign, settings, "03 08:00") == []
