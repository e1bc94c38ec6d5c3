"""Why a call's charge is not its estimate, by examples. A segment costs UGX 50 by the tariff, unless it is said."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl
import pytest

from pipelines.causes import CAUSES, explain

SHARING = ("accepted", "unverified")


@dataclass(frozen=True)
class Group:
    """Recipients of the call with one outcome, their shares of the charge; then what is to be found of them."""

    outcome: str
    recipients: int
    charged_ugx: int | None
    counted: int = 0  # segments
    causes: dict[str, int] = field(default_factory=dict)
    estimated_ugx: int | None = None  # None: at UGX 50 for each segment of ours
    shares: bool | None = None  # None: as usual for the outcome
    first_row: int = 2


@dataclass(frozen=True)
class Example:
    """A receipt: recipients, segments of one message, segments sent, cost. Our count of segments is `ours`."""

    receipt: tuple[int | None, int | None, int | None, int | None]
    groups: tuple[Group, ...]
    ours: int = 1


def accepted(recipients: int, charged_ugx: int | None, counted: int, first_row: int = 2, **causes: int) -> Group:
    return Group("accepted", recipients, charged_ugx, counted, causes, first_row=first_row)


def unsupported(recipients: int, charged_ugx: int | None, counted: int, **causes: int) -> Group:
    return Group("unsupported", recipients, charged_ugx, counted, causes)


EXAMPLES = {
    "as estimated": Example((3, 1, 3, 150), (accepted(3, 150, 3),)),
    "as estimated, two segments": Example((3, 2, 6, 300), (accepted(3, 300, 6),), ours=2),
    "the receipt does not name the product": Example((3, 1, None, 150), (accepted(3, 150, 3),)),
    # unsupported contacts
    "unsupported and not counted": Example(
        (2, 1, 2, 100), (accepted(2, 100, 2), unsupported(1, 0, 0, of_unsupported_ugx=-50))
    ),
    "unsupported, counted, and charged": Example(
        (3, 1, 3, 150),
        (accepted(2, 150, 2, of_unsupported_ugx=50), unsupported(1, 0, 1, of_unsupported_ugx=-50)),
    ),
    "unsupported, counted, not charged": Example(
        (3, 1, 3, 100), (accepted(2, 100, 2), unsupported(1, 0, 1, of_unsupported_ugx=-50))
    ),
    "unsupported, counted, not among those sent, at another price": Example(
        (3, 1, 2, 120), (accepted(2, 120, 2, of_price_ugx=20), unsupported(1, 0, 0, of_unsupported_ugx=-50))
    ),
    "everybody unsupported, nothing charged": Example(
        (0, 1, 0, 0), (Group("unsupported", 2, 0, 0, {"of_unsupported_ugx": -100}, shares=True),)
    ),
    "everybody unsupported, and charged": Example((2, 1, 2, 100), (Group("unsupported", 2, 100, 2, shares=True),)),
    # price and segments
    "another price": Example((2, 1, 2, 120), (accepted(2, 120, 2, of_price_ugx=20),)),
    "nothing charged": Example((3, 1, 3, 0), (accepted(3, 0, 3, of_price_ugx=-150),)),
    "a price that is not whole": Example((3, 1, 3, 151), (accepted(3, 151, 3, of_price_ugx=1),)),
    "one more segment": Example((2, 2, 4, 200), (accepted(2, 200, 4, of_segments_ugx=100),)),
    "one less segment": Example((2, 1, 2, 100), (accepted(2, 100, 2, of_segments_ugx=-100),), ours=2),
    "one more segment, and another price": Example(
        (2, 2, 4, 160), (accepted(2, 160, 4, of_segments_ugx=100, of_price_ugx=-40),)
    ),
    "two networks, each at its tariff: only the division differs": Example(
        (2, 1, 2, 95),
        (
            Group("accepted", 1, 48, 1, {"of_price_ugx": 3}, estimated_ugx=45),
            Group("accepted", 1, 47, 1, {"of_price_ugx": -3}, estimated_ugx=50),
        ),
    ),
    # partial acceptance
    "two of three counted": Example((2, 1, 2, 100), (Group("unverified", 3, 100, 2, {"of_partial_ugx": -50}),)),
    "two of three counted, at another price": Example(
        (2, 1, 2, 120), (Group("unverified", 3, 120, 2, {"of_price_ugx": 30, "of_partial_ugx": -60}),)
    ),
    "two of three counted, at a price that is not whole": Example(
        (2, 1, 2, 101), (Group("unverified", 3, 101, 2, {"of_partial_ugx": -49}),)
    ),
    "nobody counted, nothing charged": Example((0, 1, 0, 0), (Group("unverified", 3, 0, 0, {"of_partial_ugx": -150}),)),
    "more counted than were sent": Example((4, 1, 4, 200), (Group("unverified", 3, 200, 4, {"of_partial_ugx": 50}),)),
    "two of three counted, of two networks: the count stands on the lowest row": Example(
        (2, 1, 2, 101),
        (
            Group("unverified", 2, 67, 0, {"of_partial_ugx": -33}, first_row=3),
            Group("unverified", 1, 34, 2, {"of_partial_ugx": -16}, first_row=2),
        ),
    ),
    # charges that are not known, or cannot be told apart
    "a reply without a cost": Example((3, 1, 3, None), (accepted(3, None, 3, of_unknown_ugx=-150),)),
    "a reply without a cost, one unsupported": Example(
        (2, 1, 2, None),
        (accepted(2, None, 2, of_unknown_ugx=-100), unsupported(1, None, 0, of_unknown_ugx=-50)),
    ),
    "a reply without a cost, everybody unsupported": Example(
        (0, 1, 0, None), (unsupported(3, None, 0, of_unknown_ugx=-150),)
    ),
    "settled by the balance, at the estimate": Example((None, None, None, 150), (accepted(3, 150, 0),)),
    "settled by the balance, for less": Example(
        (None, None, None, 100), (Group("unverified", 3, 100, 0, {"of_partial_ugx": -50}),)
    ),
    "without counts, for more": Example((None, None, None, 180), (accepted(3, 180, 0, unexplained_ugx=30),)),
    "more parts than a message can have are no count": Example(
        (3, 300, 3, 180), (accepted(3, 180, 3, unexplained_ugx=30),)
    ),
    "the receipt contradicts itself": Example((3, 1, 5, 250), (accepted(3, 250, 5, unexplained_ugx=100),)),
    "it contradicts itself, but the charge is the estimate": Example((7, 1, 2, 100), (accepted(2, 100, 2),)),
    "a charge for nobody": Example((0, 1, 0, 50), (Group("unverified", 2, 50, 0, {"unexplained_ugx": -50}),)),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_difference_of_a_call_has_its_causes(example: Example) -> None:
    found = explain(frame_of(example), receipt_of(example))

    for group, row in zip(example.groups, found.iter_rows(named=True), strict=True):
        assert {cause: row[cause] for cause in CAUSES if row[cause]} == group.causes
        assert row["segments_counted"] == group.counted
        assert row["charged_ugx"] == (group.charged_ugx or 0)
        assert row["difference_ugx"] == row["charged_ugx"] - row["estimated_ugx"] == sum(group.causes.values())


def frame_of(example: Example) -> pl.DataFrame:
    """The groups as the ledger counts them."""
    rows = [
        {
            "chunk": 1,
            "attempt": 7,
            "network_guess": f"network {number}",
            "outcome": group.outcome,
            "reason": None,
            "kept": None,
            "recipients": group.recipients,
            "segments_expected": group.recipients * example.ours,
            "estimated_ugx": 50 * example.ours * group.recipients
            if group.estimated_ugx is None
            else group.estimated_ugx,
            "charged_ugx": group.charged_ugx,
            "shares_charge": group.outcome in SHARING if group.shares is None else group.shares,
            "first_row": group.first_row,
        }
        for number, group in enumerate(example.groups)
    ]
    return pl.DataFrame(rows, schema_overrides={"charged_ugx": pl.Int64, "reason": pl.String, "kept": pl.String})


def receipt_of(example: Example) -> pl.DataFrame:
    """The call as the ledger knows it, beside an earlier one whose figures are nobody's business."""
    names = ("recipients_count", "message_count", "sms_sent", "cost_ugx")
    receipt = {name: [9, value] for name, value in zip(names, example.receipt, strict=True)}
    return pl.DataFrame(
        {"attempt": [6, 7], "verdict": ["unknown", "accepted"], "segments": [5, example.ours], **receipt},
        schema_overrides=dict.fromkeys(names, pl.Int64),
    )


