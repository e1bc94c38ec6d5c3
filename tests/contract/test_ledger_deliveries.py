"""Delivery reports in the ledger: whom they find, what stands after an import, and what a campaign's counts say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Connection, update

from mambo_io import bulk
from mambo_io import deliveries as kept
from mambo_io.deliveries import people_of
from mambo_io.delivery_counts import DeliveryCounts, Evidence, delivery_counts
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger, to_us
from mambo_io.model import CampaignState, Delivery, Outcome
from mambo_io.settled import record_not_sent, record_person, record_sent
from mambo_io.store import Store, StoreBusy
from mambo_io.tables import campaigns, deliveries, events
from pipelines.archive import archive, bring_people_back
from pipelines.deliveries import Imported, UnmatchedReports, import_deliveries
from pipelines.delivery_export import read_export
from support.ledgers import NOON, Run, every_outcome, good_reply, msisdn, number, plan, report, rows_of

LATER = NOON + timedelta(days=2)
DELIVERED, FAILED, PENDING = Delivery.DELIVERED, Delivery.FAILED, Delivery.PENDING


def numbers(*rows: int) -> pl.Series:
    return pl.Series([msisdn(row) for row in rows], dtype=pl.Int64)


def counts_of(store: Store, campaign: CampaignRow) -> DeliveryCounts | None:
    with store.reader() as connection:
        return delivery_counts(connection, campaign)


def delivery_of(store: Store, campaign: CampaignRow) -> dict[int, str | None]:
    """The column `delivery` of the results, by row."""
    return dict(Ledger(store).results(campaign).select("row", "delivery").iter_rows())


def sent(connection: Connection, people: int = 3, *, now: datetime = NOON, name: str = "clinic-day") -> CampaignRow:
    """A campaign edition whose people, rows 1, 2, 3 …, all got their message at that time."""
    run = Run.of(connection, plan(people, name=name), now=now)
    call = run.claim_one()
    run.settle(call, good_reply(call))
    return run.campaign


class Provider:
    """Writes exports and imports them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.file, self.store = folder / "export.csv", store

    def reports(
        self,
        *told: tuple[int, str, datetime | None] | tuple[int, str],
        campaign: CampaignRow | None = None,
        meanings: Sequence[str] = (),
        unmatched: Path | None = None,
        now: datetime = LATER,
    ) -> Imported:
        """Import an export of these reports: the row of a person, a status, and perhaps a time."""
        lines = ["phone,status,done date"]
        for row, status, *at in told:
            time = f"{at[0]:%Y-%m-%d %H:%M:%S}Z" if at and at[0] is not None else ""
            lines.append(f"{number(row)},{status},{time}")
        self.file.write_text("\n".join([*lines, ""]))
        return import_deliveries(
            read_export(self.file, now=now, meanings=meanings),
            self.file,
            self.store,
            account="main",
            campaign=campaign,
            unmatched=unmatched,
            who="officer",
            now=now,
        )


@pytest.fixture
def provider(tmp_path: Path, store: Store) -> Provider:
    return Provider(tmp_path, store)


# --- people who are archived ------------------------------------------------------------------------------------------


def test_a_report_on_a_call_of_an_archived_campaign_is_not_taken_for_one_on_an_older_call(
    provider: Provider, store: Store, connection: Connection, tmp_path: Path
) -> None:
    old = sent(connection, name="old")
    new = sent(connection, name="new", now=NOON + timedelta(days=1))
    with connection.begin():
        connection.execute(update(campaigns).values(state=CampaignState.COMPLETE, ended_at_us=to_us(LATER)))
    archive(store, [Ledger(store).get("new")], tmp_path / "archive", who="grace", now=LATER)
    told = [(1, "DELIVRD", NOON + timedelta(minutes=1)), (2, "UNDELIV", NOON + timedelta(days=1, minutes=1))]
    imported = provider.reports(*told)
    assert imported.unmatched == (UnmatchedReports("archived", 1, (3,)),)
    assert delivery_of(store, old) == {1: DELIVERED, 2: "not_reported", 3: "not_reported"}
    with pytest.raises(InputError, match=r"is archived.*mambo store bring-back new --edition 1 --by NAME"):
        provider.reports(*told, campaign=new)

    bring_people_back(store, "new", None, who="grace", now=LATER)
    assert provider.reports(*told).unmatched == ()
    assert delivery_of(store, new)[2] == FAILED
    assert delivery_of(store, old)[2] == "not_reported"


