"""The size of a text, at every boundary, and what is said of the characters that make it dear."""

# ruff: noqa: RUF001 - curly quotes and dashes are what these tests are about
from __future__ import annotations

import pytest

from mambo_io.errors import InputError
from pipelines.segments import (
    BASIC,
    EXTENSION,
    Encoding,
    Measure,
    explain,
    forcing_characters,
    measure,
    smart_encode,
)
from support.sms_packer import SEPTETS

GSM, UCS = Encoding.GSM_7, Encoding.UCS_2
EURO = "€"  # two septets
GRIN = "\N{GRINNING FACE}"  # two UTF-16 code units
ENG = "ŋ"  # one UTF-16 code unit, outside the GSM alphabet
LUGANDA = "Mujje ku ddwaliro ku Lwokuna, ŋŋenda kubalaba bonna. Temwerabira kaadi zammwe."


def test_the_alphabet_is_the_one_of_ts_23_038() -> None:
    one_septet = {character for character, septets in SEPTETS.items() if len(septets) == 1}

    assert len(BASIC) == 127  # and the escape
    assert set(BASIC) == one_septet
    assert set(EXTENSION) == set(SEPTETS) - one_septet


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", Measure(GSM, 0, 0), id="empty"),
        pytest.param("a", Measure(GSM, 1, 1), id="one-character"),
        # GSM-7 without escapes
        pytest.param("a" * 160, Measure(GSM, 160, 1), id="160-septets"),
        pytest.param("a" * 161, Measure(GSM, 161, 2), id="161-septets"),
        pytest.param("a" * 306, Measure(GSM, 306, 2), id="306-septets"),
        pytest.param("a" * 307, Measure(GSM, 307, 3), id="307-septets"),
        pytest.param("a" * 459, Measure(GSM, 459, 3), id="459-septets"),
        pytest.param("a" * 460, Measure(GSM, 460, 4), id="460-septets"),
        # GSM-7 with escapes: a pair is never cut
        pytest.param("a" * 158 + EURO, Measure(GSM, 160, 1), id="pair-ends-at-160"),
        pytest.param("a" * 159 + EURO, Measure(GSM, 161, 2), id="pair-over-160"),
        pytest.param("a" * 152 + EURO + "a" * 6, Measure(GSM, 160, 1), id="pair-at-153-of-a-single-segment"),
        pytest.param("a" * 151 + EURO + "a" * 153, Measure(GSM, 306, 2), id="pair-ends-at-153"),
        pytest.param("a" * 152 + EURO + "a" * 151, Measure(GSM, 305, 2), id="pair-at-153-leaves-a-gap"),
        pytest.param("a" * 152 + EURO + "a" * 152, Measure(GSM, 306, 3), id="pair-at-153-pushes-one-out"),
        pytest.param("a" * 153 + EURO + "a" * 151, Measure(GSM, 306, 2), id="pair-begins-a-part"),
        pytest.param("a" * 305 + EURO, Measure(GSM, 307, 3), id="pair-at-306"),
        pytest.param("a" * 152 + EURO + "a" * 150 + EURO, Measure(GSM, 306, 3), id="gap-at-153-then-pair-at-306"),
        pytest.param("a" * 152 + EURO + "a" * 150 + EURO + "a" * 152, Measure(GSM, 458, 4), id="two-gaps-push-one-out"),
        pytest.param(EURO * 80, Measure(GSM, 160, 1), id="80-pairs"),
        pytest.param(EURO * 81, Measure(GSM, 162, 2), id="81-pairs"),
        pytest.param(EURO * 152, Measure(GSM, 304, 2), id="76-pairs-a-part"),
        pytest.param(EURO * 153, Measure(GSM, 306, 3), id="306-septets-of-pairs-are-3-segments"),
        # UCS-2
        pytest.param(ENG, Measure(UCS, 1, 1), id="one-eng"),
        pytest.param("a" * 69 + ENG, Measure(UCS, 70, 1), id="70-units"),
        pytest.param("a" * 70 + ENG, Measure(UCS, 71, 2), id="71-units"),
        pytest.param("a" * 133 + ENG, Measure(UCS, 134, 2), id="134-units"),
        pytest.param("a" * 134 + ENG, Measure(UCS, 135, 3), id="135-units"),
        pytest.param("a" * 200 + ENG, Measure(UCS, 201, 3), id="201-units"),
        pytest.param("a" * 201 + ENG, Measure(UCS, 202, 4), id="202-units"),
        pytest.param(EURO * 35 + ENG, Measure(UCS, 36, 1), id="nothing-counts-double-in-ucs-2"),
        # UCS-2 with surrogate pairs
        pytest.param(GRIN, Measure(UCS, 2, 1), id="one-emoji"),
        pytest.param("a" * 68 + GRIN, Measure(UCS, 70, 1), id="surrogates-end-at-70"),
        pytest.param("a" * 69 + GRIN, Measure(UCS, 71, 2), id="surrogates-over-70"),
        pytest.param("a" * 66 + GRIN + "a" * 2, Measure(UCS, 70, 1), id="surrogates-at-67-of-a-single-segment"),
        pytest.param("a" * 65 + GRIN + "a" * 67, Measure(UCS, 134, 2), id="surrogates-end-at-67"),
        pytest.param("a" * 66 + GRIN + "a" * 66, Measure(UCS, 134, 3), id="surrogates-at-67-push-one-out"),
        pytest.param("a" * 133 + GRIN, Measure(UCS, 135, 3), id="surrogates-at-134"),
        pytest.param(GRIN * 35, Measure(UCS, 70, 1), id="35-emoji"),
        pytest.param(GRIN * 66, Measure(UCS, 132, 2), id="33-emoji-a-part"),
        pytest.param(GRIN * 67, Measure(UCS, 134, 3), id="134-units-of-emoji-are-3-segments"),
        # What people write
        pytest.param(LUGANDA, Measure(UCS, len(LUGANDA), 2), id="luganda"),
        pytest.param(LUGANDA.replace(ENG, "ng'"), Measure(GSM, len(LUGANDA) + 4, 1), id="luganda-with-ng"),
        pytest.param("Line one\nline two", Measure(GSM, 17, 1), id="line-feed"),
        pytest.param("Line one\r\nline two", Measure(GSM, 18, 1), id="windows-line-break"),
    ],
)
def test_measure(text: str, expected: Measure) -> None:
    assert measure(text) == expected


