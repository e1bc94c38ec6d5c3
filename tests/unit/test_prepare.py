"""From a campaign file and a small list to a plan: who is sent what, who is not, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from mambo_io.errors import InputError
from mambo_io.model import Category
from pipelines.estimate import make_estimate
from pipelines.prepare import prepare
from pipelines.reasons import Reason
from support.ledgers import Run, good_reply
from support.lists import ACCOUNT, campaign_of, new_ledger, prepared_of, reasons

# The list says itself what becomes of each row: `expected` is one of the kept columns.
EVERY_REASON = f"""\
phone,name,expected
0772000001,Jane,
0772000002,Ali,,what is this
N/A,Zoe,missing
2.56772E+11,Ann,rounded_by_spreadsheet
O772000003,Ben,contains_letters
0772000004 / 0701000004,Tom,several_numbers
0772000005 ext 4,Eve,has_extension
077200006,Max,too_short
07720000077,Ida,too_long
+254722000008,Leo,foreign
0414000009,Amy,not_mobile
0690000010,Joe,invalid_number
0772 000 011,Una,opted_out
+256772000001,JANE,duplicate
0772000012,Sam,already_sent
0772000013,,missing_merge_field
0772000014,{"Maximilian " * 40},message_too_long
0772000015,Pia,
"""


def test_every_reason_in_one_list(tmp_path: Path) -> None:
    (tmp_path / "opt_outs.csv").write_text("number\n0772000011\n", encoding="utf-8")
    message = "Dear {name}, clinic day is Friday."
    with new_ledger(tmp_path) as ledger, ledger.store.writer() as connection:
        earlier = prepared_of(tmp_path, "phone,name\n0772000012,Sam\n", name="last-week", message=message)
        run = Run.of(connection, earlier.plan(account=ACCOUNT, host="127.0.0.1"), now=datetime.now(UTC))
        call = run.claim_one()
        run.settle(call, good_reply(call))

        prepared = prepared_of(
            tmp_path,
            EVERY_REASON,
            ledger=ledger,
            message=message,
            recipients='keep = ["expected"]',
            sections='[suppression]\npaths = ["opt_outs.csv"]',
        )

    frame = prepared.frame
    assert frame["row"].to_list() == list(range(2, 20))
    # A row with too many cells says nothing reliable, not even here.
    expected = frame.select(pl.when(pl.col("row") == 3).then(pl.lit("ragged_row")).otherwise("expected")).to_series()
    assert frame["reject_reason"].to_list() == expected.to_list()
    # A hidden row takes a workbook, an empty message a template that says nothing: each has a test below.
    assert set(expected.drop_nulls()) == set(Reason) - {Reason.HIDDEN_ROW, Reason.EMPTY_MESSAGE}

    sent = frame.filter(pl.col("chunk").is_not_null())
    assert sent.select("row", "phone_raw", "e164", "network_guess", "message", "segments", "estimated_ugx").rows() == [
        (2, "0772000001", "+256772000001", "MTN", "Dear Jane, clinic day is Friday.", 1, 50),
        (19, "0772000015", "+256772000015", "MTN", "Dear Pia, clinic day is Friday.", 1, 50),
    ]
    rejected = frame.filter(pl.col("chunk").is_null())
    assert rejected["estimated_ugx"].null_count() == rejected.height == 16
    # What was too long can still be read.
    assert frame.filter(pl.col("row") == 18)["segments"].to_list() == [4]


def test_a_message_of_which_nothing_is_left(tmp_path: Path) -> None:
    prepared = prepared_of(tmp_path, "phone,text\n0772000001,\n0772000002,Come on Friday\n", message="{text|} ")

    assert reasons(prepared) == {2: "empty_message", 3: None}


def test_every_row_rejected_makes_a_plan_without_calls(tmp_path: Path) -> None:
    prepared = prepared_of(tmp_path, "phone,name\nN/A,Jane\n0414000009,Ali\n", recipients='phone = "phone"')

    assert reasons(prepared) == {2: "missing", 3: "not_mobile"}
    assert prepared.chunks.chunks.is_empty()
    assert prepared.plan(account=ACCOUNT, host="127.0.0.1").canary_calls == 0


def test_the_steps_say_what_they_do(tmp_path: Path) -> None:
    steps: list[str] = []

    campaign = campaign_of(tmp_path, "phone\n0772000001\n")
    prepare(campaign, edition="1", account=ACCOUNT, ledger=None, on_step=steps.append)

    assert steps == [
        "reading the recipients",
        "reading the numbers",
        "writing and pricing the messages",
        "grouping the calls",
    ]


# --- rows that a workbook hides --------------------------------------------------------------------------------------


@pytest.fixture
def workbook(tmp_path: Path) -> str:
    """Four people, of whom the second and the third are hidden; the third's number is too short anyway."""
    with xlsxwriter.Workbook(tmp_path / "people.xlsx") as book:
        sheet = book.add_worksheet()
        for row, cell in enumerate(["phone", "0772000001", "0772000002", "077200", "0772000004"]):
            sheet.write_string(row, 0, cell)
        for row in (2, 3):
            sheet.set_row(row, None, None, {"hidden": True})
    return "people.xlsx"


