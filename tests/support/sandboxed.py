"""Campaigns that go to a sandbox: their people, and the settings that point at it."""

from __future__ import annotations

from collections.abc import Collection

from mambo_io.sandbox import SandboxHandle
from mambo_io.settings import MamboSettings, load_settings

UNREACHABLE = "+25671"  # a network that a sandbox may call unsupported


def people(count: int, *, block: int = 0, unreachable: Collection[int] = ()) -> str:
    """A list of `count` people as CSV; another block, other people. Those whose index is in `unreachable` are on
    the network above. The first person has the index 0 and stands in row 2."""
    prefixes = ("0712" if index in unreachable else "0772" for index in range(count))
    return "\n".join(["phone", *(f"{prefix}{block:02d}{index:04d}" for index, prefix in enumerate(prefixes)), ""])


def rows(count: int) -> range:
    """The numbers of the rows in which `count` people stand."""
    return range(2, count + 2)


def environment(sandbox: SandboxHandle, store: str) -> dict[str, str]:
    """The settings of a process that sends to `sandbox` and keeps its ledger in `store`."""
    return {
        "MAMBO_BASE_URL": sandbox.url,
        "MAMBO_API_KEY": sandbox.api_key,
        "MAMBO_USERNAME": sandbox.username,
        "MAMBO_PASSWORD": sandbox.password,
        "MAMBO_STORE": store,
    }


def settings(sandbox: SandboxHandle, store: str) -> MamboSettings:
    """The same settings for this process."""
    return load_settings(base_url=sandbox.url, api_key=sandbox.api_key, store=store)
