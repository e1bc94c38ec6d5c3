"""Whether a command line is one that Prefect understands: nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App
from prefect.cli._app import _app  # `prefect.cli.app` only runs what it is given


def check_words(words: Sequence[str]) -> None:
    """Raise `CycloptsError` when what follows `prefect` on a command line holds an unknown command or option."""
    app: App = _app
    _, options, _ = app.meta.parse_args(words, exit_on_error=False, print_error=False)
    app.parse_args(options.args, exit_on_error=False, print_error=False)
