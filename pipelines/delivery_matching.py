"""Which call a delivery report is about, and which of several reports counts. Pure: frames in, frames out.

A report names a number, and mostly a time; a number may have been sent to by several campaigns. With a time, a report
is about the last call to its number before that time. Without one it is about the only call that there was: of the
campaign that was named, or else of the account. What two calls may explain is ambiguous, and never guessed: both were
made about the time of the report, or went to the same number in two rows of one list.

Of several reports on one message a final one counts before a pending one, then the later one. A report without a time
counts as older than one with a time; of two without, or of the same time, the one that was read later counts.
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from mambo_io.model import Delivery, Outcome

CLOCKS_DIFFER_US = 60_000_000  # the provider's clock may be so far from ours

_FOREVER_US = 2**62
_FOUND = ("campaign_id", "person_row", "attempt_id", "outcome")


class Unmatched(StrEnum):
    """Why a report belongs to no call. The value is the code in the file of unmatched reports."""

    NO_CALL = "no_call"
    NOT_SENT = "not_sent"
    AMBIGUOUS = "ambiguous"
    OTHER_CAMPAIGN = "other_campaign"
    ARCHIVED = "archived"
    NO_STATUS = "no_status"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Unmatched.NO_CALL: "no call to this number, or none before that time",
    Unmatched.NOT_SENT: "the campaign has this number, but it was turned away or not sent to yet",
    Unmatched.AMBIGUOUS: "more than one call may be meant; a time or --campaign tells which",
    Unmatched.OTHER_CAMPAIGN: "about a call of another campaign",
    Unmatched.ARCHIVED: "about a call of an archived campaign; `mambo store bring-back` first, then import again",
    Unmatched.NO_STATUS: "the status is empty",
}


def match_reports(reports: pl.DataFrame, people: pl.DataFrame, campaign_id: int | None = None) -> pl.DataFrame:
    """Find the call that each report is about. Rows and their order stay.

    In: `reports` with msisdn, at_us and until_us (Int64: the first and the last moment that its time may mean; null
    where it has none); `people` as `mambo_io.deliveries.people_of` gives them. `campaign_id` is the campaign edition
    that was named.

    Out: + campaign_id, person_row, attempt_id (Int64), outcome (String): the call and the person's row in its list;
    null for a report that has none, which has `unmatched` (String, a code of `Unmatched`) instead.
    """
    called = people.filter(pl.col("attempt_id").is_not_null())
    archived = people.filter("is_archived")["campaign_id"].unique()
    others = people.join(called, on="msisdn", how="anti")["msisdn"]
    # Without a time a campaign that was named is believed, and a call that the API turned away is not meant if there
    # is another.
    wanted = called if campaign_id is None else called.filter(pl.col("campaign_id") == campaign_id)
    sent = wanted.filter(~_turned_away())
    turned_away = wanted.filter(_turned_away()).join(sent, on="msisdn", how="anti")
    has_time = pl.col("at_us").is_not_null()
    indexed = reports.with_row_index("report")
    found = pl.concat(
        [
            _last_before(indexed.filter(has_time), called),
            _last_before(indexed.filter(~has_time), pl.concat([sent, turned_away])),
        ]
    )
    named = pl.lit(campaign_id, pl.Int64)
    is_named, was_named = pl.col("campaign_id") == named, pl.col("before_campaign_id") == named
    take_before = pl.col("is_ambiguous") & was_named & ~is_named
    found = found.with_columns(
        *(pl.when(take_before).then(f"before_{name}").otherwise(name).alias(name) for name in _FOUND),
        is_ambiguous=pl.col("is_ambiguous") & (was_named == is_named).fill_null(True),
    )
    unmatched = (
        pl.when(pl.col("attempt_id").is_null() & pl.col("msisdn").is_in(others.implode()))
        .then(pl.lit(Unmatched.NOT_SENT.value))
        .when(pl.col("attempt_id").is_null())
        .then(pl.lit(Unmatched.NO_CALL.value))
        .when(pl.col("campaign_id") != named)
        .then(pl.lit(Unmatched.OTHER_CAMPAIGN.value))
        .when("is_ambiguous")
        .then(pl.lit(Unmatched.AMBIGUOUS.value))
        .when(pl.col("campaign_id").is_in(archived.implode()))
        .then(pl.lit(Unmatched.ARCHIVED.value))
    )
    found = found.with_columns(unmatched=unmatched).with_columns(
        pl.when(pl.col("unmatched").is_null()).then(name).alias(name) for name in _FOUND
    )
    return found.sort("report").select(*reports.columns, *_FOUND, "unmatched")


def _last_before(reports: pl.DataFrame, called: pl.DataFrame) -> pl.DataFrame:
    """Add the last call that may be meant, the one before it (`before_…`), and whether it may as well be that one."""
    calls = called.rename({"row": "person_row"}).sort("msisdn", "sent_at_us", "campaign_id", "person_row")
    has_before = pl.col("msisdn") == pl.col("msisdn").shift()
    calls = calls.with_row_index("call").with_columns(
        pl.when(has_before).then(pl.col("sent_at_us", *_FOUND).shift()).name.prefix("before_")
    )
    latest_us = (pl.col("until_us") + CLOCKS_DIFFER_US).fill_null(_FOREVER_US)
    # Calls and reports of a number on one line of time. A join as of a time does the same, in ten times the time.
    line = pl.concat(
        [
            calls.select("msisdn", pl.col("sent_at_us").alias("moment_us"), "call"),
            reports.select("msisdn", latest_us.alias("moment_us"), "report"),
        ],
        how="diagonal",
    ).sort("msisdn", "moment_us", "report", nulls_last=False)
    last = line.with_columns(pl.col("call").forward_fill()).filter(pl.col("report").is_not_null())
    joined = reports.join(last.select("report", "call"), on="report").join(calls, on=["call", "msisdn"], how="left")
    at, sent, before = pl.col("at_us"), pl.col("sent_at_us"), pl.col("before_sent_at_us")
    both_fit = (
        at.is_null()
        | (pl.col("before_campaign_id") == pl.col("campaign_id"))  # the number stands in two rows of its list
        | (before > at - CLOCKS_DIFFER_US)  # both calls were made about that time
        | (sent > pl.col("until_us"))  # the last one only if the clocks differ
        | (_turned_away() & ~_turned_away("before_outcome"))
    )
    return joined.with_columns(is_ambiguous=before.is_not_null() & both_fit)


def latest_reports(matched: pl.DataFrame) -> pl.DataFrame:
    """Of all matched reports the one that counts for each person, and call: campaign_id, row, attempt_id, outcome,
    status, status_raw, reported_at_us."""
    return (
        matched.filter(pl.col("unmatched").is_null())
        .sort(_is_final("status"), "at_us", nulls_last=False, maintain_order=True)
        .unique(["campaign_id", "person_row"], keep="last", maintain_order=True)
        .select(
            "campaign_id",
            pl.col("person_row").alias("row"),
            "attempt_id",
            "outcome",
            "status",
            "status_raw",
            pl.col("at_us").alias("reported_at_us"),
        )
        .sort("campaign_id", "row")
    )


def reports_to_write(latest: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """What of `latest` (as `latest_reports` gives it) is new, or counts before what is `known` already.

    Out: campaign_id, row, attempt_id, status, status_raw, reported_at_us, and Boolean `is_known`: another report of
    that person stands there.
    """
    both = latest.join(known, on=["campaign_id", "row"], how="left", suffix="_known", maintain_order="left")

    def same(*columns: str) -> pl.Expr:
        return pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_known")) for name in columns)

    final, was_final = _is_final("status"), _is_final("status_known")
    at, was_at = pl.col("reported_at_us").fill_null(-1), pl.col("reported_at_us_known").fill_null(-1)
    counts = (
        pl.col("attempt_id_known").is_null()
        | ~same("attempt_id")
        | same("status_raw", "reported_at_us")  # the same report; its word may be read otherwise now
        | (final & ~was_final)
        | ((final == was_final) & (at >= was_at))
    )
    is_known = pl.col("attempt_id_known").is_not_null()
    return both.filter(counts & ~same("attempt_id", "status", "status_raw", "reported_at_us")).select(
        "campaign_id", "row", "attempt_id", "status", "status_raw", "reported_at_us", is_known=is_known
    )


def _is_final(status: str) -> pl.Expr:
    return pl.col(status) != Delivery.PENDING.value


def _turned_away(outcome: str = "outcome") -> pl.Expr:
    """Whether the API said that it would not send: its provider has hardly anything to report then."""
    return pl.col(outcome).is_in([Outcome.UNSUPPORTED.value, Outcome.REFUSED.value])
