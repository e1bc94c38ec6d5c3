"""Messages of whole frames: what is written to whom, what it measures, and what is turned down."""

# ruff: noqa: RUF001 - curly quotes and dashes are what these tests are about
from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mambo_io.errors import InputError
from pipelines.messages import measure_messages, render_messages
from pipelines.templates import Template

PEOPLE = pl.DataFrame(
    {
        "row": [2, 3, 4, 5],
        "first_name": [" Jane ", "Óscar", None, "\u00a0\u200b "],
        "day": ["Monday", "Tuesday", "Friday", "Friday"],
        "reject_reason": [None, "too_short", None, None],
    },
    schema_overrides={"reject_reason": pl.String},
)


def rendered(text: str, cells: list[str | None], *, smart_encoding: bool = False) -> list[tuple[object, ...]]:
    """(message, reject_reason) of each row of a frame with the one column `name`."""
    frame = pl.DataFrame({"name": cells}, schema={"name": pl.String})
    frame = render_messages(frame, Template.parse(text), smart_encoding=smart_encoding)
    return frame.select("message", "reject_reason").rows()


def test_an_empty_cell_without_a_default_rejects_the_row_and_the_first_reason_stands() -> None:
    frame = render_messages(PEOPLE, Template.parse("Dear {first_name}, see you on {day}."))

    assert frame.select("row", "message", "reject_reason").rows() == [
        (2, "Dear Jane, see you on Monday.", None),
        (3, None, "too_short"),
        (4, None, "missing_merge_field"),
        (5, None, "missing_merge_field"),
    ]
    assert_frame_equal(frame.select(PEOPLE.columns[:-1]), PEOPLE.drop("reject_reason"))


def test_a_default_fills_empty_cells() -> None:
    frame = render_messages(PEOPLE, Template.parse("Dear {first_name|friend}, see you on {day}."))

    assert frame["message"].to_list() == [
        "Dear Jane, see you on Monday.",
        None,
        "Dear friend, see you on Friday.",
        "Dear friend, see you on Friday.",
    ]
    assert frame["reject_reason"].to_list() == [None, "too_short", None, None]


def test_a_plain_message_is_for_everybody() -> None:
    assert rendered("Clinic {{A}} opens.\n", ["Jane", None]) == [("Clinic {A} opens.", None)] * 2


@pytest.mark.parametrize(
    ("text", "cell", "message"),
    [
        pytest.param("Dear {name}", "{day} {{x}} {0}", "Dear {day} {{x}} {0}", id="braces-in-a-cell-are-text"),
        pytest.param("Dear {name}", "%s \\1 $1 ${name}", "Dear %s \\1 $1 ${name}", id="other-template-languages"),
        pytest.param("To {name}!", "Plot 4\r\nJinja\rRoad", "To Plot 4\nJinja\nRoad!", id="line-breaks-are-one-lf"),
        pytest.param("{name|}  Welcome", None, "Welcome", id="white-space-around-the-message-goes"),
        pytest.param("\u200b{name|}\n\u00a0Welcome\ufeff", None, "Welcome", id="so-do-invisible-characters"),
        pytest.param("Dear  {name}", "a  b", "Dear  a  b", id="white-space-inside-stays"),
        pytest.param("{name}", "ŋŋoma \N{GRINNING FACE}", "ŋŋoma \N{GRINNING FACE}", id="unicode"),
    ],
)
def test_what_a_cell_becomes(text: str, cell: str | None, message: str) -> None:
    assert rendered(text, [cell]) == [(message, None)]


@pytest.mark.parametrize(
    "error",
    ["#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#ERROR!", "#GETTING_DATA",
     "Err:502", "Err:522", " #N/A\u00a0", "\tErr:508 "],
)  # fmt: skip
def test_what_a_spreadsheet_could_not_work_out_is_sent_to_nobody(error: str) -> None:
    assert rendered("UGX {name}.", [error, "5"]) == [(None, "missing_merge_field"), ("UGX 5.", None)]
    assert rendered("UGX {name|0}.", [error, None]) == [("UGX 0.", None)] * 2