@pytest.mark.parametrize(
    ("character", "encoding"),
    [
        ("@", GSM),
        ("Ç", GSM),
        ("ç", UCS),
        ("é", GSM),
        ("ê", UCS),
        ("\r", GSM),
        ("\f", GSM),
        ("\t", UCS),
        ("\v", UCS),
        ("\0", UCS),
        ("\x1b", UCS),  # the escape itself is no character of a text
        ("`", UCS),
        ("'", GSM),
        ("\N{RIGHT SINGLE QUOTATION MARK}", UCS),
        ("\N{EN DASH}", UCS),
        ("\N{HORIZONTAL ELLIPSIS}", UCS),
        ("\N{NO-BREAK SPACE}", UCS),
        ("\N{ZERO WIDTH SPACE}", UCS),
        ("\N{GREEK CAPITAL LETTER OMEGA}", GSM),
        ("\N{GREEK CAPITAL LETTER ALPHA}", UCS),  # telephones would show a Latin A, but it is not in the alphabet
        ("\N{OHM SIGN}", UCS),
    ],
    ids=ascii,
)
def test_inside_or_outside_the_alphabet(character: str, encoding: Encoding) -> None:
    assert measure(f"a{character}b").encoding is encoding


@pytest.mark.parametrize("function", [measure, smart_encode, explain])
def test_half_a_surrogate_pair_is_refused(function: object) -> None:
    assert callable(function)
    with pytest.raises(InputError, match="character 4 of the text is half a surrogate pair"):
        function("Oli\ud83d")


def test_forcing_characters_say_which_where_and_what_to_write_instead() -> None:
    found = forcing_characters("“Jane” – ŋŋenda\u00a0wange\u200b…")

    assert [(one.character, one.name, one.positions, one.replacement) for one in found] == [
        ("“", "LEFT DOUBLE QUOTATION MARK", (1,), '"'),
        ("”", "RIGHT DOUBLE QUOTATION MARK", (6,), '"'),
        ("–", "EN DASH", (8,), "-"),
        ("ŋ", "LATIN SMALL LETTER ENG", (10, 11), None),
        ("\u00a0", "NO-BREAK SPACE", (16,), " "),
        ("\u200b", "ZERO WIDTH SPACE", (22,), ""),
        ("…", "HORIZONTAL ELLIPSIS", (23,), "..."),
    ]


