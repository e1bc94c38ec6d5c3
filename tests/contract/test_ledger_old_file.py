"""Ledgers as earlier versions wrote them, byte for byte: today's code reads them and goes on with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState, CanaryState, ChunkState, Outcome
from mambo_io.store import Store
from support.environment import REPOSITORY
from support.ledgers import NOON, Run, msisdn, number


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Store]:
    """A copy of the ledger of schema version 1: opening a ledger, even for reading, writes files beside it."""
    copy = shutil.copy(REPOSITORY / "tests" / "data" / "ledger-v1.db", tmp_path)
    with Store(str(copy)) as store:
        yield store


def test_its_campaigns_are_all_there(old: Store) -> None:
    flour_day, clinic_day = Ledger(old).campaigns()
    assert (clinic_day.label, clinic_day.state, clinic_day.first_call_at, clinic_day.kept_columns) == (
        *("clinic-day/1", CampaignState.SENDING, NOON, ("client_id",)),
    )
    assert (flour_day.label, flour_day.state, flour_day.canary, flour_day.ended_at) == (
        *("flour-day/2026-03-02", CampaignState.COMPLETE, CanaryState.AGREED, NOON + timedelta(minutes=1)),
    )


def test_its_results_have_an_outcome_in_every_row(old: Store) -> None:
    ledger = Ledger(old)
    people = ledger.results(ledger.get("clinic-day"))
    assert people.select("row", "e164", "outcome", "reason", "charged_ugx", "attempt", "client_id").rows() == [
        (1, number(1), "accepted", None, 51, 1, "c1"),
        (2, number(2), "unsupported", "unsupported", 0, 1, "c2"),
        (3, number(3), "accepted", None, 50, 1, "c3"),
        (4, number(4), "unverified", "unverified", 50, 2, "c4"),
        (5, number(5), "unverified", "unverified", 50, 2, "c5"),
        (6, number(6), "refused", "http_400", None, 3, "c6"),
        (7, number(7), "refused", "http_400", None, 3, "c7"),
        (8, number(8), "unknown", "no_answer", None, 4, "c8"),
        (9, number(9), "unknown", "no_answer", None, 4, "c9"),
        (10, number(10), "in_flight", None, None, 5, "c10"),
        (11, number(11), "cancelled", "cancelled", None, None, "c11"),
        (12, None, "rejected", "missing", None, None, "c12"),
    ]
    complete = ledger.results(ledger.get("flour-day"))
    assert complete.select("row", "outcome", "reason", "charged_ugx", "chunk").rows() == [
        (1, "accepted", None, 50, 4),
        (2, "rejected", "opted_out", None, None),
        (3, "accepted", None, 50, 5),
        (4, "accepted", None, 50, 2),
        (5, "accepted", None, 50, 2),
        (6, "rejected", "opted_out", None, None),
    ]


def test_its_totals_add_up(old: Store) -> None:
    ledger = Ledger(old)
    totals = ledger.totals(ledger.get("clinic-day"))
    assert totals.outcomes == {
        Outcome.REJECTED: 1,
        Outcome.UNSUPPORTED: 1,
        Outcome.UNVERIFIED: 2,
        Outcome.ACCEPTED: 2,
        Outcome.IN_FLIGHT: 1,
        Outcome.UNKNOWN: 2,
        Outcome.REFUSED: 2,
        Outcome.CANCELLED: 1,
    }
    assert (totals.rows, totals.estimated_ugx, totals.charged_ugx, totals.exposed_ugx) == (12, 550, 201, 150)
    complete = ledger.totals(ledger.get("flour-day"))
    assert complete.calls == {ChunkState.ACCEPTED: 3, ChunkState.SPLIT: 1, ChunkState.SKIPPED: 1}
    assert (complete.rows, complete.estimated_ugx, complete.charged_ugx, complete.exposed_ugx) == (6, 300, 200, 0)


def test_what_it_says_of_the_account_and_of_who_was_sent_what_still_counts(old: Store) -> None:
    ledger = Ledger(old)
    assert ledger.last_balance("main") == (8_000, NOON + timedelta(minutes=2))
    assert ledger.credentials_latch("second") == "Invalid credentials"
    sent = ledger.sent_pairs("main", NOON, other_than=("", ""))
    assert set(sent["msisdn"]) == {msisdn(row) for row in (1, 3, 4, 5, 8, 9, 10)}


def test_what_was_in_flight_is_unknown_to_whoever_goes_on_with_it(old: Store) -> None:
    ledger = Ledger(old)
    with old.writer() as connection:
        run = Run(connection, ledger.get("clinic-day"))
        assert run.orphans == 1
        assert run.claim(5) == (), "nothing else is left to be sent"
    assert [call.name for call in ledger.unknown_calls(run.campaign)] == ["clinic-day/1/c0004", "clinic-day/1/c0005"]
