"""What sending a campaign would do: who gets what, for how much, how long it takes, and what to look at first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mambo_io.ledger import Ledger
from mambo_io.masking import mask_text
from mambo_io.model import Category
from mambo_io.window import KAMPALA, Window, day_start
from pipelines.campaign import EXAMPLE_MESSAGE
from pipelines.edition import Prepared
from pipelines.messages import measure_messages
from pipelines.numbers import likely_unsupported, rounding_suspicion
from pipelines.segments import Encoding, forcing_characters, smart_encode
from pipelines.texts import Texts

# How long a call is taken to last, for the estimate of the whole; measured times differ by network and server.
ASSUMED_CALL_S = 0.5
_TEXTS_LOOKED_AT = 2_000  # of the messages that need UCS-2, to name the characters that force it


@dataclass(frozen=True, slots=True)
class Sample:
    """One rendered text as a person would read it before saying yes."""

    which: str  # first, longest, dearest
    row: int
    text: str
    encoding: str
    segments: int
    estimated_ugx: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Totals over one campaign edition; money in whole UGX, times in Africa/Kampala."""

    name: str
    edition: str
    sender_id: str
    category: str
    source: str
    rows: int
    sendable: int
    rejected: dict[str, int]  # by Reason code
    opt_out_sources: dict[str, int]  # of those rejected as opted out, where that is known from; masked
    transactional: bool  # does not ask the ledger's list of opt-outs
    networks: dict[str, int]  # sendable recipients by network guess
    segments: int
    ucs2_recipients: int
    texts: int
    calls: int
    estimated_ugx: int
    max_cost_ugx: int | None
    duration_s: float
    starts_at: datetime
    ends_at: datetime
    window: str
    ends_in_window: bool  # before the window closes for the first time
    balance_ugx: int | None
    balance_at: datetime | None
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]  # how the file was read
    warnings: tuple[str, ...]
    obstacles: tuple[str, ...]  # `send` refuses while one of these stands


def make_estimate(
    prepared: Prepared, *, account: str, ledger: Ledger | None, max_cost_per_day_ugx: int | None = None
) -> Estimate:
    """Sum up `prepared`; `ledger` gives the last known balance of `account`, and what it has spent.

    `max_cost_per_day_ugx` is what the account may spend in a day (None: there is no limit).
    """
    campaign, people = prepared.campaign, prepared.priced.people
    # So many people of one network and encoding, sendable or rejected for one reason.
    tally = (
        people.lazy()
        .group_by("reject_reason", "network_guess", "encoding")
        .agg(pl.len().alias("people"), pl.col("segments").cast(pl.Int64).sum())
        .collect(engine="streaming")
    )
    sendable = tally.filter(pl.col("reject_reason").is_null())
    count = int(sendable["people"].sum())
    calls = prepared.chunks.chunks
    cost = int(calls["expected_ugx"].sum())
    balance = ledger.last_balance(account) if ledger is not None else None
    window = Window.parse(campaign.sending.window)
    now = datetime.now(KAMPALA)
    duration_s = _duration_s(calls.height, campaign.sending.calls_per_second, campaign.sending.concurrency)
    starts_at = window.next_opening(now) if window is not None else now
    ends_at = window.end_of(now, duration_s) if window is not None else now + timedelta(seconds=duration_s)
    return Estimate(
        name=campaign.name,
        edition=prepared.edition,
        sender_id=campaign.sender_id,
        category=campaign.category,
        source=str(campaign.recipients.path),
        rows=people.height,
        sendable=count,
        rejected=_counts(tally.drop_nulls("reject_reason"), "reject_reason"),
        opt_out_sources=_opt_out_sources(prepared),
        transactional=campaign.suppression.transactional,
        networks=_counts(sendable, "network_guess"),
        segments=int(sendable["segments"].sum()),
        ucs2_recipients=int(sendable.filter(encoding=Encoding.UCS_2.value)["people"].sum()),
        texts=prepared.chunks.texts,
        calls=calls.height,
        estimated_ugx=cost,
        max_cost_ugx=campaign.sending.max_cost_ugx,
        duration_s=duration_s,
        starts_at=starts_at,
        ends_at=ends_at,
        window=campaign.sending.window,
        ends_in_window=window is None or ends_at.date() == starts_at.date(),
        balance_ugx=balance[0] if balance else None,
        balance_at=balance[1].astimezone(KAMPALA) if balance else None,
        samples=tuple(_samples(people, prepared.priced.texts)),
        notes=(*prepared.loaded.dataset.notes, *prepared.priced.notes, *_transactional(prepared, on_the_list=False)),
        warnings=(
            *_begun(prepared, ledger),
            *prepared.priced.warnings,
            *_warnings(prepared, sendable, cost, balance),
            *_day_warnings(calls["expected_ugx"], starts_at, max_cost_per_day_ugx, account, ledger),
        ),
        obstacles=tuple(_obstacles(prepared, count, cost)),
    )


