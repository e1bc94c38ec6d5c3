"""Makes a ledger of four months of campaigns, to look at in the notebooks: ledger.db in a new folder.

    python data/make_ledger.py build/notebooks/example

The campaigns are those of this folder, sent to people who are invented, through a sandbox in a process of its own on
this machine: plans, replies, prices and balances are real, and no other host takes part. Only the calendar is told, so
that months pass in seconds: each call is recorded at the time that stands below.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from mambo_io.accounting import record_top_up
from mambo_io.call_ends import CallEnd
from mambo_io.client import MamboClient
from mambo_io.errors import InputError, MamboError
from mambo_io.ledger import Ledger, to_us
from mambo_io.model import CampaignState, ChunkState
from mambo_io.planning import write_plan
from mambo_io.sandbox import SandboxHandle, running
from mambo_io.sandbox.faults import AnyFault, NoAnswer
from mambo_io.sender import Limits, Sender
from mambo_io.settings import load_settings
from mambo_io.store import Store
from mambo_io.tables import campaigns
from pipelines.campaign import load_campaign
from pipelines.deliveries import import_deliveries
from pipelines.delivery_export import read_export
from pipelines.prepare import prepare
from pipelines.sending import receipt_agrees
from pipelines.summary import UNKNOWN_CALLS

HERE = Path(__file__).parent
ACCOUNT, HOST, WHO = "sandbox", "127.0.0.1", "Grace"
A_CALL = timedelta(seconds=2)
LIMITS = Limits(concurrency=1, calls_per_second=0, max_cost_ugx=None, window=None, call_deadline_s=60)


@dataclass(frozen=True)
class Sending:
    """An edition of a campaign file, the hour of its first call (UTC), and what differs from the file."""

    file: str
    edition: str
    at: datetime
    changes: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[AnyFault] = ()


@dataclass(frozen=True)
class TopUp:
    """Money that comes into the account; `reference` None: and nobody enters it."""

    day: date
    ugx: int
    reference: str | None


@dataclass(frozen=True)
class Reported:
    """An export of delivery reports on a campaign edition is taken in."""

    file: str
    name: str
    edition: str


def at(month: int, day: int, hour: int = 7) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


# What the provider is like in these months, and what happens in them.
NETS = {"name": "mosquito-nets-second-round-for-the-villages-of-the-north"}
MONTHS: tuple[tuple[dict[str, Any], tuple[Sending | TopUp | Reported, ...]], ...] = (
    (
        {"unsupported_prefix": ("+25672",)},
        (
            Sending("vaccination-week", "2026-08", at(8, 3)),
            Sending("clinic-day", "2026-08", at(8, 17)),
            TopUp(date(2026, 8, 31), 200_000, "MoMo 1183"),
            Sending("clinic-day", "2026-09", at(9, 14)),
            Reported("deliveries.csv", "clinic-day", "2026-09"),
        ),
    ),
    # Another network is not reached any more.
    (
        {"unsupported_prefix": ("+25672", "+25671")},
        (
            Sending("flour-day", "1", at(10, 5)),
            TopUp(date(2026, 10, 7), 100_000, None),
            Sending("clinic-day", "2026-10", at(10, 12, 6)),
            Sending("vaccination-week", "2026-10", at(10, 19), NETS),
        ),
    ),
    # A segment costs more, which the campaign files do not know.
    (
        {"unsupported_prefix": ("+25672", "+25671"), "price_ugx": 55},
        (
            Sending("vaccination-week", "2026-11", at(11, 2)),
            TopUp(date(2026, 11, 4), 150_000, "MoMo 1240"),
            Sending("clinic-day", "2026-11", at(11, 16), faults=(NoAnswer(executes=True, skip=60),)),
        ),
    ),
)


def make_ledger(folder: Path) -> Path:
    """Send all of `MONTHS`. Gives the ledger; its folder is made. Raises `InputError` when there is one already."""
    ledger = folder / "ledger.db"
    if ledger.exists():
        raise InputError("is there already", file=ledger, fix="Remove it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with Store(str(ledger), create=True) as store:
        for options, happenings in MONTHS:
            # The account goes on where it stood: the record in the folder is the sandbox's.
            with running(folder / "sandbox", balance_ugx=100_000, **options) as api, _client(api) as client:
                for what in happenings:
                    match what:
                        case Sending():
                            send(store, api, client, what)
                        case TopUp():
                            top_up(store, api, what)
                        case Reported():
                            take_in(store, what)
    return ledger


def send(store: Store, api: SandboxHandle, client: MamboClient, what: Sending) -> None:
    """As `mambo send` does, one call at a time, by the calendar of `what`; a person accepts the first receipt."""
    campaign = load_campaign(HERE / f"{what.file}.toml").model_copy(update=what.changes)
    prepared = prepare(campaign, edition=what.edition, account=ACCOUNT, ledger=None)
    api.set_faults(what.faults)
    now = what.at
    with store.locked_writer(f"{campaign.name}/{what.edition}") as connection:
        row = write_plan(connection, prepared.plan(account=ACCOUNT, host=HOST), who=WHO)
        with connection.begin():
            planned = update(campaigns).where(campaigns.c.id == row.id)
            connection.execute(planned.values(planned_at_us=to_us(now)))
        sender = Sender(connection, row, run=what.edition, who=WHO)
        sender.start(now)
        sender.waive_canary(now)
        ends: list[CallEnd] = []
        while calls := sender.exchange(ends, want=1, limits=LIMITS, now=now).calls:
            [call] = calls
            now += A_CALL
            result = client.send_sms(call.request)
            agrees = receipt_agrees(call, result.receipt) if call.canary and result.receipt is not None else None
            ends = [CallEnd(call, result, now, agrees)]
        if ChunkState.UNKNOWN in sender.calls_by_state():
            sender.finish(CampaignState.PAUSED, UNKNOWN_CALLS, now)
        else:
            sender.finish(CampaignState.COMPLETE, None, now)


def top_up(store: Store, api: SandboxHandle, what: TopUp) -> None:
    api.change_account(top_up_ugx=what.ugx)
    if what.reference is not None:
        with store.writer() as connection:
            record_top_up(connection, ACCOUNT, what.ugx, day=what.day, reference=what.reference, who=WHO)


def take_in(store: Store, what: Reported) -> None:
    file, now = HERE / what.file, datetime.now(UTC)
    campaign = Ledger(store).get(what.name, what.edition)
    export = read_export(file, now=now)
    import_deliveries(export, file, store, account=ACCOUNT, campaign=campaign, unmatched=None, who=WHO, now=now)


def _client(api: SandboxHandle) -> MamboClient:
    settings = load_settings(base_url=api.url, api_key=api.api_key)
    return MamboClient(base_url=settings.base_url, api_key=settings.require_api_key())


if __name__ == "__main__":
    try:
        print(make_ledger(Path(sys.argv[1])))
    except MamboError as error:
        sys.exit(error.message)
