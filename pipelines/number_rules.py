"""One cell of a telephone column: the mobile number of Uganda it holds, or the reason why none can be read from it.

`judge_number` is the rule book. It reads one value at a time, in the order in which the rules stand, and is what
`pipelines.numbers` must agree with for whole columns.

`phonenumbers` (region UG) is the authority on which numbers exist. The rules here stand in front of it because it is
built to be generous: it reads letters as keypad digits, takes what follows a `;` for an extension, and drops what it
does not understand. In a bulk message a generous guess texts and bills a stranger. So a value is repaired only where
nothing is lost, and everything else is turned away with a reason.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult, carrier

from pipelines.reasons import Reason

REGION = "UG"
CALLING_CODE = 256

Several = Literal["reject", "first"]


@dataclass(frozen=True, slots=True)
class NumberVerdict:
    """What one value came to: either `e164` or `reason` is set, never both.

    `e164` is `+2567XXXXXXXX`; `network_guess` the operator that `phonenumbers` names for the prefix (numbers move
    between networks, hence a guess). `repaired` is what was handed to `phonenumbers`, where that differs from the
    value as typed. `note` says more than the reason does and holds no digits of the number.
    """

    e164: str | None = field(default=None, repr=False)
    network_guess: str | None = None
    reason: Reason | None = None
    repaired: str | None = field(default=None, repr=False)
    note: str | None = None


def judge_number(raw: str | None, *, several: Several = "reject") -> NumberVerdict:
    """Read one value of a telephone column; never raises.

    `several` says what becomes of a cell with two or more complete numbers: turned away, or the first complete one
    judged as if it stood alone (also when it is a fixed line and the second is not).
    """
    text = _without_labels(_plain(raw or ""))
    if _is_missing(text):
        return NumberVerdict(reason=Reason.MISSING)

    dense = text.replace(" ", "")
    if _NEGATIVE.fullmatch(dense):
        return NumberVerdict(reason=Reason.INVALID_NUMBER, note="a negative number, as a calculation leaves it")
    if scientific := _SCIENTIFIC.fullmatch(dense):
        whole = _whole_number(scientific)
        return _judge_digits(whole, raw) if whole else NumberVerdict(reason=Reason.ROUNDED_BY_SPREADSHEET)
    if exact := _POINT_ZERO.fullmatch(dense):
        text = exact["whole"]
    elif _FRACTION.fullmatch(dense):
        return NumberVerdict(reason=Reason.INVALID_NUMBER, note="a decimal fraction")

    numbers = _complete_numbers(text)
    if len(numbers) > 1:
        if several == "reject":
            return NumberVerdict(reason=Reason.SEVERAL_NUMBERS, note=f"{len(numbers)} numbers")
        return _judge_digits(numbers[0], raw)

    if not _ONE_NUMBER.fullmatch(text):
        return _reject_other_characters(text)
    verdict = _judge_digits(_digits(text), raw)
    if verdict.e164 and _SET_APART.search(text):
        return NumberVerdict(reason=Reason.TOO_SHORT, note="the last digit stands apart")
    return verdict


def judge_each_number(raw: str | None) -> list[NumberVerdict]:
    """Read every number of a cell that names people who want no messages; never raises.

    Where more stands in it than one number, each complete one is judged by itself. A verdict with a reason says that
    something in the cell is not read: an incomplete number, letters, or one that is no mobile number of Uganda. This
    is no way to find out whom to message: `O773000003` may mean somebody else.
    """
    verdict = judge_number(raw)
    if verdict.reason is None or verdict.reason is Reason.MISSING:
        return [verdict]
    text = _without_labels(_plain(raw or ""))
    if len(numbers := _complete_numbers(text)) > 1:
        is_all = "".join(numbers) == _digits(text)
        return [*map(judge_number, numbers), *([] if is_all else [verdict])]
    pieces = _BESIDE_NUMBERS.split(text)
    each = [found for piece in pieces for found in judge_each_number(piece)] if len(pieces) > 1 else []
    return [*(found for found in each if found.e164), verdict]


# --- characters ------------------------------------------------------------------------------------------------------

_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Zs", "Zl", "Zp"}  # controls, joiners and bidi marks, spaces, line breaks
_INVISIBLE_OTHERS = {0x034F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)}  # fillers, variations
_DASHES_OTHERS = {0x2043, 0x2212}  # hyphen bullet, minus sign
_QUOTES = '"`´‘’‚‛“”„′″ʼ'  # noqa: RUF001 -- the look-alikes are what this is about
_FULL_WIDTH = range(0xFF01, 0xFF5F)


class _PlainCharacters(dict[int, str]):
    """A table for `str.translate`, filled as characters turn up.

    Digits of any script and full-width forms become ASCII, dashes `-`, quotes `'`, and what cannot be seen a space.
    Superscripts and circled digits stay as they are: they are footnotes more often than digits.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Nd":
            plain = str(unicodedata.decimal(character))
        elif category == "Pd" or code in _DASHES_OTHERS:
            plain = "-"
        elif category in _INVISIBLE_CATEGORIES or code in _INVISIBLE_OTHERS:
            plain = " "
        elif character in _QUOTES:
            plain = "'"
        elif code in _FULL_WIDTH:
            plain = self[code - 0xFEE0]
        else:
            plain = character
        self[code] = plain
        return plain


