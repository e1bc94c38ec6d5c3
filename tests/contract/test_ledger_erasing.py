"""Erasing in the ledger: what is refused, what an interruption leaves, who is left out, what is known no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import Connection, Text, insert, text

from mambo_io import control, erasing
from mambo_io.decisions import retry_refused
from mambo_io.erasing import check_erasable, editions, erase_edition, record_erased
from mambo_io.errors import InputError, Stopped
from mambo_io.forgetting import erase_person
from mambo_io.ledger import CampaignRow, Ledger, to_us
from mambo_io.model import CampaignState, Delivery
from mambo_io.overwriting import overwrite_space
from mambo_io.person import COLUMNS, FREE_TEXT, held_about
from mambo_io.planning import write_plan, write_suppressions
from mambo_io.store import Store, StoreBusy
from mambo_io.tables import (
    account_entries,
    accounts,
    archives,
    attempts,
    campaigns,
    chunks,
    deliveries,
    events,
    ledger_meta,
    metadata,
    recipient_exceptions,
    recipients,
    suppressions,
    unsupported,
)
from mambo_io.written_numbers import written_number
from pipelines.erasure import choose_older, erase_editions, forget
from support.ledgers import (
    NOON,
    Run,
    bad_reply,
    good_reply,
    msisdn,
    no_answer,
    number,
    plan,
    report,
    rows_of,
    suppressed,
    view_of,
)

TABLES = (campaigns, recipients, chunks, attempts, recipient_exceptions, unsupported, deliveries, suppressions, events)
LATER = NOON + timedelta(days=200)


def complete(connection: Connection, *sizes: int, name: str = "clinic-day") -> CampaignRow:
    """An edition that is sent to the end; the API calls row 2 unsupported, row 1 is reported, the last one opts out."""
    people = sum(sizes)
    kept = {"client_id": [f"c{row}" for row in range(1, people + 2)]}
    run = Run.of(connection, plan(*sizes, name=name, kept=kept, rejected=1))
    write_suppressions(connection, run.campaign.id, suppressed(people))
    for call in run.claim(len(sizes)):
        named = [number(2)] if 2 in call.rows else []
        run.settle(call, good_reply(call, unsupported=named, balance_ugx=8_000))
    report(connection, run.campaign, {1: Delivery.DELIVERED})
    run.sender.finish(CampaignState.COMPLETE, None, NOON)
    return as_it_stands(connection, run.campaign)


def as_it_stands(connection: Connection, campaign: CampaignRow) -> CampaignRow:
    return next(row for row in editions(connection) if row.id == campaign.id)


def erase_to_the_end(connection: Connection, campaign: CampaignRow) -> None:
    current = as_it_stands(connection, campaign)
    for _ in erase_edition(connection, current, who="amos", now=LATER):
        pass
    record_erased(connection, current, who="amos", now=LATER)


# --- what is refused -------------------------------------------------------------------------------------------------


def planned(connection: Connection) -> CampaignRow:
    return write_plan(connection, plan(2), who="officer")


def awaiting(connection: Connection) -> CampaignRow:
    return write_plan(connection, plan(2), who="officer", awaits_approval=True)


def being_sent(connection: Connection) -> CampaignRow:
    run = Run.of(connection, plan(2))
    run.claim_one()
    return run.campaign


def paused_with_an_unknown_call(connection: Connection) -> CampaignRow:
    run = Run.of(connection, plan(2))
    run.settle(run.claim_one(), no_answer())
    run.sender.finish(CampaignState.PAUSED, "unknown_calls", NOON)
    return run.campaign


def cancelled_with_an_unknown_call(connection: Connection) -> CampaignRow:
    campaign = paused_with_an_unknown_call(connection)
    control.cancel(connection, campaign, who="officer", note=None, now=NOON)
    return campaign


@pytest.mark.parametrize(
    ("edition", "told"),
    [
        (planned, "is planned, not finished. Nothing was erased. `mambo send` goes on with it; or give it up"),
        (awaiting, "is awaiting approval, not finished"),
        (being_sent, "is sending, not finished"),
        (paused_with_an_unknown_call, "is paused, not finished"),
        (
            cancelled_with_an_unknown_call,
            "has 1 API call of which nobody knows whether they were sent. Nothing was erased",
        ),
    ],
    ids=["planned", "awaiting", "being_sent", "paused", "cancelled"],
)
def test_what_is_not_finished_or_not_known_is_refused(
    store: Store, connection: Connection, edition: Callable[[Connection], CampaignRow], told: str
) -> None:
    edition(connection)
    before = [rows_of(store, table) for table in TABLES]
    with pytest.raises(InputError, match=told):
        check_erasable(connection, Ledger(store).get("clinic-day"))
    with pytest.raises(InputError, match=told):
        next(erase_edition(connection, Ledger(store).get("clinic-day"), who="amos", now=LATER))
    if edition is not planned and edition is not awaiting:  # there is no call whose end could be erased wrongly
        with pytest.raises(InputError, match=r"the number stands in a call that (is being|may have been) sent"):
            erase_person(connection, msisdn(1), who="amos", now=LATER)
    assert [rows_of(store, table) for table in TABLES] == before


def test_nobody_may_be_at_work_on_it(store: Store, connection: Connection) -> None:
    campaign = complete(connection, 3)
    with store.locked_writer(campaign.label), pytest.raises(StoreBusy):
        erase_editions(store, [Ledger(store).get("clinic-day")], who="amos", now=LATER)
    assert Ledger(store).get("clinic-day").erased_at is None


# --- an edition ------------------------------------------------------------------------------------------------------


def test_after_an_interruption_it_is_untouched_or_the_same_once_more_ends_it(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves what was committed. Interrupted after each commit, it ends as if it never had been."""
    monkeypatch.setattr(erasing, "ROWS_A_COMMIT", 2)
    left: list[list[dict[str, object]]] = []
    commits = 0
    while True:
        campaign = complete(connection, 2, 2, name=f"day-{commits}")
        steps = erase_edition(connection, campaign, who="amos", now=LATER)
        done = sum(1 for _ in zip(range(commits), steps, strict=False))
        current = as_it_stands(connection, campaign)
        assert (current.erased_at is None) == (done == 0)
        erase_to_the_end(connection, campaign)
        left.append(
            [
                {
                    key: value
                    for key, value in row.items()
                    if key not in ("id", "campaign_id", "attempt_id", "last_attempt")
                }
                for table in (recipients, chunks, attempts, deliveries, recipient_exceptions)
                for row in rows_of(store, table)
                if row.get("campaign_id") == campaign.id
            ]
        )
        kinds = [event["kind"] for event in rows_of(store, events, campaign_id=campaign.id)]
        assert (kinds.count("erasing"), kinds.count("erased"), kinds[-1]) == (1, 1, "erased")
        if done < commits:
            break
        commits += 1
    assert commits > 4
    assert all(each == left[0] for each in left)


