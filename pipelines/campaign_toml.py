"""Reading a campaign file as TOML, and what to say about what people write instead of it."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from mambo_io.datasets import refuse_address
from mambo_io.errors import InputError
from mambo_io.masking import mask_text

_MOST_BYTES = 1_000_000


def read_toml(file: Path) -> dict[str, Any]:
    """What stands in a campaign file. Raises `InputError` with the line and how it is written in TOML."""
    try:
        text = _read_text(file)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    try:
        values = tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        problem = "holds brackets within brackets without end"
        raise InputError(problem, file=file, fix="Name the campaign's .toml file.") from None
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        found = re.search(r"at line (\d+)", str(error))
        if found is None:
            fix = "Somewhere a quote or a bracket is opened and not closed."
            raise InputError("cannot be read to its end", file=file, fix=fix) from None
        line = text.split("\n")[int(found.group(1)) - 1].strip()
        shown = line if len(line) <= 60 else line[:59] + "…"
        problem = mask_text(f"line {found.group(1)} cannot be read: {shown}")
        raise InputError(problem, file=file, fix=mask_text(_toml_hint(line, error))) from None
    if not values:
        raise InputError("says nothing", file=file, fix="`mambo new NAME FILE` writes a campaign file.")
    return values


def _read_text(file: Path) -> str:
    if file.suffix.lower() in (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods", ".parquet"):
        raise InputError(
            "is a list of people, not a campaign file",
            file=file,
            fix=f"`mambo new NAME {file}` writes a campaign file for it.",
        )
    refuse_address(file)
    if file.is_dir():
        raise InputError("is a folder", file=file, fix="Name the campaign's .toml file.")
    if not file.exists():
        folder = file.parent if file.parent.is_dir() else Path()
        near = difflib.get_close_matches(file.stem, [path.stem for path in folder.glob("*.toml")], n=3, cutoff=0.4)
        fix = f"Did you mean {'.toml or '.join(near)}.toml?" if near else "`mambo new NAME FILE` writes one."
        raise InputError("there is no such campaign file", file=file, fix=fix)
    with file.open("rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InputError("is too large for a campaign file", file=file, fix="Name the campaign's .toml file.")
    try:
        # Notepad writes a byte order mark.
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=file, fix="Save it with the encoding UTF-8.") from None


def _toml_hint(line: str, error: ValueError) -> str:
    """How to write what people write instead of TOML."""
    key, _, value = (part.strip() for part in line.partition("="))
    value = re.sub(r"\s*#.*", "", value)
    if re.search("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]", line):
        return f'Write straight quotes: {key} = "…".'
    if re.fullmatch(r"\d{1,3}([ ,.']\d{3})+", value):
        return f"Write the number without commas: {key} = {int(re.sub('[^0-9]', '', value)):_}."
    if "\\" in line:
        return f'Write / between the parts of a path: {key} = "C:/lists/people.csv".'
    if value.lower() in ("true", "false", "yes", "no"):
        return f"Write true or false: {key} = {str(value.lower() in ('true', 'yes')).lower()}."
    if key and value and value[0] not in "\"'[{":
        text = value.rstrip("\"'")
        return f'Text stands in quotes: {key} = "{text}".'
    if value.count('"') % 2:
        return f'Text stands between two quotes: {key} = "…".'
    if re.match(r"\w+\s*:", line):
        return "A key and its value are joined by =, not by a colon."
    if "overwrite" in str(error) or "twice" in str(error):
        return "It stands in the file twice."
    return f"What is wrong there: {re.sub(r' [(]at .*', '', str(error))}."