_PLAIN = _PlainCharacters()


class _PlainDigits(dict[int, str]):
    """Of `_PLAIN` what becomes a digit or a plus."""

    def __missing__(self, code: int) -> str:
        plain = _PLAIN[code]
        self[code] = plain if plain in "0123456789+" else chr(code)
        return self[code]


_PLAIN_DIGITS = _PlainDigits()


def with_plain_digits(raw: str) -> str:
    """`raw` with ASCII digits and plus signs, everything else as it was."""
    return raw.translate(_PLAIN_DIGITS)


# Words that people write in front of a number. Only whole words, and only in front: any other letter is a doubt.
_LABEL = re.compile(
    r"(?:(?:tel|telephone|phone|ph|mobile|mob|cell|cellphone|contact|whatsapp|call|sms|msisdn|line|number|num|nos?"
    r"|mtn|airtel|utl)(?![a-z])[\s.:#/\-]*)+",
    re.IGNORECASE,
)
_ENDS = " ':;,|="  # also `="0772123456"`, which spreadsheets are given to keep the leading zero


def _plain(raw: str) -> str:
    return raw.translate(_PLAIN).strip(_ENDS)


def _without_labels(text: str) -> str:
    label = _LABEL.match(text)
    return text[label.end() :].strip(_ENDS) if label else text


def _digits(text: str) -> str:
    """The digits of a text, and its plus signs."""
    return re.sub(r"[^0-9+]", "", text)


# --- nothing there ---------------------------------------------------------------------------------------------------

_MISSING_WORD = re.compile(
    r"na|nan|nat|nil+|none|null|no|not|missing|unknown|blank|empty|undefined|tba|tbd"
    r"|no(?:phone|number|contact)|not(?:available|applicable|provided|given|known)"
)
# `#N/A`, `#REF!`, `#DIV/0!`, `#NAME?` of Excel and its kin, `Err:502` of LibreOffice.
_SPREADSHEET_ERROR = re.compile(r"#[A-Z_/]+0?[!?]?|Err:\d{3}", re.IGNORECASE)


def _is_missing(text: str) -> bool:
    """No letter and no digit, a word or a spreadsheet error that says so, or zeros only."""
    said = "".join(character for character in text if character.isalnum())
    return not said.strip("0") or bool(_MISSING_WORD.fullmatch(said.lower()) or _SPREADSHEET_ERROR.fullmatch(text))


# --- what a spreadsheet makes of a number ----------------------------------------------------------------------------

# `256-772123456`, typed as a formula, becomes -772123200: nine digits, and somebody else's number.
_NEGATIVE = re.compile(r"-[1-9][\d.,']*(?:E[+-]?\d+)?|\([1-9][\d.,']*\)", re.IGNORECASE)
_SCIENTIFIC = re.compile(
    r"\+?(?P<first>[1-9])(?:[.,](?P<rest>\d*))?E(?P<sign>[+-]?)(?P<exponent>\d{1,9})", re.IGNORECASE
)
_POINT_ZERO = re.compile(r"(?P<whole>\+?[\d,']+)\.00?")
# `7.72123456` and `7721234.56`. Not `0772.123456`, nor groups such as `772.123.456`.
_FRACTION = re.compile(r"(?:0|[1-9]\d?)[.,]\d+|[1-9][\d,']*\.\d{1,2}|[1-9]\d*,\d{1,2}")