def test_what_an_erased_edition_still_says(store: Store, connection: Connection) -> None:
    """The view, the frames and the totals say the same as before of all that is not personal."""
    campaign, ledger = complete(connection, 2, 2), Ledger(store)
    personal = ("phone_raw", "e164", "message", "client_id")
    before, totals = ledger.results(campaign), ledger.totals(campaign)
    erase_to_the_end(connection, campaign)

    after = ledger.results(campaign)
    assert after.drop(personal).equals(before.drop(personal))
    assert after.select(personal).null_count().row(0) == (5,) * 4
    view = view_of(store, campaign).with_columns(pl.col("sent_at").dt.convert_time_zone("Africa/Kampala"))
    assert_frame_equal(view, after.drop("client_id"), check_dtypes=False)
    assert ledger.totals(campaign) == totals
    assert ledger.sent_pairs("main", NOON - timedelta(days=1), other_than=("", "")).is_empty()
    assert rows_of(store, unsupported) == []
    assert rows_of(store, suppressions) == []


def test_refused_calls_of_an_erased_edition_are_not_sent_again(store: Store, connection: Connection) -> None:
    run = Run.of(connection, plan(2))
    call = run.claim_one()
    run.settle(call, bad_reply(call, 400))
    run.sender.finish(CampaignState.COMPLETE, None, NOON)
    erase_to_the_end(connection, run.campaign)
    with pytest.raises(InputError, match="was erased"):
        retry_refused(connection, run.campaign, who="officer", now=LATER)


