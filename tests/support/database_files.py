"""What the files of a ledger's database hold, byte for byte, and how a number may stand in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from support.ledgers import execute
from support.postgres import PostgresServer


@dataclass(frozen=True)
class DatabaseFiles:
    """The files of the ledger at `url`: every file in its folder, or all of a PostgreSQL database."""

    url: str
    folder: Path
    server: PostgresServer | None = None

    def content(self) -> bytes:
        """All of them, one behind the other. PostgreSQL writes out before what it has in memory."""
        folder = self.folder
        if self.server is not None:
            execute(self.url, "CHECKPOINT")
            engine = create_engine(self.url)
            with engine.connect() as connection:
                oid = connection.scalar(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
            engine.dispose()
            folder = self.server.folder / "data" / "base" / str(oid)
        return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())

    def found(self, sought: Iterable[str]) -> set[str]:
        """Which of these texts and national numbers (nine digits) stand there in any form."""
        content = self.content()
        return {each for each in sought if any(form in content for form in self._forms(each))}

    def _forms(self, sought: str) -> list[bytes]:
        if not sought.isdecimal():
            return [sought.encode()]
        msisdn = int(f"256{sought}")
        # SQLite keeps an integer in as few bytes as it takes, the highest first; PostgreSQL as the machine does.
        as_integer = msisdn.to_bytes(5, "big") if self.server is None else msisdn.to_bytes(8, "little")
        return [sought.encode(), f"{sought[:3]} {sought[3:6]} {sought[6:]}".encode(), as_integer]
