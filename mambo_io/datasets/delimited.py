"""CSV and TSV as spreadsheet programs write them: encoding, separator, `sep=` line, quotes, line ends.

Two readers give the same rows. The careful one goes record by record with the standard library's `csv` and copes
with everything. Where each line is a record by itself, polars cuts the lines, many times as fast.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import polars as pl

from mambo_io.datasets import files, limits
from mambo_io.datasets.header import read_names
from mambo_io.datasets.table import WHITE, Flaw, Row, Table, columns, null_if_empty, rows_to_frame
from mambo_io.errors import InputError

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 1 << 22
_MOST_COLUMNS_TO_CUT = 500  # polars plans a cut of many columns in quadratic time

# Excel obeys such a first line and does not show it, so that the header below it is row 1.
_SEP_LINE = re.compile(r'"?sep=([^\w"\r\n])"?', re.IGNORECASE)

_GUESSED = (
    "The file is not UTF-8 and was read as Windows-1252, which is a guess: look at names with accents, "
    "or save the file as 'CSV UTF-8'."
)
_DAMAGED = "Some characters of the file are lost and read as '\ufffd'."


@dataclass(frozen=True)
class Encoding:
    """How a file's bytes become text."""

    codec: str
    errors: str
    utf8_lines: bool  # sound UTF-8, and no line ends in a bare CR: polars sees the lines that Python sees
    quoted: bool  # a quote stands somewhere
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where the rows of a file are: below record `header_row`, not counting a `sep=` line."""

    path: Path
    encoding: Encoding
    separator: str
    sep_lines: int  # 1 with a `sep=` line, else 0
    header_row: int
    width: int = 0  # number of columns


def open_table(path: Path, header_row: int) -> Table:
    """The table of a text file; raises `InputError` for what is no text or has no header."""
    kind = files.kind_of(path)
    if kind != files.TEXT:
        raise InputError(f"this is {kind}, not CSV text", file=path, fix="Save it as CSV, or correct its ending.")
    encoding = detect_encoding(path)
    with path.open(encoding=encoding.codec, errors=encoding.errors, newline="") as file:
        sample = _sample(file, header_row)
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    sep_line = _SEP_LINE.fullmatch("".join(sample[:1]).rstrip("\r\n"))
    separator = sep_line[1] if sep_line else _guess_separator(sample, header_row, default=usual)
    layout = Layout(path, encoding, separator, 1 if sep_line else 0, header_row)

    names = next(islice(records(iter(sample[layout.sep_lines :]), separator), header_row - 1, None), None)
    if names is None or names.flaw:
        problem = "no such row" if names is None else "the quotes in the row of column names do not pair"
        raise InputError(problem, file=path, row=header_row)
    header = read_names([cell or "" for cell in names.cells], file=path, row=header_row)

    notes = list(encoding.notes)
    if separator != usual and not sep_line and len(header.names) > 1:
        notes.append(f"Its columns are separated by {_SEPARATORS[separator]}.")
    layout = replace(layout, width=len(header.names))
    return Table(header, tuple(notes), lambda: _rows(layout), lambda: scan_plain(layout))


def _sample(file: Iterable[str], header_row: int) -> list[str]:
    """The lines down to the header, and some below it: fewer when they are long."""
    sample: list[str] = []
    characters = 0
    for line in islice(file, header_row + _SAMPLE_LINES):
        sample.append(line)
        characters += len(line) if len(sample) > header_row else 0
        if characters > _SAMPLE_CHARACTERS:
            break
    return sample


def _rows(layout: Layout) -> pl.DataFrame:
    frame = split_lines(layout) if layout.encoding.utf8_lines and layout.width <= _MOST_COLUMNS_TO_CUT else None
    return read_records(layout) if frame is None else frame


def scan_plain(layout: Layout) -> pl.LazyFrame | None:
    """The rows of a file without quotes in which every line has as many cells as the header, and none is blank.

    None for any other. polars' own reader of CSV drops blank lines and says nothing of short ones, so each line is
    looked at first.
    """
    if not layout.encoding.utf8_lines or layout.encoding.quoted or not 1 < layout.width <= _MOST_COLUMNS_TO_CUT:
        return None
    above = layout.sep_lines + layout.header_row
    line = pl.col("line")
    lines = pl.scan_lines(layout.path, glob=False).slice(above)
    seen = (
        lines.select(
            separators=line.str.count_matches(layout.separator, literal=True),
            blank=line.str.strip_chars_start(WHITE + layout.separator) == "",
        )
        .select(pl.col("separators").min(), most=pl.col("separators").max(), blank=pl.col("blank").any())
        .collect(engine="streaming")
    )
    if seen.row(0) != (layout.width - 1, layout.width - 1, False):
        return None
    names = columns(layout.width)
    cells = pl.scan_csv(
        layout.path,
        glob=False,
        has_header=False,
        new_columns=names,
        separator=layout.separator,
        quote_char=None,
        skip_lines=above,
        infer_schema=False,
        row_index_name="row",
        row_index_offset=layout.header_row + 1,
    )
    return cells.select(pl.col("row").cast(pl.Int64), *names)


def split_lines(layout: Layout) -> pl.DataFrame | None:
    """The rows of a file in which every line is a record; None when it is not, and `read_records` has to read it.

    Cutting a line at each separator is right when no piece of it holds a quote, but for those that are a quoted cell
    from end to end. Other lines go through `records`, and each of them must be one sound record.
    """
    with layout.path.open(encoding=layout.encoding.codec, newline="") as file:
        above = list(islice(file, layout.sep_lines, layout.sep_lines + layout.header_row))
    if _each_a_record(above, layout.separator) is None:
        return None
    frame = _cut_lines(layout).collect(engine="streaming")
    others = frame.filter(pl.col("other").is_not_null())
    if others.is_empty():
        return frame.drop("other")
    if others.height > frame.height // 5:
        return None  # reading all of it with care is as fast
    found = _each_a_record([f"{line}\n" for line in others["other"]], layout.separator)
    if found is None:
        return None
    rows = (
        _judged(row._replace(number=number), layout.width) for number, row in zip(others["row"], found, strict=True)
    )
    sound = frame.filter(pl.col("other").is_null()).drop("other")
    return pl.concat([sound, rows_to_frame(rows, layout.width)]).sort("row")


def _cut_lines(layout: Layout) -> pl.LazyFrame:
    """The frame of `Table.rows` with the column `other`: null, or a line that cutting cannot be trusted with."""
    names = columns(layout.width)
    cut = pl.col("cut").struct
    pieces = [cut[index] for index in range(layout.width)]
    behind = cut[layout.width]
    flaw = (
        pl.when(pieces[-1].is_null())
        .then(pl.lit(Flaw.SHORT.value))
        .when(behind.str.strip_chars(WHITE + layout.separator) != "")
        .then(pl.lit(Flaw.LONG.value))
    )
    other = pl.lit(None, pl.String)
    if layout.encoding.quoted:
        doubtful = [piece.str.contains('"', literal=True) & ~piece.str.contains(r'^"[^"]*"$') for piece in pieces]
        doubtful.append(behind.str.contains('"', literal=True))
        other = pl.when(pl.any_horizontal(each.fill_null(False) for each in doubtful)).then("line")
        pieces = [piece.str.strip_chars('"') for piece in pieces]
    return (
        # `scan_lines` is marked unstable in polars 2; it is used here only.
        pl.scan_lines(layout.path, glob=False, row_index_name="row", row_index_offset=1 - layout.sep_lines)
        .with_columns(pl.col("row").cast(pl.Int64), cut=pl.col("line").str.splitn(layout.separator, layout.width + 1))
        .filter(pl.col("row") > layout.header_row)
        .select(
            "row",
            *[null_if_empty(piece).alias(name) for name, piece in zip(names, pieces, strict=True)],
            flaw=flaw,
            other=other,
        )
    )


def _each_a_record(lines: list[str], separator: str) -> list[Row] | None:
    """A sound record for each line, or None."""
    found = list(records(iter(lines), separator))
    return found if len(found) == len(lines) and not any(row.flaw for row in found) else None


def read_records(layout: Layout) -> pl.DataFrame:
    """The rows of any text file. A row whose quotes do not pair costs no other row."""
    encoding = layout.encoding
    with layout.path.open(encoding=encoding.codec, errors=encoding.errors, newline="") as file:
        found = records(islice(file, layout.sep_lines, None), layout.separator)
        below = islice(found, layout.header_row, None)
        return rows_to_frame((_judged(row, layout.width) for row in below), layout.width)


def records(lines: Iterator[str], separator: str) -> Iterator[Row]:
    """Each record of `lines`, numbered from 1.

    A quoted cell may hold line ends. Where quotes do not pair, strict reading fails, at the end of the file or at
    the next quote; then only the first line of the record is taken, as it stands, and reading goes on behind it.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        source.taken.clear()
        try:
            yield Row(number, next(reader))
        except StopIteration:
            return
        except csv.Error:  # also a cell of more than 131,072 characters, which is fine when no quote is in it
            line = source.keep_first()
            yield Row(number, line.rstrip("\r\n").split(separator), Flaw.UNPAIRED if '"' in line else None)


