"""Bulk SMS in Uganda over the Mambo SMS API: prepare, send, settle, report.

For notebooks: `results(name)` gives a campaign's results table as a polars frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__version__ = "0.1.0"
__all__ = ["__version__", "results"]


def results(name: str, edition: str | None = None, *, store: str | None = None) -> pl.DataFrame:
    """The results table of a campaign edition (None: the newest), one row per row of the recipients file, in its order.

    `store` is a ledger file or a PostgreSQL URL (None: MAMBO_STORE, or the default file). Columns: campaign, edition
    (String), row (Int64), phone_raw, e164, network_guess, outcome, reason, message, encoding (String), segments,
    estimated_ugx, charged_ugx, chunk, attempt (Int64), sent_at (Datetime, Africa/Kampala), delivery (String), then the
    kept columns (String). `reason` is null only for accepted, planned and in flight; `charged_ugx` is null while
    unknown. `delivery` is what an imported export of delivery reports says (delivered, failed, pending), not_reported
    for whom none names, and null for everybody whom the API did not accept. Of who was erased, phone_raw, e164,
    message and the kept columns are null.

    Raises `InputError` for a name or edition that is not there, `StoreError` for a store that cannot be read.
    """
    from mambo_io.ledger import Ledger
    from mambo_io.settings import load_settings
    from mambo_io.store import Store

    with Store(load_settings(store=store).store.get_secret_value()) as opened:
        ledger = Ledger(opened)
        return ledger.results(ledger.get(name, edition))
