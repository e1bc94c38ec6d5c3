"""An edition whose time has passed is recorded as skipped, and never sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import Store, StoreBusy
from mambo_io.tables import events
from pipelines import reconciliation
from pipelines.planned import begun_edition, skip_edition
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.summary import CampaignSummary
from support.ledgers import rows_of
from support.lists import campaign_of

LATE = "planned for 08:00, and it was 09:10"


@pytest.fixture
def settings(store_url: str) -> MamboSettings:
    """A host at which nothing answers, so that whatever is sent fails."""
    return load_settings(base_url="http://127.0.0.1:9", api_key="key", store=store_url)


def skip(folder: Path, settings: MamboSettings) -> CampaignSummary:
    campaign = campaign_of(folder, "phone\n0772123456\n", sections='[sending]\nwindow = "any"')
    return skip_edition(campaign, settings, edition="2026-03-02T08:00", detail=LATE)


def test_it_is_there_with_its_reason_and_holds_nobody(tmp_path: Path, settings: MamboSettings) -> None:
    summary = skip(tmp_path, settings)
    assert (summary.state, summary.stop_reason, summary.stop_detail) == (CampaignState.SKIPPED, "too_late", LATE)
    assert (summary.rows, summary.outcomes, summary.exit_code, summary.next_command) == (0, {}, 0, None)
    with Store(settings.store.get_secret_value()) as store:
        ledger = Ledger(store)
        row = ledger.get("clinic-day", "2026-03-02T08:00")
        assert ledger.results(row).is_empty()
        assert [(event["kind"], event["detail"]) for event in rows_of(store, events)] == [("skipped", LATE)]
        books = reconciliation.read_books(store)
        assert reconciliation.by_campaign(books)["recipients"].sum() == 0


def test_nothing_of_it_is_sent_ever(tmp_path: Path, settings: MamboSettings) -> None:
    campaign = campaign_of(tmp_path, "phone\n0772123456\n", sections='[sending]\nwindow = "any"')
    edition = "2026-03-02T08:00"
    late = prepare(campaign, edition=edition, account=settings.account, ledger=None)
    skip(tmp_path, settings)
    with Store(settings.store.get_secret_value()) as store:
        row = begun_edition(Ledger(store), campaign, edition, settings)
        assert row is not None
        assert row.closed
    for prepared in (None, late):
        summary = send_edition(campaign, settings, edition=edition, prepared=prepared, command="mambo send")
        assert summary.state == CampaignState.SKIPPED
    assert skip(tmp_path, settings).state == CampaignState.SKIPPED, "once more changes nothing"
    with Store(settings.store.get_secret_value()) as store:
        assert len(rows_of(store, events)) == 1


def test_an_edition_that_is_being_sent_is_not_skipped(tmp_path: Path, settings: MamboSettings) -> None:
    skip(tmp_path, settings)  # so that there is a ledger
    with (
        Store(settings.store.get_secret_value()) as store,
        store.locked_writer("clinic-day/2026-03-02T08:00"),
        pytest.raises(StoreBusy),
    ):
        skip(tmp_path, settings)


def test_a_name_that_no_edition_can_have_is_refused(tmp_path: Path, settings: MamboSettings) -> None:
    campaign = campaign_of(tmp_path, "phone\n0772123456\n")
    with pytest.raises(InputError, match="is not the name of an edition"):
        skip_edition(campaign, settings, edition="8 o'clock", detail=LATE)
