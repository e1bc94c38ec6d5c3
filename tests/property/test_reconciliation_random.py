"""Whatever became of a campaign, every cut of its books adds up to the ledger, to the person and to the shilling.

Random campaigns over two networks with tariffs of their own, with receipts that fit and that do not, with calls that
are refused, unknown, settled by a person, made again, split, opted out of, on several days, and with delivery reports
on some of them; on both stores.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from mambo_io.call_ends import ClaimedCall
from mambo_io.calls_left import unknown_attempts
from mambo_io.decisions import retry_refused
from mambo_io.delivery_counts import delivery_counts
from mambo_io.ledger import Ledger
from mambo_io.model import NOT_REPORTED, Action, CallResult, Delivery, Receipt, UnsupportedContact, Verdict
from mambo_io.planning import Plan, write_plan, write_suppressions
from mambo_io.settled import record_not_sent, record_person, record_sent
from mambo_io.store import Store
from mambo_io.tables import attempts
from pipelines.causes import CAUSES
from pipelines.reconciliation import MEASURES, Books, by_call, by_campaign, cut, read_books, receipts
from support.ledgers import NOON, Run, plan, report, rows_of, suppressed

EDITIONS = itertools.count(1)
TARIFF = {"MTN Uganda": 50, "Airtel Uganda": 45}
NOTHING_CHARGED = {
    "unknown": CallResult(Verdict.UNKNOWN, Action.GO_ON, "no_answer"),
    "refused": CallResult(Verdict.REFUSED, Action.GO_ON, "http_400"),
    "not sent": CallResult(Verdict.NOT_SENT, Action.BACK_OFF, "connect_failed"),
    "too large": CallResult(Verdict.NOT_SENT, Action.SPLIT, "too_large"),
}
CUTS = (
    ("campaign", "edition"),
    ("network_guess",),
    ("day",),
    ("outcome", "reason"),
    ("outcome", "delivery"),
    ("kept",),
    ("category", "is_priced"),
    ("day", "network_guess", "kept"),
)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store(store_url, create=True) as store:
        yield store


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.writer() as connection:
        yield connection


def mixed(sizes: list[int], segments: int, rejected: int, edition: str) -> Plan:
    """Every third person has a number of Airtel, every other is WHO's; the texts have so many segments."""
    kept = {"donor": [("WHO", "UNICEF", None)[row % 3] for row in range(sum(sizes) + rejected)]}
    planned = plan(*sizes, rejected=rejected, edition=edition, account=edition, kept=kept)
    network = pl.when(pl.col("row") % 3 == 0).then(pl.lit("Airtel Uganda")).otherwise(pl.lit("MTN Uganda"))
    is_sent = pl.col("reject_reason").is_null()
    [people] = planned.recipients
    people = people.with_columns(
        pl.when(is_sent).then(network).alias("network_guess"),
        pl.lit(segments, pl.Int64).alias("segments"),
        pl.when(is_sent).then(network.replace_strict(TARIFF, return_dtype=pl.Int64) * segments).alias("estimated_ugx"),
    )
    costs = people.drop_nulls("chunk").group_by("chunk").agg(pl.col("estimated_ugx").sum().alias("expected_ugx"))
    chunks = planned.chunks.drop("expected_ugx").join(costs, on="chunk", how="left", maintain_order="left")
    return replace(
        planned,
        recipients=[people],
        chunks=chunks.with_columns(pl.lit(segments, pl.Int64).alias("segments")),
        segments=segments * planned.sendable,
        estimated_ugx=int(people["estimated_ugx"].sum()),
    )


