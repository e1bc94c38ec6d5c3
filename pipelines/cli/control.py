"""What a person says to a campaign while it may be sent elsewhere: `mambo pause`, `resume`, `cancel`, `approve`."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from mambo_io import control
from mambo_io.doubts import end_orphans
from mambo_io.ledger import Ledger
from mambo_io.settings import load_settings
from mambo_io.store import StoreBusy
from pipelines.cli import screens
from pipelines.cli.people import named
from pipelines.opening import command_to_go_on, open_store


def pause(name: str, /, *, by: str, edition: str | None = None, note: str | None = None) -> int:
    """Pause a campaign from any terminal or machine.

    No call is made after this, until somebody resumes it; those that are out are waited for and recorded. Starting it
    again does not help: `mambo send` says who paused it. Your name is recorded. For example:

        mambo pause clinic-day --by Grace --note "the date on the poster is another one"

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name.
    edition
        One edition of it; none: the newest.
    note
        Why; recorded.
    """
    who = named(by, "mambo pause")
    with open_store(load_settings()) as store, store.writer() as connection:
        row = Ledger(store).get(name, edition)
        control.hold(connection, row, who=who, note=note, now=datetime.now(UTC))
    screens.say(f"{row.label} is paused: no further call is made, and those that are out are waited for.")
    screens.say("Next:", command=f"mambo resume {row.name} --edition {row.edition} --by NAME")
    return 0


def resume(name: str, /, *, by: str, edition: str | None = None, note: str | None = None) -> int:
    """Let a campaign go on that somebody has paused.

    Nothing is sent by this, unless the sender is still at work: `mambo send` goes on. For example:

        mambo resume clinic-day --by Grace

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name; recorded.
    edition
        One edition of it; none: the newest.
    note
        Why; recorded.
    """
    who = named(by, "mambo resume")
    with open_store(load_settings()) as store, store.writer() as connection:
        row = Ledger(store).get(name, edition)
        control.resume(connection, row, who=who, note=note, now=datetime.now(UTC))
    screens.say(f"{row.label} may go on.")
    screens.say("Next:", command=command_to_go_on(row))
    return 0


def cancel(name: str, /, *, by: str, edition: str | None = None, note: str | None = None) -> int:
    """Send nothing more of a campaign, for good.

    Whoever was not messaged yet is not, nor is anybody whose call the API refused. Calls that are out are waited for
    and recorded; what is unknown stays to be settled. There is no way back but another edition. For example:

        mambo cancel clinic-day --by Grace --note "clinic day is postponed"

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name; recorded.
    edition
        One edition of it; none: the newest.
    note
        Why; recorded.
    """
    who = named(by, "mambo cancel")
    with open_store(load_settings()) as store, store.writer() as connection:
        row = Ledger(store).get(name, edition)
        cancelled = control.cancel(connection, row, who=who, note=note, now=datetime.now(UTC))
        with suppress(StoreBusy), store.lock(row.label, connection):  # no sender is at work, but one may have ended
            end_orphans(connection, row, datetime.now(UTC))
    calls = screens.count(cancelled.calls, "API call")
    screens.say(f"{row.label} is cancelled: {calls} to {screens.people(cancelled.recipients)} will not be made.")
    return 0


def approve(name: str, /, *, by: str, edition: str | None = None, digest: str | None = None) -> int:
    """Say yes to what a campaign would send and cost.

    With `approval = "required"` in the campaign file, `mambo send` plans and waits for this. What you approve is what
    is sent: another list, text or sender has to be approved anew. Your name is recorded. For example:

        mambo status clinic-day
        mambo approve clinic-day --by Grace

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name.
    edition
        One edition of it; none: the newest.
    digest
        The plan that you have looked at, as `mambo status` names it; another one is refused.
    """
    who = named(by, "mambo approve")
    with open_store(load_settings()) as store, store.writer() as connection:
        row = Ledger(store).get(name, edition)
        control.approve(connection, row, who=who, digest=digest, now=datetime.now(UTC))
    screens.show_plan(row)
    screens.say(f"{row.label} is approved.")
    screens.say("Next:", command=command_to_go_on(row))
    return 0
