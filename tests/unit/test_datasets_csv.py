"""CSV and TSV: what spreadsheet programs really write, byte by byte, and the frame that comes of it."""

from __future__ import annotations

import codecs
from pathlib import Path

import polars as pl
import pytest

from mambo_io.datasets import Dataset, open_dataset, read_dataset

PEOPLE = [("0772123456", "Nakato"), ("0701123456", "Okello")]


def read(folder: Path, content: bytes, name: str = "people.csv", header_row: int = 1) -> Dataset:
    path = folder / name
    path.write_bytes(content)
    dataset = read_dataset(path, header_row=header_row)
    assert open_dataset(path, header_row=header_row).header == dataset.frame.columns[2:]
    return dataset


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"phone,name\n0772123456,Nakato\n0701123456,Okello\n", "a.csv", id="plain"),
        pytest.param(b"phone,name\r\n0772123456,Nakato\r\n0701123456,Okello", "a.csv", id="crlf, none at the end"),
        pytest.param(b"phone,name\r0772123456,Nakato\r0701123456,Okello\r", "a.csv", id="bare cr, old Mac Excel"),
        pytest.param(b"\xef\xbb\xbfphone,name\r\n0772123456,Nakato\r\n0701123456,Okello\r\n", "a.csv", id="utf-8 bom"),
        pytest.param(
            '\ufeffphone\tname\r\n0772123456\tNakato\r\n0701123456\tOkello\r\n'.encode("utf-16-le"),
            "a.txt",
            id="Excel's Unicode Text",
        ),
        pytest.param(
            codecs.BOM_UTF16_BE + "phone,name\n0772123456,Nakato\n0701123456,Okello\n".encode("utf-16-be"),
            "a.csv",
            id="utf-16 big-endian",
        ),
        pytest.param(
            "phone,name\n0772123456,Nakato\n0701123456,Okello\n".encode("utf-16-le"), "a.csv", id="utf-16 without bom"
        ),
        pytest.param(
            "phone,name\n0772123456,Nakato\n0701123456,Okello\n".encode("utf-16-be"), "a.csv", id="utf-16 be, no bom"
        ),
        pytest.param(b"phone;name\n0772123456;Nakato\n0701123456;Okello\n", "a.csv", id="semicolons"),
        pytest.param(b"phone|name\n0772123456|Nakato\n0701123456|Okello\n", "a.csv", id="bars"),
        pytest.param(b"phone\tname\n0772123456\tNakato\n0701123456\tOkello\n", "a.tsv", id="tsv"),
        pytest.param(b"phone,name\n0772123456,Nakato\n0701123456,Okello\n", "a.tsv", id="a tsv in name only"),
        pytest.param(b"sep=;\r\nphone;name\r\n0772123456;Nakato\r\n0701123456;Okello\r\n", "a.csv", id="sep line"),
        pytest.param(b'"sep=^"\nphone^name\n0772123456^Nakato\n0701123456^Okello\n', "a.csv", id="quoted sep line"),
        pytest.param(b'\xef\xbb\xbfSEP=,\nphone,name\n0772123456,Nakato\n0701123456,Okello\n', "a.CSV", id="bom, sep"),
        pytest.param(b'"phone","name"\n"0772123456","Nakato"\n"0701123456","Okello"\n', "a.csv", id="all quoted"),
        pytest.param(b"phone,name\n0772123456,Nakato\n0701123456,Okello,,,\n", "a.csv", id="empty cells behind"),
        pytest.param(b"\xef\xbb\xbf phone , name\n0772123456,Nakato\n0701123456,Okello\n", "a.csv", id="spaced names"),
    ],
)  # fmt: skip
def test_every_dialect_gives_the_same_frame(tmp_path: Path, content: bytes, name: str) -> None:
    dataset = read(tmp_path, content, name)

    assert dataset.frame.schema == {
        "row": pl.Int64, "reject_reason": pl.String, "phone": pl.String, "name": pl.String,
    }  # fmt: skip
    assert dataset.frame.rows() == [(2, None, *PEOPLE[0]), (3, None, *PEOPLE[1])]
    assert (dataset.blank_rows, dataset.short_rows, dataset.ragged_rows, dataset.hidden_rows) == (0, 0, (), ())


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(b"phone,name\n007,  Jane \n", [(2, "007", "  Jane ")], id="leading zeros and spaces stay"),
        pytest.param(b"phone,name\n1,\n2,\"\"\n", [(2, "1", None), (3, "2", None)], id="empty is null, quoted or not"),
        pytest.param(b"phone,name\n1,N/A\n2,null\n", [(2, "1", "N/A"), (3, "2", "null")], id="words are no nulls"),
        pytest.param(
            b'phone,name\n1,"Jane\r\nDoe"\n2,Okello\n',
            [(2, "1", "Jane\r\nDoe"), (3, "2", "Okello")],
            id="a line end inside a cell is one row, as in Excel",
        ),
        pytest.param(b'phone,name\n1,"Doe, Jane"\n', [(2, "1", "Doe, Jane")], id="a quoted separator"),
        pytest.param(b'phone,name\n1,"Jane ""JJ"" Doe"\n', [(2, "1", 'Jane "JJ" Doe')], id="doubled quotes"),
        pytest.param(b'phone,name\n1,5" pipe\n', [(2, "1", '5" pipe')], id="a quote inside a bare cell is a character"),
        pytest.param("phone,name\n1,Ŋŋoma\n".encode(), [(2, "1", "Ŋŋoma")], id="Luganda letters"),
        pytest.param(b"phone,name\n1,a\x0bb\x1cc\xc2\x85d\n", [(2, "1", "a\x0bb\x1cc\x85d")], id="no line ends"),
        pytest.param(b"phone\n0772\n\n0701\n", [(2, "0772"), (4, "0701")], id="one column"),
    ],
)  # fmt: skip
def test_cells_are_text_as_it_stands(tmp_path: Path, content: bytes, rows: list[tuple[object, ...]]) -> None:
    assert read(tmp_path, content).frame.drop("reject_reason").rows() == rows


