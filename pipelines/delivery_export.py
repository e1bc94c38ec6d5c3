"""Reading a provider's or network's export of delivery reports: which columns, numbers, statuses, times."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from mambo_io.datasets import open_dataset
from mambo_io.datasets.header import RESERVED
from mambo_io.errors import InputError
from mambo_io.ledger import to_us
from mambo_io.masking import mask_text
from mambo_io.model import Delivery
from pipelines.delivery_statuses import SMPP_CODES, WORDS, plain_word
from pipelines.delivery_times import read_times
from pipelines.numbers import PHONE_HEADER, PHONE_SAMPLE_ROWS, find_phone_column, normalize_numbers

_NAMED = 10  # words that a message lists

# Names of columns, in small letters and without spaces and signs.
_PHONE = re.compile(rf"{PHONE_HEADER.pattern}|(?:destination|dest|recipient|receiver|to)(?:address|addr|no|number)?")
_STATUS = re.compile(r"(?:message|msg|sms|delivery|dlr|final|current|last)*(?:status|state|stat|dlr)")
_WHEN = r"(?:date|time|timestamp|datetime|at|on)+"
_DONE = re.compile(
    rf"(?:done|delivery|delivered|dlr|final|finished|completed|report|reported|status|updated|last)+{_WHEN}"
)
_SENT = re.compile(rf"(?:submit|submitted|submission|sent|send|sending|message|msg|sms|created)*{_WHEN}")

_DAY_FORMAT = "%Y-%m-%d"  # how the cells of a workbook that are dates are written out


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that were read; `time` is None where the export has none."""

    phone: str
    status: str
    time: str | None


@dataclass(frozen=True)
class Export:
    """An export that was read.

    `reports`, one row for each of its rows: row (the spreadsheet's own number), msisdn, at_us, until_us (Int64),
    phone_raw, e164, status_raw, time_raw, reject_reason (why there is no number), status (`Delivery`; null where the
    cell is empty), all String. `notes` are what a person should be told.
    """

    reports: pl.DataFrame
    columns: Columns
    notes: tuple[str, ...]


def read_export(
    path: Path,
    *,
    now: datetime,
    phone: str | None = None,
    status: str | None = None,
    time: str | None = None,
    time_format: str | None = None,
    meanings: Sequence[str] = (),
    smpp_codes: bool = False,
    sheet: str | None = None,
    header_row: int = 1,
) -> Export:
    """Read an export (CSV, TSV, XLSX, Parquet). A column that is not named is found where it is plain.

    `meanings` says what words mean that are not in the table, or mean something else here: `Wibble=failed`.
    `smpp_codes`: bare numbers are SMPP's message states. `now` is what no report can be later than.

    Raises `InputError` for a file that cannot be read, a column that is not there or not plain, a status that is not
    known, and a time that cannot be read, or lies ahead.
    """
    words = WORDS | (SMPP_CODES if smpp_codes else {}) | _meanings(meanings)
    opened = open_dataset(path, sheet=sheet, header_row=header_row, date_format=_DAY_FORMAT)
    names = {"--phone": phone, "--status": status, "--time": time}
    given = {option: _column(path, option, name, opened.header) for option, name in names.items() if name is not None}
    dataset = opened.read()
    columns = Columns(
        phone=given.get("--phone") or _phone_column(dataset.source.drop("row", "reject_reason"), path),
        status=given.get("--status") or _only(path, "--status", "the status", opened.header, _STATUS),
        time=given.get("--time") or _time_column(path, opened.header),
    )
    cells = dataset.source.select(
        "row",
        "reject_reason",
        pl.col(columns.phone).alias("phone_raw"),
        pl.col(columns.status).alias("status_raw"),
        (pl.lit(None, pl.String) if columns.time is None else pl.col(columns.time)).alias("time_raw"),
    ).collect(engine="streaming")
    people = normalize_numbers(cells, column="phone_raw").drop("network_guess")
    has_number = people["e164"].is_not_null()
    statuses = _statuses(people["status_raw"], has_number, words, path, columns.status)
    times = read_times(people["time_raw"], time_format)
    _check_times(people, times, path, columns.time, now)
    msisdn = people["e164"].str.strip_prefix("+").cast(pl.Int64).alias("msisdn")
    reports = people.with_columns(msisdn, statuses, times["at_us"], times["until_us"])
    return Export(reports, columns, (*dataset.notes, *_unused(meanings, people["status_raw"], path)))


# --- columns ---------------------------------------------------------------------------------------------------------


def _column(path: Path, option: str, name: str, header: Sequence[str]) -> str:
    """The column that an option names; one that has a name of ours is read with a `_` behind it."""
    for known in (name, *([f"{name}_"] if name in RESERVED else [])):
        if known in header:
            return known
    near = get_close_matches(name, header, n=3)
    meant = f"Did you mean {' or '.join(map(mask_text, near))}? " if near else ""
    raise InputError("is no column of it", file=path, key=option, value=name, fix=f"{meant}{_choices(header)}")


