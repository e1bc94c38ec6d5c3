"""What a ledger says of people and money: counted, priced, compared with the estimate, and added up.

`books(...)` reads a ledger; everything else is pure, frame in and frame out. Money is whole UGX (`…_ugx`, Int64), days
and times are Kampala's. The API gives no delivery reports: the word is *accepted*.

Every cut (`by_campaign`, `by_call`, `by_network`, `by_day`, `by_reason`, `by_kept`, and `cut` for any other) has its
keys first and then the same measures, all Int64 and never null, which add up over any cut to the ledger's totals:

======================  ==============================================================================================
recipients              rows of the recipients files; the nine outcomes below add up to it
accepted … cancelled    recipients by outcome: accepted, unsupported, unverified, rejected, refused, unknown, in_flight,
                        planned, cancelled
segments_expected       by our count, of everybody who was to be sent something at the plan
segments_counted        by the API's receipts, of everybody in an accepted call (0 where a receipt does not say)
estimated_ugx           by the tariff, of everybody who was to be sent something at the plan
charged_ugx             what the API charged, as far as that is known
difference_ugx          charged_ugx - estimated_ugx; the seven causes below add up to it exactly
of_unsupported_ugx      recipients the API called unsupported: their estimate, less what it charged for them after all
of_segments_ugx         the API counted other segments in a message than we did
of_price_ugx            a segment's price was not the tariff's
of_partial_ugx          the API counted fewer recipients than it was sent (without the unsupported), or more
of_unknown_ugx          less the estimate where the charge is not known: unknown, in flight, or a reply without a cost
of_not_sent_ugx         less the estimate of what was planned and not sent: planned, refused, cancelled, or left out
                        after the plan (opted out, or sent the same text by another edition)
unexplained_ugx         the rest; zero where the receipt's own figures add up
======================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from mambo_io import books as ledger_books
from mambo_io.books import TIME
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger, to_us
from mambo_io.masking import mask_text
from mambo_io.model import Outcome, Verdict
from mambo_io.settings import load_settings
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from pipelines import statement as account_statement
from pipelines.causes import CAUSES as CAUSES  # a part of what this module offers
from pipelines.causes import explain

OUTCOMES = (
    "accepted",
    "unsupported",
    "unverified",
    "rejected",
    "refused",
    "unknown",
    "in_flight",
    "planned",
    "cancelled",
)
_SUMS = ("segments_expected", "segments_counted", "estimated_ugx", "charged_ugx", "difference_ugx", *CAUSES)
MEASURES = ("recipients", *OUTCOMES, *_SUMS)


@dataclass(frozen=True, slots=True)
class Books:
    """What a ledger holds of some campaigns in some period, and of their accounts.

    Recipients are tallied, never held. A period holds the calls made on its days, and the people in them. People who
    stand in no call (rejected, planned, cancelled) belong to the day of the campaign's first call, or else of its plan.
    So periods that follow each other add up to the whole.

    `campaigns`: a campaign edition a row, the newest plan first: campaign, edition, account, category, sender_id,
    state, stop_reason, source (String), rows, sendable, segments, estimated_ugx (Int64; of the whole edition),
    planned_at, first_call_at, ended_at (Datetime, Kampala), transactional (Boolean: does not ask the list of opt-outs).

    `calls`: an API call a row, made or still planned; a call that was made again stands there once for each attempt:
    campaign, edition, account, category, call (String, `clinic-day/1/c0007`), attempt (Int64; null: not made), sent_at,
    ended_at (Datetime), day (Date, of sent_at), verdict (String: accepted, refused, not_sent, unknown; null: not made,
    or in flight), state (String: planned, in_flight, accepted, refused, unknown, cancelled; null for an attempt that
    says nothing of its people any more: another one followed, or they are planned again), reason, messages (String,
    what the API said), http_status, submitted (recipients), recipients_count, message_count, sms_sent,
    unsupported_count (Int64, by the receipt), segments (Int64, ours, of one message), expected_ugx (Int64), cost_ugx
    (Int64, as charged; null: unknown, or none), cost_raw (String: a cost that is not whole), balance_after_ugx (Int64),
    consistent (Boolean), alarms (String), then `MEASURES` of the people who stand in it now.

    `tally`: recipients counted by campaign, edition (String), day (Date; null: in no call), network_guess, outcome,
    reason, delivery (String; of accepted people what an imported export says, or not_reported), kept (String; the
    column `kept`), is_priced (Boolean: charge and segments of its call are known, and it has a part in them):
    recipients and the other measures.

    `account_calls`: every call of the accounts that cost something or may have, of all campaigns, from the first one to
    the end of the period: account, call (String), sent_at, ended_at (Datetime; null: in flight), expected_ugx,
    charged_ugx (null: unknown), balance_after_ugx (Int64).

    `entries`: what is recorded of the accounts by hand and by readings, as far as `account_calls`: account, kind
    (String: reading, top_up), began_at, at (Datetime: it happened between these two), amount_ugx (Int64; of a reading
    the balance), reference, who (String).
    """

    campaigns: pl.DataFrame
    calls: pl.DataFrame
    tally: pl.DataFrame
    account_calls: pl.DataFrame
    entries: pl.DataFrame
    kept: str | None = None  # the kept column that `tally` was counted by
    start: date | None = None  # the period's first day and its last, as they were asked for
    end: date | None = None


def editions(store: str | None = None) -> pl.DataFrame:
    """The campaign editions that `books` can be asked for, the newest plan first; nobody in them is counted or read.

    `store` and the columns that come out are those of `books` and of its `campaigns`. Raises `StoreError` for a store
    that cannot be read.
    """
    with Store(load_settings(store=store).store.get_secret_value()) as opened, opened.reader() as connection:
        return ledger_books.editions(connection).drop("id", "kept_columns")


def days(store: str | None = None) -> tuple[date, date] | None:
    """The first day and the last (Kampala) of which a ledger knows people, a call or money; None: it knows nothing.

    Nobody is counted or read. `store` is as of `books`. Raises `StoreError` for a store that cannot be read.
    """
    with Store(load_settings(store=store).store.get_secret_value()) as opened, opened.reader() as connection:
        return ledger_books.known_days(connection)


def books(
    names: str | Sequence[str] | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    kept: str | None = None,
    store: str | None = None,
) -> Books:
    """Read what a ledger holds of campaigns in a period.

    `names` are campaigns (or is one), each with all of its editions (`clinic-day`) or one of them (`clinic-day/1`);
    None: all, and every account. `start` and `end` are the first day and the last (Kampala; None: open). `kept` is a
    kept column to tally by, as `donor`. `store` is a ledger file or a PostgreSQL URL (None: MAMBO_STORE, or the default
    file).

    Raises `InputError` for a campaign, an edition or a kept column that is not there and for a period that ends before
    it starts, `StoreError` for a store that cannot be read.
    """
    with Store(load_settings(store=store).store.get_secret_value()) as opened:
        return read_books(opened, names, start=start, end=end, kept=kept)


def read_books(
    store: Store,
    names: str | Sequence[str] | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    kept: str | None = None,
) -> Books:
    """`books` of a store that is open."""
    names = [names] if isinstance(names, str) else names
    if start is not None and end is not None and start > end:
        raise InputError(f"the period starts on {start} and ends on {end}", fix="Its first day comes first.")
    start_us = None if start is None else to_us(datetime.combine(start, time(), KAMPALA))
    end_us = None if end is None else to_us(datetime.combine(end + timedelta(days=1), time(), KAMPALA))
    for name in names or ():
        Ledger(store).get(*name.split("/", 1))
    calls, tallies = [_no_calls()], [_no_tally()]
    with store.reader() as connection, connection.begin():
        campaigns = _named(ledger_books.editions(connection), names)
        _check_kept(campaigns, kept)
        accounts = None if names is None else campaigns["account"].unique().to_list()
        called = ledger_books.called_between(connection, start_us, end_us)
        home = pl.coalesce("first_call_at", "planned_at").dt.date()
        campaigns = campaigns.filter(pl.col("id").is_in(list(called)) | _within(home, start, end))
        for campaign in campaigns.iter_rows(named=True):
            of_campaign = [pl.lit(campaign[name], pl.String).alias(name) for name in ("campaign", "edition")]
            its_calls = ledger_books.calls(connection, campaign)
            its_kept = kept if kept in campaign["kept_columns"] else None
            groups = ledger_books.groups(connection, campaign, its_calls, kept=its_kept)
            its_home = (campaign["first_call_at"] or campaign["planned_at"]).date()
            in_period = _within(pl.col("day").fill_null(its_home), start, end)
            explained = explain(groups, its_calls).join(its_calls.select("attempt", "day"), on="attempt", how="left")
            explained = explained.filter(in_period)
            tallies.append(_tally(explained).with_columns(*of_campaign).select(tallies[0].columns))
            of_campaign += [pl.lit(campaign[name], pl.String).alias(name) for name in ("account", "category")]
            measured = _with_measures(its_calls.filter(in_period), explained)
            calls.append(measured.with_columns(*of_campaign).select(calls[0].columns))
        return Books(
            campaigns.drop("id", "kept_columns"),
            pl.concat(calls),
            pl.concat(tallies),
            ledger_books.account_calls(connection, accounts, end_us),
            ledger_books.entries(connection, accounts, end_us),
            kept=kept,
            start=start,
            end=end,
        )


def cut(books: Books, *by: str) -> pl.DataFrame:
    """The measures by any columns of `books.tally`, and account, category, sender_id of `books.campaigns`; sorted.

    Without a column: one row of totals. Out: the columns `by`, then `MEASURES`.
    """
    of_campaign = [column for column in by if column not in books.tally.columns]
    people = books.tally
    if of_campaign:
        edition = ["campaign", "edition"]
        people = people.join(books.campaigns.select(*edition, *of_campaign), on=edition, how="left")
    if not by:
        return people.select(_measures())
    return people.group_by(*by).agg(_measures()).sort(*by, nulls_last=True)


def by_campaign(books: Books) -> pl.DataFrame:
    """A campaign edition a row, the newest first.

    Out: campaign, edition, account, category, sender_id, state (String), planned_at, first_call_at, ended_at
    (Datetime, Kampala), then `MEASURES`.
    """
    edition = ["campaign", "edition"]
    columns = [*edition, "account", "category", "sender_id", "state", "planned_at", "first_call_at", "ended_at"]
    sums = cut(books, *edition)
    measured = books.campaigns.select(columns).join(sums, on=edition, how="left", maintain_order="left")
    return measured.with_columns(pl.col(MEASURES).fill_null(0))


def by_call(books: Books) -> pl.DataFrame:
    """The columns of `books.calls` in the order of sending, calls that were not made last.

    The rows of a campaign that stand in no call are counted in one more row, whose `call` is null.
    """
    rejected = books.tally.filter(pl.col("outcome") == Outcome.REJECTED.value)
    of_campaign = ["campaign", "edition"]
    in_no_call = (
        rejected.group_by(of_campaign)
        .agg(_measures())
        .join(books.campaigns.select(*of_campaign, "account", "category"), on=of_campaign, how="left")
    )
    calls = pl.concat([books.calls, in_no_call], how="diagonal")
    return calls.sort("sent_at", "attempt", *of_campaign, "call", nulls_last=True)


def by_network(books: Books) -> pl.DataFrame:
    """By network_guess (String; null: no valid number), guessed from the prefix. Then `MEASURES`.

    A call's charge is divided equally over its recipients, because the API names only the call's. So a call to several
    networks shows one price for all of them.
    """
    return cut(books, "network_guess")


def by_day(books: Books) -> pl.DataFrame:
    """By day (Date, Kampala, of the call; null: in no call), in order, null last. Then `MEASURES`."""
    return cut(books, "day")


def by_reason(books: Books) -> pl.DataFrame:
    """By outcome and reason (String; null for accepted, planned, in flight), the most first. Then `MEASURES`."""
    found = cut(books, "outcome", "reason")
    return found.sort("recipients", descending=True, maintain_order=True)


def by_kept(books: Books) -> pl.DataFrame:
    """By the kept column that the books were read with (`books.kept`): kept (String), then `MEASURES`.

    Null where the cell was empty, or the campaign keeps no such column. Raises `ValueError` when the books were read
    without one.
    """
    if books.kept is None:
        raise ValueError("these books were read without a kept column: books(…, kept=…)")
    return cut(books, "kept")


def prices(books: Books, *by: str) -> pl.DataFrame:
    """What a segment cost, by category, network_guess, and the columns `by` (as `day`); sorted.

    Out: category, network_guess (String), `by`, segments (Int64, counted by the API), charged_ugx (Int64),
    ugx_per_segment, tariff_ugx_per_segment (Float64), drift (Float64: the one over the other, less 1; null for a
    tariff of 0). Only recipients that share a known charge of a call whose segments are known. See `by_network` on
    calls to several networks.
    """
    priced = replace(books, tally=books.tally.filter("is_priced"))
    charged, segments = pl.col("charged_ugx"), pl.col("segments_counted")
    tariff = pl.col("estimated_ugx") / pl.col("segments_expected")
    return (
        cut(priced, "category", "network_guess", *by)
        .filter(segments > 0)
        .select(
            "category",
            "network_guess",
            *by,
            segments.alias("segments"),
            "charged_ugx",
            (charged / segments).alias("ugx_per_segment"),
            tariff.alias("tariff_ugx_per_segment"),
            pl.when(tariff > 0).then(charged / segments / tariff - 1).alias("drift"),
        )
    )


def receipts(books: Books) -> pl.DataFrame:
    """Whether the receipt of each accepted call adds up, in the order of sending.

    Out: campaign, edition, call (String), sent_at (Datetime), submitted, recipients_count, message_count, sms_sent,
    cost_ugx, unsupported_count, expected_ugx (Int64), sent_is_product (Boolean: sms_sent = recipients_count x
    message_count), cost_is_product (Boolean: the cost is sms_sent times a whole price, or just the tariff's),
    ugx_per_segment (Float64: cost over sms_sent), tariff_ugx_per_segment (Float64), price_is_tariff (Boolean: nothing
    of the difference is of the price), count_is_ours (Boolean: recipients_count is submitted, or that less the
    unsupported), segments_are_ours (Boolean), alarms (String). A Boolean is null where the receipt does not hold what
    it takes.
    """
    counted, parts, sent, cost = (
        pl.col(name) for name in ("recipients_count", "message_count", "sms_sent", "cost_ugx")
    )
    tariff = pl.col("estimated_ugx") / pl.col("segments_expected")
    price_moved = pl.col("of_price_ugx") != 0
    at_tariff = pl.col("difference_ugx") == pl.sum_horizontal("of_unsupported_ugx", "of_segments_ugx")
    whole = pl.when(sent == 0).then(cost == 0).otherwise(cost % sent == 0)
    return (
        books.calls.filter(pl.col("verdict") == Verdict.ACCEPTED.value)
        .sort("sent_at", "attempt")
        .select(
            *("campaign", "edition", "call", "sent_at", "submitted", "recipients_count", "message_count", "sms_sent"),
            *("cost_ugx", "unsupported_count", "expected_ugx"),
            (sent == counted * parts).alias("sent_is_product"),
            pl.when(sent.is_not_null() & cost.is_not_null()).then(whole | at_tariff).alias("cost_is_product"),
            pl.when(sent > 0).then(cost / sent).alias("ugx_per_segment"),
            tariff.alias("tariff_ugx_per_segment"),
            pl.when(sent.is_not_null() & cost.is_not_null()).then(~price_moved).alias("price_is_tariff"),
            ((counted == pl.col("submitted")) | (counted == pl.col("submitted") - pl.col("unsupported"))).alias(
                "count_is_ours"
            ),
            (parts == pl.col("segments")).alias("segments_are_ours"),
            "alarms",
        )
    )


def calls_to_look_at(books: Books) -> pl.DataFrame:
    """The calls that were made and not plainly accepted at the estimate, but for unsupported contacts.

    Out: the columns of `books.calls`, in its order.
    """
    accepted = pl.col("verdict") == Verdict.ACCEPTED.value
    plain = accepted & pl.col("consistent").fill_null(value=False) & pl.col("alarms").is_null()
    usual = plain & (pl.col("difference_ugx") == pl.col("of_unsupported_ugx")) & pl.col("cost_ugx").is_not_null()
    return books.calls.filter(pl.col("attempt").is_not_null() & ~usual.fill_null(value=False))


def balance_chain(books: Books) -> pl.DataFrame:
    """Each balance that the API named against what went before; see `pipelines.statement.chain` for its columns.

    Of the accounts of `books`, over all of their campaigns, as far as the period goes.
    """
    steps = account_statement.chain(books.account_calls, books.entries)
    return steps.filter(_within(pl.col("day"), books.start, books.end))


def statement(books: Books) -> pl.DataFrame:
    """The accounts month by month; see `pipelines.statement.months` for its columns.

    The months that the period of `books` touches, as far as its end.
    """
    first, last = (None if day is None else f"{day:%Y-%m}" for day in (books.start, books.end))
    found = account_statement.months(books.account_calls, books.entries)
    return found.filter(_within(pl.col("month"), first, last))


def _within(column: pl.Expr, first: Any, last: Any) -> pl.Expr:
    """From `first` to `last`, both included; None: open."""
    condition = pl.lit(value=True)
    if first is not None:
        condition &= column >= pl.lit(first)
    if last is not None:
        condition &= column <= pl.lit(last)
    return condition


def _named(campaigns: pl.DataFrame, names: Sequence[str] | None) -> pl.DataFrame:
    if names is None:
        return campaigns
    label = pl.format("{}/{}", "campaign", "edition")
    return campaigns.filter(pl.col("campaign").is_in(list(names)) | label.is_in(list(names)))


def _check_kept(campaigns: pl.DataFrame, kept: str | None) -> None:
    known = campaigns["kept_columns"].explode().drop_nulls().unique().sort().to_list()
    if kept is not None and kept not in known:
        fix = f"They keep: {mask_text(', '.join(known))}." if known else "They keep none: [recipients] keep names them."
        raise InputError("is a column that none of these campaigns keeps", value=kept, fix=fix)


def _measures() -> list[pl.Expr]:
    """Sums of a tally's rows."""
    people = pl.col("recipients")
    outcomes = [people.filter(pl.col("outcome") == outcome).sum().alias(outcome) for outcome in OUTCOMES]
    return [people.sum(), *outcomes, *(pl.col(name).sum() for name in _SUMS)]


def _no_calls() -> pl.DataFrame:
    texts: Any = pl.String
    counts: Any = pl.Int64
    return pl.DataFrame(
        schema=dict.fromkeys(("campaign", "edition", "account", "category", "call"), texts)
        | {"attempt": counts, "sent_at": TIME, "ended_at": TIME, "day": pl.Date}
        | dict.fromkeys(("verdict", "state", "reason", "messages"), texts)
        | dict.fromkeys(("http_status", "submitted", "recipients_count", "message_count", "sms_sent"), counts)
        | dict.fromkeys(("unsupported_count", "segments", "expected_ugx", "cost_ugx"), counts)
        | {"cost_raw": texts, "balance_after_ugx": counts, "consistent": pl.Boolean, "alarms": texts}
        | dict.fromkeys(MEASURES, counts)
    )


def _no_tally() -> pl.DataFrame:
    return pl.DataFrame(
        schema={"campaign": pl.String, "edition": pl.String, "day": pl.Date}
        | dict.fromkeys(("network_guess", "outcome", "reason", "delivery", "kept"), pl.String)
        | {"is_priced": pl.Boolean, "recipients": pl.Int64}
        | dict.fromkeys(_SUMS, pl.Int64)
    )


def _tally(explained: pl.DataFrame) -> pl.DataFrame:
    keys = ("day", "network_guess", "outcome", "reason", "delivery", "kept", "is_priced")
    return explained.group_by(*keys).agg(pl.col("recipients", *_SUMS).sum())


def _with_measures(calls: pl.DataFrame, explained: pl.DataFrame) -> pl.DataFrame:
    """`MEASURES` of the people who stand in each call now; a call that others followed has none."""
    of_call = explained.filter(pl.col("chunk").is_not_null()).group_by("chunk", "attempt").agg(_measures())
    keys = ["chunk", "attempt"]
    measured = calls.join(of_call, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return measured.with_columns(pl.col(MEASURES).fill_null(0))
