"""`mambo` run inside the tests' own process: as quick as a function call, and its output as a person would see it.

`tests/e2e/conftest.py` has the fixture `cli`. What a process is about (signals, pipes, terminals) is tested with
`support.processes`.
"""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mambo_io.sandbox import SandboxHandle
from pipelines.cli import run

# Four rows: three people who can be messaged, and one whose number holds a letter O.
PEOPLE = (
    "phone,first_name,day\n0772123456,Jane,Friday\n0701234567,,Monday\nO772123457,Bob,Friday\n0752123458,Amos,Friday\n"
)
SENDABLE = 3

_CAMPAIGN: dict[str, Any] = {
    "name": "clinic-day",
    "sender_id": "MamboSMS",
    "category": "customised",
    "message": "Clinic day is Friday.",
    "recipients": {"path": "people.csv"},
    "sending": {"window": "any", "calls_per_second": 0},
}

_FULL_NUMBER = re.compile(r"(?<!\w)\d{9,}(?!\w)")


def campaign_toml(**changes: Any) -> str:
    """A campaign file; a dictionary changes keys of a section, None takes a key or section out."""
    merged = dict(_CAMPAIGN)
    for key, value in changes.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    top = [f"{key} = {_toml(value)}" for key, value in merged.items() if not isinstance(value, dict | None)]
    for name, section in merged.items():
        if isinstance(section, dict):
            top += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items() if value is not None)]
    return "\n".join(top) + "\n"


def numbers_of(count: int) -> str:
    """A list of `count` people, one a line below the header."""
    return "phone\n" + "".join(f"07721{number:05}\n" for number in range(count))


@dataclass(frozen=True, slots=True)
class Said:
    """What a run of `mambo` left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of standard output, which a program reads."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def next_command(self) -> list[str]:
        """The command that the run says comes next, without `mambo`."""
        (line,) = [line for line in self.out.splitlines() if line.startswith("Next: ")]
        return shlex.split(line.removeprefix("Next: "))[1:]

    def pairs(self) -> dict[str, str]:
        """The lines of two columns: `{"accepted": "3", "Charged": "UGX 150"}`."""
        found = re.findall(r"^ *(\S(?:.*?\S)?) {2,}(\S.*?)$", self.out, re.MULTILINE)
        return dict(found)


class Cli:
    """Runs `mambo` in `folder`, with a ledger beside the campaign files. No run shows a full number or a traceback."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch, self._capfd = monkeypatch, capfd
        self.set(STORE=str(folder / "ledger.db"))

    def set(self, **variables: str | None) -> None:
        """Set `MAMBO_…` variables; None takes one out."""
        for name, value in variables.items():
            if value is None:
                self._monkeypatch.delenv(f"MAMBO_{name}", raising=False)
            else:
                self._monkeypatch.setenv(f"MAMBO_{name}", value)

    def use(self, api: SandboxHandle) -> None:
        self.set(BASE_URL=api.url, API_KEY=api.api_key, USERNAME=api.username, PASSWORD=api.password)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def campaign(self, people: str = PEOPLE, **changes: Any) -> None:
        """`clinic-day.toml` over `people.csv`, in the current folder."""
        self.write("people.csv", people)
        self.write("clinic-day.toml", campaign_toml(**changes))

    def __call__(self, *arguments: str | Path) -> Said:
        self._capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = self._capfd.readouterr()
        said = Said(code, captured.out, captured.err)
        assert "Traceback" not in said.err, said.err
        if arguments[:1] != ("check",):  # which repeats what was typed
            assert not _FULL_NUMBER.search(said.out + said.err), said
        return said

    def refused(self, *arguments: str | Path) -> str:
        """The one line of a run that was refused: exit code 2, nothing changed, no number and no secret in it."""
        before = self.listing()
        said = self(*arguments)
        assert said.code == 2, said
        assert said.err.startswith("mambo: ")
        assert said.err.count("\n") == 1, said.err
        assert said.err.endswith("\n")
        assert "secret" not in said.out + said.err, said
        assert self.listing() == before
        return said.err.removeprefix("mambo: ").rstrip("\n").replace(f"{self.folder}/", "")

    def listing(self) -> dict[str, bytes]:
        """Every file of the folder with its content; of a database what it holds, wherever SQLite keeps that."""
        return {
            str(path.relative_to(self.folder)): dump(path) if path.suffix == ".db" else path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.endswith((".db-shm", ".db-wal"))
        }


def dump(database: Path) -> bytes:
    """What a SQLite database holds, as SQL."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return "\n".join(connection.iterdump()).encode()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
