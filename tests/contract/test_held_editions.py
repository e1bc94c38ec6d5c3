"""An edition that is held for a settlement, on both stores: nothing of why and since when it stands still is changed,
whatever a person says meanwhile and whatever kills the settlement."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, update

from mambo_io import control
from mambo_io.decisions import retry_refused
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger, to_us
from mambo_io.model import CampaignState
from mambo_io.sandbox import SandboxHandle
from mambo_io.settings import MamboSettings
from mambo_io.store import Store
from mambo_io.tables import campaigns
from mambo_io.window import KAMPALA
from pipelines.campaign import Campaign
from pipelines.due import going_on
from pipelines.planned import skip_edition
from pipelines.prepare import prepare
from pipelines.runs import held_edition, send_edition
from pipelines.schedule import edition_of
from support.ledgers import NOON, Run, bad_reply, plan
from support.lists import campaign_of
from support.processes import run
from support.sandboxed import environment, people, settings

LIMITS = "[sending]\nwindow = 'any'\ncalls_per_second = 0\nconcurrency = 1\nchunk_size = 10\ncanary_size = 5\n"
DUE = datetime.now(KAMPALA).replace(second=0, microsecond=0) - timedelta(minutes=5)
EDITION = edition_of(DUE, KAMPALA)


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def chosen(api: SandboxHandle, store_url: str) -> MamboSettings:
    return settings(api, store_url)


def campaign(folder: Path, **keys: str) -> Campaign:
    scheduled = f'{LIMITS}[schedule]\nat = "{DUE:%Y-%m-%d %H:%M}"\n'
    return campaign_of(folder, people(15), name="weekly", sections=scheduled, **keys)


def sent(campaign: Campaign, chosen: MamboSettings) -> None:
    prepared = prepare(campaign, edition=EDITION, account=chosen.account, ledger=None)
    send_edition(campaign, chosen, edition=EDITION, prepared=prepared, command="")


def weekly(chosen: MamboSettings) -> CampaignRow:
    with Store(chosen.store.get_secret_value()) as store:
        return Ledger(store).get("weekly")


def stands_still(chosen: MamboSettings, **values: object) -> CampaignRow:
    with Store(chosen.store.get_secret_value()) as store, store.writer() as connection, connection.begin():
        connection.execute(update(campaigns).values(values))
    return weekly(chosen)


KILLED_INSIDE = """
import os, signal
from mambo_io.settings import load_settings
from pipelines.runs import held_edition
with held_edition(load_settings(), "weekly", None):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_settlement_that_is_killed_lets_nothing_go_on(
    api: SandboxHandle, chosen: MamboSettings, store_url: str, tmp_path: Path
) -> None:
    file = campaign(tmp_path, top='approval = "required"')
    sent(file, chosen)
    before = stands_still(
        chosen, state=CampaignState.PAUSED, stop_reason="api", stop_detail="it said so", ended_at_us=to_us(NOON)
    )
    of_its_own = environment(api, store_url) | {"HOME": str(tmp_path)}  # it leaves what it had reserved
    killed = run(sys.executable, "-c", KILLED_INSIDE, cwd=tmp_path, env=of_its_own)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert weekly(chosen) == before
    with Store(store_url) as store:
        assert list(going_on(file, Ledger(store), chosen, now=datetime.now(UTC))) == []


def test_an_approval_that_is_given_meanwhile_stands(chosen: MamboSettings, tmp_path: Path) -> None:
    file = campaign(tmp_path, top='approval = "required"')
    sent(file, chosen)
    with (
        held_edition(chosen, "weekly", None) as (_, _, row),
        Store(chosen.store.get_secret_value()) as store,
        store.writer() as another,
    ):
        control.approve(another, row, who="Jane", digest=None, now=datetime.now(UTC))
    with Store(chosen.store.get_secret_value()) as store:
        [wanted] = going_on(file, Ledger(store), chosen, now=datetime.now(UTC))
    assert wanted.why == "approved by a person"


def test_a_skipped_edition_stays_skipped(chosen: MamboSettings, tmp_path: Path) -> None:
    skip_edition(campaign(tmp_path), chosen, edition=EDITION, detail="it could begin 2:00:00 after its time")
    with held_edition(chosen, "weekly", None):
        pass
    assert weekly(chosen).state is CampaignState.SKIPPED


def test_the_end_of_a_complete_one_stays_when_it_was(chosen: MamboSettings, tmp_path: Path) -> None:
    """By it archives and erasures go."""
    sent(campaign(tmp_path), chosen)
    stands_still(chosen, ended_at_us=to_us(NOON))
    with held_edition(chosen, "weekly", None):
        pass
    assert weekly(chosen).ended_at == NOON


def test_after_a_settlement_there_is_another_occasion_to_go_on(chosen: MamboSettings, tmp_path: Path) -> None:
    """The run of the first one may have met the settlement, and could not begin."""
    file = campaign(tmp_path, top='approval = "required"')
    sent(file, chosen)
    stands_still(chosen, state=CampaignState.PAUSED, stop_reason="paused", ended_at_us=to_us(NOON))

    def keys() -> list[str]:
        with Store(chosen.store.get_secret_value()) as store:
            return [wanted.key for wanted in going_on(file, Ledger(store), chosen, now=datetime.now(UTC))]

    [first] = keys()
    with held_edition(chosen, "weekly", None):
        assert keys() == [], "nobody could begin now"
    [second] = keys()
    assert first != second
    assert keys() == [second]


def test_a_campaign_that_is_cancelled_at_this_moment_is_not_planned_again(postgres_url: str) -> None:
    """SQLite has one writer at a time. Cancelling holds no lock of the campaign's."""
    with Store(postgres_url, create=True) as store, store.writer() as connection, Store(postgres_url) as elsewhere:
        run_ = Run.of(connection, plan(2, 2))
        refused = run_.claim_one()
        run_.settle(refused, bad_reply(refused, 400, "The sender ID is not registered"))
        run_.sender.finish(CampaignState.PAUSED, "signal", NOON)
        row = Ledger(store).get("clinic-day")
        with elsewhere.writer() as another:
            another.exec_driver_sql("SET lock_timeout = '300ms'")
            another.commit()
            told: list[str] = []

            def cancels(_: object, __: object, statement: str, *___: object) -> None:
                if statement.startswith("UPDATE chunks") and not told:
                    told.append("waits")
                    with pytest.raises(Exception, match="lock timeout"):
                        control.cancel(another, row, who="Jane", note="wrong list", now=NOON)

            event.listen(connection, "before_cursor_execute", cancels)
            retry_refused(connection, row, who="Grace", now=NOON)
            assert told == ["waits"]
            control.cancel(another, row, who="Jane", note="wrong list", now=NOON)
        assert Ledger(store).get("clinic-day").state is CampaignState.CANCELLED
        with pytest.raises(InputError, match="is cancelled"):
            retry_refused(connection, row, who="Grace", now=NOON)
