"""The name of a person who decides something, as it is recorded."""

from __future__ import annotations

from mambo_io.errors import InputError


def named(by: str | None, command: str) -> str:
    """The name in `--by` of this command. Raises `InputError` where there is none."""
    if by is None or not by.strip():
        raise InputError("needs a name in --by", file=command)
    return by.strip()
