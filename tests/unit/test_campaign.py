"""Campaign files as people write them: what every key may hold, and what is said about each mistake."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mambo_io.errors import InputError
from mambo_io.model import Category
from pipelines.campaign import Campaign, check_edition, load_campaign

GOOD = """\
name = "clinic-day"
sender_id = "MamboSMS"
category = "customised"
message = "Dear {first_name|friend}, clinic day is {day}."

[recipients]
path = "people.csv"
"""

# Every key that may be left out, and what it is then.
DEFAULTS: dict[str, Any] = {
    "max_segments": 3,
    "smart_encoding": False,
    "sandbox_only": False,
    "max_recipients": None,
    "recipients.phone": None,
    "recipients.sheet": None,
    "recipients.header_row": 1,
    "recipients.several": "reject",
    "recipients.duplicates": "reject",
    "recipients.date_format": "%d/%m/%Y",
    "recipients.hidden_rows": None,
    "recipients.keep": (),
    "sending.chunk_size": 100,
    "sending.concurrency": 2,
    "sending.calls_per_second": 5,
    "sending.canary_size": 10,
    "sending.timeout_s": 20,
    "sending.max_cost_ugx": None,
    "sending.window": "08:00-20:00",
    "sending.outside_window": "pause",
    "sending.pause_after_unknown": 2,
    "sending.pause_after_refused": 2,
    "sending.repeat_guard_days": 7,
    "settlement.settle_after_s": 120,
    "settlement.resend_settled": False,
    "suppression.paths": (),
    "suppression.transactional": False,
    "tariff.ugx_per_segment": 50,
    "tariff.by_network": {},
    "tariff.by_category": {},
    "approval": "none",
    "schedule": None,
}

# Every key once, with a value that is not its default.
FULL = """\
name = "clinic-day"
sender_id = "Mambo SMS 1"
category = "info"
message = 'A "quoted" text'
max_segments = 5
smart_encoding = true
sandbox_only = true
max_recipients = 5_000
approval = "required"

[recipients]
path = "lists/people.xlsx"
phone = "Phone number"
sheet = "Clients"
header_row = 3
several = "first"
duplicates = "same_text"
date_format = "%Y-%m-%d"
hidden_rows = "skip"
keep = ["client_id", "district"]

[sending]
chunk_size = 1000
concurrency = 4
calls_per_second = 0.5
canary_size = 1
timeout_s = 25
max_cost_ugx = 600_000
window = "any"
outside_window = "wait"
pause_after_unknown = 1
pause_after_refused = 3
repeat_guard_days = 0

[settlement]
settle_after_s = 300
resend_settled = true

[suppression]
paths = ["opt_outs.csv", "/srv/never.csv"]
transactional = true

[tariff]
ugx_per_segment = 40
by_network = { MTN = 45, Airtel = 38 }
by_category = { info = 60 }

