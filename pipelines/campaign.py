"""One TOML file per campaign: what is sent, to whom, within which limits.

`load_campaign(path)` reads it or raises `InputError` with the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from mambo_io.errors import InputError
from mambo_io.model import Category
from mambo_io.window import Window

_LATER = "comes with a later version of mambo-pipelines; leave it out"

CAMPAIGN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Ugx = Annotated[int, Field(ge=1)]


def _window(text: str) -> str:
    Window.parse(text)
    return text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Recipients(_Section):
    """`[recipients]`: the spreadsheet and how to read it."""

    path: Path = Field(strict=False)
    phone: str | None = None  # found when it is plain
    sheet: str | None = None
    header_row: int = Field(default=1, ge=1)
    several: Literal["reject", "first"] = "reject"
    duplicates: Literal["reject", "same_text"] = "reject"
    date_format: str = Field(default="%d/%m/%Y", min_length=1)
    hidden_rows: Literal["send", "skip"] | None = None
    keep: tuple[str, ...] = Field(default=(), strict=False)


class Sending(_Section):
    """`[sending]`: limits, rate and guards. Read again on resume."""

    chunk_size: int = Field(default=100, ge=1, le=1000)
    concurrency: int = Field(default=2, ge=1, le=64)
    calls_per_second: float = Field(default=5, ge=0)  # 0: no limit
    canary_size: int = Field(default=10, ge=1, le=1000)
    timeout_s: float = Field(default=20, gt=0, le=25)
    max_cost_ugx: Ugx | None = None
    window: Annotated[str, AfterValidator(_window)] = "08:00-20:00"
    outside_window: Literal["pause", "wait"] = "pause"
    pause_after_unknown: int = Field(default=2, ge=1)
    pause_after_refused: int = Field(default=2, ge=1)
    repeat_guard_days: int = Field(default=7, ge=0)


class Settling(_Section):
    """`[settlement]`: how unknown calls are settled by the account's balance."""

    settle_after_s: int = Field(default=120, ge=120)
    resend_settled: bool = False


class Suppression(_Section):
    """`[suppression]`: files of numbers that must not be messaged."""

    paths: tuple[Path, ...] = Field(default=(), strict=False)
    transactional: Literal[False] = False

    @field_validator("transactional", mode="before")
    @classmethod
    def _no_transactional_yet(cls, value: object) -> object:
        if value is not False:
            raise ValueError(_LATER)
        return value


class Tariff(_Section):
    """`[tariff]`: UGX for one segment. A price by network wins over one by category."""

    ugx_per_segment: Ugx = 50
    by_network: dict[str, Ugx] = {}
    by_category: dict[Category, Ugx] = Field(default={}, strict=False)


class Campaign(_Section):
    """A campaign file. Relative paths are from its own folder; `file` is where it was read."""

    name: str = Field(pattern=f"^{CAMPAIGN_NAME.pattern}$")
    sender_id: str = Field(min_length=1, max_length=11)
    category: Category = Field(strict=False)
    message: str = Field(min_length=1)
    max_segments: int = Field(default=3, ge=1, le=255)
    smart_encoding: bool = False
    sandbox_only: bool = False
    max_recipients: int | None = Field(default=None, ge=1)
    approval: Literal["none"] = "none"
    recipients: Recipients
    sending: Sending = Sending()
    settlement: Settling = Settling()
    suppression: Suppression = Suppression()
    tariff: Tariff = Tariff()
    file: Path = Field(default=Path(), exclude=True)

    @field_validator("sender_id")
    @classmethod
    def _printable_sender(cls, sender_id: str) -> str:
        if not sender_id.isascii() or not sender_id.isprintable() or sender_id != sender_id.strip():
            raise ValueError("must be printable ASCII without spaces at its ends")
        return sender_id

    @field_validator("message")
    @classmethod
    def _some_message(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("is empty")
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
    values.pop("file", None)
    try:
        return Campaign.model_validate({**values, "file": file.absolute()})
    except ValidationError as error:
        raise _explain(file, error, values) from None


def _parse_toml(file: Path) -> dict[str, Any]:
    if not file.exists():
        folder = file.parent if file.parent.is_dir() else Path()
        near = difflib.get_close_matches(file.name, [path.name for path in folder.glob("*.toml")], n=3, cutoff=0.4)
        fix = f"Did you mean {' or '.join(near)}?" if near else "`mambo new NAME FILE` writes one."
        raise InputError("there is no such campaign file", file=file, fix=fix)
    if file.is_dir():
        raise InputError("is a folder", file=file, fix="Name the campaign's .toml file.")
    if file.stat().st_size > 1_000_000:
        raise InputError("is too large for a campaign file", file=file, fix="Name the campaign's .toml file.")
    data = file.read_bytes()
    try:
        # Notepad writes a byte order mark.
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=file, fix="Save it with the encoding UTF-8.") from None
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        line = _line_of(error, text)
        place = text.split("\n")[line - 1].strip() if line else ""
        raise InputError(
            f"line {line or '?'} is not TOML: {place}", file=file, fix=_toml_hint(place, str(error))
        ) from None


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int | None:
    found = re.search(r"line (\d+)", str(error))
    return int(found.group(1)) if found else (text.count("\n") + 1 if "end of document" in str(error) else None)


