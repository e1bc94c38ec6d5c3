"""Why a charge is not the estimate: the difference of each group of recipients, divided over its causes.

A group are recipients of one call (one network, one outcome, one kept value), as `mambo_io.books.groups` counts them.
Everything is decided so that it can be added up over any cut: what a call has in common (its receipt) decides the rule,
and the rule's figures are those of the single recipients.

For a call of which the charge is known, `sharing` are its recipients that have a part in the charge (those not called
unsupported), `parts` the segments of one message by the receipt, `counted` the recipients by the receipt, and a
recipient's share is what `charged_ugx` of the results says (the charge divided equally, the rest on the lowest rows).

==================  ==================================================================================================
of_unsupported_ugx  less the estimate of who was called unsupported and has no part in the charge. In a call in which
                    everybody was: charged - estimated. Where the receipt counts unsupported contacts all the same:
                    what their segments cost, spread over those who share the charge
of_segments_ugx     (parts - our segments) x the tariff's price, of each who shares the charge
of_price_ugx        when as many were counted as share the charge, or the charge is just the tariff's price of these:
                    share - parts x the tariff's price. When others were counted: (charge // counted) in the place of
                    the share
of_partial_ugx      when others were counted: share - charge // counted. When the reply holds no counts (as in a call
                    that was settled by the balance) and the charge is below the estimate: share - estimate
of_unknown_ugx      less the estimate of who is unknown or in flight, or in an accepted call whose charge is not known
of_not_sent_ugx     less the estimate of who is planned, refused, cancelled, or left out after the plan
unexplained_ugx     what is left when the receipt contradicts itself: sms_sent is neither the product of its own counts
                    nor that of those who share the charge, or something is charged for nobody; or when it holds no
                    counts, and the charge is above the estimate
==================  ==================================================================================================

Where a call mixes networks of different tariffs, its charge is divided equally, not by their prices; what that moves
from one network to another stands in of_price_ugx, and adds up to nothing over the call.
"""

from __future__ import annotations

import polars as pl

from mambo_io.model import Outcome, Verdict

CAUSES = (
    "of_unsupported_ugx",
    "of_segments_ugx",
    "of_price_ugx",
    "of_partial_ugx",
    "of_unknown_ugx",
    "of_not_sent_ugx",
    "unexplained_ugx",
)
_MOST_PARTS = 255  # the header of a message of several parts counts them in one byte
_NOT_SENT = [Outcome.REJECTED.value, Outcome.PLANNED.value, Outcome.REFUSED.value, Outcome.CANCELLED.value]
_OPEN = [Outcome.UNKNOWN.value, Outcome.IN_FLIGHT.value]


