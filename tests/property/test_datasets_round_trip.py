"""Any table in any dialect comes back cell by cell, and the fast reader never differs from the careful one."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mambo_io.datasets import read_dataset, write_dataset
from mambo_io.datasets.delimited import Layout, detect_encoding, read_records, scan_plain, split_lines
from mambo_io.datasets.table import WHITE

# What cells are made of: separators and quotes far more often than chance would have it, line ends, and letters that
# some encodings have and others have not.
CELL = st.text(st.sampled_from(" \t,;|\"'=09aŋé€\n\r\u2028\x0b\U0001f642"), max_size=6)
WIDTH = st.integers(2, 5)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(WIDTH)
    return draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8))


def expected(table: list[list[str]]) -> list[tuple[object, ...]]:
    """The frame's rows by the plain rules: row 1 is the header, blank rows only count, an empty cell is null."""
    return [
        (number, None, *[cell or None for cell in cells])
        for number, cells in enumerate(table, start=2)
        if any(cell.strip(WHITE) for cell in cells)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@given(
    table=tables(),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    sep_line=st.booleans(),
)
@settings(max_examples=150)
def test_csv(
    folder: Path, table: list[list[str]], separator: str, line_end: str, encoding: str, quoting: int, sep_line: bool
) -> None:
    assume(expected(table))
    if any(mark in cell for row in table for cell in row for mark in "\r\n"):
        quoting = csv.QUOTE_ALL  # older csv modules quote only the line end that they write
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]  # an int here
    names = [f"name {number}" for number in range(len(table[0]))]
    writer.writerows([names, *table])
    content = (f"sep={separator}{line_end}" if sep_line else "") + text.getvalue()
    path = folder / "people.csv"
    try:
        path.write_bytes(content.encode(encoding))
    except UnicodeEncodeError:
        assume(False)
    if encoding == "cp1252":  # its bytes may happen to be UTF-8, which nobody can tell
        assume(not _is_utf8(path.read_bytes()) or content.isascii())

    dataset = read_dataset(path)

    assert dataset.frame.columns == ["row", "reject_reason", *names]
    assert dataset.frame.rows() == expected(table)
    assert dataset.blank_rows == len(table) - dataset.frame.height
    assert (dataset.short_rows, dataset.ragged_rows) == (0, ())


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


LINES = st.lists(
    st.one_of(
        st.text(st.sampled_from('ab, \u00a0"'), max_size=8),
        st.lists(st.sampled_from(['"a"', '"a,b"', "a", "", '""', '"a""b"']), min_size=1, max_size=4).map(",".join),
    ),
    max_size=12,
)


@given(
    above=LINES.map(lambda lines: lines[:2]),
    below=LINES,
    width=st.integers(1, 3),
    line_end=st.sampled_from(["\n", "\r\n"]),
    plain=st.integers(0, 60),
)
@example(above=['"a', 'b"'], below=["c"], width=1, line_end="\n", plain=0)  # a column name with a line end in it
@example(above=["a"], below=['"b', 'c"', '"d,e"'], width=1, line_end="\n", plain=60)  # a cell with a line end in it
@example(above=["a"], below=['"b,c"', '"d'], width=1, line_end="\n", plain=60)  # a quote that is never closed
@settings(max_examples=200)
def test_the_fast_reader_agrees_with_the_careful_one(
    folder: Path, above: list[str], below: list[str], width: int, line_end: str, plain: int
) -> None:
    """On any lines at all: where it gives a frame, it is the very same one."""
    assume(above)
    path = folder / "lines.csv"
    path.write_bytes(line_end.join([*above, *below, *["a,b"] * plain]).encode())
    assume(path.stat().st_size)
    layout = Layout(path, detect_encoding(path), ",", 0, len(above), width)

    fast = split_lines(layout)

    if '"' not in "".join(above + below):
        assert fast is not None
    if fast is not None:
        assert_frame_equal(fast, read_records(layout))


PIECES = st.text(st.sampled_from("ab 7\u00a0\t\u0144"), max_size=4)


@given(
    lines=st.lists(st.lists(PIECES, min_size=2, max_size=2) | st.lists(PIECES, max_size=4), min_size=1, max_size=12),
    above=st.integers(0, 2),
    line_end=st.sampled_from(["\n", "\r\n"]),
    ends=st.booleans(),
)
@settings(max_examples=200)
def test_a_list_that_is_scanned_is_the_list_that_is_read(
    folder: Path, lines: list[list[str]], above: int, line_end: str, ends: bool
) -> None:
    """Where each line below the header has as many cells as that, and something in them."""
    assume(ends or ",".join(lines[-1]))  # else the last line is none
    path = folder / "scanned.csv"
    rows = [*[["name", "phone"]] * (above + 1), *lines]
    path.write_bytes((line_end.join(map(",".join, rows)) + (line_end if ends else "")).encode())
    layout = Layout(path, detect_encoding(path), ",", 0, above + 1, 2)

    scanned = scan_plain(layout)

    is_plain = all(len(cells) == 2 and "".join(cells).strip(WHITE) for cells in lines)
    assert (scanned is not None) == is_plain
    if scanned is not None:
        careful = read_records(layout)
        assert careful["flaw"].null_count() == careful.height
        assert_frame_equal(scanned.collect(), careful.drop("flaw"))


def test_the_fast_reader_keeps_the_order_of_many_rows(folder: Path) -> None:
    """More rows than polars takes in one piece, some of them quoted, so that pieces have to be put together."""
    path = folder / "many.csv"
    people = [f'{number},"Doe, {number}"' if number % 7 == 0 else f"{number},Doe" for number in range(2, 300_002)]
    path.write_text("\n".join(["phone,name", *people]))

    frame = split_lines(Layout(path, detect_encoding(path), ",", 0, 1, 2))

    assert frame is not None
    assert frame["row"].equals(pl.int_range(2, 300_002, eager=True).alias("row"))
    assert frame["c0"].equals(frame["row"].cast(pl.String).alias("c0"))
    assert frame["c1"][5] == "Doe, 7"


@given(table=tables(), ending=st.sampled_from([".xlsx", ".parquet"]))
@settings(max_examples=50)
def test_written_and_read_back(folder: Path, table: list[list[str]], ending: str) -> None:
    """Parquet and XLSX hold text as it is; an XLSX reader turns a line end into one of its own."""
    table = [[cell.replace("\r", "") for cell in row] for row in table]
    assume(expected(table))
    path = folder / f"people{ending}"
    names = [f"name {number}" for number in range(len(table[0]))]
    write_dataset(pl.DataFrame(table, schema=dict.fromkeys(names, pl.String), orient="row"), path)

    assert read_dataset(path).frame.rows() == expected(table)


@given(table=tables())
@settings(max_examples=50)
def test_a_written_csv_differs_by_the_apostrophe_only(folder: Path, table: list[list[str]]) -> None:
    assume(expected(table))
    path = folder / "results.csv"
    names = [f"name {number}" for number in range(len(table[0]))]
    write_dataset(pl.DataFrame(table, schema=dict.fromkeys(names, pl.String), orient="row"), path)

    neutral = [[f"'{cell}" if cell.startswith(tuple("=\t\r\n")) else cell for cell in row] for row in table]
    assert read_dataset(path).frame.rows() == expected(neutral)