def test_what_is_older_and_what_is_left_of_it(store: Store, connection: Connection) -> None:
    """Also what a planner that was killed left behind, which no other command shows."""
    old = complete(connection, 2, name="old-day")
    half = write_plan(connection, plan(2, name="half-day"), who="officer")
    control.hold(connection, half, who="Grace", note="Jane objects", now=NOON)
    control.resume(connection, half, who="Grace", note=None, now=NOON)
    waiting = write_plan(connection, plan(2, name="waiting-day"), who="officer")
    young = complete(connection, 2, name="young-day")
    with connection.begin():
        ages: dict[int, dict[str, Any]] = {
            half.id: {"state": "planning", "planned_at_us": 0},
            waiting.id: {"planned_at_us": 0},
        }
        for campaign_id, values in (ages | {young.id: {"ended_at_us": to_us(young.planned_at)}}).items():
            connection.execute(campaigns.update().where(campaigns.c.id == campaign_id).values(values))

    choice = choose_older(store, 180, LATER)
    assert [row.label for row in choice.editions] == ["old-day/1", "half-day/1"]
    assert [why.partition(" is ")[0] for why in choice.left] == ["waiting-day/1:"]
    erase_editions(store, choice.editions, who="amos", now=LATER)
    assert {row.label: row.erased_at is not None for row in Ledger(store).campaigns()} == {
        "old-day/1": True,
        "waiting-day/1": False,
        "young-day/1": False,
    }
    assert {row["campaign_id"] for row in rows_of(store, recipients)} == {old.id, waiting.id, young.id}
    assert "Jane objects" not in [row["detail"] for row in rows_of(store, events)]
    assert choose_older(store, 180, LATER).editions == ()


# --- one person ------------------------------------------------------------------------------------------------------


def test_who_is_erased_is_left_out_of_what_is_not_sent_yet(store: Store, connection: Connection) -> None:
    """Of planned calls, and of refused ones that are planned again."""
    run = Run.of(connection, plan(2, 2, 1))
    refused = run.claim_one()
    run.settle(refused, bad_reply(refused, 400))
    for row in (2, 3, 5):
        forgotten = erase_person(connection, msisdn(row), who="amos", now=NOON)
        assert (forgotten.rows, forgotten.open_editions) == (1, ("clinic-day/1",))
    texts = {row["chunk"]: row["text"] != "" for row in rows_of(store, chunks)}
    assert texts == {1: True, 2: True, 3: False}, "a text that others get, too, stays"
    while calls := run.claim():
        assert [call.request.recipients for call in calls] == [(number(4),)]
        run.settle(calls[0], good_reply(calls[0]))
    retry_refused(connection, run.campaign, who="officer", now=NOON)
    again = Run(connection, Ledger(store).get("clinic-day"))
    assert again.claim_one().request.recipients == (number(1),)

    people = Ledger(store).results(run.campaign).select("row", "e164", "outcome", "reason", "message").rows()
    nobody = (None, "rejected", "opted_out", None)
    assert [person for person in people if person[0] in (2, 3, 5)] == [(row, *nobody) for row in (2, 3, 5)]
    totals = Ledger(store).totals(run.campaign)
    assert sum(totals.outcomes.values()) == totals.rows == 5


def test_an_opt_out_from_every_campaign_outlives_the_person(store: Store, connection: Connection) -> None:
    """Without the number nobody could be held back by it; the entry of a finished campaign goes."""
    campaign = complete(connection, 2)
    with connection.begin():
        everywhere = {"msisdn": msisdn(2), "campaign_id": 0, "since_us": 0, "source": "phone call"}
        connection.execute(insert(suppressions), everywhere)
    assert len(rows_of(store, suppressions)) == 2
    erase_person(connection, msisdn(2), who="amos", now=LATER)
    assert rows_of(store, suppressions) == [everywhere]
    with store.reader() as reader:
        held = held_about(reader, msisdn(2))
    assert {name: table.height for name, table in held.tables.items() if table.height} == {"opt_outs": 1}
    assert rows_of(store, recipients, campaign_id=campaign.id, row=1)[0]["msisdn"] == msisdn(1), "the others stay"
    run = Run.of(connection, plan(2, name="flour-day"))
    assert run.claim_one().request.recipients == (number(1),)


