"""A page looked at in headless Chromium, which must not complain and must not ask anybody but this machine.

    def test_the_page(browser: Browser) -> None:
        title = browser.look(path, lambda page: page.title(), width=390)

`look` gets Playwright's page (https://playwright.dev/python/docs/api/class-page), opened at a file or a loopback
address, and `Browser.look` gives back what it returns. Playwright's synchronous API keeps an event loop running in its
thread, where nothing else may use asyncio then; so it has a thread of its own, in which `look` runs, too.

One browser serves all tests of a process: put them into `pytest.mark.xdist_group("browser")`. Where no Chromium is
found they are skipped, or fail when REQUIRE_BROWSER is set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from playwright import sync_api

from network_guard import is_local

T = TypeVar("T")

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing of the browser's own may reach for the network either, and no resolver is asked.
_ARGUMENTS = (
    "--no-sandbox",  # root has none, and many containers neither
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_INLINE = ("file", "data", "blob", "about")


class Browser:
    """A Chromium that runs; see the module's text."""

    def __init__(self, chromium: str, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._playwright = self._call(lambda: sync_api.sync_playwright().start())
        self._chromium = self._call(
            lambda: self._playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        )

    def look(
        self,
        where: Path | str,
        look: Callable[[sync_api.Page], T],
        *,
        width: int = 1280,
        height: int = 900,
    ) -> T:
        """What `look` says of a page, in a window of this size (CSS pixels); a narrow one is a telephone's.

        Fails when the page writes an error to its console, or asks for anything that is not in a file or on loopback.
        """
        return self._call(lambda: self._looked(where, look, width, height))

    def close(self) -> None:
        self._call(self._chromium.close)
        self._call(self._playwright.stop)

    def _call(self, what: Callable[[], T]) -> T:
        return self._thread.submit(what).result()

    def _looked(self, where: Path | str, look: Callable[[sync_api.Page], T], width: int, height: int) -> T:
        complaints: list[str] = []

        def asked(url: str) -> None:
            parts = urlsplit(url)
            if parts.scheme not in _INLINE and not is_local(parts.hostname):
                complaints.append(f"asked for {url}")

        def said(message: sync_api.ConsoleMessage) -> None:
            if message.type == "error":
                complaints.append(f"console: {message.text}")

        context = self._chromium.new_context(viewport={"width": width, "height": height}, is_mobile=width < 600)
        try:
            context.on("request", lambda request: asked(request.url))
            context.on("console", said)
            context.on("weberror", lambda error: complaints.append(f"script: {error.error}"))
            page = context.new_page()
            page.on("websocket", lambda socket: asked(socket.url))
            page.goto(where.resolve().as_uri() if isinstance(where, Path) else where)
            found = look(page)
        finally:
            context.close()
        assert not complaints, "\n".join(complaints)
        return found


@contextmanager
def running() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, _NAMES)), None)
    if chromium is None:
        reason = f"no Chromium on this machine; looked for {', '.join(_NAMES)}"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with ThreadPoolExecutor(max_workers=1) as thread:
        browser = Browser(chromium, thread)
        try:
            yield browser
        finally:
            browser.close()
