"""Delivery reports in any order, and on any calls, against plain accounts of what should come of them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mambo_io.deliveries import KNOWN, PEOPLE
from mambo_io.model import Delivery, Outcome
from pipelines.delivery_matching import (
    CLOCKS_DIFFER_US,
    Unmatched,
    latest_reports,
    match_reports,
    reports_to_write,
)

CAMPAIGN, ATTEMPT = 1, 10
MATCHED = {
    "row": pl.Int64,
    "campaign_id": pl.Int64,
    "person_row": pl.Int64,
    "attempt_id": pl.Int64,
    "outcome": pl.String,
    "status": pl.String,
    "status_raw": pl.String,
    "at_us": pl.Int64,
    "unmatched": pl.String,
}

# person, status, time
Report = tuple[int, Delivery, int | None]
Standing = dict[int, tuple[str, int | None]]


def imported(ledger: pl.DataFrame, export: Sequence[Report]) -> pl.DataFrame:
    """What stands in the ledger after an import."""
    rows = [
        (row, CAMPAIGN, person, ATTEMPT, "accepted", status.value, status.value, at, None)
        for row, (person, status, at) in enumerate(export)
    ]
    latest = latest_reports(pl.DataFrame(rows, schema=MATCHED, orient="row"))
    written = reports_to_write(latest, ledger)
    stays = ledger.join(written.filter("is_known"), on=["campaign_id", "row"], how="anti")
    assert stays.height + written["is_known"].sum() == ledger.height
    return pl.concat([stays, written.drop("is_known")]).sort("row")


def standing(ledger: pl.DataFrame) -> Standing:
    return {row: (status, at) for row, status, at in ledger.select("row", "status", "reported_at_us").iter_rows()}


def rank(status: Delivery, at: int | None) -> tuple[bool, int]:
    return status is not Delivery.PENDING, -1 if at is None else at


EMPTY = pl.DataFrame(schema=KNOWN)
people = st.integers(1, 3)
exports = st.lists(
    st.lists(st.tuples(people, st.sampled_from(list(Delivery)), st.none() | st.integers(0, 3)), max_size=6), max_size=4
)


@given(exports)
def test_what_stands_is_the_report_that_counts_most_and_was_read_last(told: list[list[Report]]) -> None:
    ledger, expected = EMPTY, Standing()
    for export in told:
        ledger = imported(ledger, export)
        for person, status, at in export:
            before = expected.get(person)
            if before is None or rank(status, at) >= rank(Delivery(before[0]), before[1]):
                expected[person] = status.value, at
    assert standing(ledger) == expected


@given(exports)
def test_the_same_export_again_changes_nothing(told: list[list[Report]]) -> None:
    ledger = EMPTY
    for export in told:
        ledger = imported(ledger, export)
        assert imported(ledger, export).equals(ledger)


@given(st.data())
def test_reports_of_different_times_may_come_in_any_order_and_in_any_number_of_exports(data: st.DataObject) -> None:
    """Intermediate and final ones, newer exports before older ones, some twice."""
    times = data.draw(st.lists(st.integers(0, 100), unique=True, min_size=1, max_size=8))
    told = [(data.draw(people), data.draw(st.sampled_from(list(Delivery))), at) for at in times]
    outcomes = []
    for _ in range(2):
        left = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)))]))
        ledger = EMPTY
        while left:
            size = data.draw(st.integers(1, len(left)))
            ledger, left = imported(ledger, left[:size]), left[size:]
        outcomes.append(standing(ledger))
    best: dict[int, tuple[Delivery, int]] = {}
    for person, status, at in told:
        if person not in best or rank(status, at) > rank(*best[person]):
            best[person] = status, at
    assert outcomes == [{person: (status.value, at) for person, (status, at) in best.items()}] * 2


# --- which call ------------------------------------------------------------------------------------------------------

SECOND = 1_000_000
moments = st.integers(0, 8).map(lambda number: number * CLOCKS_DIFFER_US // 2)
may_have_been_sent = [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.UNVERIFIED]
calls = st.lists(
    st.tuples(
        st.integers(1, 3),  # campaign
        st.integers(1, 2),  # number
        st.none() | moments,
        st.sampled_from([*may_have_been_sent, Outcome.UNSUPPORTED, Outcome.REFUSED]),
    ),
    max_size=6,
)
told_times = st.none() | st.tuples(moments, st.sampled_from([SECOND, 60 * SECOND, 600 * SECOND]))


def plain_match(
    msisdn: int, time: tuple[int, int] | None, called: list[tuple[int, int, int | None, Outcome]], named: int | None
) -> tuple[int, int] | Unmatched:
    """(campaign, row) of the call that a report is about, told one call at a time."""
    here = [
        (sent, campaign, row, outcome)
        for row, (campaign, number, sent, outcome) in enumerate(called)
        if number == msisdn and sent is not None
    ]
    turned_away = (Outcome.UNSUPPORTED, Outcome.REFUSED)
    if time is None:
        here = [call for call in here if named in (None, call[1])]
        here = [call for call in here if call[3] not in turned_away] or here
    else:
        at, lasts = time
        here = [call for call in here if call[0] <= at + lasts - 1 + CLOCKS_DIFFER_US]
    here.sort(key=lambda call: call[:3])
    if not here:
        was_called = any(number == msisdn and sent is not None for _, number, sent, _ in called)
        is_listed = any(number == msisdn for _, number, _, _ in called)
        return Unmatched.NOT_SENT if is_listed and not was_called else Unmatched.NO_CALL
    last, before = here[-1], here[-2] if len(here) > 1 else None
    doubtful = before is not None and (
        time is None
        or before[1] == last[1]
        or before[0] > time[0] - CLOCKS_DIFFER_US
        or last[0] > time[0] + time[1] - 1
        or (last[3] in turned_away and before[3] not in turned_away)
    )
    if named is None:
        return Unmatched.AMBIGUOUS if doubtful else last[1:3]
    if doubtful and before is not None:
        its = [call for call in (before, last) if call[1] == named]
        if len(its) == 2:
            return Unmatched.AMBIGUOUS
        return its[0][1:3] if its else Unmatched.OTHER_CAMPAIGN
    return last[1:3] if last[1] == named else Unmatched.OTHER_CAMPAIGN


@given(calls, st.lists(st.tuples(st.integers(1, 3), told_times), max_size=6), st.none() | st.integers(1, 3))
def test_each_report_is_about_the_call_that_a_plain_search_finds(
    called: list[tuple[int, int, int | None, Outcome]],
    told: list[tuple[int, tuple[int, int] | None]],
    named: int | None,
) -> None:
    rows = [
        (campaign, row, msisdn, None if sent is None else row, sent, outcome.value, False)
        for row, (campaign, msisdn, sent, outcome) in enumerate(called)
    ]
    reports = [
        (msisdn, None if time is None else time[0], None if time is None else time[0] + time[1] - 1)
        for msisdn, time in told
    ]
    frame = pl.DataFrame(reports, schema={"msisdn": pl.Int64, "at_us": pl.Int64, "until_us": pl.Int64}, orient="row")
    found = match_reports(frame, pl.DataFrame(rows, schema=PEOPLE, orient="row"), named)
    assert [
        (campaign, row) if unmatched is None else Unmatched(unmatched)
        for campaign, row, unmatched in found.select("campaign_id", "person_row", "unmatched").iter_rows()
    ] == [plain_match(msisdn, time, called, named) for msisdn, time in told]
