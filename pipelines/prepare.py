"""From the campaign file to a plan: load, normalise, validate, price, chunk. Nothing is written, nothing is sent.

Each step takes the frame and gives it back with more columns and the same rows::

    load_recipients   row, reject_reason, phone_raw, <merge fields>, <kept columns>
    normalize         + e164, network_guess
    validate          (the rules of pipelines.schemas)
    estimate          + message, encoding, units, segments, estimated_ugx, text_key; duplicates, opt-outs, repeats
    chunk             + chunk, and the table of calls
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import polars as pl

from mambo_io.datasets import Dataset, read_dataset, read_header
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.planning import Plan
from pipelines import __version__
from pipelines.campaign import Campaign
from pipelines.chunking import ChunkPlan, chunk_recipients, text_key
from pipelines.frames import Reason
from pipelines.messages import measure_messages, render_messages
from pipelines.numbers import find_phone_column, normalize_numbers
from pipelines.pricing import price_messages
from pipelines.schemas import NORMALIZED, RAW, check_frame, priced, reject_failures
from pipelines.templates import Template


@dataclass(frozen=True)
class Loaded:
    """The recipients file as it was read. `obstacles` are reasons not to send before a person has decided."""

    frame: pl.DataFrame
    dataset: Dataset
    phone_column: str
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Priced:
    """The frame with every text, price and reason; `content_digest` names who would be sent which text."""

    frame: pl.DataFrame
    content_digest: str
    suppressed: pl.DataFrame  # msisdn (Int64), source (String)
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
        sendable = self.frame.filter(pl.col("reject_reason").is_null())
        calls = self.chunks.chunks
        facts = [
            self.campaign.name,
            self.edition,
            self.priced.content_digest,
            _pairs_digest(sendable),
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
            source_digest=file_digest(campaign.recipients_path),
            sender_id=campaign.sender_id,
            category=campaign.category,
            message=campaign.message,
            settings=campaign.model_dump(mode="json"),
            kept_columns=campaign.recipients.keep,
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
    """Read the recipients file. Raises `InputError` for a merge field that is no column before any row is read."""
    wanted, path = campaign.recipients, campaign.recipients_path
    template = _template(campaign)
    header = read_header(path, sheet=wanted.sheet, header_row=wanted.header_row)
    template.check_columns(header)
    for column in (*wanted.keep, *([wanted.phone] if wanted.phone else [])):
        if column not in header:
            key = "[recipients] phone" if column == wanted.phone else "[recipients] keep"
            raise InputError(
                f"is no column of {path.name}",
                file=campaign.file,
                key=key,
                value=column,
                fix=f"Its columns: {', '.join(header)}.",
            )
    dataset = read_dataset(path, sheet=wanted.sheet, header_row=wanted.header_row, date_format=wanted.date_format)
    phone = wanted.phone or find_phone_column(dataset.frame, path)
    columns = dict.fromkeys([*template.fields, *wanted.keep])
    frame = dataset.frame.select("row", "reject_reason", pl.col(phone).alias("phone_raw"), *columns)
    obstacles = []
    hidden = len(dataset.hidden_rows)
    if hidden and wanted.hidden_rows is None:
        obstacles.append(
            f'{path.name}: {hidden} rows are hidden by a filter. Set [recipients] hidden_rows = "send" or "skip".'
        )
    if wanted.hidden_rows == "send":
        is_hidden = pl.col("reject_reason") == Reason.HIDDEN_ROW
        frame = frame.with_columns(pl.when(~is_hidden).then(pl.col("reject_reason")).alias("reject_reason"))
    return Loaded(check_frame(frame, RAW), dataset, phone, tuple(obstacles))


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
    frame = _reject_where(frame, ~pl.struct(person).is_first_distinct(), Reason.DUPLICATE)
    frame = _with_text_key(frame)
    content_digest = _content_digest(campaign, frame)
    suppressed, notes = read_suppressions(campaign)
    is_suppressed = _msisdn().is_in(suppressed["msisdn"].implode())
    frame = _reject_where(frame, is_suppressed, Reason.OPTED_OUT)
    days = campaign.sending.repeat_guard_days
    if ledger is not None and days and not allow_repeat:
        since = datetime.now(UTC) - timedelta(days=days)
        sent = ledger.sent_pairs(account, since, other_than=(campaign.name, edition))
        frame = _reject_sent(frame, sent)
    unsent = pl.col("reject_reason").is_not_null()
    frame = frame.with_columns(pl.when(~unsent).then(pl.col("estimated_ugx")).alias("estimated_ugx"))
    return Priced(frame, content_digest, suppressed, tuple(notes))


def chunk(campaign: Campaign, frame: pl.DataFrame) -> ChunkPlan:
    sending = campaign.sending
    return chunk_recipients(
        frame, chunk_size=sending.chunk_size, canary_size=sending.canary_size, concurrency=sending.concurrency
    )


def read_suppressions(campaign: Campaign) -> tuple[pl.DataFrame, list[str]]:
    """The numbers of the campaign's opt-out files (msisdn, source), and what could not be read in them."""
    found, notes = [pl.DataFrame(schema={"msisdn": pl.Int64, "source": pl.String})], []
    for path in campaign.suppression_paths:
        dataset = read_dataset(path)
        column = find_phone_column(dataset.frame, path)
        judged = normalize_numbers(dataset.frame.select(pl.col(column).alias("phone")))
        good = judged.filter(pl.col("e164").is_not_null())
        if unread := judged.height - good.height:
            notes.append(f"{path.name}: {unread} of {judged.height} opt-outs are no number that could be messaged")
        found.append(good.select(_msisdn().alias("msisdn"), pl.lit(path.name).alias("source")).unique("msisdn"))
    return pl.concat(found).unique("msisdn", keep="first", maintain_order=True), notes


