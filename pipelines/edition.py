"""A campaign edition that is prepared: its list, its people, its calls, and what names them.

The list is read where it lies; `people` has a row for each of its rows, in the same order.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import polars as pl

from mambo_io.datasets import Dataset
from mambo_io.errors import InputError
from mambo_io.planning import ROWS_A_COMMIT, Plan
from pipelines import __version__
from pipelines.campaign import Campaign
from pipelines.chunking import ChunkPlan
from pipelines.texts import Texts

_DIGEST_BYTES = 16
_DIGESTED_AT_ONCE = 100_000  # pairs, so that millions of them need no list of Python's integers


@dataclass(frozen=True)
class Loaded:
    """The recipients file. `obstacles` are reasons not to send before a person has decided."""

    source: pl.LazyFrame  # row Int64, and String: reject_reason, phone_raw, the merge fields and kept columns
    dataset: Dataset
    phone_column: str
    version: tuple[int, ...]  # of the file: another one has other numbers
    source_digest: str  # of the file's bytes; empty for one that is scanned
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Priced:
    """The people with price and reason. `content` are the rows whose numbers and texts make the edition what it is."""

    people: pl.DataFrame
    texts: Texts
    content: pl.Series  # Boolean: sendable before opt-outs and repeats
    suppressed: pl.DataFrame  # msisdn (Int64), source (String): of the campaign's own files
    opted_out: pl.DataFrame  # row (Int64), source (String) of each row that is turned away for it
    listed: int | None  # of a transactional campaign: how many of those to be messaged are on the list of opt-outs
    allow_repeat: bool
    repeats_seen_to: int | None  # the account's newest call when repeats were looked for; None: they were not
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A campaign edition, ready to be planned."""

    campaign: Campaign
    edition: str
    loaded: Loaded
    priced: Priced
    chunks: ChunkPlan
    is_test: bool = False  # see pipelines.own_phone

    @property
    def people(self) -> pl.DataFrame:
        """row, msisdn, estimated_ugx, chunk (Int64), network_guess, reject_reason, encoding (Enum), units, segments
        (UInt32), text. Of a rejected row what was known when it was turned away."""
        return self.chunks.frame

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The whole table, for lists that are looked at: the columns of the list, e164, and of `people`, message."""
        return pl.concat(self.tables())

    def tables(self, *, only_rejected: bool = False) -> Iterator[pl.DataFrame]:
        """The whole table piece by piece, in the order of the rows; enumerations are written out as String.

        Raises `InputError`, at the end at the latest, when the file was changed since it was read first.
        """
        start = 0
        for piece in self.loaded.source.collect_batches(chunk_size=ROWS_A_COMMIT, maintain_order=True):
            people = self.people.slice(start, piece.height)
            start += piece.height
            if not people["row"].equals(piece["row"]):
                raise file_changed(self.campaign)
            if only_rejected:
                kept = people["reject_reason"].is_not_null()
                piece, people = piece.filter(kept), people.filter(kept)
            yield _whole(piece, people, self.priced.texts)
        self._check_unchanged()

    @cached_property
    def content_digest(self) -> str:
        """Names who would be sent which text before opt-outs and repeats, by which sender in which category."""
        campaign = self.campaign
        pairs = pl.DataFrame([self.people["msisdn"], self._keys().alias("text_key")]).filter(self.priced.content)
        return _digest(f"{campaign.category}\n{campaign.sender_id}\n{_pairs_digest(pairs)}".encode())

    @cached_property
    def plan_digest(self) -> str:
        """Names exactly what would be sent and for how much: what a person approves is what is sent. A plan that does
        not ask the list of opt-outs is another one."""
        calls, sendable = self.chunks.chunks, self.people["chunk"].is_not_null()
        pairs = pl.DataFrame([self.people["msisdn"], self._keys().alias("text_key")]).filter(sendable)
        facts = [
            self.campaign.name,
            self.edition,
            self.content_digest,
            _pairs_digest(pairs),
            calls.height,
            int(calls["expected_ugx"].sum()),
            *(["transactional"] if self.campaign.suppression.transactional else []),
        ]
        return _digest("\n".join(map(str, facts)).encode())

    def plan(self, *, account: str, host: str) -> Plan:
        """Raises `InputError` when a file that is read again and again is not the one any more that was read first."""
        campaign, people = self.campaign, self.people
        source_digest = self.loaded.source_digest or file_digest(campaign.recipients_path)
        self._check_unchanged()
        return Plan(
            name=campaign.name,
            edition=self.edition,
            account=account,
            host=host,
            content_digest=self.content_digest,
            plan_digest=self.plan_digest,
            source=str(campaign.recipients.path),
            source_digest=source_digest,
            sender_id=campaign.sender_id,
            category=campaign.category,
            message=campaign.message,
            settings=campaign.model_dump(mode="json")
            | {"allow_repeat": self.priced.allow_repeat, "repeats_seen_to": self.priced.repeats_seen_to},
            kept_columns=tuple(dict.fromkeys(campaign.recipients.keep)),
            versions={"mambo-pipelines": __version__} | {name: version(name) for name in ("phonenumbers", "polars")},
            canary_calls=self.chunks.canary_calls,
            rows=people.height,
            sendable=people["chunk"].count(),
            segments=int(people["segments"].filter(people["chunk"].is_not_null()).cast(pl.Int64).sum()),
            estimated_ugx=int(people["estimated_ugx"].sum()),
            recipients=self.tables(),
            chunks=self._chunks_with_texts(),
            suppressed=self.priced.suppressed,
            is_test=self.is_test,
            listed=self.priced.listed,
        )

    def _check_unchanged(self) -> None:
        path = self.campaign.recipients_path
        if self.loaded.dataset.scanned and file_version(path) != self.loaded.version:
            raise file_changed(self.campaign)

    def _keys(self) -> pl.Series:
        return self.priced.texts.keys(self.people.height)

    def _chunks_with_texts(self) -> pl.DataFrame:
        """The calls with their text and its key. Everybody in a call is sent the text of the first of them."""
        keyed = self.people.select("row", "chunk").with_columns(self._keys().alias("text_key")).drop_nulls("chunk")
        first = keyed.group_by("chunk").agg(
            pl.col("row", "text_key").first(), pl.col("text_key").n_unique().alias("texts")
        )
        assert first.select((pl.col("texts") == 1).all()).item(), "two texts in one call"
        texts = self.priced.texts.of(first["row"])
        return (
            self.chunks.chunks.drop("text")
            .join(first.join(texts, on="row"), on="chunk", maintain_order="left")
            .rename({"message": "text"})
        )


def _whole(piece: pl.DataFrame, people: pl.DataFrame, texts: Texts) -> pl.DataFrame:
    """Of the same rows: what the list says and what was found out."""
    written = texts.of(people["row"]) if texts.is_one else texts.over(piece)
    has_text = people["segments"].is_not_null()
    return piece.with_columns(
        pl.concat_str(pl.lit("+"), people["msisdn"].cast(pl.String)).alias("e164"),
        people["network_guess"].cast(pl.String),
        people["reject_reason"].cast(pl.String),
        pl.when(has_text).then(written["message"]).alias("message"),
        people["encoding"].cast(pl.String),
        *people.select(pl.col("units", "segments", "estimated_ugx", "chunk").cast(pl.Int64)),
    )


def file_digest(path: Path) -> str:
    """Of the file's bytes; an empty string when it is not there any more."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def file_version(path: Path) -> tuple[int, ...]:
    """Numbers that change when the file is written or replaced; none where there is no file."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return ()


def file_changed(campaign: Campaign) -> InputError:
    return InputError("was changed while it was read", file=campaign.recipients_path, fix="Start again.")


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
