"""A command for MAMBO_ON_PROBLEM that keeps what it is told, and what it sees of its environment."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pager:
    """Writes into `folder`."""

    folder: Path

    @property
    def command(self) -> str:
        told, environment = (shlex.quote(str(self.folder / name)) for name in ("told.jsonl", "environment.txt"))
        # One write for each, so that two at the same time do not mix.
        return shlex.join(["sh", "-c", f'said=$(cat); printf "%s\\n" "$said" >> {told}; env > {environment}'])

    def told(self) -> list[dict[str, Any]]:
        """The problems, the oldest first."""
        file = self.folder / "told.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def environment(self) -> set[str]:
        """The names of the variables that it saw last."""
        lines = (self.folder / "environment.txt").read_text("utf-8").splitlines()
        return {line.partition("=")[0] for line in lines}
