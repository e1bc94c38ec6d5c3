"""`mambo new`, `mambo estimate`, `mambo send`: from a spreadsheet to a results table."""

from __future__ import annotations

import shlex
from pathlib import Path

from mambo_io.errors import Declined, InputError
from mambo_io.ledger import Ledger
from mambo_io.masking import mask_text
from mambo_io.model import CampaignState, ChunkState, Outcome
from mambo_io.settings import MamboSettings, load_settings
from mambo_io.store import store_name
from pipelines.campaign import Campaign, check_edition, load_campaign
from pipelines.cli import screens
from pipelines.edition import Prepared
from pipelines.estimate import Estimate, make_estimate
from pipelines.opening import DEFAULT_EDITION, open_ledger, send_command
from pipelines.prepare import prepare
from pipelines.summary import CampaignSummary, summarize


def new(name: str, file: Path, /, *, phone: str | None = None, sheet: str | None = None, header_row: int = 1) -> int:
    """Write a campaign file for a spreadsheet.

    It is NAME.toml in the current folder, with the columns that were found and a comment for each key that matters.
    For example:

        mambo new clinic-day people.xlsx
        mambo new clinic-day people.xlsx --sheet Clients --phone Mobile

    Parameters
    ----------
    name
        The campaign's name: a to z, 0 to 9 and dashes.
    file
        The spreadsheet: CSV, TSV, Parquet or XLSX.
    phone
        The column with the numbers, where it is not plain.
    sheet
        The sheet, where several are filled.
    header_row
        The row with the column names, where something stands above it.
    """
    from pipelines.campaign_file import campaign_file_for

    target = Path(f"{name}.toml")
    text, notes = campaign_file_for(name, file, target, phone=phone, sheet=sheet, header_row=header_row)
    try:
        with target.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise InputError("exists already", file=target, fix="Choose another name, or edit that file.") from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=target) from None
    for note in notes:
        screens.say(f"Note: {note}")
    screens.say(f"{target} is written. Put in your message, then:", command=f"mambo estimate {target}")
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
    """Show what sending a campaign would do; nothing is sent.

    Who would get what, for how much, how long it takes, and who is turned away and why. Offline; no file is written
    but the one that `--rejected` names. For example:

        mambo estimate clinic-day.toml
        mambo estimate clinic-day.toml --rejected rejected.xlsx

    Parameters
    ----------
    file
        The campaign file.
    edition
        Which sending of it.
    rejected
        Write the rejected rows with their reasons to this file (.csv, .parquet or .xlsx). It holds full numbers.
    allow_repeat
        Also those who were sent the same text lately.
    json
        One line for a program.
    """
    campaign, settings = load_campaign(file), load_settings()
    check_edition(edition)
    if rejected is not None:
        _check_no_source(rejected, campaign)
    prepared, summed = _estimate(campaign, settings, edition, allow_repeat, open_ledger(settings))
    if rejected is not None:
        _write_rejected(prepared, rejected)
    if json:
        screens.print_json(summed)
    else:
        screens.show_estimate(summed)
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
    test_to: str | None = None,
) -> int:
    """Send a campaign, or go on where it stopped.

    It shows the estimate, asks, sends, and sums up. The same campaign and edition goes on where it stopped and never
    sends anything twice; when it is complete, nothing is sent. One Ctrl-C stops it after the calls in flight. For
    example:

        mambo send clinic-day.toml
        mambo send clinic-day.toml --edition 2 --yes
        mambo send clinic-day.toml --test-to NUMBER

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
        Also send to those who were sent the same text lately. It counts for as long as what is planned now is sent.
    accept_canary
        Go on although the first receipt did not agree with the estimate; recorded.
    test_to
        Send the message of the first row to this number instead, your own phone, and nothing else. It costs what a
        message costs, and is recorded as a test.
    """
    if test_to is not None:
        return _send_test(file, test_to, yes=yes, json=json)
    from pipelines import alerts

    with alerts.watched(file, edition, direct=direct) as told:
        summary = _send(file, edition, yes, direct, json, allow_repeat, accept_canary)
        if not told and (problem := alerts.of_summary(summary)) is not None:
            alerts.tell(problem, load_settings())
    return summary.exit_code


def _send(
    file: Path, edition: str, yes: bool, direct: bool, json: bool, allow_repeat: bool, accept_canary: bool
) -> CampaignSummary:
    from pipelines.runs import begun_edition, check_target, send_edition

    campaign, settings = load_campaign(file), load_settings()
    check_target(campaign, settings)
    command = send_command(file, edition, direct=direct)
    ledger = open_ledger(settings)
    begun = begun_edition(ledger, campaign, edition, settings)
    prepared: Prepared | None = None
    approved: str | None = None
    if begun is not None:
        assert ledger is not None  # it stands there
        if begun.closed:
            return _tell_again(summarize(ledger, begun, command=command), file, json=json)
        totals = ledger.totals(begun)
        people, left_ugx = totals.outcomes.get(Outcome.PLANNED, 0), totals.estimates.get(ChunkState.PLANNED, 0)
        yes = yes or not people
        if not (json or begun.begun):  # approved, perhaps by somebody else
            screens.show_plan(begun)
        question = f"Go on with {begun.label}, {screens.people(people)} left for UGX {left_ugx:,}?"
        if not begun.begun:
            question = f"Send {begun.label} to {screens.people(people)} for UGX {left_ugx:,}?"
    else:
        yes = yes or campaign.approval == "required"  # nothing is sent by this
    if not yes:
        screens.check_somebody_is_there("send")
    if begun is None:
        prepared, summed = _estimate(campaign, settings, edition, allow_repeat, ledger)
        if not json:
            screens.show_estimate(summed)
        if summed.obstacles:
            raise InputError(summed.obstacles[0], file=file)
        approved = prepared.plan_digest
        question = f"Send to {screens.people(summed.sendable)} for UGX {summed.estimated_ugx:,}?"
    is_first = begun is None or not begun.begun
    if not json:
        store = store_name(settings.store.get_secret_value())
        screens.say(f"Host {settings.host}, account {settings.account}, store {store}")
    if not yes:
        _ask(question, name_to_type=campaign.name if is_first and not settings.is_loopback else None)
    with screens.send_progress(campaign.name) as on_progress:
        if direct:
            summary = send_edition(
                campaign,
                settings,
                edition=edition,
                prepared=prepared,
                command=command,
                approved=approved,
                accept_canary=accept_canary,
                direct=True,
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
                on_progress=on_progress,
            )
    _tell(summary, json=json)
    return summary


