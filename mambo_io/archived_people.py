"""What the files of archived campaign editions hold about one telephone number."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, select

from mambo_io.archives import archive_of
from mambo_io.model import Outcome
from mambo_io.tables import archives, campaigns
from mambo_io.written_numbers import national_number, written_number


@dataclass(frozen=True, slots=True)
class InArchive:
    """Of one edition. `people`: the rows that have the number, their results with `kept` (JSON). `mentions`: others
    that name it, as place (cell, kept, text), row, and what stands there."""

    people: pl.DataFrame
    mentions: tuple[tuple[str, int, str], ...]


def in_archives(connection: Connection, msisdn: int) -> dict[int, InArchive]:
    """The archived editions that have or name the number, by id, in the open transaction. Reads every row of them.

    Raises `InputError` for a file that is not there, or not as it was.
    """
    found: dict[int, InArchive] = {}
    for campaign_id, kept_columns in connection.execute(
        select(archives.c.campaign_id, campaigns.c.kept_columns)
        .join(campaigns, campaigns.c.id == archives.c.campaign_id)
        .order_by(archives.c.campaign_id)
    ).all():
        archive = archive_of(connection, campaign_id)
        assert archive is not None, "what is listed as archived is"
        in_file = _in_file(archive.table(), len(json.loads(kept_columns)), msisdn)
        if in_file.people.height or in_file.mentions:
            found[campaign_id] = in_file
    return found


def _in_file(table: pl.LazyFrame, kept_columns: int, msisdn: int) -> InArchive:
    columns = table.collect_schema().names()
    names = columns[len(columns) - kept_columns :]
    kept = pl.struct(names).struct.json_encode() if names else pl.lit(None, pl.String)
    # As in the ledger: the text of whoever was called stands on the call, which is not archived.
    own_text = pl.when(pl.col("outcome") == Outcome.REJECTED.value).then("message")
    # Polars' patterns cannot look around; this one has no more in it than what all ways of writing have in common.
    digits = "[^0-9]*".join(national_number(msisdn))
    may_name = [text.str.contains(digits) for text in (pl.col("phone_raw"), own_text, *map(pl.col, names))]
    is_own = pl.col("e164").eq_missing(f"+{msisdn}")
    found = table.filter(pl.any_horizontal(is_own, *may_name)).with_columns(kept.alias("kept")).collect()
    others = found.filter(~is_own).select(pl.col("phone_raw").alias("cell"), "kept", own_text.alias("text"), "row")
    pattern = written_number(msisdn)
    mentions = [
        (place, others["row"][at], text)
        for place in ("cell", "kept", "text")
        for at, text in enumerate(others[place])
        if text is not None and pattern.search(text)
    ]
    return InArchive(found.filter(is_own), tuple(mentions))
