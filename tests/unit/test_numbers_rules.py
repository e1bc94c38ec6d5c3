"""What people and spreadsheets make of a telephone number, and what is read from it.

Every row is a cell as it was typed; the tables are the place to add the next one that turns up.
"""

from __future__ import annotations

import pytest

from pipelines.number_rules import judge_each_number, judge_number
from pipelines.reasons import Reason

ACCEPTED = {
    # the forms in which Ugandans write one number
    "0772123456": "+256772123456",
    "772123456": "+256772123456",
    "256772123456": "+256772123456",
    "+256772123456": "+256772123456",
    "00256772123456": "+256772123456",
    "000256772123456": "+256772123456",  # 000 is Uganda's own international prefix
    "2560772123456": "+256772123456",
    "+256 (0)772 123-456": "+256772123456",
    "++256772123456": "+256772123456",
    # separators inside one number
    "0772 123 456": "+256772123456",
    "(0772) 123456": "+256772123456",
    "0772-123-456": "+256772123456",
    "0756/406/178": "+256756406178",
    "0705.736.505": "+256705736505",
    "0772,123,456": "+256772123456",
    "0772'123'456": "+256772123456",
    "- 0772123456": "+256772123456",  # an item of a list
    "0772123456;": "+256772123456",  # a list of one
    # what cannot be seen
    "  0772123456\t": "+256772123456",
    "0772\u00a0123\u2009456": "+256772123456",  # no-break and thin space
    "0772\u200b123456": "+256772123456",  # zero-width space
    "\ufeff0772123456": "+256772123456",  # byte order mark
    "\u202a+256772123456\u202c": "+256772123456",  # as copied from a phone's contacts
    "0772\n123456": "+256772123456",
    # other digits and dashes
    "\uff10\uff17\uff17\uff12\uff11\uff12\uff13\uff14\uff15\uff16": "+256772123456",  # full-width
    "\uff0b256\uff0d772123456": "+256772123456",
    "٠٧٧٢١٢٣٤٥٦": "+256772123456",  # Arabic-Indic
    "0772\u2013123\u2014456": "+256772123456",  # en and em dash
    "0772\u2212123456": "+256772123456",  # minus sign
    # labels in front
    "Tel: 0772 123456": "+256772123456",
    "Tel. No: 0772123456": "+256772123456",
    "Phone - 0772123456": "+256772123456",
    "Mob. 0772123456": "+256772123456",
    "WhatsApp:0772123456": "+256772123456",
    "Tel/WhatsApp: 0772123456": "+256772123456",
    "tel:+256772123456": "+256772123456",
    "Airtel 0701123456": "+256701123456",
    # spreadsheets
    "'0772123456": "+256772123456",
    '="0772123456"': "+256772123456",
    "772123456.0": "+256772123456",
    "256772123456.00": "+256772123456",
    "256,705,736,505": "+256705736505",
    "2.56782341987E+11": "+256782341987",
    "2,56782341987E+11": "+256782341987",  # where the comma is the decimal sign
    "7.72123456e8": "+256772123456",
}

