"""Make the README's pictures from what the commands really print and write: `.venv/bin/python docs/pictures.py`.

The pictures of the report need a Chromium.
"""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parent
TESTS = DOCS.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "support" / "guard")]  # where the tests' browser is

from playwright.sync_api import Page  # noqa: E402 - after the path is set

from support import browser  # noqa: E402 - the same

WIDTH = 112
MAMBO = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def main() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    shown = subprocess.run([*MAMBO, "demo"], env=environment, check=True, capture_output=True, encoding="utf-8").stdout
    [folder] = re.findall(r"Ledger: +(\S+)/ledger\.db", shown)
    picture_terminal(re.sub(r"/\S*/(mambo-demo-)\w+", r"…/\1…", shown))
    picture_report(Path(folder))


def picture_terminal(shown: str) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ mambo demo\n" + shown))
    svg = console.export_svg(title="mambo demo")
    # The picture needs no font from elsewhere; the reader's own monospace font will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")
    (DOCS / "demo.svg").write_text(svg, encoding="utf-8")


def picture_report(demo: Path) -> None:
    """The top of the page, as a desktop shows it and as a telephone does."""
    report = demo / "report.html"
    command = [*MAMBO, "report", "clinic-day", "--output", str(report)]
    subprocess.run(command, env={**os.environ, "MAMBO_STORE": str(demo / "ledger.db")}, check=True)
    with browser.running() as chromium:
        for name, width, height in (("report", 960, 1000), ("report-phone", 390, 1000)):

            def picture(page: Page, width: int = width, height: int = height) -> bytes:
                clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1.5}
                options = {"format": "webp", "quality": 80, "clip": clip, "captureBeyondViewport": True}
                shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", options)
                return base64.b64decode(shot["data"])

            look = chromium.look(report, picture, width=width, height=height)
            (DOCS / f"{name}.webp").write_bytes(look)


if __name__ == "__main__":
    main()
