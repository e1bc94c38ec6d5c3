"""What the commands show: estimates, summaries, status, progress. Numbers are masked; money is whole UGX."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mambo_io.delivery_counts import Evidence
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow
from mambo_io.masking import mask_text
from mambo_io.model import CampaignState, Outcome
from mambo_io.window import KAMPALA
from pipelines.reasons import reason_meaning
from pipelines.summary import CampaignSummary, stop_text

if TYPE_CHECKING:  # what prepares and sends takes longer to load than a look at the ledger
    from pipelines.estimate import Estimate, Sample
    from pipelines.sending import Progress as SendProgress

# Lines are not wrapped: a terminal does that by itself, and a pipe wants them whole.
out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)

TRANSACTIONAL = "Transactional: the list of opt-outs is not asked, only the campaign's own files."
_MOST_UNVERIFIED = 3  # calls that are shown
_MOST_SOURCES = 5


def say(text: str, *, command: str | None = None) -> None:
    """A line of plain text, and the command that comes next."""
    out.print(escape(text) + (f" [bold]{escape(command)}[/bold]" if command is not None else ""))


def ask(prompt: str) -> str:
    """What the person types; the question stands on standard error. Raises KeyboardInterrupt and EOFError."""
    if hasattr(signal, "siginterrupt"):
        signal.siginterrupt(signal.SIGINT, True)  # polars' handler of Ctrl-C lets a read go on as if nothing had been
    return err.input(prompt, markup=False)


def print_json(value: Any) -> None:
    """One line that a program reads; times in ISO 8601."""
    facts = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    print(json.dumps(facts, default=_json_default, ensure_ascii=False))


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    raise TypeError(f"no JSON for {type(value).__name__}")


def show_estimate(estimate: Estimate) -> None:
    """Who will get what, and for how much."""
    out.print(
        f"[bold]{escape(estimate.name)}/{escape(estimate.edition)}[/bold]  from {escape(estimate.source)}, "
        f"sender {escape(estimate.sender_id)}, category {estimate.category}"
    )
    _pairs(
        [
            ("Rows", f"{estimate.rows:,}"),
            ("To be messaged", f"{estimate.sendable:,}{_networks(estimate.networks)}"),
            ("Segments", f"{estimate.segments:,}{_encodings(estimate)}"),
            ("API calls", f"{estimate.calls:,}, {count(estimate.texts, 'different text')}"),
            ("Cost", f"[bold]UGX {estimate.estimated_ugx:,}[/bold]{_budget(estimate)}"),
            ("Time", _time(estimate)),
            ("Balance", _balance(estimate)),
            ("Rejected", f"{estimate.rows - estimate.sendable:,}"),
        ]
    )
    show_reasons(estimate.rejected)
    if estimate.opt_out_sources:
        say(f"Opted out, as known from: {_opt_out_sources(estimate.opt_out_sources)}")
    for which, sample in _samples(estimate.samples):
        out.print(
            f"[dim]{which} text (row {sample.row}, {sample.encoding}, {count(sample.segments, 'segment')}, "
            f"UGX {sample.estimated_ugx:,}):[/dim] {escape(sample.text)}"
        )
    for note in estimate.notes:
        out.print(f"[dim]Note: {escape(note)}[/dim]")
    for warning in estimate.warnings:
        out.print(f"[yellow]Warning:[/yellow] {escape(warning)}")
    for obstacle in estimate.obstacles:
        out.print(f"[red]In the way of sending:[/red] {escape(obstacle)}")


def show_test(estimate: Estimate) -> None:
    """The message to one's own phone."""
    [(_, sample)] = _samples(estimate.samples)
    out.print(
        f"[bold]{escape(estimate.name)}/{escape(estimate.edition)}[/bold]  the message of row {sample.row}, "
        f"{sample.encoding}, {count(sample.segments, 'segment')}, UGX {sample.estimated_ugx:,}: {escape(sample.text)}"
    )


