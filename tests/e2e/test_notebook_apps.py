"""The notebooks as apps, in a real browser: they read at any width, answer to what is typed, and ask no other host."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright import sync_api

from mambo_io.store import Store
from pipelines import reconciliation
from support.browser import Browser
from support.environment import REPOSITORY
from support.ledgers import every_outcome
from support.processes import started

pytestmark = pytest.mark.xdist_group("browser")

_PATIENCE_S = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A campaign with every outcome."""
    path = str(tmp_path_factory.mktemp("ledger") / "ledger.db")
    with Store(path, create=True) as opened, opened.writer() as connection:
        every_outcome(connection)
    return path


@pytest.fixture(scope="module")
def apps(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of what `marimo run notebooks` serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ("-m", "marimo", "run", REPOSITORY / "notebooks", "--headless", "--no-token", "--port", str(port))
    address, folder = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("apps")
    with started(sys.executable, *serve, cwd=folder, env={"MAMBO_STORE": store}) as process:
        end = time.monotonic() + _PATIENCE_S
        while not _answers(address):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.1)
        yield address


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("width", [1280, 390])
def test_a_campaign(width: int, browser: Browser, apps: str, store: str) -> None:
    total = reconciliation.cut(reconciliation.books(store=store)).row(0, named=True)

    def look(page: sync_api.Page) -> tuple[str, int, int]:
        page.get_by_role("heading", name="Each of the 12 rows").wait_for()
        page.locator("canvas, svg.marks").nth(2).wait_for()
        charts = page.locator("canvas, svg.marks").count()
        return page.inner_text("body"), charts, page.evaluate("document.documentElement.scrollWidth")

    text, charts, needed = browser.look(f"{apps}/?file=campaign.py", look, width=width)
    assert f"{total['accepted']:,} of {total['recipients']:,} people were accepted" in text
    assert f"It cost UGX {total['charged_ugx']:,}, and UGX {total['estimated_ugx']:,} was estimated" in text
    assert charts == 3, "outcomes, networks, why it cost what it did"
    assert needed <= width, "nobody has to scroll sideways"
    assert re.findall(r"7\d{8}", text) == []


def test_what_is_typed_is_priced_at_once(browser: Browser, apps: str) -> None:
    def look(page: sync_api.Page) -> None:
        page.get_by_role("heading", name="UGX 100,000 for 1,000 people").wait_for()
        page.get_by_role("textbox", name="The text").fill("Clinic day is Friday.")
        page.get_by_role("heading", name="UGX 50,000 for 1,000 people").wait_for()

    browser.look(f"{apps}/?file=what_would_it_cost.py", look, width=390)
