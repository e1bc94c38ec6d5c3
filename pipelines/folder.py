"""The campaign files of a folder, read again whenever one of them has changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mambo_io.errors import InputError
from pipelines.campaign import Campaign, load_campaign
from pipelines.edition import file_version
from pipelines.prepare import check_files


class Told(NamedTuple):
    """An error in full, and its outline: for those who must not see a list or a text."""

    message: str
    outline: str

    @classmethod
    def of(cls, error: InputError) -> Told:
        return cls(error.message, error.outline)


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A campaign file as it stands there; `problem` instead of a campaign where it cannot be one.

    Of a campaign with a schedule `list_problem` says why nothing could be sent as its lists are now: they may be other
    ones at its time. `changed_at` is when one of all these files was written last.
    """

    path: Path
    version: tuple[int, ...]
    written_at: datetime
    campaign: Campaign | None
    problem: Told | None
    list_problem: Told | None = None
    changed_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), compare=False)
    lists_version: tuple[tuple[int, ...], ...] | None = field(default=None, compare=False)

    def problem_at(self, now: datetime) -> Told | None:
        """`list_problem` of a campaign that has a time to come, or one for which it is not too late yet."""
        schedule = None if self.campaign is None else self.campaign.schedule
        if schedule is None or not schedule.next_times(now - schedule.lateness, 1):
            return None
        return self.list_problem


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
            file = _with_lists(file)
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
                    file = replace(file, campaign=None, problem=Told.of(problem))
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
        return CampaignFile(path, version, written_at, None, Told.of(error))


def _with_lists(file: CampaignFile) -> CampaignFile:
    """With what its lists say, which are looked at again when one of them has changed."""
    campaign = file.campaign
    if campaign is None or campaign.schedule is None:
        return file
    version = tuple(map(file_version, (campaign.recipients_path, *campaign.suppression_paths)))
    if version == file.lists_version:
        return file
    problem = None
    try:
        check_files(campaign)
    except InputError as error:
        problem = Told.of(error)
    written = [datetime.fromtimestamp(each[-1] / 1e9, UTC) for each in version if each]
    changed_at = max([file.written_at, *written])
    return replace(file, list_problem=problem, changed_at=changed_at, lists_version=version)