def show_plan(campaign: CampaignRow) -> None:
    """What stands in the ledger to be sent."""
    out.print(
        f"[bold]{escape(campaign.label)}[/bold]  from {escape(campaign.source)}, sender {escape(campaign.sender_id)}, "
        f"category {campaign.category}, planned {local_time(campaign.planned_at)}"
    )
    _pairs(
        [
            ("Rows", f"{campaign.rows:,}"),
            ("To be messaged", f"{campaign.sendable:,}"),
            ("Segments", f"{campaign.segments:,}"),
            ("API calls", f"{campaign.calls:,}"),
            ("Cost", f"[bold]UGX {campaign.estimated_ugx:,}[/bold]"),
            ("Message", escape(mask_text(campaign.message))),
            ("Plan", campaign.plan_digest),
        ]
    )
    if campaign.transactional:
        say(TRANSACTIONAL)


def show_reasons(rejected: Mapping[str, int]) -> None:
    width = max((len(f"{rows:,}") for rows in rejected.values()), default=0)
    _pairs([(f"  {code}", f"{rows:>{width},}  [dim]{reason_meaning(code)}[/dim]") for code, rows in rejected.items()])


def show_summary(summary: CampaignSummary) -> None:
    """Who got it, what it cost, why that is not the estimate, what happened to the rest, and what to type next."""
    why = f": {stop_text(summary.stop_reason, summary.stop_detail)}" if summary.stop_reason is not None else ""
    out.print(f"[bold]{escape(summary.label)}[/bold]  {summary.state}{escape(why)}{escape(_sent_by(summary))}")
    if summary.state == CampaignState.AWAITING_APPROVAL:
        say(f"Plan {summary.plan_digest}: nothing is sent before `mambo approve`.")
    if summary.held_by is not None:
        say(f"Paused by {summary.held_by}: nothing is sent before `mambo resume`.")
    if summary.transactional:
        say(TRANSACTIONAL)
    if summary.erased_at is not None:
        half = ", but not to the end" if summary.is_half_erased else ""
        say(f"Erased on {local_time(summary.erased_at)}{half}: no number, text or reply is held; figures stay.")
    # What went well first, and what is explained below last.
    order = sorted(summary.outcomes, key=lambda outcome: (outcome == Outcome.REJECTED, outcome != Outcome.ACCEPTED))
    _pairs([(outcome, f"{summary.outcomes[outcome]:,}") for outcome in order])
    show_reasons(summary.rejected)
    charged = "Charged" if summary.charge_is_known else "Charged, as far as known"
    _pairs([("Estimated", f"UGX {summary.estimated_ugx:,}"), (charged, f"[bold]UGX {summary.charged_ugx:,}[/bold]")])
    _pairs([(f"  {cause}", f"UGX {amount:,}") for cause, amount in summary.differences.items()])
    if (uncharged := summary.uncharged_calls) is not None:
        more = f" and {uncharged.calls - len(uncharged.names):,} more" if uncharged.calls > len(uncharged.names) else ""
        say(
            f"What was charged for API call {', '.join(uncharged.names)}{more} is not known. What the balance shows:",
            command="mambo account statement",
        )
    show_deliveries(summary)
    for call in summary.unknown_calls:
        out.print(
            f"[yellow]Unknown:[/yellow] API call {escape(call.name)} of {local_time(call.intent_at)}, "
            f"{people(call.recipients_count)}, UGX {call.expected_ugx:,} ({escape(call.reason)})"
            + (f": {escape(call.evidence)}" if call.evidence else "")
        )
    if summary.unknown_calls:
        out.print(
            "Whether an unknown call was executed is not known, so it is never repeated by itself. `mambo settle` asks "
            "the account's balance; `mambo resolve` records what you found out."
        )
    _show_unverified(summary)
    if summary.next_command is not None:
        say("Next:", command=summary.next_command)


