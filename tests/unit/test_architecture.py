"""Rules that hold for the repository as a whole, and that no reviewer has to remember."""

from __future__ import annotations

import io
import os
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from support.environment import REPOSITORY
from support.ledgers import new_ledger
from support.processes import run

EXAMPLES = sorted(str(path) for path in (REPOSITORY / "data").glob("*.toml"))
MADE_HERE = {".git", ".hypothesis", ".venv", "__pycache__", "build", "dist"}


def files_of_the_repository() -> Iterator[Path]:
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in MADE_HERE and not name.endswith("_cache")]
        yield from (Path(folder, name) for name in files)


def test_imports_run_downwards() -> None:
    """The contracts stand in pyproject.toml, under [tool.importlinter]."""
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = run(sys.executable, "-c", linter, "--no-cache", "--no-logo", cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("check", "0772123456"), ("measure", "Good morning"), ("estimate", *EXAMPLES[:1])],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_only_looks_does_not_load_the_engine(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Prefect takes seconds to import, and these have no use for it."""
    program = (
        "import sys; from pipelines.cli import run; code = run(sys.argv[1:])\n"
        "loaded = {'prefect', 'fastapi', 'uvicorn'} & set(sys.modules)\n"
        "sys.exit(code or (f'loaded: {loaded}' if loaded else 0))"
    )
    result = run(sys.executable, "-c", program, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_look_at_the_ledger_does_not_load_frames_and_http(tmp_path: Path) -> None:
    """Together they take longer to import than millions of rows to sum up."""
    store = new_ledger(tmp_path / "ledger.db")
    program = (
        "import sys; from pipelines.cli import run; code = run(['status', 'clinic-day'])\n"
        "loaded = {'polars', 'pandera', 'phonenumbers', 'aiohttp', 'httpx', 'prefect'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else code)"
    )
    result = run(sys.executable, "-c", program, cwd=tmp_path, env={"MAMBO_STORE": str(store)})
    assert result.returncode == 3, result.stdout + result.stderr


def test_no_file_names_a_package_index_or_a_folder_of_one_machine() -> None:
    # Written so that this file passes its own test.
    unwanted = re.compile(r"pypi[.]org|python[h]osted|npmjs[.]|/work/[m]ain|/work/[s]hared|/tmp/[w]/")
    found = []
    for path in files_of_the_repository():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(REPOSITORY)}: {match.group()}" for match in unwanted.finditer(text)]
    assert found == []


def test_every_suppression_says_why() -> None:
    suppression = re.compile(r"#\s*(ruff:\s*)?noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|#\s*type:\s*ignore(\[[\w, -]+\])?")
    unexplained = []
    for path in files_of_the_repository():
        if path.suffix != ".py":
            continue
        source = path.read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and suppression.search(token.string):
                reason = suppression.sub("", token.string).strip(" #-()")
                if not reason:
                    unexplained.append(f"{path.relative_to(REPOSITORY)}:{token.start[0]}: {token.string}")
    assert unexplained == []


def test_every_example_campaign_goes_to_the_sandbox_only() -> None:
    assert EXAMPLES, "the examples are what `mambo demo` sends"
    sandbox_only = {path: tomllib.loads(Path(path).read_text("utf-8-sig")).get("sandbox_only") for path in EXAMPLES}
    assert sandbox_only == dict.fromkeys(EXAMPLES, True)


def test_requirements_pin_what_pyproject_allows() -> None:
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins: dict[str, Version] = {}
    for line in lines:
        if entry := line.split("#")[0].strip():
            requirement = Requirement(entry)  # no option, and so no address of an index either
            assert requirement.url is None, line
            [specifier] = requirement.specifier
            assert specifier.operator == "==", line
            pins[canonical(requirement.name)] = Version(specifier.version)

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    for entry in declared:
        requirement = Requirement(entry)
        assert canonical(requirement.name) in pins, f"{entry}: run `make pins`"
        assert requirement.specifier.contains(pins[canonical(requirement.name)]), f"{entry}: run `make pins`"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
