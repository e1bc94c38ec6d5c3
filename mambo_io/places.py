"""Where a ledger may lie: what MAMBO_STORE may name, and the places in which SQLite cannot keep its word."""

from __future__ import annotations

from pathlib import Path

import psutil
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mambo_io.errors import StoreError
from mambo_io.store_errors import NoLedgerYet

# File systems whose locks or syncs do not hold what SQLite needs of them.
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs3",
    "nfs4",
    "cifs",
    "smb",
    "smb3",
    "smbfs",
    "afpfs",
    "webdav",
    "davfs",
    "afs",
    "ncpfs",
}
_SYNCED_FOLDERS = (
    "onedrive",
    "dropbox",
    "google drive",
    "googledrive",
    "icloud drive",
    "mobile documents",
    "nextcloud",
)


def parse_url(url: str) -> URL:
    """MAMBO_STORE as a SQLAlchemy URL of SQLite or psycopg. Raises `StoreError` that does not repeat it."""
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser().absolute()))
    allowed = "A path, sqlite:///path or postgresql://user:password@host/name is."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise StoreError("MAMBO_STORE is not a database URL", fix=allowed) from None
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise StoreError("a ledger in memory would be lost", fix=allowed)
            return URL.create("sqlite", database=str(Path(parsed.database).expanduser().absolute()))
        case "postgresql" | "postgres":
            try:
                import psycopg  # noqa: F401  (only to see that it is there)
            except ImportError:
                raise StoreError(
                    "PostgreSQL needs the psycopg driver", fix="Install it: pip install 'mambo-pipelines[postgres]'."
                ) from None
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"{other} is not a store this program knows", fix=allowed)


def store_name(url: str) -> str:
    """A store as a screen may show it: a path, or a URL without its password and options (one may be a password)."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.set(query={}).render_as_string(hide_password=True)


def check_sqlite_place(path: Path, *, create: bool) -> None:
    """Refuse a place in which SQLite cannot keep its word; create the file where that is asked for."""
    local = "Set MAMBO_STORE to a file on this computer's own disk."
    if path.is_dir():
        raise StoreError("is a folder, not a ledger file", file=path, fix="Set MAMBO_STORE to a file.")
    if not path.parent.is_dir():
        raise StoreError(
            "the folder of the store does not exist", file=path.parent, fix="Create it, or set MAMBO_STORE."
        )
    for part in path.resolve().parent.parts:
        if part.lower().startswith(_SYNCED_FOLDERS):
            raise StoreError(f"the store lies in a synced folder ({part})", file=path, fix=local)
    if (kind := file_system_of(path.resolve())) in _NETWORK_FILE_SYSTEMS:
        raise StoreError(f"the store lies on a network drive ({kind})", file=path, fix=local)
    if not path.exists():
        if not create:
            raise NoLedgerYet("there is no ledger yet", file=path, fix="`mambo send` creates it; or set MAMBO_STORE.")
        path.touch(mode=0o600)


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path` (`ext4`, `nfs4` …), or an empty string where it is not told."""
    mounts = {Path(part.mountpoint): part.fstype.lower() for part in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (path, *path.parents) if folder in mounts), "")
