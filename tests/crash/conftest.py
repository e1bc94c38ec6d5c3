"""The figures of the crash tests, at the end of the run: `record_property("crash", …)` makes a line."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = (report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome))
    lines = [value for report in reports for name, value in report.user_properties if name == "crash"]
    if lines:
        terminalreporter.section("kills")
        for line in lines:
            terminalreporter.line(str(line))