[schedule]
cron = "30 9 * * MON-FRI"
timezone = "Africa/Nairobi"
max_lateness = "2h"
"""


def write(folder: Path, text: str | bytes, name: str = "clinic-day.toml") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refusal(file: Path) -> str:
    """What is said about the file, its folder left out."""
    with pytest.raises(InputError) as caught:
        load_campaign(file)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{file.parent}{os.sep}", "")


def value_of(campaign: Campaign, key: str) -> Any:
    found: Any = campaign
    for part in key.split("."):
        found = getattr(found, part)
    return found


def test_a_small_file_has_every_default(tmp_path: Path) -> None:
    campaign = load_campaign(write(tmp_path, GOOD))

    assert {key: value_of(campaign, key) for key in DEFAULTS} == DEFAULTS
    assert campaign.category is Category.CUSTOMISED


def test_no_key_is_missing_from_the_table_of_defaults() -> None:
    def keys(model: Any, prefix: str = "") -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            inner = getattr(field.annotation, "model_fields", None)
            found |= keys(field.annotation, f"{name}.") if inner else {f"{prefix}{name}"}
        return found

    required = {"name", "sender_id", "category", "message", "recipients.path", "file"}
    assert keys(Campaign) == DEFAULTS.keys() | required


def test_every_key_can_be_set(tmp_path: Path) -> None:
    campaign = load_campaign(write(tmp_path, FULL))

    changed = {key for key, default in DEFAULTS.items() if value_of(campaign, key) != default}
    assert changed == DEFAULTS.keys()
    assert campaign.tariff.by_category == {Category.INFO: 60}
    assert campaign.sending.calls_per_second == 0.5
    # What the ledger keeps of a campaign is what the file says.
    kept = campaign.model_dump(mode="json", exclude_none=True)
    assert kept == tomllib.loads(FULL)


@pytest.mark.parametrize("keys", ["", 'cron = "0 9 * * *"\nat = "2026-12-01 09:00"', "at = []"])
def test_a_schedule_is_either_a_cron_line_or_times(tmp_path: Path, keys: str) -> None:
    said = refusal(write(tmp_path, f"{GOOD}\n[schedule]\n{keys}\n"))
    assert said.startswith("clinic-day.toml, [schedule]: needs cron or at, and not both. Write a section [schedule]")


def test_paths_are_from_the_folder_of_the_file(tmp_path: Path) -> None:
    campaign = load_campaign(write(tmp_path, FULL))

    assert campaign.recipients_path == tmp_path / "lists" / "people.xlsx"
    assert campaign.suppression_paths == (tmp_path / "opt_outs.csv", Path("/srv/never.csv"))


@pytest.mark.parametrize("path", ["/srv/lists/people.csv", "lists/people.csv", "lists/../people.csv", "./..people.csv"])
def test_paths_that_are_taken(tmp_path: Path, path: str) -> None:
    """A full path is what the person of this computer wrote; the others stay in the folder."""
    campaign = load_campaign(write(tmp_path, GOOD.replace("people.csv", path)))

    assert campaign.recipients_path == tmp_path / path


REACHES_OUT = "leads out of the folder of the campaign file. Copy that file beside the campaign file, or write its full"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("../people.csv", f"'../people.csv' {REACHES_OUT}", id="the folder above"),
        pytest.param("lists/../../people.csv", f"'lists/../../people.csv' {REACHES_OUT}", id="a detour"),
        pytest.param("..", f"'..' {REACHES_OUT}", id="the folder itself"),
        pytest.param("https://jane:secret@example.org:8080/people.csv?key=secret", "https://… is an "
                     "address, and only files are read. Download the file, and give its path.", id="a web address"),
        pytest.param("s3://bucket/people.csv", "s3://… is an address", id="a bucket"),
        pytest.param("file:///srv/people.csv", "file://… is an address", id="a file's address"),
        pytest.param("people\\u0000.csv", "holds a NUL character, which no path does. Write", id="NUL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["[recipients] path", "[suppression] paths"])
def test_paths_that_are_not(tmp_path: Path, key: str, path: str, message: str) -> None:
    """The file may come from somebody else."""
    if key == "[recipients] path":
        text = GOOD.replace("people.csv", path)
    else:
        text = f'{GOOD}\n[suppression]\npaths = ["opt_outs.csv", "{path}"]\n'

    said = refusal(write(tmp_path, text))

    assert said.startswith(f"clinic-day.toml, {key}: ")
    assert message in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(GOOD.encode(), id="UTF-8"),
        pytest.param(GOOD.encode("utf-8-sig"), id="UTF-8 with a byte order mark, as Notepad writes it"),
        pytest.param(GOOD.encode("utf-16"), id="UTF-16, which Notepad calls Unicode"),
        pytest.param(GOOD.replace("\n", "\r\n").encode(), id="line ends of Windows"),
    ],
)
def test_files_of_every_editor_are_the_same(tmp_path: Path, encoded: bytes) -> None:
    expected = load_campaign(write(tmp_path, GOOD, "expected.toml"))

    assert load_campaign(write(tmp_path, encoded)).model_dump() == expected.model_dump()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('name = "clinic-day"\n', "", "name: is missing. Write a name of a to z", id="no name"),
        pytest.param('"clinic-day"', '"clinic/day"', "name: 'clinic/day' is not allowed. Write a name", id="slash"),
        pytest.param('"clinic-day"', '"Clinic day"', "name: 'Clinic day' is not allowed", id="capitals and spaces"),
        pytest.param('"clinic-day"', f'"{"a" * 64}"', "dashes, 63 at most, such as clinic-day.", id="a long name"),
        pytest.param('"clinic-day"', "7", "name: '7' is not allowed", id="a number for a name"),
        pytest.param('"MamboSMS"', '"MamboSMSinfo"', "sender_id: 'MamboSMSinfo' has more than 11 characters. "
                     "Write 1 to 11 characters as registered", id="12 characters"),
        pytest.param('"MamboSMS"', '""', "sender_id: '' is empty. Write 1 to 11 characters", id="no sender"),
        pytest.param('"MamboSMS"', '"Ŋŋambo"', "sender_id: 'Ŋŋambo' holds more than plain letters", id="a letter"),
        pytest.param('"MamboSMS"', '"Mambo "', "or a space at an end", id="a space behind the sender"),
        pytest.param('"customised"', '"customized"', "category: 'customized' is not allowed. "
                     'Write "non_customised", "info" or "customised".', id="category"),
        pytest.param('"customised"', '"Info"', "category: 'Info' is not allowed", id="a capital letter"),
        pytest.param('"Dear {first_name|friend}, clinic day is {day}."', '""', "message: '' is empty. Write the text",
                     id="no text"),
        pytest.param('"Dear {first_name|friend}, clinic day is {day}."', '" \\n "', "' is empty. Write the text",
                     id="blank text"),
        pytest.param("Dear", "\\u0000", "holds a NUL character", id="NUL"),
        pytest.param("[recipients]", "[receivers]", "[receivers]: is not a key of a campaign file. "
                     "Did you mean [recipients]?", id="section"),
        pytest.param("[recipients]\n", "", "path: is not a key of a campaign file. Did you mean [recipients] path?",
                     id="no section"),
        pytest.param('[recipients]\npath = "people.csv"\n', "", "[recipients]: is missing. Write a section "
                     '[recipients] with path = "people.csv".', id="no recipients"),
        pytest.param('[recipients]\npath = "people.csv"\n', 'recipients = "people.csv"\n',
                     "[recipients]: 'people.csv' is not allowed. Write a section", id="no section but text"),
        pytest.param('path = "people.csv"\n', "", '[recipients] path: is missing. Write the path of a CSV', id="path"),
        pytest.param('"people.csv"', "['people.csv']", "[recipients] path: '[people.csv]' is not allowed", id="list"),
        pytest.param('"people.csv"', '"C:\\temp\\new.csv"', "holds a tab or a line break, as a backslash between "
                     "double quotes may mean; / is safe", id="backslashes that are read as something else"),
        # A key that is spelled wrong is named before the one that is missing because of it.
        pytest.param("message =", "mesage =", "mesage: is not a key of a campaign file. Did you mean message?",
                     id="spelled wrong"),
        pytest.param("sender_id =", "Sender_ID =", "Sender_ID: is not a key of a campaign file.", id="capital key"),
        pytest.param("path =", "paht =", "[recipients] paht: is not a key of a campaign file. Did you mean path or "
                     "[suppression] paths?", id="spelled wrong in a section"),
    ],
)  # fmt: skip
def test_what_is_required(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD

    said = refusal(write(tmp_path, GOOD.replace(old, new)))

    assert said.startswith("clinic-day.toml, ")
    assert message in said


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        # Limits and money
        ("sending", 'max_cost_ugx = "600,000"', ("max_cost_ugx: '600,000' is not allowed. Write a whole number of "
                    "shillings, at least 1, without commas: 600000 or 600_000.")),
        ("sending", "max_cost_ugx = -5", "max_cost_ugx: '-5' is not allowed. Write a whole number of shillings"),
        ("sending", "max_cost_ugx = 0", "max_cost_ugx: '0' is not allowed"),
        ("sending", "max_cost_ugx = 600.000", "max_cost_ugx: '600.0' is not allowed. Write a whole number"),
        ("sending", "max_cost_ugx = 100000.5", "max_cost_ugx: '100000.5' is not allowed. Write a whole number"),
        ("sending", "max_cost_ugx = 772123456.5", "max_cost_ugx: '•••565' is not allowed"),
        ("sending", "chunk_size = 0", "chunk_size: '0' is not allowed. Write a whole number from 1 to 1000."),
        ("sending", "chunk_size = 1001", "chunk_size: '1001' is not allowed. Write a whole number from 1 to 1000."),
        ("sending", "concurrency = 65", "concurrency: '65' is not allowed. Write a whole number from 1 to 64."),
        ("sending", "calls_per_second = -1", "calls_per_second: '-1' is not allowed. Write a number; 0 is no limit."),
        ("sending", "calls_per_second = inf", "calls_per_second: 'inf' is not allowed"),
        ("sending", "calls_per_second = nan", "calls_per_second: 'nan' is not allowed"),
        ("sending", "canary_size = 0", "canary_size: '0' is not allowed. Write a whole number from 1 to 1000."),
        ("sending", "timeout_s = 26", "timeout_s: '26' is not allowed. Write a number of seconds, above 0 and at most"),
        ("sending", "pause_after_unknown = 0", "pause_after_unknown: '0' is not allowed. Write a whole number of"),
        ("sending", "repeat_guard_days = -1", "repeat_guard_days: '-1' is not allowed"),
        # The window
        ("sending", 'window = "8-20"', ("window: '8-20' is no window. Write two times of one day, the earlier one "
                    'first: window = "08:00-20:00"; or "any".')),
        ("sending", 'window = "08:00-24:00"', "window: '08:00-24:00' is no window"),
        ("sending", 'window = "20:00-08:00"', ("window: '20:00-08:00' is no window. Write two times of one day, the "
                    "earlier one first")),
        ("sending", "window = true", "window: 'true' is not allowed. Write two times of one day"),
        ("sending", 'outside_window = "stop"', "outside_window: 'stop' is not allowed. Write \"pause\" or \"wait\"."),
        # Reading the list
        ("recipients", "header_row = 0", "header_row: '0' is not allowed. Write the number of the row that holds the"),
        ("recipients", "phone = 3", "phone: '3' is not allowed. Write the name of a column: phone = \"phone\"."),
        ("recipients", 'date_format = "%Q"', "date_format: '%Q' is not allowed. Write %d for the day, %m for"),
        ("recipients", 'date_format = "dd/mm/yyyy"', ("date_format: 'dd/mm/yyyy' is not allowed. Write %d for the day, "
                       '%m for the month and %Y for the year: date_format = "%d/%m/%Y".')),
        ("recipients", 'date_format = "100%%"', "date_format: '100%%' is not allowed"),
        ("recipients", 'several = "last"', "several: 'last' is not allowed. Write \"reject\" or \"first\"."),
        ("recipients", 'duplicates = "send"', "duplicates: 'send' is not allowed. Write \"reject\" or \"same_text\"."),
        ("recipients", "hidden_rows = true", "hidden_rows: 'true' is not allowed. Write \"send\" or \"skip\"."),
        ("recipients", 'keep = "client_id"', "keep: 'client_id' is not allowed. Write a list of columns: keep = ["),
        ("recipients", "keep = [1]", "keep: '1' is not allowed. Write a list of columns"),
        ("suppression", 'paths = "opt_outs.csv"', "paths: 'opt_outs.csv' is not allowed. Write a list of files: paths"),
        # Prices
        ("tariff", "ugx_per_segment = 0", "ugx_per_segment: '0' is not allowed. Write a whole number of shillings"),
        ("tariff", "by_network = { MTN = -1 }", "by_network.MTN: '-1' is not allowed. Write the price of a segment"),
        ("tariff", "by_category = { inof = 40 }", ("by_category.inof: 'inof' is not allowed. Write the price of a "
                   "segment for non_customised, info or customised")),
        ("settlement", "settle_after_s = 60", ("settle_after_s: '60' is not allowed. Write a whole number of seconds "
                       "from 120 to 86400.")),
        ("settlement", 'resend_settled = "yes"', "resend_settled: 'yes' is not allowed. Write true or false, without"),
        # When it is sent by itself
        ("schedule", 'cron = "every monday"', ("cron: 'every monday' is no cron line: minute, hour, day of the month, "
                      "month, day of the week. Write minute, hour")),
        ("schedule", 'cron = "0 9 * * 8"', "cron: '0 9 * * 8' is no cron line, or one of a day that never comes"),
        ("schedule", 'cron = "0 9 31 2 *"', "cron: '0 9 31 2 *' is no cron line, or one of a day that never comes"),
        ("schedule", 'cron = "0 9 1 * MON"', "cron: '0 9 1 * MON' names days of the month and days of the week; one"),
        ("schedule", 'cron = "@daily"', "cron: '@daily' is no cron line"),
        ("schedule", 'at = "tomorrow"', "at: 'tomorrow' is no date with a time. Write a local time, or a list of"),
        ("schedule", 'at = "01/12/2026 09:00"', "at: '01/12/2026 09:00' is no date with a time"),
        ("schedule", 'at = "0772123456"', "at: '•••456' is no date with a time"),
        ("schedule", 'at = "2026-02-30 09:00"', "at: '2026-02-30 09:00' names a day or an hour that does not exist"),
        ("schedule", "at = 2026-12-01", "at: '2026-12-01' is no date with a time"),
        ("schedule", "at = 2026-12-01T09:00:00+03:00", ("at: '2026-12-01 09:00:00+03:00' is no plain local time; the "
                     "key timezone says where")),
        ("schedule", 'timezone = "Kampala"', "timezone: 'Kampala' is no time zone. Write the name of a time zone"),
        ("schedule", 'max_lateness = "soon"', "max_lateness: 'soon' is no length of time. Write a whole number of"),
        # What later versions bring
        ("suppression", 'transactional = "yes"', "transactional: 'yes' is not allowed. Write true or false"),
        # Keys that are not there, or belong elsewhere
        ("sending", 'windw = "any"', "windw: is not a key of a campaign file. Did you mean window?"),
        ("sending", 'message = "Hello"', ("message: is not a key of a campaign file. Did you mean message, above the "
                    "first [section]?")),
        ("recipients", "max_cost_ugx = 5", ("max_cost_ugx: is not a key of a campaign file. Did you mean [sending] "
                       "max_cost_ugx?")),
        ("sending", "base_url = 'https://example.org'", ("base_url: is not a key of a campaign file. Known here: "
                    "chunk_size, concurrency")),
    ],
)  # fmt: skip
def test_what_the_sections_may_hold(tmp_path: Path, section: str, line: str, message: str) -> None:
    text = f"{GOOD}\n{line}" if section == "recipients" else f"{GOOD}\n[{section}]\n{line}"

    assert refusal(write(tmp_path, text)).startswith(f"clinic-day.toml, [{section}] {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('approval = "two"', "approval: 'two' is not allowed. Write \"none\" or \"required\"."),
        ('schedule = "0 9 * * *"', "[schedule]: '0 9 * * *' is not allowed. Write a section [schedule] with either"),
        ("max_segments = 256", "max_segments: '256' is not allowed. Write a whole number from 1 to 255."),
        ("max_recipients = 0", "max_recipients: '0' is not allowed. Write a whole number, at least 1."),
        ("sandbox_only = 1", "sandbox_only: '1' is not allowed. Write true or false, without quotes."),
        ("keep = []", "keep: is not a key of a campaign file. Did you mean [recipients] keep?"),
        # What the program keeps beside the keys is no key either.
        ('file = "other.toml"', "file: is not a key of a campaign file. Known here: name, sender_id, category"),
        ('[other]\nkey = 1', "[other]: is not a key of a campaign file. The sections are [recipients], [sending], "),
    ],
)  # fmt: skip
def test_what_the_top_may_hold(tmp_path: Path, line: str, message: str) -> None:
    head, recipients = GOOD.split("\n\n")

    assert refusal(write(tmp_path, f"{head}\n{line}\n\n{recipients}")).startswith(f"clinic-day.toml, {message}")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("message = \u201cDear friend\u201d", 'Write straight quotes: message = "…".'),
        ("message = \u2018Dear friend\u2019", 'Write straight quotes: message = "…".'),
        ("max_cost_ugx = 600,000", "Write the number without commas: max_cost_ugx = 600_000."),
        ("max_cost_ugx = 1,600,000   # a week", "Write the number without commas: max_cost_ugx = 1_600_000."),
        ("max_cost_ugx = 600 000", "Write the number without commas: max_cost_ugx = 600_000."),
        ('path = "C:\\lists\\people.csv"', 'Write / between the parts of a path: path = "C:/lists/people.csv".'),
        ("sandbox_only = True", "Write true or false: sandbox_only = true."),
        ("sandbox_only = no", "Write true or false: sandbox_only = false."),
        ("category = info", 'Text stands in quotes: category = "info".'),
        ("window = 08:00-20:00", 'Text stands in quotes: window = "08:00-20:00".'),
        ('message = "Dear friend', 'Text stands between two quotes: message = "…".'),
        ('message = Dear friend"', 'Text stands in quotes: message = "Dear friend".'),
        ('message: "Dear friend"', "A key and its value are joined by =, not by a colon."),
        ('name = "a"\nname = "b"', "It stands in the file twice."),
        ("[sending]\n[sending]", "It stands in the file twice."),
        ("= 5", "What is wrong there: Invalid statement."),
    ],
)
def test_what_is_no_toml(tmp_path: Path, line: str, hint: str) -> None:
    said = refusal(write(tmp_path, f"# A campaign\n{line}\n"))

    bad = line.split("\n")[-1]
    assert said == f"clinic-day.toml: line {2 + line.count(chr(10))} cannot be read: {bad}. {hint}"


@pytest.mark.parametrize("text", ['message = """Dear friend', "keep = [1,\n2", "a = 'b"], ids=["text", "list", "quote"])
def test_what_is_not_closed(tmp_path: Path, text: str) -> None:
    said = "clinic-day.toml: cannot be read to its end. Somewhere a quote or a bracket is opened and not closed."

    assert refusal(write(tmp_path, text)) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("keep = " + "[" * 9_999, "holds brackets within brackets without end.", id="brackets"),
        pytest.param(f"max_segments = {'9' * 9_999}", "cannot be read to its end.", id="a number without end"),
    ],
)
def test_what_has_no_end(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(write(tmp_path, text)).startswith(f"clinic-day.toml: {message}")


def test_a_number_in_a_line_that_is_no_toml_is_masked(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, "phone = 0772123456\n"))

    assert "0772123456" not in said
    assert "•••456" in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("people.csv", b"phone\n0772123456\n", "people.csv: is a list of people, not a campaign file. "
                     "`mambo new NAME", id="the list itself"),
        pytest.param("people.xlsx", b"PK", "is a list of people", id="a workbook"),
        pytest.param("empty.toml", b"", "empty.toml: says nothing. `mambo new NAME FILE` writes", id="empty"),
        pytest.param("empty.toml", b"# name = \"clinic-day\"\n", "says nothing", id="nothing but comments"),
        pytest.param("latin.toml", "message = 'caf\xe9'".encode("cp1252"), "is not UTF-8 text. Save it with the "
                     "encoding UTF-8.", id="cp1252"),
        pytest.param("picture.toml", b"\x89PNG\r\n\x1a\n", "is not UTF-8 text", id="a picture"),
        pytest.param("half.toml", b"\xff\xfea", "is not UTF-8 text", id="half a character of UTF-16"),
        pytest.param("large.toml", b"#" * 1_000_001, "is too large for a campaign file", id="large"),
    ],
)  # fmt: skip
def test_what_is_no_campaign_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    assert message in refusal(write(tmp_path, content, name))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, GOOD)

    assert refusal(tmp_path / "clinicday.toml").endswith("no such campaign file. Did you mean clinic-day.toml?")
    assert refusal(tmp_path / "xyz.toml").endswith("no such campaign file. `mambo new NAME FILE` writes one.")
    assert refusal(tmp_path / "no" / "folder.toml").endswith("`mambo new NAME FILE` writes one.")


def test_an_address() -> None:
    with pytest.raises(InputError, match="https://… is an address, and only files are read"):
        load_campaign(Path("https://example.org/clinic-day.toml"))


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder. Name the campaign's .toml file." in refusal(tmp_path)


@pytest.mark.parametrize("edition", ["1", "2", "friday", "2026-11-22", "2026-11-22T18:00:00+03:00", "v1.2_b", "a" * 64])
def test_names_of_editions(edition: str) -> None:
    check_edition(edition)


@pytest.mark.parametrize("edition", ["", " ", "a/b", "a b", "-1", "../x", "é", "a\n", "a" * 65])
def test_what_names_no_edition(edition: str) -> None:
    with pytest.raises(InputError, match="is not the name of an edition"):
        check_edition(edition)