def _duration_s(calls: int, calls_per_second: float, concurrency: int) -> float:
    by_rate = calls / calls_per_second if calls_per_second else 0.0
    return max(by_rate, calls * ASSUMED_CALL_S / concurrency)


def _counts(tally: pl.DataFrame, column: str) -> dict[str, int]:
    counted = tally.group_by(pl.col(column).cast(pl.String).fill_null("unknown")).agg(pl.col("people").sum())
    return dict(counted.sort("people", column, descending=[True, False]).iter_rows())


def _samples(people: pl.DataFrame, texts: Texts) -> Iterator[Sample]:
    is_open = pl.col("reject_reason").is_null()
    found = people.select(
        first=is_open.arg_max(),
        longest=pl.when(is_open).then("units").arg_max(),
        dearest=pl.when(is_open).then("estimated_ugx").arg_max(),
    ).row(0, named=True)
    if found["longest"] is None:
        return
    for which, place in found.items():
        person = people.row(place, named=True)
        text = texts.at(place)
        yield Sample(which, person["row"], text, person["encoding"], person["segments"], person["estimated_ugx"])


def _obstacles(prepared: Prepared, sendable: int, cost: int) -> Iterator[str]:
    campaign = prepared.campaign
    yield from prepared.loaded.obstacles
    if campaign.message.strip() == EXAMPLE_MESSAGE:
        yield "message is still the example of `mambo new`. Write what people are to read."
    budget, most = campaign.sending.max_cost_ugx, campaign.max_recipients
    if budget is not None and cost > budget:
        yield f"sending would cost UGX {cost:,}, and [sending] max_cost_ugx is {budget:,}. Raise it, or send less."
    if most is not None and sendable > most:
        yield f"it would go to {sendable:,} people, and max_recipients is {most:,}. Raise it, or shorten the list."


def _begun(prepared: Prepared, ledger: Ledger | None) -> Iterator[str]:
    row = ledger.find(prepared.campaign.name, prepared.edition) if ledger is not None else None
    if row is not None and row.begun:
        yield (
            f"Edition {row.edition} has begun ({row.state}), so sending it goes on with what is left of it, whatever "
            "stands here. Name a new --edition to see what that would do."
        )


def _warnings(
    prepared: Prepared, sendable: pl.DataFrame, cost: int, balance: tuple[int, datetime] | None
) -> Iterator[str]:
    campaign = prepared.campaign
    if sendable.is_empty():
        yield "Nobody would be messaged: every row is rejected."
    if (rounded := rounding_suspicion(prepared.priced.people)) is not None:
        yield (
            f"{rounded:,} numbers end in 000, far more than chance allows: the column was probably rounded by a "
            "spreadsheet before it was saved. Check it against its source."
        )
    yield from _transactional(prepared, on_the_list=True)
    yield from _ucs2_warnings(prepared)
    if campaign.category is Category.CUSTOMISED:
        others = sendable.filter(likely_unsupported())["people"].sum()
        if others:
            yield f"{others:,} recipients are on networks for which customised sender IDs are not documented."
    if campaign.category is Category.INFO:
        yield "Category info is sent with a prefix that may lengthen the text; the first receipt will show it."
    if balance is not None and cost > balance[0]:
        yield f"The last known balance is UGX {balance[0]:,}, less than the UGX {cost:,} this costs; it would pause."


