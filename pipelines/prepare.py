"""From the campaign file to a plan: load, normalise, validate, price, chunk. Nothing is written, nothing is sent.

Each step takes the frame and gives it back with more columns and the same rows::

    load_recipients   row, reject_reason, phone_raw, <merge fields>, <kept columns>
    normalize         + e164, network_guess
    validate          (the rules of pipelines.schemas)
    estimate          + message, encoding, units, segments, estimated_ugx; duplicates, opt-outs, repeats
    chunk             + chunk, and the table of calls

No step joins a helper column to the frame: the file's own columns keep their names, and one may be named like it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

import polars as pl

from mambo_io.datasets import Dataset, read_dataset, read_header
from mambo_io.datasets.header import RESERVED
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.masking import mask_text
from mambo_io.planning import Plan
from pipelines import __version__
from pipelines.campaign import Campaign
from pipelines.chunking import ChunkPlan, chunk_recipients, text_key
from pipelines.frames import Reason
from pipelines.messages import measure_messages, render_messages
from pipelines.number_prefixes import prefix_verdicts
from pipelines.numbers import find_phone_column, normalize_numbers
from pipelines.pricing import price_messages
from pipelines.schemas import NORMALIZED, RAW, check_frame, priced, reject_failures
from pipelines.templates import Template

_NAMED = 10  # columns or rows that a message lists
_DIGEST_BYTES = 16
_DIGESTED_AT_ONCE = 100_000  # pairs, so that millions of them need no list of Python's integers


@dataclass(frozen=True)
class Loaded:
    """The recipients file as it was read. `obstacles` are reasons not to send before a person has decided."""

    frame: pl.DataFrame
    dataset: Dataset
    phone_column: str
    source_digest: str  # of the file's bytes
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Priced:
    """The frame with every text, price and reason; `content_digest` names who would be sent which text."""

    frame: pl.DataFrame
    content_digest: str
    suppressed: pl.DataFrame  # msisdn (Int64), source (String)
    allow_repeat: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A campaign edition, ready to be planned."""

    campaign: Campaign
    edition: str
    loaded: Loaded
    priced: Priced
    chunks: ChunkPlan

    @property
    def frame(self) -> pl.DataFrame:
        return self.chunks.frame

    @property
    def plan_digest(self) -> str:
        """Names exactly what would be sent and for how much: what a person approves is what is sent."""
        calls = self.chunks.chunks
        sendable = self.frame.select(_msisdn(), "chunk").drop_nulls()
        facts = [
            self.campaign.name,
            self.edition,
            self.priced.content_digest,
            _pairs_digest(sendable.join(calls.select("chunk", "text_key"), on="chunk")),
            calls.height,
            int(calls["expected_ugx"].sum()),
        ]
        return _digest("\n".join(map(str, facts)).encode())

    def plan(self, *, account: str, host: str) -> Plan:
        campaign = self.campaign
        return Plan(
            name=campaign.name,
            edition=self.edition,
            account=account,
            host=host,
            content_digest=self.priced.content_digest,
            plan_digest=self.plan_digest,
            source=str(campaign.recipients.path),
            source_digest=self.loaded.source_digest,
            sender_id=campaign.sender_id,
            category=campaign.category,
            message=campaign.message,
            settings=campaign.model_dump(mode="json") | {"allow_repeat": self.priced.allow_repeat},
            kept_columns=tuple(dict.fromkeys(campaign.recipients.keep)),
            versions={"mambo-pipelines": __version__} | {name: version(name) for name in ("phonenumbers", "polars")},
            canary_calls=self.chunks.canary_calls,
            recipients=self.frame,
            chunks=self.chunks.chunks,
            suppressed=self.priced.suppressed,
        )


