"""The repeat guard and archives: nobody is sent a text twice because whoever sent it first was archived meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mambo_io.archiving import archive_edition
from mambo_io.decisions import retry_refused
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import CampaignState, Outcome
from mambo_io.planning import write_plan
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Status
from mambo_io.settings import MamboSettings
from mambo_io.store import Store
from mambo_io.tables import archives, recipients
from pipelines.archive import archive, bring_people_back
from pipelines.campaign import Campaign
from pipelines.prepare import prepare
from pipelines.runs import send_edition
from pipelines.summary import CampaignSummary
from support.ledgers import NOON, Run, good_reply, plan, rows_of
from support.lists import campaign_of
from support.sandboxed import people, settings

TEXT = "Clinic day is Friday."
AT_ONCE = "[sending]\nwindow = 'any'\ncalls_per_second = 0\ncanary_size = 5\n"


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


class Office:
    """Campaigns with one text to the same five people, their ledger, and a folder of archives."""

    def __init__(self, api: SandboxHandle, store: Store, url: str, folder: Path) -> None:
        self.api, self.store, self.folder = api, store, folder
        self.ledger = Ledger(store)
        self.settings: MamboSettings = settings(api, url)
        self.reached_before = api.deliveries().height

    def campaign(self, name: str, *, message: str = TEXT) -> Campaign:
        return campaign_of(self.folder, people(5), name=name, message=message, sections=AT_ONCE)

    def send(self, name: str, **of_campaign: str) -> CampaignSummary:
        return self.prepared(name, **of_campaign)()

    def prepared(self, name: str, **of_campaign: str) -> Callable[[], CampaignSummary]:
        """The estimate is on the screen; called, a person says yes to it."""
        campaign = self.campaign(name, **of_campaign)
        plan = prepare(campaign, edition="1", account=self.settings.account, ledger=self.ledger)
        return lambda: send_edition(campaign, self.settings, edition="1", prepared=plan, command="")

    def go_on(self, name: str) -> CampaignSummary:
        return send_edition(self.campaign(name), self.settings, edition="1", prepared=None, command="")

    def archive(self, name: str) -> None:
        archive(self.store, [self.ledger.get(name)], self.folder / "archive", who="Grace", now=datetime.now(UTC))

    def times_sent(self) -> list[int]:
        """How often each of them was sent the text."""
        reached = self.api.deliveries().slice(self.reached_before).filter(pl.col("text") == TEXT)
        return reached.group_by("e164").len()["len"].to_list()


@pytest.fixture
def office(api: SandboxHandle, store_url: str, tmp_path: Path) -> Iterator[Office]:
    with Store(store_url, create=True) as store:
        yield Office(api, store, store_url, tmp_path)


def test_a_refused_call_is_not_sent_again_to_whom_an_archived_edition_has_sent_its_text(office: Office) -> None:
    office.api.set_faults([Status(http_status=400)])
    assert office.send("first").outcomes == {Outcome.REFUSED: 5}
    assert office.send("second").outcomes == {Outcome.ACCEPTED: 5}
    office.archive("second")
    with office.store.writer() as connection:
        retry_refused(connection, office.ledger.get("first"), who="Grace", now=datetime.now(UTC))

    told = "second/1 has sent a text of it since it was planned, and is archived: whom to leave out is not known. "
    fix = "Bring its people back first: mambo store bring-back second --edition 1 --by NAME."
    with pytest.raises(InputError, match=re.escape(told + fix)):
        office.go_on("first")
    bring_people_back(office.store, "second", None, who="Grace", now=datetime.now(UTC))
    assert office.go_on("first").rejected == {"already_sent": 5}
    assert office.times_sent() == [1] * 5


def test_a_refused_call_is_sent_again_where_the_archived_text_is_another_or_was_refused_too(office: Office) -> None:
    office.api.set_faults([Status(http_status=400, times=2)])
    for name, message in (("first", TEXT), ("second", TEXT), ("third", "The flour is ready.")):
        office.send(name, message=message)
    office.archive("second")
    office.archive("third")
    with office.store.writer() as connection:
        retry_refused(connection, office.ledger.get("first"), who="Grace", now=datetime.now(UTC))
    assert office.go_on("first").outcomes == {Outcome.ACCEPTED: 5}


def test_a_plan_does_not_go_to_whom_an_edition_has_sent_its_text_and_was_archived_before_the_yes(
    office: Office,
) -> None:
    yes = office.prepared("second")
    assert office.send("first").outcomes == {Outcome.ACCEPTED: 5}
    office.archive("first")
    told = (
        "first/1 has sent a text of it since it was prepared, and is archived by now. Look at the estimate again, and"
    )
    with pytest.raises(InputError, match=re.escape(told)):
        yes()
    assert office.send("second").rejected == {"already_sent": 5}, "the next estimate has read the archive"
    assert office.times_sent() == [1] * 5


def test_what_is_planned_while_its_text_is_being_archived_keeps_that_in_the_ledger(
    store_url: str, tmp_path: Path
) -> None:
    """Writing the file takes its time; whoever asks for the text by its end is still told who was sent it."""

    class Meanwhile(Ledger):
        def rejected(self, campaign: CampaignRow) -> dict[str, int]:
            with self.store.writer() as colleague:
                write_plan(colleague, plan(2, name="second"), who="Jane")
            return super().rejected(campaign)

    with Store(store_url, create=True) as store, store.writer() as connection:
        run = Run.of(connection, plan(2, name="first"))
        call = run.claim_one()
        run.settle(call, good_reply(call))
        run.sender.finish(CampaignState.COMPLETE, None, NOON)
        ledger = Meanwhile(store)
        with pytest.raises(InputError, match="second/1 has a text of it and is not finished"):
            list(archive_edition(ledger, connection, ledger.get("first"), tmp_path / "archive", who="Grace", now=NOON))
        assert rows_of(store, archives) == []
        assert len(rows_of(store, recipients)) == 4
        assert list(tmp_path.glob("**/*.parquet")) == []
