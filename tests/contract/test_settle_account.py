"""The unknown calls of an account's campaigns, settled together on both stores; a real sandbox tells the balance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import and_, update

from mambo_io.ledger import Ledger, to_us
from mambo_io.model import CampaignState, ChunkState, StopReason
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import NoAnswer
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import NoLedgerYet, Store
from mambo_io.tables import campaigns, chunks
from pipelines.prepare import prepare
from pipelines.reconciling import SettledEdition, settle_account
from pipelines.runs import send_edition
from pipelines.summary import CampaignSummary
from support.lists import campaign_of
from support.sandboxed import people, settings

YESTERDAY = datetime(2026, 3, 1, 17, 0, tzinfo=UTC)
LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 10\ncanary_size = 5"
UNASKED = "no balance is known from after it; `mambo settle` asks for one with MAMBO_USERNAME and MAMBO_PASSWORD"


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def balances_asked(api: SandboxHandle) -> Callable[[], int]:
    """How often the balance was asked for in this test."""

    def asked() -> int:
        return api.calls().filter(pl.col("endpoint") == "balance").height

    before = asked()
    return lambda: asked() - before


@pytest.fixture
def two_unknown(api: SandboxHandle, store_url: str, tmp_path: Path) -> MamboSettings:
    """Two campaigns of 23 people, each with its last call executed and its answer lost; gives the settings."""
    for block, name in enumerate(("first", "second")):
        api.set_faults([NoAnswer(executes=True, skip=3)])
        campaign = campaign_of(tmp_path, people(23, block=block), name=name, message=f"From {name}.", sections=LIMITS)
        chosen = settings(api, store_url)
        prepared = prepare(campaign, edition="1", account=chosen.account, ledger=None)
        summary: CampaignSummary = send_edition(campaign, chosen, edition="1", prepared=prepared, command="")
        assert summary.outcomes == {"accepted": 15, "unknown": 8}
    api.set_faults([])
    return chosen


def with_password(api: SandboxHandle, settings: MamboSettings, **changes: Any) -> MamboSettings:
    known = {"username": api.username, "password": api.password} | changes
    return load_settings(base_url=api.url, api_key=api.api_key, store=settings.store.get_secret_value(), **known)


def test_one_reading_serves_them_all(
    api: SandboxHandle, two_unknown: MamboSettings, balances_asked: Callable[[], int]
) -> None:
    settled = settle_account(with_password(api, two_unknown))
    assert set(settled) == {SettledEdition("first/1", 1, 0, 0, None), SettledEdition("second/1", 1, 0, 0, None)}
    assert balances_asked() == 1
    with Store(two_unknown.store.get_secret_value()) as store:
        campaigns = Ledger(store).campaigns()
        charged_ugx = [Ledger(store).totals(campaign).charged_ugx for campaign in campaigns]
    assert {campaign.state for campaign in campaigns} == {"complete"}
    assert charged_ugx == [23 * 50, 23 * 50]
    assert settle_account(with_password(api, two_unknown)) == (), "nothing is left"
    assert balances_asked() == 1


def test_without_the_password_nothing_is_asked_and_that_is_told(
    api: SandboxHandle, two_unknown: MamboSettings, balances_asked: Callable[[], int]
) -> None:
    settled = settle_account(two_unknown)
    assert balances_asked() == 0
    # The second campaign's replies tell the balance after the first one's lost call.
    assert set(settled) == {SettledEdition("first/1", 1, 0, 0, None), SettledEdition("second/1", 0, 0, 1, UNASKED)}


STANDS_STILL = [
    *((CampaignState.PAUSED, reason, "said so", YESTERDAY) for reason in (*StopReason, "unknown_calls", "resolved")),
    (CampaignState.PAUSED, None, None, YESTERDAY),  # a person has approved what was left of it
]


def test_why_and_since_when_a_campaign_stands_still_is_as_before(two_unknown: MamboSettings) -> None:
    """It says whether it goes on by itself, and when: a settlement is no reason for that, and none against it."""
    with Store(two_unknown.store.get_secret_value()) as store:
        for state, reason, detail, ended in STANDS_STILL:
            with store.writer() as connection, connection.begin():
                stands = {"state": state, "stop_reason": reason, "stop_detail": detail, "ended_at_us": to_us(ended)}
                connection.execute(update(campaigns).values(stands))
                some = and_(chunks.c.campaign_id == 2, chunks.c.chunk == 1)
                connection.execute(update(chunks).where(some).values(state=ChunkState.PLANNED))
            settle_account(two_unknown)
            row = Ledger(store).get("second")
            assert {"planned", "unknown"} <= Ledger(store).totals(row).outcomes.keys(), "something is left to send"
            assert (row.state, row.stop_reason, row.stop_detail, row.ended_at) == (state, reason, detail, ended)


def test_a_campaign_whose_process_was_killed_stays_one_until_it_is_sent_again(two_unknown: MamboSettings) -> None:
    """It goes on at once by itself; but of one that has nothing to send any more only the unknown calls are left."""
    with Store(two_unknown.store.get_secret_value()) as store:
        with store.writer() as connection, connection.begin():
            connection.execute(
                update(campaigns).values(state=CampaignState.SENDING, stop_reason=None, ended_at_us=None)
            )
            some = and_(chunks.c.campaign_id == 2, chunks.c.chunk == 1)
            connection.execute(update(chunks).where(some).values(state=ChunkState.PLANNED))
        settle_account(two_unknown)
        first, second = (Ledger(store).get(name) for name in ("first", "second"))
    assert first.state == "complete", "what the second one's replies named told of its call"
    assert (second.state, second.stop_reason) == ("sending", None)
    with Store(two_unknown.store.get_secret_value()) as store, store.writer() as connection, connection.begin():
        connection.execute(update(chunks).where(some).values(state=ChunkState.ACCEPTED))
    settle_account(two_unknown)
    with Store(two_unknown.store.get_secret_value()) as store:
        second = Ledger(store).get("second")
    assert (second.state, second.stop_reason) == ("paused", "unknown_calls")


def test_a_refused_password_is_not_tried_again(
    api: SandboxHandle, two_unknown: MamboSettings, balances_asked: Callable[[], int]
) -> None:
    wrong = with_password(api, two_unknown, password="another")
    for _ in range(2):
        [left] = [edition for edition in settle_account(wrong) if edition.left]
        assert left.why is not None
        assert left.why.startswith("the API refused MAMBO_USERNAME and MAMBO_PASSWORD")
    assert balances_asked() == 1


def test_no_answer_is_not_asked_for_again(
    api: SandboxHandle, two_unknown: MamboSettings, balances_asked: Callable[[], int]
) -> None:
    api.set_faults([NoAnswer(endpoint="balance", executes=False, times=None)])
    assert sum(edition.left for edition in settle_account(with_password(api, two_unknown))) == 1
    assert balances_asked() == 1


def test_what_somebody_is_at_work_on_is_left_to_them(api: SandboxHandle, two_unknown: MamboSettings) -> None:
    with Store(two_unknown.store.get_secret_value()) as store, store.locked_writer("second/1"):
        settled = settle_account(with_password(api, two_unknown))
    assert set(settled) == {
        SettledEdition("first/1", 1, 0, 0, None),
        SettledEdition("second/1", 0, 0, 0, "somebody is at work on it"),
    }


def test_another_account_is_left_alone(
    api: SandboxHandle, two_unknown: MamboSettings, balances_asked: Callable[[], int]
) -> None:
    assert settle_account(with_password(api, two_unknown, account="other")) == ()
    assert balances_asked() == 0


def test_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(NoLedgerYet):
        settle_account(load_settings(store=str(tmp_path / "nowhere.db")))
