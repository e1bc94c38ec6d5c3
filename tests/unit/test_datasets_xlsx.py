"""XLSX: row numbers, numbers, dates, errors, hidden rows and sheets, as people have them in workbooks."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from mambo_io.datasets import open_dataset, read_dataset
from mambo_io.errors import InputError

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(path: Path, *fill: Callable[[Worksheet, xlsxwriter.Workbook], object]) -> Path:
    """A workbook with one sheet for each function, which fills it."""
    with xlsxwriter.Workbook(path) as book:
        for number, function in enumerate(fill, start=1):
            function(book.add_worksheet(f"List {number}"), book)
    return path


def rows(*lines: list[object]) -> Callable[[Worksheet, xlsxwriter.Workbook], None]:
    def fill(sheet: Worksheet, _book: xlsxwriter.Workbook) -> None:
        for number, line in enumerate(lines):
            sheet.write_row(number, 0, line)

    return fill


def nothing(_sheet: Worksheet, _book: xlsxwriter.Workbook) -> None: ...


def raw_workbook(path: Path, sheet_xml: str, target: str = "worksheets/sheet1.xml") -> Path:
    """The smallest workbook around the XML of its one sheet, for what xlsxwriter would not write."""
    rels = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": rels.format(
            f'<Relationship Id="a" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        ),
        "xl/_rels/workbook.xml.rels": rels.format(
            f'<Relationship Id="rId7" Type="{RELATIONS}/worksheet" Target="{target}"/>'
        ),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>'
        '<sheet name="People" sheetId="1" r:id="rId7"/></sheets></workbook>',
        "xl/worksheets/sheet1.xml": sheet_xml,
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def text(value: str) -> str:
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        pytest.param(lambda s, b: s.write_string(1, 0, "0772123456"), "0772123456", id="text"),
        pytest.param(lambda s, b: s.write_string(1, 0, "  Jane "), "  Jane ", id="spaces stay"),
        pytest.param(lambda s, b: s.write_number(1, 0, 256772123456), "256772123456", id="number, no 2.56E+11"),
        pytest.param(lambda s, b: s.write_number(1, 0, 772123456.0), "772123456", id="number, no .0"),
        pytest.param(
            lambda s, b: s.write_number(1, 0, 772123456, b.add_format({"num_format": "0000000000"})),
            "772123456",
            id="number with a format: the zero is not in it",
        ),
        pytest.param(lambda s, b: s.write_number(1, 0, 1.1), "1.1", id="fraction"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=0.1+0.2", None, 0.30000000000000004), "0.3", id="a sum"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=4.35*100", None, 434.99999999999994), "435", id="a product"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=1/3", None, 1 / 3), "0.333333333333333", id="a third"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=1/4E4", None, 2.5e-05), "0.000025", id="no exponent"),
        pytest.param(
            lambda s, b: s.write_formula(1, 0, "=B2+A2", None, 772900002.00000012), "772900002", id="computed number"
        ),
        pytest.param(lambda s, b: s.write_number(1, 0, -5), "-5", id="negative"),
        pytest.param(lambda s, b: s.write_number(1, 0, 0), "0", id="zero"),
        pytest.param(lambda s, b: s.write_boolean(1, 0, True), "TRUE", id="boolean"),
        pytest.param(
            lambda s, b: s.write_datetime(1, 0, dt.date(2026, 1, 11), b.add_format({"num_format": "d mmm yyyy"})),
            "11/01/2026",
            id="date",
        ),
        pytest.param(
            lambda s, b: s.write_number(1, 0, 46033 + 8.5 / 24, b.add_format({"num_format": "dd/mm/yyyy hh:mm"})),
            "11/01/2026 08:30",
            id="moment",
        ),
        pytest.param(
            lambda s, b: s.write_number(1, 0, 46033 + 30_615.4 / 86_400, b.add_format({"num_format": "d/m/y hh:mm"})),
            "11/01/2026 08:30:15",
            id="moment to the second",
        ),
        pytest.param(
            lambda s, b: s.write_number(1, 0, 0.354167, b.add_format({"num_format": "hh:mm"})),
            "08:30",
            id="time of day",
        ),
        pytest.param(
            lambda s, b: s.write_number(1, 0, 1.5, b.add_format({"num_format": "[h]:mm:ss"})), "36:00:00", id="duration"
        ),
        pytest.param(lambda s, b: s.write_formula(1, 0, '="07"&72', None, "0772"), "0772", id="formula: its value"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=NA()", None, "#N/A"), "#N/A", id="error"),
        pytest.param(lambda s, b: s.write_formula(1, 0, "=1/0", None, "#DIV/0!"), "#DIV/0!", id="another error"),
        pytest.param(lambda s, b: s.write_blank(1, 0, None, b.add_format({"bold": True})), None, id="formatted, empty"),
    ],
)  # fmt: skip
def test_cells_become_what_a_person_reads(
    tmp_path: Path, write: Callable[[Worksheet, xlsxwriter.Workbook], object], shown: str | None
) -> None:
    path = workbook(tmp_path / "a.xlsx", lambda s, b: (rows(["phone", "x"], ["", "x"])(s, b), write(s, b)))

    assert read_dataset(path).frame.rows() == [(2, None, shown, "x")]


def test_dates_are_written_as_asked(tmp_path: Path) -> None:
    def fill(sheet: Worksheet, book: xlsxwriter.Workbook) -> None:
        sheet.write_string(0, 0, "day")
        sheet.write_datetime(1, 0, dt.date(2026, 1, 1), book.add_format({"num_format": "dd/mm/yyyy"}))

    path = workbook(tmp_path / "a.xlsx", fill)

    assert read_dataset(path, date_format="%d %B").frame["day"].to_list() == ["01 January"]


def test_a_table_that_starts_lower_and_further_right_keeps_the_sheets_own_places(tmp_path: Path) -> None:
    def fill(sheet: Worksheet, _book: xlsxwriter.Workbook) -> None:
        sheet.write_row("C3", ["phone", "", "name"])
        sheet.write_row("C4", ["0772", "x", "Jane"])
        sheet.write_row("C7", ["0701"])
        sheet.write_formula("D7", "=NA()", None, "#N/A")

    path = workbook(tmp_path / "a.xlsx", fill)
    dataset = read_dataset(path, header_row=3)

    assert open_dataset(path, header_row=3).header == dataset.frame.columns[2:] == ["phone", "column_4", "name"]
    assert dataset.frame.rows() == [(4, None, "0772", "x", "Jane"), (7, None, "0701", "#N/A", None)]
    assert dataset.blank_rows == 2


def test_rows_that_a_filter_hides_are_flagged(tmp_path: Path) -> None:
    def fill(sheet: Worksheet, book: xlsxwriter.Workbook) -> None:
        rows(["phone", "town"], ["1", "Gulu"], ["2", "Jinja"], ["3", "Gulu"], [], ["5", "Jinja"])(sheet, book)
        sheet.autofilter(0, 0, 5, 1)
        sheet.filter_column(1, "town == Gulu")
        for number in (2, 4, 5):  # the blank one too
            sheet.set_row(number, None, None, {"hidden": True})

    dataset = read_dataset(workbook(tmp_path / "a.xlsx", fill))

    assert dataset.frame.select("row", "reject_reason", "phone").rows() == [
        (2, None, "1"), (3, "hidden_row", "2"), (4, None, "3"), (6, "hidden_row", "5"),
    ]  # fmt: skip
    assert dataset.hidden_rows == (3, 6)
    assert dataset.notes == ("Hidden in the workbook: rows 3, 6.",)


def test_a_hidden_column_hides_no_row(tmp_path: Path) -> None:
    def fill(sheet: Worksheet, book: xlsxwriter.Workbook) -> None:
        rows(["phone", "town"], ["1", "Gulu"])(sheet, book)
        sheet.set_column(1, 1, None, None, {"hidden": True})

    assert read_dataset(workbook(tmp_path / "a.xlsx", fill)).frame.rows() == [(2, None, "1", "Gulu")]


HEADER = f'<row r="1">{text("phone")}{text("x")}</row>'
ERROR = '<c t="e"><v>#N/A</v></c>'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(f'{HEADER}<row r="3" hidden="1">{text("1")}{ERROR}</row>', id="cells without a place"),
        pytest.param(
            f'<row>{text("phone")}{text("x")}</row><row/><row hidden="true">{text("1")}{ERROR}</row>',
            id="rows without a number",
        ),
        pytest.param(
            f"{HEADER}<row r='3' hidden='1'>{text('1')}<c r='B3' t='e'><f>NA()</f><v>#N/A</v></c></row>",
            id="single quotes, and a formula",
        ),
        pytest.param(
            f'{HEADER}<row r="3" hidden="1">{text("1")}{ERROR}<c t="e"/><c><v></v></c></row>',
            id="an error without a value",
        ),
    ],
)
@pytest.mark.parametrize("target", ["worksheets/sheet1.xml", "/xl/worksheets/sheet1.xml"])
def test_other_programs_xml(tmp_path: Path, data: str, target: str) -> None:
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'
    dataset = read_dataset(raw_workbook(tmp_path / "a.xlsx", sheet, target))

    assert dataset.frame.select("row", "reject_reason", "phone", "x").rows() == [(3, "hidden_row", "1", "#N/A")]


def test_xml_with_prefixes(tmp_path: Path) -> None:
    """Some programs write every element as `<x:row>`."""
    data = f'{HEADER}<row r="2" hidden="1">{text("1")}{ERROR}</row>'
    prefixed = data.replace("</", "\0").replace("<", "<x:").replace("\0", "</x:")
    sheet = f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{prefixed}</x:sheetData></x:worksheet>'

    assert read_dataset(raw_workbook(tmp_path / "a.xlsx", sheet)).frame.rows() == [(2, "hidden_row", "1", "#N/A")]


PEOPLE = rows(["phone"], ["0772"])
OTHERS = rows(["phone"], ["0701"])


def hidden_sheet(sheet: Worksheet, book: xlsxwriter.Workbook) -> None:
    OTHERS(sheet, book)
    sheet.hide()


def test_the_only_filled_sheet_is_read_and_told(tmp_path: Path) -> None:
    dataset = read_dataset(workbook(tmp_path / "a.xlsx", nothing, PEOPLE, hidden_sheet))

    assert dataset.frame["phone"].to_list() == ["0772"]
    assert dataset.notes == ("Of the sheets 'List 1', 'List 2', 'List 3', 'List 2' was read.",)


@pytest.mark.parametrize("sheet", ["List 2", "list 2 "])
def test_a_sheet_by_name(tmp_path: Path, sheet: str) -> None:
    path = workbook(tmp_path / "a.xlsx", PEOPLE, hidden_sheet)

    assert read_dataset(path, sheet=sheet).frame["phone"].to_list() == ["0701"]
    assert open_dataset(path, sheet=sheet).header == ["phone"]


@pytest.mark.parametrize(
    ("fill", "sheet", "message"),
    [
        pytest.param([PEOPLE, OTHERS], None, "sheet: several sheets are filled: 'List 1', 'List 2'.", id="several"),
        pytest.param([PEOPLE], "Lst 1", "sheet: 'Lst 1' no such sheet. The sheets are 'List 1'", id="no such sheet"),
        pytest.param([nothing, nothing], None, "no sheet of the workbook has anything in it", id="all empty"),
        pytest.param([nothing], "List 1", "row 1: no such row in the sheet", id="the named one is empty"),
    ],
)
def test_which_sheet_is_not_guessed(
    tmp_path: Path, fill: list[Callable[[Worksheet, xlsxwriter.Workbook], None]], sheet: str | None, message: str
) -> None:
    path = workbook(tmp_path / "a.xlsx", *fill)

    for reading in (read_dataset, open_dataset):
        with pytest.raises(InputError) as caught:
            reading(path, sheet=sheet)
        assert message in caught.value.message


def test_macro_workbooks_are_read(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", PEOPLE).rename(tmp_path / "a.xlsm")

    assert read_dataset(path).frame["phone"].to_list() == ["0772"]
