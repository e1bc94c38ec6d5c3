"""Looking at what was recorded: `mambo status`, `results`, `balance`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.log import log_file, log_problem
from mambo_io.model import CampaignState
from mambo_io.restored import unconfirmed_since
from mambo_io.settings import load_settings
from mambo_io.side_file import kept_replies
from pipelines.cli import screens
from pipelines.opening import open_store
from pipelines.summary import CampaignSummary, summarize

_CONFIRM = "mambo store confirm --by NAME"


@dataclass(frozen=True, slots=True)
class _Standing:
    """A campaign edition, and how many replies lie beside the ledger that it did not take."""

    summary: CampaignSummary
    kept_replies: int


@dataclass(frozen=True, slots=True)
class _Look:
    """What stands in the ledger at one moment; since when it is a backup that nobody has confirmed, if it is one."""

    standings: list[_Standing]
    restored: str | None

    @property
    def exit_code(self) -> int:
        codes = [standing.summary.exit_code for standing in self.standings]
        return max(codes, default=0) if self.restored is None else 3


def status(name: str | None = None, /, *, edition: str | None = None, watch: bool = False, json: bool = False) -> int:
    """Show how campaigns stand.

    Who got it, what it cost, what is left, which calls are unknown. The exit code is 3 when a campaign has work,
    unknown or refused calls left, or while the ledger is a backup that nobody has confirmed. For example:

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

        def look() -> _Look:
            with opened.reader() as connection:
                restored = unconfirmed_since(connection)
            rows = ledger.campaigns() if name is None else [ledger.get(name, edition)]
            standings = []
            for row in rows:
                summary = summarize(ledger, row)
                if restored is not None and not summary.is_half_erased:  # nothing else is done before
                    summary = replace(summary, next_command=_CONFIRM)
                kept = sum(len(replies.ends) for replies in kept_replies(opened.aside(row.id)))
                standings.append(_Standing(summary, kept))
            return _Look(standings, restored)

        def show(found: _Look) -> None:
            if json:
                for standing in found.standings:
                    facts = {
                        "kept_replies": standing.kept_replies,
                        "restored": found.restored,
                        "log": str(log_file()),
                        "log_problem": log_problem(),
                    }
                    screens.print_json(asdict(standing.summary) | facts)
                return
            if opened.moved_to is not None:
                screens.say(f"The ledger is now {opened.moved_to}. Here is how it stood when it was moved:")
            if found.restored is not None:
                screens.say(
                    f"The ledger is a backup, put in place on {found.restored}: it does not know what was sent since. "
                    "Nothing is sent from it before a person has found that out, and confirmed it."
                )
            if name is not None:
                screens.show_summary(found.standings[0].summary)
            elif found.standings:
                screens.show_campaigns(standing.summary for standing in found.standings)
            else:
                screens.say(f"No campaign was ever sent from {opened.name}.")
            if found.restored is not None and name is None:
                screens.say("Next:", command=_CONFIRM)
            for standing in found.standings:
                if standing.kept_replies:
                    told = f"{screens.count(standing.kept_replies, 'reply', 'replies')} that the ledger did not take"
                    screens.say(f"{standing.summary.label}: {told}, kept beside it; the next run records them first.")
            problem = log_problem()
            screens.say(f"Log: {log_file()}" + (f", which cannot be written: {problem}" if problem else ""))

        if watch:
            from pipelines.cli.watching import watch as look_again_and_again

            found = look_again_and_again(
                look, show, has_ended=_nothing_goes_on, in_place=screens.out.is_terminal and not json
            )
        else:
            show(found := look())
    return found.exit_code


def _nothing_goes_on(found: _Look) -> bool:
    """Whether no campaign is sent, or waits to be sent for the first time."""
    goes_on = (CampaignState.PLANNED, CampaignState.AWAITING_APPROVAL, CampaignState.SENDING)
    return not any(standing.summary.state in goes_on for standing in found.standings)


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
