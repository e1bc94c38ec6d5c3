"""Files that would exhaust the machine are refused before they do; what is merely large is read."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from mambo_io.datasets import read_dataset
from mambo_io.datasets.limits import LONGEST_LINE, MOST_COLUMNS
from mambo_io.datasets.parquet_footer import Footer, read_footer
from mambo_io.errors import InputError
from support.processes import run

GIGABYTE = 1_000_000_000


def text(content: bytes, *, size: int | None = None) -> Callable[[Path], Path]:
    """A CSV file; with `size` it is made that long without taking room on the disk, and reads as NUL bytes there."""

    def make(folder: Path) -> Path:
        path = folder / "people.csv"
        with path.open("wb") as file:
            file.write(content)
            file.truncate(size)
        return path

    return make


def workbook(*cells: tuple[int, int], texts: bytes | None = None) -> Callable[[Path], Path]:
    """A workbook with a short list and these further cells (row, column, from 0); `texts` takes the place of its table
    of texts."""

    def make(folder: Path) -> Path:
        buffer = io.BytesIO()
        with xlsxwriter.Workbook(buffer) as book:
            sheet = book.add_worksheet()
            sheet.write_column(0, 0, ["phone", "0772123456"])
            for row, column in cells:
                sheet.write(row, column, "x")
        with (
            zipfile.ZipFile(buffer) as whole,
            zipfile.ZipFile(folder / "people.xlsx", "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in whole.namelist():
                new.writestr(name, texts if texts and "sharedStrings" in name else whole.read(name))
        return folder / "people.xlsx"

    return make


def lying_workbook(folder: Path) -> Path:
    """Its table of texts has 2 MB, and the archive's directory says 2 kB."""
    path = workbook(texts=bytes(2_000_000))(folder)
    content = path.read_bytes()
    true, false = (size.to_bytes(4, "little") for size in (2_000_000, 2_000))
    assert content.count(true) == 2  # in front of the member, and in the directory
    path.write_bytes(content.replace(true, false))
    return path