def _send_test(file: Path, number: str, *, yes: bool, json: bool) -> int:
    """Without the engine: a number is no parameter of a run. Whoever tests sees what becomes of it."""
    from pipelines.own_phone import prepare_test, send_test
    from pipelines.runs import check_target

    campaign, settings = load_campaign(file), load_settings()
    check_target(campaign, settings)

    if not yes:
        screens.check_somebody_is_there("send")
    ledger = open_ledger(settings)
    with screens.working():
        prepared = prepare_test(campaign, number, ledger=ledger)
        summed = _sum_up(prepared, settings, ledger)
    if summed.obstacles:
        raise InputError(summed.obstacles[0], file=campaign.file)
    if not json:
        screens.show_test(summed)
        screens.say(f"Host {settings.host}, account {settings.account}")
    if not yes:
        _ask(
            f"Send it to {mask_text(number)} for UGX {summed.estimated_ugx:,}?",
            name_to_type=None if settings.is_loopback else campaign.name,
        )
    command = shlex.join(["mambo", "send", str(campaign.file), "--test-to", "NUMBER"])
    summary = send_test(prepared, settings, command=command)
    if json:
        screens.print_json(summary)
    else:
        screens.show_summary(summary)
    return 0 if summary.state == CampaignState.COMPLETE else 3


def _estimate(
    campaign: Campaign, settings: MamboSettings, edition: str, allow_repeat: bool, ledger: Ledger | None
) -> tuple[Prepared, Estimate]:
    with screens.working() as on_step:
        prepared = prepare(
            campaign,
            edition=edition,
            account=settings.account,
            ledger=ledger,
            allow_repeat=allow_repeat,
            on_step=on_step,
        )
        return prepared, _sum_up(prepared, settings, ledger)


def _sum_up(prepared: Prepared, settings: MamboSettings, ledger: Ledger | None) -> Estimate:
    return make_estimate(
        prepared, account=settings.account, ledger=ledger, max_cost_per_day_ugx=settings.max_cost_per_day_ugx
    )


def _ask(question: str, *, name_to_type: str | None) -> None:
    """A person says yes; the first send of an edition to a real host wants the campaign's name typed."""
    if name_to_type is None:
        agreed = screens.agreed(question)
    else:
        agreed = screens.answer(f"{question} Type the campaign's name, {name_to_type}, to send:") == name_to_type
    if not agreed:
        raise Declined("Nothing was sent.")


def _tell(summary: CampaignSummary, *, json: bool) -> None:
    if json:
        screens.print_json(summary)
        return
    screens.show_summary(summary)
    if summary.exit_code == 0:
        name, edition = summary.campaign, summary.edition
        output = shlex.quote(f"{name}-{edition}.xlsx")
        screens.say("Results:", command=f"mambo results {name} --edition {shlex.quote(edition)} --output {output}")


def _tell_again(summary: CampaignSummary, file: Path, *, json: bool) -> CampaignSummary:
    """An edition that is complete is never sent again; one that a person holds is not sent now."""
    _tell(summary, json=json)
    if not json and summary.held_by is None:
        screens.say(
            f"Edition {summary.edition} is {summary.state}; nothing was sent now. A new one goes to those who were not "
            "sent the same text lately:",
            command=send_command(file, _next_edition(summary.edition)),
        )
    return summary


def _next_edition(edition: str) -> str:
    """The number after `edition`; an edition with another name is followed by NAME-2."""
    return str(int(edition) + 1) if edition.isdecimal() else f"{edition}-2"


def _check_no_source(output: Path, campaign: Campaign) -> None:
    """A file that is written must not take the place of one that the campaign is made from."""
    for source in (campaign.file, campaign.recipients_path, *campaign.suppression_paths):
        if output.resolve() == source.resolve():
            raise InputError("is a file of the campaign itself", file=output, fix="Choose another name.")


def _write_rejected(prepared: Prepared, path: Path) -> None:
    import polars as pl

    from mambo_io.datasets import write_dataset

    of_no_use = {"e164", "network_guess", "chunk", "units", "estimated_ugx"}
    opt_outs = prepared.priced.opted_out.rename({"source": "opt_out_source"})
    frame = pl.concat(prepared.tables(only_rejected=True)).join(opt_outs, on="row", how="left", maintain_order="left")
    write_dataset(frame.drop(of_no_use.intersection(frame.columns)), path)
    screens.err.print(f"{screens.count(frame.height, 'rejected row')} in {path}", markup=False)
