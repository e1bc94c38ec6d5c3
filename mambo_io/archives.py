"""Archived campaign editions: their people stand in a Parquet file of a folder, and no longer in the ledger.

`FOLDER/campaign=NAME/edition=EDITION/recipients.parquet` holds the results table as it was, one row per recipient: what
many programs read as one partitioned table. The ledger remembers where it lies, and keeps all that money needs: calls,
what was charged, and the recipients that differ from their call, by whom a settlement knows which networks are reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import Connection, select

from mambo_io.errors import InputError
from mambo_io.tables import archives

if TYPE_CHECKING:  # it takes longer to load than most commands take
    import polars as pl

ROWS_A_PIECE = 50_000


@dataclass(frozen=True, slots=True)
class Archive:
    """Where the people of an edition are. `digest` is the SHA-256 of the file's bytes."""

    file: Path
    rows: int
    digest: str
    rejected: dict[str, int]  # rows by reason, the most frequent first
    left_out: dict[str, int]  # UGX estimated of those who were left out after the plan, by reason

    def table(self) -> pl.LazyFrame:
        """The results table of the edition. Raises `InputError` when the file is not there, or is not as it was."""
        import polars as pl

        fix = "Put back, or mount, the folder as it was; the ledger itself holds calls and money only."
        try:
            digest = digest_of(self.file)
        except OSError as error:
            problem = f"the archive of this edition cannot be read ({error.strerror})"
            raise InputError(problem, file=self.file, fix=fix) from None
        if digest != self.digest:
            raise InputError("the archive of this edition was changed or damaged", file=self.file, fix=fix)
        return pl.scan_parquet(self.file, glob=False, hive_partitioning=False)

    def pieces(self) -> Generator[pl.DataFrame]:
        """The same piece by piece, in the order of its rows."""
        table = self.table()
        for start in range(0, self.rows, ROWS_A_PIECE):
            yield table.slice(start, ROWS_A_PIECE).collect()


def archive_of(connection: Connection, campaign_id: int) -> Archive | None:
    """Where the people of a campaign edition are archived; None when they stand in the ledger."""
    a = archives.c
    row = connection.execute(select(archives).where(a.campaign_id == campaign_id)).one_or_none()
    if row is None:
        return None
    return Archive(Path(row.file), row.rows, row.digest, json.loads(row.rejected), json.loads(row.left_out))


def check_not_archived(connection: Connection, campaign_id: int, label: str) -> None:
    """Raise `InputError` when the people of the edition `label` are archived: nothing can be decided about them."""
    if archive_of(connection, campaign_id) is not None:
        name, edition = label.split("/", 1)
        fix = f"Bring its people back first: mambo store bring-back {name} --edition {edition} --by NAME."
        raise InputError("is archived", file=label, fix=fix)


def file_in(folder: Path, name: str, edition: str) -> Path:
    return folder / f"campaign={quote(name, safe='')}" / f"edition={quote(edition, safe='')}" / "recipients.parquet"


def digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
