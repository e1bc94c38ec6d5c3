"""What becomes of each row of a list is what the plain rules say, one row after the other."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.number_rules import judge_number
from pipelines.segments import measure
from support.lists import prepared_of, reasons

# Few people, written in many ways, so that they meet again; and some who cannot be reached.
NUMBERS = st.builds(
    str.__add__, st.sampled_from(["0", "256", "+256 ", "00256", ""]), st.sampled_from(["772000001", "701000002"])
) | st.sampled_from(["", "N/A", "0414000001", "0772000003 / 0701000004", "+254722000000", "0772000005"])
NAMES = st.sampled_from(["", "Jane", "JANE", "Ali", "x" * 200, "\u014a" * 60])
PEOPLE = st.lists(st.tuples(NUMBERS, NAMES), min_size=1, max_size=12)
OPTED_OUT = st.lists(st.sampled_from(["0772000001", "+256701000002", "0772 000 005"]), max_size=2)


def as_csv(header: list[str], rows: Sequence[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def judged_by_hand(people: list[tuple[str, str]], opted_out: list[str], *, same_text: bool) -> list[str | None]:
    gone = {judge_number(number).e164 for number in opted_out}
    found: list[str | None] = []
    met: set[tuple[str | None, str]] = set()
    for phone, name in people:
        verdict, text = judge_number(phone), f"Dear {name}."
        key = (verdict.e164, text if same_text else "")
        if verdict.reason is not None:
            found.append(verdict.reason)
        elif not name:
            found.append("missing_merge_field")
        elif measure(text).segments > 1:
            found.append("message_too_long")
        elif key in met:
            found.append("duplicate")
        else:
            met.add(key)
            found.append("opted_out" if verdict.e164 in gone else None)
    return found


@given(PEOPLE, OPTED_OUT, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_each_row_is_judged_by_the_rules(
    people: list[tuple[str, str]], opted_out: list[str], same_text: bool, shuffler: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stop.csv").write_text(as_csv(["phone"], [(each,) for each in (*opted_out, "0772000009")]))
        prepare: dict[str, Any] = {
            "message": "Dear {name}.",
            "top": "max_segments = 1",
            "recipients": f'phone = "phone"\nkeep = ["place"]\nduplicates = "{"same_text" if same_text else "reject"}"',
            "sections": '[suppression]\npaths = ["stop.csv"]',
        }
        # `place` keeps a row from being blank, which the list would not count.
        rows = [(phone, name, str(place)) for place, (phone, name) in enumerate(people)]
        prepared = prepared_of(Path(folder), as_csv(["phone", "name", "place"], rows), **prepare)
        if same_text:  # who is first matters to nobody, then
            shuffler.shuffle(rows)
            shuffled = prepared_of(Path(folder), as_csv(["phone", "name", "place"], rows), **prepare)
            assert shuffled.content_digest == prepared.content_digest
            assert shuffled.plan_digest == prepared.plan_digest

    frame = prepared.frame
    assert list(reasons(prepared).values()) == judged_by_hand(people, opted_out, same_text=same_text)
    assert frame["row"].to_list() == list(range(2, len(people) + 2))
    assert frame["place"].to_list() == [str(place) for place in range(len(people))]
    assert frame["phone_raw"].to_list() == [phone or None for phone, _ in people]
    # A row has a call and a price, or a reason.
    for column in ("chunk", "estimated_ugx"):
        assert (frame[column].is_null() == frame["reject_reason"].is_not_null()).all()
    sent = frame.filter(pl.col("chunk").is_not_null())
    calls = prepared.chunks.chunks
    assert calls["recipients_count"].sum() == sent.height
    assert calls["expected_ugx"].sum() == sent["estimated_ugx"].sum()
