"""What is left of a phone number in anything that people or programs log, and what is no phone number."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mambo_io.masking import MaskingFilter, mask_number, mask_text


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+256772123456", "+256772•••456"),
        ("+25677212345", "+256772•••345"),
        ("+2567721234", "•••"),  # what is left would be most of it
        ("0772123456", "•••"),
        ("", "•••"),
    ],
)
def test_a_number_keeps_six_digits_and_three(number: str, masked: str) -> None:
    assert mask_number(number) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+256772123456", "+256772•••456"),
        ("+256 772 123 456", "+256772•••456"),
        ("256772123456", "•••456"),
        ("00256772123456", "•••456"),
        ("0772123456", "•••456"),
        ("0772 123 456", "•••456"),
        ("0772-123-456", "•••456"),
        ("0772.123.456", "•••456"),
        ("(0772) 123456", "(•••456"),
        ("0772 - 123456", "•••456"),
        ("0772/123456", "•••456"),
        ("+256 (0) 772 123456", "+256077•••456"),
        ("0772\u2013123\u2013456", "•••456"),  # en dash
        ("0772\u00a0123\u00a0456", "•••456"),  # no-break space
        ("0772\u2009123\u202f456", "•••456"),  # thin spaces
        ("\u202a+256772123456\u202c", "\u202a+256772•••456\u202c"),  # as copied from a chat
        ("077\u200b2123456", "•••456"),  # zero-width space
        ("٠٧٧٢١٢٣٤٥٦", "•••٤٥٦"),
        ("O772123456", "O•••456"),
        ("1234567", "•••567"),
        ("call 0772123456, or +256756406178.", "call •••456, or +256756•••178."),
        ("0772123456;0756406178", "•••456;•••178"),
        ("row 7: '0772123456' is a duplicate", "row 7: '•••456' is a duplicate"),
        ("2026-01-11 0772123456", "2026-01-11 •••456"),
        ("2026-01-11-0772123456", "2026-01-11-•••456"),
        ("0772-12-34 56", "•••456"),  # written like a date
        ("2077-21-23456", "•••456"),
        ("+2026-01-11", "•••111"),
        ("77.212.34.56", "•••456"),  # written like the address of a computer
        ("10.77.212.34 56", "•••456"),
        ("+10.77.212.34", "•••234"),
        ("192.168.300.400", "•••400"),
        ("07/01/2026 45", "•••645"),  # ten digits, from a date on
        ("07/12/2026/45", "•••645"),
        ("07.01.2026-4", "•••264"),
        ("07/01/2026 45:00", "•••645:00"),  # no hour has the number 45
        ("07/01/2026 09:00 45", "•••609:00 45"),
        ("0 77 21/12/2026", "•••026"),
        ("+21/12/2026", "•••026"),
        ("77 01.12.2026", "•••026"),
        ("32/12/2026", "•••026"),
        ("31/13/2026", "•••026"),
        ("07/12.2026", "•••026"),
        ("07/72/1234", "•••234"),
        ("07 12 2026", "•••026"),
        ("1/12/2026", "•••026"),
    ],
    ids=ascii,
)
def test_every_way_of_writing_a_number_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-11",
        "2026-01-11 08:00 to 2026-02-28 20:00",
        "01/12/2026 09:00",
        "31/02/2026",
        "from 31.12.2026, 23:59 to 01.01.2027 00:00:30.",
        "08:00-20:00",
        "UGX 600,000 of UGX 1,250,000",
        "100000 recipients in 1000 calls",
        "clinic-day/1/c0007",
        "HTTP 500 from 127.0.0.1:8000",
        'connection to server at "10.20.30.41", port 5432 failed',
        "192.168.178.120/ledger, 172.16.100.101, 127.100.100.2",
        "phonenumbers 9.0.43",
        "+256772•••456",
        "line 120\n3456 more",
        "",
    ],
    ids=ascii,
)
def test_what_is_no_number_stays(text: str) -> None:
    assert mask_text(text) == text


DATE = re.compile(r"(19|20)\d\d-\d\d-\d\d")
no_digits = st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=20)


@given(
    before=no_digits,
    groups=st.lists(st.text("0123456789", min_size=1, max_size=4), min_size=7, max_size=12),
    separators=st.lists(st.sampled_from(["", " ", "-", ".", "/", ") ", " (", " - ", "\u2013", "\u00a0"]), min_size=12),
    after=no_digits,
)
def test_however_a_number_is_grouped_nine_of_its_digits_are_left(
    before: str, groups: list[str], separators: list[str], after: str
) -> None:
    number = "".join(group + separator for group, separator in zip(groups, separators, strict=False))
    assume(not DATE.search(number))
    masked = mask_text(f"{before}{number}{after}")
    assert len(re.findall(r"\d", masked)) <= 9
    assert mask_text(masked) == masked


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own whose only handler writes to a text, through the filter."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(MaskingFilter())
    logger = logging.getLogger("masking-test")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    yield logger, written
    logger.handlers = []


def test_a_log_record_goes_out_without_numbers(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.info("sent to %s and %s", "+256772123456", 256756406178)
    logger.warning("%(who)s was refused", {"who": "0772123456"})
    assert written.getvalue() == "sent to +256772•••456 and •••178\n•••456 was refused\n"


def test_a_traceback_goes_out_without_numbers(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    seen = io.StringIO()
    logger.addHandler(logging.StreamHandler(seen))  # a second handler, that knows nothing of masking

    def defect() -> None:
        raise KeyError("0772123456")

    try:
        defect()
    except KeyError:
        logger.exception("a defect")
    for text in (written.getvalue(), seen.getvalue()):
        assert "in defect" in text
        assert "KeyError: '•••456'" in text
        assert "0772123456" not in text.replace('raise KeyError("0772123456")', "")


def test_a_traceback_that_another_handler_wrote_is_masked_too(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.handlers.insert(0, logging.StreamHandler(io.StringIO()))
    try:
        raise ValueError(256772123456)
    except ValueError:
        logger.exception("a defect")
    assert "ValueError: •••456" in written.getvalue()


def test_a_log_call_whose_arguments_do_not_fit_ends_nothing(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.info("0772123456 got %d of %d", *["three"])
    assert written.getvalue() == "•••456 got %d of %d\n"