@pytest.mark.parametrize(
    ("text", "character", "name", "replacement"),
    [
        pytest.param("cafe\u0301", "e\u0301", "LATIN SMALL LETTER E + COMBINING ACUTE ACCENT", "é", id="composes"),
        pytest.param("w\u0302", "w\u0302", "LATIN SMALL LETTER W + COMBINING CIRCUMFLEX ACCENT", None, id="does-not"),
        pytest.param("\u2126", "\u2126", "OHM SIGN", "Ω", id="omega-by-another-name"),
        pytest.param("a\tb", "\t", "TAB", " ", id="tab"),
        pytest.param("a\x07b", "\x07", "U+0007", None, id="control-character"),
        pytest.param("ng`ombe", "`", "GRAVE ACCENT", "'", id="backtick-as-apostrophe"),
        pytest.param("garçon", "ç", "LATIN SMALL LETTER C WITH CEDILLA", None, id="letters-stay"),
    ],
)
def test_one_forcing_character(text: str, character: str, name: str, replacement: str | None) -> None:
    (found,) = forcing_characters(text)

    assert (found.character, found.name, found.replacement) == (character, name, replacement)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("“It’s ‘free’”", "\"It's 'free'\"", id="quotes"),
        pytest.param("8:00–17:00 — come", "8:00-17:00 - come", id="dashes"),
        pytest.param("Wait…", "Wait...", id="ellipsis"),
        pytest.param("UGX\u00a05,000\tonly", "UGX 5,000 only", id="nbsp-and-tab"),
        pytest.param("Jane\u200b, hi\ufeff", "Jane, hi", id="invisible"),
        pytest.param("one\u2028two", "one\ntwo", id="line-separator"),
        pytest.param("cafe\u0301", "café", id="accent-composed"),
        pytest.param("plain", "plain", id="nothing-to-do"),
        pytest.param("[a] {b} ~", "[a] {b} ~", id="extension-characters-stay"),
        # Where the message needs UCS-2 anyway, plain punctuation would buy nothing
        pytest.param("“ŋŋenda”", "“ŋŋenda”", id="eng-stays-and-so-do-the-quotes"),
        pytest.param("Ça va, garçon – \N{GRINNING FACE}", "Ça va, garçon – \N{GRINNING FACE}", id="emoji"),
        pytest.param("…" * 70, "…" * 70, id="210-dots-would-be-a-segment-more"),
    ],
)
def test_smart_encode(text: str, expected: str) -> None:
    assert smart_encode(text) == expected


def test_explain_prices_one_curly_quote() -> None:
    text = "Dear customer, don’t forget: clinic day is Thursday at 9 in the morning. Bring your card."

    told = explain(text, price_per_segment_ugx=35)

    assert (told.encoding, told.segments, told.cost_ugx) == (UCS, 2, 70)
    (quote,) = told.forcing
    assert (quote.positions, quote.replacement, quote.saved_segments, quote.saved_ugx) == ((19,), "'", 1, 35)
    assert (told.saved_segments, told.saved_ugx) == (1, 35)
    assert told.smart == Measure(GSM, len(text), 1)


def test_explain_prices_a_letter_that_has_no_replacement() -> None:
    told = explain(LUGANDA)

    (eng,) = told.forcing
    assert (eng.replacement, eng.saved_segments, eng.saved_ugx) == (None, 1, 50)
    assert told.smart is None
    # 3 segments instead of 1: a letter of the alphabet would take one septet
    assert explain("a" * 159 + ENG).forcing[0].saved_segments == 2


def test_explain_of_several_characters_each_saves_nothing_alone() -> None:
    told = explain("“Clinic day” is on Thursday from 8 in the morning. Bring your card and your child.")

    assert [cost.saved_ugx for cost in told.forcing] == [0, 0]
    assert (told.saved_segments, told.saved_ugx) == (1, 50)


def test_explain_never_promises_a_saving_below_nothing() -> None:
    told = explain("…" * 70)  # one segment; as 210 dots it would be two

    assert (told.segments, told.saved_segments, told.saved_ugx) == (1, 0, 0)


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("", 160),
        ("a" * 100, 60),
        ("a" * 160, 0),
        ("a" * 161, 145),
        ("a" * 306, 0),
        ("a" * 152 + EURO + "a" * 10, 141),
        (ENG, 69),
        (ENG * 71, 63),
    ],
    ids=["empty", "100", "160", "161", "306", "escape-pushed-on", "ucs-2", "ucs-2-71"],
)
def test_explain_tells_the_room_in_the_last_segment(text: str, room: int) -> None:
    assert explain(text).room == room


def test_explain_names_the_characters_that_count_double() -> None:
    assert explain("[a] {b} [c]").double == {"{": 1, "}": 1, "[": 2, "]": 2}
    assert explain("[ŋ]").double == {}  # in UCS-2 nothing but emoji and their like counts double