REJECTED: dict[Reason, list[str | None]] = {
    Reason.MISSING: [
        None,
        "",
        "   ",
        "\u00a0\u200b",
        "-",
        "--",
        "—",
        ".",
        "?",
        "+",
        "N/A",
        "n.a.",
        "NA",
        "<NA>",
        "none",
        "NIL",
        "null",
        "nan",
        "NaT",
        "No",
        "unknown",
        "not available",
        "No phone",
        "TBA",
        "#N/A",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "Err:502",
        "#######",
        "0",
        "0.0",
        "0000000000",
        "Tel:",
        "Phone - N/A",
    ],
    Reason.ROUNDED_BY_SPREADSHEET: [
        "2.56772E+11",  # filled with zeros it would be a valid number of somebody else
        "2.5677212345E+11",  # perhaps 256772123450, perhaps rounded
        "7.72E+08",
        "2,56772E+11",
        "8E8",
        "2.56772E-11",
        "Tel: 2.56772E+11",
    ],
    Reason.CONTAINS_LETTERS: [
        "O772123456",  # letter O
        "О772123456",  # noqa: RUF001 -- Cyrillic O
        "07721234S6",
        "0772xxxxxx",  # phonenumbers: 0772999999, valid
        "077xx123456",
        "0772xxx456",
        "0772ABCDEF",  # phonenumbers: 0772222333, valid
        "0772123456 (Jane)",
        "Jane 0772123456",
        "0772123456 MTN",
        "+256772123456 call after 5",
        "0772123456 or 457",
        "see notes",
        "jane@example.org",
    ],
    Reason.SEVERAL_NUMBERS: [
        "0772123456/0701123456",
        "0772123456, 0701123456",
        "0772123456;0701123456",  # phonenumbers: the first, with an extension
        "0772123456 & 0701123456",
        "0772123456 or 0701123456",
        "0772123456 AND 0701123456",
        "0772123456\n0701123456",
        "0772123456 0701123456",
        "0772 123 456 0701 123 456",
        "0772123456-0701123456",
        "+256772123456+256701123456",
        "MTN: 0772123456 / Airtel: 0701123456",
        "0414 123456 / 0772 123456",
        "+254722123456, 0772123456",
        "0722123456/0701123456",  # complete, though there is no such range
        "0772123456 / 0701123456 / 456",
        "0772123456 / 0772123456",
    ],
    Reason.HAS_EXTENSION: [
        "0777 136013 extension 426",
        "0772123456x123",
        "0772123456 ext. 4",
        "0772123456;ext=4",
        "0772123456#4",
        "0772123456;12",
        "Tel: 0414 123456 ext 3",
    ],
    Reason.TOO_SHORT: [
        "5",
        "100",
        "911",
        "8008",
        "12345",
        "772",
        "77212345",
        "077212345",
        "25677212345",
        "+25677212345",
        "0025677212345",
        "256",
        "+256",
        "2026-01-11",
        "077212345.0",  # not 0772123450
        "077212345/6",  # not 0772123456
        "077212345 (2)",  # not 0772123452
    ],
    Reason.TOO_LONG: [
        "07721234567",
        "7721234567",
        "2567721234567",
        "+2567721234567",
        "256256772123456",
        "0256772123456",
        "0772123456/7",
        "07721234560701123456",
        "77212345678",  # with a plus it exists in Kazakhstan
        "7" * 300,
    ],
    Reason.FOREIGN: [
        "+254722123456",
        "000254722123456",
        "00254722123456",  # the usual international prefix, which is not Uganda's
        "254722123456",  # no plus; twelve digits that exist in Kenya
        "250788123456",
        "+44 7911 123456",
        "+1 202 555 0123",
        "+25472",  # whatever it is, it is not Ugandan
        "+772123456",  # a plus says that a country code follows: 7
    ],
    Reason.NOT_MOBILE: [
        "0414123456",
        "+256 414 123456",
        "0312123456",
        "0390123456",
        "0200123456",
        "0800123456",
        "0901123456",
        "999",
    ],
    Reason.INVALID_NUMBER: [
        "0722123456",
        "0733123456",
        "0796123456",
        "0734512345",
        "0204123456",
        "512345678",
        "+0772123456",  # no country code starts with 0
        "00772123456",  # read as 007, then 72123456: a slip, not a call to Russia
        "0772123456+",
        "256+772123456",
        "-772123200",  # the formula =256-772123456
        "(772,123,200)",  # the same, as accountants show it
        "7721234.56",
        "7721234,56",
        "7.72123456",  # phonenumbers: 0772123456
        "0.772123456",
        "*165#",
        "*165*3*0772123456#",
        "0772123456*",
        "0772123456?",
        "0772123456²",  # a footnote
        "07721²3456",
        "0772_123_456",
    ],
}


@pytest.mark.parametrize(("typed", "e164"), ACCEPTED.items())
def test_read(typed: str, e164: str) -> None:
    verdict = judge_number(typed)
    assert (verdict.e164, verdict.reason) == (e164, None)


@pytest.mark.parametrize(
    ("reason", "typed"), [(reason, typed) for reason, cells in REJECTED.items() for typed in cells]
)
def test_turned_away(typed: str | None, reason: Reason) -> None:
    verdict = judge_number(typed)
    assert (verdict.reason, verdict.e164, verdict.network_guess) == (reason, None, None)


def test_every_reason_of_a_number_has_examples() -> None:
    reasons = list(Reason)
    of_a_number = reasons[reasons.index(Reason.MISSING) : reasons.index(Reason.INVALID_NUMBER) + 1]
    assert set(REJECTED) == set(of_a_number)


