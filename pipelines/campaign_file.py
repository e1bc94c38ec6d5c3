"""A new campaign file for a spreadsheet: the keys that matter, commented, with the columns that were found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl

from mambo_io.datasets import read_dataset
from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from pipelines.campaign import EXAMPLE_MESSAGE, check_campaign_name
from pipelines.numbers import find_phone_column

# A title above the column names is read as if it were one of them.
_LOWER = "If the column names stand in a lower row, say which: --header-row 2."


def campaign_file_for(
    name: str,
    spreadsheet: Path,
    target: Path,
    *,
    phone: str | None = None,
    sheet: str | None = None,
    header_row: int = 1,
) -> tuple[str, tuple[str, ...]]:
    """The text of `target`, a campaign `name` over `spreadsheet`, and what a person should be told about reading it.

    `phone` is None where it is plain which column it is.

    Raises `InputError` for a name that no campaign has and a spreadsheet that cannot be read or understood.
    """
    check_campaign_name(name)
    dataset = read_dataset(spreadsheet, sheet=sheet, header_row=header_row)
    people = dataset.frame.drop("row", "reject_reason")
    if phone is None:
        phone = _phone_column(people, spreadsheet)
    elif phone not in people.columns:
        fix = f"Its columns: {mask_text(', '.join(people.columns))}. {_LOWER}"
        raise InputError(f"is no column of {spreadsheet}", key="--phone", value=phone, fix=fix)
    others = [column for column in people.columns if column != phone]
    fields = [column for column in others if not set(column) & set("{}|")]
    example = f", for example {{{fields[0]}}} or {{{fields[0]}|friend}}" if fields else ""
    where = [("path", _path(spreadsheet, target)), ("phone", phone), ("sheet", sheet), ("header_row", header_row)]
    recipients = "\n".join(f"{key} = {_toml(value)}" for key, value in where if value not in (None, 1))
    text = f"""\
# A campaign for `mambo estimate {target.name}` and `mambo send {target.name}`.
name = {_toml(name)}

# Who it comes from: 1 to 11 characters, as registered.
sender_id = "MamboSMS"

# non_customised: from a random number. info: with a prefix. customised: from your sender ID (MTN, Airtel, UTL).
category = "customised"

# A column in braces is filled in for each person{_in_one_line(example)}.
# What stands after | is for empty cells and errors such as #N/A; without it, who has such a cell is left out.
message = {_toml(EXAMPLE_MESSAGE)}

# Take this line out to send to real people; until then only a sandbox is allowed.
sandbox_only = true

[recipients]
# {dataset.frame.height:,} rows. Columns: {_in_one_line(", ".join(people.columns))}
{recipients}
# Columns that the results keep, to group and to look up by:
keep = [{", ".join(_toml(column) for column in others[:1])}]

[sending]
# Not one shilling more than this:
max_cost_ugx = 100_000
# When people may be messaged, in the time of Kampala; "any" for a test:
window = "08:00-20:00"

# [suppression]
# paths = ["opt_outs.csv"]     # numbers that must not be messaged, besides the list of `mambo opt-outs`

# [schedule]                   # when `mambo serve` sends it by itself
# cron = "0 9 * * MON"         # or at = "2026-12-01 09:00"
"""
    return text, dataset.notes


def _phone_column(people: pl.DataFrame, spreadsheet: Path) -> str:
    try:
        return find_phone_column(people, spreadsheet)
    except InputError:
        raise InputError(
            "it is not plain which column holds the telephone numbers",
            file=spreadsheet,
            fix=f'Say which: --phone "…", one of: {mask_text(", ".join(people.columns))}. {_LOWER}',
        ) from None


def _path(spreadsheet: Path, target: Path) -> str:
    """From the folder of `target` where it lies in there, which moves with it; else in full."""
    full = Path(os.path.normpath(spreadsheet.absolute()))
    folder = Path(os.path.normpath(target.absolute().parent))
    return (full.relative_to(folder) if full.is_relative_to(folder) else full).as_posix()


def _toml(value: str | int | None) -> str:
    """A value as TOML writes it: as JSON does, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _in_one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
