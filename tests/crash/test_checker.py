"""The judge of the crash tests is judged itself: each thing that can go wrong, in a record in which all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from mambo_io.model import ChunkState, Verdict
from support.checker import Attempt, Record, violations

ROWS = range(2, 8)
RESULTS = pl.DataFrame(
    [
        (2, "+256772000002", "accepted", None, "Hello", 50, 50),
        (3, "+256772000003", "accepted", None, "Hello", 50, 50),
        (4, "+256772000004", "unknown", "no_answer", "Hello", 50, None),
        (5, None, "rejected", "too_short", "Hello", None, None),
        (6, "+256772000003", "rejected", "duplicate", "Hello", None, None),
        (7, "+256712000007", "unsupported", "unsupported", "Hello", 50, 0),
    ],
    schema=["row", "e164", "outcome", "reason", "message", "estimated_ugx", "charged_ugx"],
    orient="row",
)
DELIVERIES = pl.DataFrame(
    [("+256772000002", "Hello", 50), ("+256772000003", "Hello", 50), ("+256772000004", "Hello", 50)],
    schema=["e164", "text", "charged_ugx"],
    orient="row",
)
GOOD = Record(
    results=RESULTS,
    calls={1: ChunkState.ACCEPTED, 2: ChunkState.UNKNOWN},
    attempts=[Attempt(1, Verdict.NOT_SENT), Attempt(1, Verdict.ACCEPTED), Attempt(2, Verdict.UNKNOWN)],
    deliveries=DELIVERIES,
)


def with_results(*changes: tuple[int, str, object]) -> Record:
    rows = {row["row"]: row for row in RESULTS.iter_rows(named=True)}
    for row, column, value in changes:
        rows[row][column] = value
    return replace(GOOD, results=pl.DataFrame(list(rows.values()), schema=RESULTS.schema))


WRONG: dict[str, Callable[[], Record]] = {
    "+256772000002 got the same message 2 times": lambda: replace(
        GOOD, deliveries=pl.concat([DELIVERIES, DELIVERIES[:1]])
    ),
    "row 2: accepted, but nothing was delivered": lambda: replace(GOOD, deliveries=DELIVERIES[1:]),
    "+256772000004 got a message of which the ledger knows nothing": lambda: with_results((4, "outcome", "refused")),
    "+256772000002 got a message of which the ledger knows nothing": lambda: with_results(
        (2, "outcome", "planned"), (2, "charged_ugx", None)
    ),
    "row 3 is lost": lambda: replace(GOOD, results=RESULTS.filter(pl.col("row") != 3)),
    "row 3 is there 2 times": lambda: replace(GOOD, results=pl.concat([RESULTS, RESULTS[1:2]])),
    "row 9 is no row of the spreadsheet": lambda: with_results((7, "row", 9)),
    "row 4: perhaps is no outcome": lambda: with_results((4, "outcome", "perhaps")),
    "row 4: unknown with the reason None": lambda: with_results((4, "reason", None)),
    "row 2: accepted with the reason hm": lambda: with_results((2, "reason", "hm")),
    "row 7: planned is left": lambda: with_results((7, "outcome", "planned"), (7, "reason", None)),
    "row 7: in_flight is left": lambda: with_results((7, "outcome", "in_flight"), (7, "reason", None)),
    "UGX 101 charged for accepted messages, says the ledger; the sandbox charged 100": lambda: with_results(
        (2, "charged_ugx", 51)
    ),
    "UGX 160 charged in all, which is not between 100 and 150": lambda: replace(
        GOOD, deliveries=pl.concat([DELIVERIES[:2], DELIVERIES[2:].with_columns(charged_ugx=pl.lit(60, pl.Int64))])
    ),
    "2 calls are unknown, of which at most 1 may be: [1, 2]": lambda: replace(
        GOOD, calls=dict.fromkeys((1, 2), ChunkState.UNKNOWN)
    ),
    "call 2 was made again after unknown": lambda: replace(
        GOOD, attempts=[*GOOD.attempts, Attempt(2, Verdict.ACCEPTED)]
    ),
    "call 2 was made again after None": lambda: replace(
        GOOD, attempts=[*GOOD.attempts[:2], Attempt(2, None), Attempt(2, Verdict.UNKNOWN)]
    ),
    "call 1 is accepted, but its last attempt is not_sent": lambda: replace(
        GOOD, attempts=[Attempt(1, Verdict.NOT_SENT), *GOOD.attempts[2:]]
    ),
}


def found(record: Record) -> list[str]:
    return list(violations(record, rows=ROWS, most_unknown=1, complete=True))


def test_a_record_in_which_all_is_well_passes() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(("told", "record"), WRONG.items(), ids=WRONG.keys())
def test_what_is_wrong_is_told(told: str, record: Callable[[], Record]) -> None:
    assert told in found(record())


def test_work_may_be_left_until_the_end() -> None:
    record = with_results((7, "outcome", "planned"), (7, "reason", None))
    assert list(violations(record, rows=ROWS, most_unknown=1, complete=False)) == []
