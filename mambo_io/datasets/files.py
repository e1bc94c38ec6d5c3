"""Which file this is, and whether it can be read at all: one clear line instead of a parser's error."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from mambo_io.errors import InputError

TEXT = "text"
XLSX = "an Excel workbook (.xlsx)"
DAMAGED_ZIP = "a workbook or ZIP archive that is cut short or damaged"
PARQUET = "a Parquet file"
OLE = "an old Excel file (.xls) or a workbook with a password"

_MAGIC = {
    b"PAR1": PARQUET,
    b"\xd0\xcf\x11\xe0": OLE,
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file (gzip)",
    b"7z\xbc\xaf": "a compressed file (7z)",
    b"Rar!": "a compressed file (RAR)",
    b"SQLite format 3": "a SQLite database",
    b"{\\rtf": "a rich-text document",
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def refuse_address(path: Path, *, file: Path | None = None, key: str | None = None) -> None:
    """Raise an `InputError` when `path` is a web address, naming the `file` and `key` that hold it."""
    if address := _ADDRESS.match(str(path)):
        raise InputError(
            # Not all of it: there may be a password in it, or a signature.
            f"{address[1]}://… is an address, and only files are read",
            file=file,
            key=key,
            fix="Download the file, and give its path.",
        )


def check(path: Path) -> None:
    """Raise an `InputError` that helps unless `path` is a regular file with something in it."""
    refuse_address(path)
    if path.name.startswith(("~$", ".~lock.")):
        raise InputError(
            "this is a spreadsheet program's lock file, not the workbook",
            file=path,
            fix=f"The workbook beside it is {path.name.removeprefix('~$').removeprefix('.~lock.').rstrip('#')!r}.",
        )
    if path.is_dir():
        raise InputError("this is a folder", file=path, fix="Give the path of a file.")
    if not path.exists():
        raise InputError(_why_missing(path), file=path, fix=_near(path))
    if not path.is_file():
        raise InputError("this is not a regular file", file=path)
    if path.stat().st_size == 0:
        raise InputError("the file is empty", file=path)


def lock_notes(path: Path) -> list[str]:
    """A note when a spreadsheet program has the file open: Excel and LibreOffice leave a lock file beside it."""
    locks = (path.with_name(f"~${path.name}"), path.with_name(f".~lock.{path.name}#"))
    with suppress(OSError):  # a name that is longer than the system takes
        if any(lock.exists() for lock in locks):
            return [f"{path.name} is open in a spreadsheet program; what is not saved is not read."]
    return []


def kind_of(path: Path) -> str:
    """What the file is by its first bytes, whatever its name says: TEXT, XLSX, PARQUET, OLE or another clause."""
    with path.open("rb") as file:
        head = file.read(512)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML"
    return TEXT


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):  # the latter: flags or versions that no ZIP file has
        return DAMAGED_ZIP
    if "xl/workbook.bin" in members:
        return "a binary Excel workbook (.xlsb)"
    if "content.xml" in members:
        return "a LibreOffice file (.ods)"
    return XLSX if "xl/workbook.xml" in members else "a ZIP archive"


def _why_missing(path: Path) -> str:
    unknown = path.name if path.parent.is_dir() else str(path)
    if any(mark in unknown for mark in "*?["):
        return "one file is read, not a pattern"
    return "no such file" if path.parent.is_dir() else f"no folder {str(path.parent)!r}"


def _near(path: Path) -> str | None:
    """The names in the folder that the missing one may have been meant for."""
    if not path.parent.is_dir():
        return None
    by_lower = {entry.name.lower(): entry.name for entry in path.parent.iterdir() if entry.is_file()}
    near = [by_lower[name] for name in get_close_matches(path.name.lower(), by_lower, n=3)]
    return f"Near it in that folder: {', '.join(near)}." if near else None
