"""Personal data: `mambo person` and `mambo erase`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mambo_io.datasets import write_tables
from mambo_io.errors import Declined, InputError
from mambo_io.ledger import CampaignRow
from mambo_io.masking import mask_number, mask_text
from mambo_io.person import Held, held_about
from mambo_io.settings import load_settings
from mambo_io.store import Store
from pipelines.cli import screens
from pipelines.cli.people import named
from pipelines.erasure import (
    Choice,
    Overwritten,
    choose,
    choose_older,
    days_of,
    erase_editions,
    forget,
    naming_side_files,
)
from pipelines.number_rules import judge_number
from pipelines.opening import open_store

_PLACES = {
    "cell": "a cell of a list that was turned away, or of somebody else",
    "kept": "a kept column of somebody else's row",
    "reply": "a raw reply of the API",
    "event": "what a colleague wrote of a campaign",
    "account_entry": "what was entered of the account",
    "opt_out": "where an opt-out came from",
    "delivery_report": "a delivery report's words, or the name of its file",
    "campaign": "what is recorded of a campaign: a file's name, why it stopped, who paused it",
    "text": "a text of somebody else",
}


def person(
    number: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    output: Path | None = None,
    erase: bool = False,
    by: str | None = None,
    yes: bool = False,
    json: bool = False,
) -> int:
    """Show all that is held about one number, or erase it.

    Across all campaigns and editions: rows with their texts and kept columns, calls, outcomes, delivery reports,
    opt-outs, raw replies and notes that name it. The screen counts; the file holds everything, numbers in full (other
    people's are masked). While something is sent from a SQLite ledger nothing can be erased. For example:

        mambo person NUMBER --output person.xlsx
        mambo person NUMBER --erase --by Grace

    Parameters
    ----------
    number
        The number, as people type it.
    output
        Write everything to this file: .json, .xlsx or .csv.
    erase
        Erase it: number, texts and kept columns go; money, counts and an entry on the list of opt-outs stay.
    by
        Your name, with `--erase`; recorded.
    yes
        Erase without a question.
    json
        One line for a program: how much is held.
    """
    verdict = judge_number(number)
    if verdict.e164 is None:
        assert verdict.reason is not None
        raise InputError(f"is no mobile number of Uganda: {verdict.reason.meaning}", key="NUMBER", value=number)
    msisdn = int(verdict.e164[1:])
    who = named(by, "mambo person --erase") if erase else ""
    if erase and not yes:
        screens.check_somebody_is_there("erase")
    with open_store(load_settings()) as store:
        with store.reader() as connection:
            held = held_about(connection, msisdn)
        files = naming_side_files(store, msisdn)
        if output is not None:
            write_tables(held.tables, output)
        if json and not erase:
            counts = {name: table.height for name, table in held.tables.items()}
            screens.print_json({"number": mask_number(verdict.e164), **counts, "files": [str(path) for path in files]})
        if not json:
            _show_held(held, verdict.e164, store, files)
            if output is not None:
                screens.say(f"Everything, with full numbers, in {output}")
            elif not (held.is_nothing or erase):
                screens.say("All of it as a file:", command="mambo person NUMBER --output person.xlsx")
        if not erase:
            return 0
        if not yes and not screens.agreed("Erase it? It cannot be brought back."):
            raise Declined("Nothing was erased.")
        forgotten, overwritten = forget(store, msisdn, who=who, now=datetime.now(UTC))
    if json:
        screens.print_json(
            {"number": mask_number(verdict.e164), "rows": forgotten.rows, "editions": forgotten.editions}
            | {"mentions": forgotten.mentions, "left_out_of": forgotten.open_editions}
        )
        return 0
    rows = f"{screens.count(forgotten.rows, 'row')} of {screens.count(forgotten.editions, 'campaign edition')}"
    screens.say(f"Erased from {rows}, and in {screens.count(forgotten.mentions, 'other place')}.")
    for label in forgotten.open_editions:
        screens.say(f"{label} is not finished: they are left out of it. Take them out of its list, too.")
    if held.tables["opt_outs"]["campaign"].null_count():
        screens.say(
            "The opt-out stays, because nothing else holds them back; `mambo opt-outs remove` takes it off the list."
        )
    else:
        screens.say(
            "They have not opted out: a list that has the number messages them again. `mambo opt-outs add` helps."
        )
    if (texts := held.tables["mentions"].filter(place="text").height) > 0:
        screens.say(f"{screens.count(texts, 'text')} of other people name the number; `mambo erase NAME` erases those.")
    _show_overwritten(overwritten, store)
    return 0


def erase(
    name: str | None = None,
    /,
    *,
    by: str,
    edition: str | None = None,
    older_than: str | None = None,
    yes: bool = False,
    json: bool = False,
) -> int:
    """Erase numbers, names and texts of finished campaigns; money and counts stay.

    Numbers, texts, kept columns, raw replies, unsupported contacts and files of replies go, and their space is written
    anew. Row, outcome, reason, network, calls, cost and balances stay, so that reports still add up. An edition that is
    not finished, or has a call of which nobody knows, is refused. What was erased is never sent again, and the repeat
    guard does not know it any more: the same text to the same people goes out again in another edition. Nobody may be
    sending from a SQLite ledger meanwhile. The same command ends what was interrupted. For example:

        mambo erase clinic-day --by Grace
        mambo erase --older-than 180d --by Grace --yes

    Parameters
    ----------
    name
        The campaign's name.
    by
        Your name; recorded.
    edition
        One edition of it; none: all of them, tests included.
    older_than
        Instead of a name: every edition that ended so long ago, as 180d.
    yes
        Do not ask.
    json
        One line for a program.
    """
    who = named(by, "mambo erase")
    if (name is None) == (older_than is None) or (edition is not None and name is None):
        raise InputError("needs a campaign's name, or --older-than", file="mambo erase")
    if not yes:
        screens.check_somebody_is_there("erase")
    now = datetime.now(UTC)
    with open_store(load_settings()) as store:
        if name is not None:
            choice = choose(store, name, edition)
        else:
            choice = choose_older(store, days_of(older_than or ""), now)
        if not json:
            _show_choice(choice)
        if not choice.editions:
            overwritten = None
        elif yes or screens.agreed("Erase them? Nobody can bring them back."):
            with screens.working() as on_step:

                def on_progress(row: CampaignRow, done: int) -> None:
                    on_step(f"erasing {row.label}: {done:,} of {screens.people(row.rows)}")

                overwritten = erase_editions(store, choice.editions, who=who, now=now, on_progress=on_progress)
        else:
            raise Declined("Nothing was erased.")
    if json:
        labels = [row.label for row in choice.editions]
        screens.print_json({"erased": labels, "recipients": _recipients(choice), "left": choice.left})
    elif overwritten is not None:
        screens.say(f"Erased: {screens.people(_recipients(choice))}. Money and counts stay.")
        screens.say("The repeat guard does not know them any more: a new edition goes to them again.")
        _show_overwritten(overwritten, store)
    return 3 if choice.left else 0


def _show_held(held: Held, e164: str, store: Store, files: list[Path]) -> None:
    number = mask_number(e164)
    if held.is_nothing and not files:
        screens.say(f"Nothing is held about {number} in {store.name}.")
        return
    messages = held.tables["messages"]
    editions = messages.select("campaign", "edition").unique().height
    screens.say(
        f"{number}: {screens.count(messages.height, 'row')} of {screens.count(editions, 'campaign edition')}, "
        f"{screens.count(held.tables['calls'].height, 'API call')}"
    )
    for campaign, edition, row, outcome, reason, charged_ugx in messages.select(
        "campaign", "edition", "row", "outcome", "reason", "charged_ugx"
    ).iter_rows():
        why = f" ({reason})" if reason and reason != outcome else ""
        cost = "" if charged_ugx is None else f", UGX {charged_ugx:,}"
        screens.say(f"  {campaign}/{edition}, row {row}: {outcome}{why}{cost}")
    for campaign, edition, since, source in held.tables["opt_outs"].iter_rows():
        which = "every campaign" if campaign is None else f"{campaign}/{edition}"
        screens.say(f"  opted out of {which} since {since:%Y-%m-%d}: {mask_text(source)}")
    for table, what in (("delivery_reports", "delivery report"), ("unsupported_contacts", "unsupported contact")):
        if height := held.tables[table].height:
            screens.say(f"  {screens.count(height, what)}")
    for place, number_of in held.tables["mentions"]["place"].value_counts(sort=True).sort("place").iter_rows():
        screens.say(f"  named in {_PLACES[place]}: {number_of:,}")
    for path in files:
        screens.say(f"  named in a reply that the ledger has not taken: {path}")


def _show_choice(choice: Choice) -> None:
    for row in choice.erased:
        assert row.erased_at is not None
        screens.say(f"{row.label} was erased on {screens.local_time(row.erased_at)}.")
    for why in choice.left:
        screens.say(f"Left: {why}")
    for row in choice.editions:
        begun = f", ended {screens.local_time(row.ended_at)}" if row.ended_at is not None else ""
        screens.say(f"{row.label}: {screens.people(row.rows)}{begun}")
    if not choice.editions and not choice.erased:
        screens.say("There is nothing to erase.")


def _show_overwritten(overwritten: Overwritten, store: Store) -> None:
    for path in overwritten.removed:
        screens.say(f"Removed: {path}")
    for path in overwritten.others:
        screens.say(f"Left, and perhaps it holds them, too: {path}")
    for note in overwritten.notes:
        screens.say(note)
    log = "" if store.is_sqlite else ", the server's log (WAL) and replicas"
    screens.say(f"Not touched: lists, exported files, reports, backups elsewhere{log}.")


def _recipients(choice: Choice) -> int:
    return sum(row.rows for row in choice.editions)
