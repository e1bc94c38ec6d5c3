"""The notebooks run, and the figures they show are those of the frames; each says a friendly word where there are none.

They run on the ledger that `make notebooks` makes.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import pipelines
from data.make_ledger import make_ledger
from mambo_io import accounting
from mambo_io.datasets import read_dataset
from mambo_io.sandbox import SandboxHandle
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from pipelines import reconciliation
from pipelines.campaign import load_campaign
from pipelines.prepare import prepare
from pipelines.report import tables
from support.environment import REPOSITORY
from support.ledgers import Run, bad_reply, good_reply, no_answer, plan
from support.lists import campaign_of
from support.notebooks import NOTEBOOKS, shown
from support.processes import run

OF_A_LEDGER = ["campaign", "costs_and_deliveries"]
NEWEST = ("clinic-day", "2026-11")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example ledger. Four of eight campaigns went on one network less, two were charged another price."""
    return str(make_ledger(tmp_path_factory.mktemp("example")))


@pytest.fixture
def ledger(store: str, monkeypatch: pytest.MonkeyPatch) -> reconciliation.Books:
    """What the example ledger holds, while it is the one of the settings."""
    monkeypatch.setenv("MAMBO_STORE", store)
    return everything(store)


@cache
def everything(store: str) -> reconciliation.Books:
    return reconciliation.books(store=store)


# --- the example ledger ----------------------------------------------------------------------------------------------


def test_the_example_ledger_is_what_its_sandbox_did(store: str, ledger: reconciliation.Books) -> None:
    """To the shilling, but for the call whose answer was lost: six people, UGX 55 each."""
    sandbox = SandboxHandle(url="", api_key="", username="", password="", folder=Path(store).parent / "sandbox", pid=0)
    total = reconciliation.cut(ledger).row(0, named=True)
    assert total["unknown"] == 6
    assert sandbox.account().charged_ugx == total["charged_ugx"] + 6 * 55
    assert sandbox.deliveries().height == total["accepted"] + 6
    assert total["recipients"] == 8_000
    assert total["unexplained_ugx"] == 0


def test_the_example_ledger_spreads_over_months(ledger: reconciliation.Books) -> None:
    statement = reconciliation.statement(ledger)
    assert statement["month"].to_list() == ["2026-08", "2026-09", "2026-10", "2026-11"]
    assert statement["top_ups_ugx"].to_list() == [200_000, 0, 0, 150_000]
    assert statement["unexplained_ugx"].to_list() == [0, 0, 100_000, -30], "a top-up that nobody entered; the price"


# --- a campaign ------------------------------------------------------------------------------------------------------


def test_a_campaign(ledger: reconciliation.Books) -> None:
    notebook = shown("campaign", kept="district")
    rows = pipelines.results(*NEWEST).to_dicts()

    outcomes = dict(notebook.frame("outcomes").iter_rows())
    assert outcomes == Counter(row["outcome"] for row in rows)
    assert outcomes.keys() == {"accepted", "unsupported", "rejected", "unknown"}

    reasons = {(row["outcome"], row["reason"]): row["people"] for row in notebook.frame("reasons").to_dicts()}
    assert reasons == Counter((row["outcome"], row["reason"]) for row in rows if row["reason"])
    assert "" not in notebook.frame("reasons")["what it means"]

    networks = {(row["network_guess"], row["outcome"]): row["people"] for row in notebook.frame("networks").to_dicts()}
    assert networks == Counter((row["network_guess"], row["outcome"]) for row in rows if row["network_guess"])

    total = notebook.defined["total"]
    assert total["estimated_ugx"] == sum(row["estimated_ugx"] or 0 for row in rows)
    assert total["charged_ugx"] == sum(row["charged_ugx"] or 0 for row in rows)
    causes = dict(notebook.frame("causes").iter_rows())
    assert sum(causes.values()) == total["difference_ugx"]
    assert causes.keys() == {"unsupported people", "a price other than the tariff's", "charge not known yet"}

    [unknown] = notebook.frame("calls").filter(pl.col("what") == "unknown whether it was sent").to_dicts()
    assert unknown == {"call": "c0061", "what": unknown["what"], "people": 6, "UGX estimated": 300, "UGX charged": None}

    by_district = {row["by district"]: row["people"] for row in notebook.frame("by_kept").to_dicts()}
    number = "0754852896"  # an unquoted comma in a name moves the number under district
    assert by_district == Counter((row["district"] or "(empty)").replace(number, "•••896") for row in rows)
    for figure in ("837 of 1,000 people", "UGX 46,145", "UGX 795 more than estimated"):
        assert figure in notebook.text


