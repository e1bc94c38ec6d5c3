"""The columns of a list: which are read, what happens to odd names, and what is said about those that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mambo_io.datasets.header import RESERVED
from mambo_io.errors import InputError
from mambo_io.planning import write_plan
from pipelines.reasons import reason_meaning
from pipelines.schemas import RESULTS, check_frame
from support.lists import ACCOUNT, new_ledger, prepared_of

PEOPLE = "client_id,first_name,phone,day\n00001,Jane,0772000001,Friday\n00002,Ali,0772000002,Monday\n"


def test_merge_fields_and_kept_columns_are_read_and_no_others(tmp_path: Path) -> None:
    prepared = prepared_of(
        tmp_path, PEOPLE, message="Dear {first_name}, come.", recipients='keep = ["client_id", "first_name"]'
    )

    assert prepared.frame.columns == [
        "row",
        "reject_reason",
        "phone_raw",
        "first_name",
        "client_id",
        "e164",
        "network_guess",
        "message",
        "encoding",
        "units",
        "segments",
        "estimated_ugx",
        "chunk",
    ]
    assert prepared.frame["client_id"].to_list() == ["00001", "00002"]
    assert prepared.loaded.phone_column == "phone"


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param("[]", [], id="none"),
        pytest.param('["day", "client_id"]', ["day", "client_id"], id="in the order of the campaign file"),
        pytest.param('["day", "day"]', ["day"], id="one of them twice"),
        pytest.param('["phone"]', ["phone"], id="the phone column itself"),
    ],
)
def test_kept_columns_reach_the_results(tmp_path: Path, keep: str, kept: list[str]) -> None:
    prepared = prepared_of(tmp_path, PEOPLE, recipients=f"keep = {keep}")

    with new_ledger(tmp_path) as ledger, ledger.store.writer() as connection:
        row = write_plan(connection, prepared.plan(account=ACCOUNT, host="127.0.0.1"), who="a test")
        results = check_frame(ledger.results(row), RESULTS)

    assert results.columns == [*RESULTS.columns, *kept]
    assert results.select(kept).equals(prepared.frame.select(kept))


# Names that mean something to a step, to the ledger, to pandera or to polars. A star or a pattern is renamed as well.
RENAMED = [*sorted(RESERVED), "*", "^p.*$"]
KEPT_AS_THEY_ARE = [
    *("text_key", "msisdn", "label", "canary", "kept", "campaign_id", "sent_at_us"),
    *("rejected", "failed", "check_output", "failure_case", "index", "literal", "len", "count"),
]


def test_a_column_of_any_name_goes_through_the_whole_chain(tmp_path: Path) -> None:
    """What the columns are called, and what is in them, changes nothing of who is sent what."""
    (tmp_path / "stop.csv").write_text("phone\n0772000002\n", encoding="utf-8")
    names = [*RENAMED, *KEPT_AS_THEY_ARE]
    in_frame = [*(f"{name}_" for name in RENAMED), *KEPT_AS_THEY_ARE]
    phones = ["0772000001", "0772000001", "0772000002", "0772000003"]
    cells = [f"hidden_row {name}" for name in names]
    people = [",".join(["tel", *names]), *(",".join([phone, *cells]) for phone in phones)]

    prepared = prepared_of(
        tmp_path,
        "\n".join(people),
        message="{message_}, {text_key}, {rejected}",
        recipients=f"keep = {in_frame}",
        sections='[suppression]\npaths = ["stop.csv"]',
    )
    with new_ledger(tmp_path) as ledger, ledger.store.writer() as connection:
        row = write_plan(connection, prepared.plan(account=ACCOUNT, host="127.0.0.1"), who="a test")
        results = check_frame(ledger.results(row), RESULTS)

    assert results.select("row", "reason", "chunk").rows() == [
        (2, None, 1),
        (3, "duplicate", None),
        (4, "opted_out", None),
        (5, None, 1),
    ]
    assert set(results["message"]) == {"hidden_row message, hidden_row text_key, hidden_row rejected"}
    assert results.columns == [*RESULTS.columns, *in_frame]
    assert results.select(in_frame).unique().rows() == [tuple(cells)]
    renamed = [note for note in prepared.loaded.dataset.notes if "its own name has another meaning here" in note]
    assert len(renamed) == len(RENAMED)


def test_our_own_export_can_be_a_list_again(tmp_path: Path) -> None:
    """Somebody corrects the rejected rows in the results, and sends to those."""
    export = "campaign,edition,row,phone_raw,e164,outcome,reason\nclinic-day,1,7,0772000001,,rejected,missing\n"

    prepared = prepared_of(tmp_path, export, recipients='phone = "phone_raw_"\nkeep = ["row_", "reason_"]')

    assert prepared.frame.select("row", "phone_raw", "e164", "row_", "reason_").rows() == [
        (2, "0772000001", "+256772000001", "7", "missing")
    ]


# --- columns that are not there --------------------------------------------------------------------------------------

EXPLAINED = "; the results have a column of that name, so one of the file's is read with a _ behind it."


@pytest.mark.parametrize(
    ("people", "lines", "told"),
    [
        pytest.param(
            PEOPLE,
            {"message": "Dear {firstname}, come."},
            "message: no such column: {firstname} (did you mean {first_name}?). A merge field is the name of a column "
            "and nothing else. The columns are: client_id, first_name, phone, day.",
            id="merge field",
        ),
        pytest.param(
            PEOPLE,
            {"recipients": 'keep = ["client_id", "Clientid"]'},
            "[recipients] keep: 'Clientid' is no column of people.csv. Did you mean client_id? "
            "Its columns: client_id, first_name, phone, day.",
            id="kept column",
        ),
        pytest.param(
            PEOPLE,
            {"recipients": 'phone = "Phone"'},
            "[recipients] phone: 'Phone' is no column of people.csv. Did you mean phone? "
            "Its columns: client_id, first_name, phone, day.",
            id="phone column",
        ),
        pytest.param(
            PEOPLE,
            {"recipients": 'keep = ["district"]'},
            "[recipients] keep: 'district' is no column of people.csv. Its columns: client_id, first_name, phone, day.",
            id="nothing near",
        ),
        pytest.param(
            "phone,phone\n0772000001,0772000002\n",
            {"recipients": 'phone = "phone"'},
            "[recipients] phone: 'phone' is no column of people.csv. Did you mean phone_2 or phone_1? "
            "Its columns: phone_1, phone_2.",
            id="a name that stands there twice",
        ),
        pytest.param(
            "phone,message\n0772000001,Come\n",
            {"message": "{message}"},
            f"message: 'message' is no column of people.csv{EXPLAINED} Did you mean message_? "
            "Its columns: phone, message_.",
            id="a merge field with a name of ours",
        ),
        pytest.param(
            "phone,row\n0772000001,7\n",
            {"recipients": 'keep = ["row"]'},
            f"[recipients] keep: 'row' is no column of people.csv{EXPLAINED} Did you mean row_? "
            "Its columns: phone, row_.",
            id="a kept column with a name of ours",
        ),
        pytest.param(
            "phone_raw,name\n0772000001,Jane\n",
            {"recipients": 'phone = "phone_raw"'},
            f"[recipients] phone: 'phone_raw' is no column of people.csv{EXPLAINED} Did you mean phone_raw_? "
            "Its columns: phone_raw_, name.",
            id="a phone column with a name of ours",
        ),
        pytest.param(
            ",".join(f"question {number}" for number in range(1, 300)) + "\n" + "," * 298 + "\n",
            {"recipients": 'phone = "tel"'},
            "[recipients] phone: 'tel' is no column of people.csv. Its columns: question 1, question 2, question 3, "
            "question 4, question 5, question 6, question 7, question 8, question 9, question 10 and 289 more.",
            id="a wide list",
        ),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, people: str, lines: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        prepared_of(tmp_path, people, **lines)

    assert caught.value.message == f"{tmp_path / 'clinic-day.toml'}, {told}"


def test_a_wrong_column_is_told_before_any_row_is_read(tmp_path: Path) -> None:
    header_only = "client_id,first_name,phone\n"

    with pytest.raises(InputError, match=r"no such column: \{day\}"):
        prepared_of(tmp_path, header_only, message="{day}")
    with pytest.raises(InputError, match="there are no rows below the column names"):
        prepared_of(tmp_path, header_only)


@pytest.mark.parametrize(
    ("people", "told"),
    [
        pytest.param(
            "name,since\nJane,May\n",
            'no column is plainly the phone column. Say which in the campaign file: [recipients] phone = "…", '
            "one of: name, since. If the column names stand in a lower row, say which: header_row = 2.",
            id="none",
        ),
        pytest.param(
            "name,phone,mobile\nJane,0772000001,0772000002\n",
            'more than one column may be the phone column. Say which in the campaign file: [recipients] phone = "…", '
            "one of: phone, mobile.",
            id="two",
        ),
        pytest.param(
            "Phone,phone,Phone\n0772000001,0772000002,0772000003\n",
            'more than one column may be the phone column. Say which in the campaign file: [recipients] phone = "…", '
            "one of: Phone_1, phone, Phone_2.",
            id="equal names",
        ),
    ],
)
def test_only_columns_of_the_file_are_offered_as_phone_column(tmp_path: Path, people: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        prepared_of(tmp_path, people)

    assert caught.value.message == f"{tmp_path / 'people.csv'}: {told}"


@pytest.mark.parametrize(
    ("row", "meaning"),
    [
        ("0722123456,range", "no such number in Uganda, or a sign or a fraction in it"),
        ("0772123460*,star", "no such number in Uganda, or a sign or a fraction in it"),
        ("+256+772123456,plus", "no such number in Uganda, or a sign or a fraction in it"),
        ("772123475.5,half", "no such number in Uganda, or a sign or a fraction in it"),
        ("-772123456,minus", "no such number in Uganda, or a sign or a fraction in it"),
        ("0772123456,a,b", "too many cells in the row, or quotes that do not pair"),
        ('"D;0772123456,a', "too many cells in the row, or quotes that do not pair"),
    ],
)
def test_the_meaning_of_a_reason_is_true_of_whom_it_is_given(tmp_path: Path, row: str, meaning: str) -> None:
    rejected = prepared_of(tmp_path, f"Phone,Name\n{row}\n0772123457,Jane\n").frame["reject_reason"].to_list()

    assert [reason and reason_meaning(reason) for reason in rejected] == [meaning, None]
