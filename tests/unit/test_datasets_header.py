"""Column names: what a file says, and what the frame is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambo_io.datasets.header import RESERVED, read_names
from mambo_io.errors import InputError

FILE = Path("people.csv")


@pytest.mark.parametrize(
    ("raw", "names", "told"),
    [
        pytest.param(["phone", "Name "], ["phone", "Name"], [], id="trimmed without a word"),
        pytest.param(["Phone\nnumber", "a\u00a0 b"], ["Phone number", "a b"], [], id="line breaks and runs of spaces"),
        pytest.param(["\ufeffphone", "na\u200bme"], ["phone", "name"], [], id="invisible characters"),
        pytest.param(["phone", "", " "], ["phone", "column_2", "column_3"], ["column_2, column_3"], id="blank"),
        pytest.param(["", "column_1"], ["column_1_", "column_1"], ["column_1_"], id="blank, and its name is taken"),
        pytest.param(
            ["phone", "x", "phone"], ["phone_1", "x", "phone_2"], ["'phone_1'", "'phone_2'"], id="twice: neither stays"
        ),
        pytest.param(["a", "a", "a_1"], ["a_1_", "a_2", "a_1"], ["'a_1_'", "'a_2'"], id="twice, and a name is taken"),
        pytest.param(["row", "message"], ["row_", "message_"], ["'row_'", "'message_'"], id="ours"),
        pytest.param(["row", "row_"], ["row__", "row_"], ["'row__'"], id="ours, and the new name is taken"),
        pytest.param(["row", "row"], ["row_1", "row_2"], ["'row_1'", "'row_2'"], id="ours, twice"),
        pytest.param(["*", "^a$"], ["*_", "^a$_"], ["'*_'", "'^a$_'"], id="a pattern to polars"),
        pytest.param(["Phone", "phone", "ROW"], ["Phone", "phone", "ROW"], [], id="letter case parts names"),
        pytest.param(
            ["2026-01-11", "12345678"], ["2026-01-11", "12345678"], [], id="dates and short numbers are names"
        ),
    ],
)
def test_names(raw: list[str], names: list[str], told: list[str]) -> None:
    header = read_names(raw, file=FILE, row=1)

    assert list(header.names) == names
    assert len(header.notes) <= len(told)
    assert all(any(part in note for note in header.notes) for part in told)


def test_many_blank_names_make_one_short_note() -> None:
    header = read_names(["phone", *[""] * 250], file=FILE, row=1)

    assert header.names[-1] == "column_251"
    assert header.notes == ("Columns without a name are read as column_2, column_3, column_4 and 247 more.",)


def test_the_place_of_a_nameless_column_is_that_in_the_sheet() -> None:
    assert read_names(["phone", ""], file=FILE, row=1, first_column=3).names == ("phone", "column_4")


@pytest.mark.parametrize("cell", ["0772123456", "+256 772 123-456", "256772123456", "772123456"])
def test_a_phone_number_is_no_column_name(cell: str) -> None:
    with pytest.raises(InputError) as caught:
        read_names(["Jane", cell], file=FILE, row=1)

    assert "row 1" in caught.value.message
    assert "column name" in caught.value.message
    assert cell not in caught.value.message


def test_a_blank_header_says_what_to_do() -> None:
    with pytest.raises(
        InputError, match=r"row 1: no column names here\. Say which row holds them: header_row = 2, or --header-row 2"
    ):
        read_names(["", " ", "\ufeff"], file=FILE, row=1)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_column_of_a_file_takes_a_name_of_ours(name: str) -> None:
    assert read_names([name], file=FILE, row=1).names == (f"{name}_",)