def explain(groups: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Add what the API counted and charged, and why it is not the estimate.

    In: `groups` as `mambo_io.books.groups` says; `calls` with attempt, recipients_count, message_count, sms_sent,
    cost_ugx, segments (Int64), verdict (String) as `mambo_io.books.calls` says. Out: the columns of `groups`,
    charged_ugx being 0 where it is not known, with segments_counted, difference_ugx and `CAUSES` (Int64, never null),
    and is_priced (Boolean: the charge of its call is known and the segments are counted, and it has a part in them).
    """
    receipts = calls.filter(pl.col("verdict") == Verdict.ACCEPTED.value).select(
        "attempt",
        pl.col("recipients_count").alias("counted"),
        pl.when(pl.col("message_count").is_between(0, _MOST_PARTS)).then("message_count").alias("parts"),
        "sms_sent",
        pl.col("cost_ugx").alias("cost"),
        pl.col("segments").alias("our_parts"),
    )
    return (
        groups.join(receipts, on="attempt", how="left", maintain_order="left")
        .with_columns(
            # Of one segment, by the tariff, of all recipients of the group together.
            (pl.col("estimated_ugx") // pl.col("our_parts")).fill_null(0).alias("tariff"),
            pl.coalesce("sms_sent", pl.col("counted") * pl.col("parts")).alias("segments_of_call"),
            pl.coalesce("counted", pl.col("sms_sent") // pl.col("parts")).alias("people_counted"),
        )
        .with_columns(*_sums_of_call())
        .with_columns(*_what_the_receipt_says())
        .with_columns(*_causes(), _segments_counted().alias("segments_counted"))
        .with_columns(
            (pl.col("shares_charge") & pl.col("is_charged") & pl.col("is_counted")).alias("is_priced"),
            pl.col("charged_ugx").fill_null(0),
        )
        .with_columns((pl.col("charged_ugx") - pl.col("estimated_ugx")).alias("difference_ugx"))
        .select(*groups.columns, "segments_counted", "difference_ugx", *CAUSES, "is_priced")
    )


def _sums_of_call() -> list[pl.Expr]:
    """Sums over a call's groups; where there is no call they mean nothing, and are not looked at."""
    shares, people = pl.col("shares_charge"), pl.col("recipients")
    sharing = people.filter(shares).sum().over("attempt")
    everybody = people.sum().over("attempt")
    return [
        everybody.alias("submitted"),
        # Nobody shares a charge that is not known, in a call of which everybody is unsupported.
        pl.when(sharing > 0).then(sharing).otherwise(everybody).alias("sharing"),
        (shares | (sharing == 0)).alias("takes_part"),
        pl.col("tariff").filter(shares).sum().over("attempt").alias("tariff_of_call"),
        pl.col("estimated_ugx").filter(shares).sum().over("attempt").alias("estimate_of_call"),
    ]


def _what_the_receipt_says() -> list[pl.Expr]:
    parts, segments, cost = pl.col("parts"), pl.col("segments_of_call"), pl.col("cost")
    as_sent = segments == pl.col("sharing") * parts
    no_product = segments != pl.col("people_counted").fill_null(0) * parts
    for_nobody = (segments == 0) & (cost > 0)
    facts = {
        "is_charged": pl.col("charged_ugx").is_not_null(),
        "is_counted": parts.is_not_null() & segments.is_not_null(),
        "is_as_sent": as_sent,
        "is_at_tariff": cost == parts * pl.col("tariff_of_call"),
        "is_contradiction": (no_product & ~as_sent) | for_nobody,
    }
    return [fact.fill_null(value=False).alias(name) for name, fact in facts.items()]


def _causes() -> list[pl.Expr]:
    """One expression for each of `CAUSES`; for each group they add up to charged - estimated."""
    estimate, charged, outcome = pl.col("estimated_ugx"), pl.col("charged_ugx"), pl.col("outcome")
    is_unsupported = outcome == Outcome.UNSUPPORTED.value
    is_not_sent = outcome.is_in(_NOT_SENT)
    is_open = ~is_not_sent & (outcome.is_in(_OPEN) | ~pl.col("is_charged"))
    shares = ~is_not_sent & ~is_open & pl.col("shares_charge")

    at_our_segments = charged - estimate
    at_their_segments = charged - pl.col("parts") * pl.col("tariff")
    each = pl.col("cost") // pl.col("people_counted")
    others_counted = ~pl.col("is_as_sent")
    beyond_those_sharing = pl.col("segments_of_call").is_between(
        pl.col("sharing") * pl.col("parts"), pl.col("submitted") * pl.col("parts")
    )
    # What is said of a group that shares a charge: its cause, and how much of the difference is left for it.
    price = pl.col("recipients") * each - pl.col("parts") * pl.col("tariff")
    price = pl.when(pl.col("segments_of_call") > 0).then(price).otherwise(0)

    counted = shares & ~is_unsupported & pl.col("is_counted")
    uncounted = shares & ~is_unsupported & ~pl.col("is_counted")
    is_price = counted & (pl.col("is_at_tariff") | (pl.col("is_as_sent") & ~pl.col("is_contradiction")))
    is_contradiction = counted & ~is_price & pl.col("is_contradiction")
    is_count = counted & ~is_price & ~is_contradiction & others_counted
    below, above = pl.col("cost") < pl.col("estimate_of_call"), pl.col("cost") > pl.col("estimate_of_call")

    of = {
        "of_unsupported_ugx": pl.when(is_unsupported & ~is_open)
        .then(at_our_segments)
        .when(is_count & beyond_those_sharing)
        .then(at_their_segments - price),
        "of_segments_ugx": pl.when(counted).then(at_our_segments - at_their_segments),
        "of_price_ugx": pl.when(is_price)
        .then(at_their_segments)
        .when(is_count)
        .then(price)
        .when(uncounted & ~below & ~above)
        .then(at_our_segments),
        "of_partial_ugx": pl.when(is_count & ~beyond_those_sharing)
        .then(at_their_segments - price)
        .when(uncounted & below)
        .then(at_our_segments),
        "of_unknown_ugx": pl.when(is_open).then(-estimate),
        "of_not_sent_ugx": pl.when(is_not_sent).then(-estimate),
        "unexplained_ugx": pl.when(is_contradiction)
        .then(at_their_segments)
        .when(uncounted & above)
        .then(at_our_segments),
    }
    return [of[cause].fill_null(0).alias(cause) for cause in CAUSES]


def _segments_counted() -> pl.Expr:
    """Of each group: the same for everybody whom the receipt counts; what does not divide stands on the lowest row."""
    people, parts, segments = pl.col("recipients"), pl.col("parts"), pl.col("segments_of_call")
    takes_part = pl.col("takes_part")
    lowest_row = pl.col("first_row").filter(takes_part).min().over("attempt")
    rest = pl.when(pl.col("first_row") == lowest_row).then(segments % pl.col("sharing")).otherwise(0)
    return (
        pl.when(pl.col("attempt").is_null())
        .then(0)
        .when(segments == pl.col("submitted") * parts)
        .then(people * parts)
        .when(~takes_part)
        .then(0)
        .when(segments == pl.col("sharing") * parts)
        .then(people * parts)
        .otherwise(people * (segments // pl.col("sharing")) + rest)
        .fill_null(0)
    )
