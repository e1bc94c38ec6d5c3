"""The example lists and campaigns in data/: what they promise to show is in them, and the same in every format."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from python_calamine import CalamineWorkbook

from data.make_examples import write_examples
from mambo_io.datasets import Dataset, read_dataset
from pipelines.campaign import load_campaign
from pipelines.edition import Prepared
from pipelines.estimate import Estimate, make_estimate
from pipelines.numbers import normalize_numbers
from pipelines.prepare import prepare
from pipelines.reasons import Reason
from support.environment import REPOSITORY

DATA = REPOSITORY / "data"
LISTS = ("people.csv", "people.xlsx", "people.parquet")
CAMPAIGNS = ("clinic-day", "vaccination-week", "flour-day")
NETWORKS = {"MTN", "Airtel", "UTL", "LycaMobile"}  # the last one is not documented for customised sender IDs


@cache
def people(name: str) -> Dataset:
    return read_dataset(DATA / name)


@cache
def prepared(name: str) -> Prepared:
    return prepare(load_campaign(DATA / f"{name}.toml"), edition="1", account="sandbox", ledger=None)


@cache
def estimate(name: str) -> Estimate:
    return make_estimate(prepared(name), account="sandbox", ledger=None)


def cells(path: Path) -> list[list[object]]:
    """A workbook's cells with their types."""
    sheet = CalamineWorkbook.from_path(path).get_sheet_by_index(0)
    return [list(row) for row in sheet.to_python()]


@pytest.fixture(scope="module")
def clinic_day() -> pl.DataFrame:
    return prepared("clinic-day").frame


# --- the files -------------------------------------------------------------------------------------------------------


def test_the_script_writes_what_is_there(tmp_path: Path) -> None:
    write_examples(tmp_path)
    for name in ("people.csv", "opt_outs.csv", "deliveries.csv"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), name
    assert cells(tmp_path / "people.xlsx") == cells(DATA / "people.xlsx")
    assert_frame_equal(pl.read_parquet(tmp_path / "people.parquet"), pl.read_parquet(DATA / "people.parquet"))


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir() if path.is_file()) < 300_000


@pytest.mark.parametrize("name", LISTS)
def test_people_and_blank_rows_are_counted_alike(name: str) -> None:
    dataset = people(name)
    assert (dataset.frame.height, dataset.blank_rows, dataset.hidden_rows) == (1_000, 4, ())


def test_the_csv_file_has_lines_that_were_typed_by_hand() -> None:
    dataset = people("people.csv")
    assert (len(dataset.ragged_rows), dataset.short_rows) == (2, 1)


@pytest.mark.parametrize("name", LISTS[1:])
def test_each_row_is_the_same_person_in_every_file(name: str) -> None:
    in_csv, other = people("people.csv").frame, people(name).frame
    assert in_csv["row"].to_list() == other["row"].to_list()
    # The cells of a ragged line stand in the wrong columns, and a workbook may show its phones otherwise.
    sound = in_csv["reject_reason"].is_null()
    assert_frame_equal(in_csv.filter(sound).drop("phone"), other.filter(sound).drop("phone"))


@pytest.mark.parametrize("name", LISTS[1:])
def test_numbers_are_read_alike_but_for_what_the_csv_file_has_lost(name: str) -> None:
    verdict = ["e164", "network_guess", "reject_reason"]
    in_csv, other = (normalize_numbers(people(each).frame) for each in ("people.csv", name))
    both = in_csv.select("row", *verdict).join(other, on="row", suffix="_other")
    differ = both.filter(pl.any_horizontal(pl.col(part).ne_missing(pl.col(f"{part}_other")) for part in verdict))
    assert differ["e164_other"].null_count() == 0, "the other file has the number"
    assert sorted(differ["reject_reason"]) == ["ragged_row"] * 2 + ["rounded_by_spreadsheet"] * 3


