"""Delivery reports: `mambo deliveries import`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.masking import mask_text
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.deliveries import Imported, import_deliveries
from pipelines.delivery_export import read_export
from pipelines.delivery_matching import Unmatched
from pipelines.opening import open_store
from pipelines.reasons import reason_meaning
from pipelines.runs import who
from pipelines.summary import CampaignSummary, summarize

deliveries = App(name="deliveries", help="Take in what a provider's or network's export says of delivery.")


@deliveries.command(name="import")
def import_file(
    file: Path,
    /,
    *,
    phone: str | None = None,
    status: str | None = None,
    time: str | None = None,
    campaign: str | None = None,
    edition: str | None = None,
    meanings: Annotated[tuple[str, ...], Parameter(name="--map")] = (),
    smpp_codes: bool = False,
    time_format: str | None = None,
    sheet: str | None = None,
    header_row: int = 1,
    unmatched: Path | None = None,
    json: bool = False,
) -> int:
    """Take in an export of delivery reports.

    Each row is joined to the last call to its number before its time. An export may span several campaigns, and may be
    imported again: a final report is kept, a later one takes the place of an earlier. Nothing is sent, and no outcome
    changes; `mambo status` and `mambo results` show what the export says. For example:

        mambo deliveries import mtn-march.xlsx
        mambo deliveries import export.csv --phone DEST --status STATE --time DONE --map "Wibble=failed"

    Parameters
    ----------
    file
        The export: CSV, TSV, Parquet or XLSX.
    phone
        The column with the numbers, where it is not plain.
    status
        The column with the statuses, where it is not plain.
    time
        The column with the times (Kampala's, where they name no zone), where it is not plain.
    campaign
        Reports on this campaign only; needed where reports without a time may be about several.
    edition
        One edition of that campaign; none: the newest.
    meanings
        What a status means that is not known: WORD=delivered, WORD=failed or WORD=pending. May be given again.
    smpp_codes
        Numbers in the status column are SMPP's message states (2 is delivered); other systems count otherwise.
    time_format
        How times are written, as of strftime: %m/%d/%Y %H:%M.
    sheet
        The sheet, where several are filled.
    header_row
        The row with the column names, where something stands above it.
    unmatched
        Write the reports that belong to no call to this file (.csv, .parquet or .xlsx). It holds full numbers.
    json
        One line for a program.
    """
    if edition is not None and campaign is None:
        raise InputError("needs --campaign", key="--edition", value=edition)
    if unmatched is not None and unmatched.exists() and file.exists() and unmatched.samefile(file):
        raise InputError("is the export itself", file=unmatched, key="--unmatched", fix="Choose another name.")
    settings, now = load_settings(), datetime.now(UTC)
    with open_store(settings) as store:
        ledger = Ledger(store)
        row = ledger.get(campaign, edition) if campaign is not None else None
        export = read_export(
            file,
            now=now,
            phone=phone,
            status=status,
            time=time,
            time_format=time_format,
            meanings=meanings,
            smpp_codes=smpp_codes,
            sheet=sheet,
            header_row=header_row,
        )
        imported = import_deliveries(
            export,
            file,
            store,
            account=settings.account if row is None else row.account,
            campaign=row,
            unmatched=unmatched,
            who=who(),
            now=now,
        )
        summaries = [summarize(ledger, ledger.get(*each.label.split("/", 1))) for each in imported.campaigns]
    if json:
        screens.print_json(imported)
        return 0
    _show(imported, summaries)
    if unmatched is not None:
        screens.say(f"{screens.count(imported.unmatched_reports, 'unmatched row')} in {unmatched}")
    return 0


def _show(imported: Imported, summaries: Sequence[CampaignSummary]) -> None:
    """What was read and how, what it says of each campaign, and what belongs to none."""
    read = imported.columns
    columns = f"numbers from {read.phone}, statuses from {read.status}"
    if imported.first_at is not None and imported.last_at is not None:
        when = f"{screens.local_time(imported.first_at)} to {screens.local_time(imported.last_at)}"
        columns += f", times from {read.time} ({when} in Kampala)"
    screens.say(mask_text(f"{imported.source}: {screens.count(imported.reports, 'row')}; {columns}"))
    for note in imported.notes:
        screens.say(f"Note: {note}")
    for reports, summary in zip(imported.campaigns, summaries, strict=True):
        people = sum(reports.people.values())
        changes = (
            f"{reports.new:,} new, {reports.changed:,} changed" if reports.new + reports.changed else "nothing new"
        )
        screens.say(f"{reports.label}: {screens.people(people)} in it, {changes}.")
        screens.show_deliveries(summary)
    if imported.unmatched:
        screens.say(f"Not matched: {imported.unmatched_reports:,} of {screens.count(imported.reports, 'row')}")
    for each in imported.unmatched:
        rows = ", ".join(map(str, each.first_rows)) + (" …" if each.reports > len(each.first_rows) else "")
        screens.say(f"  {each.reason}  {each.reports:,}, {_meaning(each.reason)} (row {rows})")


def _meaning(code: str) -> str:
    return Unmatched(code).meaning if code in list(Unmatched) else reason_meaning(code)