@st.composite
def results(draw: st.DrawFn, call: ClaimedCall) -> CallResult:
    """Whatever may become of a call: mostly a receipt, and that mostly one that adds up."""
    kind = draw(st.sampled_from(["fits"] * 3 + ["does not fit"] * 2 + [*NOTHING_CHARGED]))
    if kind in NOTHING_CHARGED:
        return NOTHING_CHARGED[kind]
    unsupported = draw(st.lists(st.sampled_from(call.request.recipients), unique=True))
    people = len(call.rows) - draw(st.sampled_from([0, len(unsupported)]))
    parts, price = draw(st.integers(1, 3)), draw(st.sampled_from([45, 50, 60]))
    receipt = Receipt(
        recipients_count=people,
        message_count=parts,
        sms_sent=draw(st.sampled_from([people * parts, None])),
        sms_cost_ugx=draw(st.sampled_from([people * parts * price, call.expected_ugx])),
        consistent=True,
    )
    if kind == "does not fit":
        some = st.none() | st.integers(0, 6)
        receipt = Receipt(
            recipients_count=draw(some),
            message_count=draw(some),
            sms_sent=draw(some),
            sms_cost_ugx=draw(st.none() | st.integers(0, 3 * call.expected_ugx)),
            consistent=draw(st.booleans()),
        )
    listed = tuple(UnsupportedContact(e164, e164) for e164 in unsupported)
    return CallResult(Verdict.ACCEPTED, Action.GO_ON, "ok", receipt=replace(receipt, unsupported=listed))


def whatever_happens(store: Store, connection: Connection, data: st.DataObject) -> Run:
    """A campaign that is sent in part, on up to three days, and some of which a person looks into."""
    edition = str(next(EDITIONS))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5), label="sizes")
    planned = mixed(sizes, data.draw(st.integers(1, 2)), data.draw(st.integers(0, 2)), edition)
    run = Run(connection, write_plan(connection, planned, who="tester"))
    words: dict[str, Any] = {"reason": "resolved", "evidence": "asked", "who": "Grace", "now": NOON}
    steps = st.sampled_from(
        ["call"] * 5 + ["leave in flight", "opt out", "next day", "retry", "resolve", "ask a person", "report"]
    )
    ledger, campaign = Ledger(store), run.campaign
    for step in data.draw(st.lists(steps, min_size=1, max_size=14), label="steps"):
        match step:
            case "call":
                for call in run.claim():
                    run.settle(call, data.draw(results(call), label="result"))
            case "leave in flight":
                run.claim()
            case "opt out":
                row = data.draw(st.integers(1, sum(sizes)), label="row")
                write_suppressions(connection, campaign.id, suppressed(row))
            case "next day":
                run.now += timedelta(days=1)
            case "retry" if "refused" in ledger.totals(campaign).calls:
                retry_refused(connection, campaign, who="Grace", now=NOON)
                run = Run(connection, campaign, now=run.now)
            case "resolve" if unknown := sorted(unknown_attempts(ledger.store, campaign).values()):
                attempt = data.draw(st.sampled_from(unknown), label="attempt")
                cost_ugx = data.draw(st.none() | st.integers(0, 300) | st.just(-1), label="cost")
                if cost_ugx == -1:
                    record_not_sent(connection, campaign, attempt, at_the_end=data.draw(st.booleans()), **words)
                else:
                    everybody = data.draw(st.booleans())
                    record_sent(connection, campaign, attempt, cost_ugx=cost_ugx, everybody=everybody, **words)
                run.sender.look_again()
            case "ask a person":
                unverified = ledger.results(campaign).filter(outcome="unverified")["row"].to_list()
                for row in unverified[: data.draw(st.integers(0, 3))]:
                    reached = data.draw(st.booleans())
                    record_person(connection, campaign, row, reached=reached, note="asked", who="Grace", now=NOON)
            case "report":
                called = ledger.results(campaign).filter(pl.col("attempt").is_not_null())["row"].to_list()
                rows = data.draw(st.lists(st.sampled_from(called), unique=True) if called else st.just([]))
                report(connection, campaign, {row: data.draw(st.sampled_from(list(Delivery))) for row in rows})
            case _:
                pass  # there is nothing to do it to
    return run


def sums(frame: pl.DataFrame) -> dict[str, int]:
    row: dict[str, int] = frame.select(pl.col(MEASURES).sum()).to_dicts()[0]
    return row


