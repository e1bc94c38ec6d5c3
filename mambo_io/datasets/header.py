"""Column names of a file: trimmed, distinct, and none of those that the pipeline adds itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mambo_io.datasets.limits import check_columns
from mambo_io.errors import InputError
from mambo_io.masking import mask_text

# Columns that a later step adds to the frame, or that the results table or the table of rejected rows has. A file's own
# column of such a name gets a trailing underscore, so that no step can take one for the other.
RESERVED = frozenset(
    {
        "row", "reject_reason", "phone_raw", "e164", "network_guess", "message", "encoding", "units", "segments",
        "estimated_ugx", "chunk", "campaign", "edition", "outcome", "reason", "charged_ugx", "attempt", "sent_at",
        "delivery", "opt_out_source",
    }
)  # fmt: skip

_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060"))
_HEADER_ROW = "header_row = 2, or --header-row 2"  # the key of a campaign file, and the option of commands
_PHONE_LIKE = re.compile(r"\+?\d[\d\s().-]*")


@dataclass(frozen=True)
class Header:
    """`names`, one for each column of the file, in file order; `notes` on those that are not as the file has them."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_names(raw: Sequence[str], *, file: Path, row: int, first_column: int = 1) -> Header:
    """Names for the columns whose header cells are `raw`.

    White space at the ends is cut and inside (line breaks of wrapped header cells) becomes one space. A blank cell
    becomes `column_3` (its place in the file, counted from `first_column`), a reserved name gets a trailing `_`.
    Of several equal names none stays as it is (`phone_1`, `phone_2`), so that nothing picks one of them unawares.

    Raises `InputError` when `row` holds no name at all, more names than a sheet has columns, or a phone number: a
    list without a header row would otherwise lose its first person without a word.
    """
    check_columns(len(raw), file)
    wanted = [" ".join(cell.translate(_INVISIBLE).split()) for cell in raw]
    if not any(wanted):
        raise InputError("no column names here", file=file, row=row, fix=f"Say which row holds them: {_HEADER_ROW}.")
    for name in wanted:
        if _PHONE_LIKE.fullmatch(name) and 9 <= sum(map(str.isdigit, name)) <= 15:
            raise InputError(
                "stands where a column name is expected",
                file=file,
                row=row,
                value=name,
                fix=f"Put a row with column names above the first person, or say which row holds them: {_HEADER_ROW}.",
            )

    times = Counter(wanted)
    taken = {name for name, count in times.items() if count == 1 and name and not _has_meaning(name)}
    seen: Counter[str] = Counter()
    names: list[str] = []
    blank: list[str] = []
    notes: list[str] = []
    for place, name in enumerate(wanted, start=first_column):
        seen[name] += 1
        if name in taken:
            names.append(name)
            continue
        new = f"column_{place}" if not name else f"{name}_{seen[name]}" if times[name] > 1 else f"{name}_"
        while new in taken or _has_meaning(new):
            new += "_"
        taken.add(new)
        names.append(new)
        if not name:
            blank.append(new)
        elif times[name] > 1:
            notes.append(f"{times[name]} columns are named {_shown(name)}: column {place} is read as {_shown(new)}.")
        else:
            notes.append(f"The column {name!r} is read as {new!r}: its own name has another meaning here.")
    if blank:
        some = ", ".join(blank[:3]) + (f" and {len(blank) - 3} more" if len(blank) > 3 else "")
        notes.append(f"Columns without a name are read as {some}.")
    return Header(tuple(names), tuple(notes))


def _has_meaning(name: str) -> bool:
    """Whether we add a column of that name, or polars takes it for a pattern (`*`, `^…$`)."""
    return name in RESERVED or name == "*" or (name.startswith("^") and name.endswith("$"))


def _shown(name: str) -> str:
    text = mask_text(name)
    return repr(text if len(text) <= 40 else text[:39] + "…")