# --- who stands under a number ---------------------------------------------------------------------------------------


def test_everybody_under_a_number_is_found_with_their_outcome(store: Store, connection: Connection) -> None:
    run = every_outcome(connection)
    with store.reader() as reader:
        found = people_of(reader, "main", numbers(*range(1, 12), 99))
    at_us = to_us(NOON)
    assert dict(found.schema) == kept.PEOPLE
    assert found.drop("campaign_id", "msisdn", "is_archived").rows() == [
        (1, 1, at_us, "accepted"),
        (2, 1, at_us, "unsupported"),
        (3, 1, at_us, "accepted"),
        (4, 2, at_us, "unverified"),
        (5, 2, at_us, "unverified"),
        (6, 3, at_us, "refused"),
        (7, 3, at_us, "refused"),
        (8, 4, at_us, "unknown"),
        (9, 4, at_us, "unknown"),
        (10, 5, at_us, "in_flight"),
        (11, None, None, "cancelled"),
    ]
    assert found["msisdn"].to_list() == [msisdn(row) for row in range(1, 12)]
    assert set(found["campaign_id"]) == {run.campaign.id}


def test_only_the_people_asked_for_in_campaigns_of_the_account_that_have_begun(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "ROWS_A_PIECE", 2)
    first = sent(connection, 5)
    second = sent(connection, 3, name="flour-day")
    Run.of(connection, plan(3, name="planned"))
    other = Run.of(connection, plan(3, name="other", account="second"))
    other.settle(call := other.claim_one(), good_reply(call))
    with store.reader() as reader:
        found = people_of(reader, "main", numbers(4, 2, 2))
    assert found.select("campaign_id", "row").rows() == [(first.id, 2), (first.id, 4), (second.id, 2)]


def test_nobody(store: Store, connection: Connection) -> None:
    sent(connection)
    with store.reader() as reader:
        assert people_of(reader, "main", numbers()).is_empty()
        assert people_of(reader, "nobody's", numbers(1)).is_empty()


# --- importing -------------------------------------------------------------------------------------------------------


def test_an_export_of_several_campaigns(provider: Provider, store: Store, connection: Connection) -> None:
    clinic_day = sent(connection, 4)
    flour_day = sent(connection, 3, name="flour-day", now=NOON + timedelta(days=1))
    minute = timedelta(minutes=1)
    imported = provider.reports(
        (1, "DELIVRD", NOON + minute),
        (2, "ENROUTE", NOON + minute),
        (2, "UNDELIV", NOON + 600 * minute),
        (1, "DELIVRD", NOON + timedelta(days=1) + minute),
        (4, "EXPIRED", NOON + timedelta(days=1) + minute),  # of clinic-day: flour-day has no such person
        (3, "DELIVRD", NOON - 600 * minute),
        (77, "DELIVRD", NOON + minute),
        (3, "ENROUTE"),
    )
    assert delivery_of(store, clinic_day) == {1: "delivered", 2: "failed", 3: "not_reported", 4: "failed"}
    assert delivery_of(store, flour_day) == {1: "delivered", 2: "not_reported", 3: "not_reported"}
    assert [(each.label, each.people, each.new, each.changed) for each in imported.campaigns] == [
        ("flour-day/1", {"delivered": 1, "failed": 0, "pending": 0}, 1, 0),
        ("clinic-day/1", {"delivered": 1, "failed": 2, "pending": 0}, 3, 0),
    ]
    assert imported.unmatched == (
        UnmatchedReports("no_call", 2, (7, 8)),
        UnmatchedReports("ambiguous", 1, (9,)),
    )
    assert (imported.reports, imported.first_at, imported.last_at) == (
        *(8, NOON - 600 * minute, NOON + timedelta(days=1) + minute),
    )


def test_each_report_keeps_where_it_came_from(provider: Provider, store: Store, connection: Connection) -> None:
    campaign = sent(connection)
    provider.reports((2, "Undeliv ", NOON + timedelta(minutes=1)), (1, "enroute"))
    common = {"campaign_id": campaign.id, "attempt_id": 1, "source": "export.csv", "imported_at_us": to_us(LATER)}
    assert rows_of(store, deliveries) == [
        {**common, "row": 1, "status": PENDING, "status_raw": "enroute", "reported_at_us": None},
        {
            **common,
            "row": 2,
            "status": FAILED,
            "status_raw": "Undeliv ",
            "reported_at_us": to_us(NOON + timedelta(minutes=1)),
        },
    ]
    [event] = rows_of(store, events, kind="deliveries_imported")
    assert (event["campaign_id"], event["account"], event["who"], event["detail"]) == (
        *(campaign.id, "main", "officer", "export.csv: 2 reports"),
    )