def file_digest(path: Path) -> str:
    """Of the file's bytes; an empty string when it is not there any more."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _template(campaign: Campaign) -> Template:
    return Template.parse(campaign.message, file=campaign.file)


def _msisdn() -> pl.Expr:
    return pl.col("e164").str.strip_prefix("+").cast(pl.Int64)


def _reject_where(frame: pl.DataFrame, condition: pl.Expr, reason: Reason) -> pl.DataFrame:
    """Give `reason` to the open rows for which `condition`, asked among the open rows only, is true."""
    open_rows = frame.filter(pl.col("reject_reason").is_null())
    rejected = open_rows.filter(condition).select("row", pl.lit(reason.value).alias("rejected"))
    if rejected.is_empty():
        return frame
    return (
        frame.join(rejected, on="row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("reject_reason", "rejected").alias("reject_reason"))
        .drop("rejected")
    )


def _with_text_key(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `text_key` (Int64), the ledger's name of a text; each distinct text is digested once."""
    texts = frame.select(pl.col("message").drop_nulls().unique())
    keys = texts.with_columns(pl.col("message").map_elements(text_key, return_dtype=pl.Int64).alias("text_key"))
    return frame.join(keys, on="message", how="left", maintain_order="left")


def _reject_sent(frame: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """Turn away the rows whose number and text were sent already (`sent`: msisdn, text_key)."""
    if sent.is_empty():
        return frame
    repeated = (
        frame.select("row", "text_key", _msisdn().alias("msisdn"))
        .join(sent, on=["msisdn", "text_key"], how="semi")
        .get_column("row")
    )
    return _reject_where(frame, pl.col("row").is_in(repeated.implode()), Reason.ALREADY_SENT)


def _content_digest(campaign: Campaign, frame: pl.DataFrame) -> str:
    pairs = _pairs_digest(frame.filter(pl.col("reject_reason").is_null()))
    return _digest(f"{campaign.category}\n{campaign.sender_id}\n{pairs}".encode())


def _pairs_digest(frame: pl.DataFrame) -> str:
    """Of the set of (number, text) pairs, whatever their order."""
    pairs = frame.select(_msisdn().alias("msisdn"), "text_key").sort("msisdn", "text_key")
    return _digest(b"".join(array("q", pairs[column].to_list()).tobytes() for column in pairs.columns))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
