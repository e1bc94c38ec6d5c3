"""The browser that looks at pages for the tests: what it lets pass, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import browser as support
from support.browser import Browser

pytestmark = pytest.mark.xdist_group("browser")


def page_of(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(
        f"<!doctype html><meta name=viewport content=width=device-width><title>A page</title>{body}", encoding="utf-8"
    )
    return path


def test_it_shows_a_page_in_the_width_that_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    path = page_of(tmp_path, "<p id=hello>Good morning</p>")
    assert browser.look(path, lambda page: page.inner_text("#hello")) == "Good morning"
    assert browser.look(path, lambda page: page.evaluate("innerWidth"), width=390) == 390


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('out of paper')</script>", "console: out of paper"),
        ("<script>nowhere()</script>", "script: .*nowhere is not defined"),
        ("<img src='http://example.invalid/pixel.png'>", r"asked for http://example\.invalid/pixel\.png"),
        ("<style>@import 'http://example.invalid/x.css'</style>", r"asked for http://example\.invalid/x\.css"),
        ("<script>fetch('http://192.0.2.1/').catch(() => 0)</script>", r"asked for http://192\.0\.2\.1/"),
        ("<img src='not-there.png'>", "console: .*ERR_FILE_NOT_FOUND"),
    ],
)
def test_it_passes_nothing_that_complains_or_reaches_out(
    browser: Browser, tmp_path: Path, body: str, complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        browser.look(page_of(tmp_path, body), lambda page: page.wait_for_timeout(100))


def test_without_a_browser_a_test_is_skipped_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on this machine"), support.running():
        pass
    monkeypatch.setenv("REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="no Chromium on this machine"), support.running():
        pass
