"""The two digests: what an edition is about, and what a person has approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mambo_io.datasets import reading
from mambo_io.errors import InputError
from support.lists import ACCOUNT, prepared_of

PEOPLE = "phone,name\n0772000001,Jane\n0772000002,Ali\n0772000003,Zoe\n"
TEXT = "Dear {name}, come."


def digests(folder: Path, **changed: Any) -> tuple[str, str]:
    """The content and the plan digest of the campaign with these changes."""
    prepared = prepared_of(folder, **{"people": PEOPLE, "message": TEXT} | changed)
    return prepared.content_digest, prepared.plan_digest


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"people": PEOPLE.replace("Jane", "Jan")}, id="one text"),
        pytest.param({"people": PEOPLE.replace("0772000001", "0772000004")}, id="one number"),
        pytest.param({"people": PEOPLE + "0772000004,Una\n"}, id="one person more"),
        pytest.param({"people": PEOPLE.replace("0772000003,Zoe\n", "")}, id="one person fewer"),
        pytest.param({"people": PEOPLE.replace("Jane", "X").replace("Ali", "Jane").replace("X", "Ali")}, id="swapped"),
        pytest.param({"message": "Dear {name}, please come."}, id="the message"),
        pytest.param({"top": 'sender_id = "Clinic"'}, id="the sender"),
        pytest.param({"top": 'category = "info"'}, id="the category"),
    ],
)
def test_the_content_is_who_is_sent_which_text_as_what(tmp_path: Path, changed: dict[str, Any]) -> None:
    content, plan = digests(tmp_path)
    changed_content, changed_plan = digests(tmp_path, **changed)

    assert changed_content != content
    assert changed_plan != plan


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"people": "phone,name\n0772000003,Zoe\n0772000001,Jane\n0772000002,Ali\n"}, id="order of rows"),
        pytest.param({"people": PEOPLE.replace("0772000001", "+256 (0)772 000-001")}, id="how a number is written"),
        pytest.param({"people": PEOPLE + "N/A,Una\n0772000001,Jan\n"}, id="rows that are rejected anyway"),
        pytest.param({"people": PEOPLE.replace(",", ";")}, id="how the file is written"),
        pytest.param({"recipients": 'keep = ["name"]'}, id="kept columns"),
        pytest.param({"sections": "[sending]\nmax_cost_ugx = 1_000"}, id="limits"),
    ],
)
def test_neither_digest_changes_with_what_makes_no_difference(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert digests(tmp_path, **changed) == digests(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"sections": '[suppression]\npaths = ["stop.csv"]'}, id="an opt-out"),
        pytest.param({"sections": "[suppression]\ntransactional = true"}, id="whether the list of opt-outs is asked"),
        pytest.param({"edition": "2"}, id="the edition"),
        pytest.param({"name": "another-day"}, id="the name"),
        pytest.param({"sections": "[tariff]\nugx_per_segment = 51"}, id="the cost"),
    ],
)
def test_the_plan_is_more_than_its_content(tmp_path: Path, changed: dict[str, Any]) -> None:
    """What a person has approved is not sent once this has changed, and yet it is the same edition."""
    (tmp_path / "stop.csv").write_text("phone\n0772000002\n", encoding="utf-8")
    content, plan = digests(tmp_path)
    same_content, changed_plan = digests(tmp_path, **changed)

    assert same_content == content
    assert changed_plan != plan


def test_the_number_of_calls_is_part_of_the_plan(tmp_path: Path) -> None:
    content, plan = digests(tmp_path, message="Come.")
    same_content, changed_plan = digests(tmp_path, message="Come.", sections="[sending]\nchunk_size = 2")

    assert same_content == content
    assert changed_plan != plan


def test_an_opt_out_of_one_person_and_of_another_are_different_plans(tmp_path: Path) -> None:
    plans = set()
    for number in ("0772000001", "0772000002", "0772000003"):
        (tmp_path / "stop.csv").write_text(f"phone\n{number}\n", encoding="utf-8")
        plans.add(digests(tmp_path, sections='[suppression]\npaths = ["stop.csv"]')[1])

    assert len(plans) == 3


@pytest.fixture
def nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plain list is one that is too large for memory."""
    monkeypatch.setattr(reading, "HELD_BYTES", 0)


@pytest.mark.parametrize("message", ["Clinic day is Friday.", TEXT])
def test_a_list_that_is_read_again_and_again_makes_the_same_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    held = prepared_of(tmp_path, PEOPLE, message=message)
    monkeypatch.setattr(reading, "HELD_BYTES", 0)
    scanned = prepared_of(tmp_path, PEOPLE, message=message)

    assert (held.loaded.dataset.scanned, scanned.loaded.dataset.scanned) == (False, True)
    assert_frame_equal(scanned.frame, held.frame)
    assert scanned.plan_digest == held.plan_digest
    plan, same = (each.plan(account=ACCOUNT, host="127.0.0.1") for each in (scanned, held))
    assert_frame_equal(pl.concat(plan.recipients), pl.concat(same.recipients))
    assert_frame_equal(plan.chunks, same.chunks)


@pytest.mark.usefixtures("nothing_is_held")
@pytest.mark.parametrize("more", ["0772000009,Leo\n", ""], ids=["a row more", "other names"])
def test_a_list_that_is_changed_while_it_is_read_again_and_again_is_refused(tmp_path: Path, more: str) -> None:
    prepared = prepared_of(tmp_path, PEOPLE, message=TEXT)
    (tmp_path / "people.csv").write_text(PEOPLE.replace("Jane", "Joan") + more, encoding="utf-8")

    with pytest.raises(InputError, match=r"people\.csv: was changed while it was read"):
        prepared.plan(account=ACCOUNT, host="127.0.0.1")


def test_the_source_is_named_by_what_was_read(tmp_path: Path) -> None:
    """Somebody edits the list while the estimate is on the screen: the plan is that of the list that was read."""
    prepared = prepared_of(tmp_path, PEOPLE)
    before = prepared.plan(account=ACCOUNT, host="127.0.0.1").source_digest

    (tmp_path / "people.csv").write_text(PEOPLE + "0772000009,Leo\n", encoding="utf-8")

    assert prepared.plan(account=ACCOUNT, host="127.0.0.1").source_digest == before
    again = prepared_of(tmp_path, None)
    assert again.plan(account=ACCOUNT, host="127.0.0.1").source_digest != before