def prepare(
    campaign: Campaign,
    *,
    edition: str,
    account: str,
    ledger: Ledger | None,
    allow_repeat: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """All steps in a row. `ledger` (None: there is none yet) is asked who was sent the same text lately."""
    on_step("reading the recipients")
    loaded = load_recipients(campaign)
    on_step("reading the numbers")
    frame = normalize(campaign, loaded.frame)
    frame = validate(frame)
    on_step("writing and pricing the messages")
    done = estimate(campaign, frame, edition=edition, account=account, ledger=ledger, allow_repeat=allow_repeat)
    on_step("grouping the calls")
    return Prepared(campaign, edition, loaded, done, chunk(campaign, done.frame))


def load_recipients(campaign: Campaign) -> Loaded:
    """Read the recipients file. Raises `InputError` for a column that is not there before any row is read."""
    wanted, path = campaign.recipients, campaign.recipients_path
    template = _template(campaign)
    _check_columns(campaign, template, read_header(path, sheet=wanted.sheet, header_row=wanted.header_row))
    source_digest = file_digest(path)
    dataset = read_dataset(path, sheet=wanted.sheet, header_row=wanted.header_row, date_format=wanted.date_format)
    phone = wanted.phone or find_phone_column(_as_in_file(dataset), path)
    columns = dict.fromkeys([*template.fields, *wanted.keep])
    frame = dataset.frame.select("row", "reject_reason", pl.col(phone).alias("phone_raw"), *columns)
    obstacles = []
    hidden = len(dataset.hidden_rows)
    if hidden and wanted.hidden_rows is None:
        rows = "1 row is" if hidden == 1 else f"{hidden:,} rows are"
        obstacles.append(f'{path.name}: {rows} hidden in it. Set [recipients] hidden_rows = "send" or "skip".')
    if wanted.hidden_rows == "send":
        is_hidden = pl.col("reject_reason") == Reason.HIDDEN_ROW
        frame = frame.with_columns(pl.when(~is_hidden).then(pl.col("reject_reason")).alias("reject_reason"))
    return Loaded(check_frame(frame, RAW), dataset, phone, source_digest, tuple(obstacles))


def normalize(campaign: Campaign, frame: pl.DataFrame) -> pl.DataFrame:
    return normalize_numbers(frame, column="phone_raw", several=campaign.recipients.several)


def validate(frame: pl.DataFrame) -> pl.DataFrame:
    return reject_failures(frame, NORMALIZED)


def estimate(
    campaign: Campaign,
    frame: pl.DataFrame,
    *,
    edition: str,
    account: str,
    ledger: Ledger | None,
    allow_repeat: bool = False,
) -> Priced:
    """Write, measure and price each message; then turn away duplicates, opted-out numbers and repeats."""
    tariff = campaign.tariff
    frame = render_messages(frame, _template(campaign), smart_encoding=campaign.smart_encoding)
    frame = measure_messages(frame)
    frame = price_messages(
        frame,
        ugx_per_segment=tariff.by_category.get(campaign.category, tariff.ugx_per_segment),
        by_network=tariff.by_network,
    )
    frame = reject_failures(frame, priced(campaign.max_segments))
    person = ["e164", "message"] if campaign.recipients.duplicates == "same_text" else ["e164"]
    again = _open(frame).filter(~pl.struct(person).is_first_distinct())
    frame = _reject(frame, pl.col("row").is_in(again["row"].implode()), Reason.DUPLICATE)
    pairs = _pairs(frame)
    content_digest = _digest(f"{campaign.category}\n{campaign.sender_id}\n{_pairs_digest(pairs)}".encode())
    suppressed, notes = read_suppressions(campaign)
    frame = _reject(frame, _msisdn().is_in(suppressed["msisdn"].implode()), Reason.OPTED_OUT)
    days = campaign.sending.repeat_guard_days
    if ledger is not None and days and not allow_repeat:
        since = datetime.now(UTC) - timedelta(days=days)
        sent = ledger.sent_pairs(account, since, other_than=(campaign.name, edition))
        repeated = pairs.join(sent, on=["msisdn", "text_key"], how="semi")
        frame = _reject(frame, pl.col("row").is_in(repeated["row"].implode()), Reason.ALREADY_SENT)
    frame = frame.with_columns(pl.when(pl.col("reject_reason").is_null()).then("estimated_ugx").alias("estimated_ugx"))
    return Priced(frame, content_digest, suppressed, allow_repeat, (*_tariff_notes(campaign), *notes))


def chunk(campaign: Campaign, frame: pl.DataFrame) -> ChunkPlan:
    sending = campaign.sending
    return chunk_recipients(
        frame, chunk_size=sending.chunk_size, canary_size=sending.canary_size, concurrency=sending.concurrency
    )


def read_suppressions(campaign: Campaign) -> tuple[pl.DataFrame, list[str]]:
    """The numbers of the campaign's opt-out files (msisdn, source), and what could not be read in them.

    Raises `InputError` for a file that cannot be read, and for one in which nothing is a number.
    """
    found, notes = [pl.DataFrame(schema={"msisdn": pl.Int64, "source": pl.String})], []
    for path in campaign.suppression_paths:
        dataset = read_dataset(path)
        cells = dataset.frame.select("row", pl.col(_opt_out_column(_as_in_file(dataset), path)).alias("phone"))
        judged = normalize_numbers(cells)
        good = judged.filter(pl.col("e164").is_not_null())
        if good.is_empty():
            raise InputError(
                f"none of its {judged.height:,} opt-outs is a mobile number of Uganda",
                file=path,
                fix="Correct the list, or take it out of [suppression] paths.",
            )
        if unread := judged.height - good.height:
            rows = judged.filter(pl.col("e164").is_null()).select(pl.format("{} ({})", "row", "reject_reason"))
            notes.append(
                f"{path.name}: {unread:,} of {judged.height:,} opt-outs are no mobile number of Uganda and hold nobody "
                f"back: row {_listed(rows.to_series().to_list())}."
            )
        found.append(good.select(_msisdn(), pl.lit(path.name).alias("source")))
    return pl.concat(found).unique("msisdn", keep="first", maintain_order=True), notes


def file_digest(path: Path) -> str:
    """Of the file's bytes; an empty string when it is not there any more."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def _template(campaign: Campaign) -> Template:
    return Template.parse(campaign.message, file=campaign.file)


# --- columns of the file ---------------------------------------------------------------------------------------------


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


def _opt_out_column(frame: pl.DataFrame, path: Path) -> str:
    """The column with the numbers: the only one, or the one that is plainly the phone column."""
    if frame.width == 1:
        return frame.columns[0]
    try:
        return find_phone_column(frame, path)
    except InputError:
        raise InputError(
            "it is not plain which column of this opt-out list holds the numbers",
            file=path,
            fix=f"Name one column phone, and no other so. Its columns: {mask_text(_listed(frame.columns))}.",
        ) from None


def _as_in_file(dataset: Dataset) -> pl.DataFrame:
    return dataset.frame.drop("row", "reject_reason")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _tariff_notes(campaign: Campaign) -> list[str]:
    known = sorted(prefix_verdicts()["network_guess"].drop_nulls().unique())
    folded = {name.lower() for name in known}
    return [
        f"[tariff] by_network: no number is taken for one of {network}, so its price is not used. "
        f"Networks are {', '.join(known)}."
        for network in campaign.tariff.by_network
        if network.lower() not in folded
    ]


# --- rows and their digests ------------------------------------------------------------------------------------------


def _open(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that nothing has turned away yet."""
    return frame.filter(pl.col("reject_reason").is_null())


def _reject(frame: pl.DataFrame, condition: pl.Expr, reason: Reason) -> pl.DataFrame:
    """Give `reason` to the open rows for which `condition` is true."""
    rejected = pl.when(pl.col("reject_reason").is_null() & condition).then(pl.lit(reason.value))
    return frame.with_columns(rejected.otherwise("reject_reason").alias("reject_reason"))


def _msisdn() -> pl.Expr:
    return pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias("msisdn")


def _pairs(frame: pl.DataFrame) -> pl.DataFrame:
    """Who would be sent what: row, msisdn, text_key (all Int64) of the open rows. A text is digested once."""
    people = _open(frame).select("row", _msisdn(), "message")
    texts = people.select(pl.col("message").unique())
    texts = texts.with_columns(pl.col("message").map_elements(text_key, return_dtype=pl.Int64).alias("text_key"))
    return people.join(texts, on="message", how="left").select("row", "msisdn", "text_key")


def _pairs_digest(pairs: pl.DataFrame) -> str:
    """Of the set of (msisdn, text_key) pairs, whatever their order."""
    pairs = pairs.select("msisdn", "text_key").sort("msisdn", "text_key")
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for column in pairs.iter_columns():
        for start in range(0, pairs.height, _DIGESTED_AT_ONCE):
            digest.update(array("q", column.slice(start, _DIGESTED_AT_ONCE)))
    return digest.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
