"""What is written: safe to open in a spreadsheet program, whole or not at all, and read back as it was."""

from __future__ import annotations

import datetime as dt
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from python_calamine import CalamineWorkbook

from mambo_io.datasets import read_dataset, write_dataset
from mambo_io.errors import InputError

MORNING = dt.datetime(2026, 1, 11, 5, 30, 15, 999_999, tzinfo=dt.UTC)
RESULTS = pl.DataFrame(
    {
        "phone_raw": ["0772 123 456", "+256701123456", None],
        "e164": ["+256772123456", "+256701123456", None],
        "outcome": ["accepted", "rejected", "rejected"],
        "charged_ugx": [50, 0, None],
        "sent_at": [MORNING, None, None],
    }
)


def test_csv_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_dataset(RESULTS, path)

    assert path.read_bytes().decode() == (
        "\ufeffphone_raw,e164,outcome,charged_ugx,sent_at\n"
        "0772 123 456,+256772123456,accepted,50,2026-01-11T08:30:15+03:00\n"
        "'+256701123456,+256701123456,rejected,0,\n"
        ",,rejected,,\n"
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_a_table_in_pieces_is_written_like_a_whole_one(tmp_path: Path, ending: str) -> None:
    whole, pieces = tmp_path / f"whole{ending}", tmp_path / f"pieces{ending}"
    write_dataset(RESULTS, whole)
    write_dataset((RESULTS.slice(start, length) for start, length in [(0, 0), (0, 2), (2, 1)]), pieces)

    if ending == ".csv":
        assert pieces.read_bytes() == whole.read_bytes()
    assert read_dataset(pieces).frame.equals(read_dataset(whole).frame)


@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("http://example.org","Click")',
        "=1+1",
        "+1+1",
        "-1+1",
        "-5,",
        "-2\n",
        "-1e5",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "\uff1d1+1",
        "-",
        "=",
    ],
)
@pytest.mark.parametrize("column", ["name", "e164"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, cell: str, column: str) -> None:
    path = tmp_path / "results.csv"
    write_dataset(pl.DataFrame({column: [cell], "a": ["x"]}), path)

    name = "e164_" if column == "e164" else column
    assert read_dataset(path).frame[name].to_list() == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["Jane", "-5", "-5,000.50", "'=1+1", " =1+1", "5-6", "a=b", "", "0772123456", "ŋ"])
