"""`python -m mambo_io.sandbox --folder DIR`: serve a local Mambo API, and say where in one line of JSON."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts

from mambo_io.errors import MamboError
from mambo_io.sandbox.options import SandboxOptions
from mambo_io.sandbox.server import serve

_app = cyclopts.App(name="python -m mambo_io.sandbox", help=__doc__, version_flags=[])


@_app.default
def _main(*, options: Annotated[SandboxOptions, cyclopts.Parameter(name="*")]) -> None:
    try:
        serve(options)
    except MamboError as error:
        print(error.message, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _app()