def test_the_same_export_again_changes_nothing(provider: Provider, store: Store, connection: Connection) -> None:
    sent(connection)
    told = [(1, "DELIVRD", NOON + timedelta(minutes=1)), (2, "ENROUTE", None), (2, "EXPIRED", None)]
    provider.reports(*told)
    before = rows_of(store, deliveries), rows_of(store, events)
    [again] = provider.reports(*told, now=LATER + timedelta(days=1)).campaigns
    assert (sum(again.people.values()), again.new, again.changed) == (2, 0, 0)
    assert (rows_of(store, deliveries), rows_of(store, events)) == before


def test_a_newer_export_goes_on_and_an_older_one_rolls_nothing_back(
    provider: Provider, store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_ROWS_A_COMMIT", 2)
    monkeypatch.setattr(kept, "_ROWS_A_DELETE", 1)
    campaign = sent(connection, 5)
    hour = timedelta(hours=1)
    monday = [(row, "ENROUTE", NOON + hour) for row in range(1, 6)]
    tuesday = [(row, "DELIVRD" if row < 4 else "UNDELIV", NOON + 9 * hour) for row in range(1, 5)]
    [first] = provider.reports(*monday).campaigns
    [second] = provider.reports(*tuesday).campaigns
    [third] = provider.reports(*monday, (1, "UNDELIV", NOON + 2 * hour)).campaigns
    assert [(each.new, each.changed) for each in (first, second, third)] == [(5, 0), (0, 4), (0, 0)]
    assert delivery_of(store, campaign) == {
        **dict.fromkeys((1, 2, 3), "delivered"),
        4: "failed",
        5: "pending",
    }


def test_a_word_that_was_read_wrongly_is_set_right_by_importing_again(
    provider: Provider, store: Store, connection: Connection
) -> None:
    campaign = sent(connection, 2)
    provider.reports((1, "Wibble"), (2, "DELIVRD"), meanings=["Wibble=failed"])
    provider.reports((1, "Wibble"), (2, "DELIVRD"), meanings=["Wibble=pending"])
    assert delivery_of(store, campaign) == {1: "pending", 2: "delivered"}


def test_a_named_campaign_is_the_only_one_that_is_written(
    provider: Provider, store: Store, connection: Connection
) -> None:
    clinic_day = sent(connection)
    flour_day = sent(connection, name="flour-day", now=NOON + timedelta(days=1))
    imported = provider.reports(
        (1, "DELIVRD"), (2, "DELIVRD", NOON + timedelta(days=1, minutes=1)), campaign=clinic_day
    )
    assert delivery_of(store, clinic_day) == {1: "delivered", 2: "not_reported", 3: "not_reported"}
    assert set(delivery_of(store, flour_day).values()) == {"not_reported"}
    assert imported.unmatched == (UnmatchedReports("other_campaign", 1, (3,)),)


def test_what_does_not_match_is_written_in_full(
    provider: Provider, store: Store, connection: Connection, tmp_path: Path
) -> None:
    sent(connection)
    out = tmp_path / "unmatched.parquet"
    provider.reports((77, "DELIVRD", NOON), (1, "DELIVRD"), (2, "-"), unmatched=out)
    assert pl.read_parquet(out).rows() == [
        (2, number(77), number(77), "DELIVRD", "2026-03-02 09:00:00Z", "no_call"),
        (4, number(2), number(2), "-", None, "no_status"),
    ]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            [(77, "DELIVRD"), (78, "-")],
            r"not one row of it is about a call of account main: no_call 1, no_status 1\. MAM",
        ),
        ([(1, "DELIVRD")], r"not one row of it is about a call of account main: ambiguous 1\. Name the campaign"),
    ],
)
def test_an_export_of_which_nothing_matches_is_refused(
    provider: Provider, store: Store, connection: Connection, told: list[tuple[int, str]], message: str
) -> None:
    sent(connection)
    sent(connection, name="flour-day")
    with pytest.raises(InputError, match=message):
        provider.reports(*told)
    assert rows_of(store, deliveries) == []