def test_an_earlier_campaign_in_which_all_was_as_expected(ledger: reconciliation.Books) -> None:
    notebook = shown("campaign", chosen="clinic-day/2026-08")
    assert dict(notebook.frame("causes").iter_rows()) == {"unsupported people": -1_550}
    assert notebook.frame("calls").is_empty()
    assert "None: every answer is known" in notebook.text


def test_each_call_that_is_not_plainly_accepted_needs_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as in the report. A column that holds numbers is shown when it is asked for, and masked."""
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "ledger.db"))
    with Store(str(tmp_path / "ledger.db"), create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(1, 1, 1, 1, 1, 1, kept={"second_phone": [f"077212345{row}" for row in range(6)]}))
        replies: list[dict[str, Any]] = [{}, {"sms_cost": None}, {"recipients_count": 9}, {"sms_cost": 60}]
        for data in replies:
            call = run.claim_one()
            run.settle(call, good_reply(call, **data))
        run.settle(run.claim_one(), bad_reply(call, 400, "The sender ID is not registered"))
        run.claim_one()
        reported = tables.calls_to_look_at(reconciliation.read_books(store)).frame

    notebook = shown("campaign")
    asked = shown("campaign", kept="second_phone")

    calls = notebook.frame("calls").sort("call")
    assert calls.select("call", "what").rows() == [
        ("c0002", "what was charged is not known"),
        ("c0003", "the receipt is not as the API promises"),
        ("c0004", "another price than the tariff's"),
        ("c0005", "refused by the API"),
        ("c0006", "being sent, or was when the program ended"),
    ]
    assert calls["call"].to_list() == reported["call"].str.split("/").list.last().sort().to_list()
    assert "None: every answer" not in notebook.text
    assert "by_kept" not in notebook.defined
    assert asked.frame("by_kept").height == 6
    assert "077212345" not in notebook.text + asked.text


def test_rows_are_shown_when_they_are_asked_for(ledger: reconciliation.Books) -> None:
    number = pipelines.results(*NEWEST)["e164"].drop_nulls()[0]
    assert number not in shown("campaign").text
    assert number in shown("campaign", show_rows=True).text


# --- across campaigns ------------------------------------------------------------------------------------------------


def test_costs(ledger: reconciliation.Books) -> None:
    notebook = shown("costs_and_deliveries")
    by_campaign = reconciliation.by_campaign(ledger)
    campaigns = notebook.frame("campaigns")
    for column in ("accepted", "unsupported", "unknown", "estimated_ugx", "charged_ugx", "difference_ugx"):
        assert campaigns[column].to_list() == by_campaign[column].to_list()
    assert notebook.frame("statement").equals(reconciliation.statement(ledger))

    prices = {(row["category"], str(row["day"])): row for row in notebook.frame("prices").to_dicts()}
    assert {day: row["ugx_per_segment"] for (_, day), row in prices.items() if row["ugx_per_segment"] != 50} == {
        "2026-11-02": 55,
        "2026-11-16": 55,
    }
    assert {row["tariff_ugx_per_segment"] for row in prices.values()} == {50}
    assert sum(row["segments"] for row in prices.values()) == reconciliation.prices(ledger)["segments"].sum()

    shares = {(row["network_guess"], row["month"]): row["share"] for row in notebook.frame("unsupported").to_dicts()}
    assert [shares["UTL", month] for month in ("2026-08", "2026-09", "2026-10", "2026-11")] == [0, 0, 1, 1]
    assert shares["MTN", "2026-11"] == 0
    assert notebook.frame("unsupported")["unsupported"].sum() == by_campaign["unsupported"].sum()
    for figure in ("UGX 352,205", "Not since 02 November 2026", "2026-10 and 2026-11 moved by more than is known"):
        assert figure in notebook.text


def test_costs_of_some_months(ledger: reconciliation.Books) -> None:
    notebook = shown("costs_and_deliveries", first="2026-09", last="2026-09")
    assert notebook.frame("campaigns")["campaign"].to_list() == ["clinic-day/2026-09"]
    assert notebook.frame("statement")["month"].to_list() == ["2026-09"]
    assert "Yes, on every day." in notebook.text


def over_new_year(store: Store) -> None:
    """A call before midnight and one after it, UGX 100 each; then 3,000 came and went, nobody knows why; a top-up."""
    with store.writer() as connection:
        run = Run.of(connection, plan(2, 2), now=datetime(2025, 12, 31, 23, 59, tzinfo=KAMPALA))
        for balance_ugx in (900, 800):
            call = run.claim_one()
            run.settle(call, good_reply(call, balance_ugx=balance_ugx))
            run.now += timedelta(minutes=2)
        for balance_ugx in (3_800, 800):
            run.now += timedelta(minutes=2)
            accounting.record_reading(connection, "main", balance_ugx, who="tester", now=run.now)
        accounting.record_top_up(connection, "main", 500, day=date(2026, 2, 3), reference="MoMo 1", who="Grace")


def test_costs_of_a_campaign_that_goes_on_after_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "ledger.db"))
    with Store(str(tmp_path / "ledger.db"), create=True) as store:
        over_new_year(store)
    notebook = shown("costs_and_deliveries")
    assert notebook.defined["total"]["charged_ugx"] == 200
    assert notebook.frame("statement").select("month", "top_ups_ugx", "charges_ugx", "unexplained_ugx").rows() == [
        ("2025-12", 0, 100, 0),
        ("2026-01", 0, 100, 0),
        ("2026-02", 500, 0, 0),
    ]
    assert "The balance of 2026-01 moved by more than is known:</strong> UGX 6,000, up or down" in notebook.text
    february = shown("costs_and_deliveries", first="2026-02", last="2026-02")
    assert "No campaign was sent in these months." in february.text
    assert february.frame("statement")["top_ups_ugx"].to_list() == [500]
    assert "Every shilling is explained." in february.text


def test_delivery_reports_are_shown_where_there_are_any(ledger: reconciliation.Books) -> None:
    september = reconciliation.cut(reconciliation.books(["clinic-day/2026-09"]), "network_guess", "delivery")
    notebook = shown("costs_and_deliveries")
    deliveries = {
        (row["network_guess"], row["delivery"]): row["people"] for row in notebook.frame("deliveries").to_dicts()
    }
    assert deliveries == {
        (row["network_guess"], row["delivery"].replace("_", " ")): row["recipients"]
        for row in september.to_dicts()
        if row["delivery"]
    }
    assert {delivery for _, delivery in deliveries} == {"delivered", "failed", "pending", "not reported"}
    assert "What exports say of clinic-day/2026-09." in notebook.text
    assert "Nobody has said so yet" in shown("costs_and_deliveries", first="2026-10", last="2026-11").text

    campaign = shown("campaign", chosen="clinic-day/2026-09")
    delivered = sum(people for (_, delivery), people in deliveries.items() if delivery == "delivered")
    assert f"imported: {delivered:,} delivered" in campaign.text
    assert "The API gives no delivery reports." in shown("campaign").text


# --- a list ----------------------------------------------------------------------------------------------------------

# Each repair of the notebook wins one person back; and two people stand for each one who needs none.
MESS = """phone,name
0772000001,A
0772000002,B
+256772000001,again
0772000003 / 0772000004,two
2.56772E+11,rounded
O772000005,letter
0772000006 (sister),remark
0772000007 ext. 4,extension
0772000008,too,many,cells
n/a,missing
0772000009,C
"""


def test_the_quality_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "mess.csv").write_text(MESS, encoding="utf-8")
    notebook = shown("list_quality", path=str(tmp_path / "mess.csv"), sheet="", header_row=1)
    assert notebook.frame("people")["e164"].to_list() == ["+256772000001", "+256772000002", "+256772000009"]
    assert notebook.frame("reasons").select("reason", "rows").rows() == [
        ("contains_letters", 2),
        ("duplicate", 1),
        ("has_extension", 1),
        ("missing", 1),
        ("ragged_row", 1),
        ("rounded_by_spreadsheet", 1),
        ("several_numbers", 1),
    ]
    assert dict(notebook.frame("repairs").select("repair", "people").iter_rows()) == {
        "take the first number of a cell": 1,
        "format the column as text, export again": 1,
        "type digits for letters (O, l)": 1,
        "move remarks to another column": 1,
        "leave extensions out": 1,
        "give rows the cells of the header": 1,
        "send to hidden rows, too": 0,
    }
    assert "3 of 11 rows (27.3%) can be sent to" in notebook.text
    assert "0000000000 (xxxxxx)" in notebook.text


def test_the_first_number_of_a_cell_is_what_sending_would_take(tmp_path: Path) -> None:
    """What the notebook promises of a key of the campaign file, the campaign keeps."""
    (tmp_path / "mess.csv").write_text(MESS, encoding="utf-8")
    notebook = shown("list_quality", path=str(tmp_path / "mess.csv"), sheet="", header_row=1)
    without, with_first = (
        prepare(
            campaign_of(tmp_path, None, path="mess.csv", recipients=recipients), edition="1", account="", ledger=None
        )
        for recipients in ("", 'several = "first"')
    )
    sendable = [prepared.people["chunk"].count() for prepared in (without, with_first)]
    assert sendable == [notebook.frame("people").height, notebook.frame("people").height + 1]


def test_the_example_list_is_judged_as_sending_judges_it() -> None:
    notebook = shown("list_quality")
    prepared = prepare(load_campaign(REPOSITORY / "data" / "clinic-day.toml"), edition="1", account="", ledger=None)
    rejected = Counter(prepared.frame["reject_reason"].drop_nulls())
    reasons = dict(notebook.frame("reasons").select("reason", "rows").iter_rows())
    of_the_campaign = {"opted_out", "missing_merge_field", "message_too_long"}  # of a list alone nobody knows these
    assert reasons == {reason: rows for reason, rows in rejected.items() if reason not in of_the_campaign}


def test_a_rounded_list_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rounded.csv"
    file.write_text("phone\n" + "".join(f"07720{number:02}000\n" for number in range(40)), encoding="utf-8")
    notebook = shown("list_quality", path=str(file), sheet="", header_row=1)
    assert notebook.defined["suspects"] == 40
    assert "40 numbers end in 000" in notebook.text


def test_a_clean_list_and_one_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "clean.csv"
    file.write_text("phone\n0772000001\n", encoding="utf-8")
    assert "The list is clean." in shown("list_quality", path=str(file), sheet="", header_row=1).text
    missing = shown("list_quality", path=str(tmp_path / "nowhere.csv"), sheet="", header_row=1)
    assert "nowhere.csv" in missing.text
    assert "people" not in missing.defined


def test_a_list_without_a_plain_column_asks_for_it(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("a,b\n0772000001,0772000002\n", encoding="utf-8")
    notebook = shown("list_quality", path=str(file), sheet="", header_row=1)
    assert "No column is plainly the one of the numbers" in notebook.text


# --- a text ----------------------------------------------------------------------------------------------------------

PRICED = {
    "an odd quotation mark": ("Bring the child\u2019s card." + "x" * 60, 2, 100_000, 50_000, None),
    "one segment": ("Clinic day is Friday.", 1, 50_000, 0, 161),
    "just full": ("x" * 160, 1, 50_000, 0, 161),
    "of three": ("x" * 400, 3, 150_000, 0, 460),
    "with letters that nothing can stand for": ("\u014b" * 70, 1, 50_000, 0, 71),
}


@pytest.mark.parametrize(("text", "segments", "cost_ugx", "saved_ugx", "next_at"), PRICED.values(), ids=PRICED)
def test_what_a_text_costs(text: str, segments: int, cost_ugx: int, saved_ugx: int, next_at: int | None) -> None:
    notebook = shown("what_would_it_cost", text=text, people=1_000, price=50)
    assert notebook.defined["told"].segments == segments
    assert notebook.defined["cost_ugx"] == cost_ugx
    assert notebook.defined["saved_ugx"] == saved_ugx
    assert f"UGX {cost_ugx:,} for 1,000 people" in notebook.text
    if next_at is not None:
        assert notebook.defined["next_segment_at"] == next_at == len(text) + notebook.defined["told"].room + 1


def test_no_text() -> None:
    assert "Write a text above." in shown("what_would_it_cost", text="  ", people=1_000, price=50).text


# --- every notebook --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_number_and_no_name_is_shown(name: str, ledger: reconciliation.Books) -> None:
    text = shown(name).text
    people = read_dataset(REPOSITORY / "data" / "people.csv").frame
    names = set(people["last_name"].drop_nulls()) - {""}
    assert names & set(re.findall(r"\w+", text)) == set()
    assert re.findall(r"(?<!\d)(?:0|\+?256)7\d{8}(?!\d)", text) == []


@pytest.mark.parametrize("name", OF_A_LEDGER)
def test_a_ledger_that_is_not_there_gives_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "nowhere.db"))
    notebook = shown(name)
    assert "nowhere.db: there is no ledger yet" in notebook.text
    assert "books" not in notebook.defined
    assert not (tmp_path / "nowhere.db").exists()


def nothing(store: Store) -> None:
    pass


def all_rejected(store: Store) -> None:
    with store.writer() as connection:
        Run.of(connection, plan(rejected=7))


def one_unknown(store: Store) -> None:
    with store.writer() as connection:
        run = Run.of(connection, plan(1, name="a" * 64))
        run.settle(run.claim_one(), no_answer())


def without_a_cost(store: Store) -> None:
    with store.writer() as connection:
        run = Run.of(connection, plan(2, 2))
        for cost_ugx, balance_ugx in ((100, 900), (None, 800)):
            call = run.claim_one()
            run.settle(call, good_reply(call, sms_cost=cost_ugx, balance_ugx=balance_ugx))


def free_of_charge(store: Store) -> None:
    with store.writer() as connection:
        run = Run.of(connection, plan(2))
        call = run.claim_one()
        run.settle(call, good_reply(call, sms_cost=0))


@pytest.mark.parametrize("name", OF_A_LEDGER)
@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (nothing, "No campaign was ever sent from this ledger"),
        (all_rejected, "0 "),
        (one_unknown, "1 nobody knows"),
        (free_of_charge, "UGX 0"),
    ],
)
def test_ledgers_with_next_to_nothing_in_them(
    name: str, happened: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "ledger.db"))
    with Store(str(tmp_path / "ledger.db"), create=True) as store:
        happened(store)
    assert told in shown(name).text


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (one_unknown, "No balance of main is known, so nobody can tell whether anything is missing."),
        (without_a_cost, "Every shilling is explained, if calls whose charge is not known took UGX 100."),
    ],
)
def test_what_is_not_known_of_the_account_is_said(
    happened: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMBO_STORE", str(tmp_path / "ledger.db"))
    with Store(str(tmp_path / "ledger.db"), create=True) as store:
        happened(store)
    assert told in shown("costs_and_deliveries").text


def test_one_runs_as_a_plain_script_and_in_jupyter(store: str, ledger: reconciliation.Books, tmp_path: Path) -> None:
    """What `make notebooks` exports: cells one below the other, and the figures in forms that Jupyter shows."""
    notebook, exported = REPOSITORY / "notebooks" / "campaign.py", tmp_path / "campaign.ipynb"
    script = run(sys.executable, notebook, cwd=tmp_path, env={"MAMBO_STORE": store})
    assert (script.returncode, script.stderr) == (0, "")

    export = ("-m", "marimo", "--quiet", "export", "ipynb", notebook, "--include-outputs", "--output", exported)
    ran = run(sys.executable, *export, cwd=tmp_path, env={"MAMBO_STORE": store})
    assert ran.returncode == 0, ran.stderr
    cells = json.loads(exported.read_text(encoding="utf-8"))["cells"]
    kinds = Counter(kind for cell in cells for output in cell.get("outputs", ()) for kind in output.get("data", ()))
    assert kinds["application/vnd.vegalite.v6+json"] == 3
    assert "837 of 1,000 people" in exported.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for cell in cells[:6]:  # up to the first figures
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102 - our own notebook, as Jupyter runs it
    assert names["total"]["accepted"] == 837
