"""Adding up what was sent: settle what can be settled, compare, and judge the difference.

What is judged is what nobody agreed to. An estimate differs from a charge for good reasons, too: people whom the API
called unsupported, calls of which nobody knows yet whether they were sent, people who were not sent anything. These
are told and no alarm. `alarms` says what is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from mambo_io.calls_left import unknown_calls
from mambo_io.errors import Difference, InputError, StoreError
from mambo_io.ledger import Ledger
from mambo_io.settings import MamboSettings
from mambo_io.store import Store, StoreBusy
from mambo_io.window import KAMPALA
from pipelines.markdown import markdown_table
from pipelines.opening import open_store
from pipelines.reconciliation import OUTCOMES, Books, balance_chain, by_campaign, read_books
from pipelines.runs import held_edition, planned_rules, who
from pipelines.settling import settle_unknown

# Of the causes of a difference, those that are alarms: other prices, segments or people than were asked for.
_ALARMS = {
    "of_price_ugx": "a segment's price was not the tariff's",
    "of_segments_ugx": "the API counted other segments than we did",
    "of_partial_ugx": "the API charged for more people than it was sent",
    "unexplained_ugx": "the receipt does not explain the charge",
}
_OF_BALANCE = "the balance moved by more than the calls and top-ups that are known"
_CAUSES = {
    "of_unsupported_ugx": "people the API called unsupported",
    "of_unknown_ugx": "calls whose charge is not known yet",
    "of_not_sent_ugx": "people who were not sent anything",
    **_ALARMS,
    "of_partial_ugx": "the API counted other people than it was sent",
}


@dataclass(frozen=True, slots=True)
class SettledEdition:
    """What a settlement did with the unknown calls of a campaign edition, and why no more (`why`). Counts are calls."""

    label: str
    sent: int
    not_sent: int
    left: int
    why: str | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a reconciliation found. Sums only: no number, no name, no text."""

    start: date
    end: date
    campaigns: pl.DataFrame = field(repr=False)  # `pipelines.reconciliation.by_campaign`
    alarms: pl.DataFrame = field(repr=False)  # see `alarms`
    settled: tuple[SettledEdition, ...]
    max_difference_ugx: int

    @property
    def difference_ugx(self) -> int:
        """What nobody agreed to, without regard to its sign: too much here does not make up for too little there."""
        return int(self.alarms["ugx"].sum())

    @property
    def is_alarming(self) -> bool:
        return self.difference_ugx > self.max_difference_ugx

    @property
    def days(self) -> str:
        return days_of(self.start, self.end)


def period_of(start: date | None, end: date | None, *, now: datetime) -> tuple[date, date]:
    """The first day and the last one, in Kampala: without an end, the day before `now`; without a start, the end only.

    Raises `InputError` when they are the wrong way round.
    """
    end = end or now.astimezone(KAMPALA).date() - timedelta(days=1)
    start = start or end
    if start > end:
        raise InputError(f"the period starts on {start} and ends on {end}", fix="Its first day comes first.")
    return start, end


def days_of(start: date, end: date) -> str:
    """`2026-11-25`, or `2026-11-01..2026-11-25`."""
    return f"{start}" if start == end else f"{start}..{end}"


def reconcile_days(
    settings: MamboSettings,
    names: Sequence[str] | None,
    start: date,
    end: date,
    *,
    output: Path,
    max_difference_ugx: int,
) -> tuple[Reconciliation, Path]:
    """All steps in a row, as the flow `reconcile` takes them: settle, read, report. Gives the report's file, too."""
    settled = settle_account(settings)
    with open_store(settings) as store:
        books = read_books(store, names, start=start, end=end)
        report = write_days(books, store, output, days_of(start, end))
    return Reconciliation(start, end, by_campaign(books), alarms(books), settled, max_difference_ugx), report


# --- settling --------------------------------------------------------------------------------------------------------