def test_the_workbook_has_cells_of_many_types() -> None:
    header, *rows = cells(DATA / "people.xlsx")
    phones = [row[header.index("phone")] for row in rows]
    assert {type(phone) for phone in phones} == {str, float}
    assert 256_000_000_000 < max(phone for phone in phones if isinstance(phone, float)) < 257_000_000_000
    assert {type(row[header.index("enrolled")]) for row in rows} == {dt.date, str}  # "" is no date


# --- what is in them -------------------------------------------------------------------------------------------------

# Which reasons no example can have, and why not.
NOT_SHOWN = {
    Reason.HIDDEN_ROW,  # a filter left on would stop the campaign until a person decides
    Reason.ALREADY_SENT,  # asks for an earlier campaign
    Reason.EMPTY_MESSAGE,  # their texts are more than merge fields
}


def test_every_reason_turns_up(clinic_day: pl.DataFrame) -> None:
    assert set(clinic_day["reject_reason"].drop_nulls()) == set(Reason) - NOT_SHOWN


REPAIRS = {
    "spaces around": r" +0\d{9} +",
    "a tab": r"0\d{9}\t",
    "no-break spaces": r"0\d{3}\u{a0}\d{3}\u{a0}\d{3}",
    "a thin space": r"0\d{3}\u{2009}\d{6}",
    "a zero-width space": r"0\d{3}\u{200b}\d{6}",
    "a byte order mark": r"\u{feff}0\d{9}",
    "marks of writing direction": r"\u{202a}\+256\d{9}\u{202c}",
    "a line break": r"0\d{3}\n\d{6}",
    "a leading apostrophe": r"'0\d{9}",
    "a formula": r'="0\d{9}"',
    "no leading zero": r"7\d{8}",
    "a decimal point": r"7\d{8}\.0",
    "two decimals": r"2567\d{8}\.00",
    "thousands separators": r"256,\d{3},\d{3},\d{3}",
    "scientific notation with every digit": r"2\.56\d{9}E\+11",
    "00256": r"00256\d{9}",
    "000256": r"000256\d{9}",
    "2560": r"2560\d{9}",
    "the zero in brackets": r"\+256 \(0\)\d{3} \d{3}-\d{3}",
    "slashes": r"0\d{3}/\d{3}/\d{3}",
    "dots": r"0\d{3}\.\d{3}\.\d{3}",
    "a label": r"Tel: 0\d{3} \d{6}",
    "another label": r"WhatsApp:0\d{9}",
    "full-width digits": r"[\u{ff10}-\u{ff19}]{10}",
    "Arabic-Indic digits": r"[\u{660}-\u{669}]{10}",
    "typographic dashes": r"0\d{3}\u{2013}\d{3}\u{2014}\d{3}",
    "a minus sign": r"0\d{3}\u{2212}\d{6}",
    "a semicolon behind it": r"0\d{9};",
}


@pytest.mark.parametrize("written", REPAIRS.values(), ids=REPAIRS)
def test_every_repair_turns_up_and_works(clinic_day: pl.DataFrame, written: str) -> None:
    found = clinic_day.filter(pl.col("phone_raw").str.contains(f"^(?:{written})$"))
    assert not found.is_empty()
    assert found["e164"].null_count() == 0


def test_missing_is_spelled_in_many_ways(clinic_day: pl.DataFrame) -> None:
    missing = clinic_day.filter(reject_reason="missing")["phone_raw"]
    assert {None, "N/A", "none", "nil", "-", "#N/A"} <= set(missing)


def test_a_duplicate_is_written_otherwise_than_the_first(clinic_day: pl.DataFrame) -> None:
    duplicates = clinic_day.filter(reject_reason="duplicate")
    first = clinic_day.unique("e164", keep="first").select("e164", "row", "phone_raw")
    pairs = duplicates.join(first, on="e164", suffix="_first")
    assert pairs.height == duplicates.height
    assert (pairs["row"] > pairs["row_first"]).all()
    assert (pairs["phone_raw"] != pairs["phone_raw_first"]).all()


