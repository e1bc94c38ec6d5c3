"""Which call a delivery report is about, and which of several reports counts."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from mambo_io.deliveries import KNOWN, PEOPLE
from mambo_io.model import Delivery, Outcome
from pipelines.delivery_matching import Unmatched, latest_reports, match_reports, reports_to_write

JANE, BOB = 256772000001, 256772000002
MINUTE_US, DAY_US = 60 * 1_000_000, 24 * 3600 * 1_000_000
DAY_1 = 20_000 * DAY_US  # a day, and the time of clinic-day's call
DAY_8 = DAY_1 + 7 * DAY_US
CLINIC_DAY, FLOUR_DAY = 1, 2

DELIVERED, FAILED, PENDING = Delivery.DELIVERED, Delivery.FAILED, Delivery.PENDING


def people(*called: tuple[int, int, int, int | None, Outcome]) -> pl.DataFrame:
    """campaign, row, number, when it was called (the attempt's number is the campaign's, times ten), outcome."""
    rows = [
        (campaign, row, msisdn, None if sent is None else campaign * 10, sent, outcome.value, False)
        for campaign, row, msisdn, sent, outcome in called
    ]
    return pl.DataFrame(rows, schema=PEOPLE, orient="row")


def reports(*told: tuple[int, int | None], lasts_us: int = 1_000_000) -> pl.DataFrame:
    """number, time (or none)."""
    rows = [
        (row, msisdn, DELIVERED.value, "DELIVRD", at, None if at is None else at + lasts_us - 1)
        for row, (msisdn, at) in enumerate(told, start=2)
    ]
    schema = {"row": pl.Int64, "msisdn": pl.Int64, "status": pl.String, "status_raw": pl.String, "at_us": pl.Int64}
    return pl.DataFrame(rows, schema={**schema, "until_us": pl.Int64}, orient="row")


def call_of(found: pl.DataFrame) -> tuple[int, int, int] | Unmatched:
    """(campaign, row, attempt) of the only report, or why there is none."""
    [(campaign, row, attempt, outcome, unmatched)] = found.select(
        "campaign_id", "person_row", "attempt_id", "outcome", "unmatched"
    ).rows()
    if unmatched is not None:
        assert (campaign, row, attempt, outcome) == (None, None, None, None)
        return Unmatched(unmatched)
    assert outcome is not None
    return campaign, row, attempt


ACCEPTED, UNSUPPORTED, UNKNOWN = Outcome.ACCEPTED, Outcome.UNSUPPORTED, Outcome.UNKNOWN
ONE_CALL = people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED))
TWO_CALLS = people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_8, ACCEPTED))
TWO_ROWS = people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (CLINIC_DAY, 9, JANE, DAY_1, ACCEPTED))
ON_ONE_DAY = people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_1 + 120 * MINUTE_US, ACCEPTED))
TO_CLINIC_DAY, TO_FLOUR_DAY = (CLINIC_DAY, 7, 10), (FLOUR_DAY, 3, 20)

# Calls, the time of a report on Jane, the campaign that was named, and the call it is about.
CASES: dict[str, tuple[pl.DataFrame, int | None, int | None, tuple[int, int, int] | Unmatched]] = {
    "a minute after the call": (ONE_CALL, DAY_1 + MINUTE_US, None, TO_CLINIC_DAY),
    "two days after the call": (ONE_CALL, DAY_1 + 2 * DAY_US, None, TO_CLINIC_DAY),
    "without a time": (ONE_CALL, None, None, TO_CLINIC_DAY),
    "an hour before the call": (ONE_CALL, DAY_1 - 60 * MINUTE_US, None, Unmatched.NO_CALL),
    "before the call by the provider's clock": (ONE_CALL, DAY_1 - MINUTE_US // 2, None, TO_CLINIC_DAY),
    "nobody called": (people(), DAY_1, None, Unmatched.NO_CALL),
    "after both calls": (TWO_CALLS, DAY_8 + MINUTE_US, None, TO_FLOUR_DAY),
    "between the calls": (TWO_CALLS, DAY_8 - DAY_US, None, TO_CLINIC_DAY),
    "before both calls": (TWO_CALLS, DAY_1 - DAY_US, None, Unmatched.NO_CALL),
    "after both, of a named campaign": (TWO_CALLS, DAY_8 + MINUTE_US, FLOUR_DAY, TO_FLOUR_DAY),
    "after both, but not of the named one": (TWO_CALLS, DAY_8 + MINUTE_US, CLINIC_DAY, Unmatched.OTHER_CAMPAIGN),
    "without a time, two calls": (TWO_CALLS, None, None, Unmatched.AMBIGUOUS),
    "without a time, the campaign named": (TWO_CALLS, None, CLINIC_DAY, TO_CLINIC_DAY),
    "without a time, of another campaign": (ONE_CALL, None, FLOUR_DAY, Unmatched.NO_CALL),
    # Half a minute before the second call the first one may be meant, or the clocks differ.
    "about the second call": (TWO_CALLS, DAY_8 - MINUTE_US // 2, None, Unmatched.AMBIGUOUS),
    "about the second call, which is named": (TWO_CALLS, DAY_8 - MINUTE_US // 2, FLOUR_DAY, TO_FLOUR_DAY),
    "about the second call, the first named": (TWO_CALLS, DAY_8 - MINUTE_US // 2, CLINIC_DAY, TO_CLINIC_DAY),
    "just after two calls": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_1 + MINUTE_US // 4, ACCEPTED)),
        *(DAY_1 + MINUTE_US // 2, None, Unmatched.AMBIGUOUS),
    ),
    # The same number in two rows of one list, which `duplicates = "same_text"` allows: reports on both look alike.
    "two rows of one call": (TWO_ROWS, DAY_1 + 9 * MINUTE_US, CLINIC_DAY, Unmatched.AMBIGUOUS),
    "two rows of two calls": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (CLINIC_DAY, 9, JANE, DAY_1 + 5 * MINUTE_US, ACCEPTED)),
        *(DAY_1 + 9 * MINUTE_US, None, Unmatched.AMBIGUOUS),
    ),
    "between the calls of two rows": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (CLINIC_DAY, 9, JANE, DAY_1 + 5 * MINUTE_US, ACCEPTED)),
        *(DAY_1 + MINUTE_US, None, TO_CLINIC_DAY),
    ),
    # Whom the API did not accept.
    "unknown": (people((CLINIC_DAY, 7, JANE, DAY_1, UNKNOWN)), DAY_1 + MINUTE_US, None, TO_CLINIC_DAY),
    "unsupported": (people((CLINIC_DAY, 7, JANE, DAY_1, UNSUPPORTED)), DAY_1 + MINUTE_US, None, TO_CLINIC_DAY),
    "unsupported, accepted before": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_8, UNSUPPORTED)),
        *(DAY_8 + MINUTE_US, None, Unmatched.AMBIGUOUS),
    ),
    "unsupported, accepted before, without a time": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_8, UNSUPPORTED)),
        *(None, None, TO_CLINIC_DAY),
    ),
    "unsupported twice": (
        people((CLINIC_DAY, 7, JANE, DAY_1, UNSUPPORTED), (FLOUR_DAY, 3, JANE, DAY_8, UNSUPPORTED)),
        *(DAY_8 + MINUTE_US, None, TO_FLOUR_DAY),
    ),
    "turned away before the send": (
        people((CLINIC_DAY, 7, JANE, None, Outcome.REJECTED)), DAY_1 + MINUTE_US, None, Unmatched.NOT_SENT,
    ),
    "a duplicate that stands behind": (
        people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (CLINIC_DAY, 9, JANE, None, Outcome.REJECTED)),
        *(None, None, TO_CLINIC_DAY),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_report_belongs_to_the_last_call_before_it(case: str) -> None:
    called, at_us, named, expected = CASES[case]
    assert call_of(match_reports(reports((JANE, at_us)), called, named)) == expected


@pytest.mark.parametrize(
    ("at_us", "lasts_us", "expected"),
    [
        (DAY_1 + 120 * MINUTE_US, 1_000_000, TO_FLOUR_DAY),  # the second in which the call was made
        (DAY_1 + 118 * MINUTE_US, 1_000_000, TO_CLINIC_DAY),
        (DAY_1 + 150 * MINUTE_US, DAY_US, TO_FLOUR_DAY),  # any time of a day that began after both
        (DAY_1 - DAY_US // 2, DAY_US, Unmatched.AMBIGUOUS),  # any time of the day on which both were made
    ],
)
def test_a_time_that_is_not_exact_may_mean_any_moment_of_it(
    at_us: int, lasts_us: int, expected: tuple[int, int, int] | Unmatched
) -> None:
    assert call_of(match_reports(reports((JANE, at_us), lasts_us=lasts_us), ON_ONE_DAY)) == expected


def test_reports_of_a_minute_fit_a_call_within_that_minute() -> None:
    """`12:00` for a call of 12:00:20: last week's call is not meant."""
    call = people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED), (FLOUR_DAY, 3, JANE, DAY_8 + 20_000_000, ACCEPTED))
    assert call_of(match_reports(reports((JANE, DAY_8), lasts_us=MINUTE_US), call)) == TO_FLOUR_DAY


