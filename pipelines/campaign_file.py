"""A new campaign file for a spreadsheet: the keys that matter, commented, with the columns that were found."""

from __future__ import annotations

import os
from pathlib import Path

from mambo_io.datasets import read_dataset
from mambo_io.errors import InputError
from pipelines.campaign import CAMPAIGN_NAME
from pipelines.numbers import find_phone_column


def campaign_file_for(name: str, spreadsheet: Path, target: Path) -> str:
    """The text of `target`, a campaign `name` over `spreadsheet`. Raises `InputError` for what cannot be read."""
    if not CAMPAIGN_NAME.fullmatch(name):
        raise InputError(
            "is not a campaign name", value=name, fix="Use a to z, 0 to 9 and dashes, 63 at most: clinic-day."
        )
    dataset = read_dataset(spreadsheet)
    phone = find_phone_column(dataset.frame, spreadsheet)
    columns = [column for column in dataset.frame.columns if column not in ("row", "reject_reason")]
    others = [column for column in columns if column != phone]
    path = Path(os.path.relpath(spreadsheet.absolute(), target.absolute().parent)).as_posix()
    example = f", for example {{{others[0]}}} or {{{others[0]}|friend}}" if others else ""
    return f"""# A campaign for `mambo estimate {target.name}` and `mambo send {target.name}`.
name = {_toml(name)}

# Who it comes from: 1 to 11 characters, as registered.
sender_id = "MamboSMS"

# non_customised: from a random number. info: with a prefix. customised: from your sender ID (MTN, Airtel, UTL).
category = "customised"

# A column in braces is filled in for each person{example}; what stands after | is for empty cells.
message = "Write your message here."

# Take this line out to send to real people; until then only a sandbox is allowed.
sandbox_only = true

[recipients]
# {dataset.frame.height:,} rows. Columns: {", ".join(columns)}
path = {_toml(path)}
phone = {_toml(phone)}
# Columns that the results keep, to group and to look up by:
keep = [{", ".join(_toml(column) for column in others[:1])}]

[sending]
# Not one shilling more than this:
max_cost_ugx = 100_000
# When people may be messaged, in the time of Kampala; "any" for a test:
window = "08:00-20:00"

# [suppression]
# paths = ["opt_outs.csv"]     # numbers that must not be messaged
"""


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
