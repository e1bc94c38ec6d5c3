"""Files of people who want no messages: those that a campaign names, and those that the ledger's list takes in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from mambo_io import opt_outs
from mambo_io.datasets import Dataset, open_dataset, read_dataset, write_dataset
from mambo_io.datasets.header import RESERVED
from mambo_io.errors import InputError
from mambo_io.ledger import to_us
from mambo_io.masking import mask_text
from pipelines.campaign import Campaign
from pipelines.delivery_times import read_times
from pipelines.frames import REASONS
from pipelines.number_rules import judge_each_number
from pipelines.numbers import PHONE_SAMPLE_ROWS, find_phone_column, read_msisdns
from pipelines.reasons import Reason

_NAMED = 10  # rows or columns that a message lists

SUPPRESSED = {"msisdn": pl.Int64, "source": pl.String}


@dataclass(frozen=True, slots=True)
class OwnOptOuts:
    """The campaign's own opt-out files: `numbers` (`SUPPRESSED`), and what a person should know of the reading."""

    numbers: pl.DataFrame
    notes: tuple[str, ...]
    warnings: tuple[str, ...]  # somebody who is meant by these rows may be messaged


@dataclass(frozen=True, slots=True)
class UnreadRows:
    """Rows that could not be read in full, for one reason (`Reason`): only complete numbers in them hold back."""

    reason: str
    rows: int
    first_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImportedOptOuts:
    """What became of a file, without any number in it; the counts from `added` to `repeated` add up to `numbers`."""

    file: str
    source: str
    phone_column: str
    since_column: str | None
    rows: int
    numbers: int  # a row may hold several
    added: int
    earlier: int  # on the list already, since a later day: the day and the source of this file stand there now
    known: int  # on the list already, since that day or an earlier one
    repeated: int  # a number that stands in the file once more, with an earlier or the same day
    unread: int  # rows
    unread_rows: tuple[UnreadRows, ...]
    notes: tuple[str, ...]


def import_opt_outs(
    file: Path,
    connection: Connection,
    *,
    who: str,
    now: datetime,
    phone: str | None = None,
    since: str | None = None,
    source: str | None = None,
    sheet: str | None = None,
    header_row: int = 1,
    rejected: Path | None = None,
) -> ImportedOptOuts:
    """Put the numbers of a file on the ledger's list.

    `phone` is the column with the numbers (None: the only one, or the one that is plain), `since` that with the days
    (None, and empty cells: `now`), `source` where they are known from (None: the file's name). Every complete number of
    a cell counts, also in a hidden or ragged row. `rejected` is a file for the rows that could not be read in full:
    row, phone_raw, reject_reason. Importing the same again changes nothing.

    Raises `InputError` (nothing was changed) for a file that cannot be read, a column that is not there or not plain,
    when no row is a mobile number of Uganda, and for a day that cannot be read or lies ahead.
    """
    opened = open_dataset(file, sheet=sheet, header_row=header_row, date_format="%Y-%m-%d")
    for option, name in (("--phone", phone), ("--since", since)):
        if name is not None and _read_as(name) not in opened.header:
            raise InputError("is no column of it", file=file, key=option, value=name, fix=_choices(opened.header))
    dataset = opened.read()
    lines = dataset.source
    names = [name for name in opened.header if name not in ("row", "reject_reason")]
    if phone is None:
        its_phone = _opt_out_column(
            lines.select(names).head(PHONE_SAMPLE_ROWS).collect(), file, 'Say which: --phone "…".'
        )
    else:
        its_phone = _read_as(phone)
    its_since = pl.lit(None, pl.String) if since is None else pl.col(_read_as(since))
    cells = lines.select("row", pl.col(its_phone).alias("phone_raw"), its_since.alias("since_raw")).collect()
    good, unread = _read_cells(cells)
    if good.is_empty():
        raise InputError(
            f"none of its {cells.height:,} rows is a mobile number of Uganda{_reasons(unread)}",
            file=file,
            fix=f'Say which column holds the numbers: --phone "…". {_choices(names)}',
        )
    entries = good.select("msisdn", _since_us(good, file, since, now)).group_by("msisdn").agg(pl.col("since_us").min())
    if rejected is not None:
        write_dataset(unread.with_columns(pl.col("reject_reason").cast(pl.String)), rejected)
    source = file.name if source is None else source
    recorded = opt_outs.record(connection, entries, subject=mask_text(file.name), source=source, who=who, now=now)
    return ImportedOptOuts(
        file=file.name,
        source=source,
        phone_column=its_phone,
        since_column=since,
        rows=cells.height,
        numbers=good.height,
        added=recorded.added,
        earlier=recorded.earlier,
        known=recorded.known,
        repeated=good.height - entries.height,
        unread=unread.height,
        unread_rows=_unread_rows(unread),
        notes=tuple(_notes(dataset, good)),
    )