def _show_unverified(summary: CampaignSummary) -> None:
    """The first calls of whose people nobody can say whether they were counted, and how a person's word is recorded."""
    for call in summary.unverified_calls[:_MOST_UNVERIFIED]:
        counts = "the receipt does not say how many it counts"
        if call.counted is not None:
            counts = f"of {people(call.submitted_count)} the receipt counts {call.counted:,}"
            counts += f", and {call.unsupported:,} as unsupported" if call.unsupported else ""
        out.print(
            f"[yellow]Unverified:[/yellow] API call {escape(call.name)}, {people(call.recipients_count)} from row "
            f"{call.first_row} ({escape(call.reason)}): {counts}"
        )
    if (more := len(summary.unverified_calls) - _MOST_UNVERIFIED) > 0:
        say(f"and {count(more, 'more API call')}; `mambo results` lists everybody.")
    if summary.unverified_calls:
        row = summary.unverified_calls[0].first_row
        which = f"{summary.campaign} --row {row} --accepted|--not-sent --edition {summary.edition}"
        say("They may have been sent, and are not sent again. What you find out of one:")
        say(" ", command=f"mambo resolve {which} --by NAME --note WHY")


def _sent_by(summary: CampaignSummary) -> str:
    return "" if summary.sent_by is None else f" ({summary.sent_by or 'by another process'})"


def show_deliveries(summary: CampaignSummary) -> None:
    """What a provider's export says of the accepted people, and of others; nothing where none was imported."""
    if summary.deliveries:
        out.print("Of those accepted, as the provider's export says:")
        _pairs([(f"  {status.replace('_', ' ')}", f"{number:,}") for status, number in summary.deliveries.items()])
    for evidence in summary.delivery_evidence:
        where = f"API call {evidence.call}" if evidence.call else f"row {', '.join(map(str, evidence.rows))}"
        more = " and more" if len(evidence.rows) < evidence.people and not evidence.call else ""
        say(
            f"In the export, too: {people(evidence.people)} {evidence.outcome.replace('_', ' ')} here ({where}{more}), "
            f"{evidence.delivered:,} as delivered."
        )
        which = _to_resolve(evidence)
        if which is not None:
            edition = f" --edition {summary.edition}"
            say(
                "  To record it:",
                command=f"mambo resolve {summary.campaign} {which}{edition} --accepted --by NAME --note WHY",
            )


def _to_resolve(evidence: Evidence) -> str | None:
    """How `mambo resolve` is told whom it is about; None where nobody can resolve it."""
    match evidence.outcome:
        case Outcome.UNKNOWN if evidence.call is not None:
            return evidence.call.rpartition("/")[2]
        case Outcome.UNVERIFIED:
            return f"--row {evidence.rows[0]}"
        case _:
            return None


def show_campaigns(summaries: Iterable[CampaignSummary]) -> None:
    """One line for each campaign edition, in columns."""
    rows: list[tuple[str, ...]] = [("campaign", "rows", "accepted", "other", "left", "estimated", "charged", "state")]
    for summary in summaries:
        left = sum(summary.outcomes.get(state, 0) for state in (Outcome.PLANNED, Outcome.IN_FLIGHT, Outcome.UNKNOWN))
        accepted = summary.outcomes.get(Outcome.ACCEPTED, 0)
        figures = (summary.rows, accepted, summary.rows - accepted - left, left)
        money = (summary.estimated_ugx, summary.charged_ugx)
        state = summary.state + (f" ({summary.stop_reason})" if summary.stop_reason else "")
        state += _sent_by(summary)
        state += ", erased" if summary.erased_at is not None else ""
        state += f", paused by {summary.held_by}" if summary.held_by is not None else ""
        rows.append((summary.label, *(f"{figure:,}" for figure in (*figures, *money)), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, state in rows:
        padded = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:-1], strict=True)]
        say("  ".join([f"{name:<{widths[0]}}", *padded, state]))


