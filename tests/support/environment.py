"""What the tests see of the person's environment: nothing of theirs, and a home folder of its own."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GUARD = Path(__file__).resolve().parent / "guard"

_THEIRS = ("MAMBO_", "PREFECT_", "PG", "XDG_", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")


def isolate(environment: MutableMapping[str, str], home: Path) -> None:
    """Clear settings, engine profiles and proxies from `environment`; make `home` its home folder, guard its Pythons.

    Children find this repository's packages and the network guard through PYTHONPATH.
    """
    for name in list(environment):
        if name.startswith(_THEIRS) or name.lower() in _PROXIES:
            del environment[name]
    environment["HOME"] = str(home)
    environment["NETWORK_GUARD_LOG"] = str(home / "outside-contacts.log")
    environment["PYTHONPATH"] = os.pathsep.join([str(GUARD), str(REPOSITORY)])