def test_a_number_that_stood_nowhere_but_in_other_peoples_words(store: Store, connection: Connection) -> None:
    complete(connection, 2)
    stranger = 256_701_234_567
    with connection.begin():
        connection.execute(recipients.update().where(recipients.c.row == 3).values(phone_raw="0701-234 567/0772 1"))
        connection.execute(
            recipients.update().where(recipients.c.row == 1).values(kept='{"client_id":"+256701234567"}')
        )
        connection.execute(
            attempts.update().values(raw_reply='{"unsupported_contacts":["0701 234\\/567",701234567891]}')
        )
        connection.execute(chunks.update().values(text="Call 0701234567."))
    with store.reader() as reader:
        mentions = held_about(reader, stranger).tables["mentions"].select("place", "row", "call", "text")
    assert mentions.rows() == [
        ("cell", 3, None, "0701-234 567/0772 1"),
        ("kept", 1, None, None),
        ("reply", None, "clinic-day/1/c0001", '{"unsupported_contacts":["0701 234\\/567",•••891]}'),
        ("text", None, "clinic-day/1/c0001", None),
    ]
    assert erase_person(connection, stranger, who="amos", now=LATER).mentions == 3
    assert rows_of(store, recipients, row=3)[0]["phone_raw"] == "•••/0772 1"
    assert rows_of(store, recipients, row=1)[0]["kept"] == '{"client_id":"•••"}'
    assert rows_of(store, attempts)[0]["raw_reply"] == '{"unsupported_contacts":["•••",701234567891]}'
    assert rows_of(store, chunks)[0]["text"] == "Call 0701234567.", "what others were sent"


def test_every_column_of_text_is_searched_or_can_hold_no_number() -> None:
    """A new column of text has to be put on one of these lists."""
    searched = {each.column for each in FREE_TEXT} | set(COLUMNS.values()) | {unsupported.c.raw, campaigns.c.settings}
    what_everybody_was_sent = {chunks.c.text, campaigns.c.message}
    names_of_ours = {  # of accounts, editions, senders, computers, processes, files that we write, columns of a list
        *(accounts.c.account, attempts.c.account, account_entries.c.account, events.c.account, attempts.c.run),
        *(campaigns.c.name, campaigns.c.edition, campaigns.c.account, campaigns.c.host, campaigns.c.sender_id),
        *(archives.c.file, campaigns.c.kept_columns, campaigns.c.versions, ledger_meta.c.key, ledger_meta.c.value),
    }
    digests = {*(campaigns.c[f"{of}_digest"] for of in ("content", "plan", "source")), archives.c.digest}
    codes = {
        *(recipients.c.network_guess, recipients.c.reason, recipients.c.encoding, chunks.c.encoding),
        *(attempts.c.reason, attempts.c.alarms, campaigns.c.stop_reason, campaigns.c.category),
        *(account_entries.c.kind, events.c.kind, archives.c.rejected, archives.c.left_out),
    }
    text_columns = {
        column for table in metadata.tables.values() for column in table.columns if type(column.type) is Text
    }
    assert text_columns == searched | what_everybody_was_sent | names_of_ours | digests | codes


def test_a_number_that_a_colleague_typed_is_found_and_hidden(store: Store, connection: Connection) -> None:
    """In the source of an opt-out, behind --by, and in the names of files; of an edition that goes on these stay."""
    complete(connection, 2)
    write_plan(connection, plan(2, name="flour-day"), who="officer")
    stranger, said = 256_701_234_567, "0701 234 567"
    settings = {"message": f"Call {said}.", "recipients": {"path": f"{said}.csv"}, "suppression": {"paths": [said]}}
    named = [each.column for each in FREE_TEXT]
    with connection.begin():
        when = {"account": "main", "at_us": 0, "kind": "reading", "who": "officer"}
        connection.execute(insert(account_entries), when)
        connection.execute(insert(accounts).values(account="other"))
        for table in {column.table for column in named}:
            values = {column.name: f"of {said}, 0772123456" for column in named if column.table is table}
            connection.execute(table.update().values(values))
        connection.execute(campaigns.update().values(settings=json.dumps(settings)))

    with store.reader() as reader:
        held = held_about(reader, stranger).tables["mentions"]
        own = held_about(reader, msisdn(1)).tables["delivery_reports"]
    assert held["place"].unique().sort().to_list() == sorted({each.place for each in FREE_TEXT})
    assert "of 0701 234 567, •••456" in held.filter(place="opt_out")["text"].to_list()
    assert "0701 234 567.csv, 0701 234 567" in held.filter(place="campaign")["text"].to_list()
    assert own["source"].to_list() == ["of •••567, •••456"]

    erase_person(connection, stranger, who=f"amos, {said}", now=LATER)

    with store.reader() as reader:
        left = held_about(reader, stranger).tables["mentions"].select("place", "campaign", "text").rows()
    files = "0701 234 567.csv, 0701 234 567"
    assert left == [("campaign", "flour-day", text) for text in (f"of {said}, •••456", files)]
    [opt_out] = rows_of(store, suppressions)
    assert opt_out["source"] == "of •••, 0772123456"
    kept = json.loads(rows_of(store, campaigns, name="clinic-day")[0]["settings"])
    assert kept == {"message": f"Call {said}.", "recipients": {"path": "•••.csv"}, "suppression": {"paths": ["•••"]}}


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("0772123456", True),
        ("772123456", True),
        ("+256772123456", True),
        ("00256 (0)772 123-456", True),
        ("000256772123456", True),
        ("Jane,0772/123/456;Bob", True),
        (r"0772\t123\t456", True),  # tabs, in JSON
        ("in 2026: 0772123456", True),
        ("17721234561", False),
        ("0772123457", False),
        ("256 772 12 34", False),
    ],
)
def test_how_a_number_may_be_written(text: str, is_named: bool) -> None:
    hidden = written_number(256_772_123_456).sub("•••", text)
    assert (hidden != text) == is_named
    assert not is_named or sum(map(str.isdigit, hidden)) in (0, 4), "nothing of it is left"