def _transactional(prepared: Prepared, *, on_the_list: bool) -> Iterator[str]:
    """That the list of opt-outs is not asked: a warning where somebody who would be messaged is on it, else a note."""
    listed = prepared.priced.listed
    if listed is not None and bool(listed) is on_the_list:
        yield (
            f"[suppression] transactional: the list of opt-outs is not asked; of those to be messaged {listed:,} "
            f"{'is' if listed == 1 else 'are'} on it."
        )


def _opt_out_sources(prepared: Prepared) -> dict[str, int]:
    counted = prepared.priced.opted_out.group_by("source").agg(pl.len().alias("people"))
    counts: dict[str, int] = {}
    for source, people in counted.sort("people", "source", descending=[True, False]).iter_rows():
        masked = mask_text(source)
        counts[masked] = counts.get(masked, 0) + people
    return counts


def _day_warnings(
    calls_ugx: pl.Series, starts_at: datetime, limit_ugx: int | None, account: str, ledger: Ledger | None
) -> Iterator[str]:
    """When the calls cost more than what is left of the limit of the day on which they begin."""
    cost_ugx, dearest_ugx = int(calls_ugx.sum()), int(calls_ugx.max() or 0)  # type: ignore[arg-type]  # of numbers
    if limit_ugx is None or not cost_ugx:
        return
    if dearest_ugx > limit_ugx:
        yield (
            f"A call of UGX {dearest_ugx:,} is more than MAMBO_MAX_COST_PER_DAY_UGX, {limit_ugx:,}, so it would never "
            "be made. Raise the limit, or set a smaller [sending] chunk_size."
        )
        return
    spent_ugx = ledger.spent_since(account, day_start(starts_at)) if ledger is not None else 0
    if cost_ugx > (left_ugx := max(0, limit_ugx - spent_ugx)):
        yield (
            f"It costs UGX {cost_ugx:,}, and of what the account may spend in a day (MAMBO_MAX_COST_PER_DAY_UGX, "
            f"{limit_ugx:,}) UGX {left_ugx:,} are left on {starts_at:%Y-%m-%d}: it would stop before a call that goes "
            "over it, and go on the next day."
        )


def _ucs2_warnings(prepared: Prepared) -> Iterator[str]:
    """Which characters make messages UCS-2, and what their plain replacements would save."""
    is_costly = pl.col("reject_reason").is_null() & (pl.col("encoding") == Encoding.UCS_2)
    people = (
        prepared.priced.people.lazy().filter(is_costly).select("row", "text", "segments", "estimated_ugx").collect()
    )
    if people.is_empty():
        return
    are_all = people["text"].n_unique() <= _TEXTS_LOOKED_AT
    looked_at = (
        (people if are_all else people.head(_TEXTS_LOOKED_AT))
        .group_by("text", maintain_order=True)
        .agg(pl.col("row", "segments").first(), pl.col("estimated_ugx").sum())
    )
    looked_at = looked_at.join(prepared.priced.texts.of(looked_at["row"]), on="row", maintain_order="left")
    characters = {found.character: found for text in looked_at["message"] for found in forcing_characters(text)}
    named = ", ".join(
        f"{found.character!r} ({found.name.lower()})"
        if found.replacement is None
        else f"{found.character!r} ({found.name.lower()}; plain: {found.replacement!r})"
        for found in list(characters.values())[:6]
    )
    yield f"{people.height:,} messages need UCS-2, 70 characters instead of 160, because of {named}."
    plain = looked_at.with_columns(
        pl.col("message").map_elements(smart_encode, return_dtype=pl.String).alias("message")
    )
    after = measure_messages(plain.drop("segments"))["segments"]
    price = looked_at["estimated_ugx"] // looked_at["segments"]  # of one segment for all who get the text
    saving = int(((looked_at["segments"] - after) * price).sum())
    if saving and are_all:
        yield f"Plain quotes, dashes and dots would save UGX {saving:,}: set smart_encoding = true."
