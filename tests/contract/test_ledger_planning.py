"""A plan is written whole or not at all, replaces what was never begun, and never what was."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from sqlalchemy import Connection, event

from mambo_io import planning
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState, CanaryState, Outcome
from mambo_io.planning import Plan, write_plan, write_suppressions
from mambo_io.store import Store
from mambo_io.tables import campaigns, chunks, events, recipients, suppressions
from support.ledgers import NOON, Run, msisdn, plan, rows_of, suppressed


class PowerCut(Exception):
    pass


def write_until(connection: Connection, planned: Plan, *, commits: int) -> None:
    """Write a plan, and stop for good after so many commits, as a power cut would."""
    left = commits

    @event.listens_for(connection, "begin")
    def on_begin(_: Connection) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut

    with pytest.raises(PowerCut):
        write_plan(connection, planned, who="tester")
    event.remove(connection, "begin", on_begin)


def states(store: Store) -> list[CampaignState]:
    return [row["state"] for row in rows_of(store, campaigns)]


def test_a_plan_is_what_was_planned(store: Store, connection: Connection) -> None:
    planned = plan(3, 2, canaries=1, rejected=1, kept={"client_id": ["a", "b", "c", "d", None, "f"]}, opted_out=[4])
    row = write_plan(connection, planned, who="officer")

    assert (row.label, row.state, row.canary, row.begun) == (
        "clinic-day/1",
        CampaignState.PLANNED,
        CanaryState.PENDING,
        False,
    )
    assert (row.rows, row.sendable, row.calls, row.segments, row.estimated_ugx) == (6, 5, 2, 5, 250)
    assert row.kept_columns == ("client_id",)
    assert Ledger(store).campaigns() == [row]
    assert [(each["row"], each["msisdn"], each["chunk"], each["reason"]) for each in rows_of(store, recipients)] == [
        (1, msisdn(1), 1, None),
        (2, msisdn(2), 1, None),
        (3, msisdn(3), 1, None),
        (4, msisdn(4), 2, None),
        (5, msisdn(5), 2, None),
        (6, None, None, "missing"),
    ]
    # A text that is sent stands once, on its call; only a row that is not sent keeps its own.
    assert [each["message"] is not None for each in rows_of(store, recipients)] == [False] * 5 + [True]
    assert [(each["chunk"], each["canary"], each["recipients_count"]) for each in rows_of(store, chunks)] == [
        (1, True, 3),
        (2, False, 2),
    ]
    assert [each["msisdn"] for each in rows_of(store, suppressions)] == [msisdn(4)]
    assert [(each["kind"], each["who"]) for each in rows_of(store, events)] == [("planned", "officer")]


def test_a_plan_of_nobody_is_a_plan(store: Store, connection: Connection) -> None:
    row = write_plan(connection, plan(rejected=2), who="tester")
    assert (row.rows, row.sendable, row.calls, row.canary) == (2, 0, 0, CanaryState.AGREED)
    assert Ledger(store).totals(row).outcomes == {Outcome.REJECTED: 2}


# Of a plan of 10 recipients in 4 calls, written 3 rows a commit: the campaign in the place of an earlier one, the calls
# in 2 commits, the recipients in 4, the look at the opt-outs, the opt-outs, and the last, which makes it `planned`.
COMMITS = 10


def test_a_broken_plan_is_in_planning_and_is_written_anew(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ROWS_A_COMMIT", 3)
    for commits in range(1, COMMITS):
        write_until(connection, plan(3, 3, 3, 1, opted_out=[10]), commits=commits)
        assert states(store) == [CampaignState.PLANNING]
        assert Ledger(store).campaigns() == [], "nobody sees a plan that is not whole"

        other = plan(2, message="Clinic day is on Monday instead.")
        row = write_plan(connection, other, who="tester")
        assert (row.state, row.rows, row.message) == (CampaignState.PLANNED, 2, other.message)
        assert len(rows_of(store, campaigns)) == 1
        assert [each["campaign_id"] for each in rows_of(store, recipients)] == [row.id] * 2
        assert [each["campaign_id"] for each in rows_of(store, chunks)] == [row.id]
        assert rows_of(store, suppressions) == []


def test_the_count_of_commits_above_is_right(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ROWS_A_COMMIT", 3)
    begun: list[object] = []
    event.listen(connection, "begin", begun.append)
    write_plan(connection, plan(3, 3, 3, 1, opted_out=[10]), who="tester")
    assert len(begun) == COMMITS


def test_many_rows_go_in_several_commits_that_others_can_write_between(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ROWS_A_COMMIT", 50)
    seen = []

    @event.listens_for(connection, "commit")
    def on_commit(_: Connection) -> None:
        seen.append((states(store), len(rows_of(store, recipients))))

    row = write_plan(connection, plan(*[10] * 12), who="tester")
    # Each is what others see just before a commit, so the rows of the last one are still to come.
    assert [count for _, count in seen if count] == [50, 100, 120, 120]
    assert {state for each, _ in seen for state in each} == {CampaignState.PLANNING}
    assert row.state is CampaignState.PLANNED
    assert rows_of(store, recipients)[-1]["row"] == 120


def test_a_second_plan_replaces_one_that_was_never_begun(store: Store, connection: Connection) -> None:
    write_plan(connection, plan(5, opted_out=[1]), who="tester")
    kept = write_plan(connection, plan(1, edition="2", opted_out=[1]), who="tester")
    second = write_plan(connection, plan(2, 1), who="tester")
    assert [row.id for row in Ledger(store).campaigns()] == [second.id, kept.id]
    assert {each["campaign_id"] for each in rows_of(store, recipients)} == {kept.id, second.id}
    assert [each["campaign_id"] for each in rows_of(store, suppressions)] == [kept.id], "those of the other edition"


def test_a_plan_takes_over_the_events_of_the_one_in_whose_place_it_is(store: Store, connection: Connection) -> None:
    """Also across a plan that was broken off, which nobody ever saw."""
    first = write_plan(connection, plan(5), who="Grace")
    write_until(connection, plan(4), commits=3)
    second = write_plan(connection, plan(2), who="Amos")
    assert first.id != second.id, "who means the first does not approve or pause the second"
    assert [(each["campaign_id"], each["kind"], each["who"]) for each in rows_of(store, events)] == [
        (second.id, "planned", "Grace"),
        (second.id, "plan_replaced", "tester"),
        (second.id, "planned", "Amos"),
    ]


def test_runs_that_began_with_an_earlier_plan_are_not_at_work_on_this_one(store: Store, connection: Connection) -> None:
    ledger, first = Ledger(store), Run.of(connection, plan(5)).campaign
    assert len(ledger.starts(first)) == 1
    assert ledger.starts(write_plan(connection, plan(2), who="tester")) == []


def test_a_plan_whose_sender_made_no_call_may_be_replaced(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(5))
    run.sender.finish(CampaignState.PAUSED, "outside_window", NOON)
    write_plan(connection, plan(2), who="tester")
    assert [row.rows for row in Ledger(store).campaigns()] == [2]


def test_an_edition_that_has_begun_is_never_replaced(store: Store, connection: Connection) -> None:
    Run.of(connection, plan(5)).claim_one()
    before = {table: rows_of(store, table) for table in (campaigns, recipients, chunks)}
    with pytest.raises(AssertionError, match="clinic-day/1 has begun"):
        write_plan(connection, plan(2), who="tester")
    assert {table: rows_of(store, table) for table in before} == before
    write_plan(connection, plan(2, edition="2"), who="tester")


def test_opt_outs_can_be_added_to_a_plan_and_the_first_source_stands(store: Store, connection: Connection) -> None:
    row = write_plan(connection, plan(3, opted_out=[1]), who="tester")
    later = suppressed(1, 2, 2).with_columns(source=pl.lit("later.csv"))
    write_suppressions(connection, row.id, later)
    assert [(each["msisdn"], each["source"]) for each in rows_of(store, suppressions)] == [
        (msisdn(1), "opt_outs.csv"),
        (msisdn(2), "later.csv"),
    ]


def test_the_libraries_and_settings_of_a_plan_are_kept(store: Store, connection: Connection) -> None:
    planned = replace(plan(1), settings={"max_segments": 3}, versions={"phonenumbers": "9.0.43"})
    write_plan(connection, planned, who="tester")
    [row] = rows_of(store, campaigns)
    assert (row["settings"], row["versions"]) == ('{"max_segments": 3}', '{"phonenumbers": "9.0.43"}')
