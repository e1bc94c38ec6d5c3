"""What a person decides about calls: `mambo retry`."""

from __future__ import annotations

from datetime import UTC, datetime

from mambo_io.decisions import retry_refused
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.cli.people import named
from pipelines.opening import command_to_go_on, open_store


def retry(name: str, /, *, refused: bool = False, by: str, edition: str | None = None) -> int:
    """Put the calls that the API refused back into the plan.

    For when what it refused is set right, a sender ID that was not registered for instance. Nothing is sent by this:
    `mambo send` goes on with them. Who decided it is recorded. For example:

        mambo retry clinic-day --refused --by Grace

    Parameters
    ----------
    name
        The campaign's name.
    refused
        The calls that the API refused; no others can be put back.
    by
        Who decides it.
    edition
        One edition of the campaign; none: the newest.
    """
    if not refused:
        raise InputError("needs --refused: only calls that the API refused can be put back", file="mambo retry")
    who = named(by, "mambo retry")
    with open_store(load_settings()) as store:
        row = Ledger(store).get(name, edition)
        with store.locked_writer(row.label) as connection:
            back = retry_refused(connection, row, who=who, now=datetime.now(UTC))
    calls = screens.count(back.calls, "API call")
    screens.say(f"{calls} to {screens.people(back.recipients)} planned again in {row.label}.")
    screens.say("Next:", command=command_to_go_on(row))
    return 0
