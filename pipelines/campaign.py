"""One TOML file per campaign: what is sent, to whom, within which limits.

`load_campaign(path)` reads it or raises `InputError` with the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mambo_io.datasets import refuse_address
from mambo_io.errors import InputError
from mambo_io.model import Category
from pipelines.campaign_sections import Recipients, Section, Sending, Settling, Suppression, Tariff
from pipelines.campaign_toml import read_toml
from pipelines.schedule import SCHEDULE_HELP, Schedule

CAMPAIGN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EDITION = re.compile(r"[A-Za-z0-9][A-Za-z0-9:+._-]{0,63}")

# The message of a new campaign file: nobody is sent it.
EXAMPLE_MESSAGE = "Write your message here."

_NAME_HELP = "a name of a to z, 0 to 9 and dashes, 63 at most, such as clinic-day"


class Campaign(Section):
    """A campaign file. Relative paths are from its own folder and stay in it; `file` is where it was read."""

    name: str = Field(pattern=f"^{CAMPAIGN_NAME.pattern}$", description=_NAME_HELP)
    sender_id: str = Field(
        min_length=1, max_length=11, description='1 to 11 characters as registered: sender_id = "MamboSMS"'
    )
    category: Category = Field(strict=False, description='"non_customised", "info" or "customised"')
    message: str = Field(min_length=1, description='the text: message = "Clinic day is Friday."')
    max_segments: int = Field(default=3, ge=1, le=255, description="a whole number from 1 to 255")
    smart_encoding: bool = Field(default=False, description="true or false, without quotes")
    sandbox_only: bool = Field(default=False, description="true or false, without quotes")
    max_recipients: int | None = Field(default=None, ge=1, description="a whole number, at least 1")
    approval: Literal["none", "required"] = Field(default="none", description='"none" or "required"')
    recipients: Recipients = Field(description='a section [recipients] with path = "people.csv"')
    sending: Sending = Field(default=Sending(), description="a section [sending]")
    settlement: Settling = Field(default=Settling(), description="a section [settlement]")
    suppression: Suppression = Field(default=Suppression(), description="a section [suppression]")
    tariff: Tariff = Field(default=Tariff(), description="a section [tariff]")
    schedule: Schedule | None = Field(default=None, description=SCHEDULE_HELP)
    # No key of the file: by its own name it is as unknown as any other.
    file: Path = Field(default=Path(), exclude=True, validation_alias="the file itself")

    @field_validator("sender_id")
    @classmethod
    def _printable_sender(cls, sender_id: str) -> str:
        if not sender_id.isascii() or not sender_id.isprintable() or sender_id != sender_id.strip():
            raise ValueError("holds more than plain letters, digits and signs, or a space at an end")
        return sender_id

    @field_validator("message")
    @classmethod
    def _some_message(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("is empty")
        if "\0" in message:
            raise ValueError("holds a NUL character, which no phone shows")
        return message

    @property
    def recipients_path(self) -> Path:
        return self.file.parent / self.recipients.path

    @property
    def suppression_paths(self) -> tuple[Path, ...]:
        return tuple(self.file.parent / path for path in self.suppression.paths)


def load_campaign(file: Path) -> Campaign:
    """Read and check a campaign file. Raises `InputError` (file, key, value, what is allowed)."""
    values = read_toml(file)
    try:
        campaign = Campaign.model_validate({**values, "the file itself": file.absolute()})
    except ValidationError as error:
        raise _explain(file, error, values) from None
    _check_path(campaign.recipients.path, file, "[recipients] path")
    for path in campaign.suppression.paths:
        _check_path(path, file, "[suppression] paths")
    return campaign


def _check_path(path: Path, file: Path, key: str) -> None:
    """A campaign file may come from somebody else, and must not reach for what lies around the folder it is put in.

    A full path is another matter: whoever wrote it means this computer.
    """
    refuse_address(path, file=file, key=key)
    if Path(os.path.normpath(path)).parts[:1] == ("..",):
        raise InputError(
            "leads out of the folder of the campaign file",
            file=file,
            key=key,
            value=path,
            fix="Copy that file beside the campaign file, or write its full path.",
        )


def check_campaign_name(name: str) -> None:
    """Raises `InputError` for what cannot name a campaign."""
    if not CAMPAIGN_NAME.fullmatch(name):
        raise InputError("is not a campaign name", value=name, fix=f"Write {_NAME_HELP}.")


def check_edition(edition: str) -> None:
    """Raises `InputError` for what cannot name an edition: it stands in run names and in `clinic-day/1/c0007`."""
    if not _EDITION.fullmatch(edition):
        fix = "Write letters, digits and any of : + . _ - between them, 64 at most, such as 2 or friday."
        raise InputError("is not the name of an edition", key="--edition", value=edition, fix=fix)


# --- what is no campaign ---------------------------------------------------------------------------------------------


def _explain(file: Path, error: ValidationError, values: dict[str, Any]) -> InputError:
    """The first thing that is wrong, in the campaign file's own words."""
    # A key that is spelled wrong is why another one is missing.
    first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    path = [part for part in first["loc"] if part != _THE_KEY_ITSELF]
    keys = [part for part in path if isinstance(part, str)]
    value: str | float | None = None
    fix: str | None
    match first["type"]:
        case "missing":
            problem, fix = "is missing", f"Write {_field(keys).description}."
        case "extra_forbidden":
            problem, fix = "is not a key of a campaign file", _keys_meant(keys, values)
        case _:
            allowed = _field(keys).description
            problem, fix = _problem(first), f"Write {allowed}." if allowed else None
            value = keys[-1] if _THE_KEY_ITSELF in first["loc"] else _shown(_at(values, path))
    return InputError(problem, file=file, key=_key(keys, values), value=value, fix=fix)