def settle_account(settings: MamboSettings) -> tuple[SettledEdition, ...]:
    """Settle what can be settled of every edition of the settings' account, by the rules of `mambo settle`.

    The balance is read once for all of them; not without MAMBO_USERNAME and MAMBO_PASSWORD, nor while the API's last
    refusal of them stands. Nothing is sent. An edition that somebody is at work on is left to them.

    Raises `NoLedgerYet` when nothing was ever sent from this store.
    """
    with open_store(settings) as store:
        ours = [
            (row.name, row.edition)
            for row in Ledger(store).unsettled()
            if row.account == settings.account and row.host == settings.host
        ]
    # A balance tells of a call only what was read after the call had ended; and what an ended process left in flight
    # ends when its edition is taken over.
    busy = {edition: why for edition in ours if (why := _taken_over(settings, *edition)) is not None}
    settled = [SettledEdition("/".join(edition), 0, 0, 0, why) for edition, why in busy.items()]
    ask = True
    for edition in ours:
        if edition not in busy:
            settled.append(_settle(settings, *edition, ask=ask))
            ask = False
    return tuple(settled)


def _taken_over(settings: MamboSettings, name: str, edition: str) -> str | None:
    """Why it cannot be; None when it was."""
    try:
        with held_edition(settings, name, edition):
            return None
    except StoreBusy:
        return "somebody is at work on it"
    except StoreError as error:
        return error.message


def _settle(settings: MamboSettings, name: str, edition: str, *, ask: bool) -> SettledEdition:
    try:
        with held_edition(settings, name, edition) as (ledger, connection, row):
            rules = planned_rules(ledger, row, settings)
            settled = settle_unknown(ledger, connection, row, settings, rules, who=who(), ask=ask)
            left = unknown_calls(ledger.store, row)
            refusal = ledger.credentials_latch(settings.account)
    except StoreBusy:
        return SettledEdition(f"{name}/{edition}", 0, 0, 0, "somebody is at work on it")
    why = next((call.evidence for call in left if call.evidence), settled.trouble)
    if left and refusal is not None:
        why = "the API refused MAMBO_USERNAME and MAMBO_PASSWORD; when they are right: mambo balance --unlock"
    return SettledEdition(row.label, settled.sent, settled.not_sent, len(left), why if left else None)


# --- reporting -------------------------------------------------------------------------------------------------------


def write_days(books: Books, store: Store, output: Path, days: str) -> Path:
    """Write the report on some days to `output`: a file, or a folder (made if need be) for `DAYS.html`. Gives the file.

    Raises `InputError` as `write_report` does, and for a file that has the name of a list of recipients.
    """
    from pipelines.report import write_report

    file = output if output.suffix else output / f"{days}.html"
    if file.exists() and file.name in {Path(source).name for source in books.campaigns["source"]}:
        raise InputError("has the name of the list of recipients", file=file, fix="Choose another name.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be used as a folder ({error.strerror})", file=file.parent) from None
    write_report(books, file, store=store)
    return file


# --- judging ---------------------------------------------------------------------------------------------------------


def alarms(books: Books) -> pl.DataFrame:
    """The differences that nobody agreed to, by campaign edition or account, the largest first.

    Out: where (String: `clinic-day/1`, or `account main`), what (String: the cause in words), ugx (Int64: the sum of
    what each call, or each step of the balance, differs by, without regard to sign), of (Int64: how many of them).

    Judged are, of each API call, a price that is not the tariff's, a count of segments that is not ours, a charge for
    more people than were sent to, and what the receipt does not explain; and of each account what its balance moved by
    without a known call or top-up. That fewer people were counted is no alarm here: nothing was charged for the others.
    """
    label = pl.format("{}/{}", "campaign", "edition")
    found = [
        books.calls.select(label.alias("where"), pl.lit(what).alias("what"), pl.col(cause).alias("ugx")).filter(
            pl.col("ugx") > 0 if cause == "of_partial_ugx" else pl.col("ugx") != 0
        )
        for cause, what in _ALARMS.items()
    ]
    found.append(
        balance_chain(books).select(
            pl.format("account {}", "account").alias("where"),
            pl.lit(_OF_BALANCE).alias("what"),
            pl.col("unexplained_ugx").alias("ugx"),
        )
    )
    return (
        pl.concat(found)
        .filter(pl.col("ugx") != 0)
        .group_by("where", "what", maintain_order=True)
        .agg(pl.col("ugx").abs().sum(), pl.len().cast(pl.Int64).alias("of"))
        .sort("ugx", descending=True, maintain_order=True)
    )


