"""The text of a campaign's message with its merge fields.

A merge field is the name of a column between braces, `{first_name}`, with what to write for people whose cell is empty
after a bar: `{first_name|friend}` (`{title|}` writes nothing). `{{` and `}}` write braces. There is nothing else: the
name is looked up as it stands, so that `{name.upper}` or `{amount:,}` are names of columns that do not exist. Names may
hold spaces, as headers do; white space around names and defaults does not count. A cell with an error of a spreadsheet
(`#N/A`, `#DIV/0!`) counts as empty.

Every line break, of the text and of what is filled in, is written as one LF: CR LF would cost a septet more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from pipelines.segments import INVISIBLE

# White space (as `str.isspace` has it) and invisible characters: around a name, a cell or a message they say nothing.
BLANK = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000" + INVISIBLE
)

# What stands in a cell that a spreadsheet could not work out, in the words of Excel, LibreOffice and Google Sheets
# (`Err:502`). A cell that only looks like one, `#WINNER!`, is somebody's text.
SPREADSHEET_ERROR = (
    r"^(?:#N/A|#(?:REF|DIV/0|VALUE|NAME|NUM|NULL|SPILL|CALC|FIELD|CONNECT|BLOCKED|UNKNOWN|BUSY|ERROR)[!?]"
    r"|#GETTING_DATA|Err:5\d\d)$"
)

_ALLOWED = "Allowed are {column}, {column|default}, and {{ and }} for braces."
_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<field>[^{}]*)\}|(?P<stray>[{}])")
_LINE_BREAK = re.compile(r"\r\n?")
_COLUMNS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Field:
    """A merge field: the column that fills it, and the text for an empty cell (None: the row is rejected)."""

    column: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed message: literal texts and merge fields in order. `file` is named in errors."""

    parts: tuple[str | Field, ...]
    file: Path | str | None = None

    @classmethod
    def parse(cls, text: str, *, file: Path | str | None = None) -> Template:
        """Read `text`. InputError (key `message`) for an empty text, a stray brace, or a field without a name."""
        text = _LINE_BREAK.sub("\n", text)
        if not text.strip(BLANK):
            raise InputError("the message is empty", file=file, key="message", fix="Write the text to send.")

        def refuse(problem: str, at: int) -> InputError:
            snippet = text[at : at + 20]
            return InputError(
                f"(character {at + 1} of the text): {problem}", file=file, key="message", value=snippet, fix=_ALLOWED
            )

        parts: list[str | Field] = []
        end = 0
        for token in _TOKEN.finditer(text):
            parts.append(text[end : token.start()])
            end = token.end()
            if token["stray"]:
                raise refuse(f"a {token['stray']} without its partner", token.start())
            if token["field"] is None:
                parts.append(token.group()[0])
                continue
            column, bar, default = (piece.strip(BLANK) for piece in token["field"].partition("|"))
            if not column:
                raise refuse("a merge field without a column", token.start())
            if "|" in default:
                raise refuse("a merge field has one default at most", token.start())
            parts.append(Field(column, default if bar else None))
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part), file)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the message needs, each once, in the order of the text."""
        return tuple(dict.fromkeys(part.column for part in self.parts if isinstance(part, Field)))

    @property
    def is_plain(self) -> bool:
        """Whether everybody gets the same text."""
        return not self.fields

    def check_columns(self, columns: Iterable[str]) -> None:
        """InputError (key `message`) naming every merge field that is none of `columns`, and the columns near it."""
        columns = list(columns)
        unknown = [field for field in self.fields if field not in columns]
        if not unknown:
            return
        by_folded = {column.casefold(): column for column in columns}
        named = []
        for field in unknown:
            near = [by_folded[match] for match in get_close_matches(field.casefold(), list(by_folded))]
            guess = f" (did you mean {' or '.join(f'{{{column}}}' for column in near)}?)" if near else ""
            named.append(f"{{{field}}}{guess}")
        shown = ", ".join(columns[:_COLUMNS_SHOWN]) + (", …" if len(columns) > _COLUMNS_SHOWN else "")
        # A list without a header row has somebody's number for a column name.
        raise InputError(
            mask_text(f"no such column: {', '.join(named)}"),
            file=self.file,
            key="message",
            fix=mask_text(f"A merge field is the name of a column and nothing else. The columns are: {shown}."),
        )