def _phone_column(source: pl.LazyFrame, path: Path) -> str:
    sample = source.head(PHONE_SAMPLE_ROWS).collect()
    try:
        return find_phone_column(sample, path, header=_PHONE)
    except InputError:
        raise _not_plain(path, "--phone", "the numbers", sample.columns) from None


def _time_column(path: Path, header: Sequence[str]) -> str | None:
    """The one that says when the message was delivered, or else when it was sent; None where there is neither."""
    for pattern in (_DONE, _SENT):
        if any(pattern.fullmatch(_plain(name)) for name in header):
            return _only(path, "--time", "the time", header, pattern)
    return None


def _only(path: Path, option: str, what: str, header: Sequence[str], pattern: re.Pattern[str]) -> str:
    found = [name for name in header if pattern.fullmatch(_plain(name))]
    if len(found) != 1:
        raise _not_plain(path, option, what, header)
    return found[0]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _not_plain(path: Path, option: str, what: str, header: Sequence[str]) -> InputError:
    return InputError(
        f"it is not plain which column holds {what}", file=path, fix=f'Say which: {option} "…". {_choices(header)}'
    )


def _choices(header: Sequence[str]) -> str:
    return f"Its columns: {mask_text(', '.join(header))}."


# --- statuses --------------------------------------------------------------------------------------------------------


def _meanings(meanings: Sequence[str]) -> dict[str, Delivery]:
    """`Wibble=failed` as a row of the table."""
    known = {}
    for meaning in meanings:
        word, _, status = meaning.rpartition("=")
        if not plain_word(word) or status.strip().lower() not in list(Delivery):
            fix = f'Write --map "WORD={Delivery.DELIVERED}", {Delivery.FAILED} or {Delivery.PENDING}.'
            raise InputError("says not what a word means", key="--map", value=meaning, fix=fix)
        known[plain_word(word)] = Delivery(status.strip().lower())
    return known


def _statuses(
    raw: pl.Series, has_number: pl.Series, words: Mapping[str, Delivery], path: Path, column: str
) -> pl.Series:
    """What each cell means; null for an empty one, and for that of a row without a number."""
    counts = raw.filter(has_number).drop_nulls().value_counts(sort=True, name="rows")
    told = [(text, plain_word(text), rows) for text, rows in counts.iter_rows()]
    if unknown := [(text, word, rows) for text, word, rows in told if word and word not in words]:
        raise _unknown_words(path, column, unknown)
    meanings = {text: words[word].value for text, word, _ in told if word}
    known = pl.DataFrame(list(meanings.items()), schema={"raw": pl.String, "status": pl.String}, orient="row")
    return (
        pl.DataFrame([raw.alias("raw"), has_number.alias("has_number")])
        .join(known, on="raw", how="left", maintain_order="left")
        .select(pl.when("has_number").then("status").alias("status"))
        .to_series()
    )


def _unknown_words(path: Path, column: str, unknown: Sequence[tuple[str, str, int]]) -> InputError:
    listed = [f"{_short(text)} ({rows:,} {'row' if rows == 1 else 'rows'})" for text, _, rows in unknown[:_NAMED]]
    more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
    are = "1 status is" if len(unknown) == 1 else f"{len(unknown):,} statuses are"
    example = shlex.quote(f"{mask_text(unknown[0][0])[:40]}={Delivery.FAILED}")
    fix = f"Say what each means, {', '.join(Delivery)}: --map {example}."
    if any(word in SMPP_CODES for _, word, _ in unknown):
        fix += " If the numbers are SMPP's message states (2 is delivered): --smpp-codes."
    return InputError(f"{are} not known: {', '.join(listed)}{more}", file=path, column=mask_text(column), fix=fix)


def _unused(meanings: Sequence[str], raw: pl.Series, path: Path) -> list[str]:
    there = {plain_word(text) for text in raw.drop_nulls().unique()} if meanings else set()
    words = [meaning.rpartition("=")[0] for meaning in meanings]
    return [
        f"{_short(word)} of --map stands nowhere in {path.name}." for word in words if plain_word(word) not in there
    ]


def _short(text: str) -> str:
    masked = " ".join(mask_text(text).split())
    return repr(masked if len(masked) <= 40 else masked[:39] + "…")


# --- times -----------------------------------------------------------------------------------------------------------


def _check_times(people: pl.DataFrame, times: pl.DataFrame, path: Path, column: str | None, now: datetime) -> None:
    """Raise `InputError` for the first time that is none, or that nobody can have reported yet."""
    is_ahead = times["at_us"] > to_us(now + timedelta(days=1))
    wrong = people["e164"].is_not_null() & (~times["is_read"] | is_ahead.fill_null(False))
    for row, raw in people.filter(wrong).select("row", "time_raw").head(1).iter_rows():
        ahead = is_ahead.filter(wrong)[0]
        raise InputError(
            "lies ahead of us; the day is read before the month" if ahead else "is no time that can be read",
            file=path,
            row=row,
            column=mask_text(column or ""),
            value=raw if mask_text(raw) == raw else None,  # some dates would be masked, and the row tells as much
            fix='Times are 2026-03-02 14:05:00, 02/03/2026 14:05 or the like; else: --time-format "%m/%d/%Y %H:%M".',
        )