class _Lines(Iterator[str]):
    """Lines that can be handed back: `taken` are those of the record that is being read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self.taken: list[str] = []

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line

    def keep_first(self) -> str:
        first, *others = self.taken
        self._again.extendleft(reversed(others))
        return first


def _judged(row: Row, width: int) -> Row:
    if row.flaw or len(row.cells) == width:
        return row
    if len(row.cells) < width:
        return row._replace(flaw=Flaw.SHORT if width > 1 else None)  # of one column, an empty line is an empty cell
    extra = any((cell or "").strip(WHITE) for cell in row.cells[width:])
    return row._replace(flaw=Flaw.LONG if extra else None)


def _guess_separator(sample: list[str], header_row: int, default: str) -> str:
    """The separator that cuts the header into cells, and most rows below into as many."""
    best, best_score = default, (0, 0)
    for separator in sorted(_SEPARATORS, key=lambda candidate: candidate != default):
        rows = islice(records(iter(sample), separator), header_row - 1, None)
        header = next(rows, None)
        if header is None or header.flaw or (width := len(header.cells)) < 2:
            continue
        score = (1 + sum(len(row.cells) == width for row in rows), width)
        if score > best_score:
            best, best_score = separator, score
    return best


def detect_encoding(path: Path) -> Encoding:
    """A byte order mark decides; else UTF-16 by its NUL bytes, else UTF-8 if all of it is, else Windows-1252.

    Reads the whole file once: one stray byte at the end makes it another encoding, for the header too.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _examined(path, "utf-16", "replace")
    if (codec := _utf16_without_bom(head)) is not None:
        return _examined(path, codec, "replace")
    if head.startswith(codecs.BOM_UTF8):
        return _examined(path, "utf-8-sig", "replace")
    try:
        return _examined(path, "utf-8", "strict")
    except UnicodeDecodeError:
        pass  # left before going on: it holds the bytes, and would hang on to any later error
    return _examined(path, "cp1252", "replace", (_GUESSED,))


