"""The table at the end of `make bench`: what was measured, against what, what was to be reached, what was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def table_row(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Adds a row to the table: `table_row(what, against, reached="0.80", wanted="at least 0.8")`."""

    def add(what: str, against: str, *, reached: str, wanted: str) -> None:
        record_property("bench", (what, against, wanted, reached))

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "bench"
    ]
    if rows:
        terminalreporter.section("measured")
        lines = [("what", "against", "wanted", "reached"), *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            terminalreporter.line("  ".join(cells).rstrip())
