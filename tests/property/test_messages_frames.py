"""Frames say of each row what the plain, slow rules say of one text."""

# ruff: noqa: RUF001 - curly quotes and dashes are what these tests are about
from __future__ import annotations

import re

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.messages import measure_messages, render_messages
from pipelines.segments import measure, smart_encode
from pipelines.templates import BLANK, Template
from support import text_mixes
from support.sms_packer import encode

ODD = st.sampled_from("€[\f\\^ŋ\N{GRINNING FACE}’–@\r\n-]&~") | st.characters(exclude_categories=["Cs"])
RUN = st.builds(str.__mul__, st.just("a") | ODD, st.integers(0, 5) | st.integers(60, 160))
TEXTS = st.lists(st.none() | st.lists(RUN, max_size=8).map("".join), max_size=12)
ERRORS = ["#N/A", "#DIV/0!", "Err:502"]
CELLS = st.none() | st.text(st.sampled_from("aé{}|\\$#! \u00a0\u200b\r\n“…ŋ"), max_size=6)
CELLS |= st.tuples(st.sampled_from(["", " ", "a"]), st.sampled_from(ERRORS), st.sampled_from(["", "\u200b", "!"])).map(
    "".join
)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
@example(["a" * 152 + "€" + "a" * n for n in range(145, 160)])
@example(["a" * 66 + "\N{GRINNING FACE}" + "a" * n for n in range(60, 70)])
@example([chr(point) for point in range(0x500)])
def test_measure_messages_agrees_with_measure(texts: list[str | None]) -> None:
    frame = pl.DataFrame({"message": texts}, schema={"message": pl.String})
    expected = [
        (None, None, None) if text is None else (str(one.encoding), one.units, one.segments)
        for text in texts
        for one in [measure(text or "")]
    ]

    assert measure_messages(frame).select("encoding", "units", "segments").rows() == expected
    lazy = measure_messages(frame.lazy()).select("encoding", "units", "segments")
    assert lazy.collect(engine="streaming").rows() == expected


def test_parts_are_those_that_an_encoder_makes() -> None:
    """Escapes and emoji on the cuts, and around them, in texts of up to seven parts, and in long ones."""
    texts = text_mixes.around_the_cuts(4_000)
    texts += [text * 20 for text in texts[:50]]
    measured = measure_messages(pl.DataFrame({"message": texts}))
    assert measured["segments"].to_list() == [len(encode(text)) for text in texts]


def test_a_lazy_frame_is_measured_batch_by_batch() -> None:
    texts = text_mixes.around_the_cuts(1_000) * 250
    lazy = measure_messages(pl.LazyFrame({"message": texts}))
    assert isinstance(lazy, pl.LazyFrame)
    measured = lazy.collect(engine="streaming")
    assert measured["message"].to_list() == texts
    assert measured["segments"].to_list() == [measure(text).segments for text in texts[:1_000]] * 250


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=6),
    st.lists(
        st.sampled_from(["{a}", "{a|x}", "{b|}", "{ b | y }", "{{", "}}", " ", "Dear ", "ŋ", "…", "\r\n"]), min_size=1
    ),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_render_messages_agrees_with_writing_one_message_by_hand(
    rows: list[tuple[str | None, str | None]], pieces: list[str], smart: bool
) -> None:
    text = "".join(["Hi ", *pieces])
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")

    found = render_messages(frame, Template.parse(text), smart_encoding=smart).select("message", "reject_reason").rows()

    assert found == [by_hand(pieces, {"a": a, "b": b}, smart=smart) for a, b in rows]


def by_hand(pieces: list[str], cells: dict[str, str | None], *, smart: bool) -> tuple[str | None, str | None]:
    written = "Hi "
    for piece in pieces:
        if piece in ("{{", "}}"):
            written += piece[0]
        elif piece.startswith("{"):
            column, bar, default = (part.strip() for part in piece[1:-1].partition("|"))
            value = (cells[column] or "").strip(BLANK)
            if value in ERRORS:
                value = ""
            if not value and not bar:
                return None, "missing_merge_field"
            written += value or default
        else:
            written += piece
    written = re.sub("\r\n|\r", "\n", written).strip(BLANK)
    return (smart_encode(written) if smart else written), None