def _examined(path: Path, codec: str, errors: str, notes: tuple[str, ...] = ()) -> Encoding:
    quoted = damaged = bare_cr = False
    for text in limits.checked_text(path, lambda: _decoded(path, codec, errors)):
        quoted = quoted or '"' in text
        damaged = damaged or "\ufffd" in text
        bare_cr = bare_cr or ("\r" in text and text.count("\r") > text.count("\r\n"))
    utf8_lines = codec.startswith("utf-8") and not (bare_cr or damaged)
    return Encoding(codec, errors, utf8_lines, quoted, (*notes, _DAMAGED) if damaged else notes)


def _decoded(path: Path, codec: str, errors: str) -> Iterator[str]:
    """The text in pieces of at most `limits.LONGEST_LINE` characters, none of which ends between a CR and its LF."""
    decoder = codecs.getincrementaldecoder(codec)(errors)
    with path.open("rb") as file:
        left = ""
        while chunk := file.read(limits.LONGEST_LINE - 1):
            text = left + decoder.decode(chunk)
            left = "\r" if text.endswith("\r") else ""
            yield text.removesuffix(left) if left else text
        yield left + decoder.decode(b"", final=True)


def _utf16_without_bom(head: bytes) -> str | None:
    """Digits, separators and Latin letters have a NUL behind them (LE) or before (BE); other text has none at all.

    So has the first line break, which tells UTF-16 from other text that holds a NUL somewhere.
    """
    before, behind = head[0::2], head[1::2]
    enough = max(2, len(head) // 200)
    first = re.search(rb"[\r\n]", head)
    at = first.start() if first else None
    if (
        behind.count(0) > enough
        and 0 not in before
        and (at is None or (at % 2 == 0 and head[at + 1 : at + 2] == b"\0"))
    ):
        return "utf-16-le"
    if before.count(0) > enough and 0 not in behind and (at is None or (at % 2 == 1 and head[at - 1] == 0)):
        return "utf-16-be"
    return None
