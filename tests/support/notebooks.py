"""A notebook run in the tests' own process: what its cells show, and what they define."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import polars as pl

from support.environment import REPOSITORY

NOTEBOOKS = sorted(path.stem for path in (REPOSITORY / "notebooks").glob("*.py"))


@dataclass(frozen=True)
class Shown:
    """What a notebook's cells show (HTML and JSON) and define."""

    text: str
    defined: Mapping[str, Any]

    def frame(self, name: str) -> pl.DataFrame:
        frame = self.defined[name]
        assert isinstance(frame, pl.DataFrame)
        return frame


def shown(name: str, **widgets: object) -> Shown:
    """Run a notebook; each of `widgets` has this value instead of the one it starts with.

    What a reader does with a widget stands for itself: a definition of the cell that holds the widget is put in its
    place. An error in a cell is raised.
    """
    app = runpy.run_path(str(REPOSITORY / "notebooks" / f"{name}.py"))["app"]
    outputs, defined = app.run(defs={name: SimpleNamespace(value=value) for name, value in widgets.items()})
    texts = (json.dumps(as_mime(output), default=str) for output in outputs if output is not None)
    return Shown("\n".join(texts), defined)


def as_mime(output: Any) -> Any:
    """A chart as its specification, with its data; everything else as HTML."""
    return output.to_dict() if hasattr(output, "to_dict") else getattr(output, "text", str(output))
