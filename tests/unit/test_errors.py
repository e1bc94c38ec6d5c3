"""What a person is told: the place, the value, what is wrong and what to do; one line, one argument, no number."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mambo_io.errors import Declined, InputError, MamboError, SettingsError, Stopped, StoreError

TOLD: dict[str, tuple[InputError, str]] = {
    "only a problem": (InputError("the list is empty"), "the list is empty"),
    "with what to do": (
        InputError("the list is empty", fix="Add a row."),
        "the list is empty. Add a row.",
    ),
    "a problem that is a sentence": (
        InputError("The list is empty.", fix="Add a row."),
        "The list is empty. Add a row.",
    ),
    "a place in a list": (
        InputError("is too long", file=Path("people.csv"), row=7, column="phone", value="O77", fix="Use ten digits."),
        "people.csv, row 7, column phone: 'O77' is too long. Use ten digits.",
    ),
    "a key of a campaign file": (
        InputError("is no time of day", file="clinic.toml", key="[sending] window", value="8-20"),
        "clinic.toml, [sending] window: '8-20' is no time of day",
    ),
    "a setting": (SettingsError("is not set", key="MAMBO_API_KEY"), "MAMBO_API_KEY: is not set"),
    "the first row": (InputError("is odd", row=0), "row 0: is odd"),
    "an empty value": (InputError("is no name", value=""), "'' is no name"),
    "a value that is no text": (InputError("is no price", value=-5), "'-5' is no price"),
    "an amount": (
        InputError("is no whole number", key="max_cost_ugx", value=1234567.5),
        ("max_cost_ugx: '1234567.5' is no whole number"),
    ),
    "an amount with as many digits as a number has": (InputError("is odd", value=772123456), "'•••456' is odd"),
    "the same digits as text": (InputError("is odd", value="1234567.5"), "'•••675' is odd"),
    "a date": (InputError("is no day", value="31/02/2026"), "'31/02/2026' is no day"),
    "a number in a value": (
        InputError("is a duplicate", value="+256 772 123456"),
        "'+256772•••456' is a duplicate",
    ),
    "a number and more in a value": (
        InputError("has letters", value="call 0772123456 after 5"),
        "'call •••456 after 5' has letters",
    ),
    "a value of several lines": (InputError("is odd", value="one\ntwo\x1b[31m"), "'one\\ntwo\\x1b[31m' is odd"),
    "a long value": (InputError("is too long", value="x" * 81), f"'{'x' * 79}…' is too long"),
    "a value just not too long": (InputError("is odd", value="x" * 80), f"'{'x' * 80}' is odd"),
}


@pytest.mark.parametrize("case", TOLD)
def test_an_error_says_where_what_and_what_to_do(case: str) -> None:
    error, expected = TOLD[case]
    assert error.message == str(error) == expected
    assert "\n" not in error.message


def test_a_value_is_masked_before_it_is_cut() -> None:
    """Cut first, the rest of a number at the end would be too short to be noticed."""
    assert InputError("is odd", value="x" * 75 + "0772123456").message == f"'{'x' * 75}•••4…' is odd"


@pytest.mark.parametrize(
    ("kind", "code", "family"),
    [
        (InputError, 2, InputError),
        (SettingsError, 2, InputError),
        (StoreError, 2, InputError),
        (Stopped, 3, MamboError),
        (Declined, 4, MamboError),
    ],
)
def test_each_error_has_the_exit_code_that_is_documented(kind: type[MamboError], code: int, family: type) -> None:
    error = kind("the work is not done")
    assert (error.exit_code, error.message) == (code, "the work is not done")
    assert isinstance(error, family)


@pytest.mark.parametrize("kind", [InputError, SettingsError, StoreError, Stopped, Declined])
def test_an_error_survives_the_way_between_processes_and_carries_nothing_but_its_text(kind: type[MamboError]) -> None:
    places: dict[str, Any] = {"value": "0772123456", "row": 3} if issubclass(kind, InputError) else {}
    error = kind("something is wrong", **places)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled a line above
    assert type(copy) is kind
    assert copy.args == error.args == (error.message,)
    assert vars(copy) == vars(error) == {}
    assert "0772123456" not in repr(error)


@pytest.mark.parametrize(
    ("error", "outline"),
    [
        (TOLD["with what to do"][0], "the list is empty"),
        (TOLD["a place in a list"][0], "people.csv, row 7, column phone: is too long"),
        (TOLD["a key of a campaign file"][0], "clinic.toml, [sending] window: is no time of day"),
        (TOLD["a value of several lines"][0], "is odd"),
        (InputError("is odd", file="a.toml", value="it's: 'Jane' \"Auma\" \\"), "a.toml: is odd"),
        (InputError("is odd", value="Jane's"), "is odd"),
        (InputError("is no column", file="a.toml", fix="Its columns: Jane, Auma."), "a.toml: is no column"),
        (InputError("line 3 cannot be read: message = Dear Jane", file="a.toml"), "a.toml: line 3 cannot be read"),
        (Stopped("0772123456.db: the disk is full. Free some space."), "•••456.db: the disk is full"),
        (SettingsError("is not set", key="MAMBO_API_KEY"), "MAMBO_API_KEY: is not set"),
    ],
)
def test_an_outline_repeats_nothing_that_was_given(error: MamboError, outline: str) -> None:
    assert error.outline == outline
