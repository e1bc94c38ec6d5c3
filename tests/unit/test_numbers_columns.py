"""Which column holds the numbers, and whether a spreadsheet has rounded it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mambo_io.errors import InputError
from pipelines.numbers import find_phone_column, rounding_suspicion

FILE = Path("people.csv")
NUMBERS = ["0772123456", "0701 123 456", None, "N/A", "2.56772E+11"]


@pytest.mark.parametrize(
    "header",
    ["phone", "Phone", "PHONE NUMBER", "phone_no", "Phone No.", "phoneNumber", "telephone", "tel", "Tel. No", "Mobile",
     "mobile number", "Cell", "msisdn", "contact", "Contacts", "Number", "WhatsApp number", "Essimu", " phone ",
     "Phone 1", "tel_2"],
)  # fmt: skip
def test_plain_headers(header: str) -> None:
    frame = pl.DataFrame({"name": ["Akello"] * 5, header: NUMBERS, "amount": ["5000000"] * 5})
    assert find_phone_column(frame, FILE) == header


def test_cells_decide_between_two_headers() -> None:
    frame = pl.DataFrame({"number": ["1", "2", "3", "4", "5"], "contact": ["Jane Apio"] * 5, "phone": NUMBERS})
    assert find_phone_column(frame, FILE) == "phone"


def test_numbers_of_an_analysts_frame() -> None:
    frame = pl.DataFrame({"phone": [772123456, 701123456], "contact": [None, None]})
    assert find_phone_column(frame, FILE) == "phone"


def test_none_found_says_how_to_name_it() -> None:
    frame = pl.DataFrame({"name": ["Akello"], "next of kin phone": ["0772123456"]})
    with pytest.raises(InputError) as raised:
        find_phone_column(frame, FILE)
    assert raised.value.message == (
        "people.csv: no column is plainly the phone column. Say which in the campaign file: "
        '[recipients] phone = "…", one of: name, next of kin phone. '
        "If the column names stand in a lower row, say which: header_row = 2."
    )


def test_a_phone_header_over_other_cells_is_named() -> None:
    frame = pl.DataFrame({"contact": ["Jane Apio", "John Okot"], "id": ["1", "2"]})
    with pytest.raises(InputError, match=r"\(contact: most cells are no telephone numbers\)"):
        find_phone_column(frame, FILE)


@pytest.mark.parametrize(
    "header",
    [
        ["tel", "mobile"],
        ["phone", "Phone 2"],
        ["phone_1", "phone_2", "Phone"],  # `phone,phone,Phone`, as the reader names them
        ["Mobile_1_", "Tel"],
    ],
)
def test_several_candidates_are_not_guessed_between(header: list[str]) -> None:
    frame = pl.DataFrame({"name": ["Akello"] * 5} | dict.fromkeys(header, NUMBERS))
    with pytest.raises(InputError, match=rf"more than one column.*one of: {', '.join(header)}\.$"):
        find_phone_column(frame, FILE)


def test_a_second_phone_column_without_numbers_is_no_candidate() -> None:
    frame = pl.DataFrame({"phone": NUMBERS, "Phone 2": [None, "Jane", None, None, "N/A"]})
    assert find_phone_column(frame, FILE) == "phone"


def _column(*, rounded: int, others: int) -> pl.DataFrame:
    msisdns = [256_772_000_000 + 1_000 * number for number in range(rounded)]
    msisdns += [256_701_100_000 + number for number in range(100_000) if number % 1_000][:others]
    return pl.DataFrame({"msisdn": [*msisdns, None]}, schema={"msisdn": pl.Int64})


@pytest.mark.parametrize(
    ("rounded", "others", "suspicion"),
    [
        (0, 0, None),
        (2, 0, None),  # two people may well have such numbers
        (3, 0, 3),
        (0, 1_000, None),
        (2, 8, None),
        (4, 6, 4),
        (7, 93, None),
        (8, 92, 8),
        (20, 980, None),
        (21, 979, 21),
        (10, 10_000, None),  # what chance gives
        (500, 500, 500),
    ],
)
def test_a_rounded_column_shows(rounded: int, others: int, suspicion: int | None) -> None:
    assert rounding_suspicion(_column(rounded=rounded, others=others)) == suspicion


def test_one_number_many_times_is_no_sign_of_rounding() -> None:
    assert rounding_suspicion(pl.DataFrame({"msisdn": [256772000000] * 1_000})) is None


def test_rounding_makes_people_share_numbers_and_all_rows_count() -> None:
    frame = pl.DataFrame({"msisdn": [int(f"25677{digit}000000") for digit in range(10)] * 100})
    assert rounding_suspicion(frame) == 1_000
