"""Importing delivery reports: from a provider's export to what stands beside the results.

The API reports no delivery. What an export says changes no outcome and settles nothing; people whom it names although
the API did not accept them are told to a person, who may resolve their calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from mambo_io.archives import check_not_archived
from mambo_io.datasets import write_dataset
from mambo_io.deliveries import KNOWN, known_reports, people_of, record_reports
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger, from_us
from mambo_io.model import Delivery
from mambo_io.store import Store, StoreBusy
from pipelines.delivery_export import Columns, Export
from pipelines.delivery_matching import Unmatched, latest_reports, match_reports, reports_to_write

_ROWS_NAMED = 5


@dataclass(frozen=True, slots=True)
class CampaignReports:
    """What an export says of one campaign edition: people by `Delivery`, and what of it the ledger did not know."""

    label: str
    people: dict[str, int]
    new: int
    changed: int


@dataclass(frozen=True, slots=True)
class UnmatchedReports:
    """Reports that belong to no call for one reason: a code of `Unmatched`, or why there is no number (`Reason`)."""

    reason: str
    reports: int
    first_rows: tuple[int, ...]  # of the export


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an export. Counts only: no number."""

    source: str
    account: str
    reports: int
    columns: Columns
    first_at: datetime | None  # the times of the reports
    last_at: datetime | None
    campaigns: tuple[CampaignReports, ...]
    unmatched: tuple[UnmatchedReports, ...]
    notes: tuple[str, ...]

    @property
    def unmatched_reports(self) -> int:
        return sum(each.reports for each in self.unmatched)


def import_deliveries(
    export: Export,
    source: Path,
    store: Store,
    *,
    account: str,
    campaign: CampaignRow | None,
    unmatched: Path | None,
    who: str,
    now: datetime,
) -> Imported:
    """Record what `export`, read from `source`, says of calls of the account; of one `campaign` edition, or of all.

    `unmatched` is a file for the reports that belong to no call: row, phone_raw, e164, status_raw, time_raw (as the
    export has them) and reason. It holds full numbers. Importing the same again changes nothing.

    Raises `InputError` when not one report belongs to a call, or the campaign is archived; `StoreBusy` while another
    import is at work.
    """
    unusable = export.reports.select("row", reason=_unusable()).drop_nulls()
    reports = export.reports.filter(_unusable().is_null())
    with store.reader() as reader, reader.begin():
        if campaign is not None:
            check_not_archived(reader, campaign.id, campaign.label)
        people = people_of(reader, account, reports["msisdn"])
    narrow = reports.select("row", "msisdn", "status", "status_raw", "at_us", "until_us")
    matched = match_reports(narrow, people, None if campaign is None else campaign.id)
    apart = pl.concat([unusable, matched.select("row", reason="unmatched").drop_nulls()]).sort("row")
    if unmatched is not None:
        its_cells = export.reports.join(apart, on="row", maintain_order="left")
        write_dataset(its_cells.select("row", "phone_raw", "e164", "status_raw", "time_raw", "reason"), unmatched)
    told = _unmatched(apart)
    latest = latest_reports(matched)
    if latest.is_empty():
        raise _nothing_matched(source, account, campaign, told)
    with _alone(store) as connection:
        with store.reader() as reader, reader.begin():
            written = reports_to_write(latest, _known(reader, latest))
        if written.height:
            record_reports(connection, written, source=source.name, who=who, now=now)
    times = export.reports["at_us"]
    first_us, last_us = times.min(), times.max()
    return Imported(
        source=source.name,
        account=account,
        reports=export.reports.height,
        columns=export.columns,
        first_at=from_us(first_us) if isinstance(first_us, int) else None,
        last_at=from_us(last_us) if isinstance(last_us, int) else None,
        campaigns=tuple(_campaigns(Ledger(store), latest, written)),
        unmatched=told,
        notes=export.notes,
    )


@contextmanager
def _alone(store: Store) -> Iterator[Connection]:
    """A connection for writing, while nobody else imports; senders are not kept from their work."""
    with ExitStack() as held:
        try:
            connection = held.enter_context(store.locked_writer("deliveries"))
        except StoreBusy as busy:
            problem = f"another import of delivery reports, or an archiving, is at work{busy.holder}"
            raise StoreBusy(problem, fix="Wait until it ends.") from None
        yield connection


def _unusable() -> pl.Expr:
    """Why a row is no report at all; null for one that is."""
    no_status = pl.when(pl.col("status").is_null()).then(pl.lit(Unmatched.NO_STATUS.value))
    return pl.coalesce("reject_reason", no_status)


def _known(connection: Connection, latest: pl.DataFrame) -> pl.DataFrame:
    """What was imported before of the people in `latest`."""
    wanted = latest.select("campaign_id", "row")
    pieces = known_reports(connection, latest["campaign_id"].unique().sort().to_list())
    its = [piece.join(wanted, on=["campaign_id", "row"], how="semi") for piece in pieces]
    return pl.concat([pl.DataFrame(schema=KNOWN), *its])


def _unmatched(apart: pl.DataFrame) -> tuple[UnmatchedReports, ...]:
    """By reason, the most frequent first."""
    counted = (
        apart.group_by("reason", maintain_order=True)
        .agg(pl.len().alias("reports"), pl.col("row").head(_ROWS_NAMED))
        .sort("reports", "reason", descending=[True, False])
    )
    return tuple(UnmatchedReports(reason, count, tuple(rows)) for reason, count, rows in counted.iter_rows())


def _campaigns(ledger: Ledger, latest: pl.DataFrame, written: pl.DataFrame) -> Iterator[CampaignReports]:
    for row in ledger.campaigns():
        its = pl.col("campaign_id") == row.id
        people = dict(latest.filter(its)["status"].value_counts().iter_rows())
        if people:
            changes = written.filter(its)["is_known"]
            changed = int(changes.sum())
            yield CampaignReports(
                label=row.label,
                people={status.value: people.get(status.value, 0) for status in Delivery},
                new=len(changes) - changed,
                changed=changed,
            )


def _nothing_matched(
    source: Path, account: str, campaign: CampaignRow | None, told: tuple[UnmatchedReports, ...]
) -> InputError:
    whose = f"account {account}" if campaign is None else campaign.label
    reasons = ", ".join(f"{each.reason} {each.reports:,}" for each in told)
    if told[0].reason == Unmatched.AMBIGUOUS:
        fix = "Name the campaign (--campaign NAME), or a column with the times of the reports (--time)."
    else:
        fix = "MAMBO_STORE and MAMBO_ACCOUNT say whose calls are meant; --unmatched OUT.csv lists the rows."
    return InputError(f"not one row of it is about a call of {whose}: {reasons}", file=source, fix=fix)