@pytest.mark.parametrize("quote", ["", '"'], ids=["lines cut", "records read"])
def test_blank_rows_are_counted_and_keep_their_number(tmp_path: Path, quote: str) -> None:
    lines = ["phone,name", "", f"{quote}1{quote},a", ",", " ,\t", "\u00a0,", "2,b", "", ""]
    dataset = read(tmp_path, "\n".join(lines).encode())

    assert dataset.frame["row"].to_list() == [3, 7]
    assert dataset.blank_rows == 5  # the last line has no line end behind it, so it is not there


@pytest.mark.parametrize("quote", ["", '"'], ids=["lines cut", "records read"])
def test_short_rows_are_filled_and_told(tmp_path: Path, quote: str) -> None:
    dataset = read(tmp_path, f"phone,name,town\n{quote}1{quote}\n2,b\n3,c,Gulu\n".encode())

    assert dataset.frame.rows() == [(2, None, "1", None, None), (3, None, "2", "b", None), (4, None, "3", "c", "Gulu")]
    assert dataset.short_rows == 2
    assert dataset.notes == ("Too few cells for the columns (those missing are empty): rows 2, 3.",)


@pytest.mark.parametrize("quote", ["", '"'], ids=["lines cut", "records read"])
def test_rows_that_are_too_long_are_rejected_and_told(tmp_path: Path, quote: str) -> None:
    lines = ["phone,name", f"{quote}1{quote},a,extra", "2,b,,", "3,c, ,\u00a0", "4,d,,x", ",,only behind"]
    dataset = read(tmp_path, "\n".join(lines).encode())

    assert dataset.frame["reject_reason"].to_list() == ["ragged_row", None, None, "ragged_row", "ragged_row"]
    assert dataset.frame["name"].to_list() == ["a", "b", "c", "d", None]
    assert (dataset.ragged_rows, dataset.blank_rows) == ((2, 5, 6), 0)
    assert dataset.notes == ("Too many cells for the columns (rejected): rows 2, 5, 6.",)


@pytest.mark.parametrize(
    ("broken", "cells"),
    [
        pytest.param('2,"Okello', ("2", '"Okello'), id="never closed"),
        pytest.param('2,"Doe, Jane', ("2", '"Doe'), id="never closed, with a separator"),
        pytest.param('2,"Okello" x', ("2", '"Okello" x'), id="text behind the closing quote"),
        pytest.param('2,"Jane "JJ" Doe"', ("2", '"Jane "JJ" Doe"'), id="quotes not doubled"),
        pytest.param('2,"Jane \\"JJ\\" Doe"', ("2", '"Jane \\"JJ\\" Doe"'), id="quotes escaped by a backslash"),
    ],
)
@pytest.mark.parametrize("later", ['3,"Apio"', "3,Apio"], ids=["a quote later", "no quote later"])
def test_a_broken_quote_costs_no_other_row(tmp_path: Path, broken: str, cells: tuple[str, str], later: str) -> None:
    dataset = read(tmp_path, f"phone,name\n1,Nakato\n{broken}\n{later}\n4,Mukasa\n".encode())

    assert dataset.frame.rows() == [
        (2, None, "1", "Nakato"),
        (3, "ragged_row", *cells),
        (4, None, "3", "Apio"),
        (5, None, "4", "Mukasa"),
    ]
    assert dataset.ragged_rows == (3,)
    assert dataset.notes == ("Quotes that do not pair (rejected): row 3.",)


