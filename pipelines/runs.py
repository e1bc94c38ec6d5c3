"""One run of one campaign edition, from the lock to the summary. Knows nothing of the engine or of screens."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from mambo_io import accounting
from mambo_io.archives import check_not_archived
from mambo_io.client import AsyncMamboClient
from mambo_io.doubts import end_orphans
from mambo_io.errors import InputError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.locks import sender_name
from mambo_io.log import recorded_run, run_log
from mambo_io.model import Balance, CampaignState, ChunkState, Outcome, StopReason
from mambo_io.planning import record_file, write_suppressions
from mambo_io.repeats import archived_repeats
from mambo_io.replies import BalanceUnavailable
from mambo_io.sender import Limits, Sender
from mambo_io.settings import MamboSettings
from mambo_io.settled import settle_state
from mambo_io.side_file import SideFile, kept_replies
from mambo_io.store import Store, StoreBusy
from mambo_io.window import KAMPALA, Window, day_start
from pipelines.campaign import Campaign
from pipelines.edition import Prepared
from pipelines.opening import open_store
from pipelines.opt_outs import read_suppressions
from pipelines.planned import begun_edition as begun_edition  # callers look for these here
from pipelines.planned import check_size, lacks_approval, plan_edition
from pipelines.planned import check_target as check_target
from pipelines.planned import who as who
from pipelines.sending import Patience, Progress, RunEnd, SendLoop
from pipelines.settling import SettlingRules, ask_balance, credentials, settle_unknown
from pipelines.summary import NOBODY_COUNTED, UNKNOWN_CALLS, CampaignSummary, summarize

T = TypeVar("T")


def send_edition(
    campaign: Campaign,
    settings: MamboSettings,
    *,
    edition: str,
    prepared: Prepared | None,
    command: str,
    approved: str | None = None,
    accept_canary: bool = False,
    direct: bool = False,
    on_plan: Callable[[], None] = lambda: None,
    on_progress: Callable[[Progress, CampaignRow], None] = lambda *_: None,
) -> CampaignSummary:
    """Plan the edition (`prepared`), or go on with it (None: it has begun), and send until something stops it.

    `approved` is the digest of the estimate a person said yes to; another plan is refused. `direct`: it was started
    without the engine, and is to go on so. Raises `InputError`
    (nothing was sent) and `Stopped`; every other end is told by the summary.
    """
    check_target(campaign, settings)
    with open_store(settings, create=True) as store:
        ledger = Ledger(store)
        with store.locked_writer(f"{campaign.name}/{edition}") as connection:
            row = begun_edition(ledger, campaign, edition, settings)
            if row is None:
                if prepared is None:
                    raise AssertionError("an edition that has not begun needs a prepared plan")
                if approved is not None and prepared.plan_digest != approved:
                    raise InputError(
                        "what would be sent is not what was approved any more",
                        file=campaign.file,
                        fix="Look at the estimate again, and send anew.",
                    )
                on_plan()
                row = plan_edition(ledger, connection, campaign, settings, prepared)
                _check_guard(ledger, connection, row, campaign, is_new=True)
            elif row.closed:
                if row.state is CampaignState.CANCELLED:  # perhaps while a sender was killed
                    end_orphans(connection, row, datetime.now(UTC))
                return summarize(ledger, row, command=command)
            else:
                check_size(campaign, row.sendable)
                _check_guard(ledger, connection, row, campaign, is_new=False)
                write_suppressions(connection, row.id, read_suppressions(campaign).numbers)
            record_file(connection, row.id, campaign.file, direct=direct)
            if lacks_approval(ledger, connection, campaign, row):
                return summarize(ledger, ledger.get(campaign.name, edition), command=command)
            with recorded_run(row.label), taken_over(store, connection, row, campaign.sending.concurrency) as sender:
                _send(sender, ledger, connection, row, campaign, settings, accept_canary, on_progress)
            its_file = command if campaign.file.is_file() else None  # it may have been renamed meanwhile
            summary = summarize(ledger, ledger.get(campaign.name, edition), command=its_file)
    _record_end(summary)
    return summary


def _record_end(summary: CampaignSummary) -> None:
    why = f", {summary.stop_reason}" if summary.stop_reason else ""
    run_log().info("%s: %s%s", summary.label, summary.state, why)
    for call in summary.unknown_calls:
        run_log().warning("%s: unknown, %s", call.name, call.reason)


@contextmanager
def taken_over(
    store: Store, connection: Connection, row: CampaignRow, concurrency: int, *, settling: bool = False
) -> Iterator[Sender]:
    """A sender that has taken the campaign over, with room beside the ledger for what that might not take."""
    aside, run = store.aside(row.id), uuid.uuid4().hex[:12]
    kept = kept_replies(aside)
    side_file = SideFile(aside, run)
    with side_file.reserved(concurrency):
        sender = Sender(connection, row, run=run, who=sender_name(), side_file=side_file)
        sender.start(datetime.now(UTC), kept, settling=settling)
        for replies in kept:
            replies.remove()
        yield sender


@contextmanager
def held_edition(
    settings: MamboSettings, name: str, edition: str | None
) -> Iterator[tuple[Ledger, Connection, CampaignRow]]:
    """A campaign edition (None: the newest) with its lock held, so that no sender is at work on it.

    What an ended process left in flight is unknown then. Afterwards it is complete where nothing is left of it; else it
    stands as it did, for the same reason, whatever kills this process meanwhile. Raises `StoreBusy` while somebody is
    at work on it, and `InputError` when it is archived, or of another account or host.
    """
    with open_store(settings) as store:
        ledger = Ledger(store)
        label = ledger.get(name, edition).label
        with store.locked_writer(label) as connection:
            row = ledger.get(name, edition)
            with connection.begin():
                check_not_archived(connection, row.id, row.label)
            if row.account != settings.account or row.host != settings.host:
                raise InputError(
                    f"belongs to account {row.account} at {row.host}, not {settings.account} at {settings.host}",
                    file=label,
                    fix="Set MAMBO_ACCOUNT and MAMBO_BASE_URL.",
                )
            with taken_over(store, connection, row, concurrency=1, settling=True):
                yield ledger, connection, row
                settle_state(connection, row, datetime.now(UTC))


def planned_rules(ledger: Ledger, row: CampaignRow, settings: MamboSettings) -> SettlingRules:
    """By which an edition is settled when its campaign file is not at hand: as the file was at the plan."""
    keys = ledger.settlement_keys(row)
    return SettlingRules(
        exclusive=settings.account_exclusive,
        settle_after_s=int(keys.get("settle_after_s", 120)),
        resend_settled=bool(keys.get("resend_settled", False)),
    )


def _send(
    sender: Sender,
    ledger: Ledger,
    connection: Connection,
    row: CampaignRow,
    campaign: Campaign,
    settings: MamboSettings,
    accept_canary: bool,
    on_progress: Callable[[Progress, CampaignRow], None],
) -> None:
    sending = campaign.sending
    limits = Limits(
        concurrency=sending.concurrency,
        calls_per_second=sending.calls_per_second,
        max_cost_ugx=sending.max_cost_ugx,
        max_cost_per_day_ugx=settings.max_cost_per_day_ugx,
        window=Window.parse(sending.window),
        call_deadline_s=sending.timeout_s,
        repeat_guard_days=sending.repeat_guard_days,
    )
    patience = Patience(
        wait_for_window=sending.outside_window == "wait",
        pause_after_unknown=sending.pause_after_unknown,
        pause_after_refused=sending.pause_after_refused,
    )
    rules = SettlingRules(
        exclusive=settings.account_exclusive,
        settle_after_s=campaign.settlement.settle_after_s,
        resend_settled=campaign.settlement.resend_settled,
    )
    if accept_canary:
        sender.waive_canary(datetime.now(UTC))

    def look_again() -> bool:
        """Settle what can be settled, with nothing in flight; whether nothing is unknown any more."""
        try:
            settled = settle_unknown(ledger, connection, row, settings, rules, who=who())
        except StoreBusy:  # another settlement of the account is at work, and may tell it all
            return False
        sender.look_again()
        return settled.left == 0

    async def run() -> RunEnd:
        async with AsyncMamboClient(
            base_url=settings.base_url, api_key=settings.require_api_key(), timeout_s=sending.timeout_s
        ) as client:
            loop = SendLoop(
                sender,
                client,
                limits,
                patience,
                unsettled=unsettled,
                settle=look_again,
                on_progress=lambda progress: on_progress(progress, row),
            )
            return await loop.run()

    unsettled = not look_again()
    now_open = limits.window is None or limits.window.is_open(datetime.now(UTC))
    if now_open and sender.calls_by_state().get(ChunkState.PLANNED):
        _learn_balance(ledger, connection, settings, sender.started_at)
    gc.freeze()  # what planning and the libraries left behind stays; looking through it again takes a tenth of the time
    try:
        end = _run(run())
    finally:
        gc.unfreeze()
    calls, now = sender.calls_by_state(), datetime.now(UTC)
    if calls.get(ChunkState.PLANNED) or calls.get(ChunkState.IN_FLIGHT):
        sender.finish(
            CampaignState.PAUSED, end.reason, now, detail=end.detail or _detail(end.reason, ledger, row, limits)
        )
    elif calls.get(ChunkState.UNKNOWN):
        sender.finish(CampaignState.PAUSED, UNKNOWN_CALLS, now, detail=end.detail)
    else:
        sender.finish(CampaignState.COMPLETE, None, now)


def _check_guard(ledger: Ledger, connection: Connection, row: CampaignRow, campaign: Campaign, *, is_new: bool) -> None:
    """Raise `InputError` when the repeat guard would ask who is in an archive. `is_new`: the plan was just written."""
    days, planned_days = campaign.sending.repeat_guard_days, ledger.planned_guard_days(row)
    archived = archived_repeats(connection, row, days=days, now=datetime.now(UTC))
    if archived is None:
        return
    if is_new:
        problem = f"{archived} has sent a text of it since it was prepared, and is archived by now"
        raise InputError(problem, file=campaign.file, fix="Look at the estimate again, and send anew.")
    name, edition = archived.split("/", 1)
    bring_back = f"mambo store bring-back {name} --edition {edition} --by NAME"
    if days > planned_days:
        raise InputError(
            f"looks further back than the plan did ({planned_days} days), and {archived}, which has sent a text of it, "
            "is archived by now",
            file=campaign.file,
            key="repeat_guard_days",
            fix=f"Set it to {planned_days}, or bring its people back: {bring_back}.",
        )
    raise InputError(
        f"{archived} has sent a text of it since it was planned, and is archived: whom to leave out is not known",
        file=campaign.file,
        fix=f"Bring its people back first: {bring_back}.",
    )


def _learn_balance(ledger: Ledger, connection: Connection, settings: MamboSettings, started_at: datetime) -> None:
    """Read the balance before the first call, where there are credentials, so that the guard knows it from there on.

    Without a reading it knows what the replies name. A refusal has set its latch, and is no reason not to send.
    """
    known = ledger.last_balance(settings.account)
    if settings.username is None or settings.password is None or (known is not None and known[1] >= started_at):
        return
    try:
        ask_balance(ledger, connection, settings, who=who())
    except (BalanceUnavailable, InputError) as error:
        run_log().warning("the balance is not known: %s", error.message)


def _detail(reason: StopReason, ledger: Ledger, row: CampaignRow, limits: Limits) -> str | None:
    """The figures behind a stop that no call told the reason of."""
    match reason:
        case StopReason.OUTSIDE_WINDOW:
            assert limits.window is not None
            opens = limits.window.next_opening(datetime.now(KAMPALA))
            return f"it is {limits.window} in Kampala, and opens on {opens:%Y-%m-%d} at {opens:%H:%M}"
        case StopReason.BUDGET:
            return f"max_cost_ugx is {limits.max_cost_ugx:,}"
        case StopReason.DAY_BUDGET:
            today = day_start(datetime.now(UTC))
            spent_ugx = ledger.spent_since(row.account, today)
            return (
                f"MAMBO_MAX_COST_PER_DAY_UGX is {limits.max_cost_per_day_ugx:,}; UGX {spent_ugx:,} of {today:%Y-%m-%d} "
                "are spent, or may be"
            )
        case StopReason.BALANCE:
            known = ledger.last_balance(row.account)
            return f"UGX {known[0]:,}" if known is not None else None
        case StopReason.CANARY:
            totals = ledger.totals(row)
            if not totals.outcomes.get(Outcome.ACCEPTED):
                return NOBODY_COUNTED
            expected_ugx = totals.estimates[ChunkState.ACCEPTED] - totals.unsupported_estimate_ugx
            return f"estimated UGX {expected_ugx:,}, charged UGX {totals.charged_ugx:,}"
        case _:
            return None


def read_balance(settings: MamboSettings) -> Balance:
    """Ask the balance endpoint once and record the reading. A refusal sets a latch that outlives this process.

    Raises `BalanceRefused`, `BalanceUnavailable`, or `InputError` while the latch of an earlier refusal is set.
    """
    credentials(settings)  # before a ledger is made
    with open_store(settings, create=True) as store, store.writer() as connection:
        return ask_balance(Ledger(store), connection, settings, who=who())


def unlock_credentials(settings: MamboSettings) -> None:
    """A person says that the account's credentials are right now; recorded."""
    with open_store(settings, create=True) as store, store.writer() as connection:
        accounting.clear_latch(connection, settings.account, who=who(), now=datetime.now(UTC))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end; in a thread of its own where this one has a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
