"""A report in sentences: the headline, and what somebody should look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from mambo_io.model import FINAL_STATES
from pipelines import reconciliation
from pipelines.reconciliation import Books
from pipelines.report.words import ALARMS, CAUSES, count, has_deliveries, listed, moment, ugx

_MOST_GAPS = 10  # of a balance, those that are alike counted once


def headline(books: Books, chain: pl.DataFrame) -> list[str]:
    """The report in a few sentences: who, how much, and what of the account, whose balance chain is `chain`."""
    if books.campaigns.is_empty():
        when = "yet" if books.start is None and books.end is None else "in this period"
        return [f"No campaign was sent or planned {when}, so there is nobody and nothing to account for."]
    sums = reconciliation.cut(books).row(0, named=True)
    if not sums["recipients"]:
        return ["Nobody stands on the lists of these campaigns, so nobody was sent anything and nothing was charged."]
    return [*_people(sums), *_transactional(books), *_delivered(books), *_money(sums), *_account(books, chain)]


def to_look_at(books: Books, chain: pl.DataFrame) -> list[str]:
    """What somebody should look at, each with what to do; empty when all is well."""
    return [*_open_calls(books), *_unfinished(books), *_receipts(books), *_unexplained(books, chain)]


# --- sentences -------------------------------------------------------------------------------------------------------


def _people(sums: Mapping[str, int]) -> list[str]:
    rows, accepted = sums["recipients"], sums["accepted"]
    if rows == 1:
        who = "the one person on the list" if accepted else "none of the one person on the list"
    elif accepted in (0, rows):
        who = f"{'all' if accepted else 'none'} of the {rows:,} people"
    else:
        who = f"{accepted:,} of {rows:,} people"
    told = [
        f"The API accepted the message for {who}." if rows > 1 or accepted else "The API accepted nobody's message."
    ]
    were = {
        "unsupported": ("could not be reached", "could not be reached"),
        "rejected": ("was turned away before sending", "were turned away before sending"),
        "refused": ("was refused by the API", "were refused by the API"),
        "in_flight": ("is being sent just now", "are being sent just now"),
        "planned": ("was not sent yet", "were not sent yet"),
        "cancelled": ("was cancelled", "were cancelled"),
    }
    parts = [
        f"{'All ' if 1 < sums[outcome] == rows else ''}{sums[outcome]:,} {words[sums[outcome] != 1]}"
        for outcome, words in were.items()
        if sums[outcome]
    ]
    if parts:
        told.append(f"{listed(parts)}.")
    if uncertain := sums["unverified"]:
        told.append(f"Of {uncertain:,} the receipt does not say whether {_they(uncertain)} counted.")
    if unknown := sums["unknown"]:
        told.append(f"Of {unknown:,} it is not known whether {_they(unknown)} sent the message.")
    return told


def _transactional(books: Books) -> Iterable[str]:
    """Campaigns that may have messaged people who want no messages."""
    found = books.campaigns.filter("transactional").select(pl.format("{}/{}", "campaign", "edition")).to_series()
    if len(found):
        which = f"{_some(found.to_list())} {'is' if len(found) == 1 else 'are'} transactional"
        yield f"{which}: the list of opt-outs was not asked, so people who are on it may have been messaged."


def _delivered(books: Books) -> list[str]:
    said = dict(reconciliation.cut(books, "delivery").select("delivery", "accepted").iter_rows())
    if not has_deliveries(books):
        return []
    accepted = sum(said.values())
    parts = [
        f"{said[status]:,} {words}"
        for status, words in (
            ("delivered", "as delivered"),
            ("failed", "as failed"),
            ("pending", "as pending"),
            ("not_reported", "not at all"),
        )
        if said.get(status)
    ]
    return [f"Of the {accepted:,} accepted, the provider's export names {listed(parts)}."]


def _money(sums: Mapping[str, int]) -> list[str]:
    charged, difference, open_ugx = sums["charged_ugx"], sums["difference_ugx"], -sums["of_unknown_ugx"]
    cost = f"cost {ugx(charged)}" if charged else "cost nothing"
    causes = {cause: sums[cause] for cause in CAUSES if sums[cause]}
    if not difference:
        told = f"It {cost}, as estimated."
        if causes:
            told = f"It {cost}, as estimated, though not for the same: {_causes(causes)}."
    else:
        compared = f"{ugx(abs(difference))} {_more(difference)} than estimated"
        if len(causes) == 1:
            told = f"It {cost}, {compared}: all of it {CAUSES[next(iter(causes))]}."
        elif len(causes) == 2:
            told = f"It {cost}, {compared}: {_causes(causes)}."
        else:
            told = f"It {cost}, {compared}, for {len(causes)} reasons, which are listed under Money."
    if open_ugx:
        told = told.replace("It cost", "As far as is known, it cost", 1)
        return [told, f"Calls whose charge is not known may have cost up to {ugx(open_ugx)} more."]
    return [told]


def _account(books: Books, chain: pl.DataFrame) -> list[str]:
    """Nothing where the API named fewer than two balances: one alone agrees with everything."""
    chain = chain.filter(pl.col("balance_ugx").is_not_null())
    if books.account_calls["balance_after_ugx"].count() + books.entries.filter(kind="reading").height < 2:
        return []
    account = "account's balances" if chain["account"].n_unique() == 1 else "accounts' balances"
    unexplained_ugx = int(chain["unexplained_ugx"].abs().sum())
    if unexplained_ugx:
        return [f"{ugx(unexplained_ugx)} of what the {account} show is not explained; see To look at."]
    if chain["open_ugx"].sum():
        return [f"The {account} agree with the charges, if calls whose charge is not known took what is missing."]
    return [f"The {account} agree with the charges to the shilling."]


def _causes(causes: Mapping[str, int]) -> str:
    return listed([f"{ugx(abs(amount))} {_more(amount)} {CAUSES[cause]}" for cause, amount in causes.items()])


def _more(amount: int) -> str:
    return "less" if amount < 0 else "more"


def _they(number: int) -> str:
    return "that person was" if number == 1 else "they were"


# --- what needs a look -----------------------------------------------------------------------------------------------


def _open_calls(books: Books) -> Iterable[str]:
    for state, told in (
        ("unknown", "got no clear answer: `mambo settle NAME` asks the account's balance what became of it"),
        ("refused", "was refused by the API: `mambo retry NAME --refused --by WHO`, once the cause is mended"),
    ):
        calls = books.calls.filter(pl.col("state") == state)
        if calls.height:
            people = count(int(calls["recipients"].sum()), "person", "people")
            yield f"{_some(calls['call'].to_list())} ({people}) {told}."
    unverified = int(books.tally.filter(pl.col("outcome") == "unverified")["recipients"].sum())
    if unverified:
        yield (
            f"Of {count(unverified, 'person', 'people')} a receipt does not say whether {_they(unverified)} counted: "
            "ask the provider; `mambo resolve NAME --row ROW` records the answer."
        )


def _unfinished(books: Books) -> Iterable[str]:
    unfinished = books.campaigns.filter(~pl.col("state").is_in([state.value for state in FINAL_STATES])).with_columns(
        pl.format("{}/{}", "campaign", "edition").alias("label")
    )
    for (state, reason), group in unfinished.group_by("state", "stop_reason", maintain_order=True):
        why = f" ({str(reason).replace('_', ' ')})" if reason else ""
        yield f"{_some(group['label'].to_list())}: {state}{why}; `mambo status` says what is left."


def _receipts(books: Books) -> Iterable[str]:
    checked = reconciliation.receipts(books)
    alarmed = {code: _alarmed(checked, code) for code in ALARMS}
    told = {words: calls for code, words in ALARMS.items() if (calls := alarmed[code])}
    for check, words in (
        ("sent_is_product", ALARMS["sms_sent_not_product"]),
        ("count_is_ours", ALARMS["counts_inconsistent"]),
        ("cost_is_product", "names a cost that is no whole price for each segment"),
        ("segments_are_ours", "counts other segments in a message than we did"),
        ("price_is_tariff", "has another price for a segment than the tariff"),
    ):
        calls = checked.filter(~pl.col(check))["call"].to_list()
        told[words] = list(dict.fromkeys([*told.get(words, []), *calls]))
    # What has been said of a call more exactly is not said again.
    for exact, vague in (
        (ALARMS["count_above_submitted"], ALARMS["counts_inconsistent"]),
        ("names a cost that is no whole price for each segment", "has another price for a segment than the tariff"),
    ):
        told[vague] = [call for call in told[vague] if call not in told.get(exact, [])]
    for words, calls in told.items():
        if calls:
            yield f"The receipt of {_some(calls)} {words}."


def _alarmed(checked: pl.DataFrame, code: str) -> list[str]:
    return checked.filter(pl.col("alarms").str.split(",").list.contains(code))["call"].to_list()


def _unexplained(books: Books, chain: pl.DataFrame) -> Iterable[str]:
    unexplained_ugx = int(books.tally["unexplained_ugx"].sum())
    if unexplained_ugx:
        yield f"{ugx(unexplained_ugx)} of the difference between estimate and charge has no explanation."
    doubtful = set(reconciliation.calls_to_look_at(books).filter(pl.col("cost_ugx").is_not_null())["call"])
    is_doubtful = (pl.col("kind") == "calls") & pl.col("first_call").is_in(list(doubtful))
    gaps = chain.filter(pl.col("unexplained_ugx") != 0).with_columns(is_doubtful.alias("is_doubtful"))
    alike = gaps.group_by("account", "unexplained_ugx", "is_doubtful", maintain_order=True).agg(
        pl.len(), pl.col("first_call").drop_nulls().first(), pl.col("kind", "began_at").first()
    )
    alike = alike.sort((pl.col("unexplained_ugx") * pl.col("len")).abs(), descending=True, maintain_order=True)
    for row in alike.head(_MOST_GAPS).iter_rows(named=True):
        amount = row["unexplained_ugx"]
        times = f" {row['len']:,} times," if row["len"] > 1 else ""
        where = "the balance reading" if row["kind"] == "reading" else f"API call {row['first_call']}"
        first = " first" if row["len"] > 1 else ""
        yield (
            f"Account {row['account']}: {ugx(abs(amount))} {'came in' if amount > 0 else 'went out'}{times}{first} "
            f"before {where} of {moment(row['began_at'])}, that nothing recorded here explains.{_fix(**row)}"
        )
    left = alike.slice(_MOST_GAPS).select(pl.col("len").sum(), (pl.col("unexplained_ugx").abs() * pl.col("len")).sum())
    more, left_ugx = left.row(0)
    if more:
        yield f"And {more:,} more, {ugx(left_ugx)} in all; `mambo account statement` names them."


def _fix(*, unexplained_ugx: int, is_doubtful: bool, **_: object) -> str:
    if is_doubtful:
        return " Perhaps the receipt names another cost than was taken: ask the provider."
    return " If it is a top-up, enter it with `mambo account top-up`." if unexplained_ugx > 0 else ""


def _some(calls: Sequence[str]) -> str:
    return listed(list(calls)) if len(calls) <= 3 else f"{', '.join(calls[:3])} and {len(calls) - 3:,} more"
