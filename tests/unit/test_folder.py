"""The campaign files of a folder: new, changed, broken, gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mambo_io.errors import InputError
from pipelines.folder import CampaignFile, CampaignFolder
from support.lists import campaign_of


def names(files: list[CampaignFile]) -> dict[str, str | None]:
    """What each file holds: the name of its campaign."""
    return {file.path.name: None if file.campaign is None else file.campaign.name for file in files}


def test_what_is_new_changed_or_gone_is_told_once(tmp_path: Path) -> None:
    campaign_of(tmp_path, None, name="clinic-day")
    folder = CampaignFolder(tmp_path)
    assert names(folder.read()) == {"clinic-day.toml": "clinic-day"}
    assert folder.read() == []

    campaign_of(tmp_path, None, name="flour-day")
    changed = campaign_of(tmp_path, None, name="clinic-day", message="Clinic day is Monday, not Friday.").file
    os.utime(changed, (1e9, 1e9))  # a clock that is coarse, or was set back, hides no change
    assert names(folder.read()) == {"clinic-day.toml": "clinic-day", "flour-day.toml": "flour-day"}

    changed.unlink()
    assert folder.read() == []
    assert names(folder.campaigns) == {"flour-day.toml": "flour-day"}


def test_a_file_that_is_no_campaign_is_told_until_it_is_one(tmp_path: Path) -> None:
    file = campaign_of(tmp_path, None, name="clinic-day").file
    good = file.read_text(encoding="utf-8")
    file.write_text(good.replace("customised", "customized"), encoding="utf-8")
    folder = CampaignFolder(tmp_path)
    [broken] = folder.read()
    assert broken.problem is not None
    assert "category: 'customized' is not allowed" in broken.problem
    assert folder.campaigns == []
    assert folder.read() == []

    file.write_text(good, encoding="utf-8")
    assert names(folder.read()) == {"clinic-day.toml": "clinic-day"}


def test_of_two_campaigns_of_one_name_the_first_file_has_it(tmp_path: Path) -> None:
    file = campaign_of(tmp_path, None, name="clinic-day").file
    (tmp_path / "copy of clinic-day.toml").write_bytes(file.read_bytes())
    folder = CampaignFolder(tmp_path)
    told = {file.path.name: file.problem for file in folder.read()}
    assert told["clinic-day.toml"] is None
    assert "'clinic-day' is the campaign of clinic-day.toml, too" in (told["copy of clinic-day.toml"] or "")

    file.unlink()
    assert names(folder.read()) == {"copy of clinic-day.toml": "clinic-day"}


def test_only_campaign_files_in_the_folder_itself_count(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    campaign_of(tmp_path / "old", None)
    (tmp_path / "people.csv").write_text("phone\n", encoding="utf-8")
    assert CampaignFolder(tmp_path).read() == []


@pytest.mark.parametrize("name", ["missing", "a file"])
def test_what_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(InputError, match="is no folder"):
        CampaignFolder(tmp_path / name)
