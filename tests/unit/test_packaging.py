"""The wheel holds both packages and the example data, and is built without any index."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from support.environment import REPOSITORY
from support.processes import run


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    build = run(
        *(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder), cwd=REPOSITORY
    )
    assert build.returncode == 0, build.stderr
    [path] = folder.iterdir()
    return zipfile.ZipFile(path)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.parametrize(
    ("inside", "source"), [("mambo_io", "mambo_io"), ("pipelines", "pipelines"), ("pipelines/data", "data")]
)
def test_the_wheel_holds_every_file(wheel: zipfile.ZipFile, inside: str, source: str) -> None:
    held = {name.removeprefix(f"{inside}/") for name in wheel.namelist() if name.startswith(f"{inside}/")}
    assert files_below(REPOSITORY / source) - held == set()


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"mambo_io", "pipelines", "mambo_pipelines-0.1.0.dist-info"}


def test_the_wheel_brings_the_command_and_is_typed(wheel: zipfile.ZipFile) -> None:
    [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "mambo = pipelines.cli:main" in wheel.read(entry_points).decode()
    assert {"mambo_io/py.typed", "pipelines/py.typed"} <= set(wheel.namelist())
