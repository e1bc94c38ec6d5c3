"""`write_report`: what a ledger says of people and money, as a page, a workbook or a flat table.

The figures are those of `pipelines.reconciliation`; nothing is counted here a second time.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mambo_io.store import Store
from pipelines.reconciliation import Books

__all__ = ["write_report"]


def write_report(
    books: Books,
    path: Path | str,
    *,
    store: Store,
    full_numbers: bool = False,
    made_at: datetime | None = None,
) -> None:
    """Write the report on `books`, which were read from `store`, as the ending of `path` says.

    `.html`: one page that needs no network. `.xlsx`: a workbook with the sums, the calls, and everybody who was not
    accepted. `.csv` and `.parquet`: everybody, one row for each row of the recipients files. An existing file is
    replaced at once, when all of the new one is written. Telephone numbers are masked (`+256772•••456`), unless
    `full_numbers`. `made_at` is an aware time (None: now).

    Raises `InputError` for another ending, a missing folder, a full disk, and for a page when the extra `reports` is
    not installed.
    """
    raise NotImplementedError
