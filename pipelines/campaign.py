"""One TOML file per campaign: what is sent, to whom, within which limits.

`load_campaign(path)` reads it or raises `InputError` with the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from mambo_io.model import Category
from mambo_io.window import Window

_LATER = "comes with a later version of mambo-pipelines; leave it out"

CAMPAIGN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EDITION = re.compile(r"[A-Za-z0-9][A-Za-z0-9:+._-]{0,63}")

_NAME_HELP = "a name of a to z, 0 to 9 and dashes, 63 at most, such as clinic-day"
_UGX_HELP = "a whole number of shillings, at least 1, without commas: 600000 or 600_000"


def _window(text: str) -> str:
    try:
        Window.parse(text)
    except ValueError:
        raise ValueError("is no window") from None
    return text


def _path(path: Path) -> Path:
    if not str(path).isprintable():
        # A TOML string reads "C:\temp\new.csv" as a tab and a line break.
        raise ValueError("holds a tab or a line break, as a backslash between double quotes may mean; / is safe")
    return path


Ugx = Annotated[int, Field(ge=1)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_path)]


class _Section(BaseModel):
    """The description of a field is what a person is told to write; it follows the word "Write"."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Recipients(_Section):
    """`[recipients]`: the spreadsheet and how to read it."""

    path: FilePath = Field(description='the path of a CSV, TSV, XLSX or Parquet file: path = "people.csv"')
    # None: found when it is plain.
    phone: str | None = Field(default=None, description='the name of a column: phone = "phone"')
    sheet: str | None = Field(default=None, description='the name of a sheet: sheet = "Clients"')
    header_row: int = Field(default=1, ge=1, description="the number of the row that holds the column names, from 1")
    several: Literal["reject", "first"] = Field(default="reject", description='"reject" or "first"')
    duplicates: Literal["reject", "same_text"] = Field(default="reject", description='"reject" or "same_text"')
    date_format: str = Field(
        default="%d/%m/%Y", min_length=1, description='a format as of strftime: date_format = "%d/%m/%Y"'
    )
    hidden_rows: Literal["send", "skip"] | None = Field(default=None, description='"send" or "skip"')
    keep: tuple[str, ...] = Field(
        default=(), strict=False, description='a list of columns: keep = ["client_id", "district"]'
    )


class Sending(_Section):
    """`[sending]`: limits, rate and guards. Read again on resume."""

    chunk_size: int = Field(default=100, ge=1, le=1000, description="a whole number from 1 to 1000")
    concurrency: int = Field(default=2, ge=1, le=64, description="a whole number from 1 to 64")
    calls_per_second: float = Field(default=5, ge=0, description="a number; 0 is no limit")
    canary_size: int = Field(default=10, ge=1, le=1000, description="a whole number from 1 to 1000")
    timeout_s: float = Field(default=20, gt=0, le=25, description="a number of seconds, above 0 and at most 25")
    max_cost_ugx: Ugx | None = Field(default=None, description=_UGX_HELP)
    window: Annotated[str, AfterValidator(_window)] = Field(
        default="08:00-20:00",
        description='two times of one day, the earlier one first: window = "08:00-20:00"; or "any"',
    )
    outside_window: Literal["pause", "wait"] = Field(default="pause", description='"pause" or "wait"')
    pause_after_unknown: int = Field(default=2, ge=1, description="a whole number of calls, at least 1")
    pause_after_refused: int = Field(default=2, ge=1, description="a whole number of calls, at least 1")
    repeat_guard_days: int = Field(default=7, ge=0, description="a whole number of days; 0 is no guard")


class Settling(_Section):
    """`[settlement]`: how unknown calls are settled by the account's balance."""

    settle_after_s: int = Field(default=120, ge=120, description="a whole number of seconds, at least 120")
    resend_settled: bool = Field(default=False, description="true or false, without quotes")


class Suppression(_Section):
    """`[suppression]`: files of numbers that must not be messaged."""

    paths: tuple[FilePath, ...] = Field(
        default=(), strict=False, description='a list of files: paths = ["opt_outs.csv"]'
    )
    transactional: Literal[False] = False

    @field_validator("transactional", mode="before")
    @classmethod
    def _no_transactional_yet(cls, value: object) -> object:
        if value is not False:
            raise ValueError(_LATER)
        return value


