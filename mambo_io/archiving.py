"""Moving the people of finished campaign editions out of the ledger into Parquet, and back.

The file is written whole under another name, given its own, read back and compared with the ledger; then one commit
says where it is, and from that moment every reader reads the file; then the rows go, commit by commit. Whatever is
killed in between loses nothing, and the same once more ends it. Bringing back is the same way round: the rows first,
commit by commit, then the one commit, then the file goes. A file that the ledger does not read, not yet or no longer,
stands in a note (`mambo_io.leftovers`). The caller holds the edition's lock, and that of imports of delivery reports.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, insert, select

from mambo_io import statements
from mambo_io.archives import Archive, archive_of, digest_of, file_in
from mambo_io.bulk import insert_rows
from mambo_io.datasets import write_dataset
from mambo_io.errors import InputError, StoreError
from mambo_io.event_log import add_event
from mambo_io.ledger import CampaignRow, Ledger, campaign_row, to_us, totals_of
from mambo_io.leftovers import Leftover, add_note, delete_note, remove_leftover, set_digest
from mambo_io.model import FINAL_STATES, ChunkState, Outcome
from mambo_io.result_rows import Edition, result_pieces
from mambo_io.store import Store, StoreBusy
from mambo_io.tables import archives, campaigns, chunks, events, recipient_exceptions, recipients

ROWS_A_COMMIT = 50_000  # so that a sender beside us never waits long
OnProgress = Callable[[str, int], None]  # what is done, of how many recipients


@contextmanager
def no_imports(store: Store, connection: Connection) -> Iterator[None]:
    """While it lasts nobody imports delivery reports. Raises `StoreBusy` while somebody does."""
    with ExitStack() as held:
        try:
            held.enter_context(store.lock("deliveries", connection))
        except StoreBusy as busy:
            problem = f"delivery reports are imported, or people archived, just now{busy.holder}"
            raise StoreBusy(problem, fix="Wait until that ends.") from None
        yield


def check_archivable(connection: Connection, campaign: CampaignRow) -> None:
    """Raise `InputError` when something may still be decided about the people of the edition."""
    label, name = campaign.label, f"{campaign.name} --edition {campaign.edition}"
    if campaign.state not in FINAL_STATES or not campaign.begun:
        problem = f"is {campaign.state.value.replace('_', ' ')}" + ("" if campaign.begun else ", and was never sent")
        raise InputError(problem, file=label, fix="Only what was sent and is finished is archived.")
    open_states = (ChunkState.UNKNOWN, ChunkState.IN_FLIGHT, ChunkState.PLANNED)
    if _finds(connection, chunks.c.campaign_id == campaign.id, chunks.c.state.in_(open_states)):
        fix = f"Find out: mambo settle {name}; or say so: mambo resolve."
        raise InputError("has API calls of which nobody knows whether they were sent", file=label, fix=fix)
    its_end = and_(events.c.campaign_id == campaign.id, events.c.kind == "erased")
    if campaign.erased_at is not None and not _finds(connection, its_end):
        raise InputError("is being erased", file=label, fix=f"End that first: mambo erase {name} --by NAME.")
    with connection.begin():
        _check_nobody_asks(connection, campaign)


def archive_edition(
    ledger: Ledger, connection: Connection, campaign: CampaignRow, folder: Path, *, who: str, now: datetime
) -> Generator[int]:
    """Archive the people of the edition below `folder`; gives how many have left the ledger so far.

    Raises `InputError` as `check_archivable` does, and for a folder that cannot be written or holds another archive of
    that name; `StoreError` when the file does not hold what was written to it. Nothing is changed then.
    """
    if _archive(connection, campaign) is None:
        check_archivable(connection, campaign)
        remove_leftover(connection, campaign.id)
        file = file_in(folder.absolute(), campaign.name, campaign.edition)
        _make_folders(file.parent)
        with connection.begin():
            note = add_note(connection, campaign.id, file, None)
        try:
            _archive_in(ledger, connection, campaign, note, who, now)
        except (InputError, StoreError):
            remove_leftover(connection, campaign.id)
            raise
    done = 0
    for some in _ranges(connection, campaign):
        with connection.begin():
            done += connection.execute(delete(recipients).where(some, ~_differs())).rowcount
        yield done


def _archive_in(
    ledger: Ledger, connection: Connection, campaign: CampaignRow, note: Leftover, who: str, now: datetime
) -> None:
    """Write the file, and let every reader read it from then on."""
    rejected, left_out = ledger.rejected(campaign), ledger.left_out(campaign)
    written, erased = _write(ledger.store, campaign, note)
    digest = digest_of(written)
    if written != note.file:
        with connection.begin():
            set_digest(connection, campaign.id, note, digest)
        written.replace(note.file)
        note.aside.rmdir()
    with connection.begin():
        connection.execute(select(campaigns.c.id).where(campaigns.c.id == campaign.id).with_for_update())
        if connection.scalar(_persons_erased(campaign)) != erased:
            fix = "Nothing was archived. Try again."
            raise StoreError("somebody was erased from it meanwhile", file=campaign.label, fix=fix)
        # Once more, and locked: an edition may have been planned, or its refused calls planned again, meanwhile. It
        # takes this lock before it is sent (`mambo_io.repeats`).
        connection.execute(statements.ACCOUNT, {"the_account": campaign.account})
        _check_nobody_asks(connection, campaign)
        values = {
            "campaign_id": campaign.id,
            "file": str(note.file),
            "rows": campaign.rows,
            "digest": digest,
            "archived_at_us": to_us(now),
            "rejected": json.dumps(rejected),
            "left_out": json.dumps(left_out),
        }
        connection.execute(insert(archives), values)
        delete_note(connection, campaign.id)
        add_event(connection, campaign, "archived", f"{campaign.rows} recipients", who, now)


def is_half_archived(connection: Connection, campaign: CampaignRow) -> bool:
    """Whether the edition is archived, and rows are left in the ledger that should have gone: it was interrupted."""
    its_row = recipients.c.campaign_id == campaign.id
    return _archive(connection, campaign) is not None and _finds(connection, its_row, ~_differs())


def bring_back(
    store: Store, connection: Connection, campaign: CampaignRow, *, who: str, now: datetime
) -> Generator[int]:
    """Put the people of an archived edition into the ledger again; gives how many rows are there so far.

    Then the file is overwritten and removed, also that of an earlier time that was interrupted there. Raises
    `InputError` when there is none, or it is not there, not as it was, or cannot be removed; `StoreError` when the
    ledger would not say what the file says.
    """
    archive = _archive(connection, campaign)
    if archive is None:
        if remove_leftover(connection, campaign.id) is None:
            raise InputError("is not archived", file=campaign.label)
        return
    done = 0
    with closing(archive.pieces()) as pieces:
        for piece in pieces:
            rows = _raw(piece, campaign)
            first, last = piece["row"][0], piece["row"][-1]
            r = recipients.c
            there = select(r.row).where(r.campaign_id == campaign.id, r.row >= first, r.row <= last)
            with connection.begin():
                present = connection.scalars(there).all()
                insert_rows(connection, recipients, rows.filter(~pl.col("row").is_in(present)))
            done += piece.height
            yield done
    with store.reader() as reader, reader.begin():
        if _digest(result_pieces(reader, _edition(campaign))) != _digest(archive.pieces()):
            raise StoreError("the ledger would not say what the archive says", file=archive.file)
    with connection.begin():
        connection.execute(delete(archives).where(archives.c.campaign_id == campaign.id))
        add_note(connection, campaign.id, archive.file, archive.digest)
        add_event(connection, campaign, "brought_back", f"{campaign.rows} recipients", who, now)
    yield done
    remove_leftover(connection, campaign.id)


def _write(store: Store, campaign: CampaignRow, note: Leftover) -> tuple[Path, int]:
    """Write the results beside the file, read them back, and compare: rows, a digest of each, people by outcome.

    Returns where they are, and how often somebody had been erased from the edition by then.
    """
    outcomes: Counter[str] = Counter()

    def counted(pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            outcomes.update(dict(piece["outcome"].value_counts().iter_rows()))
            yield piece

    with store.reader() as connection, connection.begin():  # a writer's transaction would hold up every sender
        erased = connection.scalar(_persons_erased(campaign)) or 0
        totals = totals_of(connection, campaign)
        expected = _digest(counted(result_pieces(connection, _edition(campaign))))
        people = {Outcome(outcome): rows for outcome, rows in outcomes.items()}
        if people != totals.outcomes:
            raise StoreError("the results do not add up to the calls", file=campaign.label, fix="Nothing was archived.")
        if note.file.exists():
            if _digest(_pieces_of(note.file)) == expected:  # of this ledger, which is a backup that was restored
                return note.file, erased
            fix = "Name another folder. Nothing was archived."
            raise InputError("is the archive of another ledger's campaign of that name", file=note.file, fix=fix)
        file = note.aside / note.file.name
        _make_folders(note.aside)
        write_dataset(result_pieces(connection, _edition(campaign)), file)
        file.chmod(0o600)  # numbers stand in it
    if _digest(_pieces_of(file)) != expected:
        raise StoreError("does not hold what was written to it", file=note.file, fix="Nothing was archived. Try again.")
    return file, erased


def _persons_erased(campaign: CampaignRow) -> Select[tuple[int]]:
    e = events.c
    return select(func.count()).select_from(events).where(e.campaign_id == campaign.id, e.kind == "person_erased")


def _make_folders(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder cannot be made ({error.strerror})", file=folder) from None


def _pieces_of(file: Path) -> Iterator[pl.DataFrame]:
    try:
        table = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        for start in range(0, table.select(pl.len()).collect().item(), ROWS_A_COMMIT):
            yield table.slice(start, ROWS_A_COMMIT).collect()
    except pl.exceptions.PolarsError:
        raise InputError("is no Parquet file that can be read", file=file, fix="Name another folder.") from None


def _digest(pieces: Iterator[pl.DataFrame]) -> tuple[int, int]:
    """How many rows, and the sum of a hash of each. Comparable within one process, and no longer."""
    rows = digest = 0
    for piece in pieces:
        rows += piece.height
        digest = (digest + int(piece.hash_rows(seed=0).sum())) % 2**64
    return rows, digest


def _raw(results: pl.DataFrame, campaign: CampaignRow) -> pl.DataFrame:
    """Results as the rows of `recipients` that they were read from."""
    is_rejected = pl.col("outcome") == Outcome.REJECTED.value
    names = results.columns[results.width - len(campaign.kept_columns) :] if campaign.kept_columns else []
    named = [pl.col(name).alias(own) for name, own in zip(names, campaign.kept_columns, strict=True)]
    return results.select(
        pl.lit(campaign.id, pl.Int64).alias("campaign_id"),
        "row",
        "phone_raw",
        pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias("msisdn"),
        "network_guess",
        pl.when(is_rejected).then("reason").alias("reason"),
        "chunk",
        pl.when(is_rejected).then("message").alias("message"),
        pl.when(is_rejected).then("encoding").alias("encoding"),
        "segments",
        "estimated_ugx",
        (pl.struct(named).struct.json_encode() if named else pl.lit(None, pl.String)).alias("kept"),
    )


def _check_nobody_asks(connection: Connection, campaign: CampaignRow) -> None:
    """Raise `InputError` when an edition of the account is not finished and has a text of this one: its repeat guard
    asks who was sent that. In the open transaction."""
    other, own = chunks.alias("other"), chunks.alias("own")
    in_common = (
        select(other.c.campaign_id)
        .join(own, and_(own.c.text_key == other.c.text_key, own.c.campaign_id == campaign.id, own.c.text_key != 0))
        .where(other.c.campaign_id == campaigns.c.id)
    )
    query = (
        select(campaigns)
        .where(campaigns.c.account == campaign.account, campaigns.c.id != campaign.id)
        .where(campaigns.c.state.not_in(FINAL_STATES), exists(in_common))
        .order_by(campaigns.c.id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is not None:
        asking = campaign_row(row).label
        problem = f"{asking} has a text of it and is not finished: it still asks who was sent that"
        raise InputError(problem, file=campaign.label, fix=f"Let {asking} end first, or cancel it.")


def _differs() -> ColumnElement[bool]:
    """Whether a recipient has an exception: such rows stay, because settlement and sums ask them."""
    x = recipient_exceptions.c
    return exists().where(x.campaign_id == recipients.c.campaign_id, x.row == recipients.c.row)


def _ranges(connection: Connection, campaign: CampaignRow) -> Iterator[ColumnElement[bool]]:
    r = recipients.c
    its = r.campaign_id == campaign.id
    with connection.begin():
        # One by one, because SQLite reads all rows for both.
        first, last = (connection.scalar(select(bound(r.row)).where(its)) for bound in (func.min, func.max))
    if first is not None and last is not None:
        for start in range(first, last + 1, ROWS_A_COMMIT):
            yield and_(its, r.row >= start, r.row < start + ROWS_A_COMMIT)


def _edition(campaign: CampaignRow) -> Edition:
    return Edition(campaign.id, campaign.name, campaign.edition, campaign.kept_columns)


def _archive(connection: Connection, campaign: CampaignRow) -> Archive | None:
    with connection.begin():
        return archive_of(connection, campaign.id)


def _finds(connection: Connection, *conditions: ColumnElement[bool]) -> bool:
    with connection.begin():
        return bool(connection.scalar(select(exists().where(*conditions))))
