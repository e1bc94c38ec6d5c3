"""One run of one campaign edition, from the lock to the summary. Knows nothing of the engine or of screens."""

from __future__ import annotations

import asyncio
import gc
import getpass
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from mambo_io import accounting, control
from mambo_io.client import AsyncMamboClient
from mambo_io.doubts import end_orphans
from mambo_io.errors import InputError, SettingsError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.log import recorded_run, run_log
from mambo_io.model import Balance, CampaignState, ChunkState, Outcome, StopReason
from mambo_io.planning import write_plan, write_suppressions
from mambo_io.replies import BalanceUnavailable
from mambo_io.sender import Limits, Sender
from mambo_io.settings import MamboSettings
from mambo_io.side_file import SideFile, kept_replies
from mambo_io.store import Store, StoreBusy
from mambo_io.window import KAMPALA, Window, day_start
from pipelines.campaign import Campaign, check_edition
from pipelines.edition import Prepared, file_digest
from pipelines.opening import open_store
from pipelines.prepare import prepare, read_suppressions
from pipelines.sending import Patience, Progress, RunEnd, SendLoop
from pipelines.settling import SettlingRules, ask_balance, credentials, settle_unknown
from pipelines.summary import NOBODY_COUNTED, UNKNOWN_CALLS, CampaignSummary, summarize

T = TypeVar("T")


def check_target(campaign: Campaign, settings: MamboSettings) -> None:
    """Refuse before anything is read: a missing key, or a sandbox campaign on its way to a real host."""
    settings.require_api_key()
    if campaign.sandbox_only and not settings.is_loopback:
        raise SettingsError(
            f"{campaign.name} is sandbox_only and may not go to {settings.host}",
            key="MAMBO_BASE_URL",
            fix="Start `mambo sandbox` and set what it prints, or take sandbox_only out of the campaign file.",
        )


def begun_edition(
    ledger: Ledger | None, campaign: Campaign, edition: str, settings: MamboSettings
) -> CampaignRow | None:
    """The edition if it is taken as it stands in the ledger, and the recipients file is not planned again: it has begun
    or was approved, so its content is frozen, or it is closed.

    An approved one that has not begun, and of which anything has changed since, is planned and approved anew.
    Raises `InputError` that says what changed since it has begun, or that it belongs to another account or host, or
    that no edition can have such a name.
    """
    check_edition(edition)
    row = ledger.find(campaign.name, edition) if ledger is not None else None
    if ledger is None or row is None:
        return None
    if row.is_test:
        raise InputError(
            f"{row.label} was a test to one's own phone", key="--edition", fix="Name another edition, such as 1."
        )
    same_target = row.account == settings.account and row.host == settings.host
    if not (row.begun or row.closed):
        approved = row.state is CampaignState.PLANNED and ledger.approval(row) is not None
        return row if approved and same_target and not _changes(row, campaign) else None
    if not same_target:
        raise InputError(
            f"{row.label} began with account {row.account} at {row.host}, not {settings.account} at {settings.host}",
            file=campaign.file,
            fix="Set the same MAMBO_ACCOUNT and MAMBO_BASE_URL, another MAMBO_STORE, or send another --edition.",
        )
    if not row.closed and (changed := _changes(row, campaign)):
        raise InputError(
            f"{row.label} has begun, and {', '.join(changed)} changed since",
            file=campaign.file,
            fix="Undo the change to go on with it, or send a new --edition; who was sent the same text is left out.",
        )
    return row


