"""`make` on a machine it has never seen: which Python it takes, what it says when one is missing, what it installs.

The Pythons here are small scripts that write down how they were called; the installation itself is what `.ci/run` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.environment import REPOSITORY

# `-c` programs stand for what they ask: the version, or whether venv is there.
FAKE_PYTHON = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$*" in
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {without_venv} ;;
    "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/mambo ;;
esac
"""


class Machine:
    """A folder with a fresh clone's Makefile, and a PATH that holds only what the test puts there."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "my clone"
        self.clone.mkdir()
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, self.clone)
        self.path = folder / "bin"
        self.path.mkdir()
        for tool in ("awk", "basename", "cat", "cp", "mkdir"):
            found = shutil.which(tool)
            assert found is not None
            (self.path / tool).symlink_to(found)
        self.log = folder / "calls.log"

    def add_python(self, name: str, *, too_old: bool = False, without_venv: bool = False) -> None:
        script = FAKE_PYTHON.format(log=self.log, too_old=int(too_old), without_venv=int(without_venv))
        (self.path / name).write_text(script, encoding="utf-8")
        (self.path / name).chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("", encoding="utf-8")
        make = shutil.which("make")
        assert make is not None
        # MAKEFLAGS and its kin come from the `make test` that runs these tests.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(
            [make, *arguments],
            cwd=self.clone,
            env={**environment, "PATH": str(self.path)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    @property
    def installations(self) -> list[str]:
        """How venv and pip were called by the last `make`."""
        calls = self.log.read_text(encoding="utf-8").splitlines()
        return [call for call in calls if "-m venv" in call or "-m pip" in call]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_a_goal_it_lists_what_there_is_to_make(machine: Machine) -> None:
    help_text = machine.make().stdout
    for goal in ("demo", "test", "lint", "types", "bench", "wheel", "clean"):
        assert f"make {goal} " in help_text


def test_no_python_is_new_enough(machine: Machine) -> None:
    machine.add_python("python3", too_old=True)
    result = machine.make("test")
    assert result.returncode == 2
    assert "Python 3.11 or newer is needed" in result.stderr
    assert machine.installations == []


def test_a_python_that_was_named_and_is_too_old_is_told(machine: Machine) -> None:
    machine.add_python("python3")
    machine.add_python("python3.9", too_old=True)
    result = machine.make("PYTHON=python3.9", "test")
    assert result.returncode == 2
    assert "python3.9 is no Python 3.11 or newer." in result.stderr
    assert machine.installations == []


def test_a_missing_venv_module_is_named_with_the_package_to_install(machine: Machine) -> None:
    machine.add_python("python3", without_venv=True)
    result = machine.make("demo")
    assert result.returncode == 2
    assert "sudo apt install python3-venv" in result.stderr
    assert machine.installations == []


def test_an_old_python3_is_passed_over_for_a_newer_one_beside_it(machine: Machine) -> None:
    machine.add_python("python3", too_old=True)
    machine.add_python("python3.13", without_venv=True)
    machine.add_python("python3.11")
    assert "sudo apt install python3.13-venv" in machine.make("test").stderr


def test_the_second_run_installs_nothing(machine: Machine) -> None:
    machine.add_python("python3")
    first = machine.make("test")
    assert (first.returncode, first.stderr) == (0, "")
    assert [call.split(" -m ")[1].split()[0] for call in machine.installations] == ["venv", "pip", "pip"]

    second = machine.make("test")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert machine.installations == []


def test_changed_pins_are_installed_into_the_environment_that_is_there(machine: Machine) -> None:
    machine.add_python("python3")
    machine.make("test")
    pins = machine.clone / "requirements.txt"
    stamp = machine.clone / ".venv" / ".installed"
    os.utime(pins, (stamp.stat().st_atime + 10, stamp.stat().st_mtime + 10))
    machine.make("test")
    assert machine.installations[0] == "python3 -m venv .venv"
    assert len(machine.installations) == 3


def test_a_clone_that_was_moved_starts_with_a_new_environment(machine: Machine) -> None:
    machine.add_python("python3")
    machine.make("test")
    machine.clone = machine.clone.rename(machine.clone.with_name("moved"))
    machine.make("test")
    assert machine.installations[0] == "python3 -m venv --clear .venv"


def test_the_two_commands_that_bring_up_what_serves_a_folder(machine: Machine) -> None:
    machine.add_python("python3")
    up = machine.make("up")
    assert up.returncode == 0, up.stderr
    assert machine.log.read_text(encoding="utf-8").splitlines()[-1] == "mambo up"
    assert machine.make("serve", "FOLDER=my campaigns").returncode == 0
    calls = machine.log.read_text(encoding="utf-8").splitlines()
    assert calls[-1] == "mambo serve my campaigns"
    assert not [call for call in calls if "pip" in call], "nothing is installed again"
