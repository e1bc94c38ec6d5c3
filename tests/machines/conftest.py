"""One PostgreSQL server for the ledger and for Prefect's server, as a small organisation has it; one Prefect server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mambo_io.store import Store
from support import cable, machines, postgres
from support.machines import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    campaigns = folder / "campaigns"
    campaigns.mkdir()
    with (
        postgres.running(fsync=True, binaries=postgres.system_binaries(), address=cable.ADDRESS) as database,
        database.database() as url,
        machines.prefect_on_postgres(folder, url) as server,
    ):
        machines.set_up(server, folder, campaigns)
        yield Site(server, database, campaigns)


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    """A new ledger on the site's PostgreSQL."""
    with site.database.database() as url, Store(url, create=True) as store:
        yield store
