"""The sections of a campaign file: their keys, what is allowed, and what each is when it is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mambo_io.model import Category
from mambo_io.window import Window

UGX_HELP = "a whole number of shillings, at least 1, without commas: 600000 or 600_000"


def _window(text: str) -> str:
    try:
        Window.parse(text)
    except ValueError:
        raise ValueError("is no window") from None
    return text


def _path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("holds a NUL character, which no path does")
    if not str(path).isprintable():
        # A TOML string reads "C:\temp\new.csv" as a tab and a line break.
        raise ValueError("holds a tab or a line break, as a backslash between double quotes may mean; / is safe")
    return path


Ugx = Annotated[int, Field(ge=1)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_path)]


class Section(BaseModel):
    """The description of a field is what a person is told to write; it follows the word "Write"."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Recipients(Section):
    """`[recipients]`: the spreadsheet and how to read it."""

    path: FilePath = Field(description='the path of a CSV, TSV, XLSX or Parquet file: path = "people.csv"')
    # None: found when it is plain.
    phone: str | None = Field(default=None, description='the name of a column: phone = "phone"')
    sheet: str | None = Field(default=None, description='the name of a sheet: sheet = "Clients"')
    header_row: int = Field(default=1, ge=1, description="the number of the row that holds the column names, from 1")
    several: Literal["reject", "first"] = Field(default="reject", description='"reject" or "first"')
    duplicates: Literal["reject", "same_text"] = Field(default="reject", description='"reject" or "same_text"')
    date_format: str = Field(
        default="%d/%m/%Y",
        # What Python and polars write alike; with one directive at least, so that dd/mm/yyyy is not everybody's date.
        pattern=r"^([^%]|%%)*(%-?[aAbBdejmuUVwWyYFG]([^%]|%%)*)+$",
        description='%d for the day, %m for the month and %Y for the year: date_format = "%d/%m/%Y"',
    )
    hidden_rows: Literal["send", "skip"] | None = Field(default=None, description='"send" or "skip"')
    keep: tuple[str, ...] = Field(
        default=(), strict=False, description='a list of columns: keep = ["client_id", "district"]'
    )


class Sending(Section):
    """`[sending]`: limits, rate and guards. Read again on resume."""

    chunk_size: int = Field(default=100, ge=1, le=1000, description="a whole number from 1 to 1000")
    concurrency: int = Field(default=2, ge=1, le=64, description="a whole number from 1 to 64")
    calls_per_second: float = Field(default=5, ge=0, description="a number; 0 is no limit")
    canary_size: int = Field(default=10, ge=1, le=1000, description="a whole number from 1 to 1000")
    timeout_s: float = Field(default=20, gt=0, le=25, description="a number of seconds, above 0 and at most 25")
    max_cost_ugx: Ugx | None = Field(default=None, description=UGX_HELP)
    window: Annotated[str, AfterValidator(_window)] = Field(
        default="08:00-20:00",
        description='two times of one day, the earlier one first: window = "08:00-20:00"; or "any"',
    )
    outside_window: Literal["pause", "wait"] = Field(default="pause", description='"pause" or "wait"')
    pause_after_unknown: int = Field(default=2, ge=1, description="a whole number of calls, at least 1")
    pause_after_refused: int = Field(default=2, ge=1, description="a whole number of calls, at least 1")
    repeat_guard_days: int = Field(
        default=7, ge=0, le=3_650, description="a whole number of days up to 3650; 0 is no guard"
    )


class Settling(Section):
    """`[settlement]`: how unknown calls are settled by the account's balance."""

    settle_after_s: int = Field(
        default=120, ge=120, le=86_400, description="a whole number of seconds from 120 to 86400"
    )
    resend_settled: bool = Field(default=False, description="true or false, without quotes")


class Suppression(Section):
    """`[suppression]`: files of numbers that must not be messaged, besides the ledger's list of opt-outs.

    A transactional campaign tells people what they have asked for or have to know: it does not ask the ledger's list.
    """

    paths: tuple[FilePath, ...] = Field(
        default=(), strict=False, description='a list of files: paths = ["opt_outs.csv"]'
    )
    transactional: bool = Field(default=False, description="true or false, without quotes")


class Tariff(Section):
    """`[tariff]`: UGX for one segment. A price by network wins over one by category."""

    ugx_per_segment: Ugx = Field(default=50, description=UGX_HELP)
    by_network: dict[str, Ugx] = Field(
        default={}, description="the price of a segment for each network: by_network = { MTN = 45 }"
    )
    by_category: dict[Annotated[Category, Field(strict=False)], Ugx] = Field(
        default={},
        description="the price of a segment for non_customised, info or customised: by_category = { info = 40 }",
    )
