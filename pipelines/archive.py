"""Which campaign editions are archived, and carrying it out: people leave the ledger for Parquet, and come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mambo_io.archives import archive_of
from mambo_io.archiving import archive_edition, bring_back, check_archivable, is_half_archived, no_imports
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.store import Store


@dataclass(frozen=True, slots=True)
class Archivable:
    """Campaign editions to archive, and of others why they cannot be."""

    editions: tuple[CampaignRow, ...]
    left: tuple[str, ...] = ()


def archivable(
    store: Store, name: str | None, edition: str | None, *, older_than_days: int | None, now: datetime
) -> Archivable:
    """The editions of a campaign (or one of them), or all that ended so many days ago; those already archived are not
    named, unless that was interrupted. Raises `InputError` when there is no campaign of that name.
    """
    ledger = Ledger(store)
    if name is not None:
        ledger.get(name, edition)
    editions: list[CampaignRow] = []
    left: list[str] = []
    with store.writer() as connection:
        for row in ledger.campaigns():
            if name not in (None, row.name) or edition not in (None, row.edition):
                continue
            if older_than_days is not None and (row.ended_at or now) > now - timedelta(days=older_than_days):
                continue
            with connection.begin():
                archived = archive_of(connection, row.id) is not None
            if archived:
                if is_half_archived(connection, row):
                    editions.append(row)
                continue
            try:
                check_archivable(connection, row)
            except InputError as obstacle:
                left.append(obstacle.message)
            else:
                editions.append(row)
    return Archivable(tuple(editions), tuple(left))


def archive(
    store: Store,
    rows: Sequence[CampaignRow],
    folder: Path,
    *,
    who: str,
    now: datetime,
    on_progress: Callable[[CampaignRow, int], None] = lambda *_: None,
) -> None:
    """Archive the people of these editions below `folder`. Raises what `archive_edition` raises, and `StoreBusy`."""
    for row in rows:
        with store.locked_writer(row.label) as connection, no_imports(store, connection):
            for done in archive_edition(Ledger(store), connection, row, folder, who=who, now=now):
                on_progress(row, done)


def bring_people_back(
    store: Store,
    name: str,
    edition: str | None,
    *,
    who: str,
    now: datetime,
    on_progress: Callable[[int], None] = lambda _: None,
) -> CampaignRow:
    """Put the people of an archived edition (None: the newest) into the ledger again, and remove the file."""
    row = Ledger(store).get(name, edition)
    with store.locked_writer(row.label) as connection, no_imports(store, connection):
        for done in bring_back(store, connection, row, who=who, now=now):
            on_progress(done)
    return row