@pytest.mark.parametrize(
    "text", ["#1", "#WINNER!", "#N/A!", "n/a", "#NAMES", "# REF!", "Err:402", "Err:5021", "5 #N/A"]
)
def test_what_only_looks_like_such_an_error_is_a_text(text: str) -> None:
    assert rendered("For {name|nobody}.", [text]) == [(f"For {text}.", None)]


def test_a_message_with_nothing_left_is_empty() -> None:
    assert rendered("{name|} ", ["", "Jane"]) == [(None, "empty_message"), ("Jane", None)]


def test_a_column_named_message_may_be_the_message() -> None:
    frame = pl.DataFrame({"message": ["Hi {x}", None]})

    frame = render_messages(frame, Template.parse("{message}"))

    assert frame.rows() == [("Hi {x}", None), (None, "missing_merge_field")]


def test_smart_encoding_is_applied_to_the_rendered_text() -> None:
    cells: list[str | None] = ["Jane", "O’Connor", "ŋŋoma", "José\u00a0M", None]

    assert rendered("Dear {name} – hi", cells, smart_encoding=True) == [
        ("Dear Jane - hi", None),
        ("Dear O'Connor - hi", None),
        ("Dear ŋŋoma – hi", None),  # needs UCS-2 anyway
        ("Dear José M - hi", None),
        (None, "missing_merge_field"),
    ]
    assert rendered("“Hi”", ["Jane", None], smart_encoding=True) == [('"Hi"', None)] * 2
    assert rendered("“Hi”", ["Jane"]) == [("“Hi”", None)]


def test_an_unknown_field_is_an_error_before_any_row_is_read() -> None:
    def never(_: pl.DataFrame) -> pl.DataFrame:
        pytest.fail("a row was read")

    unread = PEOPLE.lazy().map_batches(never, schema=PEOPLE.schema)

    with pytest.raises(InputError, match=r"no such column: \{firstname\} \(did you mean \{first_name\}\?\)"):
        render_messages(unread, Template.parse("Dear {firstname}"))


def test_measure_messages_adds_three_columns() -> None:
    frame = pl.DataFrame({"row": [2, 3, 4, 5, 6], "message": ["a" * 161, "ŋ", "", None, "a" * 152 + "€" + "a" * 152]})

    measured = measure_messages(frame)

    assert measured.schema == {
        "row": pl.Int64,
        "message": pl.String,
        "encoding": pl.String,
        "units": pl.Int64,
        "segments": pl.Int64,
    }
    assert measured.drop("message").rows() == [
        (2, "GSM-7", 161, 2),
        (3, "UCS-2", 1, 1),
        (4, "GSM-7", 0, 0),
        (5, None, None, None),
        (6, "GSM-7", 306, 3),
    ]


def test_measure_messages_of_another_column_and_of_nobody() -> None:
    assert measure_messages(pl.DataFrame({"text": ["hi"]}), column="text")["segments"].to_list() == [1]
    nobody = pl.DataFrame({"message": []}, schema={"message": pl.String})
    assert measure_messages(nobody).schema["segments"] == pl.Int64
    unwritten = pl.DataFrame({"message": [None, None]})
    assert measure_messages(unwritten).select("encoding", "units", "segments").rows() == [(None, None, None)] * 2
    with pytest.raises(InputError, match="column text: the frame has no such column"):
        measure_messages(nobody, column="text")


def test_a_lazy_frame_stays_lazy_and_says_the_same() -> None:
    template = Template.parse("Dear {first_name|friend} – see you on {day}.")
    eager = measure_messages(render_messages(PEOPLE, template, smart_encoding=True))

    lazy = measure_messages(render_messages(PEOPLE.lazy(), template, smart_encoding=True))

    assert isinstance(lazy, pl.LazyFrame)
    assert_frame_equal(lazy.collect(), eager)
    assert_frame_equal(lazy.collect(engine="streaming"), eager)