def test_other_cells_of_a_csv_stay(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "results.csv"
    write_dataset(pl.DataFrame({"name": [cell], "a": ["x"]}), path)

    assert read_dataset(path).frame["name"].to_list() == [cell or None]


def test_a_column_name_of_a_csv_is_no_formula_either(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_dataset(pl.DataFrame({"=1+1": ["x"]}), path)

    assert path.read_text(encoding="utf-8-sig") == "'=1+1\nx\n"


def test_categories_are_neutralised_too(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_dataset(pl.DataFrame({"network": pl.Series(["=1"], dtype=pl.Categorical)}), path)

    assert read_dataset(path).frame["network"].to_list() == ["'=1"]


def test_a_moment_without_time_zone_is_utc(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_dataset(RESULTS.select(pl.col("sent_at").dt.replace_time_zone(None)).head(1), path)

    assert path.read_text(encoding="utf-8-sig") == "sent_at\n2026-01-11T08:30:15+03:00\n"


def test_xlsx_has_text_as_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "results.xlsx"
    formula = "=HYPERLINK(0)"
    frame = RESULTS.with_columns(
        name=pl.Series([formula, "http://example.org", "0772"]), share=pl.Series([0.5, float("nan"), None]),
        client=pl.Series([10**15 + 1, 7, None]), day=pl.Series([dt.date(2026, 1, 11), None, None]),
    )  # fmt: skip
    write_dataset(frame, path)

    with CalamineWorkbook.from_path(path) as book:
        assert book.sheet_names == ["Results"]
        header, first, second, third = book.get_sheet_by_name("Results").iter_rows()
    assert header == frame.columns
    assert first == [
        "0772 123 456", "+256772123456", "accepted", 50.0, dt.datetime.fromisoformat("2026-01-11T08:30:15"),
        formula, 0.5, "1000000000000001", dt.date(2026, 1, 11),
    ]  # fmt: skip
    assert second == ["+256701123456", "+256701123456", "rejected", 0.0, "", "http://example.org", "", 7.0, ""]
    assert third == ["", "", "rejected", "", "", "0772", "", "", ""]


def test_xlsx_reads_back_with_its_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "results.xlsx"
    write_dataset(RESULTS, path)

    assert read_dataset(path).frame.drop("reject_reason").rows() == [
        (2, "0772 123 456", "+256772123456", "accepted", "50", "11/01/2026 08:30:15"),
        (3, "+256701123456", "+256701123456", "rejected", "0", None),
        (4, None, None, "rejected", None, None),
    ]


def test_parquet_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_dataset(RESULTS, path)

    assert pl.read_parquet(path).equals(RESULTS)


def blank_folder(folder: Path) -> Path:
    (folder / "results.csv").mkdir()
    return folder / "results.csv"


@pytest.mark.parametrize(
    ("frame", "target", "message"),
    [
        pytest.param(RESULTS, lambda folder: folder / "r.xls", "'.xls' are not written", id="another ending"),
        pytest.param(RESULTS, lambda folder: folder / "results", "the file's name has no ending", id="no ending"),
        pytest.param(RESULTS, lambda folder: folder / "x" / "r.csv", "Make the folder first", id="no folder"),
        pytest.param(RESULTS, blank_folder, "this is a folder", id="a folder"),
        pytest.param(
            RESULTS, lambda folder: folder / f"{'x' * 300}.csv", "written: File name too long", id="long name"
        ),
        pytest.param(
            pl.DataFrame({"row": pl.int_range(1_048_576, eager=True)}),
            lambda folder: folder / "r.xlsx",
            "more rows than a sheet holds (1,048,575). Write it as .csv or .parquet.",
            id="more rows than a sheet holds",
        ),
        pytest.param(
            pl.DataFrame({f"c{number}": [1] for number in range(16_385)}),
            lambda folder: folder / "r.xlsx",
            "16,385 columns, and a sheet holds 16,384",
            id="more columns than a sheet holds",
        ),
        pytest.param(
            pl.DataFrame({"name": ["x" * 32_768]}),
            lambda folder: folder / "r.xlsx",
            "column name: a text of 32,768 characters, and a cell holds 32,767",
            id="a longer text than a cell holds",
        ),
    ],
)
def test_what_is_not_written(tmp_path: Path, frame: pl.DataFrame, target: Callable[[Path], Path], message: str) -> None:
    path = target(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(InputError) as caught:
        write_dataset(frame, path)

    assert message in caught.value.message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, ending: str) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no limit that stands in for a full disk")
    path = tmp_path / f"results{ending}"
    write_dataset(RESULTS, path)
    before = path.read_bytes()
    names = pl.int_range(100_000, eager=True).hash().cast(pl.String)  # not to be compressed away
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, usual[1]))
    try:
        with pytest.raises(InputError, match=r"the file cannot be written: File too large$"):
            write_dataset(pl.DataFrame({"name": names}), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_of_two_that_write_the_same_file_one_wins_and_nothing_is_mixed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"results{ending}"
    frames = [pl.DataFrame({"name": [name] * 3000}) for name in ("Jane", "Amos")]

    def write_often(frame: pl.DataFrame) -> set[str]:
        said = set()
        for _ in range(20):
            try:
                write_dataset(frame, path)
            except InputError as error:
                said.add(error.message)
        return said

    with ThreadPoolExecutor(2) as pool:
        told = set[str]().union(*pool.map(write_often, frames))

    assert told <= {f"{path}: the file cannot be written: another process began to write it, too"}
    written = read_dataset(path).frame["name"]
    assert written.len() == 3000
    assert written.n_unique() == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_the_longest_name_that_the_system_takes(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"{'x' * (255 - len(ending))}{ending}"
    write_dataset(RESULTS, path)

    assert read_dataset(path).frame.height == 3


def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root writes everywhere")

    with pytest.raises(InputError, match=r"the file cannot be written: Permission denied$"):
        write_dataset(RESULTS, tmp_path / "results.csv")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_a_symbolic_link_stays_one(tmp_path: Path, ending: str) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / f"results{ending}"
    link.symlink_to(tmp_path / "real" / f"r{ending}")

    write_dataset(RESULTS, link)

    assert link.is_symlink()
    assert read_dataset(link).frame.height == 3
    assert [each.name for each in (tmp_path / "real").iterdir()] == [f"r{ending}"]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".xlsx"])
def test_a_new_file_is_its_owners_alone_and_a_replaced_one_keeps_its_mode(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"results{ending}"
    modes = []
    for given in (None, 0o400, 0o640, 0o644):
        if given is not None:
            path.chmod(given)
        write_dataset(RESULTS, path)
        modes.append(stat.S_IMODE(path.stat().st_mode))

    assert modes == [0o600, 0o400, 0o640, 0o644]


def test_no_cell_of_a_workbook_is_markup(tmp_path: Path) -> None:
    """A text between these tags would be written into the sheet's XML as it is, and make the file unreadable."""
    path = tmp_path / "results.xlsx"
    write_dataset(pl.DataFrame({"name": ["<r>Jane</b></r>", "<r>", "<b>Amos</b>"]}), path)

    assert read_dataset(path).frame["name"].to_list() == ["'<r>Jane</b></r>", "<r>", "<b>Amos</b>"]
