"""What the rules for numbers take for granted about `phonenumbers`.

A failure here after an upgrade means: read the rules again.
"""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberType, carrier

from pipelines.number_prefixes import prefix_verdicts
from pipelines.numbers import CUSTOMISED_NETWORKS


def test_version_knows_the_mobile_ranges_of_today() -> None:
    assert tuple(int(part) for part in phonenumbers.__version__.split(".")) >= (9, 0, 43)


@pytest.mark.parametrize(
    ("typed", "e164", "extension"),
    [
        ("0772ABCDEF", "+256772222333", None),  # letters are keypad digits
        ("0772xxxxxx", "+256772999999", None),  # also where they mask a number
        ("0772123456;0701123456", "+256772123456", "0701123456"),  # what follows a ; is an extension
        ("0772123456*", "+256772123456", None),
        ("077212345.0", "+256772123450", None),  # the decimal point of a spreadsheet is a separator
        ("7.72123456", "+256772123456", None),
        ("-772123200", "+256772123200", None),
    ],
)
def test_why_it_is_not_asked_about_everything(typed: str, e164: str, extension: str | None) -> None:
    parsed = phonenumbers.parse(typed, "UG")
    assert phonenumbers.is_valid_number(parsed)
    assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == e164
    assert parsed.extension == extension


def test_international_prefixes_of_uganda() -> None:
    metadata = PhoneMetadata.metadata_for_region("UG")
    assert metadata is not None
    assert metadata.international_prefix == "00[057]"
    assert phonenumbers.is_valid_number(phonenumbers.parse("000256772123456", "UG"))
    assert not phonenumbers.is_valid_number(phonenumbers.parse("00256772123456", "UG"))


def test_national_numbers_have_nine_digits_behind_a_zero() -> None:
    metadata = PhoneMetadata.metadata_for_region("UG")
    assert metadata is not None
    assert metadata.general_desc is not None
    assert metadata.general_desc.possible_length == (9,)
    assert (metadata.national_prefix, metadata.country_code) == ("0", 256)


def test_a_short_number_keeps_its_zero() -> None:
    parsed = phonenumbers.parse("077212345", "UG")
    assert parsed.italian_leading_zero
    assert phonenumbers.is_possible_number(parsed)
    assert not phonenumbers.is_valid_number(parsed)


def test_digits_alone_fail_to_parse_only_as_expected() -> None:
    for digits, failure in {
        "5": NumberParseException.NOT_A_NUMBER,
        "+0772123456": NumberParseException.INVALID_COUNTRY_CODE,
        "7" * 300: NumberParseException.TOO_LONG,
    }.items():
        with pytest.raises(NumberParseException) as raised:
            phonenumbers.parse(digits, "UG")
        assert raised.value.error_type == failure


def test_networks_are_named_as_the_api_page_names_them() -> None:
    assert set(CUSTOMISED_NETWORKS) <= set(prefix_verdicts()["network_guess"].drop_nulls())


def test_every_mobile_prefix_has_a_network() -> None:
    good = prefix_verdicts().filter(good=True)
    assert good["network_guess"].null_count() == 0


def test_the_patterns_are_of_a_kind_that_can_be_proved() -> None:
    """All prefixes but a handful are decided at once; with unknown syntax in the patterns none would be."""
    undecided = [prefix for prefix, decided in enumerate(prefix_verdicts()["decided"]) if not decided]
    assert undecided[:1_000] == list(range(1_000))  # no national number starts with 0
    assert len(undecided) < 1_050


def test_networks_of_one_number() -> None:
    parsed = phonenumbers.parse("0726123456", "UG")
    assert phonenumbers.number_type(parsed) == PhoneNumberType.MOBILE
    assert carrier.name_for_number(parsed, "en") == "LycaMobile"
