"""Where the example campaigns lie: beside this file in an installed wheel, in `data/` in a checkout."""

from __future__ import annotations

from pathlib import Path


def example_folder() -> Path:
    installed = Path(__file__).parent / "data"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "data"
