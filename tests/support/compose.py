"""`docs/compose.yaml`, as the tests read it: what each container runs, and what it is given."""

from __future__ import annotations

import shlex
from typing import Any

import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for the tests alone

from support.environment import REPOSITORY

FILE = REPOSITORY / "docs" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def commands(service: str) -> list[list[str]]:
    """What a container runs, one command after the other, each as its words."""
    words = shlex.split(SERVICES[service]["command"])
    if words[:2] != ["sh", "-c"]:
        return [words]
    return [shlex.split(command) for command in words[2].split(" && ")]


def environment(service: str) -> dict[str, str]:
    """What a container finds in its environment, but for its file of secrets."""
    return dict(SERVICES[service]["environment"])