_DECIMAL_PLACES = re.compile(r"\+?[\d,']+\.\d{1,2}")


def _whole_number(scientific: re.Match[str]) -> str | None:
    """`2.56782341987E+11` has all its digits; of `2.56772E+11` nobody knows the last six."""
    digits = scientific["first"] + (scientific["rest"] or "")
    length = int(scientific["exponent"]) + 1
    if scientific["sign"] == "-" or len(digits) < length or digits[length:].strip("0"):
        return None
    return digits[:length]


def without_exponent(raw: str) -> str:
    """`2.56782341987E+11` as the whole number that it is, and what was rounded as `2E+11`: another with its verdict."""
    scientific = _SCIENTIFIC.fullmatch(raw)
    return (_whole_number(scientific) or "2E+11") if scientific else raw


def depends_on_every_digit(raw: str) -> bool:
    """Scientific notation and decimal places, where zeros at the end mean something."""
    dense = _without_labels(_plain(raw)).replace(" ", "")
    return bool(_SCIENTIFIC.fullmatch(dense) or _DECIMAL_PLACES.fullmatch(dense))


# --- several numbers -------------------------------------------------------------------------------------------------

_BETWEEN_NUMBERS = re.compile(r"[/,;&|\\]|(?<![a-z])(?:or|and)(?![a-z])", re.IGNORECASE)
_ONLY_NUMBERS = re.compile(r"[\d\s+()\-.']*")
_ONE_NUMBER = re.compile(r"[\d\s+()\-.'/,]*")
_BESIDE_NUMBERS = re.compile(r"[^\d\s+()\-.']+")
_SET_APART = re.compile(r"[/,] *\d$|\( *\d{1,2} *\)$")  # `077212345/6` is short for two numbers, `(2)` a footnote
_RUN_OF_DIGITS = re.compile(r"\+[\s(]*\d+|\d+")
_COMPLETE = re.compile(r"(?:(?:\+|00)?256)?0?[2-9]\d{8}|\+(?!256)\d{8,15}")


def _complete_numbers(text: str) -> list[str]:
    """The complete numbers in the text, in order; empty where no list of numbers can be seen.

    Complete on both sides of a `/` or its like, or, whatever stands between them, without a digit left over:
    `0756/406/178` is one number, `0772 123456 0701 123456` are two.
    """
    pieces = [_without_labels(piece.strip(_ENDS)) for piece in _BETWEEN_NUMBERS.split(text)]
    listing = " ".join(pieces)
    if not _ONLY_NUMBERS.fullmatch(listing):
        return []
    complete = [digits for digits in map(_digits, pieces) if _COMPLETE.fullmatch(digits)]
    if len(complete) > 1:
        return complete
    return _cut_into_numbers([_digits(run) for run in _RUN_OF_DIGITS.findall(listing)])


def _cut_into_numbers(runs: list[str]) -> list[str]:
    """Join neighbouring runs of digits so that each joint is a complete number; the earliest cut that works wins."""
    longest = 16  # a plus and 15 digits, by E.164
    cut_from: dict[int, list[str]] = {len(runs): []}  # position -> the numbers from there to the end
    for start in reversed(range(len(runs))):
        joined = ""
        for end in range(start, len(runs)):
            joined += runs[end]
            if len(joined) > longest:
                break
            if end + 1 in cut_from and _COMPLETE.fullmatch(joined):
                cut_from[start] = [joined, *cut_from[end + 1]]
                break
    return cut_from.get(0, [])


def is_one_number(raw: str) -> bool:
    """Whether there is nothing in a value but digits and what people put between them, after any label."""
    return bool(_ONE_NUMBER.fullmatch(_without_labels(_plain(raw))))


# --- letters and signs -----------------------------------------------------------------------------------------------


def _reject_other_characters(text: str) -> NumberVerdict:
    """There is more in the text than digits and what people put between them: an extension, letters, other signs."""
    try:
        parsed = phonenumbers.parse(text, REGION)
    except NumberParseException:
        pass
    else:
        if parsed.extension and phonenumbers.is_possible_number(parsed):
            return NumberVerdict(reason=Reason.HAS_EXTENSION)
    if any(character.isalpha() for character in text):
        return NumberVerdict(reason=Reason.CONTAINS_LETTERS)
    sign = next(character for character in text if not _ONE_NUMBER.fullmatch(character))
    return NumberVerdict(reason=Reason.INVALID_NUMBER, note=f"the sign {sign!r} in the number")


