"""From the campaign file to a plan: load, normalise, validate, price, chunk. Nothing is written, nothing is sent.

The list itself is read where it lies, as often as a step needs some of its columns; of each person the steps hand on
only what was found out, some thirty bytes::

    load_recipients   the list: row, reject_reason, phone_raw, <merge fields>, <kept columns>
    normalize         the people: row, msisdn, network_guess, reject_reason
    validate          (the rules of pipelines.schemas)
    estimate          + text, encoding, units, segments, estimated_ugx; duplicates, opt-outs, repeats
    chunk             + chunk, and the table of calls

Both have the same rows in the same order, so a row of one is the row of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

import polars as pl

from mambo_io.datasets import Opened, open_dataset
from mambo_io.datasets.header import RESERVED
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.masking import mask_text
from mambo_io.opt_outs import opted_out
from pipelines.campaign import Campaign
from pipelines.chunking import ChunkPlan, chunk_recipients
from pipelines.edition import Loaded, Prepared, Priced, file_changed, file_digest, file_version
from pipelines.frames import REASONS
from pipelines.number_prefixes import networks
from pipelines.numbers import PHONE_SAMPLE_ROWS, find_phone_column, read_msisdns
from pipelines.opt_outs import SUPPRESSED, read_suppressions
from pipelines.pricing import price_messages
from pipelines.reasons import Reason
from pipelines.schemas import NORMALIZED, RAW, check_frame, priced, reject_failures
from pipelines.templates import Template
from pipelines.texts import Texts

_NAMED = 10  # columns or rows that a message lists


def prepare(
    campaign: Campaign,
    *,
    edition: str,
    account: str,
    ledger: Ledger | None,
    allow_repeat: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """All steps in a row. `ledger` (None: there is none yet) is asked who has opted out, and who was sent the same text
    lately."""
    on_step("reading the recipients")
    loaded = load_recipients(campaign)
    on_step("reading the numbers")
    people = validate(normalize(campaign, loaded))
    on_step("writing and pricing the messages")
    done = estimate(
        campaign, loaded, people, edition=edition, account=account, ledger=ledger, allow_repeat=allow_repeat
    )
    on_step("grouping the calls")
    return Prepared(campaign, edition, loaded, done, chunk(campaign, done.people))


def check_files(campaign: Campaign) -> None:
    """Raise the `InputError` with which preparing it would end, as far as column names tell: a file is not there, or
    has no such column. No row is looked at."""
    _open_recipients(campaign, _template(campaign))
    for path in campaign.suppression_paths:
        open_dataset(path)


def load_recipients(campaign: Campaign) -> Loaded:
    """Open the recipients file. Raises `InputError` for a column that is not there before any row is read."""
    wanted, path = campaign.recipients, campaign.recipients_path
    template = _template(campaign)
    version_read = file_version(path)
    opened = _open_recipients(campaign, template)
    dataset = opened.read()
    # That of a list which is read again and again is asked for when it is planned, if it still is the same.
    source_digest = "" if dataset.scanned else file_digest(path)
    if file_version(path) != version_read:
        raise file_changed(campaign)
    phone = wanted.phone or find_phone_column(_as_in_file(dataset.source.head(PHONE_SAMPLE_ROWS).collect()), path)
    columns = dict.fromkeys([*template.fields, *wanted.keep])
    source = dataset.source.select("row", "reject_reason", pl.col(phone).alias("phone_raw"), *columns)
    obstacles = []
    hidden = len(dataset.hidden_rows)
    if hidden and wanted.hidden_rows is None:
        rows = "1 row is" if hidden == 1 else f"{hidden:,} rows are"
        obstacles.append(f'{path.name}: {rows} hidden in it. Set [recipients] hidden_rows = "send" or "skip".')
    if wanted.hidden_rows == "send":
        is_hidden = pl.col("reject_reason") == Reason.HIDDEN_ROW
        source = source.with_columns(pl.when(~is_hidden).then(pl.col("reject_reason")).alias("reject_reason"))
    return Loaded(source, dataset, phone, version_read, source_digest, tuple(obstacles))


def normalize(campaign: Campaign, loaded: Loaded) -> pl.DataFrame:
    """Read the number of each row: row, msisdn, network_guess, reject_reason."""
    people = read_msisdns(
        loaded.source.select("row", "reject_reason", "phone_raw"),
        column="phone_raw",
        several=campaign.recipients.several,
    ).select("row", "msisdn", "network_guess", "reject_reason")
    return check_frame(people.collect(engine="streaming"), RAW)


def validate(people: pl.DataFrame) -> pl.DataFrame:
    return reject_failures(people, NORMALIZED)


def estimate(
    campaign: Campaign,
    loaded: Loaded,
    people: pl.DataFrame,
    *,
    edition: str,
    account: str,
    ledger: Ledger | None,
    allow_repeat: bool = False,
) -> Priced:
    """Measure and price each message; then turn away duplicates, opted-out numbers and repeats."""
    tariff = campaign.tariff
    texts = Texts(loaded.source, _template(campaign), campaign.smart_encoding)
    measured = texts.measured()
    if not texts.is_one and measured.height != people.height:
        raise file_changed(campaign)
    people = _with_texts(people, measured, same_for_all=texts.is_one)
    people = price_messages(
        people,
        ugx_per_segment=tariff.by_category.get(campaign.category, tariff.ugx_per_segment),
        by_network=tariff.by_network,
    )
    people = reject_failures(people, priced(campaign.max_segments))
    person = ["msisdn", "text"] if campaign.recipients.duplicates == "same_text" else ["msisdn"]
    people = _reject(people, _stands_earlier(people, person), Reason.DUPLICATE)
    content = people["reject_reason"].is_null()
    own = read_suppressions(campaign)
    listed = _on_the_list(ledger, people)
    opt_outs = own.numbers
    if not campaign.suppression.transactional:
        opt_outs = pl.concat([own.numbers, listed]).unique("msisdn", keep="first", maintain_order=True)
    people = _reject(people, pl.col("msisdn").is_in(opt_outs["msisdn"].implode()), Reason.OPTED_OUT)
    days = campaign.sending.repeat_guard_days
    seen_to: int | None = None
    if ledger is not None and days and not allow_repeat:
        seen_to = ledger.newest_attempt(account)  # first: what is called meanwhile is looked at again before each call
        since = datetime.now(UTC) - timedelta(days=days)
        sent = ledger.sent_pairs(account, since, other_than=(campaign.name, edition))
        people = _reject(people, _was_sent(people, texts, sent), Reason.ALREADY_SENT)
    is_open = pl.col("reject_reason").is_null()
    people = people.with_columns(pl.when(is_open).then("estimated_ugx").alias("estimated_ugx"))
    sent_anyway = None
    if campaign.suppression.transactional:
        sent_anyway = people.filter(is_open & pl.col("msisdn").is_in(listed["msisdn"].implode())).height
    return Priced(
        people,
        texts,
        content,
        own.numbers,
        _sources(people, opt_outs),
        sent_anyway,
        allow_repeat,
        seen_to,
        (*_tariff_notes(campaign), *own.notes),
        own.warnings,
    )


def chunk(campaign: Campaign, people: pl.DataFrame) -> ChunkPlan:
    sending = campaign.sending
    return chunk_recipients(
        people, chunk_size=sending.chunk_size, canary_size=sending.canary_size, concurrency=sending.concurrency
    )


def _on_the_list(ledger: Ledger | None, people: pl.DataFrame) -> pl.DataFrame:
    """Who of the people who could be messaged is on the ledger's list of opt-outs, and from where."""
    if ledger is None:
        return pl.DataFrame(schema=SUPPRESSED)
    with ledger.store.reader() as connection, connection.begin():
        return opted_out(connection, people.filter(pl.col("reject_reason").is_null())["msisdn"])