def test_every_report_keeps_its_place_and_its_columns() -> None:
    told = reports((BOB, DAY_1), (JANE, DAY_8), (JANE, None), (BOB, None)).with_columns(note=pl.lit("x"))
    found = match_reports(told, people((CLINIC_DAY, 7, JANE, DAY_1, ACCEPTED)))
    assert found.columns == [*told.columns, "campaign_id", "person_row", "attempt_id", "outcome", "unmatched"]
    assert found.drop("campaign_id", "person_row", "attempt_id", "outcome", "unmatched").equals(told)
    assert found["person_row"].to_list() == [None, 7, 7, None]


# --- which report counts ---------------------------------------------------------------------------------------------

Report = tuple[Delivery, int | None]


def winner(*told: Report) -> Report:
    """Of reports on one person, in the order of the file."""
    rows = [
        (row, status.value, status.value, at, CLINIC_DAY, 7, 10, "accepted", None)
        for row, (status, at) in enumerate(told, start=2)
    ]
    names = ["row", "status", "status_raw", "at_us", "campaign_id", "person_row", "attempt_id", "outcome", "unmatched"]
    types = {"at_us": pl.Int64, "unmatched": pl.String}
    [(status, at)] = (
        latest_reports(pl.DataFrame(rows, schema=names, schema_overrides=types, orient="row"))
        .select("status", "reported_at_us")
        .rows()
    )
    return Delivery(status), at


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ([(PENDING, 1), (DELIVERED, 2)], (DELIVERED, 2)),
        ([(DELIVERED, 1), (PENDING, 2)], (DELIVERED, 1)),  # a final report first, whenever it was made
        ([(FAILED, 1), (DELIVERED, 2)], (DELIVERED, 2)),
        ([(DELIVERED, 2), (FAILED, 1)], (DELIVERED, 2)),
        ([(DELIVERED, 1), (FAILED, 2)], (FAILED, 2)),
        ([(PENDING, 2), (PENDING, 1)], (PENDING, 2)),
        ([(FAILED, None), (DELIVERED, None)], (DELIVERED, None)),  # the last row, where nothing else tells
        ([(DELIVERED, None), (FAILED, None)], (FAILED, None)),
        ([(DELIVERED, None), (PENDING, None)], (DELIVERED, None)),
        ([(FAILED, 1), (DELIVERED, None)], (FAILED, 1)),  # without a time is older
        ([(DELIVERED, None), (PENDING, 9)], (DELIVERED, None)),
        ([(DELIVERED, 1), (FAILED, 1)], (FAILED, 1)),
    ],
)
def test_a_final_report_counts_before_a_later_one(told: Sequence[Report], counts: Report) -> None:
    assert winner(*told) == counts


