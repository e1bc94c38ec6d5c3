"""Replies that the ledger did not take: what stands in the side file, and how the next run records it."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from mambo_io.ledger import Ledger, to_us
from mambo_io.model import ChunkState, Verdict
from mambo_io.replies import MAX_KEPT_CHARS
from mambo_io.side_file import KeptReplies, SideFile, kept_replies
from mambo_io.store import Store
from mambo_io.tables import attempts, chunks, events
from support.ledgers import NOON, Run, bad_reply, good_reply, no_answer, no_connection, number, plan, rows_of

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def side_file(tmp_path: Path) -> SideFile:
    return SideFile(tmp_path / "ledger.db.replies-1", "run")


def kept_by(side_file: SideFile) -> list[KeptReplies]:
    return kept_replies(side_file.path.with_name("ledger.db.replies-1"))


def next_run(store: Store, connection: Connection, kept: list[KeptReplies]) -> Run:
    """The campaign is taken over by a run that has read the side files."""
    return Run(connection, Ledger(store).get("clinic-day"), now=LATER, name="next", kept=kept)


def test_its_room_is_taken_beforehand_and_only_its_owner_may_read_it(side_file: SideFile) -> None:
    with side_file.reserved(2):
        found = side_file.path.stat()
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert found.st_blocks * 512 >= found.st_size >= 2 * 4 * MAX_KEPT_CHARS, "on the disk, not only promised"
    assert not side_file.path.exists()


def test_every_end_of_a_call_comes_back_as_it_was(side_file: SideFile, store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(3, 1, 1, 1, 1))
    calls = run.claim(5)
    results = [
        good_reply(calls[0], unsupported=[number(2)], sms_cost=101, balance_ugx=8_580),
        bad_reply(calls[1], 400, "The sender ID is not registered"),
        bad_reply(calls[2], 401, "Unauthorized"),
        no_answer(),
        no_connection(),
    ]
    with side_file.reserved(5):
        side_file.keep([run.end(call, result) for call, result in zip(calls, results, strict=True)])
    [kept] = kept_by(side_file)
    assert [end.result for end in kept.ends.values()] == results
    next_run(store, connection, [kept])

    as_if_nothing_had_happened = {row["chunk"]: row["state"] for row in rows_of(store, chunks)}
    assert list(as_if_nothing_had_happened.values()) == ["accepted", "refused", "planned", "unknown", "planned"]
    people = Ledger(store).results(run.campaign)
    assert people["outcome"].to_list()[:3] == ["accepted", "unsupported", "accepted"]
    assert people["charged_ugx"].to_list()[:3] == [51, 0, 50]
    assert Ledger(store).last_balance("main") == (8_580, NOON)
    assert {row["ended_at_us"] for row in rows_of(store, attempts)} == {to_us(NOON)}
    assert "replies_recorded" in {row["kind"] for row in rows_of(store, events)}


def test_it_is_recorded_once_and_then_gone(side_file: SideFile, store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1, 1))
    call = run.claim_one()
    with side_file.reserved(1):
        side_file.keep([run.end(call, good_reply(call))])
        side_file.keep_that_no_call_was_made_after(call.attempt_id)
    kept = kept_by(side_file)
    assert next_run(store, connection, kept).orphans == 0
    before = rows_of(store, attempts)
    assert next_run(store, connection, kept).orphans == 0, "as if the process ended before the file was removed"
    assert rows_of(store, attempts) == before
    kept[0].remove()
    assert kept_by(side_file) == []


def test_a_call_of_which_the_run_knew_nothing_was_not_made(
    side_file: SideFile, store: Store, connection: Connection
) -> None:
    """Its intent was in a commit that the server did, and of which the run heard nothing any more."""
    run = Run.of(connection, plan(1, 1))
    known, _ = run.claim(2)
    with side_file.reserved(2):
        side_file.keep([run.end(known, good_reply(known))])
        side_file.keep_that_no_call_was_made_after(known.attempt_id)
    again = next_run(store, connection, kept_by(side_file))
    assert again.orphans == 0
    assert [(row["verdict"], row["reason"]) for row in rows_of(store, attempts)] == [
        (Verdict.ACCEPTED, "ok"),
        (Verdict.NOT_SENT, "never_begun"),
    ]
    assert [call.chunk for call in again.claim(9)] == [2]


def test_a_call_that_the_run_knew_of_was_made_whatever_an_older_copy_of_the_ledger_says(
    side_file: SideFile, store: Store, connection: Connection
) -> None:
    """A backup was made while two calls were in flight; the ledger that was told what they came to is lost."""
    run = Run.of(connection, plan(1, 1, 1))
    _, newest = run.claim(2)
    with side_file.reserved(2):
        side_file.keep_that_no_call_was_made_after(newest.attempt_id)
    again = next_run(store, connection, kept_by(side_file))
    assert again.orphans == 2
    assert [row["verdict"] for row in rows_of(store, attempts)] == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert [call.chunk for call in again.claim(9)] == [3]


def test_without_its_last_word_a_call_is_unknown(side_file: SideFile, store: Store, connection: Connection) -> None:
    """The run was killed while it still tried: what it had kept counts, and nothing else is concluded."""
    run = Run.of(connection, plan(1, 1))
    known, _ = run.claim(2)
    with side_file.reserved(2):
        side_file.keep([run.end(known, good_reply(known))])
    [kept] = kept_by(side_file)
    again = next_run(store, connection, [kept])
    assert again.orphans == 1
    assert again.claim(9) == ()
    kept.remove()
    assert side_file.path.exists(), "its process may still be there, and add to it"
    os.utime(side_file.path, (0, 0))
    kept.remove()
    assert not side_file.path.exists()


def test_what_another_host_made_unknown_meanwhile_is_settled(
    side_file: SideFile, store: Store, connection: Connection
) -> None:
    run = Run.of(connection, plan(1))
    call = run.claim_one()
    with side_file.reserved(1):
        side_file.keep([run.end(call, good_reply(call))])
    assert next_run(store, connection, []).orphans == 1
    next_run(store, connection, kept_by(side_file))
    assert [row["state"] for row in rows_of(store, chunks)] == [ChunkState.ACCEPTED]


def test_the_word_of_a_person_stands(side_file: SideFile, store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    call = run.claim_one()
    with side_file.reserved(1):
        side_file.keep([run.end(call, good_reply(call))])
    next_run(store, connection, [])
    with connection.begin():
        connection.execute(update(chunks).values(state=ChunkState.PLANNED))
    next_run(store, connection, kept_by(side_file))
    assert [row["state"] for row in rows_of(store, chunks)] == [ChunkState.PLANNED]


def test_replies_to_calls_that_the_ledger_does_not_hold_stay(
    side_file: SideFile, store: Store, connection: Connection
) -> None:
    """As when an older copy was put in the ledger's place: they say who got a message."""
    run = Run.of(connection, plan(1, 1))
    call = run.claim_one()
    with side_file.reserved(1):
        side_file.keep([run.end(replace(call, attempt_id=99), good_reply(call))])
        side_file.keep_that_no_call_was_made_after(99)
    [kept] = kept_by(side_file)
    next_run(store, connection, [kept])
    assert kept.strange == 1
    kept.remove()
    assert side_file.path.exists()