def test_one_import_at_a_time(provider: Provider, store: Store, connection: Connection) -> None:
    sent(connection)
    with (
        store.lock("deliveries", connection),
        pytest.raises(
            StoreBusy,
            match=r"another import of delivery reports, or an archiving, is at work: .*\. Wait until it ends\.",
        ),
    ):
        provider.reports((1, "DELIVRD"))
    provider.reports((1, "DELIVRD"))


# --- people whom the API did not accept ------------------------------------------------------------------------------


def test_a_report_changes_no_outcome(provider: Provider, store: Store, connection: Connection) -> None:
    campaign = every_outcome(connection).campaign
    before = Ledger(store).results(campaign).drop("delivery")
    totals = Ledger(store).totals(campaign)
    imported = provider.reports(*((row, "DELIVRD") for row in range(1, 12)))
    assert Ledger(store).results(campaign).drop("delivery").equals(before)
    assert Ledger(store).totals(campaign) == totals
    assert imported.unmatched == (UnmatchedReports("not_sent", 1, (12,)),), "row 11 is cancelled"


def test_counts_are_those_of_the_results_and_tell_of_others(store: Store, connection: Connection) -> None:
    campaign = every_outcome(connection).campaign
    assert counts_of(store, campaign) is None
    report(connection, campaign, {row: FAILED if row in (5, 8) else DELIVERED for row in range(2, 11)})
    counts = counts_of(store, campaign)
    assert counts == DeliveryCounts(
        accepted={DELIVERED: 1, FAILED: 0, PENDING: 0},
        evidence=(
            Evidence(Outcome.REFUSED, people=2, delivered=2, call="clinic-day/1/c0003"),
            Evidence(Outcome.UNKNOWN, people=2, delivered=1, call="clinic-day/1/c0004"),
            Evidence(Outcome.IN_FLIGHT, people=1, delivered=1, call="clinic-day/1/c0005"),
            Evidence(Outcome.UNSUPPORTED, people=1, delivered=1, rows=(2,)),
            Evidence(Outcome.UNVERIFIED, people=2, delivered=1, rows=(4, 5)),
        ),
    )


def test_what_a_person_resolves_shows_what_was_reported(store: Store, connection: Connection) -> None:
    run = every_outcome(connection)
    report(connection, run.campaign, {4: DELIVERED, 8: FAILED, 9: DELIVERED})
    record_sent(
        connection,
        run.campaign,
        4,
        cost_ugx=None,
        everybody=True,
        reason="resolved",
        evidence="the export",
        who="jane",
        now=NOON,
    )
    record_person(connection, run.campaign, 4, reached=True, note="the export", who="jane", now=NOON)
    told = {row: said for row, said in delivery_of(store, run.campaign).items() if said is not None}
    assert told == {1: "not_reported", 3: "not_reported", 4: "delivered", 8: "failed", 9: "delivered"}
    counts = counts_of(store, run.campaign)
    assert counts is not None
    assert (counts.accepted, counts.evidence) == ({DELIVERED: 2, FAILED: 1, PENDING: 0}, ())


def test_a_report_on_one_call_says_nothing_of_the_next(
    provider: Provider, store: Store, connection: Connection
) -> None:
    """An unknown call was reported as failed; a person had it sent again, and that call was accepted."""
    run = every_outcome(connection)
    report(connection, run.campaign, {8: FAILED, 9: FAILED})
    record_not_sent(
        connection, run.campaign, 4, reason="resolved", evidence="asked", at_the_end=False, who="jane", now=NOON
    )
    assert counts_of(store, run.campaign) is None
    again = Run(connection, run.campaign, now=NOON + timedelta(hours=1), name="again")
    call = again.claim_one()
    again.settle(call, good_reply(call))
    said = delivery_of(store, run.campaign)
    assert (said[8], said[9]) == ("not_reported", "not_reported")

    provider.reports((8, "ENROUTE", NOON + timedelta(hours=2)))
    assert delivery_of(store, run.campaign)[8] == "pending", "the failure was another call's"
    counts = counts_of(store, run.campaign)
    assert counts is not None
    assert counts.accepted == {DELIVERED: 0, FAILED: 0, PENDING: 1}
