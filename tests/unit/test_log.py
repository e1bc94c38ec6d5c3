"""The log in the data folder: what it holds of a run, and that it never stops one."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mambo_io import log
from mambo_io.errors import InputError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log of a data folder that is not there yet."""
    monkeypatch.setattr(log, "data_folder", lambda: tmp_path / "data")
    log.run_log.cache_clear()
    yield log.log_file()
    for handler in list(log.run_log().handlers):
        log.run_log().removeHandler(handler)
        with suppress(OSError):  # what the full disk did not take
            handler.close()
    log.run_log.cache_clear()


def told(file: Path) -> list[str]:
    """The records, without time and process."""
    return [line.split(" ", 2)[2] for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_run_from_its_beginning_to_its_end(file: Path) -> None:
    with log.recorded_run("clinic-day/1"):
        log.run_log().warning("%s: unknown, %s", "clinic-day/1/c0002", "no_answer")

    assert told(file) == ["INFO clinic-day/1: a run begins", "WARNING clinic-day/1/c0002: unknown, no_answer"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("0772123456 is wrong"), "ERROR clinic-day/1: stopped by InputError"),
        (ValueError("0772123456"), "ERROR clinic-day/1: broken off by ValueError"),
        (KeyboardInterrupt(), "ERROR clinic-day/1: broken off by KeyboardInterrupt"),
    ],
)
def test_what_ends_a_run(file: Path, error: BaseException, line: str) -> None:
    with pytest.raises(type(error)), log.recorded_run("clinic-day/1"):
        raise error

    assert told(file)[1:] == [line]


def test_a_defect_is_told_without_a_word_of_its_exceptions(file: Path) -> None:
    def inner() -> None:
        raise KeyError("Dear Jane")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("secret-key") from error

    try:
        outer()
    except ValueError as error:
        outline = log.record_defect(error)

    assert [part in outline for part in ("in inner", "KeyError\nand then\n", "in outer")] == [True] * 3
    assert outline.endswith("ValueError")
    assert outline in file.read_text()


def test_a_number_in_a_name_is_masked(file: Path) -> None:
    log.run_log().info("%s: complete", "0772123456/1")

    assert told(file) == ["INFO •••561: complete"]


def test_it_is_rotated_and_stays_private(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_FILE_BYTES", 200)

    for number in range(20):
        log.run_log().info("clinic-day/%d: complete", number)

    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["mambo.log", *(f"mambo.log.{number}" for number in (1, 2, 3, 4))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert told(file)[-1] == "INFO clinic-day/19: complete"


def folder_is_a_file(file: Path) -> None:
    file.parent.write_text("")


def file_is_a_folder(file: Path) -> None:
    file.mkdir(parents=True)


def disk_is_full(file: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    file.parent.mkdir()
    file.symlink_to("/dev/full")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [(folder_is_a_file, "Not a directory"), (file_is_a_folder, "Is a directory"), (disk_is_full, None)],
)
def test_a_log_that_cannot_be_written_stops_nothing_and_says_so_when_asked(
    file: Path, spoil: object, problem: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert log.log_problem() is None, "it is not there yet"
    assert not file.parent.exists()
    assert callable(spoil)
    spoil(file)
    done = []

    with log.recorded_run("clinic-day/1"):
        done.append("sent")
        log.run_log().info("more")

    assert done == ["sent"]
    assert log.log_problem() == problem
    assert capfd.readouterr() == ("", "")
