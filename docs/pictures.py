"""Make the README's pictures from what the commands really print: `.venv/bin/python docs/pictures.py`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 112
MAMBO = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def main() -> None:
    folder = Path(__file__).parent
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    shown = subprocess.run([*MAMBO, "demo"], env=environment, check=True, capture_output=True, encoding="utf-8").stdout
    shown = re.sub(r"/\S*/(mambo-demo-)\w+", r"…/\1…", shown)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ mambo demo\n" + shown))
    svg = console.export_svg(title="mambo demo")
    # The picture needs no font from elsewhere; the reader's own monospace font will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")
    (folder / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