def _sources(people: pl.DataFrame, opt_outs: pl.DataFrame) -> pl.DataFrame:
    """Of each row that was turned away for it, where the opt-out is known from: row, source."""
    turned_away = people.filter(pl.col("reject_reason") == Reason.OPTED_OUT).select("row", "msisdn")
    return turned_away.join(opt_outs, on="msisdn", maintain_order="left").select("row", "source")


def _template(campaign: Campaign) -> Template:
    return Template.parse(campaign.message, file=campaign.file)


# --- columns of the file ---------------------------------------------------------------------------------------------


def _open_recipients(campaign: Campaign, template: Template) -> Opened:
    wanted, path = campaign.recipients, campaign.recipients_path
    opened = open_dataset(path, sheet=wanted.sheet, header_row=wanted.header_row, date_format=wanted.date_format)
    _check_columns(campaign, template, opened.header)
    return opened


def _check_columns(campaign: Campaign, template: Template, header: list[str]) -> None:
    """Raise an `InputError` for a merge field, phone column or kept column that the recipients file does not have."""
    wanted = campaign.recipients
    ours = [field for field in template.fields if field in RESERVED]  # the template would not know why
    asked = [
        ("message", ours),
        ("[recipients] phone", filter(None, [wanted.phone])),
        ("[recipients] keep", wanted.keep),
    ]
    for key, columns in asked:
        for column in columns:
            if column not in header:
                raise _no_such_column(campaign, key, column, header)
    template.check_columns(header)