def read_suppressions(campaign: Campaign) -> OwnOptOuts:
    """Every complete number in the campaign's own opt-out files, also of hidden and ragged rows.

    Raises `InputError` for a file that cannot be read, and for one in which nothing is a number.
    """
    found, notes, warnings = [pl.DataFrame(schema=SUPPRESSED)], [], []
    for path in campaign.suppression_paths:
        dataset = read_dataset(path)
        as_in_file = dataset.frame.drop("row", "reject_reason")
        phone = _opt_out_column(as_in_file, path, "Name one column phone, and no other so.")
        good, unread = _read_cells(dataset.frame.select("row", pl.col(phone).alias("phone_raw")))
        if good.is_empty():
            raise InputError(
                f"none of its {dataset.frame.height:,} opt-outs is a mobile number of Uganda",
                file=path,
                fix="Correct the list, or take it out of [suppression] paths.",
            )
        notes += [f"{path.name}: {note}" for note in _notes(dataset, good)]
        if unread.height:
            rows = unread.select(pl.format("{} ({})", "row", "reject_reason")).to_series().to_list()
            warnings.append(
                f"{path.name}: {unread.height:,} of {dataset.frame.height:,} opt-outs could not be read in full, and "
                f"only a complete number in them holds anybody back: row {_listed(rows)}."
            )
        found.append(good.select("msisdn", pl.lit(path.name).alias("source")))
    numbers = pl.concat(found).unique("msisdn", keep="first", maintain_order=True)
    return OwnOptOuts(numbers, tuple(notes), tuple(warnings))


def _read_cells(cells: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the column `phone_raw` says, whatever else is wrong with its row.

    Out: each number (the columns of `cells`, and `msisdn`), of a cell with several all of them; and the rows that could
    not be read in full (row, phone_raw, reject_reason).
    """
    judged = read_msisdns(cells.lazy(), column="phone_raw").drop("network_guess").collect()
    doubtful = judged.filter(pl.col("reject_reason") != Reason.MISSING).drop("msisdn", "reject_reason")
    distinct = doubtful["phone_raw"].unique()
    verdicts = [judge_each_number(cell) for cell in distinct]
    each = pl.DataFrame(
        {
            "phone_raw": distinct,
            "msisdn": [[int(found.e164[1:]) for found in cell if found.e164] for cell in verdicts],
            "reject_reason": [next((found.reason for found in cell if found.reason), None) for cell in verdicts],
        },
        schema={"phone_raw": pl.String, "msisdn": pl.List(pl.Int64), "reject_reason": REASONS},
    )
    doubtful = doubtful.join(each, on="phone_raw", how="left", maintain_order="left")
    numbers = [judged, doubtful.explode("msisdn")]
    rows = [judged.filter(pl.col("reject_reason") == Reason.MISSING), doubtful]
    return (
        pl.concat(
            frame.drop_nulls("msisdn").drop("reject_reason").select(*cells.columns, "msisdn") for frame in numbers
        ).sort("row", maintain_order=True),
        pl.concat(frame.drop_nulls("reject_reason").select("row", "phone_raw", "reject_reason") for frame in rows).sort(
            "row"
        ),
    )


def _notes(dataset: Dataset, good: pl.DataFrame) -> list[str]:
    """Which rows a person may not expect to count."""
    several = good.filter(pl.col("row").is_duplicated())["row"].unique().sort()
    told = [
        (several, "with several numbers in one cell: each of them counts"),
        (dataset.hidden_rows, "hidden in the workbook: read like the others"),
        (dataset.ragged_rows, "with cells that do not fit the header: the phone cell is read"),
    ]
    return [f"{_counted(len(rows))} {what} (row {_listed([*map(str, rows)])})." for rows, what in told if len(rows)]


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _opt_out_column(frame: pl.DataFrame, path: Path, fix: str) -> str:
    """The column with the numbers: the only one, or the one that is plainly the phone column."""
    if frame.width == 1:
        return frame.columns[0]
    try:
        return find_phone_column(frame, path)
    except InputError:
        raise InputError(
            "it is not plain which column of this opt-out list holds the numbers",
            file=path,
            fix=f"{fix} {_choices(frame.columns)}",
        ) from None


def _since_us(good: pl.DataFrame, file: Path, column: str | None, now: datetime) -> pl.Series:
    times = read_times(good["since_raw"])
    for is_wrong, problem in (
        (~times["is_read"], "is no day that can be read"),
        ((times["at_us"] > to_us(now)).fill_null(False), "lies in the future"),
    ):
        if is_wrong.any():
            first = good.filter(is_wrong).row(0, named=True)
            raise InputError(
                problem,
                file=file,
                row=first["row"],
                column=column,
                value=first["since_raw"],
                fix="Write days as 2026-11-03 or 03/11/2026, or leave the cell empty. Nothing was changed.",
            )
    whole_second = now.replace(microsecond=0)  # as exports hold it
    return times["at_us"].fill_null(to_us(whole_second)).alias("since_us")


def _unread_rows(unread: pl.DataFrame) -> tuple[UnreadRows, ...]:
    """By reason, the most frequent first."""
    counted = (
        unread.group_by(pl.col("reject_reason").cast(pl.String), maintain_order=True)
        .agg(pl.len().alias("rows"), pl.col("row").head(_NAMED))
        .sort("rows", "reject_reason", descending=[True, False])
    )
    return tuple(UnreadRows(reason, rows, tuple(first)) for reason, rows, first in counted.iter_rows())


def _reasons(unread: pl.DataFrame) -> str:
    told = [f"{each.reason} {each.rows:,}" for each in _unread_rows(unread)]
    return f" ({', '.join(told)})" if told else ""


def _read_as(column: str) -> str:
    """A column that has a name of ours is read with a `_` behind it."""
    return f"{column}_" if column in RESERVED else column


def _choices(names: list[str]) -> str:
    return f"Its columns: {mask_text(_listed(names))}."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