def test_a_stray_quote_high_in_a_long_file_does_not_swallow_it(tmp_path: Path) -> None:
    people = [f"{number},Nakato" for number in range(3, 30_000)]
    dataset = read(tmp_path, "\n".join(["phone,name", '2,"Okello', *people]).encode())

    assert dataset.ragged_rows == (2,)
    assert dataset.frame.height == 1 + len(people)
    assert dataset.frame["phone"].to_list() == [str(number) for number in range(2, 30_000)]


def test_a_cell_longer_than_the_csv_module_reads_is_read(tmp_path: Path) -> None:
    dataset = read(tmp_path, b'phone,name\n1,"Doe, Jane"\n2,"a\nb"\n3,' + b"x" * 200_000 + b"\n")

    assert dataset.frame["name"].str.len_chars().to_list() == [9, 3, 200_000]
    assert dataset.ragged_rows == ()


@pytest.mark.parametrize(
    ("text", "name", "separator_note"),
    [
        pytest.param("phone;name\n0772;Plot 4, Kampala\n", "Plot 4, Kampala", "a semicolon", id="commas in cells only"),
        pytest.param("phone, mobile;name\n1;a\n2;b\n3;c\n", "a", "a semicolon", id="the rows decide"),
        pytest.param('"a;b;c",name\n1,x;y\n', "x;y", None, id="separators inside a quoted name do not count"),
    ],
)
def test_the_separator_is_found(tmp_path: Path, text: str, name: str, separator_note: str | None) -> None:
    dataset = read(tmp_path, text.encode())

    assert dataset.frame["name"][0] == name
    assert dataset.notes == ((f"Its columns are separated by {separator_note}.",) if separator_note else ())


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_may_hold_few_latin_letters(tmp_path: Path, codec: str) -> None:
    name = "ŋ€" * 40
    dataset = read(tmp_path, "".join(["phone,name\n", *[f"{number},{name}\n" for number in range(50)]]).encode(codec))

    assert dataset.frame["name"].unique().to_list() == [name]


def test_windows_1252_is_a_guess_and_told(tmp_path: Path) -> None:
    dataset = read(tmp_path, b"phone,name\n1,Jos\xe9\n2,l\x92\xe9t\xe9 \x96 5 \x80\n")

    assert dataset.frame["name"].to_list() == ["José", "l\u2019été \u2013 5 €"]
    assert any("Windows-1252" in note and "guess" in note for note in dataset.notes)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfphone,name\n1,Jos\xe9\n", id="a byte order mark, and a byte that is not UTF-8"),
        pytest.param(b"phone,name\n1,Jos\x81\n", id="a byte that Windows-1252 does not have"),
        pytest.param("phone,name\n1,Jos\ufffd\n".encode(), id="lost before"),
    ],
)
def test_lost_characters_are_told(tmp_path: Path, content: bytes) -> None:
    dataset = read(tmp_path, content)

    assert dataset.frame["name"].to_list() == ["Jos\ufffd"]
    assert "Some characters of the file are lost and read as '\ufffd'." in dataset.notes


def test_rows_above_the_header_are_left_out_and_counted_in_the_numbering(tmp_path: Path) -> None:
    content = b'Members of the clinic\n"printed\nin January";\n\nphone;name\n0772;Nakato\n'
    dataset = read(tmp_path, content, header_row=4)

    assert dataset.frame.rows() == [(5, None, "0772", "Nakato")]


def test_a_wrapped_column_name_is_one_row(tmp_path: Path) -> None:
    dataset = read(tmp_path, b'"phone\nnumber",name\n0772,Nakato\n')

    assert dataset.frame.columns == ["row", "reject_reason", "phone number", "name"]
    assert dataset.frame["row"].to_list() == [2]


def test_a_file_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    assert read(tmp_path, b"phone\n0772\n", "people [1].csv").frame["phone"].to_list() == ["0772"]


def test_no_number_shows_in_the_repr(tmp_path: Path) -> None:
    assert "0772123456" not in repr(read(tmp_path, b"phone\n0772123456\n"))
