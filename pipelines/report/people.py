"""The people behind a report's figures, row by row from the ledger; millions of them piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.masking import mask_text
from mambo_io.model import Outcome
from mambo_io.store import Store
from pipelines.reconciliation import Books
from pipelines.report.words import GRAVEST_FIRST

_FAILED = "failed"  # accepted, and not delivered by the provider's own word

COLUMNS = (
    *("campaign", "edition", "row", "phone_raw", "e164", "network_guess", "outcome", "reason", "delivery"),
    *("segments", "estimated_ugx", "charged_ugx", "call", "sent_at"),
)

# Seven digits and what may stand between them, as in `mambo_io.masking`: without them there is nothing to mask.
_MAY_BE_MASKED = r"\d(?:[^\d\r\n]{0,3}\d){6}"
# What could be a person's telephone number, unlike the number of a client or a voucher: a mobile one of Uganda as
# people write it, and whatever begins with a plus.
_TELEPHONE = (
    r"(?:^|\D)(?:00)?(?:256)?[^\d\r\n]{0,3}0?[^\d\r\n]{0,3}7(?:[^\d\r\n]{0,3}\d){8}(?:\D|$)"
    r"|\+[1-9](?:[^\d\r\n]{0,3}\d){7}"
)


@dataclass(frozen=True, slots=True)
class Exceptions:
    """People who were not accepted, or were and then not delivered: the gravest first, at most as many as were asked
    for. `found` counts all that there are."""

    people: pl.DataFrame
    found: int


def people(books: Books, store: Store, *, full_numbers: bool) -> Iterator[pl.DataFrame]:
    """Everybody in `books`, the newest campaign first, in the order of its rows; at least one piece.

    Out: campaign, edition (String), row (Int64), phone_raw (what stood in the file, where that is no number that can be
    messaged), e164, network_guess, outcome, reason, delivery (String; null where no export of delivery reports names
    the campaign), segments, estimated_ugx, charged_ugx (Int64), call (String, `clinic-day/1/c0007`), sent_at (Datetime,
    Kampala), then every kept column of every campaign (String). Telephone numbers are masked, in kept columns too,
    unless `full_numbers`.
    """
    kept = list(dict.fromkeys(title for row in _campaigns(books, store) for title in _titles(row)))
    for piece in _pieces(books, store):
        missing = [pl.lit(None, pl.String).alias(title) for title in kept if title not in piece.columns]
        shown = piece.with_columns(missing).select(*COLUMNS, *kept)
        yield shown if full_numbers else masked(shown, kept)


def exceptions(books: Books, store: Store, *, full_numbers: bool, most: int) -> Exceptions:
    """Those whom somebody has to look after, with the columns of `people` but the kept ones."""
    left = _expected(books)
    found = sum(left.values())
    left = Counter({outcome: min(number, most) for outcome, number in left.items()})
    taken: list[pl.DataFrame] = []
    for piece in _pieces(books, store) if left else ():
        chosen = piece.select(COLUMNS).filter(_is_exception())
        for outcome, of_outcome in chosen.group_by("outcome", maintain_order=True):
            some = of_outcome.head(left[str(outcome[0])])
            left[str(outcome[0])] -= some.height
            taken.append(some)
        if not +left:
            break
    order = pl.Enum([outcome.value for outcome in (*GRAVEST_FIRST, Outcome.ACCEPTED)])
    everybody = pl.concat([_nobody(), *taken]).sort(pl.col("outcome").cast(order), maintain_order=True).head(most)
    return Exceptions(everybody if full_numbers else masked(everybody, []), found)


def masked(frame: pl.DataFrame, kept: list[str]) -> pl.DataFrame:
    """The numbers in the columns `e164`, `phone_raw` and `kept` masked (`+256772•••456`)."""
    e164 = pl.col("e164")
    texts = frame.with_columns(pl.concat_str(e164.str.slice(0, 7), pl.lit("•••"), e164.str.slice(-3)).alias("e164"))
    texts = texts.with_columns(masked_texts(texts["phone_raw"]))
    return texts.with_columns(masked_kept(texts[name]) for name in kept)


def masked_kept(texts: pl.Series) -> pl.Series:
    """The values of a kept column, with telephone numbers in them masked; other numbers stay."""
    return masked_texts(texts, _TELEPHONE)


def masked_texts(texts: pl.Series, pattern: str = _MAY_BE_MASKED) -> pl.Series:
    """What matches `pattern` goes through `mask_text`, each text once."""
    numbers = texts.filter(texts.str.contains(pattern)).unique().drop_nulls()
    return texts.replace(numbers, pl.Series([mask_text(text) for text in numbers], dtype=pl.String))


def _expected(books: Books) -> Counter[str]:
    """How many exceptions there are, by outcome."""
    counted = books.tally.filter(_is_exception()).group_by("outcome").agg(pl.col("recipients").sum())
    return Counter({outcome: people for outcome, people in counted.iter_rows() if people})


def _is_exception() -> pl.Expr:
    return (pl.col("outcome") != Outcome.ACCEPTED.value) | (pl.col("delivery") == _FAILED).fill_null(value=False)


def _pieces(books: Books, store: Store) -> Iterator[pl.DataFrame]:
    """The results of the campaigns, of those in the period: `COLUMNS`, and the kept columns of each campaign."""
    yield _nobody()
    homes = books.campaigns.select(pl.coalesce("first_call_at", "planned_at").dt.date()).to_series()
    for row, home in zip(_campaigns(books, store), homes, strict=True):
        day = pl.col("sent_at").dt.date().fill_null(home)
        in_period = pl.lit(value=True)
        if books.start is not None:
            in_period &= day >= books.start
        if books.end is not None:
            in_period &= day <= books.end
        titles = _titles(row)
        for piece in Ledger(store).result_pieces(row):
            kept = piece.columns[piece.width - len(titles) :]  # they stand last
            delivery = "delivery" if "delivery" in piece.columns else pl.lit(None, pl.String).alias("delivery")
            call = pl.format("{}/c{}", pl.lit(row.label), pl.col("chunk").cast(pl.String).str.zfill(4))
            yield piece.filter(in_period).select(
                *(name for name in COLUMNS if name not in ("phone_raw", "delivery", "call")),
                pl.when(pl.col("e164").is_null()).then("phone_raw").alias("phone_raw"),
                delivery,
                call.alias("call"),
                *(pl.col(name).alias(title) for name, title in zip(kept, titles, strict=True)),
            )


def _campaigns(books: Books, store: Store) -> list[CampaignRow]:
    """The campaign editions of the books, in their order."""
    rows = {(row.name, row.edition): row for row in Ledger(store).campaigns()}
    return [rows[label] for label in books.campaigns.select("campaign", "edition").iter_rows()]


def _titles(row: CampaignRow) -> list[str]:
    """What its kept columns are called here: a name that is one of ours gets a `_`."""
    return [f"{name}_" if name in COLUMNS else name for name in row.kept_columns]


def _nobody() -> pl.DataFrame:
    numbers = dict.fromkeys(("row", "segments", "estimated_ugx", "charged_ugx"), pl.Int64())
    moment = pl.Datetime("us", "Africa/Kampala")
    return pl.DataFrame(
        schema={name: moment if name == "sent_at" else numbers.get(name, pl.String()) for name in COLUMNS}
    )
