"""The campaign files of a folder: new, changed, broken, gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mambo_io.errors import InputError
from pipelines.folder import CampaignFolder
from support.lists import campaign_of


def read(folder: CampaignFolder) -> dict[str, str | None]:
    """What each file holds now: the name of its campaign."""
    folder.read()
    return {path.name: None if file.campaign is None else file.campaign.name for path, file in folder.files.items()}


def test_what_is_new_changed_or_gone(tmp_path: Path) -> None:
    campaign_of(tmp_path, None, name="clinic-day")
    folder = CampaignFolder(tmp_path)
    assert read(folder) == {"clinic-day.toml": "clinic-day"}
    [before] = folder.campaigns
    folder.read()
    assert folder.campaigns == [before], "nothing has changed"

    campaign_of(tmp_path, None, name="flour-day")
    changed = campaign_of(tmp_path, None, name="clinic-day", message="Clinic day is Monday, not Friday.").file
    os.utime(changed, (1e9, 1e9))  # a clock that was set back hides no change
    assert read(folder) == {"clinic-day.toml": "clinic-day", "flour-day.toml": "flour-day"}
    campaign = folder.files[changed].campaign
    assert campaign is not None
    assert campaign.message == "Clinic day is Monday, not Friday."

    changed.unlink()
    assert read(folder) == {"flour-day.toml": "flour-day"}


def test_a_file_that_is_no_campaign_is_told_until_it_is_one(tmp_path: Path) -> None:
    file = campaign_of(tmp_path, None, name="clinic-day").file
    good = file.read_text(encoding="utf-8")
    file.write_text(good.replace("customised", "customized"), encoding="utf-8")
    folder = CampaignFolder(tmp_path)
    assert read(folder) == {"clinic-day.toml": None}
    problem = folder.files[file].problem
    assert problem is not None
    assert "category: 'customized' is not allowed" in problem.message
    assert problem.outline == f"{file}, category: is not allowed"
    assert folder.campaigns == []

    file.write_text(good, encoding="utf-8")
    assert read(folder) == {"clinic-day.toml": "clinic-day"}


def test_of_two_campaigns_of_one_name_the_first_file_has_it(tmp_path: Path) -> None:
    file = campaign_of(tmp_path, None, name="clinic-day").file
    copy = tmp_path / "copy of clinic-day.toml"
    copy.write_bytes(file.read_bytes())
    folder = CampaignFolder(tmp_path)
    assert read(folder) == {"clinic-day.toml": "clinic-day", "copy of clinic-day.toml": None}
    problem = folder.files[copy].problem
    assert problem is not None
    assert "'clinic-day' is the campaign of clinic-day.toml, too" in problem.message

    file.unlink()
    assert read(folder) == {"copy of clinic-day.toml": "clinic-day"}


def test_only_campaign_files_in_the_folder_itself_count(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    campaign_of(tmp_path / "old", None)
    (tmp_path / "people.csv").write_text("phone\n", encoding="utf-8")
    assert read(CampaignFolder(tmp_path)) == {}


def test_a_folder_that_is_gone_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "campaigns").mkdir()
    folder = CampaignFolder(tmp_path / "campaigns")
    (tmp_path / "campaigns").rmdir()
    with pytest.raises(InputError, match="is no folder"):
        folder.read()


@pytest.mark.parametrize("name", ["missing", "a file"])
def test_what_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(InputError, match="is no folder"):
        CampaignFolder(tmp_path / name)
