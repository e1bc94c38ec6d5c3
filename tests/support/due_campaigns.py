"""Campaigns that are due at the same moment, for several workers."""

from __future__ import annotations

from datetime import datetime

from prefect.settings import PREFECT_API_URL, temporary_settings

from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.model import CampaignState
from mambo_io.settings import MamboSettings
from mambo_io.store import Store, StoreBusy
from mambo_io.window import KAMPALA
from pipelines.flows.tending import Tender
from pipelines.schedule import edition_of
from pipelines.summary import UNKNOWN_CALLS
from support.lists import campaign_of
from support.machines import POOL, Site, wait_until
from support.sandboxed import people

PEOPLE, CONCURRENCY = 60, 2
_TEND = "tend-campaigns/campaigns"


class Campaigns:
    """So many campaigns that are due at the same moment, in the folder that is served."""

    def __init__(self, site: Site, name: str, count: int, due: datetime) -> None:
        self.names = [f"{name}-{number}" for number in range(count)]
        self.edition = edition_of(due, KAMPALA)
        self._site = site
        sending = f"window = 'any'\ncalls_per_second = 20\nconcurrency = {CONCURRENCY}\nchunk_size = 5\ncanary_size = 1"
        for number, each in enumerate(self.names):
            campaign_of(
                site.campaigns,
                people(PEOPLE, block=number),
                name=each,
                message=f"Clinic day of {each}.",
                path=f"{each}.csv",
                sections=f'[sending]\n{sending}\n[schedule]\nat = "{due:%Y-%m-%d %H:%M:%S}"',
            )

    def register(self, settings: MamboSettings) -> None:
        """What `tend-campaigns` does, before any worker is there to run it."""
        with temporary_settings({PREFECT_API_URL: self._site.prefect.url}):
            Tender(self._site.campaigns, settings, work_pool=POOL).look()

    def tend(self) -> None:
        run = self._site.prefect.start(_TEND)
        wait_until(lambda: self._site.prefect.final_state(run) is not None)
        assert self._site.prefect.final_state(run) == "Completed"

    def found(self, ledger: Ledger) -> list[CampaignRow]:
        return [row for row in ledger.campaigns() if row.edition == self.edition]

    def remove(self) -> None:
        for name in self.names:
            (self._site.campaigns / f"{name}.toml").unlink()

    def are_held(self, store: Store) -> bool:
        """Whether a sender holds one of them."""
        for name in self.names:
            try:
                with store.locked_writer(f"{name}/{self.edition}"):
                    pass
            except StoreBusy:
                return True
        return False

    def have_ended(self, ledger: Ledger) -> bool:
        ended = [row.state is CampaignState.COMPLETE or row.stop_reason == UNKNOWN_CALLS for row in self.found(ledger)]
        return ended == [True] * len(self.names)
