"""Looking at what was recorded: `mambo status`, `results`, `balance`, `store`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cyclopts import App

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.log import log_file
from mambo_io.model import CampaignState
from mambo_io.settings import load_settings
from mambo_io.side_file import kept_replies
from pipelines.cli import screens
from pipelines.opening import open_store, send_command
from pipelines.summary import CampaignSummary, summarize

store = App(name="store", help="Look at the ledger's store, or back it up.")


@dataclass(frozen=True, slots=True)
class _Standing:
    """A campaign edition, and how many replies lie beside the ledger that it did not take."""

    summary: CampaignSummary
    kept_replies: int


def status(name: str | None = None, /, *, edition: str | None = None, watch: bool = False, json: bool = False) -> int:
    """Show how campaigns stand.

    Who got it, what it cost, what is left, which calls are unknown. The exit code is 3 when a campaign has work or
    unknown calls left. For example:

        mambo status
        mambo status clinic-day --edition 2
        mambo status clinic-day --watch

    Parameters
    ----------
    name
        One campaign; none: all of them.
    edition
        One edition of it; none: the newest.
    watch
        Look again every second, until no campaign is sent or waits to be sent, or Ctrl-C.
    json
        One JSON object a line; with `--watch` whenever something has changed.
    """
    with open_store(load_settings()) as opened:
        ledger = Ledger(opened)

        def look() -> list[_Standing]:
            rows = ledger.campaigns() if name is None else [ledger.get(name, edition)]
            return [
                _Standing(
                    summarize(ledger, row, command=send_command(Path(f"{row.name}.toml"), row.edition)),
                    sum(len(replies.ends) for replies in kept_replies(opened.aside(row.id))),
                )
                for row in rows
            ]

        def show(standings: list[_Standing]) -> None:
            if json:
                for standing in standings:
                    facts = {"kept_replies": standing.kept_replies, "log": str(log_file())}
                    screens.print_json(asdict(standing.summary) | facts)
                return
            if name is not None:
                screens.show_summary(standings[0].summary)
            elif standings:
                screens.show_campaigns(standing.summary for standing in standings)
            else:
                screens.say(f"No campaign was ever sent from {opened.name}.")
            for standing in standings:
                if standing.kept_replies:
                    told = f"{screens.count(standing.kept_replies, 'reply', 'replies')} that the ledger did not take"
                    screens.say(f"{standing.summary.label}: {told}, kept beside it; the next run records them first.")
            screens.say(f"Log: {log_file()}")

        if watch:
            from pipelines.cli.watching import watch as look_again_and_again

            standings = look_again_and_again(
                look, show, has_ended=_nothing_goes_on, in_place=screens.out.is_terminal and not json
            )
        else:
            show(standings := look())
    return max((standing.summary.exit_code for standing in standings), default=0)


def _nothing_goes_on(standings: list[_Standing]) -> bool:
    """Whether no campaign is sent, or waits to be sent for the first time."""
    goes_on = (CampaignState.PLANNED, CampaignState.AWAITING_APPROVAL, CampaignState.SENDING)
    return not any(standing.summary.state in goes_on for standing in standings)


def results(name: str, /, *, output: Path, edition: str | None = None) -> int:
    """Write the results table of a campaign to a file.

    One row for each row of the spreadsheet, with outcome and reason. The file holds full telephone numbers. For
    example:

        mambo results clinic-day --output clinic-day.xlsx

    Parameters
    ----------
    name
        The campaign's name.
    output
        Where to: .csv, .parquet or .xlsx.
    edition
        One edition; none: the newest.
    """
    from mambo_io.datasets import write_dataset
    from pipelines.schemas import RESULTS, check_frame

    with open_store(load_settings()) as opened:
        ledger = Ledger(opened)
        row = ledger.get(name, edition)
        if output.exists() and output.name == Path(row.source).name:
            raise InputError("has the name of the list of recipients", file=output, fix="Choose another name.")
        write_dataset((check_frame(piece, RESULTS) for piece in ledger.result_pieces(row)), output)
    erased = "" if row.erased_at is None else "; numbers, texts and kept columns are erased"
    screens.say(f"{screens.count(row.rows, 'row')} in {output}{erased}")
    return 0


def balance(*, unlock: bool = False, json: bool = False) -> int:
    """Ask the API for the account's balance, once.

    Needs MAMBO_USERNAME and MAMBO_PASSWORD. The reading is kept. So is a refusal: nothing asks again before `--unlock`,
    because failed attempts suspend the account.

    Parameters
    ----------
    unlock
        The credentials are right now: forget the last refusal, and ask.
    json
        One line for a program.
    """
    from pipelines.runs import read_balance, unlock_credentials

    settings = load_settings()
    if unlock:
        unlock_credentials(settings)
    reading = read_balance(settings)
    if json:
        screens.print_json({"account": settings.account, "balance_ugx": reading.balance_ugx})
    else:
        screens.say(f"Account {settings.account} at {settings.host}: UGX {reading.balance_ugx:,}")
    return 0


@store.command
def info(*, json: bool = False) -> int:
    """Where the ledger is, which version it has, and how much is in it.

    Parameters
    ----------
    json
        One line for a program.
    """
    with open_store(load_settings()) as opened:
        ledger = Ledger(opened)
        rows = ledger.campaigns()
        facts = {
            "store": opened.name,
            "schema_version": opened.schema_version,
            "size_mb": opened.size_mb(),
            "campaign_editions": len(rows),
            "recipients": sum(row.rows for row in rows),
        }
    if json:
        screens.print_json(facts)
    else:
        for key, value in facts.items():
            screens.say(f"{key.replace('_', ' ')}: {value}")
    return 0


@store.command
def backup(file: Path, /) -> int:
    """Copy a SQLite ledger to a new file; works while a campaign is being sent.

    For example:

        mambo store backup ledger-before-friday.db

    Parameters
    ----------
    file
        A file that does not exist yet.
    """
    if file.suffix == "":
        raise InputError("needs an ending such as .db", file=file)
    with open_store(load_settings()) as opened:
        opened.backup(file)
        screens.say(f"{opened.name} copied to {file}")
    return 0


@store.command
def restore(file: Path, /) -> int:
    """Put a backup in the place of a SQLite ledger.

    The ledger that is there is kept under another name. The backup does not know what was sent after it was made, so
    nothing is sent from it before `mambo store confirm`. For example:

        mambo store restore ledger-before-friday.db

    Parameters
    ----------
    file
        What `mambo store backup` wrote; or the ledger itself, where a copy was put in its place by hand.
    """
    from mambo_io.restored import restore as put_in_place
    from pipelines.runs import who

    url = load_settings().store.get_secret_value()
    restored = put_in_place(url, file, who=who(), now=datetime.now(UTC))
    screens.say(f"{restored.path} is now a copy of {file}")
    if restored.replaced is not None:
        screens.say(f"The ledger that was there is {restored.replaced}")
    if restored.calls_noted > restored.newest_call:
        lost = screens.count(restored.calls_noted - restored.newest_call, "API call")
        screens.say(f"{lost} made since are not in it")
    if restored.open_campaigns:
        screens.say(f"Unfinished in it, and perhaps sent since: {', '.join(restored.open_campaigns)}")
    screens.say("Nothing is sent before you have found out what was sent since, and said so:")
    screens.say("  mambo store confirm --by NAME")
    return 0


@store.command
def confirm(*, by: str) -> int:
    """Allow sending from a restored backup again.

    Whoever got a message after the backup was made, and is not in it as such, gets it again. Your name is recorded. For
    example:

        mambo store confirm --by Jane

    Parameters
    ----------
    by
        Your name.
    """
    from mambo_io.restored import confirm as record_confirmation

    if not by.strip():
        raise InputError("needs a name", key="--by")
    with open_store(load_settings()) as opened, opened.writer() as connection:
        record_confirmation(connection, who=by.strip(), now=datetime.now(UTC))
    screens.say(f"{opened.name} may be sent from again")
    return 0