def known(status: Delivery, raw: str, at: int | None, attempt: int = 10) -> pl.DataFrame:
    return pl.DataFrame([(CLINIC_DAY, 7, attempt, status.value, raw, at)], schema=KNOWN, orient="row")


DELIVRD, UNDELIV, ENROUTE = (DELIVERED, "DELIVRD"), (FAILED, "UNDELIV"), (PENDING, "ENROUTE")


@pytest.mark.parametrize(
    ("stands", "comes", "is_written"),
    [
        ((*DELIVRD, 5), (*DELIVRD, 5), False),  # the same file again
        ((*ENROUTE, 5), (*DELIVRD, 6), True),
        ((*ENROUTE, 5), (*DELIVRD, 4), True),
        ((*DELIVRD, 5), (*ENROUTE, 6), False),
        ((*DELIVRD, 5), (*UNDELIV, 6), True),
        ((*DELIVRD, 5), (*UNDELIV, 4), False),  # an old export after a newer one
        ((*ENROUTE, 5), (*ENROUTE, 4), False),
        ((*ENROUTE, 5), (*ENROUTE, 6), True),
        ((*DELIVRD, None), (*UNDELIV, None), True),  # nothing tells which is older: what is said last
        ((*DELIVRD, 5), (*UNDELIV, None), False),
        ((*DELIVRD, None), (*UNDELIV, 1), True),
        # The same report, and another --map: its new meaning counts, also where it is less final.
        ((FAILED, "8", 5), (PENDING, "8", 5), True),
        ((FAILED, "8", None), (PENDING, "8", None), True),
        ((FAILED, "8", 5), (PENDING, "8", 4), False),
        ((FAILED, "8", 5), (PENDING, "4", 5), False),
    ],
)
def test_what_stands_gives_way_to_what_counts_before_it(
    stands: tuple[Delivery, str, int | None], comes: tuple[Delivery, str, int | None], is_written: bool
) -> None:
    latest = known(*comes).with_columns(outcome=pl.lit("accepted"))
    written = reports_to_write(latest, known(*stands))
    assert written.rows() == ([(*known(*comes).row(0), True)] if is_written else [])


def test_what_nobody_reported_yet_is_new() -> None:
    latest = known(*ENROUTE, 5).with_columns(outcome=pl.lit("accepted"))
    assert reports_to_write(latest, pl.DataFrame(schema=KNOWN))["is_known"].to_list() == [False]


def test_a_report_on_an_earlier_call_gives_way_to_any_on_the_last_one() -> None:
    latest = known(*ENROUTE, 5, attempt=11).with_columns(outcome=pl.lit("accepted"))
    assert reports_to_write(latest, known(*UNDELIV, 6, attempt=10))["attempt_id"].to_list() == [11]