@pytest.mark.parametrize(
    ("choice", "expected", "obstacles"),
    [
        pytest.param(
            "",
            [None, "hidden_row", "hidden_row", None],
            ('people.xlsx: 2 rows are hidden in it. Set [recipients] hidden_rows = "send" or "skip".',),
            id="nobody has decided",
        ),
        pytest.param('hidden_rows = "skip"', [None, "hidden_row", "hidden_row", None], (), id="skip"),
        pytest.param('hidden_rows = "send"', [None, None, "too_short", None], (), id="send: rules as for any row"),
    ],
)
def test_hidden_rows(
    tmp_path: Path, workbook: str, choice: str, expected: list[str | None], obstacles: tuple[str, ...]
) -> None:
    prepared = prepared_of(tmp_path, None, path=workbook, recipients=choice)

    assert prepared.frame["reject_reason"].to_list() == expected
    assert prepared.loaded.obstacles == obstacles


# --- several numbers, duplicates -------------------------------------------------------------------------------------


def test_the_first_of_several_numbers_on_request(tmp_path: Path) -> None:
    people = "phone\n0772000001 / 0701000001\n0414000001 or 0772000001\n0772000001\n"

    assert reasons(prepared_of(tmp_path, people)) == {2: "several_numbers", 3: "several_numbers", 4: None}
    first = prepared_of(tmp_path, people, recipients='several = "first"')
    assert reasons(first) == {2: None, 3: "not_mobile", 4: "duplicate"}
    assert first.frame["e164"].to_list()[0] == "+256772000001"


@pytest.mark.parametrize(
    ("duplicates", "expected"),
    [
        pytest.param("reject", [None, "duplicate", "duplicate", None], id="one message a number"),
        pytest.param("same_text", [None, "duplicate", None, None], id="one message a number and text"),
    ],
)
def test_duplicates(tmp_path: Path, duplicates: str, expected: list[str | None]) -> None:
    people = "phone,name\n0772000001,Jane\n+256 772 000001,Jane\n256772000001,JANE\n0772000002,Jane\n"

    prepared = prepared_of(tmp_path, people, message="Dear {name}, come.", recipients=f'duplicates = "{duplicates}"')

    assert prepared.frame["reject_reason"].to_list() == expected


def test_a_row_that_is_rejected_itself_makes_no_later_one_a_duplicate(tmp_path: Path) -> None:
    people = f"phone,name\n0772000001,\n0772000001,{'x' * 500}\n0772000001,Jane\n0772000001,Ali\n"

    prepared = prepared_of(tmp_path, people, message="Dear {name}, come.")

    assert prepared.frame["reject_reason"].to_list() == ["missing_merge_field", "message_too_long", None, "duplicate"]


# --- text and price --------------------------------------------------------------------------------------------------


def test_smart_encoding_writes_plain_quotes(tmp_path: Path) -> None:
    people = "phone,name\n0772000001,Ng\u2019ang\u2019a\n0772000002,\u014aang\u2019a\n"

    as_typed = prepared_of(tmp_path, people, message="Dear {name}, come.").frame
    plain = prepared_of(tmp_path, people, message="Dear {name}, come.", top="smart_encoding = true").frame

    assert as_typed["encoding"].to_list() == ["UCS-2", "UCS-2"]
    assert plain.select("message", "encoding").rows() == [
        ("Dear Ng'ang'a, come.", "GSM-7"),
        ("Dear \u014aang\u2019a, come.", "UCS-2"),  # a letter is never replaced, so a plain quote would save nothing
    ]


@pytest.mark.parametrize(
    ("max_segments", "expected"),
    [(1, [None, "message_too_long", "message_too_long"]), (2, [None, None, "message_too_long"]), (3, [None] * 3)],
)
def test_max_segments(tmp_path: Path, max_segments: int, expected: list[str | None]) -> None:
    people = f"phone,text\n0772000001,{'a' * 160}\n0772000002,{'a' * 161}\n0772000003,{'a' * 459}\n"

    prepared = prepared_of(tmp_path, people, message="{text}", top=f"max_segments = {max_segments}")

    assert prepared.frame["reject_reason"].to_list() == expected


@pytest.mark.parametrize(
    ("tariff", "mtn", "airtel"),
    [
        pytest.param("", 50, 50, id="the default"),
        pytest.param("ugx_per_segment = 45", 45, 45, id="one price"),
        pytest.param("by_category = { customised = 60 }", 60, 60, id="this category"),
        pytest.param("by_category = { info = 60 }", 50, 50, id="another category"),
        pytest.param("by_network = { MTN = 30 }", 30, 50, id="one network"),
        pytest.param("by_network = { mtn = 30 }\nby_category = { customised = 60 }", 30, 60, id="network first"),
    ],
)
def test_the_tariff(tmp_path: Path, tariff: str, mtn: int, airtel: int) -> None:
    """A price by network wins over one by category, and that over the general one. Both messages have two segments."""
    prepared = prepared_of(
        tmp_path, "phone\n0772000001\n0701000001\n", message="a" * 200, sections=f"[tariff]\n{tariff}"
    )

    assert prepared.campaign.category is Category.CUSTOMISED
    assert prepared.frame["estimated_ugx"].to_list() == [2 * mtn, 2 * airtel]
    assert prepared.chunks.chunks["expected_ugx"].sum() == 2 * mtn + 2 * airtel
    assert prepared.priced.notes == ()


