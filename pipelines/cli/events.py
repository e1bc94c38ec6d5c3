"""Who did what to a campaign, and when: `mambo events`."""

from __future__ import annotations

from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.history import history
from mambo_io.ledger import Ledger
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.opening import open_store


def events(
    name: str | None = None, /, *, edition: str | None = None, output: Path | None = None, json: bool = False
) -> int:
    """Show who did what to a campaign, and when.

    Who planned, approved, sent, paused, settled, resolved it; without a name, who changed the list of opt-outs, or put
    a backup in the ledger's place. Telephone numbers are masked. For example:

        mambo events
        mambo events clinic-day
        mambo events clinic-day --output clinic-day-events.csv

    Parameters
    ----------
    name
        The campaign's name; none: what concerns the whole ledger.
    edition
        One edition of it; none: all of them, tests included.
    output
        Write it to this file instead: .csv, .parquet or .xlsx.
    json
        One JSON object a line.
    """
    if edition is not None and name is None:
        raise InputError("needs the campaign's name", key="--edition", value=edition)
    with open_store(load_settings()) as store:
        ledger, editions = Ledger(store), None
        if name is not None:
            one = ledger.get(name, edition)
            editions = [one] if edition is not None else [row for row in ledger.campaigns() if row.name == name]
        with store.reader() as connection:
            found = history(connection, editions)
    if output is not None:
        from mambo_io.datasets import write_dataset

        write_dataset(found, output)
        screens.say(f"{screens.count(found.height, 'event')} in {output}")
    for event in found.iter_rows(named=True) if output is None else ():
        if json:
            screens.print_json(event)
        else:
            label = "ledger" if event["campaign"] is None else f"{event['campaign']}/{event['edition']}"
            about = f"{label}  {event['event']} by {event['who']}"
            detail = f": {event['detail']}" if event["detail"] else ""
            screens.say(f"{event['at']:%Y-%m-%d %H:%M:%S}  {about}{detail}")
    return 0
