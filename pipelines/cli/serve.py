"""Campaigns that are sent at their time: `mambo serve`, `mambo schedule`."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.settings import load_settings
from mambo_io.store import NoLedgerYet
from pipelines.cli import screens
from pipelines.folder import CampaignFolder
from pipelines.opening import open_ledger, open_store
from pipelines.schedule import edition_of


def serve(folder: Path = Path(), /) -> int:
    """Send each campaign of a folder at its time, until Ctrl-C.

    Each file with a [schedule] becomes a deployment in Prefect, and each scheduled time an edition of its own. New and
    changed files are noticed within seconds. It needs `mambo up`, or your own Prefect server (PREFECT_API_URL). When it
    is stopped, calls in flight are waited for, and what was being sent goes on when it is started again. For example:

        mambo serve campaigns

    Parameters
    ----------
    folder
        The folder that holds the campaign files; none: the current one.
    """
    settings = load_settings()
    settings.require_api_key()
    # What is wrong is told before the engine is loaded, which takes seconds.
    CampaignFolder(folder)
    with suppress(NoLedgerYet), open_store(settings) as store, store.writer():
        pass  # whoever may only read the ledger, or has one that was moved, could send nothing
    import asyncio

    from pipelines.engine import standing_server

    with standing_server() as has_moved:
        from pipelines.serving import FolderServer

        async def run() -> None:
            await FolderServer(folder, settings, _say, has_moved).run()

        _say(f"Serving {folder.absolute()}, account {settings.account} at {settings.host}. Stop it with Ctrl-C.")
        asyncio.run(run())
    _say("Stopped.")
    return 0


def schedule(folder: Path = Path(), /, *, count: int = 3, json: bool = False) -> int:
    """Show when the campaigns of a folder are sent next, and what is wrong with their files.

    Offline; nothing is sent. Of the lists the column names are looked at, no rows. For example:

        mambo schedule campaigns

    Parameters
    ----------
    folder
        The folder that holds the campaign files; none: the current one.
    count
        How many times of each campaign.
    json
        One JSON object a line.
    """
    files = CampaignFolder(folder)
    files.read()
    if not files.files:
        raise InputError("holds no campaign file", file=folder, fix="`mambo new NAME FILE` writes one.")
    ledger = open_ledger(load_settings())
    now, problems = datetime.now(UTC), 0
    for file in files.files.values():
        campaign = file.campaign
        if campaign is None:
            assert file.problem is not None, "why there is none"
            screens.err.print(f"mambo: {file.problem.message}", markup=False, soft_wrap=True)
            problems += 1
            continue
        plan = campaign.schedule
        editions = [] if plan is None else [edition_of(at, plan.zone) for at in plan.next_times(now, count)]
        last = ledger.find(campaign.name) if ledger is not None else None
        newest = None if last is None else f"{last.edition}, {last.state}"
        problem = file.problem_at(now)
        if problem is not None:
            told = f"mambo: {campaign.name}: as its files are now, nothing would be sent: {problem.message}"
            screens.err.print(told, markup=False, soft_wrap=True)
            problems += 1
        if json:
            shown = {"campaign": campaign.name, "schedule": plan and plan.told(), "next": editions, "newest": newest}
            screens.print_json(shown | {"problem": problem and problem.message})
            continue
        screens.say(f"{campaign.name}  {plan.told() if plan is not None else 'no schedule'}")
        for edition in editions:
            screens.say(f"  next    {edition}")
        if plan is not None and not editions:
            screens.say("  next    no time of its schedule is to come")
        if newest is not None:
            screens.say(f"  newest  {newest}")
    return 2 if problems else 0


def _say(text: str) -> None:
    """A line with its time, at once, also into a pipe or a log."""
    print(f"{datetime.now(UTC).astimezone():%Y-%m-%d %H:%M:%S}  {text}", flush=True)