@pytest.mark.parametrize(
    ("column", "holds"),
    [
        *((column, f"^\\{sign}") for column in ("district", "notes") for sign in "=+-@"),  # a formula, to a spreadsheet
        ("notes", "^\t"),
        ("notes", '"'),
        ("notes", "\n"),
        ("last_name", "'"),
        ("last_name", ","),
        ("last_name", "\n"),
        ("last_name", "ŋ"),
        ("first_name", "ŋ"),
        ("first_name", "\u2019"),
        ("first_name", "^[A-Z]+$"),
        ("client_id", "^0"),
        ("enrolled", r"^\d\d/\d\d/\d{4}$"),
    ],
)
@pytest.mark.parametrize("name", LISTS)
def test_other_cells_are_messy_too(name: str, column: str, holds: str) -> None:
    assert people(name).frame[column].str.contains(holds).any()


# --- the campaigns ---------------------------------------------------------------------------------------------------


def test_there_are_three_campaigns_named_as_their_files() -> None:
    assert {path.stem for path in DATA.glob("*.toml")} == set(CAMPAIGNS)
    assert [load_campaign(DATA / f"{name}.toml").name for name in CAMPAIGNS] == list(CAMPAIGNS)


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_can_be_sent_to_the_sandbox_at_any_hour(name: str) -> None:
    campaign = load_campaign(DATA / f"{name}.toml")
    assert (campaign.sandbox_only, campaign.sending.window) == (True, "any")
    assert estimate(name).obstacles == ()


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_reaches_most_people_and_leaves_out_who_opted_out(name: str) -> None:
    found = estimate(name)
    assert found.rows == 1_000
    assert found.sendable > 850
    assert found.networks.keys() == NETWORKS
    assert found.rejected["opted_out"] == 20
    assert any(note.startswith("opt_outs.csv: 1 of 24 opt-outs could not be read in full") for note in found.warnings)


def test_the_campaign_with_merge_fields_shares_calls_between_people() -> None:
    found = estimate("clinic-day")
    assert 100 < found.texts <= found.calls < 200, "personal, and a demo of some seconds"
    assert [sample.text for sample in found.samples if sample.which == "first"] == [
        "Dear Christine, your clinic day is Wednesday. Please bring your card and come before 10 am."
    ]


def test_a_letter_makes_one_message_dear_and_a_curly_apostrophe_does_not(clinic_day: pl.DataFrame) -> None:
    sendable = clinic_day.filter(pl.col("reject_reason").is_null())
    eng = sendable.filter(pl.col("first_name").str.contains("ŋ"))
    assert set(eng.select("encoding", "segments").iter_rows()) == {("UCS-2", 2)}
    assert set(sendable.filter(encoding="UCS-2")["row"]) == set(eng["row"])
    [curly] = sendable.filter(pl.col("first_name").str.contains("\u2019")).iter_rows(named=True)
    assert curly["message"].startswith("Dear Nang'oma,")
    assert (curly["encoding"], curly["segments"]) == ("GSM-7", 1)


@pytest.mark.parametrize(("name", "encoding"), [("vaccination-week", "GSM-7"), ("flour-day", "UCS-2")])
def test_the_other_campaigns_have_one_text_of_one_segment(name: str, encoding: str) -> None:
    sendable = prepared(name).frame.filter(pl.col("reject_reason").is_null())
    assert set(sendable.select("encoding", "segments").iter_rows()) == {(encoding, 1)}
    assert estimate(name).texts == 1


def test_the_luganda_text_has_no_room_for_another_sentence() -> None:
    """As its file says: 69 of the 70 characters that one UCS-2 segment holds."""
    [sample, *_] = estimate("flour-day").samples
    assert len(sample.text) == 69
    assert "has 69" in (DATA / "flour-day.toml").read_text(encoding="utf-8")
