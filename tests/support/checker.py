"""The judge of a campaign that was killed or disturbed: the ledger's word against the sandbox's own record.

The two share no code. Every rule is about single people, because sums agree by accident: one who was messaged twice
makes up for one who was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import polars as pl
from sqlalchemy import select

from mambo_io.ledger import Ledger
from mambo_io.model import ChunkState, Outcome, Verdict
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store
from mambo_io.tables import attempts, campaigns, chunks

# Of these nobody got anything. Accepted people did; of the others nobody knows.
_NOT_DELIVERED = {Outcome.PLANNED, Outcome.REFUSED, Outcome.REJECTED, Outcome.CANCELLED, Outcome.UNSUPPORTED}

# Of these nobody knows what they cost.
_OPEN = {Outcome.IN_FLIGHT, Outcome.UNKNOWN, Outcome.UNVERIFIED}

_COLUMNS = ("row", "e164", "outcome", "reason", "message", "estimated_ugx", "charged_ugx")

# After these a call may be made again: nothing was done, and that is proved.
_MAY_BE_REPEATED = {Verdict.NOT_SENT, Verdict.REFUSED}


class Disagreement(AssertionError):
    """The ledger and the sandbox tell different stories."""


@dataclass(frozen=True, slots=True)
class Attempt:
    chunk: int
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger says of one campaign edition, and what the sandbox says of the same people."""

    results: pl.DataFrame  # row, e164, outcome, reason, message, estimated_ugx, charged_ugx
    calls: dict[int, ChunkState]
    attempts: list[Attempt]  # in the order in which they were made
    deliveries: pl.DataFrame  # e164, text, charged_ugx: one row for each message that reached somebody

    @property
    def messages(self) -> Counter[tuple[str, str]]:
        """How often each person (E.164) got each text."""
        return Counter(zip(self.deliveries["e164"], self.deliveries["text"], strict=True))

    @property
    def duplicates(self) -> list[tuple[str, str]]:
        return [person for person, count in self.messages.items() if count > 1]

    @property
    def unknown_calls(self) -> list[int]:
        return sorted(chunk for chunk, state in self.calls.items() if state is ChunkState.UNKNOWN)

    def lost(self, rows: Collection[int]) -> list[int]:
        """Of the spreadsheet's rows those that are not there, still wait, or got nothing though they are accepted."""
        waits = pl.col("outcome").is_in([Outcome.PLANNED, Outcome.IN_FLIGHT])
        accepted = self.results.filter(pl.col("outcome") == Outcome.ACCEPTED)
        in_vain = accepted.join(self.deliveries, left_on=["e164", "message"], right_on=["e164", "text"], how="anti")
        return [*(set(rows) - set(self.results["row"])), *self.results.filter(waits)["row"], *in_vain["row"]]


def record_of(store: str, sandbox: SandboxHandle, name: str, edition: str = "1") -> Record:
    """The record as it stands. Of the sandbox's deliveries those to this campaign's people, or by its text."""
    with Store(store) as opened:
        ledger = Ledger(opened)
        campaign = ledger.get(name, edition)
        results = ledger.results(campaign).select(*_COLUMNS)
        with opened.reader() as connection:
            its = campaigns.c.id == campaign.id
            calls = connection.execute(select(chunks.c.chunk, chunks.c.state).join(campaigns).where(its)).all()
            made = connection.execute(
                select(attempts.c.chunk, attempts.c.verdict).join(campaigns).where(its).order_by(attempts.c.id)
            ).all()
    ours = pl.col("e164").is_in(results["e164"].implode()) | pl.col("text").is_in(results["message"].implode())
    return Record(
        results=results,
        calls={row.chunk: row.state for row in calls},
        attempts=[Attempt(row.chunk, row.verdict) for row in made],
        deliveries=sandbox.deliveries().filter(ours).select("e164", "text", "charged_ugx"),
    )


def check(
    store: str,
    sandbox: SandboxHandle,
    name: str,
    edition: str = "1",
    *,
    rows: Collection[int],
    most_unknown: int = 0,
    complete: bool = True,
) -> None:
    """Raise `Disagreement` that lists everything that is wrong.

    `rows` are the numbers of the spreadsheet's rows, `most_unknown` is how many calls may be unknown: for each kill as
    many as were allowed at a time. `complete`: nothing may be left to do.
    """
    record = record_of(store, sandbox, name, edition)
    wrong = list(violations(record, rows=rows, most_unknown=most_unknown, complete=complete))
    if wrong:
        raise Disagreement("\n".join(["The ledger and the sandbox disagree:", *wrong]))


