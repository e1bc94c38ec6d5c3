"""Which ledger the settings name, and how a person names an edition. Loads quickly: no client, no engine."""

from __future__ import annotations

import shlex
import tomllib
from contextlib import suppress
from pathlib import Path

from mambo_io.errors import StoreError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.log import run_log
from mambo_io.settings import MamboSettings, default_store
from mambo_io.store import NoLedgerYet, Store

DEFAULT_EDITION = "1"


def open_store(settings: MamboSettings, *, create: bool = False) -> Store:
    """The ledger's store that the settings name; with `create` the default file's folder is made, too.

    Raises `NoLedgerYet` when there is none and it is not to be made, `StoreError` for one that cannot be used.
    """
    url = settings.store.get_secret_value()
    if url == default_store():
        folder = Path(url).parent
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                fix = "Set MAMBO_STORE to a file that you may write."
                raise StoreError(f"cannot be created ({error.strerror})", file=folder, fix=fix) from None
        elif not folder.is_dir():  # this user has never sent anything
            raise NoLedgerYet("there is no ledger yet", file=url, fix="`mambo send` creates it; or set MAMBO_STORE.")
    store = Store(url, create=create)
    if store.upgraded_from is not None:
        run_log().info("the ledger was of version %d, and is of %d now", store.upgraded_from, store.schema_version)
    return store


def open_ledger(settings: MamboSettings) -> Ledger | None:
    """The ledger for reading, or None when nothing was ever sent from this store."""
    try:
        return Ledger(open_store(settings))
    except NoLedgerYet:
        return None


def send_command(file: Path, edition: str, *, direct: bool = False) -> str:
    """What to type to send this edition of the campaign, or to go on with it."""
    edition_option = ["--edition", edition] if edition != DEFAULT_EDITION else []
    return shlex.join(["mambo", "send", str(file), *edition_option, *(["--direct"] if direct else [])])


def command_to_go_on(row: CampaignRow, *options: str) -> str:
    """What to type, in the current folder, to go on with an edition that stands in the ledger; `options` come last.

    It names the campaign file that the edition was sent from last, or the one beside it that has its name now; where
    there is none on this machine, FILE stands for it.
    """
    file, here = _campaign_file(row), Path.cwd()
    if file is not None and file.is_relative_to(here):
        file = file.relative_to(here)
    command = " ".join([send_command(file or Path("FILE"), row.edition, direct=row.direct), *options])
    return command if file is not None else f'{command}  (FILE: the campaign file with name = "{row.name}")'


def _campaign_file(row: CampaignRow) -> Path | None:
    if row.file is None:
        return None
    for file in (row.file, *sorted(row.file.parent.glob("*.toml"))):
        with suppress(OSError, ValueError, RecursionError):  # what cannot be read is no campaign file that could go on
            if tomllib.loads(file.read_text(encoding="utf-8-sig")).get("name") == row.name:
                return file
    return None