def _toml_hint(line: str, error: str) -> str:
    if re.search("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]", line):
        return 'Write straight quotes: message = "…".'
    if re.search(r"=\s*\d{1,3}(,\d{3})+\s*(#.*)?$", line):
        return "Write the number without commas: 600000 or 600_000."
    if "\\" in line:
        return "Write paths with / or in single quotes: path = 'C:\\lists\\people.csv'."
    if re.search(r"=\s*[A-Za-z][^\"']*$", line):
        return 'Text stands in quotes: key = "value".'
    return f"({error[:1].lower()}{error[1:]})"


def _explain(file: Path, error: ValidationError, values: dict[str, Any]) -> InputError:
    """The first thing that is wrong, in the campaign file's own words."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = f"[{path[0]}] {'.'.join(path[1:])}" if len(path) > 1 else path[0] if path else None
    value = _at(values, path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(_problem(first, path) + more, file=file, key=key, value=value, fix=_allowed(first, path))


def _at(values: Any, path: list[str]) -> object | None:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values if not isinstance(values, dict) else None


def _problem(error: ErrorDetails, path: list[str]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a key of a campaign file"
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_pattern_mismatch" if path == ["name"]:
            return "is not a campaign name"
        case "string_too_long":
            return f"has more than {error['ctx']['max_length']} characters"
        case "string_too_short":
            return "is empty"
        case "enum" | "literal_error":
            return "is not one of the values allowed"
        case _:
            return f"is wrong: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _allowed(error: ErrorDetails, path: list[str]) -> str | None:
    match error["type"]:
        case "extra_forbidden":
            known = _keys_beside(path)
            near = difflib.get_close_matches(path[-1], known, n=2)
            return f"Did you mean {' or '.join(near)}?" if near else f"Known here: {', '.join(known)}."
        case "enum" | "literal_error":
            return f"Allowed: {error['ctx']['expected']}."
        case "missing":
            return _EXAMPLES.get(path[-1])
        case "string_pattern_mismatch" if path == ["name"]:
            return "Use a to z, 0 to 9 and dashes, 63 at most: clinic-day."
        case _:
            return None


_EXAMPLES = {
    "name": 'For example: name = "clinic-day".',
    "sender_id": 'For example: sender_id = "MamboSMS" (1 to 11 characters).',
    "category": 'For example: category = "customised" (non_customised, info or customised).',
    "message": 'For example: message = "Clinic day is Friday."',
    "recipients": 'Add a section [recipients] with path = "people.csv".',
    "path": 'For example: path = "people.csv".',
}


def _keys_beside(path: list[str]) -> list[str]:
    model: type[BaseModel] = Campaign
    for part in path[:-1]:
        field = model.model_fields.get(part)
        annotation = field.annotation if field is not None else None
        candidates = [annotation, *get_args(annotation)]
        model = next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return [key for key in model.model_fields if key != "file"]