# --- what phonenumbers says ------------------------------------------------------------------------------------------

_KINDS = {
    PhoneNumberType.FIXED_LINE: "a fixed line",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
}


def _judge_digits(digits: str, raw: str | None) -> NumberVerdict:
    """Judge what is left after the repair: digits, with any plus signs."""
    digits = re.sub(r"^\++", "+", digits)
    # Uganda's own international prefixes are 000, 005 and 007, so that `phonenumbers` does not read 00256.
    digits = re.sub(r"^00256", "+256", digits)
    repaired = digits if digits != raw else None
    if "+" in digits[1:]:
        return NumberVerdict(reason=Reason.INVALID_NUMBER, repaired=repaired, note="a plus sign inside the number")
    try:
        parsed = phonenumbers.parse(digits, REGION)
    except NumberParseException as error:
        return NumberVerdict(reason=_PARSE_FAILURES[error.error_type], repaired=repaired)

    kind = phonenumbers.number_type(parsed)
    if parsed.country_code == CALLING_CODE and kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE):
        return NumberVerdict(
            e164=phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164),
            network_guess=carrier.name_for_number(parsed, "en") or None,
            repaired=repaired,
        )
    reason, note = _why_not(digits, parsed, kind)
    return NumberVerdict(reason=reason, repaired=repaired, note=note)


_PARSE_FAILURES = {
    NumberParseException.INVALID_COUNTRY_CODE: Reason.INVALID_NUMBER,
    NumberParseException.NOT_A_NUMBER: Reason.TOO_SHORT,  # given nothing but digits, it asks for two at least
    NumberParseException.TOO_SHORT_AFTER_IDD: Reason.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: Reason.TOO_SHORT,
    NumberParseException.TOO_LONG: Reason.TOO_LONG,
}


def _why_not(digits: str, parsed: PhoneNumber, kind: int) -> tuple[Reason, str | None]:
    """The reason why a number that was parsed is no mobile number of Uganda, and a note."""
    if parsed.country_code != CALLING_CODE:
        # Without a plus only a number that exists there: 00772123456 is a slip of the pen, not a call to Russia.
        if digits.startswith("+") or kind != PhoneNumberType.UNKNOWN:
            return Reason.FOREIGN, _country(parsed)
        return Reason.INVALID_NUMBER, None
    if kind != PhoneNumberType.UNKNOWN:
        return Reason.NOT_MOBILE, _KINDS.get(kind)
    if phonenumbers.is_valid_short_number_for_region(parsed, REGION):
        return Reason.NOT_MOBILE, "a short code"

    # `077212345` keeps its zero as if it were a digit of the number, and so passes for nine digits.
    without_zeros = PhoneNumber(CALLING_CODE, parsed.national_number)
    match phonenumbers.is_possible_number_with_reason(parsed):
        case ValidationResult.TOO_LONG:
            abroad = _valid_abroad(digits)
            return (Reason.TOO_LONG, None) if abroad is None else (Reason.FOREIGN, _country(abroad))
        case ValidationResult.TOO_SHORT | ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            return Reason.TOO_SHORT, None
        case _ if not phonenumbers.is_possible_number(without_zeros):
            return Reason.TOO_SHORT, None
        case _:
            return Reason.INVALID_NUMBER, None


def _valid_abroad(digits: str) -> PhoneNumber | None:
    """`254722123456` and `00254722123456`: a number of another country whose plus was left out.

    Not for a mobile number of Uganda with digits added, which may happen to exist in Kazakhstan.
    """
    if digits.startswith("+"):
        return None
    start = phonenumbers.parse(digits[:9], REGION)
    if phonenumbers.number_type(start) == PhoneNumberType.MOBILE:
        return None
    try:
        parsed = phonenumbers.parse("+" + digits.removeprefix("00"), None)
    except NumberParseException:
        return None
    return parsed if parsed.country_code != CALLING_CODE and phonenumbers.is_valid_number(parsed) else None


def _country(parsed: PhoneNumber) -> str:
    region = phonenumbers.region_code_for_number(parsed)
    return f"country code +{parsed.country_code}" + (f" ({region})" if region else "")
