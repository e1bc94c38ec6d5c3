"""Running a command of the machine's owner: without a shell, without the account's secrets, and not for ever."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mambo_io.masking import mask_text

# What it has no use for: our settings, what libpq reads (PGPASSWORD), and what Prefect logs in with. Nor is it to be
# called by what it may itself start.
_HIDDEN = re.compile(r"MAMBO_.*|PG.*|PREFECT_.*(?:KEY|AUTH|PASSWORD|HEADERS|CONNECTION_URL).*", re.IGNORECASE)

_LINES, _CHARACTERS = 3, 300  # of what it says on standard error


@dataclass(frozen=True, slots=True)
class CommandFailure:
    """`why` in words of ours; `said`: the first lines of its standard error, numbers masked, perhaps empty."""

    why: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.why}: {self.said}" if self.said else self.why


def run_command(command: Sequence[str], content: str, *, timeout_s: float) -> CommandFailure | None:
    """Run `command` with `content` on its standard input; None when it ended with exit code 0.

    After `timeout_s` it is killed with all that it has started. Nothing of it reaches our own output.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not _HIDDEN.fullmatch(name)},
            start_new_session=True,  # so that it can be killed as a group, and Ctrl-C is not meant for it
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        return CommandFailure(f"cannot be started ({getattr(error, 'strerror', None) or type(error).__name__})")
    with process:
        try:
            _, said = process.communicate(content.encode(errors="replace"), timeout_s)
        except subprocess.TimeoutExpired as late:
            if (code := process.poll()) is None:
                _kill(process)
                return CommandFailure(f"took longer than {timeout_s:g} s", _first_lines(late.stderr or b""))
            said = late.stderr or b""  # it ended in time; what it left in the background holds its output open
        except BaseException:
            if process.poll() is None:
                _kill(process)
            raise
        else:
            code = process.returncode
    if code == 0:
        return None
    why = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
    return CommandFailure(why, _first_lines(said))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own


def _first_lines(said: bytes) -> str:
    """In one line, without what a terminal or a database would trip over."""
    lines = (line.strip() for line in said[: 4 * _CHARACTERS].decode(errors="replace").splitlines())
    text = " / ".join(list(filter(None, lines))[:_LINES])
    return mask_text("".join(sign if sign.isprintable() else " " for sign in text))[:_CHARACTERS]