@pytest.mark.parametrize("lost", ["the end of its text", "a byte of its text", "its length"])
def test_what_a_crash_left_half_written_is_not_read(side_file: SideFile, connection: Connection, lost: str) -> None:
    run = Run.of(connection, plan(1, 1))
    first, second = run.claim(2)
    with side_file.reserved(2):
        side_file.keep([run.end(first, good_reply(first))])
        begin = len(side_file.path.read_bytes().rstrip(b"\0"))
        side_file.keep([run.end(second, good_reply(second))])
    content = bytearray(side_file.path.read_bytes())
    if lost == "the end of its text":
        content[begin + 100 :] = bytes(len(content) - begin - 100)
    elif lost == "a byte of its text":
        content[begin + 50] ^= 1
    else:
        content[begin : begin + 4] = b"\xff\xff\xff\xff"
    side_file.path.write_bytes(content)
    [kept] = kept_by(side_file)
    assert list(kept.ends) == [first.attempt_id]
    side_file.path.write_bytes(b"")
    [kept] = kept_by(side_file)
    assert kept.ends == {}


@pytest.mark.parametrize("sign", ["a", "\x01", "\u6f22", "\U0001f600"], ids=["ascii", "control", "BMP", "astral"])
def test_the_longest_replies_find_room(side_file: SideFile, connection: Connection, sign: str) -> None:
    run = Run.of(connection, plan(1, 1))
    ends = [run.end(call, replace(good_reply(call), raw_reply=sign * MAX_KEPT_CHARS)) for call in run.claim(2)]
    with side_file.reserved(2):
        side_file.keep(ends)
    [kept] = kept_by(side_file)
    assert [end.result.raw_reply for end in kept.ends.values()] == [sign * MAX_KEPT_CHARS] * 2


def test_a_reply_beyond_all_measure_loses_its_text_and_nothing_else(
    side_file: SideFile, connection: Connection
) -> None:
    run = Run.of(connection, plan(1))
    call = run.claim_one()
    huge = replace(good_reply(call), raw_reply=json.dumps("x" * 600_000))
    with side_file.reserved(1):
        side_file.keep([run.end(call, huge)])
    [kept] = kept_by(side_file)
    assert [end.result for end in kept.ends.values()] == [replace(huge, raw_reply=None)]


def test_what_the_ledger_has_taken_is_wiped(side_file: SideFile, connection: Connection) -> None:
    run = Run.of(connection, plan(1))
    call = run.claim_one()
    with side_file.reserved(1):
        side_file.keep([run.end(call, good_reply(call))])
        side_file.clear()
        assert not side_file.path.read_bytes().strip(b"\0")
        assert kept_by(side_file)[0].ends == {}
    assert not side_file.path.exists()
