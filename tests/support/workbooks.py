"""Reading a workbook that was written, in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook


def columns_of(file: Path) -> dict[str, list[Any]]:
    """The columns of its first sheet by their headers; an empty cell is an empty text."""
    header, *rows = CalamineWorkbook.from_path(file).get_sheet_by_index(0).to_python()
    return {str(name): [row[place] for row in rows] for place, name in enumerate(header)}
