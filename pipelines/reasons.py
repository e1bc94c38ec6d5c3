"""Why a row of the input is not sent: codes, and what they mean. Loads quickly, for commands that only look."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a row of the input is not sent. The value is the code in frames, tables and exports."""

    RAGGED_ROW = "ragged_row"
    HIDDEN_ROW = "hidden_row"
    MISSING = "missing"
    ROUNDED_BY_SPREADSHEET = "rounded_by_spreadsheet"
    CONTAINS_LETTERS = "contains_letters"
    SEVERAL_NUMBERS = "several_numbers"
    HAS_EXTENSION = "has_extension"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    FOREIGN = "foreign"
    NOT_MOBILE = "not_mobile"
    INVALID_NUMBER = "invalid_number"
    OPTED_OUT = "opted_out"
    DUPLICATE = "duplicate"
    ALREADY_SENT = "already_sent"
    MISSING_MERGE_FIELD = "missing_merge_field"
    EMPTY_MESSAGE = "empty_message"
    MESSAGE_TOO_LONG = "message_too_long"

    @property
    def meaning(self) -> str:
        """One short clause for a person: what is wrong with the row."""
        return _MEANINGS[self]


def reason_meaning(code: str) -> str:
    """A reason code in words; a code of a newer version stays as it is."""
    try:
        return Reason(code).meaning
    except ValueError:
        return code


_MEANINGS: dict[Reason, str] = {
    Reason.RAGGED_ROW: "too many cells in the row, or quotes that do not pair",
    Reason.HIDDEN_ROW: "the row is hidden in the spreadsheet",
    Reason.MISSING: "no number",
    Reason.ROUNDED_BY_SPREADSHEET: "the spreadsheet has rounded the number; its digits are lost",
    Reason.CONTAINS_LETTERS: "letters in the number",
    Reason.SEVERAL_NUMBERS: "several numbers in one cell",
    Reason.HAS_EXTENSION: "the number has an extension",
    Reason.TOO_SHORT: "too few digits",
    Reason.TOO_LONG: "too many digits",
    Reason.FOREIGN: "a number of another country",
    Reason.NOT_MOBILE: "not a mobile number",
    Reason.INVALID_NUMBER: "no such number in Uganda, or a sign or a fraction in it",
    Reason.OPTED_OUT: "the person has opted out",
    Reason.DUPLICATE: "the same number stands earlier in the list",
    Reason.ALREADY_SENT: "the same text was sent to this number already",
    Reason.MISSING_MERGE_FIELD: "a merge field is empty or a spreadsheet error",
    Reason.EMPTY_MESSAGE: "the message is empty",
    Reason.MESSAGE_TOO_LONG: "the message has more segments than allowed",
}