def violations(record: Record, *, rows: Collection[int], most_unknown: int, complete: bool) -> Iterator[str]:
    """Everything that is wrong, one line each."""
    yield from _rows(record.results, rows)
    yield from _people(record)
    yield from _money(record)
    yield from _attempts(record)
    if len(record.unknown_calls) > most_unknown:
        told = f"{len(record.unknown_calls)} calls are unknown, of which at most {most_unknown} may be"
        yield f"{told}: {record.unknown_calls}"
    if complete:
        open_rows = record.results.filter(pl.col("outcome").is_in([Outcome.PLANNED, Outcome.IN_FLIGHT]))
        yield from (f"row {row}: {outcome} is left" for row, outcome in open_rows.select("row", "outcome").iter_rows())


def _rows(results: pl.DataFrame, rows: Collection[int]) -> Iterator[str]:
    """Every row of the spreadsheet is there once, and stands in one known state, with a reason where one is due."""
    counts = Counter(results["row"])
    yield from (f"row {row} is lost" for row in rows if not counts[row])
    yield from (f"row {row} is there {count} times" for row, count in counts.items() if count > 1)
    yield from (f"row {row} is no row of the spreadsheet" for row in counts if row not in rows)
    for row, outcome, reason in results.select("row", "outcome", "reason").iter_rows():
        if outcome not in list(Outcome):
            yield f"row {row}: {outcome} is no outcome"
        elif (reason is None) != (outcome in (Outcome.ACCEPTED, Outcome.PLANNED, Outcome.IN_FLIGHT)):
            yield f"row {row}: {outcome} with the reason {reason}"


def _people(record: Record) -> Iterator[str]:
    """Each person at most once; whom the ledger calls accepted, got it; whom it calls unsent, did not."""
    messages = record.messages
    for (e164, _), count in messages.items():
        if count > 1:
            yield f"{e164} got the same message {count} times"
    accounted: set[tuple[str, str]] = set()
    for row, e164, outcome, message in record.results.select("row", "e164", "outcome", "message").iter_rows():
        person = e164, message
        if outcome in _NOT_DELIVERED:
            continue
        accounted.add(person)
        if outcome == Outcome.ACCEPTED and not messages[person]:
            yield f"row {row}: {outcome}, but nothing was delivered"
    yield from (f"{e164} got a message of which the ledger knows nothing" for e164, _ in messages.keys() - accounted)


def _money(record: Record) -> Iterator[str]:
    """What was charged for accepted messages is known; all that was charged lies between that and what is open."""
    known = record.results.filter(pl.col("outcome") == Outcome.ACCEPTED)
    charged = record.deliveries.join(known, left_on=["e164", "text"], right_on=["e164", "message"], how="semi")
    told_ugx, true_ugx, total_ugx = (int(frame["charged_ugx"].sum()) for frame in (known, charged, record.deliveries))
    if told_ugx != true_ugx:
        yield f"UGX {told_ugx} charged for accepted messages, says the ledger; the sandbox charged {true_ugx}"
    open_ugx = int(record.results.filter(pl.col("outcome").is_in(_OPEN))["estimated_ugx"].sum())
    if not told_ugx <= total_ugx <= told_ugx + open_ugx:
        yield f"UGX {total_ugx} charged in all, which is not between {told_ugx} and {told_ugx + open_ugx}"


def _attempts(record: Record) -> Iterator[str]:
    """A call is made again only after proof that nothing was done before."""
    by_chunk = sorted(record.attempts, key=lambda attempt: attempt.chunk)
    for chunk, made in groupby(by_chunk, key=lambda attempt: attempt.chunk):
        verdicts = [attempt.verdict for attempt in made]
        for before, _ in pairwise(verdicts):
            if before not in _MAY_BE_REPEATED:
                yield f"call {chunk} was made again after {before}"
        if record.calls[chunk] is ChunkState.ACCEPTED and verdicts[-1] is not Verdict.ACCEPTED:
            yield f"call {chunk} is accepted, but its last attempt is {verdicts[-1]}"
