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
of_not_sent_ugx         less the estimate of what was planned and not sent: planned, refused, cancelled, or opted out
                        after the plan
unexplained_ugx         the rest; zero where the receipt's own figures add up
======================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

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
CAUSES = (
    "of_unsupported_ugx",
    "of_segments_ugx",
    "of_price_ugx",
    "of_partial_ugx",
    "of_unknown_ugx",
    "of_not_sent_ugx",
    "unexplained_ugx",
)
MEASURES = (
    "recipients",
    *OUTCOMES,
    "segments_expected",
    "segments_counted",
    "estimated_ugx",
    "charged_ugx",
    "difference_ugx",
    *CAUSES,
)

_TIME = pl.Datetime("us", "Africa/Kampala")


@dataclass(frozen=True, slots=True)
class Books:
    """What a ledger holds of some campaigns in some period, and of their accounts.

    Recipients are tallied, never held. A period holds the calls made on its days, and the people in them. People who
    stand in no call (rejected, planned, cancelled) belong to the day of the campaign's first call, or else of its plan.
    So periods that follow each other add up to the whole.

    `campaigns`: a campaign edition a row: campaign, edition, account, category, sender_id, state, stop_reason, source
    (String), rows, sendable, segments, estimated_ugx (Int64; of the whole edition), planned_at, first_call_at,
    ended_at (Datetime, Kampala).

    `calls`: an API call a row, made or still planned; a call that was made again stands there once for each attempt:
    campaign, edition, account, category, call (String, `clinic-day/1/c0007`), attempt (Int64; null: not made), sent_at,
    ended_at (Datetime), day (Date, of sent_at), verdict (String: accepted, refused, not_sent, unknown; null: not made,
    or in flight), state (String: planned, in_flight, accepted, refused, unknown, split, skipped, cancelled; null for an
    attempt that a later one followed), reason, messages (String, what the API said), http_status, submitted
    (recipients), recipients_count, message_count, sms_sent, unsupported_count (Int64, by the receipt), segments (Int64,
    ours, of one message), expected_ugx (Int64), cost_ugx (Int64, as charged; null: unknown, or none), cost_raw
    (String: a cost that is not whole), balance_after_ugx (Int64), consistent (Boolean), alarms (String), then the
    measures of the people who stand in it now (none in an attempt that a later one followed).

    `tally`: recipients counted by campaign, edition (String), day (Date; null: in no call), network_guess, outcome,
    reason (String), delivery (String; null until delivery reports are imported), kept (String; the column `kept`):
    the measures, without those that count one outcome.

    `account_calls`: every call that may have cost something of the accounts, of all campaigns, from the first one to
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


def books(
    names: Sequence[str] | None = None,
    *,
    start: date | None = None,
    end: date | None = None,
    kept: str | None = None,
    store: str | None = None,
) -> Books:
    """Read what a ledger holds of campaigns in a period.

    `names` are campaigns, each with all of its editions (`clinic-day`) or one of them (`clinic-day/1`); None: all.
    `start` and `end` are the first day and the last (Kampala; None: open). `kept` is a kept column to tally by, as
    `donor`. `store` is a ledger file or a PostgreSQL URL (None: MAMBO_STORE, or the default file).

    Raises `InputError` for a campaign, an edition or a kept column that is not there, `StoreError` for a store that
    cannot be read.
    """
    raise NotImplementedError


def cut(books: Books, *by: str) -> pl.DataFrame:
    """The measures by any columns of `books.tally`, or account, category, sender_id of `books.campaigns`, sorted.

    Without a column: one row of totals. Out: the columns `by`, then `MEASURES`.
    """
    return _empty(dict.fromkeys(by, pl.String), MEASURES)


def by_campaign(books: Books) -> pl.DataFrame:
    """A campaign edition a row, the newest first.

    Out: campaign, edition, account, category, sender_id, state (String), planned_at, first_call_at, ended_at
    (Datetime, Kampala), then `MEASURES`.
    """
    return _empty(
        dict.fromkeys(("campaign", "edition", "account", "category", "sender_id", "state"), pl.String)
        | dict.fromkeys(("planned_at", "first_call_at", "ended_at"), _TIME),
        MEASURES,
    )


def by_call(books: Books) -> pl.DataFrame:
    """The columns of `books.calls` in the order of sending, planned calls last.

    The rows of a campaign that stand in no call are counted in one more row, whose `call` is null.
    """
    strings = ("campaign", "edition", "account", "category", "call", "verdict", "state", "reason", "messages")
    numbers = (
        "http_status",
        "submitted",
        "recipients_count",
        "message_count",
        "sms_sent",
        "unsupported_count",
        "segments",
        "expected_ugx",
        "cost_ugx",
        "balance_after_ugx",
    )
    return _empty(
        dict.fromkeys(strings[:5], pl.String)
        | {"attempt": pl.Int64, "sent_at": _TIME, "ended_at": _TIME, "day": pl.Date}
        | dict.fromkeys(strings[5:], pl.String)
        | dict.fromkeys(numbers[:-1], pl.Int64)
        | {"cost_raw": pl.String, "balance_after_ugx": pl.Int64, "consistent": pl.Boolean, "alarms": pl.String},
        MEASURES,
    )


def by_network(books: Books) -> pl.DataFrame:
    """By network_guess (String; null: no valid number), guessed from the prefix. Then `MEASURES`.

    A call's charge is divided equally over its recipients, because the API names only the call's. So a call to several
    networks shows one price for all of them.
    """
    return _empty({"network_guess": pl.String}, MEASURES)


def by_day(books: Books) -> pl.DataFrame:
    """By day (Date, Kampala, of the call; null: in no call), in order, null last. Then `MEASURES`."""
    return _empty({"day": pl.Date}, MEASURES)


def by_reason(books: Books) -> pl.DataFrame:
    """By outcome and reason (String; null for accepted, planned, in flight), the most first. Then `MEASURES`."""
    return _empty({"outcome": pl.String, "reason": pl.String}, MEASURES)


def by_kept(books: Books) -> pl.DataFrame:
    """By the kept column that the books were read with (`books.kept`): kept (String), then `MEASURES`.

    Null where the cell was empty, or the campaign keeps no such column. Raises `ValueError` when the books were read
    without one.
    """
    return _empty({"kept": pl.String}, MEASURES)


def prices(books: Books, *by: str) -> pl.DataFrame:
    """What a segment cost, by category and network_guess, and by the columns `by` (as `day`), sorted.

    Out: category, network_guess (String), `by`, segments (Int64, counted by the API), charged_ugx (Int64),
    ugx_per_segment (Float64), tariff_ugx_per_segment (Float64, of the same recipients), drift (Float64: the first
    over the second, less 1). Only recipients whose charge and segments are known and who were not unsupported.
    """
    return _empty(
        {"category": pl.String, "network_guess": pl.String}
        | dict.fromkeys(by, pl.String)
        | {"segments": pl.Int64, "charged_ugx": pl.Int64, "ugx_per_segment": pl.Float64}
        | {"tariff_ugx_per_segment": pl.Float64, "drift": pl.Float64}
    )


def receipts(books: Books) -> pl.DataFrame:
    """Whether each accepted call's receipt adds up, in the order of sending.

    Out: campaign, edition, call (String), sent_at (Datetime), submitted, recipients_count, message_count, sms_sent,
    cost_ugx, unsupported_count, expected_ugx (Int64), sent_is_product (Boolean: sms_sent = recipients_count x
    message_count), cost_is_product (Boolean: the cost is sms_sent x one whole price, or just the tariff's price of its
    recipients), ugx_per_segment (Float64: cost by sms_sent), tariff_ugx_per_segment (Float64), price_is_tariff,
    count_is_ours (Boolean: recipients_count is submitted, or that less the unsupported), segments_are_ours (Boolean),
    alarms (String). A Boolean is null where the receipt does not hold what it takes.
    """
    return _empty(
        {"campaign": pl.String, "edition": pl.String, "call": pl.String, "sent_at": _TIME}
        | dict.fromkeys(("submitted", "recipients_count", "message_count", "sms_sent"), pl.Int64)
        | dict.fromkeys(("cost_ugx", "unsupported_count", "expected_ugx"), pl.Int64)
        | {
            "sent_is_product": pl.Boolean,
            "cost_is_product": pl.Boolean,
            "ugx_per_segment": pl.Float64,
            "tariff_ugx_per_segment": pl.Float64,
            "price_is_tariff": pl.Boolean,
            "count_is_ours": pl.Boolean,
            "segments_are_ours": pl.Boolean,
            "alarms": pl.String,
        }
    )


def balance_chain(books: Books) -> pl.DataFrame:
    """Each balance that the API named against what went before, in order, by account.

    Replies of calls that overlap come in any order, so they are judged together, in an order that respects their
    intents and replies and leaves the fewest gaps. A step is a run of such calls without a gap between them (mostly all of
    them), or a balance reading. Calls of different days stand in different steps.

    Out: account (String), group (Int64: calls and readings that overlap), kind (String: calls, reading, top_up),
    began_at, ended_at (Datetime), day (Date), calls (Int64), first_call, last_call (String), balance_before_ugx
    (Int64; null: none is known), charged_ugx (Int64: by its calls, and by calls before it whose reply named no
    balance), top_ups_ugx (Int64: entered by hand, placed where they fit best), expected_ugx (Int64: before - charged +
    top-ups), balance_ugx (Int64: as the API named it; null for top-ups and charges that no balance has shown yet),
    gap_ugx (Int64: balance - before + charged, what the top-ups have to explain), open_ugx (Int64, 0 or less: the part
    of the gap that calls of unknown fate or cost may have taken), unexplained_ugx (Int64: balance - expected - open),
    explanation (String: nothing to explain is null; top_up, open_calls, unexplained).
    """
    return _empty(
        {"account": pl.String, "group": pl.Int64, "kind": pl.String, "began_at": _TIME, "ended_at": _TIME}
        | {"day": pl.Date, "calls": pl.Int64, "first_call": pl.String, "last_call": pl.String}
        | dict.fromkeys(("balance_before_ugx", "charged_ugx", "top_ups_ugx", "expected_ugx"), pl.Int64)
        | dict.fromkeys(("balance_ugx", "gap_ugx", "open_ugx", "unexplained_ugx"), pl.Int64)
        | {"explanation": pl.String}
    )


def statement(books: Books) -> pl.DataFrame:
    """The account month by month: opening + top-ups - charges + unexplained = closing.

    Out: account, month (String, `2026-11`), opening_ugx, top_ups_ugx, charges_ugx, unexplained_ugx, closing_ugx,
    open_ugx (Int64, 0 or less: the part of `unexplained_ugx` that calls of unknown fate or cost may have taken),
    calls (Int64, whose charge is known), open_calls (Int64, whose charge is not).

    A charge stands in the month of its call, a top-up in that of its date, what is unexplained in that of the balance
    that shows it. Opening, closing and unexplained are null while no balance is known.
    """
    return _empty(
        {"account": pl.String, "month": pl.String}
        | dict.fromkeys(("opening_ugx", "top_ups_ugx", "charges_ugx", "unexplained_ugx"), pl.Int64)
        | dict.fromkeys(("closing_ugx", "open_ugx", "calls", "open_calls"), pl.Int64)
    )


def _empty(keys: dict[str, Any], measures: Sequence[str] = ()) -> pl.DataFrame:
    return pl.DataFrame(schema=keys | dict.fromkeys(measures, pl.Int64))