# --- telling ---------------------------------------------------------------------------------------------------------


def headline(found: Reconciliation) -> str:
    """What was found, in a line or two for a person."""
    if found.campaigns.is_empty():
        sent = f"{found.days}: no campaign was sent."
    else:
        columns = ("recipients", *OUTCOMES, "estimated_ugx", "charged_ugx", "of_unknown_ugx")
        sums = found.campaigns.select(pl.sum(*columns)).row(0, named=True)
        campaigns = "1 campaign" if found.campaigns.height == 1 else f"{found.campaigns.height} campaigns"
        outcomes = ", ".join(f"{sums[outcome]:,} {outcome.replace('_', ' ')}" for outcome in OUTCOMES if sums[outcome])
        sent = (
            f"{found.days}: {campaigns}, {sums['recipients']:,} recipients ({outcomes}). "
            f"UGX {sums['charged_ugx']:,} charged of {sums['estimated_ugx']:,} estimated{_not_known(sums)}."
        )
    if not found.difference_ugx:
        return f"{sent} Nothing is unreconciled."
    return f"{sent} UGX {found.difference_ugx:,} are unreconciled ({found.max_difference_ugx:,} allowed)."


def _not_known(sums: Mapping[str, int]) -> str:
    open_ugx = -sums["of_unknown_ugx"]
    return f", as far as known: calls whose charge is not known may have cost UGX {open_ugx:,} more" if open_ugx else ""


def check_difference(found: Reconciliation) -> None:
    """Raises `Difference`, with sums only, when more is unreconciled than is allowed."""
    if not found.is_alarming:
        return
    causes = [
        f"{where}: UGX {ugx:,}, {what} ({'once' if of == 1 else f'{of:,} times'})."
        for where, what, ugx, of in found.alarms.iter_rows()
    ]
    raise Difference(" ".join([headline(found), *causes]))


def by_campaign_table(found: Reconciliation) -> list[dict[str, str | int]]:
    """A campaign edition a row, of sums only."""
    unreconciled = dict(found.alarms.group_by("where").agg(pl.sum("ugx")).iter_rows())
    columns = ("recipients", "accepted", "unsupported", "rejected", "unknown")
    return [
        {
            "campaign": (label := f"{row['campaign']}/{row['edition']}"),
            **{column: row[column] for column in columns},
            **{column: row[column] for column in ("estimated_ugx", "charged_ugx", "difference_ugx")},
            "unreconciled_ugx": unreconciled.get(label, 0),
        }
        for row in found.campaigns.iter_rows(named=True)
    ]


def markdown(found: Reconciliation, report: Path | None) -> str:
    """What was found, as a page of sums; `report` is where the whole of it stands."""
    parts = [f"# {'Unreconciled' if found.is_alarming else 'Reconciled'}: {found.days}", headline(found)]
    if found.alarms.height:
        named = found.alarms.rename({"ugx": "UGX", "of": "times"})
        parts += ["## What nobody agreed to", markdown_table(named)]
    causes = found.campaigns.select(pl.sum(*_CAUSES)).row(0, named=True)
    if any(causes.values()):
        told = pl.DataFrame(
            [(_CAUSES[cause], ugx) for cause, ugx in causes.items() if ugx], ["cause", "UGX"], orient="row"
        )
        parts += ["## Why the charge is not the estimate", markdown_table(told)]
    if found.settled:
        parts += ["## Calls of unknown fate", "\n".join(f"- {settled_text(edition)}" for edition in found.settled)]
    if report is not None:
        parts.append(f"The report: {report}")
    return "\n\n".join(parts)


def settled_text(edition: SettledEdition) -> str:
    """`clinic-day/1: 1 were sent, 2 unknown still: no balance is known from after it`."""
    counts = {"were sent": edition.sent, "were not": edition.not_sent, "unknown still": edition.left}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return ": ".join(filter(None, [edition.label, told, edition.why]))
