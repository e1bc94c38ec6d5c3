"""`write_report`: what a ledger says of people and money, as a page, a workbook or a flat table.

The figures are those of `pipelines.reconciliation`; nothing is counted here a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mambo_io.datasets import write_dataset
from mambo_io.datasets.replacing import replacing
from mambo_io.errors import InputError
from mambo_io.store import Store
from pipelines.reconciliation import Books
from pipelines.report import people, workbook

__all__ = ["write_report"]

MOST_ON_A_PAGE = 300  # people who need to be looked after
_EXTRA = ("altair", "jinja2", "markupsafe", "vl_convert")


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
    path = Path(path)
    made_at = made_at or datetime.now(UTC)
    match path.suffix.lower():
        case ".html":
            render = _page()
            found = people.exceptions(books, store, full_numbers=full_numbers, most=MOST_ON_A_PAGE)
            with replacing(path) as unfinished:
                unfinished.write_text(render(books, found, full_numbers=full_numbers, made_at=made_at), "utf-8")
        case ".xlsx":
            most = workbook.MOST_EXCEPTIONS
            found = people.exceptions(books, store, full_numbers=full_numbers, most=most)
            with replacing(path) as unfinished:
                workbook.write_workbook(
                    books, found, unfinished, named=path, full_numbers=full_numbers, made_at=made_at
                )
        case ".csv" | ".parquet":
            write_dataset(people.people(books, store, full_numbers=full_numbers), path)
        case ending:
            problem = f"reports that end in {ending!r} are not written" if ending else "the file's name has no ending"
            raise InputError(problem, file=path, fix="These endings are: .html, .xlsx, .csv, .parquet.")


def _page() -> Callable[..., str]:
    """What makes a page: with packages that not everybody has installed."""
    try:
        from pipelines.report.page import page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        missing = error.name
    else:
        return page
    raise InputError(
        f"a page with charts needs a package that is not installed: {missing}",
        fix="pip install 'mambo-pipelines[reports]'; .xlsx, .csv and .parquet do without.",
    )