def test_every_cut_adds_up_to_the_ledger(store: Store, connection: Connection) -> None:
    @settings(max_examples=15)
    @given(data=st.data())
    def campaign(data: st.DataObject) -> None:
        run = whatever_happens(store, connection, data)
        name = run.campaign.label
        books = read_books(store, [name], kept="donor")
        check_totals(store, run, books)
        check_cuts(store, run, books)
        check_calls(store, run, books)
        check_periods(store, name, books)

    campaign()


def check_totals(store: Store, run: Run, books: Books) -> None:
    totals, [row] = Ledger(store).totals(run.campaign), cut(books).to_dicts()
    assert {outcome: row[outcome] for outcome in totals.outcomes} == totals.outcomes
    assert row["recipients"] == totals.rows
    assert (row["estimated_ugx"], row["charged_ugx"]) == (totals.estimated_ugx, totals.charged_ugx)
    assert row["segments_expected"] == run.campaign.segments
    by_delivery = dict(cut(books, "delivery").select("delivery", "recipients").rows())
    with store.reader() as connection:
        counts = delivery_counts(connection, run.campaign)
    reported = {status.value: people for status, people in counts.accepted.items()} if counts is not None else {}
    reported[NOT_REPORTED] = row["accepted"] - sum(reported.values())
    assert {status: by_delivery.get(status, 0) for status in reported} == reported


def check_cuts(store: Store, run: Run, books: Books) -> None:
    people = (
        Ledger(store)
        .results(run.campaign)
        .with_columns(
            pl.col("sent_at").dt.date().alias("day"),
            pl.col("donor").alias("kept"),
            pl.lit("customised").alias("category"),
        )
    )
    everything = sums(cut(books))
    # Whom else the books are read for, or by which column, changes nothing of what there is to add up.
    assert sums(cut(read_books(store, [run.campaign.label]))) == everything
    assert sums(by_campaign(books)) == everything
    assert sums(by_call(books)) == everything
    for keys in CUTS:
        found = cut(books, *keys)
        assert sums(found) == everything
        for row in found.iter_rows(named=True):
            assert sum(row[cause] for cause in CAUSES) == row["difference_ugx"]
            assert row["difference_ugx"] == row["charged_ugx"] - row["estimated_ugx"]
        if "is_priced" not in keys:
            results_of = people.group_by(keys).agg(
                pl.len().cast(pl.Int64).alias("recipients"),
                pl.col("estimated_ugx").sum(),
                pl.col("charged_ugx").sum(),
            )
            columns = [*keys, "recipients", "estimated_ugx", "charged_ugx"]
            assert Counter(found.select(columns).rows()) == Counter(results_of.select(columns).rows())


def check_calls(store: Store, run: Run, books: Books) -> None:
    """Each attempt stands there once, with its charge; what its receipt counts is counted; and where it adds up,
    nothing is left unexplained."""
    calls = by_call(books)
    made = {row["id"]: row for row in rows_of(store, attempts, campaign_id=run.campaign.id)}
    assert sorted(calls["attempt"].drop_nulls()) == sorted(made)
    adds_up = dict(receipts(books).select("call", "sent_is_product").rows())
    for row in calls.filter(pl.col("attempt").is_not_null()).iter_rows(named=True):
        attempt = made[row["attempt"]]
        assert row["cost_ugx"] == attempt["charged_ugx"]
        assert row["charged_ugx"] == (attempt["charged_ugx"] or 0)
        counted = row["sms_sent"]
        if counted is None and row["recipients_count"] is not None and row["message_count"] is not None:
            counted = row["recipients_count"] * row["message_count"]
        if row["verdict"] == "accepted":
            assert row["segments_counted"] == (counted or 0)
            if adds_up[row["call"]] and (counted or not row["cost_ugx"]):
                assert row["unexplained_ugx"] == 0


def check_periods(store: Store, name: str, books: Books) -> None:
    """Periods that follow each other hold everything once."""
    first, second = NOON.date(), NOON.date() + timedelta(days=1)
    periods: list[dict[str, Any]] = [
        {"end": first},
        {"start": second, "end": second},
        {"start": second + timedelta(days=1)},
    ]
    parts = [sums(cut(read_books(store, [name], **period))) for period in periods]
    assert {measure: sum(part[measure] for part in parts) for measure in MEASURES} == sums(cut(books))
