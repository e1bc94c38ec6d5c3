"""The repeat guard: a number is not sent the same text again within a week, whatever the campaign is called."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mambo_io.call_ends import ClaimedCall
from mambo_io.ledger import Ledger
from mambo_io.model import CallResult
from mambo_io.tables import campaigns
from pipelines.edition import Prepared
from support.ledgers import Run, bad_reply, good_reply, no_answer, no_connection
from support.lists import ACCOUNT, new_ledger, prepared_of, reasons

TEXT = "Clinic day is Friday."
PEOPLE = "phone\n0772000001\n0772000002\n"
AGAIN = {2: "already_sent", 3: "already_sent"}
FRESH = {2: None, 3: None}


def make_the_call(
    ledger: Ledger,
    prepared: Prepared,
    *,
    answer: Any = good_reply,
    days_ago: float = 0,
    account: str = ACCOUNT,
) -> None:
    """Plan the edition and make its one call so long ago; `answer` turns the call into its result (None: in flight)."""
    now = datetime.now(UTC) - timedelta(days=days_ago)
    with ledger.store.writer() as connection:
        run = Run.of(connection, prepared.plan(account=account, host="127.0.0.1"), now=now)
        call = run.claim_one()
        if answer is not None:
            run.settle(call, answer(call))


def refused(call: ClaimedCall) -> CallResult:
    return bad_reply(call, 400, "Invalid sender")


def never_sent(_: ClaimedCall) -> CallResult:
    return no_connection()


def lost(_: ClaimedCall) -> CallResult:
    return no_answer()


def one_unsupported(call: ClaimedCall) -> CallResult:
    return good_reply(call, unsupported=["0772000002"])


def counted_wrongly(call: ClaimedCall) -> CallResult:
    return good_reply(call, recipients_count=1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(good_reply, AGAIN, id="accepted"),
        pytest.param(lost, AGAIN, id="unknown: it may have been sent"),
        pytest.param(None, AGAIN, id="in flight, or orphaned"),
        pytest.param(counted_wrongly, AGAIN, id="unverified"),
        pytest.param(one_unsupported, {2: "already_sent", 3: None}, id="unsupported: nothing was sent to that person"),
        pytest.param(refused, FRESH, id="refused"),
        pytest.param(never_sent, FRESH, id="not sent"),
    ],
)
def test_what_became_of_the_first_call_decides(tmp_path: Path, answer: Any, expected: dict[int, str | None]) -> None:
    with new_ledger(tmp_path) as ledger:
        make_the_call(ledger, prepared_of(tmp_path, PEOPLE, name="first", message=TEXT), answer=answer)

        second = prepared_of(tmp_path, PEOPLE, name="second", message=TEXT, ledger=ledger)

    assert reasons(second) == expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param({}, AGAIN, id="another name for the same campaign"),
        pytest.param({"name": "first", "edition": "2"}, AGAIN, id="the next edition"),
        pytest.param({"name": "first"}, FRESH, id="the same edition: the ledger itself knows what it sent"),
        pytest.param({"message": "Clinic day is Monday."}, FRESH, id="another text"),
        pytest.param({"top": 'sender_id = "Clinic"'}, AGAIN, id="another sender"),
        pytest.param({"people": "tel\n256772000001\n0772000009\n"}, {2: "already_sent", 3: None}, id="a longer list"),
        pytest.param(
            {"people": "phone,day\n0772000001,Friday\n0772000002,Monday\n", "message": "Clinic day is {day}."},
            {2: "already_sent", 3: None},
            id="a text that comes out the same",
        ),
        pytest.param({"allow_repeat": True}, FRESH, id="--allow-repeat"),
        pytest.param({"sections": "[sending]\nrepeat_guard_days = 0"}, FRESH, id="switched off in the campaign file"),
    ],
)
def test_number_and_text_together_are_what_is_looked_for(
    tmp_path: Path, second: dict[str, Any], expected: dict[int, str | None]
) -> None:
    with new_ledger(tmp_path) as ledger:
        make_the_call(ledger, prepared_of(tmp_path, PEOPLE, name="first", message=TEXT))

        prepared = prepared_of(
            tmp_path, **{"people": PEOPLE, "name": "second", "message": TEXT} | second, ledger=ledger
        )

    assert reasons(prepared) == expected


@pytest.mark.parametrize(
    ("days_ago", "sections", "expected"),
    [
        pytest.param(6.9, "", AGAIN, id="in the last seven days"),
        pytest.param(7.1, "", FRESH, id="longer ago"),
        pytest.param(7.1, "[sending]\nrepeat_guard_days = 30", AGAIN, id="a longer memory"),
    ],
)
def test_it_looks_back_so_many_days(
    tmp_path: Path, days_ago: float, sections: str, expected: dict[int, str | None]
) -> None:
    with new_ledger(tmp_path) as ledger:
        make_the_call(ledger, prepared_of(tmp_path, PEOPLE, name="first", message=TEXT), days_ago=days_ago)

        prepared = prepared_of(tmp_path, PEOPLE, name="second", message=TEXT, sections=sections, ledger=ledger)

    assert reasons(prepared) == expected


def test_other_accounts_do_not_count(tmp_path: Path) -> None:
    with new_ledger(tmp_path) as ledger:
        make_the_call(ledger, prepared_of(tmp_path, PEOPLE, name="first", message=TEXT), account="sandbox")

        assert reasons(prepared_of(tmp_path, PEOPLE, name="second", message=TEXT, ledger=ledger)) == FRESH


@pytest.mark.parametrize("allow_repeat", [False, True])
def test_the_plan_records_whether_repeats_were_allowed(tmp_path: Path, allow_repeat: bool) -> None:
    with new_ledger(tmp_path) as ledger:
        make_the_call(ledger, prepared_of(tmp_path, PEOPLE, ledger=ledger, allow_repeat=allow_repeat))

        with ledger.store.reader() as connection:
            recorded = json.loads(connection.scalar(select(campaigns.c.settings)) or "")

    assert recorded["allow_repeat"] is allow_repeat
    assert recorded["sending"]["repeat_guard_days"] == 7
