"""The page for the person on call names every reason for which a campaign stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambo_io.model import StopReason
from pipelines.summary import UNKNOWN_CALLS, stop_text

PAGE = (Path(__file__).parents[2] / "docs" / "on-call.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", [*StopReason, UNKNOWN_CALLS, "resolved"])
def test_every_stop_reason_has_its_row_and_its_words(reason: str) -> None:
    assert f"| `{reason}` |" in PAGE
    assert stop_text(reason) != reason, "a person is told more than the code"
