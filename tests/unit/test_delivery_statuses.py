"""What the words of delivery reports mean."""

from __future__ import annotations

import pytest

from mambo_io.model import Delivery
from pipelines.delivery_statuses import SMPP_CODES, WORDS, plain_word

DELIVERED, FAILED, PENDING = Delivery.DELIVERED, Delivery.FAILED, Delivery.PENDING

# SMPP v5.0, table 4-50, and v3.4, appendix B: the number, the state's name, what a receipt says, what it means here.
SMPP = [
    (0, "SCHEDULED", None, PENDING),
    (1, "ENROUTE", None, PENDING),
    (2, "DELIVERED", "DELIVRD", DELIVERED),
    (3, "EXPIRED", "EXPIRED", FAILED),
    (4, "DELETED", "DELETED", FAILED),
    (5, "UNDELIVERABLE", "UNDELIV", FAILED),
    (6, "ACCEPTED", "ACCEPTD", PENDING),
    (7, "UNKNOWN", "UNKNOWN", PENDING),
    (8, "REJECTED", "REJECTD", FAILED),
    (9, "SKIPPED", None, FAILED),
]


@pytest.mark.parametrize(("code", "state", "receipt", "meaning"), SMPP)
def test_every_state_of_smpp_is_known(code: int, state: str, receipt: str | None, meaning: Delivery) -> None:
    assert WORDS[plain_word(state)] is meaning
    assert receipt is None or WORDS[plain_word(receipt)] is meaning
    assert SMPP_CODES[str(code)] is meaning


def test_a_number_means_nothing_by_itself() -> None:
    """2 is delivered to SMPP, failed to Kannel, and queued to others."""
    assert WORDS.keys() & SMPP_CODES.keys() == set()


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("Delivered", DELIVERED),
        (" delivered ", DELIVERED),
        ("DELIVERED_TO_HANDSET", DELIVERED),
        ("Delivered to handset", DELIVERED),
        ("delivered-to-handset.", DELIVERED),
        ("Sent to handset", DELIVERED),
        ("Failed", FAILED),
        ("Undelivered", FAILED),
        ("NOT DELIVERED", FAILED),
        ("NotDelivered", FAILED),
        ("Expired", FAILED),
        ("Rejected", FAILED),
        ("AbsentSubscriber", FAILED),
        ("Absent Subscriber", FAILED),
        ("BLIST", FAILED),
        ("Pending", PENDING),
        ("PENDING_ENROUTE", PENDING),
        ("Buffered", PENDING),
        ("Submitted", PENDING),
        ("accepted by SMSC", PENDING),
        ("Unknown", PENDING),
        # Handed on is not arrived.
        ("Sent", PENDING),
        ("DELIVERED_TO_OPERATOR", PENDING),
        ("Delivered to network", PENDING),
        # The provider stopped waiting for a report; what became of the message it does not know.
        ("dlr_expired", PENDING),
        # A whole receipt in the cell.
        ("id:7 sub:001 dlvrd:001 submit date:2603021200 done date:2603021201 stat:DELIVRD err:000 text:", DELIVERED),
        ("id:7 sub:001 dlvrd:000 submit date:2603021200 done date:2603041200 stat:UNDELIV err:001 text:sent", FAILED),
    ],
)
def test_a_word_is_known_however_it_is_written(written: str, meaning: Delivery) -> None:
    assert WORDS[plain_word(written)] is meaning


@pytest.mark.parametrize("written", ["Success", "OK", "Error", "delivrdd", "status"])
def test_what_may_mean_this_or_that_is_not_known(written: str) -> None:
    assert plain_word(written) not in WORDS


@pytest.mark.parametrize("written", ["", " ", "-", "--", "."])
def test_a_sign_is_no_word(written: str) -> None:
    assert plain_word(written) == ""


def test_a_word_stands_in_the_table_once() -> None:
    """Or else one of its meanings would never be read."""
    assert all(plain_word(word) == word for word in WORDS)
    assert len(WORDS) > 150
