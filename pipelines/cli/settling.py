"""What becomes of unknown calls: `mambo settle` asks the money, `mambo resolve` takes a person's word."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.settings import load_settings
from mambo_io.settled import record_not_sent, record_person, record_sent, settle_state
from pipelines.cli import screens
from pipelines.runs import held_edition, planned_rules, who
from pipelines.settling import settle_unknown, unknown_attempt
from pipelines.summary import summarize


def settle(name: str, /, *, edition: str | None = None, json: bool = False) -> int:
    """Find out from the account's balance which unknown calls were sent.

    Reads the balance once while nothing is in flight (with MAMBO_USERNAME and MAMBO_PASSWORD), and concludes only what
    every explanation of the money shares. What stays unknown is for `mambo resolve`. For example:

        mambo settle clinic-day

    Parameters
    ----------
    name
        The campaign's name.
    edition
        One edition of it; none: the newest.
    json
        One line for a program.
    """
    settings = load_settings()
    with held_edition(settings, name, edition) as (ledger, connection, row):
        settled = settle_unknown(ledger, connection, row, settings, planned_rules(ledger, row, settings), who=who())
        return _end(ledger, connection, row, json=json, said=f"{settled.sent} were sent, {settled.not_sent} were not.")


def resolve(
    name: str,
    call: str | None = None,
    /,
    *,
    accepted: bool = False,
    not_sent: bool = False,
    by: str,
    note: str,
    row: int | None = None,
    edition: str | None = None,
    json: bool = False,
) -> int:
    """Record what a person found out about an unknown call, or about one unverified recipient.

    For example, after a word with the provider:

        mambo resolve clinic-day c0007 --accepted --by Grace --note "their log shows it, 14:02"
        mambo resolve clinic-day --row 17 --not-sent --by Grace --note "asked the patient"

    Parameters
    ----------
    name
        The campaign's name.
    call
        An unknown API call, as `mambo status` names it.
    accepted
        It was executed: nobody in it is messaged again.
    not_sent
        It was not: its recipients are planned again. Of a single recipient: was not reached.
    by
        Who says so.
    note
        Where that is known from.
    row
        One unverified recipient, by the row of the spreadsheet, instead of a call.
    edition
        One edition of the campaign; none: the newest.
    json
        One line for a program.
    """
    if accepted == not_sent:
        raise InputError("needs one of --accepted and --not-sent", file="mambo resolve")
    if (call is None) == (row is None):
        raise InputError("needs an API call, or one recipient's --row", file="mambo resolve")
    if not by.strip() or not note.strip():
        raise InputError("needs a name in --by and a reason in --note", file="mambo resolve")
    with held_edition(load_settings(), name, edition) as (ledger, connection, campaign):
        now = datetime.now(UTC)
        if row is not None:
            record_person(connection, campaign, row, reached=accepted, note=note, who=by, now=now)
            return _end(ledger, connection, campaign, json=json, said=f"Row {row} is recorded.")
        attempt = unknown_attempt(ledger, campaign, call or "")
        if accepted:
            # What it cost is not known from a person's word.
            record_sent(
                connection,
                campaign,
                attempt,
                cost_ugx=None,
                everybody=True,
                reason="resolved",
                evidence=note,
                who=by,
                now=now,
            )
        else:
            record_not_sent(
                connection, campaign, attempt, reason="resolved", evidence=note, at_the_end=False, who=by, now=now
            )
        return _end(ledger, connection, campaign, json=json, said=f"{call} is recorded.")


def _end(ledger: Ledger, connection: Connection, row: CampaignRow, *, json: bool, said: str) -> int:
    settle_state(connection, row, datetime.now(UTC))
    row = ledger.get(row.name, row.edition)
    summary = summarize(ledger, row)
    if json:
        screens.print_json(summary)
    else:
        screens.say(said)
        screens.show_summary(summary)
    return summary.exit_code