def test_a_price_for_a_network_that_does_not_exist_is_told(tmp_path: Path) -> None:
    prepared = prepared_of(tmp_path, "phone\n0772000001\n", sections="[tariff]\nby_network = { 'MTN Uganda' = 30 }")

    (note,) = prepared.priced.notes
    assert note.startswith("[tariff] by_network: no number is taken for one of MTN Uganda, so its price is not used.")
    assert "Airtel" in note
    assert prepared.frame["estimated_ugx"].to_list() == [50]


# --- opt-outs --------------------------------------------------------------------------------------------------------


def test_opt_outs_count_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "stop.csv").write_text("name;Mobile No.\nJane;0772 000 001\n", encoding="cp1252")
    pl.DataFrame({"msisdn": [256772000002]}).write_parquet(tmp_path / "stop.parquet")
    with xlsxwriter.Workbook(tmp_path / "stop.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_string(0, 0, "asked us to stop")  # the only column needs no telling name
        sheet.write_number(1, 0, 772000003)
        sheet.write_string(2, 0, "+256772000004")
        sheet.set_row(2, None, None, {"hidden": True})  # whoever hid it, the person has opted out
    people = "phone\n" + "".join(f"077200000{last}\n" for last in range(1, 6))

    prepared = prepared_of(
        tmp_path, people, sections='[suppression]\npaths = ["stop.csv", "stop.parquet", "stop.xlsx"]'
    )

    assert reasons(prepared) == {2: "opted_out", 3: "opted_out", 4: "opted_out", 5: "opted_out", 6: None}
    assert prepared.priced.suppressed.sort("msisdn").rows() == [
        (256772000001, "stop.csv"),
        (256772000002, "stop.parquet"),
        (256772000003, "stop.xlsx"),
        (256772000004, "stop.xlsx"),
    ]
    assert prepared.priced.notes == ("stop.xlsx: 1 row hidden in the workbook: read like the others (row 3).",)
    assert prepared.priced.warnings == ()


def test_opt_outs_that_cannot_be_read_are_told_with_their_rows(tmp_path: Path) -> None:
    (tmp_path / "stop.csv").write_text(
        "phone,since\n0772000001,May\n0772000002 / 0772000003,May\n,June\n07720000O4,June\n"
        "0772000005/07720000,June,x\n",
        encoding="utf-8",
    )
    people = "phone\n" + "".join(f"077200000{last}\n" for last in range(1, 6))

    prepared = prepared_of(tmp_path, people, sections='[suppression]\npaths = ["stop.csv"]')

    assert reasons(prepared) == {2: "opted_out", 3: "opted_out", 4: "opted_out", 5: None, 6: "opted_out"}
    assert prepared.priced.notes == (
        "stop.csv: 1 row with several numbers in one cell: each of them counts (row 3).",
        "stop.csv: 1 row with cells that do not fit the header: the phone cell is read (row 6).",
    )
    assert make_estimate(prepared, account=ACCOUNT, ledger=None).warnings[0] == (
        "stop.csv: 3 of 5 opt-outs could not be read in full, and only a complete number in them holds anybody back: "
        "row 4 (missing), 5 (contains_letters), 6 (too_long)."
    )


def test_somebody_on_two_lists_is_held_back_once(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("phone\n0772000001\n+256772000001\n", encoding="utf-8")

    prepared = prepared_of(tmp_path, "phone\n0772000001\n", sections='[suppression]\npaths = ["a.csv", "b.csv"]')

    assert prepared.priced.suppressed.rows() == [(256772000001, "a.csv")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(None, r"stop\.csv: no such file", id="not there"),
        pytest.param("", r"stop\.csv: the file is empty", id="empty"),
        pytest.param(
            "who,since\nJane,May\n",
            r"stop\.csv: it is not plain which column of this opt-out list holds the numbers\. "
            r"Name one column phone, and no other so\. Its columns: who, since\.",
            id="no column of numbers",
        ),
        pytest.param("phone,mobile\n0772000001,0772000002\n", r"stop\.csv: it is not plain which", id="two of them"),
        pytest.param("0772000001\n0772000002\n", r"stop\.csv, row 1: .* column name is expected", id="no header"),
        pytest.param("phone\n2.56772E+11\n2.56701E+11\n", r"none of its 2 opt-outs is a mobile number", id="rounded"),
        pytest.param("who\nJane\n", r"none of its 1 opt-outs is a mobile number", id="names only"),
    ],
)
def test_an_opt_out_list_that_cannot_be_used_stops_everything(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "stop.csv").write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=told) as caught:
        prepared_of(tmp_path, "phone\n0772000001\n", sections='[suppression]\npaths = ["stop.csv"]')

    assert "0772000001" not in caught.value.message
