"""The list of opt-outs: what stands there after an import, who is on it, and whom a transactional campaign asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time

import polars as pl
import pytest
from sqlalchemy import Connection

from mambo_io import opt_outs
from mambo_io.errors import InputError
from mambo_io.history import history
from mambo_io.ledger import Ledger, OptOut, to_us
from mambo_io.opt_outs import Recorded, entries, opted_out, record, remove, sources
from mambo_io.planning import write_suppressions
from mambo_io.store import Store
from mambo_io.tables import suppressions
from mambo_io.window import KAMPALA
from support.ledgers import NOON, Run, msisdn, number, plan, rows_of, suppressed


def day(number: int) -> datetime:
    """This day of November."""
    return datetime.combine(date(2026, 11, number), time(), KAMPALA)


def put(connection: Connection, days: dict[int, int], source: str) -> Recorded:
    """Put the numbers of these rows on the list, since these days of November."""
    numbers = [(msisdn(row), to_us(day(since))) for row, since in days.items()]
    frame = pl.DataFrame(numbers, schema={"msisdn": pl.Int64, "since_us": pl.Int64}, orient="row")
    return record(connection, frame, subject=source, source=source, who="Grace", now=NOON)


def listed(store: Store) -> dict[int, tuple[int, str]]:
    """The list: the day of November and the source, by row."""
    with store.reader() as reader, reader.begin():
        found = pl.concat(entries(reader))
    return {int(e164[-4:]): (since.day, source) for e164, since, source in found.iter_rows()}


def events_of(store: Store) -> list[tuple[str, str, str]]:
    with store.reader() as reader:
        return history(reader, None).select("event", "who", "detail").rows()


def test_of_each_number_the_earliest_day_stands_and_its_source(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opt_outs, "_ROWS_A_COMMIT", 2)  # the same, however many commits it takes
    write_suppressions(connection, 7, suppressed(1, 4))  # of one campaign: another matter
    first = {1: 5, 2: 5, 3: 5}
    assert put(connection, first, "march.csv") == Recorded(added=3, earlier=0, known=0)
    assert put(connection, first, "march.csv") == Recorded(added=0, earlier=0, known=3), "the same again"
    assert put(connection, {4: 9, 3: 6, 2: 4, 1: 5}, "letters") == Recorded(added=1, earlier=1, known=2)

    assert listed(store) == {1: (5, "march.csv"), 2: (4, "letters"), 3: (5, "march.csv"), 4: (9, "letters")}
    assert Ledger(store).opt_out(msisdn(2)) == OptOut(day(4), "letters")
    assert Ledger(store).opt_out(msisdn(5)) is None
    with store.reader() as reader, reader.begin():
        assert pl.concat(entries(reader))["e164"].to_list() == [number(4), number(1), number(3), number(2)], (
            "newest first"
        )
        assert sources(reader).rows() == [("letters", 2, day(4), day(9)), ("march.csv", 2, day(5), day(5))]
    assert events_of(store) == [
        ("opt_outs_added", "Grace", "march.csv: 3 added"),
        ("opt_outs_added", "Grace", "letters: 1 added, 1 with an earlier day than before"),
    ], "nothing is told of what changed nothing"


def test_who_is_removed_is_off_the_list_and_on_record(store: Store, connection: Connection) -> None:
    write_suppressions(connection, 7, suppressed(1))
    put(connection, {1: 5, 2: 5}, "march.csv")
    found = remove(connection, msisdn(1), note=f"called from {number(9)}", who="Grace", now=NOON)

    assert found == OptOut(day(5), "march.csv")
    assert listed(store).keys() == {2}
    assert [(row["msisdn"], row["campaign_id"]) for row in rows_of(store, suppressions)] == [
        (msisdn(1), 7),  # a campaign's own file still holds it back
        (msisdn(2), 0),
    ]
    with pytest.raises(InputError, match=r"\+256772•••001 is not on the list of opt-outs"):
        remove(connection, msisdn(1), note="again", who="Grace", now=NOON)
    told = "+256772•••001, since 2026-11-05, march.csv: called from +256772•••009"
    assert events_of(store)[1:] == [("opt_out_removed", "Grace", told)]


@pytest.mark.parametrize("asked", [range(1, 3), range(1, 9)], ids=["fewer than are listed", "more than are listed"])
def test_who_of_some_people_is_on_the_list(store: Store, connection: Connection, asked: range) -> None:
    numbers = pl.Series([*map(msisdn, asked), None, msisdn(1)], dtype=pl.Int64)
    with store.reader() as reader, reader.begin():
        assert opted_out(reader, numbers).is_empty()
    write_suppressions(connection, 7, suppressed(1))
    put(connection, {2: 5, 11: 5}, "march.csv")
    put(connection, {2: 6, 12: 5}, "letters")
    with store.reader() as reader, reader.begin():
        assert opted_out(reader, numbers).rows() == [(msisdn(2), "march.csv")]


def test_a_transactional_campaign_asks_its_own_files_only(store: Store, connection: Connection) -> None:
    settings = {"suppression": {"transactional": True}}
    run = Run.of(connection, replace(plan(4, opted_out=[2]), settings=settings, listed=0))
    put(connection, {1: 5}, "march.csv")
    write_suppressions(connection, run.campaign.id, suppressed(3))

    assert run.campaign.transactional
    assert run.claim_one().rows == (1, 4)
    with store.reader() as reader:
        told = dict(history(reader, [run.campaign]).select("event", "detail").iter_rows())
    assert told["transactional"] == "the list of opt-outs is not asked; 0 of the recipients are on it"

    other = Run.of(connection, plan(4, edition="2"))
    assert not other.campaign.transactional
    assert other.claim_one().rows == (2, 3, 4)