def _no_such_column(campaign: Campaign, key: str, column: str, header: list[str]) -> InputError:
    problem = f"is no column of {campaign.recipients.path.name}"
    if column in RESERVED:
        problem += "; the results have a column of that name, so one of the file's is read with a _ behind it"
    by_folded = {name.casefold(): name for name in header}
    near = [by_folded[match] for match in get_close_matches(column.casefold(), by_folded)]
    fix = f"Did you mean {' or '.join(near)}? " if near else ""
    return InputError(
        problem, file=campaign.file, key=key, value=column, fix=f"{fix}Its columns: {mask_text(_listed(header))}."
    )


def _as_in_file(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("row", "reject_reason")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _tariff_notes(campaign: Campaign) -> list[str]:
    known = networks().categories.to_list()
    folded = {name.lower() for name in known}
    return [
        f"[tariff] by_network: no number is taken for one of {network}, so its price is not used. "
        f"Networks are {', '.join(known)}."
        for network in campaign.tariff.by_network
        if network.lower() not in folded
    ]


# --- rows and their digests ------------------------------------------------------------------------------------------


def _with_texts(people: pl.DataFrame, measured: pl.DataFrame, *, same_for_all: bool) -> pl.DataFrame:
    """Add text, encoding, units and segments, null for a rejected row; a row that has no text is rejected."""
    columns: list[pl.Series] | list[pl.Expr] = measured.get_columns()
    if same_for_all:
        columns = [pl.lit(each.item(), each.dtype).alias(each.name) for each in measured.iter_columns()]
    is_open = pl.col("reject_reason").is_null()
    return (
        people.with_columns(*columns)
        .with_columns(pl.col("reject_reason").fill_null(pl.col("reason")))
        .with_columns(pl.when(is_open).then(name).alias(name) for name in ("text", "encoding", "units", "segments"))
        .drop("reason")
    )


def _reject(people: pl.DataFrame, condition: pl.Expr | pl.Series, reason: Reason) -> pl.DataFrame:
    """Give `reason` to the open rows for which `condition` is true."""
    rejected = pl.when(pl.col("reject_reason").is_null() & condition).then(pl.lit(reason.value, REASONS))
    return people.with_columns(rejected.otherwise("reject_reason").alias("reject_reason"))


def _stands_earlier(people: pl.DataFrame, person: list[str]) -> pl.Series:
    """Boolean: an open row of the same `person` stands before it; anything for a row that is rejected."""
    is_open = people["reject_reason"].is_null()
    values = people.select(person).filter(is_open)
    if values.is_empty():
        return is_open
    again = _again(values.to_series()) if values.width == 1 else ~values.to_struct().is_first_distinct()
    place = (is_open.cum_sum().cast(pl.Int64) - 1).clip(0)
    return again.gather(place)


def _again(numbers: pl.Series) -> pl.Series:
    """Boolean: the number stands earlier, too. Few numbers stand twice, and sorting tells which, fastest."""
    ordered = numbers.sort()
    twice = ordered.filter(ordered == ordered.shift())
    candidates = numbers.is_in(twice.implode()).arg_true()
    again = pl.Series([False]).new_from_index(0, len(numbers))
    return again.scatter(candidates, ~numbers.gather(candidates).is_first_distinct())


def _was_sent(people: pl.DataFrame, texts: Texts, sent: pl.DataFrame) -> pl.Series:
    """Boolean: the pair of number and text stands in `sent` (msisdn, text_key)."""
    known = people["msisdn"].is_in(sent["msisdn"].implode()).fill_null(False)
    if not known.any():
        return known
    keys = texts.keys(people.height).alias("text_key")
    pairs = pl.DataFrame([people["row"], people["msisdn"], keys]).filter(known)
    repeated = pairs.join(sent, on=["msisdn", "text_key"], how="semi")["row"]
    return people["row"].is_in(repeated.implode())
