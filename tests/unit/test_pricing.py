"""What a message costs: segments times the price of one, which a network may have of its own."""

from __future__ import annotations

import polars as pl
import pytest

from pipelines.pricing import price_messages

FRAME = pl.DataFrame(
    {
        "segments": [1, 3, 2, 1, None],
        "network_guess": ["MTN", "MTN", "LycaMobile", None, "MTN"],
    }
)


@pytest.mark.parametrize(
    ("by_network", "prices"),
    [
        pytest.param(None, [50, 150, 100, 50, None], id="one price for all"),
        pytest.param({}, [50, 150, 100, 50, None], id="no network has its own"),
        pytest.param({"MTN": 35}, [35, 105, 100, 50, None], id="one network"),
        pytest.param({"mtn": 35, "Lycamobile": 60}, [35, 105, 120, 50, None], id="letter case does not matter"),
        pytest.param({"UTL": 1}, [50, 150, 100, 50, None], id="a network that nobody is on"),
    ],
)
def test_prices(by_network: dict[str, int] | None, prices: list[int | None]) -> None:
    frame = price_messages(FRAME, ugx_per_segment=50, by_network=by_network)

    assert frame.columns == [*FRAME.columns, "estimated_ugx"]
    assert frame.schema["estimated_ugx"] == pl.Int64
    assert frame["estimated_ugx"].to_list() == prices


def test_an_empty_frame_has_the_column_too() -> None:
    frame = price_messages(FRAME.clear(), ugx_per_segment=50, by_network={"MTN": 35})

    assert frame.height == 0
    assert frame.schema["estimated_ugx"] == pl.Int64


def test_prices_stay_whole_numbers_however_large() -> None:
    frame = pl.DataFrame({"segments": [255], "network_guess": ["MTN"]})

    assert price_messages(frame, ugx_per_segment=10**12)["estimated_ugx"].to_list() == [255 * 10**12]