# --- the files -------------------------------------------------------------------------------------------------------


def test_copies_beside_the_ledger_and_files_of_replies(tmp_path: Path) -> None:
    """What is ours goes; what is not is named. A reader keeps the log from being cut; the same once more does it."""
    path = tmp_path / "ledger.db"
    with Store(str(path), create=True) as store:
        with store.writer() as connection:
            campaign = complete(connection, 2)
        store.backup(tmp_path / "ledger.db.version-1")
        store.backup(tmp_path / "backup.db")
        side_file = tmp_path / f"ledger.db.replies-{campaign.id}-run"
        side_file.write_bytes(f"a reply that names {number(1)}".encode())
        with pytest.raises(InputError, match="holds a reply that names the number"):
            forget(store, msisdn(1), who="amos", now=LATER)
        with store.reader() as reader:
            reader.execute(text("SELECT count(*) FROM recipients"))
            with pytest.raises(Stopped, match="its space is not overwritten yet"):
                overwrite_space(store, wait_s=0)

        with store.writer():  # as long as somebody has the ledger open, its log is there
            overwritten = erase_editions(store, [Ledger(store).get("clinic-day")], who="amos", now=LATER)
            assert (tmp_path / "ledger.db-wal").stat().st_size < 50_000, "only what was recorded after it was cut"
        assert overwritten.removed == (side_file, tmp_path / "ledger.db.version-1")
        assert overwritten.others == (tmp_path / "backup.db",)
        assert Ledger(store).erasure_ended(Ledger(store).get("clinic-day"))


def test_what_was_freed_before_is_overwritten_too(tmp_path: Path) -> None:
    """A plan that was replaced long ago leaves its people in pages that nothing has used since."""
    path = tmp_path / "ledger.db"
    with Store(str(path), create=True) as store, store.writer() as connection:
        campaign = complete(connection, 2)
        connection.execute(text("PRAGMA secure_delete = OFF"))
        connection.execute(text("CREATE TABLE replaced AS SELECT 'Zebedee' AS name FROM chunks, pragma_table_list"))
        connection.execute(text("DROP TABLE replaced"))
        connection.commit()
    assert b"Zebedee" in path.read_bytes()
    with Store(str(path)) as store:
        erase_editions(store, [Ledger(store).get(campaign.name)], who="amos", now=LATER)
    assert b"Zebedee" not in path.read_bytes()


def test_postgresql_says_whose_table_it_could_not_write_anew(postgres_url: str) -> None:
    with Store(postgres_url, create=True) as store, store.writer() as connection, connection.begin():
        connection.execute(text("DROP ROLE IF EXISTS clerk"))
        connection.execute(text("CREATE ROLE clerk LOGIN PASSWORD 'only-for-tests'"))
        connection.execute(text("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk"))
    with (
        Store(postgres_url.replace("mambo:", "clerk:")) as store,
        pytest.raises(Stopped, match="does not own recipients"),
    ):
        overwrite_space(store)
    with Store(postgres_url) as store, store.writer() as connection, connection.begin():
        connection.execute(text("DROP OWNED BY clerk"))
        connection.execute(text("DROP ROLE clerk"))
