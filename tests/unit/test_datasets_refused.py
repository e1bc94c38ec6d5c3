"""Files that cannot be read: each gets one clear line, and what to do about it."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from mambo_io.datasets import open_dataset, read_dataset
from mambo_io.errors import InputError

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(1000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def xlsx(name: str, keep: float = 1.0) -> Callable[[Path], Path]:
    """A workbook, or the first part of one."""

    def make(folder: Path) -> Path:
        path = folder / name
        with xlsxwriter.Workbook(path) as book:
            book.add_worksheet().write_column(0, 0, ["phone", *[f"07721{number:05}" for number in range(200)]])
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return path

    return make


def broken_sheet(folder: Path) -> Path:
    """A sound archive whose sheet ends in the middle."""
    whole = zipfile.ZipFile(xlsx("whole.xlsx")(folder))
    path = folder / "people.xlsx"
    with whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, content[: len(content) // 2] if "sheet1" in name else content)
    return path


def parquet(name: str, keep: float = 1.0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        pl.DataFrame({"phone": ["0772"] * 1000}).write_parquet(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return path

    return make


def archive(name: str, member: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as inside:
            inside.writestr(member, "x")
        return folder / name

    return make


def folder_named_csv(folder: Path) -> Path:
    (folder / "people.csv").mkdir()
    return folder / "people.csv"


def missing_beside_others(folder: Path) -> Path:
    (folder / "People.csv").touch()
    (folder / "people2.csv").touch()
    (folder / "letter.docx").touch()
    return folder / "peple.csv"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "people.csv")
    return folder / "people.csv"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda folder: folder / "a.csv", "a.csv: no such file", id="no file"),
        pytest.param(missing_beside_others, "Near it in that folder: People.csv, people2.csv.", id="near"),
        pytest.param(lambda folder: folder / "x" / "a.csv", "no folder '", id="no folder"),
        pytest.param(folder_named_csv, "this is a folder. Give the path of a file.", id="a folder"),
        pytest.param(fifo, "this is not a regular file", id="a pipe"),
        pytest.param(lambda folder: folder / "*.csv", "one file is read, not a pattern", id="a pattern"),
        pytest.param(lambda folder: folder / "*" / "a.csv", "one file is read, not a pattern", id="folders, a pattern"),
        pytest.param(file("people.csv", b""), "the file is empty", id="empty"),
        pytest.param(file("people.xlsx", b""), "the file is empty", id="empty workbook"),
        pytest.param(file("people.csv", b"phone,name\n"), "there are no rows below the column names", id="header only"),
        pytest.param(file("people.csv", b"phone,name\n,\n\n"), "there are no rows", id="header and blank rows"),
        pytest.param(file("people.csv", b"\n\nphone\n0772\n"), "row 1: no column names here", id="blank row 1"),
        pytest.param(file("people.csv", b"\xef\xbb\xbf"), "row 1: no such row", id="nothing but a byte order mark"),
        pytest.param(file("people.csv", b"sep=;\n"), "row 1: no such row", id="nothing but a sep line"),
        pytest.param(file("people.csv", b"0772123456,Jane\n"), "where a column name is expected", id="no header"),
        pytest.param(file("people.csv", b'phone,"na\n0772,a\n'), "the quotes in the row of column names", id="quotes"),
        pytest.param(file("people.csv", PNG), "this is a picture, not CSV text", id="a picture named .csv"),
        pytest.param(file("people.csv", b"%PDF-1.7\n..."), "this is a PDF document", id="a PDF named .csv"),
        pytest.param(file("people.csv", b"ab\0\1\0\2cd\n" * 9), "line 1 holds a NUL", id="unknown bytes"),
        pytest.param(file("people.csv", b"Name,Phone\nA\0,0772\n"), "line 2 holds a NUL", id="a NUL, at an odd place"),
        pytest.param(file("people.csv", b"Names,Phone\nA\0,0772\n"), "line 2 holds a NUL", id="at an even place"),
        pytest.param(file("people.csv", b"a,b\n" + b"0\0A\n" * 9), "line 2 holds a NUL", id="NULs at odd places"),
        pytest.param(file("people.csv", b"a,bc\n" + b"0\0A\n" * 9), "line 2 holds a NUL", id="NULs at even places"),
        pytest.param(file("people.csv", b"phone\n" + b"0\n" * 999 + bytes(9)), "line 1,001 holds", id="a zeroed tail"),
        pytest.param(file("people.csv", gzip.compress(b"phone\n0772\n")), "a compressed file (gzip)", id="gzip"),
        pytest.param(file("people.csv", b"<!DOCTYPE html><html>Log in"), "a web page or XML", id="a log-in page"),
        pytest.param(file("people.csv", OLE), "this is an old Excel file (.xls)", id="an XLS named .csv"),
        pytest.param(xlsx("people.csv"), "this is an Excel workbook (.xlsx), not CSV text", id="an XLSX named .csv"),
        pytest.param(parquet("people.csv"), "this is a Parquet file, not CSV text", id="a Parquet named .csv"),
        pytest.param(archive("people.csv", "a.txt"), "this is a ZIP archive", id="a ZIP named .csv"),
        pytest.param(archive("people.xlsx", "content.xml"), "a LibreOffice file (.ods)", id="an ODS named .xlsx"),
        pytest.param(archive("people.xlsx", "xl/workbook.bin"), "(.xlsb)", id="an XLSB named .xlsx"),
        pytest.param(file("people.xlsx", b"phone\n0772\n"), "Correct its ending to .csv", id="a CSV named .xlsx"),
        pytest.param(file("people.xlsx", OLE), "or a workbook with a password", id="a workbook with a password"),
        pytest.param(xlsx("people.xlsx", keep=0.7), "the workbook is cut short or damaged", id="a cut workbook"),
        pytest.param(broken_sheet, "the workbook is cut short or damaged", id="a damaged sheet"),
        pytest.param(archive("people.xlsx", "xl/workbook.xml"), "is cut short or damaged", id="a hollow workbook"),
        pytest.param(parquet("people.parquet", keep=0.9), "the Parquet file is cut short or damaged", id="cut Parquet"),
        pytest.param(file("people.parquet", b"phone\n0772\n"), "this is text, not a Parquet file", id="text .parquet"),
        pytest.param(file("people.xls", OLE), ".xls files are not read. Open it in a spreadsheet program", id=".xls"),
        pytest.param(file("people.docx", b"x"), "'.docx' are not read. These endings are: .csv, .tsv", id=".docx"),
        pytest.param(file("people", b"x"), "the file's name has no ending", id="no ending"),
        pytest.param(file("~$people.xlsx", b"x"), "this is a spreadsheet program's lock file, not the workbook",
                     id="Excel's lock file"),
        pytest.param(file(".~lock.people.csv#", b"x"), "The workbook beside it is 'people.csv'", id="LibreOffice's"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path)

    with pytest.raises(InputError) as caught:
        read_dataset(path)

    assert message in caught.value.message
    assert caught.value.message.startswith(str(path))
    assert "\n" not in caught.value.message
    assert "0772" not in caught.value.message


@pytest.mark.parametrize("address", ["https://example.org/people.csv?key=secret", "s3://jane:secret@bucket/people.csv"])
def test_an_address_is_refused_and_what_is_secret_in_it_not_shown(address: str) -> None:
    with pytest.raises(InputError) as caught:
        read_dataset(address)

    scheme = address.partition(":")[0]
    told = f"{scheme}://… is an address, and only files are read. Download the file, and give its path."
    assert caught.value.message == told


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("a.csv", {"sheet": "People"}, "sheet: 'People' only an Excel workbook has sheets", id="sheet"),
        pytest.param("a.csv", {"header_row": 0}, "header_row: '0' is no row", id="row 0"),
        pytest.param("a.csv", {"header_row": 9}, "row 9: no such row", id="a row that is not there"),
        pytest.param("a.csv", {"header_row": 10**30}, "header_row: '•••000' is no row", id="no row of any sheet"),
        pytest.param("a.parquet", {"header_row": 2}, "header_row: '2' is no row", id="Parquet has its own header"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    path = tmp_path / name
    if name.endswith(".csv"):
        path.write_text("phone\n0772\n")
    else:
        pl.DataFrame({"phone": ["0772"]}).write_parquet(path)

    for read in (read_dataset, open_dataset):
        with pytest.raises(InputError, match=message.replace("(", r"\(")):
            read(path, **options)


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = file("people.csv", b"phone\n0772\n")(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")

    with pytest.raises(InputError, match="the file cannot be read: Permission denied"):
        read_dataset(path)


@pytest.mark.parametrize("lock", ["~$people.csv", ".~lock.people.csv#"])
def test_an_open_file_is_read_and_told(tmp_path: Path, lock: str) -> None:
    path = file("people.csv", b"phone\n0772\n")(tmp_path)
    (tmp_path / lock).touch()

    dataset = read_dataset(path)

    assert dataset.frame.height == 1
    assert dataset.notes == ("people.csv is open in a spreadsheet program; what is not saved is not read.",)