def parquet(frame: Callable[[], pl.LazyFrame]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        frame().sink_parquet(folder / "people.parquet")
        return folder / "people.parquet"

    return make


def parquet_with_a_footer_of(size: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "people.parquet"
        path.write_bytes(b"PAR1" + bytes(size) + size.to_bytes(4, "little") + b"PAR1")
        return path

    return make


def same_text(text: str, *, rows: int) -> pl.LazyFrame:
    return pl.LazyFrame({"row": pl.repeat(0, rows, eager=True)}).select(phone=pl.lit(text).gather(pl.col("row")))


BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "gzip": (text(gzip.compress(bytes(20_000_000))), "this is a compressed file (gzip), not CSV text"),
    "a line of 2 GB": (
        text(b"phone\n0772123456\n", size=2 * GIGABYTE),
        "line 3 holds a NUL byte, so this is not text. Export the list again, as CSV UTF-8.",
    ),
    "a line that never ends": (
        text(b"phone\n0772123456\n" + b"x" * (LONGEST_LINE + 1)),
        "line 3 has more than 1,048,576 characters. Export the list again, as CSV with a line for each person",
    ),
    "a million columns": (text(b"a," * 1_000_000 + b"phone\n"), "line 1 has more than 1,048,576 characters"),
    "a column too many": (
        text(b"a," * MOST_COLUMNS + b"phone\n"),
        "has 16,385 columns, and 16,384 are the most that are read. Save the columns that are needed in a file",
    ),
    "a ZIP bomb named .xlsx": (
        workbook(texts=bytes(200_000_000)),
        "to 200 MB, as no list of people does. Do not open it; ask whoever sent it for the list as CSV.",
    ),
    "a ZIP bomb that denies it": (lying_workbook, "the workbook is cut short or damaged"),
    "a cell far away": (
        workbook((1_048_575, 16_383)),
        "a sheet reaches to row 1,048,576 and column 16,384, and nearly all of it is empty. Delete the rows below",
    ),
    "two cells far apart": (workbook((900_000, 0), (0, 16_383)), "a sheet reaches to row 900,001 and column 16,384"),
    "20 million times the same number": (
        parquet(lambda: pl.LazyFrame({"phone": pl.repeat(772123456, 20_000_000, eager=True)})),
        " kB to 320 MB, as no list of people does",
    ),
    "a long text, shared by all rows": (
        parquet(lambda: same_text("x" * 10_000, rows=100_000)),
        "unfolds from 1 kB to 1,000 MB",
    ),
    "pages that unfold": (
        parquet(lambda: pl.LazyFrame({"phone": ["x" * 120_000_000]})),
        " to 120 MB, as no list of people does",
    ),
    "a column too many in Parquet": (
        parquet(lambda: pl.LazyFrame({f"c{place}": ["x"] for place in range(MOST_COLUMNS + 1)})),
        "has 16,385 columns",
    ),
    "a footer of megabytes": (
        parquet_with_a_footer_of(5_000_000),
        "has more columns and row groups than a list of people has",
    ),
}

READ_EACH = """
import resource, sys
from mambo_io.datasets import read_dataset
from mambo_io.errors import InputError

unit = 1e6 if sys.platform == "darwin" else 1e3
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_dataset(path)
    except InputError as error:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(round(used / unit), error.message)
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """How many MB a process had taken, and what was said, when it had come to each of those files."""
    paths = [make(tmp_path_factory.mktemp("bomb")) for make, _ in BOMBS.values()]
    found = run(sys.executable, "-c", READ_EACH, *paths, cwd=paths[0].parent)
    assert found.stdout.count("\n") == len(BOMBS), found.stdout + found.stderr
    said = (line.partition(" ") for line in found.stdout.splitlines())
    return {name: (int(used_mb), message) for name, (used_mb, _, message) in zip(BOMBS, said, strict=True)}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_exhaust_the_machine(refusals: dict[str, tuple[int, str]], name: str) -> None:
    used_mb, message = refusals[name]

    assert BOMBS[name][1] in message
    assert used_mb < 200


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        pytest.param(text(b"phone,note\n0772123456," + b"x" * (LONGEST_LINE - 11) + b"\n"), 1, id="the longest line"),
        pytest.param(text(b"a," * 1_999 + b"phone\n" + b"x," * 1_999 + b"0772123456\n"), 1, id="2,000 columns"),
        pytest.param(workbook((999, 40)), 2, id="a cell not so far away"),
        pytest.param(parquet(lambda: pl.LazyFrame({"phone": ["0772123456"] * 500_000})), 500_000, id="all the same"),
        pytest.param(parquet(lambda: same_text("x" * 480, rows=100_000)), 100_000, id="three segments, said once"),
    ],
)
def test_what_is_merely_large(tmp_path: Path, make: Callable[[Path], Path], rows: int) -> None:
    assert read_dataset(make(tmp_path)).frame.height == rows


@pytest.mark.parametrize(("columns", "rows", "group"), [(1, 1, None), (3, 1_000, 100), (200, 5, 1)])
def test_a_footer_says_how_large_a_file_is(tmp_path: Path, columns: int, rows: int, group: int | None) -> None:
    path = tmp_path / "people.parquet"
    frame = pl.DataFrame({f"c{place}": pl.int_range(rows, eager=True) for place in range(columns)})
    frame.write_parquet(path, compression="uncompressed", row_group_size=group)

    footer = read_footer(path)

    assert footer is not None
    assert (footer.columns, footer.rows) == (columns, rows)
    assert 0 < footer.uncompressed_bytes < path.stat().st_size


def test_uncompressed_is_what_the_pages_unfold_to(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"phone": ["x" * 1_000_000]}).write_parquet(path, compression="zstd")

    footer = read_footer(path)

    assert isinstance(footer, Footer)
    assert footer.uncompressed_bytes > 1_000_000 > 10 * path.stat().st_size


@pytest.mark.parametrize("place", range(12))
def test_a_damaged_footer_is_told(tmp_path: Path, place: int) -> None:
    """A byte of it is wrong, at twelve places: it is read all the same, or refused in one line."""
    path = tmp_path / "people.parquet"
    pl.DataFrame({"phone": ["0772123456"] * 100}).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[-8 - (place + 1) * 37] ^= 0xFF
    path.write_bytes(content)

    with suppress(InputError):
        read_dataset(path)