def _problem(error: ErrorDetails) -> str:
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_too_long":
            return f"has more than {error['ctx']['max_length']} characters"
        case "string_too_short":
            return "is empty"
        case _:
            return "is not allowed"


def _key(keys: list[str], values: dict[str, Any]) -> str:
    """`sender_id`, `[recipients]`, `[recipients] keep`: as it stands in the file."""
    first, *rest = keys
    named = f"[{first}]" if first in _SECTIONS or isinstance(values.get(first), dict) else first
    return f"{named} {'.'.join(rest)}" if rest else named


def _at(values: Any, path: list[int | str]) -> Any:
    for part in path:
        values = values[part]
    return values


def _shown(value: Any) -> str | float | None:
    """A value nearly as it stands in the file; a section is not shown."""
    match value:
        case dict():
            return None
        case bool():
            return str(value).lower()
        case int() | float():
            return value
        case list():
            return f"[{', '.join(map(str, value))}]"
        case _:
            return str(value)


def _field(keys: list[str]) -> FieldInfo:
    """The field of a key, or of the section or table that holds it."""
    section = _SECTIONS.get(keys[0])
    return section.model_fields[keys[1]] if section is not None and len(keys) > 1 else Campaign.model_fields[keys[0]]


def _keys_meant(keys: list[str], values: dict[str, Any]) -> str:
    """The keys near to an unknown one, wherever in the file they belong."""
    section, key = ("", keys[0]) if len(keys) == 1 else (keys[0], keys[1])
    if isinstance(_at(values, [*keys]), dict):
        near = difflib.get_close_matches(key, _SECTIONS, n=1)
        return f"Did you mean [{near[0]}]?" if near else f"The sections are [{'], ['.join(_SECTIONS)}]."
    places = {known: "" for known in Campaign.model_fields if known != "file" and known not in _SECTIONS}
    places |= {known: name for name, model in _SECTIONS.items() for known in model.model_fields}
    near = [key] if key in places else difflib.get_close_matches(key, places, n=2)
    if not near:
        return f"Known here: {', '.join(known for known, place in places.items() if place == section)}."

    def told(known: str) -> str:
        if places[known] == section:
            return known
        return f"[{places[known]}] {known}" if places[known] else f"{known}, above the first [section]"

    return f"Did you mean {' or '.join(map(told, near))}?"


_THE_KEY_ITSELF = "[key]"  # how pydantic says that the key of a table is wrong, not its value
_SECTIONS: dict[str, type[Section]] = {
    "recipients": Recipients,
    "sending": Sending,
    "settlement": Settling,
    "suppression": Suppression,
    "tariff": Tariff,
    "schedule": Schedule,
}
