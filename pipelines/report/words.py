"""The words of a report: what outcomes, reasons and causes are called, what each figure means, how it is written."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import date, datetime
from importlib.metadata import version
from typing import assert_never

from mambo_io.model import NOT_REPORTED, Delivery, Outcome
from mambo_io.window import KAMPALA
from pipelines import __version__
from pipelines.reasons import Reason
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
    Delivery.DELIVERED.value: "Delivered",
    Delivery.FAILED.value: "Failed",
    Delivery.PENDING.value: "Pending",
    NOT_REPORTED: "Not reported",
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


def coverage(books: Books) -> str:
    """What a report is about: `clinic-day/1`, or `12 campaigns`; and the period that was asked for."""
    labels = (books.campaigns["campaign"] + "/" + books.campaigns["edition"]).to_list()
    match labels:
        case []:
            what = "No campaign"
        case [_] | [_, _] | [_, _, _]:
            what = listed(labels)
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
    match accounts:
        case [account]:
            whose = f"account {account}"
        case [_, _] | [_, _, _]:
            whose = f"accounts {listed(accounts)}"
        case _:
            whose = f"{len(accounts):,} accounts"
    return f"API calls {of} {when}, {whose}"


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


def percent(share: float) -> str:
    """Never 0% of somebody, nor 100% when somebody is missing."""
    if 0 < share < 0.001:
        return "under 0.1%"
    if 0.999 < share < 1:
        return "over 99.9%"
    return f"{share:.0%}" if share in (0, 1) else f"{share:.1%}"


def listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def has_deliveries(books: Books) -> bool:
    """Whether an export of delivery reports was imported for anybody."""
    return books.tally["delivery"].is_in([status.value for status in Delivery]).any()
