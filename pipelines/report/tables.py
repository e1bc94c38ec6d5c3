"""The tables of a report: the frames of `pipelines.reconciliation` with titles, in words, for a page and a workbook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

import polars as pl

from pipelines import reconciliation
from pipelines.reconciliation import Books
from pipelines.report.people import Exceptions, masked_kept, masked_texts
from pipelines.report.words import CAUSES, DELIVERIES, OUTCOME_TITLES, has_deliveries, reason_words


class Kind(Enum):
    """How the cells of a column are shown."""

    TEXT = auto()
    COUNT = auto()
    UGX = auto()  # whole shillings
    CHANGE = auto()  # whole shillings, more or less
    PRICE = auto()  # shillings a segment
    SHARE = auto()
    DRIFT = auto()  # a share, more or less
    DAY = auto()
    MOMENT = auto()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    title: str
    kind: Kind = Kind.TEXT
    less: bool = False  # left out on a narrow screen
    whole: bool = False  # not to be broken over two lines where there is room
    width: int = 16  # in a workbook, in characters


@dataclass(frozen=True, slots=True)
class Table:
    name: str  # of its sheet, and of its place on the page
    frame: pl.DataFrame  # with the columns below, perhaps others
    columns: tuple[Column, ...]
    totals: bool = False  # whether the sums of counts and money say something

    def total(self) -> dict[str, int]:
        """The sums of the columns that can be added up."""
        added = (Kind.COUNT, Kind.UGX, Kind.CHANGE)
        names = [column.name for column in self.columns if column.kind in added]
        return self.frame.select(pl.col(names).sum()).row(0, named=True)


_MOST_LETTERS = 160  # of what the API said, on a page
_OTHERS = ("refused", "unverified", "unknown", "in_flight", "planned", "cancelled")
_OTHER = pl.sum_horizontal(_OTHERS).alias("other")
_LABEL = pl.format("{}/{}", "campaign", "edition").alias("label")
_MONEY = (
    Column("estimated_ugx", "Estimated", Kind.UGX, less=True),
    Column("charged_ugx", "Charged", Kind.UGX),
    Column("difference_ugx", "Difference", Kind.CHANGE, less=True),
)
_PEOPLE = (
    Column("recipients", "People", Kind.COUNT),
    Column("accepted", "Accepted", Kind.COUNT),
    Column("unsupported", "Not reached", Kind.COUNT, less=True),
    Column("rejected", "Turned away", Kind.COUNT, less=True),
    Column("other", "Other", Kind.COUNT, less=True),
)


def campaigns(books: Books) -> Table:
    frame = reconciliation.by_campaign(books).with_columns(_LABEL, _OTHER)
    columns = (
        Column("label", "Campaign", width=36),
        Column("state", "State", less=True),
        *_PEOPLE,
        *_MONEY,
    )
    return Table("By campaign", frame, columns, totals=True)


def reasons(books: Books) -> Table:
    everybody = pl.max_horizontal(pl.col("recipients").sum(), 1)
    frame = reconciliation.by_reason(books).with_columns(
        _outcome(), _reason(), (pl.col("recipients") / everybody).alias("share")
    )
    columns = (
        Column("outcome", "Outcome", whole=True, width=28),
        Column("reason", "Why", width=48),
        Column("recipients", "People", Kind.COUNT),
        Column("share", "Share", Kind.SHARE, less=True),
        Column("estimated_ugx", "Estimated", Kind.UGX, less=True),
        Column("charged_ugx", "Charged", Kind.UGX, less=True),
    )
    return Table("By reason", frame, columns, totals=True)


def deliveries(books: Books) -> Table | None:
    """What an export of delivery reports says of the accepted; None where none was imported."""
    if not has_deliveries(books):
        return None
    frame = reconciliation.cut(books, "delivery").filter(pl.col("delivery").is_not_null())
    frame = frame.with_columns(
        pl.col("delivery").replace(DELIVERIES), (pl.col("accepted") / pl.col("accepted").sum()).alias("share")
    ).sort(pl.col("delivery").cast(pl.Enum(list(DELIVERIES.values()))))
    columns = (
        Column("delivery", "The provider's export says"),
        Column("accepted", "Accepted", Kind.COUNT),
        Column("share", "Share", Kind.SHARE),
        Column("charged_ugx", "Charged", Kind.UGX),
    )
    return Table("By delivery", frame, columns, totals=True)


def causes(books: Books) -> Table:
    """From what was estimated to what was charged."""
    sums = reconciliation.cut(books).row(0, named=True)
    steps = [("Estimated", sums["estimated_ugx"])]
    steps += [(words[0].upper() + words[1:], sums[cause]) for cause, words in CAUSES.items() if sums[cause]]
    steps.append(("Charged", sums["charged_ugx"]))
    frame = pl.DataFrame(steps, schema={"step": pl.String, "ugx": pl.Int64}, orient="row")
    columns = (Column("step", "Step", width=60), Column("ugx", "Amount", Kind.UGX))
    return Table("Difference", frame, columns)


def networks(books: Books) -> Table:
    frame = _largest_first(reconciliation.by_network(books)).with_columns(
        pl.col("network_guess").fill_null("No valid number"), _OTHER
    )
    columns = (
        Column("network_guess", "Network", width=24),
        *_PEOPLE,
        *_MONEY,
    )
    return Table("By network", frame, columns, totals=True)


def prices(books: Books) -> Table:
    """What a segment cost, beside the tariff."""
    columns = (
        Column("category", "Category", less=True),
        Column("network_guess", "Network", width=24),
        Column("segments", "Segments", Kind.COUNT),
        Column("charged_ugx", "Charged", Kind.UGX),
        Column("ugx_per_segment", "UGX a segment", Kind.PRICE),
        Column("tariff_ugx_per_segment", "Tariff", Kind.PRICE, less=True),
        Column("drift", "Off the tariff", Kind.DRIFT, less=True),
    )
    return Table("Prices", reconciliation.prices(books), columns)


def days(books: Books) -> Table:
    """By the day of the call; people in no call are not there."""
    frame = reconciliation.by_day(books).filter(pl.col("day").is_not_null()).with_columns(_OTHER)
    columns = (
        Column("day", "Day", Kind.DAY, whole=True),
        Column("recipients", "People in calls", Kind.COUNT),
        *(column for column in _PEOPLE if column.name in ("accepted", "unsupported", "other")),
        *_MONEY,
    )
    return Table("By day", frame, columns, totals=True)


def kept(books: Books, *, full_numbers: bool) -> Table | None:
    """By the kept column that was asked for; None where none was."""
    if books.kept is None:
        return None
    frame = _largest_first(reconciliation.by_kept(books)).with_columns(_OTHER)
    if not full_numbers:
        frame = frame.with_columns(masked_kept(frame["kept"]))
    frame = frame.with_columns(pl.col("kept").fill_null("(empty)"))
    return Table("By kept column", frame, (Column("kept", books.kept, width=36), *_PEOPLE, *_MONEY), totals=True)


def calls(books: Books) -> Table:
    """Every API call that was made or is planned. Numbers in what the API said are masked."""
    verdict = pl.col("verdict").fill_null(pl.col("state")).replace(_VERDICTS)
    made = books.calls.with_columns(verdict, _reason(), masked_texts(books.calls["messages"]))
    made = made.sort("sent_at", "attempt", nulls_last=True)
    columns = (
        Column("call", "API call", width=36),
        Column("sent_at", "Sent", Kind.MOMENT, whole=True, width=20),
        Column("verdict", "Outcome"),
        Column("reason", "Why", less=True, width=36),
        Column("submitted", "Submitted", Kind.COUNT, less=True),
        Column("recipients_count", "Counted", Kind.COUNT, less=True),
        Column("unsupported_count", "Not reached", Kind.COUNT, less=True),
        Column("message_count", "Segments each", Kind.COUNT, less=True),
        Column("sms_sent", "Segments sent", Kind.COUNT, less=True),
        Column("expected_ugx", "Estimated", Kind.UGX, less=True),
        Column("cost_ugx", "Charged", Kind.UGX),
        Column("balance_after_ugx", "Balance after", Kind.UGX, less=True),
        Column("alarms", "Unlike the API's promise", less=True, width=28),
        Column("messages", "What the API said", less=True, width=48),
    )
    return Table("Calls", made, columns)


def calls_to_look_at(books: Books) -> Table:
    """Those of `reconciliation.calls_to_look_at`; what the API said when it refused one stands beside its reason."""
    everything = calls(replace(books, calls=reconciliation.calls_to_look_at(books)))
    said = pl.format("{}: {}", "reason", pl.col("messages").str.slice(0, _MOST_LETTERS))
    is_refusal = (pl.col("verdict") == _VERDICTS["refused"]) & pl.col("messages").is_not_null()
    told = everything.frame.with_columns(pl.when(is_refusal).then(said).otherwise("reason").alias("reason"))
    shown = ("call", "sent_at", "verdict", "reason", "submitted", "recipients_count", "expected_ugx", "cost_ugx")
    columns = tuple(column for column in everything.columns if column.name in shown)
    return Table("Calls to look at", told, columns)


def statement(books: Books) -> Table:
    frame = reconciliation.statement(books)
    columns = (
        _account(frame),
        Column("month", "Month"),
        Column("opening_ugx", "Opening", Kind.UGX),
        Column("top_ups_ugx", "Top-ups", Kind.UGX, less=True),
        Column("charges_ugx", "Charges", Kind.UGX),
        Column("open_ugx", "Calls not known", Kind.CHANGE, less=True),
        Column("unexplained_ugx", "Unexplained", Kind.CHANGE, less=True),
        Column("closing_ugx", "Closing", Kind.UGX),
        Column("calls", "Calls", Kind.COUNT, less=True),
    )
    return Table("Statement", frame, columns)


def balances(chain: pl.DataFrame) -> Table:
    """The balance chain, step by step."""
    kind, calls = pl.col("kind"), pl.col("calls")
    made = pl.when(calls == 1).then(pl.format("API call {}", "first_call")).otherwise(pl.format("{} API calls", calls))
    what = (
        pl.when((kind == "reading") & (calls > 0))
        .then(pl.format("Balance asked for, after {}", made))
        .when(kind == "reading")
        .then(pl.lit("Balance asked for"))
        .when(kind == "top_up")
        .then(pl.lit("Top-up"))
        .otherwise(made)
    )
    frame = chain.with_columns(what.alias("what"), pl.col("explanation").replace(_EXPLANATIONS))
    columns = (
        _account(frame),
        Column("ended_at", "Until", Kind.MOMENT, whole=True, width=20),
        Column("what", "What", less=True, width=20),
        Column("balance_before_ugx", "Before", Kind.UGX, less=True),
        Column("charged_ugx", "Charged", Kind.UGX),
        Column("top_ups_ugx", "Top-ups", Kind.UGX, less=True),
        Column("balance_ugx", "Balance", Kind.UGX),
        Column("open_ugx", "Calls not known", Kind.CHANGE, less=True),
        Column("unexplained_ugx", "Unexplained", Kind.CHANGE),
        Column("explanation", "Explanation", less=True, width=28),
    )
    return Table("Balance chain", frame, columns)


def entries(books: Books) -> Table:
    """What was entered of the accounts by hand, and when the balance was asked for. Numbers in texts are masked."""
    kinds = pl.col("kind").replace({"top_up": "Top-up", "reading": "Balance asked for"})
    texts = (masked_texts(books.entries[name]) for name in ("reference", "who"))
    frame = books.entries.with_columns(kinds, *texts)
    columns = (
        Column("account", "Account"),
        Column("at", "Until", Kind.MOMENT, width=20),
        Column("kind", "What", width=20),
        Column("amount_ugx", "Amount", Kind.UGX),
        Column("reference", "Reference", width=28),
        Column("who", "Who"),
    )
    return Table("Entries", frame, columns)


def exceptions(found: Exceptions, *, brief: bool = False) -> Table:
    """`brief`: calls by the last part of their names, for the campaign stands beside them, or there is only one."""
    call = pl.col("call").str.split("/").list.last() if brief else pl.col("call")
    frame = found.people.with_columns(
        _LABEL,
        call,
        pl.coalesce("e164", "phone_raw").fill_null("").alias("number"),
        pl.when(pl.col("outcome") == "accepted").then(pl.lit("Not delivered")).otherwise(_outcome()).alias("outcome"),
        pl.when(pl.col("outcome") == "accepted")
        .then(pl.lit("the provider's export says that it failed"))
        .otherwise(_reason())
        .alias("reason"),
    )
    of_campaign = (Column("label", "Campaign", width=28),) if frame["label"].n_unique() > 1 else ()
    columns = (
        *of_campaign,
        Column("row", "Row", Kind.COUNT),
        Column("number", "Number", width=20),
        Column("outcome", "Outcome", whole=True, width=26),
        Column("reason", "Why", less=True, width=48),
        Column("call", "API call", less=True, width=36),
        Column("estimated_ugx", "Estimated", Kind.UGX, less=True),
        Column("charged_ugx", "Charged", Kind.UGX, less=True),
    )
    return Table("Exceptions", frame, columns)


_VERDICTS = {
    "accepted": "Accepted",
    "refused": "Refused",
    "not_sent": "Not sent",
    "unknown": "Not known",
    "in_flight": "Being sent",
    "planned": "Not sent yet",
    "cancelled": "Cancelled",
}
_EXPLANATIONS = {
    "top_up": "a top-up that was entered",
    "open_calls": "perhaps calls whose charge is not known",
    "unexplained": "nothing recorded here",
    "no_balance_yet": "no balance shows it yet",
}


def _account(frame: pl.DataFrame) -> Column:
    return Column("account", "Account", less=frame["account"].n_unique() < 2)


def _largest_first(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("recipients", descending=True, maintain_order=True)


def _outcome() -> pl.Expr:
    return pl.col("outcome").replace(OUTCOME_TITLES)


def _reason() -> pl.Expr:
    return pl.col("reason").map_elements(reason_words, return_dtype=pl.String).fill_null("")
