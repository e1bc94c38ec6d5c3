"""What a report says in words: the headline, what needs a look, and what each word and figure means."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from importlib.metadata import version
from typing import assert_never

import polars as pl

from mambo_io.model import CampaignState, Outcome
from mambo_io.window import KAMPALA
from pipelines import __version__, reconciliation
from pipelines.frames import Reason
from pipelines.reconciliation import Books

MINUS = "\N{MINUS SIGN}"  # as wide as a digit

# From the best to the worst, as charts and tables list them; then what is still open.
ORDER = (
    Outcome.ACCEPTED,
    Outcome.UNSUPPORTED,
    Outcome.REJECTED,
    Outcome.REFUSED,
    Outcome.UNVERIFIED,
    Outcome.UNKNOWN,
    Outcome.IN_FLIGHT,
    Outcome.PLANNED,
    Outcome.CANCELLED,
)
# Who comes first among the exceptions: those somebody has to do something about.
GRAVEST_FIRST = (
    Outcome.UNKNOWN,
    Outcome.UNVERIFIED,
    Outcome.REFUSED,
    Outcome.IN_FLIGHT,
    Outcome.PLANNED,
    Outcome.CANCELLED,
    Outcome.UNSUPPORTED,
    Outcome.REJECTED,
)
CAUSES = {
    "of_unsupported_ugx": "for people who could not be reached",
    "of_segments_ugx": "because the API counted other segments in a message than we did",
    "of_price_ugx": "because the price of a segment was not the tariff's",
    "of_partial_ugx": "because the API did not count just those who were sent to it",
    "of_unknown_ugx": "for calls whose charge is not known",
    "of_not_sent_ugx": "for messages that were not sent",
    "unexplained_ugx": "that nothing explains",
}
CAUSE_TITLES = {
    "of_unsupported_ugx": "Not reached",
    "of_segments_ugx": "Segment count",
    "of_price_ugx": "Price",
    "of_partial_ugx": "People counted",
    "of_unknown_ugx": "Charge not known",
    "of_not_sent_ugx": "Not sent",
    "unexplained_ugx": "Unexplained",
}
DELIVERIES = {
    "delivered": "Delivered",
    "failed": "Failed",
    "pending": "Pending",
    "not_reported": "Not reported",
}
DEFINITIONS = {
    "People": "Rows of the recipients files. Every row has one outcome, so the outcomes add up to this.",
    "Accepted": "The API took the message and its receipt counts the person. The API gives no delivery reports, so "
    "this does not say that the message arrived.",
    "Not reached": "The API's receipt names the number as unsupported.",
    "Turned away": "Not sent to the API at all: the row has no usable number, the person has opted out, or another "
    "rule of the campaign holds the message back.",
    "Refused": "The whole call was refused; nobody in it was sent anything.",
    "Not certain": "The receipt counts other people than were sent to the API and does not say which. They are not "
    "sent to again.",
    "Not known": "The call got no clear answer. It may have been carried out and charged; it is never repeated by "
    "itself.",
    "Delivered, failed, pending": "What the provider's export of delivery reports says of accepted people, where one "
    "was imported; not reported are those whom it does not name.",
    "Segments": "An SMS of up to 160 characters, or 70 with letters outside its alphabet, is one segment; longer texts "
    "take several. Each is paid for.",
    "Estimated": "By the campaign's tariff, for everybody who was to be sent something when the campaign was planned.",
    "Charged": "What the API's receipts say, or what the account's balance proved of a call without one. The charge of "
    "a call is divided equally over the people in it who share it, so a person's charge is a share, not a price.",
    "Difference": "Charged less estimated. Its causes add up to it exactly.",
    "Network": "Guessed from the number's prefix. A number that was taken to another network still shows the old one.",
    "Day": "Kampala's, of the API call. People in no call are not counted in a day.",
    "Balance": "As the API named it in its receipts, or when it was asked. Each must be what went before, less the "
    "charges, plus the top-ups entered with `mambo account top-up`; what is not is shown as unexplained.",
}


def outcome_title(outcome: Outcome) -> str:
    """What a chart or a table calls it: two or three words."""
    match outcome:
        case Outcome.ACCEPTED:
            return "Accepted"
        case Outcome.UNSUPPORTED:
            return "Not reached"
        case Outcome.REJECTED:
            return "Turned away"
        case Outcome.REFUSED:
            return "Refused"
        case Outcome.UNVERIFIED:
            return "Not certain"
        case Outcome.UNKNOWN:
            return "Not known"
        case Outcome.IN_FLIGHT:
            return "Being sent"
        case Outcome.PLANNED:
            return "Not sent yet"
        case Outcome.CANCELLED:
            return "Cancelled"
        case _:
            assert_never(outcome)


OUTCOME_TITLES = {outcome.value: outcome_title(outcome) for outcome in ORDER}
REASONS = {reason.value: reason.meaning for reason in Reason} | {
    Outcome.UNSUPPORTED.value: "the API cannot reach the number",
    Outcome.UNVERIFIED.value: "the receipt does not say whether the person was counted",
    Outcome.CANCELLED.value: "somebody cancelled it",
    "ok": "",
    "no_answer": "the API did not answer in time",
    "broken_answer": "the API's answer broke off",
    "connection_lost": "the connection was lost during the call",
    "process_ended": "the sending process ended during the call",
    "refused": "the API refused the call",
}
ALARMS = {
    "no_data": "holds no figures",
    "unsupported_not_in_call": "names unsupported numbers that were not in the call",
    "count_above_submitted": "counts more people than were sent to the API",
    "cost_not_whole": "names a cost that is no whole number of shillings",
    "counts_inconsistent": "counts other people than were sent to the API",
    "unsupported_unreadable": "names unsupported numbers that cannot be read",
    "sms_sent_not_product": "does not name people times segments as the messages sent",
    "cost_missing": "names no cost",
    "new_balance_unreadable": "names a balance that cannot be read",
}


def headline(books: Books) -> list[str]:
    """The report in a few sentences: who, how much, and what of the account."""
    if books.campaigns.is_empty():
        when = "yet" if books.start is None and books.end is None else "in this period"
        return [f"No campaign was sent or planned {when}, so there is nobody and nothing to account for."]
    sums = reconciliation.cut(books).row(0, named=True)
    if not sums["recipients"]:
        return ["Nobody stands on the lists of these campaigns, so nobody was sent anything and nothing was charged."]
    return [*_people(sums), *_delivered(books), *_money(sums), *_account(books)]


def coverage(books: Books) -> str:
    """What a report is about: `clinic-day/1`, or `12 campaigns`; and the period that was asked for."""
    labels = (books.campaigns["campaign"] + "/" + books.campaigns["edition"]).to_list()
    match labels:
        case []:
            what = "No campaign"
        case [_] | [_, _] | [_, _, _]:
            what = _listed(labels)
        case _:
            what = f"{len(labels):,} campaigns"
    when = period(books.start, books.end)
    return f"{what}, {when}" if when else what


def called(books: Books) -> str:
    """On which days calls were made, and from which account."""
    days, accounts = books.calls["day"].drop_nulls(), books.campaigns["account"].unique().sort().to_list()
    if days.is_empty():
        return "No API call was made."
    when = period(days.min(), days.max())  # type: ignore[arg-type] # they are dates
    of = "of" if days.n_unique() == 1 else "from"
    return f"API calls {of} {when}, {'account' if len(accounts) == 1 else 'accounts'} {_listed(accounts)}"


def period(start: date | None, end: date | None) -> str:
    """`November 2026`, `3 to 9 November 2026`; empty where none was asked for."""
    match start, end:
        case None, None:
            return ""
        case date() as first, None:
            return f"from {day(first)}"
        case None, date() as last:
            return f"until {day(last)}"
        case date() as first, date() as last:
            next_day = date.fromordinal(last.toordinal() + 1)
            if first.day == next_day.day == 1 and (first.year, first.month) == (last.year, last.month):
                return f"{first:%B %Y}"
            return day(first) if first == last else f"{day(first)} to {day(last)}"
        case _:
            raise TypeError("a period is made of days")


def to_look_at(books: Books) -> list[str]:
    """What somebody should look at, each with what to do; empty when all is well."""
    return [*_open_calls(books), *_unfinished(books), *_receipts(books), *_unexplained(books)]


def reason_words(code: str | None) -> str:
    """A reason code in words; a code that has none stays as it is."""
    if code is None:
        return ""
    if status := re.fullmatch(r"(http|body)_(\d+)", code):
        return f"the API answered with {'HTTP' if status[1] == 'http' else 'code'} {status[2]}"
    return REASONS.get(code, "" if code in ALARMS else code.replace("_", " "))


def day(when: date) -> str:
    return f"{when.day} {when:%B %Y}"


def moment(when: datetime) -> str:
    local = when.astimezone(KAMPALA)
    return f"{day(local)}, {local:%H:%M}"


def made_with(*packages: str) -> str:
    """The versions of what made a report."""
    ours = f"mambo-pipelines {__version__}, Python {platform.python_version()}"
    return ", ".join([ours, *(f"{name} {version(name)}" for name in ("polars", *packages))])


def ugx(amount: int) -> str:
    return f"{MINUS if amount < 0 else ''}UGX {abs(amount):,}"


def count(number: int, thing: str, things: str | None = None) -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def percent(part: int, whole: int) -> str:
    """Never 0% of somebody, nor 100% when somebody is missing."""
    if part in (0, whole):
        return "100%" if part else "0%"
    share = 100 * part / whole
    if share < 0.1:
        return "under 0.1%"
    return "over 99.9%" if share > 99.9 else f"{share:.1f}%"


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
        told.append(f"{_listed(parts)}.")
    if uncertain := sums["unverified"]:
        told.append(f"Of {uncertain:,} the receipt does not say whether {_they(uncertain)} counted.")
    if unknown := sums["unknown"]:
        told.append(f"Of {unknown:,} it is not known whether {_they(unknown)} sent the message.")
    return told


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
    return [f"Of the {accepted:,} accepted, the provider's export names {_listed(parts)}."]


def has_deliveries(books: Books) -> bool:
    """Whether an export of delivery reports was imported for anybody."""
    return books.tally["delivery"].is_in(["delivered", "failed", "pending"]).any()


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


def _account(books: Books) -> list[str]:
    chain = reconciliation.balance_chain(books)
    if chain["balance_ugx"].drop_nulls().is_empty():
        return []
    account = "account's balances" if chain["account"].n_unique() == 1 else "accounts' balances"
    unexplained = chain.filter(pl.col("unexplained_ugx") != 0)
    if unexplained.height:
        steps = count(unexplained.height, "step of the", "steps of the")
        return [f"{steps} {account} {'is' if unexplained.height == 1 else 'are'} not explained."]
    if chain["open_ugx"].sum():
        return [f"The {account} agree with the charges, if calls whose charge is not known took what is missing."]
    return [f"The {account} agree with the charges to the shilling."]


def _causes(causes: Mapping[str, int]) -> str:
    return _listed([f"{ugx(abs(amount))} {_more(amount)} {CAUSES[cause]}" for cause, amount in causes.items()])


def _more(amount: int) -> str:
    return "less" if amount < 0 else "more"


def _they(number: int) -> str:
    return "that person was" if number == 1 else "they were"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


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
    finished = [CampaignState.COMPLETE.value, CampaignState.CANCELLED.value]
    unfinished = books.campaigns.filter(~pl.col("state").is_in(finished)).with_columns(
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


def _unexplained(books: Books) -> Iterable[str]:
    unexplained_ugx = int(books.tally["unexplained_ugx"].sum())
    if unexplained_ugx:
        yield f"{ugx(unexplained_ugx)} of the difference between estimate and charge has no explanation."
    chain = reconciliation.balance_chain(books)
    for row in chain.filter(pl.col("unexplained_ugx") != 0).head(10).iter_rows(named=True):
        amount = row["unexplained_ugx"]
        what = "came in" if amount > 0 else "went out"
        fix = " If it is a top-up, enter it with `mambo account top-up`." if amount > 0 else ""
        yield (
            f"Account {row['account']}: {ugx(abs(amount))} {what} before {moment(row['ended_at'])} that nothing "
            f"recorded here explains.{fix}"
        )


def _some(calls: Sequence[str]) -> str:
    return _listed(list(calls)) if len(calls) <= 3 else f"{', '.join(calls[:3])} and {len(calls) - 3:,} more"