class Tariff(_Section):
    """`[tariff]`: UGX for one segment. A price by network wins over one by category."""

    ugx_per_segment: Ugx = Field(default=50, description=_UGX_HELP)
    by_network: dict[str, Ugx] = Field(
        default={}, description="the price of a segment for each network: by_network = { MTN = 45 }"
    )
    by_category: dict[Annotated[Category, Field(strict=False)], Ugx] = Field(
        default={},
        description="the price of a segment for non_customised, info or customised: by_category = { info = 40 }",
    )


class Campaign(_Section):
    """A campaign file. Relative paths are from its own folder; `file` is where it was read."""

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
    approval: Literal["none"] = "none"
    recipients: Recipients = Field(description='a section [recipients] with path = "people.csv"')
    sending: Sending = Field(default=Sending(), description="a section [sending]")
    settlement: Settling = Field(default=Settling(), description="a section [settlement]")
    suppression: Suppression = Field(default=Suppression(), description="a section [suppression]")
    tariff: Tariff = Field(default=Tariff(), description="a section [tariff]")
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

    @field_validator("approval", mode="before")
    @classmethod
    def _no_approval_yet(cls, value: object) -> object:
        if value != "none":
            raise ValueError(_LATER)
        return value

    @property
    def recipients_path(self) -> Path:
        return self.file.parent / self.recipients.path

    @property
    def suppression_paths(self) -> tuple[Path, ...]:
        return tuple(self.file.parent / path for path in self.suppression.paths)


def load_campaign(file: Path) -> Campaign:
    """Read and check a campaign file. Raises `InputError` (file, key, value, what is allowed)."""
    values = _parse_toml(file)
    if "schedule" in values:
        raise InputError(_LATER, file=file, key="[schedule]")
    try:
        return Campaign.model_validate({**values, "the file itself": file.absolute()})
    except ValidationError as error:
        raise _explain(file, error, values) from None


def check_campaign_name(name: str) -> None:
    """Raises `InputError` for what cannot name a campaign."""
    if not CAMPAIGN_NAME.fullmatch(name):
        raise InputError("is not a campaign name", value=name, fix=f"Write {_NAME_HELP}.")


def check_edition(edition: str) -> None:
    """Raises `InputError` for what cannot name an edition: it stands in run names and in `clinic-day/1/c0007`."""
    if not _EDITION.fullmatch(edition):
        fix = "Write letters, digits and any of : + . _ - between them, 64 at most, such as 2 or friday."
        raise InputError("is not the name of an edition", key="--edition", value=edition, fix=fix)


# --- what is no TOML -------------------------------------------------------------------------------------------------


def _parse_toml(file: Path) -> dict[str, Any]:
    try:
        text = _read_text(file)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    try:
        values = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
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
    if file.is_dir():
        raise InputError("is a folder", file=file, fix="Name the campaign's .toml file.")
    if not file.exists():
        folder = file.parent if file.parent.is_dir() else Path()
        near = difflib.get_close_matches(file.stem, [path.stem for path in folder.glob("*.toml")], n=3, cutoff=0.4)
        fix = f"Did you mean {'.toml or '.join(near)}.toml?" if near else "`mambo new NAME FILE` writes one."
        raise InputError("there is no such campaign file", file=file, fix=fix)
    if file.stat().st_size > 1_000_000:
        raise InputError("is too large for a campaign file", file=file, fix="Name the campaign's .toml file.")
    data = file.read_bytes()
    try:
        # Notepad writes a byte order mark.
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=file, fix="Save it with the encoding UTF-8.") from None


def _toml_hint(line: str, error: tomllib.TOMLDecodeError) -> str:
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


# --- what is TOML, but no campaign -----------------------------------------------------------------------------------


def _explain(file: Path, error: ValidationError, values: dict[str, Any]) -> InputError:
    """The first thing that is wrong, in the campaign file's own words."""
    # A key that is spelled wrong is why another one is missing.
    first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    path = [part for part in first["loc"] if part != _THE_KEY_ITSELF]
    keys = [part for part in path if isinstance(part, str)]
    value: str | None = None
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


def _shown(value: Any) -> str | None:
    """A value nearly as it stands in the file; a section is not shown."""
    match value:
        case dict():
            return None
        case bool():
            return str(value).lower()
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
_SECTIONS: dict[str, type[_Section]] = {
    "recipients": Recipients,
    "sending": Sending,
    "settlement": Settling,
    "suppression": Suppression,
    "tariff": Tariff,
}