# What became of people in no accepted call: whether a call stands behind it, and what their estimate is.
OTHERS = {
    "rejected at the plan": ("rejected", None, 0, {}),
    "left out after the plan": ("rejected", None, 50, {"of_not_sent_ugx": -50}),
    "planned": ("planned", None, 50, {"of_not_sent_ugx": -50}),
    "cancelled": ("cancelled", None, 50, {"of_not_sent_ugx": -50}),
    "refused": ("refused", 8, 50, {"of_not_sent_ugx": -50}),
    "unknown": ("unknown", 8, 50, {"of_unknown_ugx": -50}),
    "in flight": ("in_flight", 8, 50, {"of_unknown_ugx": -50}),
}


@pytest.mark.parametrize(("outcome", "attempt", "estimated_ugx", "causes"), OTHERS.values(), ids=OTHERS)
def test_what_was_not_charged_has_its_cause(
    outcome: str, attempt: int | None, estimated_ugx: int, causes: dict[str, int]
) -> None:
    example = Example((3, 1, 3, 150), (accepted(3, 150, 3),))
    charged = frame_of(example)
    other = charged.with_columns(
        pl.lit(attempt, pl.Int64).alias("attempt"),
        pl.lit(outcome).alias("outcome"),
        pl.lit(estimated_ugx, pl.Int64).alias("estimated_ugx"),
        pl.lit(None, pl.Int64).alias("charged_ugx"),
        pl.lit(value=False).alias("shares_charge"),
    )

    [of_charged, row] = explain(pl.concat([charged, other]), receipt_of(example)).to_dicts()

    assert {cause: row[cause] for cause in CAUSES if row[cause]} == causes
    assert (row["segments_counted"], row["charged_ugx"], row["is_priced"]) == (0, 0, False)
    assert not any(of_charged[cause] for cause in CAUSES), "the other call's people change nothing"


def test_a_price_is_known_of_those_whose_charge_and_segments_are() -> None:
    def priced(example: Example) -> list[bool]:
        return explain(frame_of(example), receipt_of(example))["is_priced"].to_list()

    assert priced(EXAMPLES["as estimated"]) == [True]
    assert priced(EXAMPLES["unsupported and not counted"]) == [True, False]
    assert priced(EXAMPLES["a reply without a cost"]) == [False]
    assert priced(EXAMPLES["settled by the balance, at the estimate"]) == [False]