@contextmanager
def send_progress(campaign: str) -> Iterator[Any]:
    """A progress line on a terminal; nothing elsewhere. Yields what `send_edition` calls with its progress."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[calls]} calls, UGX {task.fields[spent]}, {task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(campaign, total=None, calls=0, spent="0", rate="-")

        def on_progress(now: SendProgress, row: CampaignRow) -> None:
            speed = progress.tasks[task].speed
            progress.update(
                task,
                completed=now.recipients,
                total=row.sendable,
                calls=now.calls,
                spent=f"{now.spent_ugx:,}",
                rate=f"{speed:,.0f}" if speed else "-",
            )

        yield on_progress


@contextmanager
def working() -> Iterator[Any]:
    """Says what is being done while a list is read, on a terminal. Yields what `prepare` calls with its steps."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with err.status("reading") as status:
        yield lambda step: status.update(step)


def check_somebody_is_there(yes_means: str) -> None:
    """The question is put on standard error, and answered on standard input."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError("nobody is there to be asked", fix=f"Add --yes to {yes_means} without a question.")


def answer(question: str) -> str:
    """What the person says; nothing when they close the input or press Ctrl-C."""
    try:
        return ask(f"{question} ").strip()
    except (EOFError, KeyboardInterrupt):
        err.print()
        return ""


def agreed(question: str) -> bool:
    """Whether the person says yes."""
    return answer(f"{question} [y/N]").lower() in ("y", "yes")


def local_time(at: datetime) -> str:
    return at.astimezone(KAMPALA).strftime("%Y-%m-%d %H:%M")


def count(number: int, thing: str, things: str | None = None) -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def people(number: int) -> str:
    return count(number, "person", "people")


def _pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns; a long value is left to the terminal to wrap."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        out.print(f"{name:<{width}}  {value}")


def _samples(samples: Sequence[Sample]) -> Iterator[tuple[str, Sample]]:
    """Each text once, with all that it is an example of: `first, dearest`."""
    by_row: dict[int, list[Sample]] = {}
    for sample in samples:
        by_row.setdefault(sample.row, []).append(sample)
    for same in by_row.values():
        yield ", ".join(sample.which for sample in same), same[0]


def _networks(networks: Mapping[str, int]) -> str:
    named = ", ".join(f"{escape(name)} {people:,}" for name, people in networks.items())
    return f"  [dim]{named}[/dim]" if named else ""


def _opt_out_sources(sources: Mapping[str, int]) -> str:
    named = [f"{source} {people:,}" for source, people in list(sources.items())[:_MOST_SOURCES]]
    more = len(sources) - len(named)
    return ", ".join(named) + (f" and {count(more, 'more source')}" if more else "")


def _encodings(estimate: Estimate) -> str:
    return f"  [dim]{estimate.ucs2_recipients:,} messages in UCS-2[/dim]" if estimate.ucs2_recipients else ""


def _budget(estimate: Estimate) -> str:
    return f"  [dim]max_cost_ugx {estimate.max_cost_ugx:,}[/dim]" if estimate.max_cost_ugx is not None else ""


def _time(estimate: Estimate) -> str:
    seconds = estimate.duration_s
    length = f"about {seconds:,.0f} s" if seconds < 120 else f"about {seconds / 60:,.0f} min"
    when = f"from {local_time(estimate.starts_at)} to {local_time(estimate.ends_at)}"
    if estimate.window == "any":
        return f"{length} at any hour, {when}"
    fits = "inside" if estimate.ends_in_window else "[yellow]not within one day of[/yellow]"
    return f"{length}, {fits} the window {estimate.window}, {when}"


def _balance(estimate: Estimate) -> str:
    if estimate.balance_ugx is None or estimate.balance_at is None:
        return "[dim]not known yet[/dim]"
    return f"UGX {estimate.balance_ugx:,} at {local_time(estimate.balance_at)}"
