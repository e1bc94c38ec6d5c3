"""What a message costs by the tariff: whole Uganda shillings for one segment, times the segments of one message."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl


def price_messages(
    frame: pl.DataFrame, *, ugx_per_segment: int, by_network: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """Add `estimated_ugx` (Int64): segments x price of one segment; null where there are no segments.

    In: `segments` (Int64), `network_guess` (String). A network that `by_network` names has its own price; names are
    compared without regard to letter case.
    """
    prices = {network.lower(): price for network, price in (by_network or {}).items()}
    price = pl.lit(ugx_per_segment, pl.Int64)
    if prices:
        network = pl.col("network_guess").cast(pl.String).str.to_lowercase()
        price = network.replace_strict(prices, default=ugx_per_segment, return_dtype=pl.Int64)
    return frame.with_columns((pl.col("segments").cast(pl.Int64) * price).alias("estimated_ugx"))
