"""What no list of people is: a small file that unfolds without end, a line of gigabytes, a million columns.

Such a file is damaged, or made to exhaust the machine that opens it. Each bound lies far above any list that people
send, and is looked at before a reader takes memory for what the file says of itself.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn

from mambo_io.errors import InputError

# Of a sheet: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MOST_COLUMNS = 16_384
LAST_ROW = 1_048_576
LONGEST_LINE = 1 << 20  # characters

# Lists of people shrink to a tenth or a thirtieth of their XML; deflate reaches a thousandth, but for one thing said
# over and over. Parquet says a text that all rows share once, so there much more is honest.
_XLSX_FACTOR = 100
_PARQUET_FACTOR = 1_000
_ALWAYS_FINE_BYTES = 100_000_000

_CHUNK = 1 << 20
_LONGEST_PLACE = 64

# `r="AB7"`. Sheets of 26 columns and less than a million rows fit into memory, so they are looked through for others
# only, at four times the speed.
_CELL = re.compile(rb"""r=["']([A-Z]{1,9})([0-9]{1,12})["']""")
_FAR_CELL = re.compile(rb"""r=["'](?:[A-Z]{2,9}[0-9]|[A-Z][0-9]{7})""")
_MOST_CELLS = 50_000_000


def checked_text(path: Path, pieces: Callable[[], Iterator[str]]) -> Iterator[str]:
    """The text of a file as `pieces()` gives it, at most `LONGEST_LINE` characters at a time.

    Raises an `InputError` for a NUL, which is in no text, and for a line that is too long.
    """
    begun = 0  # characters of the line that has not ended yet
    for index, text in enumerate(pieces()):
        if (nul := text.find("\0")) >= 0:
            _refuse_line(
                path, [*islice(pieces(), index), text[:nul]], "holds a NUL byte, so this is not text", "as CSV UTF-8"
            )
        first = min((place for place in map(text.find, "\r\n") if place >= 0), default=len(text))
        if begun + first > LONGEST_LINE:
            problem = f"has more than {LONGEST_LINE:,} characters"
            how = "as CSV with a line for each person and the columns that are needed"
            _refuse_line(path, islice(pieces(), index), problem, how)
        last = max(map(text.rfind, "\r\n"))
        begun = len(text) - 1 - last if last >= 0 else begun + len(text)
        yield text


def _refuse_line(path: Path, before: Iterable[str], problem: str, how: str) -> NoReturn:
    """`before` is the text up to somewhere in the line; lines are counted only here, which takes a while."""
    line_feeds = carriage_returns = 0
    for text in before:
        line_feeds += text.count("\n")
        carriage_returns += text.count("\r")
    number = (line_feeds or carriage_returns) + 1
    raise InputError(f"line {number:,} {problem}", file=path, fix=f"Export the list again, {how}.")


def check_columns(count: int, path: Path) -> None:
    """Raise an `InputError` for more columns than a sheet can have."""
    if count > MOST_COLUMNS:
        raise InputError(
            f"has {count:,} columns, and {MOST_COLUMNS:,} are the most that are read",
            file=path,
            fix="Save the columns that are needed in a file of their own.",
        )


def check_parquet(path: Path, unfolded_bytes: int) -> None:
    """Raise an `InputError` for a Parquet file that takes memory out of all proportion."""
    _check_expansion(path, unfolded_bytes, _PARQUET_FACTOR)


def check_workbook(path: Path) -> None:
    """Raise an `InputError` for a workbook that unfolds out of all proportion, or has a cell far away from all others.

    What the archive says of its members' sizes is checked by reading them: zipfile raises `BadZipFile` for a lie.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_expansion(path, sum(member.file_size for member in members), _XLSX_FACTOR)
        for member in members:
            _check_extent(archive, member, path)


def _check_expansion(path: Path, unfolded_bytes: int, factor: int) -> None:
    if unfolded_bytes > max(_ALWAYS_FINE_BYTES, factor * path.stat().st_size):
        raise InputError(
            f"unfolds from {_size(path.stat().st_size)} to {_size(unfolded_bytes)}, as no list of people does",
            file=path,
            fix="Do not open it; ask whoever sent it for the list as CSV.",
        )


def _check_extent(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """The reader takes memory for every cell down to the last row and across to the last column, filled or not."""
    if not any(_FAR_CELL.search(xml) for xml in _chunks(archive, member)):
        return
    last_row, last_column = 0, 0
    for xml in _chunks(archive, member):
        for letters, row in set(_CELL.findall(xml)):
            last_row, last_column = max(last_row, int(row)), max(last_column, column_number(letters.decode()))
    if last_row * last_column > max(_MOST_CELLS, member.file_size):  # a cell takes a dozen bytes of XML and more
        raise InputError(
            f"a sheet reaches to row {last_row:,} and column {last_column:,}, and nearly all of it is empty",
            file=path,
            fix="Delete the rows below the list and the columns beside it, and save it again.",
        )


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """All of a member; each chunk begins with the end of the one before, so that nothing short is cut in two."""
    tail = b""
    with archive.open(member) as xml:
        while chunk := xml.read(_CHUNK):
            yield tail + chunk
            tail = chunk[-_LONGEST_PLACE:]


def column_number(letters: str) -> int:
    """`AB` is column 28."""
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"
