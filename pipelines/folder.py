"""The campaign files of a folder, read again whenever one of them has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mambo_io.errors import InputError
from pipelines.campaign import Campaign, load_campaign


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A campaign file as it stands there; `problem` instead of a campaign where it cannot be one."""

    path: Path
    version: tuple[int, ...]
    written_at: datetime
    campaign: Campaign | None
    problem: str | None


class CampaignFolder:
    """A folder of campaign files (`*.toml`, not in folders below it)."""

    def __init__(self, folder: Path) -> None:
        """Raises `InputError` where there is no such folder."""
        self.folder = folder.absolute()
        _check_folder(folder)
        self.files: dict[Path, CampaignFile] = {}
        self._loaded: dict[Path, CampaignFile] = {}

    def read(self) -> None:
        """Read what is new or changed into `files`, which holds all of them, also those that cannot be read.

        Two campaigns of one name are one too many: the ledger knows them by it. The second, by file name, is refused.
        Raises `InputError` when the folder is not there any more, which is not the same as that its files are gone.
        """
        _check_folder(self.folder)
        self.files = {}
        loaded, self._loaded = self._loaded, {}
        names: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.toml")):
            try:
                found = path.stat()
            except OSError:  # gone this very moment
                continue
            version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            file = loaded.get(path)
            if file is None or file.version != version:
                file = _read(path, version, datetime.fromtimestamp(found.st_mtime, UTC))
            self._loaded[path] = file
            if file.campaign is not None:
                other = names.setdefault(file.campaign.name, path)
                if other != path:
                    problem = InputError(
                        f"is the campaign of {other.name}, too",
                        file=path,
                        value=file.campaign.name,
                        fix="Give one of them another name.",
                    )
                    file = replace(file, campaign=None, problem=problem.message)
            self.files[path] = file

    @property
    def campaigns(self) -> list[CampaignFile]:
        """The files that hold a campaign."""
        return [file for file in self.files.values() if file.campaign is not None]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, fix="Name the folder that holds the campaign files.")


def _read(path: Path, version: tuple[int, ...], written_at: datetime) -> CampaignFile:
    try:
        return CampaignFile(path, version, written_at, load_campaign(path), None)
    except InputError as error:
        return CampaignFile(path, version, written_at, None, error.message)
