"""The list of people who want no messages: `mambo opt-outs add`, `import`, `list`, `remove`."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated

import polars as pl
from cyclopts import App, Parameter

from mambo_io import opt_outs as the_list
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger, OptOut, to_us
from mambo_io.masking import mask_number, mask_text
from mambo_io.settings import load_settings
from mambo_io.window import KAMPALA
from pipelines.cli import screens
from pipelines.cli.days import past_day
from pipelines.number_rules import judge_number
from pipelines.opening import open_store
from pipelines.opt_outs import ImportedOptOuts, import_opt_outs
from pipelines.reasons import reason_meaning
from pipelines.runs import who as user

opt_outs = App(
    name="opt-outs",
    help="Who wants no messages: the list that every campaign asks.\n\nIt is asked when one is planned and again "
    "before each call, belongs to the ledger, and holds for all of its accounts.",
)

Number = Annotated[str, Parameter(allow_leading_hyphen=True)]
_MOST_SHOWN = 20


@opt_outs.command
def add(number: Number, /, *, source: str, by: str, since: str | None = None, json: bool = False) -> int:
    """Put a number on the list.

    It counts before the next call, also of a campaign that is being sent. A number that is on the list already keeps
    its day, unless this one is earlier. For example:

        mambo opt-outs add NUMBER --source "phone call" --by Grace
        mambo opt-outs add NUMBER --source "letter" --since 2026-11-03 --by Grace

    Parameters
    ----------
    number
        The person's number, as people write it.
    source
        How it is known: a phone call, a visit, a letter.
    by
        Your name; recorded.
    since
        The day on which the person said so, as 2026-11-03; none: now.
    json
        One line for a program.
    """
    msisdn, masked = _number(number)
    source, by = _given("--source", source), _given("--by", by)
    now = datetime.now(UTC)
    at = now.replace(microsecond=0)  # as exports hold it
    if since is not None:
        day = past_day("--since", since, what="on which anybody can have opted out")
        at = datetime.combine(day, time(), KAMPALA)
    entry = pl.DataFrame({"msisdn": [msisdn], "since_us": [to_us(at)]})
    with open_store(load_settings(), create=True) as store:
        with store.writer() as connection:
            recorded = the_list.record(connection, entry, subject=masked, source=source, who=by, now=now)
        # Somebody may remove it this very moment.
        stands = (Ledger(store).opt_out(msisdn) if recorded.known else None) or OptOut(at, source)
    if json:
        entered = {"number": masked, "since": stands.since.astimezone(KAMPALA), "source": mask_text(stands.source)}
        screens.print_json(entered | {"changed": not recorded.known})
        return 0
    since_when = _since(stands)
    if recorded.known:
        screens.say(f"{masked} was on the list already, {since_when}; nothing was changed.")
    else:
        screens.say(f"{masked} is on the list of opt-outs, {since_when}.")
    return 0


@opt_outs.command(name="import")
def import_file(
    file: Path,
    /,
    *,
    phone: str | None = None,
    since: str | None = None,
    source: str | None = None,
    sheet: str | None = None,
    header_row: int = 1,
    rejected: Path | None = None,
    json: bool = False,
) -> int:
    """Put the numbers of a file on the list.

    Of each number the earliest day is kept, and where that is known from; importing the same file again changes
    nothing. Each complete number of a cell counts. Rows that could not be read in full are told, and the exit code is 3
    then. A file that is imported again puts back who was removed since. For example:

        mambo opt-outs import stop-list.xlsx
        mambo opt-outs import complaints.csv --phone MSISDN --since date --source "complaints of November"

    Parameters
    ----------
    file
        CSV, TSV, Parquet or XLSX.
    phone
        The column with the numbers, where it is not plain.
    since
        The column with the days on which people said so; none: now.
    source
        How it is known; none: the file's name.
    sheet
        The sheet, where several are filled.
    header_row
        The row with the column names, where something stands above it.
    rejected
        Write the rows that could not be read in full to this file (.csv, .parquet or .xlsx). It holds full numbers.
    json
        One line for a program.
    """
    if source is not None:
        source = _given("--source", source)
    if rejected is not None and rejected.exists() and file.exists() and rejected.samefile(file):
        raise InputError("is the list itself", file=rejected, key="--rejected", fix="Choose another name.")
    with open_store(load_settings(), create=True) as store, store.writer() as connection:
        imported = import_opt_outs(
            file,
            connection,
            who=user(),
            now=datetime.now(UTC),
            phone=phone,
            since=since,
            source=source,
            sheet=sheet,
            header_row=header_row,
            rejected=rejected,
        )
    if json:
        screens.print_json(imported)
    else:
        _show_import(imported)
        if rejected is not None:
            screens.say(f"{screens.count(imported.unread, 'rejected row')} in {rejected}")
    return 3 if imported.unread else 0


@opt_outs.command(name="list")
def show(*, output: Path | None = None, json: bool = False) -> int:
    """Show the list: how many numbers, where they are known from, and the newest of them, masked.

    Whether one number is on it, `mambo check` tells. For example:

        mambo opt-outs list
        mambo opt-outs list --output opt-outs.csv

    Parameters
    ----------
    output
        Write all of it to this file instead (.csv, .parquet or .xlsx). It holds full numbers.
    json
        One JSON object a line, one for each number, masked.
    """
    with open_store(load_settings()) as store, store.reader() as connection, connection.begin():
        if output is not None:
            from mambo_io.datasets import write_dataset

            counted = int(the_list.sources(connection)["numbers"].sum())
            write_dataset((piece.rename({"e164": "phone"}) for piece in the_list.entries(connection)), output)
            screens.say(f"{screens.count(counted, 'number')} in {output}")
            return 0
        if json:
            for piece in the_list.entries(connection):
                for e164, since, source in piece.iter_rows():
                    screens.print_json({"number": mask_number(e164), "since": since, "source": mask_text(source)})
            return 0
        sources = the_list.sources(connection)
        newest = pl.concat([*the_list.entries(connection, most=_MOST_SHOWN)])
    numbers = int(sources["numbers"].sum())
    screens.say(f"{screens.count(numbers, 'number')} on the list of opt-outs of {store.name}")
    for source, count, first, last in sources.head(_MOST_SHOWN).iter_rows():
        days = f"{first:%Y-%m-%d}" if first.date() == last.date() else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        screens.say(f"  {mask_text(source)}: {count:,}, {days}")
    if sources.height > _MOST_SHOWN:
        screens.say(f"  … and {sources.height - _MOST_SHOWN:,} more sources")
    for e164, since, source in newest.iter_rows():
        screens.say(f"{_moment(since):<16}  {mask_number(e164)}  {mask_text(source)}")
    if numbers > newest.height:
        screens.say(
            f"… and {numbers - newest.height:,} older ones; all of them:", command="mambo opt-outs list --output FILE"
        )
    return 0


@opt_outs.command
def remove(number: Number, /, *, by: str, note: str) -> int:
    """Take a number off the list, because the person wants messages again.

    Who did so and why is recorded, with the number masked: `mambo events` shows it. A campaign's own file that names
    the number still holds it back. For example:

        mambo opt-outs remove NUMBER --by Grace --note "asked at the desk to be reminded again"

    Parameters
    ----------
    number
        The person's number, as people write it.
    by
        Your name; recorded.
    note
        Why; recorded.
    """
    msisdn, masked = _number(number)
    by, note = _given("--by", by), _given("--note", note)
    with open_store(load_settings()) as store, store.writer() as connection:
        found = the_list.remove(connection, msisdn, note=note, who=by, now=datetime.now(UTC))
    screens.say(f"{masked} is off the list of opt-outs; it was on it {_since(found)}.")
    return 0


def _show_import(imported: ImportedOptOuts) -> None:
    columns = f"numbers from {imported.phone_column}"
    if imported.since_column is not None:
        columns += f", days from {imported.since_column}"
    screens.say(mask_text(f"{imported.file}: {screens.count(imported.rows, 'row')}; {columns}"))
    counts = [f"{imported.added:,} added"]
    for number, words in (
        (imported.earlier, "now with an earlier day"),
        (imported.known, "on the list already"),
        (imported.repeated, "more than once in the file"),
    ):
        if number:
            counts.append(f"{number:,} {words}")
    screens.say(f"{', '.join(counts)}.")
    for note in imported.notes:
        screens.say(f"Note: {note}")
    if imported.unread:
        rows = screens.count(imported.unread, "row")
        screens.say(f"{rows} could not be read in full. Only a complete number in them holds anybody back:")
    for each in imported.unread_rows:
        places = ", ".join(map(str, each.first_rows)) + (" …" if each.rows > len(each.first_rows) else "")
        screens.say(f"  {each.reason}  {each.rows:,}, {reason_meaning(each.reason)} (row {places})")


def _number(text: str) -> tuple[int, str]:
    """The digits of a number, and what a person may read of it."""
    verdict = judge_number(text)
    if verdict.e164 is None:
        assert verdict.reason is not None
        raise InputError(
            f"is no mobile number of Uganda: {verdict.reason.meaning}",
            key="NUMBER",
            value=text,
            fix="Nothing was changed; `mambo check` explains numbers.",
        )
    return int(verdict.e164[1:]), mask_number(verdict.e164)


def _since(opt_out: OptOut) -> str:
    return f"since {_moment(opt_out.since)} ({mask_text(opt_out.source)})"


def _moment(at: datetime) -> str:
    """The day, and the time where it is known."""
    return screens.local_time(at).removesuffix(" 00:00")


def _given(option: str, text: str) -> str:
    if not text.strip():
        raise InputError("needs something in it", key=option)
    return text.strip()
