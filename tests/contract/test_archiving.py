"""People of finished editions in Parquet: every reader says the same as before; interrupted, nothing is lost."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import Connection, select, update

from mambo_io import archiving
from mambo_io.archives import archive_of, file_in
from mambo_io.archiving import archive_edition, bring_back, check_archivable
from mambo_io.decisions import retry_refused
from mambo_io.deliveries import people_of
from mambo_io.erasing import editions
from mambo_io.errors import InputError
from mambo_io.forgetting import erase_person
from mambo_io.ledger import CampaignRow, Ledger, to_us
from mambo_io.model import CampaignState, Delivery
from mambo_io.person import held_about
from mambo_io.planning import write_plan, write_suppressions
from mambo_io.store import Store
from mambo_io.tables import archives, campaigns, events, ledger_meta, recipient_exceptions, recipients
from pipelines import reconciliation
from pipelines.archive import archivable, archive, bring_people_back
from pipelines.erasure import choose_older, erase_editions, forget
from pipelines.summary import CampaignSummary, summarize
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
)

LATER = NOON + timedelta(days=200)
KEPT: dict[str, list[str | None]] = {
    "client_id": ["c1", None, *(f"c{row}" for row in range(3, 13))],
    "campaign": ["Gulu"] * 12,
}


def complete(connection: Connection, *, name: str = "clinic-day", finished: bool = True) -> CampaignRow:
    """Twelve rows: accepted, unsupported (2), unverified (4, 5), refused (6, 7), opted out later (9), turned away (12);
    a charge that does not divide, two delivery reports, and a kept column that has the name of one of ours."""
    run = Run.of(connection, plan(3, 2, 2, 2, 2, name=name, rejected=1, kept=KEPT))
    write_suppressions(connection, run.campaign.id, suppressed(9))
    accepted, unverified, refused, *others = run.claim(5)
    run.settle(accepted, good_reply(accepted, unsupported=[number(2)], sms_cost=101, balance_ugx=8_000))
    run.settle(unverified, good_reply(unverified, recipients_count=7))
    run.settle(refused, bad_reply(refused, 400, "The sender ID is not registered"))
    for call in others:
        run.settle(call, good_reply(call))
    report(connection, run.campaign, {1: Delivery.DELIVERED, 8: Delivery.FAILED})
    if finished:
        run.sender.finish(CampaignState.COMPLETE, None, NOON)
    return as_it_stands(connection, run.campaign)


def as_it_stands(connection: Connection, campaign: CampaignRow) -> CampaignRow:
    return next(row for row in editions(connection) if row.id == campaign.id)


def everything(store: Store, campaign: CampaignRow) -> dict[str, Any]:
    """What every reader says of the ledger."""
    ledger = Ledger(store)
    frames: dict[str, Any] = {"results": ledger.results(campaign)}
    for kept in (None, "client_id", "campaign"):
        books = reconciliation.read_books(store, kept=kept)
        frames |= {
            f"tally by {kept}": books.tally.sort(pl.all(), nulls_last=True),
            f"calls by {kept}": books.calls,
            f"networks by {kept}": reconciliation.by_network(books),
        }
    frames["balances"] = reconciliation.balance_chain(books)
    frames["pairs"] = ledger.sent_pairs("main", NOON - timedelta(days=1), other_than=("", "")).sort(pl.all())
    frames["late pairs"] = ledger.sent_pairs("main", LATER, other_than=("", ""))
    frames["summary"] = summary_of(ledger, campaign)
    return frames


def summary_of(ledger: Ledger, campaign: CampaignRow) -> CampaignSummary:
    """But for what is left to a person: of archived people no refused call is planned again."""
    told = summarize(ledger, campaign, command="mambo send")
    return replace(told, stop_reason=None, stop_detail=None, next_command=None)


def assert_same(now: dict[str, Any], before: dict[str, Any]) -> None:
    assert now.keys() == before.keys()
    for name, said in before.items():
        if isinstance(said, pl.DataFrame):
            assert_frame_equal(now[name], said, check_row_order=True)
        else:
            assert now[name] == said


def archived(store: Store, connection: Connection, campaign: CampaignRow, folder: Path) -> None:
    for _ in archive_edition(Ledger(store), connection, campaign, folder, who="grace", now=LATER):
        pass


def test_every_reader_says_the_same_of_an_archived_edition(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
    rows, before = rows_of(store, recipients), everything(store, campaign)
    assert {name: len(frame) for name, frame in before.items() if "pairs" in name} == {"pairs": 7, "late pairs": 0}

    archive(store, [campaign], tmp_path / "archive", who="grace", now=LATER)
    assert_same(everything(store, campaign), before)
    differing = {row["row"] for row in rows_of(store, recipient_exceptions)}
    assert {row["row"] for row in rows_of(store, recipients)} == differing, "whom settlement asks about, stays"
    file = tmp_path / "archive" / "campaign=clinic-day" / "edition=1" / "recipients.parquet"
    assert_frame_equal(pl.read_parquet(file, hive_partitioning=False), before["results"])
    assert pl.scan_parquet(tmp_path / "archive").select(pl.len()).collect().item() == 12, "one partitioned table"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    bring_people_back(store, "clinic-day", None, who="grace", now=LATER)
    assert rows_of(store, recipients) == rows
    assert rows_of(store, archives) == []
    assert not file.exists()
    assert_same(everything(store, campaign), before)


# --- refused ----------------------------------------------------------------------------------------------------------


def not_finished(connection: Connection) -> CampaignRow:
    return complete(connection, finished=False)


def never_sent(connection: Connection) -> CampaignRow:
    campaign = write_plan(connection, plan(1), who="tester")
    with connection.begin():
        connection.execute(update(campaigns).values(state=CampaignState.COMPLETE))
    return as_it_stands(connection, campaign)


def with_an_unknown_call(connection: Connection) -> CampaignRow:
    run = Run.of(connection, plan(1))
    run.settle(run.claim_one(), no_answer())
    run.sender.finish(CampaignState.COMPLETE, None, NOON)
    return as_it_stands(connection, run.campaign)


def half_erased(connection: Connection) -> CampaignRow:
    campaign = complete(connection)
    with connection.begin():
        connection.execute(update(campaigns).values(erased_at_us=to_us(LATER)))
    return as_it_stands(connection, campaign)


def whose_text_another_asks_for(connection: Connection) -> CampaignRow:
    campaign = complete(connection)
    write_plan(connection, plan(1, name="flour-day", edition="2"), who="tester")
    return campaign


REFUSED: dict[str, tuple[Callable[[Connection], CampaignRow], str]] = {
    "not finished": (not_finished, r"clinic-day/1: is sending\. Only what was sent and is finished"),
    "never sent": (never_sent, "is complete, and was never sent"),
    "an unknown call": (with_an_unknown_call, "of which nobody knows whether they were sent. Find out: mambo settle"),
    "half erased": (half_erased, "is being erased. End that first: mambo erase clinic-day --edition 1"),
    "another asks for it": (whose_text_another_asks_for, "flour-day/2 has a text of it and is not finished"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_archived(case: str, store: Store, tmp_path: Path) -> None:
    arrange, told = REFUSED[case]
    with store.writer() as connection:
        campaign = arrange(connection)
        with pytest.raises(InputError, match=told):
            archived(store, connection, campaign, tmp_path)
    found = archivable(store, "clinic-day", None, older_than_days=None, now=LATER)
    assert (found.editions, len(found.left)) == ((), 1)
    assert list(tmp_path.glob("campaign=*")) == []


def test_which_are_old_enough(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
    for days, chosen in ((199, [campaign]), (201, [])):
        found = archivable(store, None, None, older_than_days=days, now=LATER)
        assert list(found.editions) == chosen
    archive(store, [campaign], tmp_path, who="grace", now=LATER)
    assert archivable(store, "clinic-day", "1", older_than_days=None, now=LATER).editions == ()


def test_the_archive_of_another_ledger_is_not_replaced(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
        file = file_in(tmp_path, "clinic-day", "1")
        file.parent.mkdir(parents=True)
        pl.DataFrame({"row": [1]}).write_parquet(file)
        with pytest.raises(InputError, match="is the archive of another ledger's campaign of that name"):
            archived(store, connection, campaign, tmp_path)
    assert pl.read_parquet(file, hive_partitioning=False).height == 1


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_interrupted_at_any_commit_nothing_is_lost(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "ROWS_A_COMMIT", 5)
    monkeypatch.setattr("mambo_io.archives.ROWS_A_PIECE", 5)
    with store.writer() as connection:
        campaign = complete(connection)
        rows, before = rows_of(store, recipients), everything(store, campaign)
        for commits in (1, 2):
            steps = archive_edition(Ledger(store), connection, campaign, tmp_path, who="grace", now=LATER)
            for _ in range(commits):
                next(steps)
            steps.close()
            assert_same(everything(store, campaign), before)
            assert archivable(store, "clinic-day", None, older_than_days=None, now=LATER).editions == (campaign,)
        archived(store, connection, campaign, tmp_path)
        assert archivable(store, "clinic-day", None, older_than_days=None, now=LATER).editions == ()

        for commits in (1, 2):
            steps = bring_back(store, connection, campaign, who="grace", now=LATER)
            for _ in range(commits):
                next(steps)
            steps.close()
            assert_same(everything(store, campaign), before)
        for _ in bring_back(store, connection, campaign, who="grace", now=LATER):
            pass
        assert rows_of(store, recipients) == rows
        assert list(tmp_path.glob("**/*.parquet")) == []


def interrupted_before_the_file_went(store: Store, campaign: CampaignRow, folder: Path) -> Path:
    """Archived and brought back, but for the very end; the file."""
    with store.writer() as connection:
        archived(store, connection, campaign, folder)
        steps = bring_back(store, connection, campaign, who="grace", now=LATER)
        while rows_of(store, archives):
            next(steps)
        steps.close()
    file = file_in(folder, campaign.name, campaign.edition)
    assert file.exists()
    return file


def test_a_file_that_was_to_be_removed_goes_with_the_next_command(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)

    def bring_back_again() -> None:
        bring_people_back(store, "clinic-day", "1", who="grace", now=LATER)

    def erase_somebody() -> None:
        """Whose number stands nowhere: what the file holds does not matter."""
        assert file in forget(store, 256_701_234_567, who="grace", now=LATER)[1].removed

    def archive_elsewhere() -> None:
        archive(store, [campaign], tmp_path / "elsewhere", who="grace", now=LATER)
        bring_people_back(store, "clinic-day", "1", who="grace", now=LATER)

    def erase_what_is_old() -> None:
        chosen = choose_older(store, 180, LATER).editions
        assert file in erase_editions(store, chosen, who="grace", now=LATER).removed

    for end in (bring_back_again, erase_somebody, archive_elsewhere, erase_what_is_old):
        file = interrupted_before_the_file_went(store, campaign, tmp_path)
        end()
        assert list(file.parent.iterdir()) == [], end.__name__
        assert len(rows_of(store, ledger_meta)) == 1, "nothing is noted any more but the version"


def test_whose_file_it_is_and_whether_it_is_gone(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
    file = interrupted_before_the_file_went(store, campaign, tmp_path)
    folder, content = file.parent, file.read_bytes()
    file.write_bytes(b"the archive of another ledger")
    bring_people_back(store, "clinic-day", "1", who="grace", now=LATER)
    assert file.read_bytes() == b"the archive of another ledger"
    with pytest.raises(InputError, match="clinic-day/1: is not archived"):
        bring_people_back(store, "clinic-day", "1", who="grace", now=LATER)

    file.write_bytes(content)  # and taken, when it is archived now
    assert interrupted_before_the_file_went(store, campaign, tmp_path) == file
    folder.rename(tmp_path / "not mounted")
    with pytest.raises(InputError, match=r"and cannot be removed \(No such file or directory\)\. Mount its folder"):
        erase_editions(store, [campaign], who="grace", now=LATER)
    assert Ledger(store).get("clinic-day").erased_at is None
    (tmp_path / "not mounted").rename(folder)
    erase_editions(store, [campaign], who="grace", now=LATER)
    assert list(folder.iterdir()) == []


def test_a_file_that_is_gone_or_changed_is_told_and_figures_stay(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
        before = summary_of(Ledger(store), campaign)
        archived(store, connection, campaign, tmp_path / "archive")
    (tmp_path / "archive").rename(tmp_path / "elsewhere")
    ledger = Ledger(store)
    with pytest.raises(InputError, match=r"recipients\.parquet: the archive of this edition cannot be read \(No such"):
        ledger.results(campaign)
    assert summary_of(ledger, campaign) == before
    (tmp_path / "elsewhere").rename(tmp_path / "archive")
    file = file_in(tmp_path / "archive", "clinic-day", "1")
    pl.read_parquet(file, hive_partitioning=False).with_columns(charged_ugx=0).write_parquet(file)
    with pytest.raises(InputError, match=r"the archive of this edition was changed or damaged\. Put back, or mount"):
        reconciliation.read_books(store)


# --- what is decided about them ---------------------------------------------------------------------------------------


def test_nothing_is_decided_about_archived_people(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
        numbers = pl.Series([msisdn(row) for row in range(1, 12)])
        with store.reader() as reader:
            before = people_of(reader, "main", numbers)
        archived(store, connection, campaign, tmp_path)
        with pytest.raises(
            InputError, match=r"is archived\. Bring its people back first: mambo store bring-back clinic"
        ):
            retry_refused(connection, campaign, who="grace", now=LATER)
        with store.reader() as reader:
            after = people_of(reader, "main", numbers)
        assert after.sort("row").equals(before.with_columns(is_archived=True).sort("row")), (
            "so that a report on them is not taken for another's"
        )


def test_a_person_is_found_and_erased_in_an_archive_too(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
        with store.reader() as reader:
            before = held_about(reader, msisdn(8)).tables
        archived(store, connection, campaign, tmp_path)
    with store.reader() as reader:
        now = held_about(reader, msisdn(8)).tables
        for name, table in before.items():
            columns = [column for column in table.columns if column != "kept"]  # the same JSON, written otherwise
            assert_frame_equal(now[name].select(columns), table.select(columns))
    file = file_in(tmp_path, "clinic-day", "1")
    forgotten, overwritten = forget(store, msisdn(8), who="grace", now=LATER)
    assert (forgotten.rows, overwritten.removed[0]) == (1, file)
    assert not file.exists()
    with store.reader() as reader:
        assert held_about(reader, msisdn(8)).is_nothing
        assert not held_about(reader, msisdn(1)).is_nothing


def test_a_number_in_other_peoples_words_is_found_and_hidden_in_an_archive_too(store: Store, tmp_path: Path) -> None:
    """In kept columns of an accepted row and of one that stays in the ledger, and where there was no number."""
    stranger = 256_701_234_567
    with store.writer() as connection:
        campaign = complete(connection)
        said: dict[int, dict[str, str]] = {
            1: {"kept": '{"client_id":"0701-234 567 of Jane","campaign":"Gulu"}'},
            3: {"kept": '{"client_id":"1701234567","campaign":"Gulu"}'},  # another number has the same digits in it
            4: {"kept": '{"client_id":null,"campaign":"+256\\t701234567"}'},
            8: {"phone_raw": "0772000008/0701234567"},
            12: {"phone_raw": "0701234567;0772000001", "message": "Dear 0701 234 567, clinic day is Friday."},
        }
        with connection.begin():
            for row, values in said.items():
                connection.execute(update(recipients).where(recipients.c.row == row).values(values))
        with store.reader() as reader:
            before = held_about(reader, stranger).tables
        archived(store, connection, campaign, tmp_path)
    mentions = before["mentions"].select("place", "row", "text").rows()
    assert mentions == [
        ("cell", 8, "•••008/0701234567"),
        ("cell", 12, "0701234567;•••001"),
        *(("kept", 1, None), ("kept", 4, None), ("text", 12, None)),
    ]
    with store.reader() as reader:
        for name, table in held_about(reader, stranger).tables.items():
            assert_frame_equal(table, before[name])

    forgotten, overwritten = forget(store, stranger, who="grace", now=LATER)
    assert (forgotten.rows, forgotten.mentions) == (0, 5)
    assert overwritten.removed[0] == file_in(tmp_path, "clinic-day", "1")
    with store.reader() as reader:
        assert held_about(reader, stranger).is_nothing
        assert held_about(reader, msisdn(8)).tables["messages"]["phone_raw"].to_list() == ["0772000008/•••"]
    kept = {row["row"]: row["kept"] for row in rows_of(store, recipients)}
    assert kept[1] == '{"client_id":"••• of Jane","campaign":"Gulu"}'
    assert kept[3] == '{"client_id":"1701234567","campaign":"Gulu"}'


def test_nobody_is_erased_from_the_ledger_alone_while_a_file_has_them(store: Store, tmp_path: Path) -> None:
    """Row 4 stands in both, because it is unverified; and a file that still has an erased person is not taken again."""
    file, stranger = file_in(tmp_path, "clinic-day", "1"), 256_701_234_567
    with store.writer() as connection:
        campaign = complete(connection)
        with connection.begin():
            kept = '{"client_id":"0701234567"}'
            connection.execute(update(recipients).where(recipients.c.row == 4).values(kept=kept))
        archived(store, connection, campaign, tmp_path)
        copy = file.read_bytes()
        for person in (msisdn(4), stranger):
            with pytest.raises(InputError, match=r"clinic-day/1: is archived\. Bring its people back first"):
                erase_person(connection, person, who="grace", now=LATER)
        for _ in bring_back(store, connection, campaign, who="grace", now=LATER):
            pass
        erase_person(connection, stranger, who="grace", now=LATER)
        last = rows_of(store, events)[-1]
        assert (last["campaign_id"], last["kind"]) == (campaign.id, "person_erased"), "an archive in the making sees it"
        erase_person(connection, msisdn(4), who="grace", now=LATER)
        file.write_bytes(copy)
        with pytest.raises(InputError, match="is the archive of another ledger's campaign of that name"):
            archived(store, connection, campaign, tmp_path)


def test_an_archived_edition_is_erased_with_its_file(store: Store, tmp_path: Path) -> None:
    with store.writer() as connection:
        campaign = complete(connection)
        archived(store, connection, campaign, tmp_path)
    tally = reconciliation.read_books(store).tally
    file = file_in(tmp_path, "clinic-day", "1")
    assert erase_editions(store, [campaign], who="grace", now=LATER).removed[0] == file
    assert not file.exists()
    assert_frame_equal(reconciliation.read_books(store).tally, tally, check_row_order=False)
    with store.reader() as connection:
        assert archive_of(connection, campaign.id) is None
        assert connection.scalars(select(recipients.c.msisdn)).all() == [None] * 12
    with store.writer() as connection:  # what is erased may be archived
        check_archivable(connection, as_it_stands(connection, campaign))