@pytest.mark.parametrize(
    ("typed", "outcome"),
    [
        ("0772123456;0701123456", "+256772123456"),
        ("0772 123 456 0701 123 456", "+256772123456"),
        ("MTN: 0772123456 / Airtel: 0701123456", "+256772123456"),
        ("0772123456 / 456 / 0701123456", "+256772123456"),
        # the first is the first, not the first that will do
        ("0414123456 / 0772123456", Reason.NOT_MOBILE),
        ("+254722123456 / 0772123456", Reason.FOREIGN),
        # not several numbers: nothing changes
        ("0756/406/178", "+256756406178"),
        ("0772123456/7", Reason.TOO_LONG),
        ("0772123456 (Jane) 0701123456", Reason.CONTAINS_LETTERS),
    ],
)
def test_the_first_of_several_on_request(typed: str, outcome: str | Reason) -> None:
    verdict = judge_number(typed, several="first")
    assert (verdict.e164 or verdict.reason) == outcome


@pytest.mark.parametrize(
    ("typed", "network"),
    [("0772123456", "MTN"), ("0701123456", "Airtel"), ("0712123456", "UTL"), ("0726123456", "LycaMobile")],
)
def test_network_is_guessed_from_the_prefix(typed: str, network: str) -> None:
    assert judge_number(typed).network_guess == network


@pytest.mark.parametrize(
    ("typed", "repaired"),
    [
        ("0772123456", None),
        ("Tel: 0772 123456", "0772123456"),
        ("00256772123456", "+256772123456"),
        ("2.56782341987E+11", "256782341987"),
        ("0414 123456", "0414123456"),
    ],
)
def test_says_what_was_read(typed: str, repaired: str | None) -> None:
    assert judge_number(typed).repaired == repaired


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("254722123456", "country code +254 (KE)"),
        ("0414123456", "a fixed line"),
        ("0800123456", "a toll-free number"),
        ("999", "a short code"),
        ("0772123456?", "the sign '?' in the number"),
        ("-772123200", "a negative number, as a calculation leaves it"),
    ],
)
def test_notes_say_more_than_the_reason(typed: str, note: str) -> None:
    assert judge_number(typed).note == note


@pytest.mark.parametrize("typed", ["Tel: 0772 123456", "0772123456;0701123456", "+254722123456"])
def test_no_number_in_the_repr(typed: str) -> None:
    assert not any(part in repr(judge_number(typed)) for part in ("123456", "772", "722"))


# The cells of people who want no messages: the last digits of each number that is read, and a reason where something
# in the cell is not.
OPT_OUTS = {
    "0772123456": ["456"],
    "0772123456/0701234567": ["456", "567"],
    "Tel 0772123456, mob: 0701234567": ["456", "567"],
    "0756/406/178 / 0701234567": ["178", "567"],
    "0772123456/0414123456": ["456", Reason.NOT_MOBILE],
    "+254722123456 or 0772123456": [Reason.FOREIGN, "456"],
    "0772123456/077212345": ["456", Reason.TOO_LONG],
    "0772123456; 0701234567; 077": ["456", "567", Reason.SEVERAL_NUMBERS],
    "0772123456 (Jane)": ["456", Reason.CONTAINS_LETTERS],
    "Jane 0772123456 0701234567": ["456", "567", Reason.CONTAINS_LETTERS],
    "O772123456": ["456", Reason.CONTAINS_LETTERS],
    "0772123456 ext 4": ["456", Reason.HAS_EXTENSION],
    "0772123456*": ["456", Reason.INVALID_NUMBER],
    # other people's numbers, as a calculation leaves them
    "-772123200": [Reason.INVALID_NUMBER],
    "772123475.5": [Reason.INVALID_NUMBER],
    "2.56772E+11": [Reason.ROUNDED_BY_SPREADSHEET],
    "07721234560701234567": [Reason.TOO_LONG],
    "N/A": [Reason.MISSING],
}


@pytest.mark.parametrize(("typed", "read"), OPT_OUTS.items())
def test_every_complete_number_in_the_cell_of_an_opt_out_is_read(typed: str, read: list[str]) -> None:
    assert [found.reason or str(found.e164)[-3:] for found in judge_each_number(typed)] == read
