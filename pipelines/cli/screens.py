"""What the commands show: estimates, summaries, status, progress. Numbers are masked; money is whole UGX."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mambo_io.ledger import CampaignRow
from mambo_io.window import KAMPALA
from pipelines.estimate import Estimate, reason_meaning
from pipelines.sending import Progress as SendProgress
from pipelines.summary import CampaignSummary, stop_text

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)


def print_json(value: Any) -> None:
    """One line that a program reads."""
    print(json.dumps(value, default=str, ensure_ascii=False))


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
            ("Rejected", f"{estimate.rows - estimate.sendable:,}"),
            ("Segments", f"{estimate.segments:,}{_encodings(estimate)}"),
            ("API calls", f"{estimate.calls:,}, {estimate.texts:,} different text{'s' if estimate.texts != 1 else ''}"),
            ("Cost", f"[bold]UGX {estimate.estimated_ugx:,}[/bold]{_budget(estimate)}"),
            ("Time", _time(estimate)),
            ("Balance", _balance(estimate)),
        ]
    )
    show_reasons(estimate.rejected)
    for sample in estimate.samples:
        out.print(
            f"[dim]{sample.which} text (row {sample.row}, {sample.encoding}, {_count(sample.segments, 'segment')}, "
            f"UGX {sample.estimated_ugx:,}):[/dim] {escape(sample.text)}"
        )
    for note in estimate.notes:
        out.print(f"[dim]Note: {escape(note)}[/dim]")
    for warning in estimate.warnings:
        out.print(f"[yellow]Warning:[/yellow] {escape(warning)}")
    for obstacle in estimate.obstacles:
        out.print(f"[red]In the way of sending:[/red] {escape(obstacle)}")


def show_reasons(rejected: Mapping[str, int]) -> None:
    if rejected:
        _pairs([(f"  {code}", f"{count:,}  [dim]{reason_meaning(code)}[/dim]") for code, count in rejected.items()])


def show_summary(summary: CampaignSummary) -> None:
    """Who got it, what it cost, why that is not the estimate, what happened to the rest."""
    out.print(
        f"[bold]{escape(summary.label)}[/bold]  {summary.state}"
        + (f": {escape(stop_text(summary.stop_reason, summary.stop_detail))}" if summary.exit_code else "")
    )
    _pairs([(outcome, f"{count:,}") for outcome, count in summary.outcomes.items()])
    show_reasons(summary.rejected)
    _pairs([("Estimated", f"UGX {summary.estimated_ugx:,}"), ("Charged", f"[bold]UGX {summary.charged_ugx:,}[/bold]")])
    if summary.differences:
        _pairs([(f"  {cause}", f"UGX {amount:,}") for cause, amount in summary.differences.items()])
    for name in summary.unknown_calls:
        out.print(f"[yellow]Unknown:[/yellow] API call {name}; it is never repeated by itself.")
    if summary.next_command is not None:
        out.print(f"Next: [bold]{escape(summary.next_command)}[/bold]")


def show_campaigns(summaries: Iterable[CampaignSummary]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("campaign", "state", "rows", "accepted", "other", "left", "estimated", "charged"):
        table.add_column(column, justify="left" if column in ("campaign", "state") else "right")
    for summary in summaries:
        left = sum(summary.outcomes.get(outcome, 0) for outcome in ("planned", "in_flight", "unknown"))
        accepted = summary.outcomes.get("accepted", 0)
        table.add_row(
            escape(summary.label),
            summary.state + (f" ({summary.stop_reason})" if summary.stop_reason else ""),
            f"{summary.rows:,}",
            f"{accepted:,}",
            f"{summary.rows - accepted - left:,}",
            f"{left:,}",
            f"{summary.estimated_ugx:,}",
            f"{summary.charged_ugx:,}",
        )
    out.print(table)


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


def as_json(value: Estimate | CampaignSummary) -> dict[str, Any]:
    return asdict(value)


def local_time(at: datetime) -> str:
    return at.astimezone(KAMPALA).strftime("%Y-%m-%d %H:%M")


def _pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns; a long value is left to the terminal to wrap."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        out.print(f"{name:<{width}}  {value}")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _networks(networks: Mapping[str, int]) -> str:
    named = ", ".join(f"{escape(name)} {count:,}" for name, count in networks.items())
    return f"  [dim]{named}[/dim]" if named else ""


def _encodings(estimate: Estimate) -> str:
    return f"  [dim]{estimate.ucs2_recipients:,} messages in UCS-2[/dim]" if estimate.ucs2_recipients else ""


def _budget(estimate: Estimate) -> str:
    return f"  [dim]max_cost_ugx {estimate.max_cost_ugx:,}[/dim]" if estimate.max_cost_ugx is not None else ""


def _time(estimate: Estimate) -> str:
    seconds = estimate.duration_s
    length = f"about {seconds:,.0f} s" if seconds < 120 else f"about {seconds / 60:,.0f} min"
    window = "at any hour" if estimate.window == "any" else f"window {estimate.window}"
    return f"{length}, {window}; from {local_time(estimate.starts_at)} to {local_time(estimate.ends_at)}"


def _balance(estimate: Estimate) -> str:
    if estimate.balance_ugx is None or estimate.balance_at is None:
        return "[dim]not known yet[/dim]"
    return f"UGX {estimate.balance_ugx:,} at {local_time(estimate.balance_at)}"
