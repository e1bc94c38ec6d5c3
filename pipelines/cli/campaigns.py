"""`mambo new`, `mambo estimate`, `mambo send`: from a spreadsheet to a results table."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from mambo_io.errors import Declined, InputError
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import store_name
from pipelines.campaign import Campaign, load_campaign
from pipelines.cli import screens
from pipelines.estimate import Estimate, make_estimate
from pipelines.prepare import Prepared, prepare
from pipelines.runs import DEFAULT_EDITION, begun_edition, check_target, open_ledger, send_edition
from pipelines.summary import CampaignSummary


def new(name: str, file: Path, /) -> int:
    """Write NAME.toml, a commented campaign file for the spreadsheet FILE, with the columns found in it.

    Parameters
    ----------
    name
        The campaign's name: a to z, 0 to 9 and dashes.
    file
        The spreadsheet: CSV, TSV, Parquet or XLSX.
    """
    from pipelines.campaign_file import campaign_file_for

    target = Path(f"{name}.toml")
    text = campaign_file_for(name, file, target)
    try:
        with target.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise InputError("exists already", file=target, fix="Choose another name, or edit that file.") from None
    screens.out.print(f"{target} is written. Put in your message, then: [bold]mambo estimate {target}[/bold]")
    return 0


def estimate(
    file: Path,
    /,
    *,
    edition: str = DEFAULT_EDITION,
    rejected: Path | None = None,
    allow_repeat: bool = False,
    json: bool = False,
) -> int:
    """Show what sending a campaign would do and cost. Offline: nothing is written, nothing is sent.

    Parameters
    ----------
    file
        The campaign file.
    edition
        Which sending of it.
    rejected
        Write the rejected rows with their reasons to this file (.csv, .parquet or .xlsx).
    allow_repeat
        Also those who were sent the same text lately.
    json
        One line for a program.
    """
    campaign, settings = load_campaign(file), load_settings()
    prepared, summed = _estimate(campaign, settings, edition, allow_repeat)
    if json:
        screens.print_json(screens.as_json(summed))
    else:
        screens.show_estimate(summed)
    if rejected is not None:
        _write_rejected(prepared, rejected)
    return 0


def send(
    file: Path,
    /,
    *,
    edition: str = DEFAULT_EDITION,
    yes: bool = False,
    direct: bool = False,
    json: bool = False,
    allow_repeat: bool = False,
    accept_canary: bool = False,
) -> int:
    """Send a campaign: plan, show the estimate, ask, send, sum up.

    The same campaign and edition goes on where it stopped and never sends anything twice; when it is complete, nothing
    is sent. Ctrl-C once stops after the calls in flight.

    Parameters
    ----------
    file
        The campaign file.
    edition
        Which sending of it; a new one starts from the beginning, without those who were sent the same text lately.
    yes
        Do not ask.
    direct
        Without the engine: no Prefect run is recorded.
    json
        End with one line for a program: the totals and `sending_seconds`.
    allow_repeat
        Also send to those who were sent the same text lately.
    accept_canary
        Go on although the first receipt did not agree with the estimate; recorded.
    """
    campaign, settings = load_campaign(file), load_settings()
    check_target(campaign, settings)
    command = f"mambo send {shlex.quote(str(file))}" + (
        f" --edition {shlex.quote(edition)}" if edition != DEFAULT_EDITION else ""
    )
    ledger = open_ledger(settings)
    begun = begun_edition(ledger, campaign, edition, settings)
    prepared: Prepared | None = None
    approved: str | None = None
    if begun is None:
        prepared, summed = _estimate(campaign, settings, edition, allow_repeat)
        if not json:
            screens.show_estimate(summed)
        if summed.obstacles:
            raise InputError(summed.obstacles[0], file=file)
        approved = summed.plan_digest
        question = f"Send to {summed.sendable:,} people for UGX {summed.estimated_ugx:,}?"
    else:
        question = f"Go on with {begun.label}?"
    if begun is None or begun.state != "complete":
        _ask(campaign, settings, question, yes=yes, quiet=json)
    if direct:
        with screens.send_progress(campaign.name) as on_progress:
            summary = send_edition(
                campaign,
                settings,
                edition=edition,
                prepared=prepared,
                command=command,
                approved=approved,
                accept_canary=accept_canary,
                on_progress=on_progress,
            )
    else:
        from pipelines.engine import send_through_engine

        summary = send_through_engine(
            file,
            settings,
            edition=edition,
            approved=approved,
            allow_repeat=allow_repeat,
            accept_canary=accept_canary,
            command=command,
        )
    _tell(summary, command, json=json)
    return summary.exit_code


def _tell(summary: CampaignSummary, command: str, *, json: bool) -> None:
    if json:
        screens.print_json(screens.as_json(summary))
        return
    screens.show_summary(summary)
    if summary.exit_code == 0:
        screens.out.print(
            f"Results: [bold]mambo results {summary.campaign} --output {summary.campaign}.xlsx[/bold]. "
            f"To send it anew: [bold]{command.split(' --edition')[0]} --edition NEW[/bold]."
        )


def _estimate(
    campaign: Campaign, settings: MamboSettings, edition: str, allow_repeat: bool
) -> tuple[Prepared, Estimate]:
    ledger = open_ledger(settings)
    with screens.working() as on_step:
        prepared = prepare(
            campaign,
            edition=edition,
            account=settings.account,
            ledger=ledger,
            allow_repeat=allow_repeat,
            on_step=on_step,
        )
        return prepared, make_estimate(prepared, account=settings.account, ledger=ledger)


def _ask(campaign: Campaign, settings: MamboSettings, question: str, *, yes: bool, quiet: bool) -> None:
    """A person says yes; a first send to a real host wants the campaign's name typed."""
    if not quiet:
        screens.out.print(
            f"Host {settings.host}, account {settings.account}, store {store_name(settings.store.get_secret_value())}"
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to be asked", fix="Add --yes to send without a question.")
    if settings.is_loopback:
        said = screens.err.input(f"{question} [y/N] ").strip().lower()
        agreed = said in ("y", "yes")
    else:
        said = screens.err.input(f"{question} Type the campaign's name to send: ").strip()
        agreed = said == campaign.name
    if not agreed:
        raise Declined("Nothing was sent.")


def _write_rejected(prepared: Prepared, path: Path) -> None:
    import polars as pl

    from mambo_io.datasets import write_dataset

    dropped = {"e164", "network_guess", "text_key", "chunk", "units", "estimated_ugx"}
    frame = prepared.frame.filter(pl.col("reject_reason").is_not_null())
    write_dataset(frame.drop(*(column for column in frame.columns if column in dropped)), path)
    screens.err.print(f"{frame.height:,} rejected rows in {path}")
