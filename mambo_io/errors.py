"""What a person is told when something is wrong, and the exit code that goes with it.

::

    MamboError
    ├── InputError      2   a file, row, column, value or option is wrong; nothing was changed
    │   ├── SettingsError   an environment variable or `.env` entry
    │   └── StoreError      the ledger's database cannot be used as it is
    ├── Stopped         3   work or unknown calls are left; the same command goes on
    ├── Difference      3   the money is not what it should be, and a person has to find out why
    └── Declined        4   the person said no

Exit code 0 is "nothing left to do"; 1 is a defect of ours: any exception that is not a `MamboError`.

A message is all that an error holds: engines pickle exceptions and logs print them, so an error carries no key, no
password, no frame, and every number in a quoted value is masked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from mambo_io.masking import mask_text

# As `InputError` writes it: a value, quoted, in front or behind its place; and what to do.
_VALUE = re.compile(r"""(?P<place>^|: )(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") """)
_FIX = re.compile(r"\. .*", re.DOTALL)


class MamboError(Exception):
    """Base of everything that is told to a person instead of being shown as a traceback."""

    exit_code: ClassVar[int]

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def outline(self) -> str:
        """Where and what, without anything that the message quotes and without what to do (which may list columns): for
        those who must not see a list or a text."""
        place_and_problem = _FIX.sub("", _VALUE.sub(r"\g<place>", self.message, count=1))
        return mask_text(": ".join(place_and_problem.split(": ")[:2]))


class InputError(MamboError):
    """Something given to us is wrong; nothing was changed.

    `problem` says what is wrong, `fix` what to do or what is allowed. Where it stands is said in front:
    ``people.csv, row 7, column phone: 'O77…' …``. `value` is quoted, masked and cut at 80 characters; an amount below
    100 million, given as a number, is no telephone number and is not masked.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
        key: str | None = None,
        value: object = None,
        fix: str | None = None,
    ) -> None:
        places = [
            str(file) if file is not None else None,
            f"row {row}" if row is not None else None,
            f"column {column}" if column is not None else None,
            key,
        ]
        place = ", ".join(part for part in places if part)
        quoted = f"{_quote(value)} " if value is not None else ""
        text = f"{place}: {quoted}{problem}" if place else f"{quoted}{problem}"
        # One argument, so that the error survives pickling as it is.
        super().__init__(f"{text.rstrip('.')}. {fix}" if fix else text)


class SettingsError(InputError):
    """An environment variable or a line of `.env` is missing or wrong."""


class StoreError(InputError):
    """The ledger's database cannot be opened, is of another version, or is damaged."""


class Stopped(MamboError):
    """Sending stopped with work or unknown calls left; nothing is lost and the same command goes on."""

    exit_code = 3


class Difference(MamboError):
    """What was charged, or what the account holds, differs from what it should be by more than is allowed."""

    exit_code = 3


class Declined(MamboError):
    """The person who was asked said no; nothing was sent."""

    exit_code = 4


def _quote(value: object) -> str:
    # A value that is a number, not text, and has less than the nine digits of a telephone number, is an amount.
    is_amount = isinstance(value, int | float) and abs(value) < 10**8
    text = str(value) if is_amount else mask_text(str(value))
    return repr(text if len(text) <= 80 else text[:79] + "…")
