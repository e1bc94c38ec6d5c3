"""Merge fields as people write them, and the mistakes in them."""

from __future__ import annotations

import pytest

from mambo_io.errors import InputError
from pipelines.templates import Field, Template


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("Clinic day is Thursday.", ("Clinic day is Thursday.",), id="plain"),
        pytest.param("Dear {name}, hi", ("Dear ", Field("name", None), ", hi"), id="field"),
        pytest.param("{name|friend}", (Field("name", "friend"),), id="default"),
        pytest.param("{name|}", (Field("name", ""),), id="default-of-nothing"),
        pytest.param("{ first name | dear friend }", (Field("first name", "dear friend"),), id="spaces"),
        pytest.param("{a}{b}", (Field("a", None), Field("b", None)), id="side-by-side"),
        pytest.param("{{name}}", ("{", "name", "}"), id="braces"),
        pytest.param("{{{name}}}", ("{", Field("name", None), "}"), id="field-in-braces"),
        pytest.param("{D.O.B} {Amount (UGX)}", (Field("D.O.B", None), " ", Field("Amount (UGX)", None)), id="headers"),
        pytest.param("one\r\ntwo\rthree\n", ("one\ntwo\nthree\n",), id="line-breaks"),
    ],
)
def test_parse(text: str, parts: tuple[str | Field, ...]) -> None:
    assert Template.parse(text).parts == parts


def test_fields_are_named_once_in_the_order_of_the_text() -> None:
    template = Template.parse("{day}, {name|friend}! {day} at {place}")

    assert template.fields == ("day", "name", "place")
    assert not template.is_plain
    assert Template.parse("No fields, {{only}} braces").is_plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "the message is empty", id="empty"),
        pytest.param(" \n\u00a0\u200b", "the message is empty", id="blank"),
        pytest.param("Dear {name, hi", r"'{name, hi' \(character 6 of the text\): a { without its partner", id="open"),
        pytest.param("Dear name}, hi", r"'}, hi' \(character 10 of the text\): a } without its partner", id="close"),
        pytest.param("{a{b}}", r"\(character 1 of the text\): a { without its partner", id="nested"),
        pytest.param("{name}}", r"\(character 7 of the text\): a } without its partner", id="one-too-many"),
        pytest.param("Dear {}", r"\(character 6 of the text\): a merge field without a column", id="no-name"),
        pytest.param("{ }", "a merge field without a column", id="blank-name"),
        pytest.param("{|friend}", "a merge field without a column", id="only-a-default"),
        pytest.param("{first|last|friend}", "a merge field has one default at most", id="two-defaults"),
    ],
)
def test_what_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^clinic-day.toml, message: .*{message}"):
        Template.parse(text, file="clinic-day.toml")


def test_a_refusal_says_what_is_allowed() -> None:
    with pytest.raises(InputError, match=r"Allowed are \{column\}, \{column\|default\}, and \{\{ and \}\} for braces"):
        Template.parse("{")


@pytest.mark.parametrize("field", ["name.__class__", "name[0]", "name!r", "name:>10", "0", "name.upper()", "Name"])
def test_a_field_is_a_column_name_and_nothing_else(field: str) -> None:
    template = Template.parse(f"Dear {{{field}}}")

    with pytest.raises(InputError, match="A merge field is the name of a column and nothing else"):
        template.check_columns(["phone", "name"])
    template.check_columns(["phone", field])  # a column may be called anything


def test_an_unknown_column_is_named_with_the_ones_near_it() -> None:
    template = Template.parse("{frist_name}, see you {date} at {First_Name}", file="clinic-day.toml")

    with pytest.raises(InputError) as caught:
        template.check_columns(["phone", "first_name", "day"])

    assert caught.value.message == (
        "clinic-day.toml, message: no such column: {frist_name} (did you mean {first_name}?), {date}, "
        "{First_Name} (did you mean {first_name}?). "
        "A merge field is the name of a column and nothing else. The columns are: phone, first_name, day."
    )


def test_columns_that_are_somebodys_number_are_masked() -> None:
    """What a list without a header row looks like."""
    with pytest.raises(InputError) as caught:
        Template.parse("Dear {name}").check_columns(["0772123456", "Jane"])

    assert "0772123456" not in caught.value.message


def test_many_columns_are_not_all_listed() -> None:
    with pytest.raises(InputError, match=r"c1, .*, c12, …\.$"):
        Template.parse("{name}").check_columns([f"c{number}" for number in range(1, 40)])
