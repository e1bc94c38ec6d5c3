"""The ledger's store: `mambo store info`, `backup`, `restore`, `confirm`, `move`, `archive`, `bring-back`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cyclopts import App

from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.settings import load_settings
from pipelines.cli import screens
from pipelines.cli.people import named
from pipelines.opening import open_store

store = App(name="store", help="Look at the ledger's store, back it up, move it, archive.")


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
        if opened.moved_to is not None:
            facts["moved_to"] = opened.moved_to
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
def restore(file: Path | None = None, /) -> int:
    """Put a backup in the place of a SQLite ledger, or say that PostgreSQL's tools have done so.

    The ledger that is there is kept under another name. The backup does not know what was sent after it was made, so
    nothing is sent from it before `mambo store confirm`. PostgreSQL: stop every sender, put the dump back with
    pg_restore, then give this command, without a file, before anything is sent. For example:

        mambo store restore ledger-before-friday.db

    Parameters
    ----------
    file
        What `mambo store backup` wrote; or the ledger itself, where a copy was put in its place by hand. PostgreSQL:
        none.
    """
    from mambo_io.restored import mark_restored
    from mambo_io.restored import restore as put_in_place
    from pipelines.runs import who

    settings, now = load_settings(), datetime.now(UTC)
    if file is None:
        with open_store(settings) as opened:
            if opened.is_sqlite:
                raise InputError("needs the backup's FILE", file="mambo store restore")
            newest_call, open_campaigns = mark_restored(opened, who=who(), now=now)
        screens.say(f"{opened.name} is taken for a backup; it ends with call {newest_call}")
        _say_what_next(open_campaigns)
        return 0
    restored = put_in_place(settings.store.get_secret_value(), file, who=who(), now=now)
    screens.say(f"{restored.path} is now a copy of {file}")
    if restored.replaced is not None:
        what = "The log of the ledger" if restored.replaced.name.endswith("-wal") else "The ledger"
        screens.say(f"{what} that was there is {restored.replaced}")
    if restored.was_moved:
        screens.say("It had been moved to another store: what was sent from there is not in it")
    if restored.calls_noted > restored.newest_call:
        lost = screens.count(restored.calls_noted - restored.newest_call, "API call")
        screens.say(f"{lost} made since are not in it")
    _say_what_next(restored.open_campaigns)
    return 0


def _say_what_next(open_campaigns: Sequence[str]) -> None:
    if open_campaigns:
        screens.say(f"Unfinished in it, and perhaps sent since: {', '.join(open_campaigns)}")
    screens.say("Nothing is sent before you have found out what was sent since, and said so:")
    screens.say("  mambo store confirm --by NAME")


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

    who = named(by, "mambo store confirm")
    with open_store(load_settings()) as opened, opened.writer() as connection:
        record_confirmation(connection, who=who, now=datetime.now(UTC))
    screens.say(f"{opened.name} may be sent from again")
    return 0


@store.command
def move(url: str, /, *, by: str, json: bool = False) -> int:
    """Copy a SQLite ledger whole to an empty PostgreSQL database, and go on from there.

    Every row is read back from PostgreSQL and compared before anything changes. Nobody may be sending or settling
    meanwhile. From then on the SQLite ledger may only be read: every command that would send or write says where the
    ledger is now. A move that was interrupted is ended by the same command. For example:

        mambo store move postgresql://mambo@db.example/mambo --by Grace

    Parameters
    ----------
    url
        The database, as MAMBO_STORE will name it. A password may stand in PGPASSWORD or ~/.pgpass instead.
    by
        Your name; recorded.
    json
        One line for a program.
    """
    from mambo_io.moving import move as move_whole

    who = named(by, "mambo store move")
    with open_store(load_settings()) as opened, screens.working() as on_step:
        moved = move_whole(
            opened,
            url,
            who=who,
            now=datetime.now(UTC),
            on_progress=lambda step, done, total: on_step(f"{step}: {done:,} of {total:,} rows"),
        )
    if json:
        facts = {"moved_to": moved.target, "rows": moved.rows, "campaign_editions": moved.editions}
        screens.print_json(facts | {"recipients": moved.recipients, "charged_ugx": moved.charged_ugx})
        return 0
    screens.say(f"{opened.name} is now {moved.target}")
    screens.say(
        f"Read back and compared, row by row: {screens.count(moved.editions, 'campaign edition')}, "
        f"{screens.people(moved.recipients)}, UGX {moved.charged_ugx:,} charged"
    )
    screens.say("Set MAMBO_STORE to it wherever mambo runs, then: mambo status")
    screens.say("The SQLite file may only be read from now on. It still holds everybody: delete it when you are sure.")
    return 0


@store.command
def archive(
    name: str | None = None,
    /,
    *,
    output: Path,
    by: str,
    edition: str | None = None,
    older_than: str | None = None,
    json: bool = False,
) -> int:
    """Move the people of finished campaigns out of the ledger into Parquet files.

    The results of each edition go to FOLDER/campaign=NAME/edition=EDITION/recipients.parquet, with numbers in full. The
    file is read back and compared before a row leaves the ledger, which remembers where it is: `mambo results`,
    `report`, `status` and notebooks go on as before. Calls and money stay. Editions that are not finished, or have a
    call of which nobody knows, are named and left. The same command ends what was interrupted. For example:

        mambo store archive clinic-day --output /srv/archive --by Grace
        mambo store archive --older-than 180d --output /srv/archive --by Grace

    Parameters
    ----------
    name
        The campaign's name.
    output
        A folder that stays where it is.
    by
        Your name; recorded.
    edition
        One edition of it; none: all of them.
    older_than
        Instead of a name: every edition that ended so long ago, as 180d.
    json
        One line for a program.
    """
    from pipelines.archive import archivable
    from pipelines.archive import archive as archive_editions
    from pipelines.erasure import days_of

    if (name is None) == (older_than is None) or (edition is not None and name is None):
        raise InputError("needs a campaign's name, or --older-than", file="mambo store archive")
    who = named(by, "mambo store archive")
    now = datetime.now(UTC)
    days = None if older_than is None else days_of(older_than)
    with open_store(load_settings()) as opened, screens.working() as on_step:
        found = archivable(opened, name, edition, older_than_days=days, now=now)
        archive_editions(
            opened,
            found.editions,
            output,
            who=who,
            now=now,
            on_progress=lambda row, done: on_step(f"archiving {row.label}: {done:,} of {screens.people(row.rows)}"),
        )
    if json:
        screens.print_json({"archived": [row.label for row in found.editions], "left": found.left})
    else:
        for why in found.left:
            screens.say(f"Left: {why}")
        for row in found.editions:
            screens.say(f"{row.label}: {screens.people(row.rows)} archived")
        if found.editions:
            screens.say(f"Keep {output} where it is, and back it up with the ledger: it holds the numbers.")
        elif not found.left:
            screens.say("There is nothing to archive.")
    return 3 if found.left else 0


@store.command
def bring_back(name: str, /, *, by: str, edition: str | None = None) -> int:
    """Put the people of an archived campaign into the ledger again, and remove the file.

    For example:

        mambo store bring-back clinic-day --edition 1 --by Grace

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name; recorded.
    edition
        One edition of it; none: the newest.
    """
    from pipelines.archive import bring_people_back

    who = named(by, "mambo store bring-back")
    with open_store(load_settings()) as opened, screens.working() as on_step:
        row = bring_people_back(
            opened,
            name,
            edition,
            who=who,
            now=datetime.now(UTC),
            on_progress=lambda done: on_step(f"brought back: {done:,}"),
        )
    screens.say(f"{row.label}: {screens.people(row.rows)} in the ledger again")
    return 0