def send_edition(
    campaign: Campaign,
    settings: MamboSettings,
    *,
    edition: str,
    prepared: Prepared | None,
    command: str,
    approved: str | None = None,
    accept_canary: bool = False,
    on_plan: Callable[[], None] = lambda: None,
    on_progress: Callable[[Progress, CampaignRow], None] = lambda *_: None,
) -> CampaignSummary:
    """Plan the edition (`prepared`), or go on with it (None: it has begun), and send until something stops it.

    `approved` is the digest of the estimate a person said yes to; another plan is refused. Raises `InputError`
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
                row = _planned(ledger, connection, campaign, settings, prepared)
            elif row.closed:
                if row.state is CampaignState.CANCELLED:  # perhaps while a sender was killed
                    end_orphans(connection, row, datetime.now(UTC))
                return summarize(ledger, row, command=command)
            else:
                _check_size(campaign, row.sendable)
                write_suppressions(connection, row.id, read_suppressions(campaign)[0])
            if _lacks_approval(ledger, connection, campaign, row):
                return summarize(ledger, ledger.get(campaign.name, edition), command=command)
            with recorded_run(row.label), taken_over(store, connection, row, campaign.sending.concurrency) as sender:
                _send(sender, ledger, connection, row, campaign, settings, accept_canary, on_progress)
            summary = summarize(ledger, ledger.get(campaign.name, edition), command=command)
    _record_end(summary)
    return summary


def _planned(
    ledger: Ledger, connection: Connection, campaign: Campaign, settings: MamboSettings, prepared: Prepared
) -> CampaignRow:
    """The plan, written into the ledger; the very same one that waits for approval there stays as it is."""
    row = ledger.find(campaign.name, prepared.edition)
    if (
        campaign.approval == "required"
        and row is not None
        and row.state is CampaignState.AWAITING_APPROVAL
        and (row.plan_digest, row.account, row.host) == (prepared.plan_digest, settings.account, settings.host)
    ):
        return row
    plan = prepared.plan(account=settings.account, host=settings.host)
    _check_size(campaign, plan.sendable)
    return write_plan(connection, plan, who=who(), awaits_approval=campaign.approval == "required")


def _check_size(campaign: Campaign, sendable: int) -> None:
    """`max_recipients`, asked at each start. A plan never grows while it is sent, so no claim has to ask again."""
    most = campaign.max_recipients
    if most is not None and sendable > most:
        raise InputError(
            f"it would go to {sendable:,} people, and max_recipients is {most:,}",
            file=campaign.file,
            fix="Raise it, or send another edition to a shorter list.",
        )


def _lacks_approval(ledger: Ledger, connection: Connection, campaign: Campaign, row: CampaignRow) -> bool:
    """Whether nothing may be sent because nobody has approved the plan; it waits for that then."""
    if row.state is CampaignState.AWAITING_APPROVAL:
        return True
    if campaign.approval != "required" or ledger.approval(row) is not None:
        return False
    control.await_approval(connection, row)
    return True


def _record_end(summary: CampaignSummary) -> None:
    why = f", {summary.stop_reason}" if summary.stop_reason else ""
    run_log().info("%s: %s%s", summary.label, summary.state, why)
    for call in summary.unknown_calls:
        run_log().warning("%s: unknown, %s", call.name, call.reason)


@contextmanager
def taken_over(
    store: Store, connection: Connection, row: CampaignRow, concurrency: int, *, event: str = "send_started"
) -> Iterator[Sender]:
    """A sender that has taken the campaign over, with room beside the ledger for what that might not take."""
    aside, run = store.aside(row.id), uuid.uuid4().hex[:12]
    kept = kept_replies(aside)
    side_file = SideFile(aside, run)
    with side_file.reserved(concurrency):
        sender = Sender(connection, row, run=run, who=who(), side_file=side_file)
        sender.start(datetime.now(UTC), kept, event=event)
        for replies in kept:
            replies.remove()
        yield sender


@contextmanager
def held_edition(
    settings: MamboSettings, name: str, edition: str | None
) -> Iterator[tuple[Ledger, Connection, CampaignRow]]:
    """A campaign edition (None: the newest) with its lock held, so that no sender is at work on it.

    What an ended process left in flight is unknown then. Raises `StoreBusy` while somebody is at work on it, and
    `InputError` when it is of another account or host.
    """
    with open_store(settings) as store:
        ledger = Ledger(store)
        label = ledger.get(name, edition).label
        with store.locked_writer(label) as connection:
            row = ledger.get(name, edition)
            if row.account != settings.account or row.host != settings.host:
                raise InputError(
                    f"belongs to account {row.account} at {row.host}, not {settings.account} at {settings.host}",
                    file=label,
                    fix="Set MAMBO_ACCOUNT and MAMBO_BASE_URL.",
                )
            with taken_over(store, connection, row, concurrency=1, event="settling_started"):
                yield ledger, connection, row


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


def _changes(row: CampaignRow, campaign: Campaign) -> list[str]:
    """What is not as it was planned any more: such an edition is sent as it was, or not at all."""
    changed = [
        key
        for key, before, now in (
            ("sender_id", row.sender_id, campaign.sender_id),
            ("category", row.category, campaign.category.value),
            ("message", row.message, campaign.message),
        )
        if before != now
    ]
    digest = file_digest(campaign.recipients_path)
    if not changed and digest and digest != row.source_digest:
        # Saved again, perhaps with nothing changed that matters.
        again = prepare(campaign, edition=row.edition, account=row.account, ledger=None, allow_repeat=True)
        if again.content_digest != row.content_digest:
            changed.append(f"the recipients in {campaign.recipients.path}")
    return changed


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


def who() -> str:
    """The person at the keyboard, as the record names them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return "unknown"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end; in a thread of its own where this one has a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
