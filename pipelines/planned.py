"""What stands in the ledger of an edition before it is sent: whether it is planned anew or taken as it is, is approved,
or was skipped. Knows nothing of sending."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
from sqlalchemy import Connection

from mambo_io import control
from mambo_io.errors import InputError, SettingsError
from mambo_io.ledger import CampaignRow, Ledger
from mambo_io.locks import who as who  # callers look for it here
from mambo_io.model import CampaignState
from mambo_io.planning import Plan, write_plan, write_skipped
from mambo_io.settings import MamboSettings
from mambo_io.window import KAMPALA
from pipelines.campaign import Campaign, check_edition
from pipelines.edition import Prepared, file_digest
from pipelines.opening import open_store, send_command
from pipelines.prepare import prepare
from pipelines.summary import CampaignSummary, summarize


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
    Raises `InputError` that says what changed since it has begun, or that it belongs to another account or host, was
    erased, or that no edition can have such a name.
    """
    check_edition(edition)
    row = ledger.find(campaign.name, edition) if ledger is not None else None
    if ledger is None or row is None:
        return None
    if row.erased_at is not None:
        raise InputError(
            f"{row.label} was erased on {row.erased_at.astimezone(KAMPALA):%Y-%m-%d}, and to whom it went is not known",
            file=campaign.file,
            fix="A new --edition would go to everybody in the list, whoever was sent the same text before.",
        )
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


def skip_edition(campaign: Campaign, settings: MamboSettings, *, edition: str, detail: str) -> CampaignSummary:
    """Record that an edition is not sent because its time has passed (`detail`: by how much); it never is then.

    One that has begun, or is held, approved or finished, stays as it is. Raises `StoreBusy` while it is being sent.
    """
    command = send_command(campaign.file, edition)
    with open_store(settings, create=True) as store:
        ledger = Ledger(store)
        with store.locked_writer(f"{campaign.name}/{edition}") as connection:
            row = begun_edition(ledger, campaign, edition, settings)
            if row is None:
                plan = _nobody(campaign, settings, edition)
                row = write_skipped(connection, plan, detail=detail, who=who(), now=datetime.now(UTC))
            return summarize(ledger, row, command=command)


def _nobody(campaign: Campaign, settings: MamboSettings, edition: str) -> Plan:
    """The plan of an edition whose list was not read."""
    return Plan(
        name=campaign.name,
        edition=edition,
        account=settings.account,
        host=settings.host,
        content_digest="",
        plan_digest="",
        source=str(campaign.recipients.path),
        source_digest="",
        sender_id=campaign.sender_id,
        category=campaign.category,
        message=campaign.message,
        settings=campaign.model_dump(mode="json"),
        kept_columns=(),
        versions={},
        canary_calls=0,
        rows=0,
        sendable=0,
        segments=0,
        estimated_ugx=0,
        recipients=(),
        chunks=pl.DataFrame(),
        suppressed=pl.DataFrame(),
    )


def plan_edition(
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
    check_size(campaign, plan.sendable)
    return write_plan(connection, plan, who=who(), awaits_approval=campaign.approval == "required")


def check_size(campaign: Campaign, sendable: int) -> None:
    """`max_recipients`, asked at each start. A plan never grows while it is sent, so no claim has to ask again."""
    most = campaign.max_recipients
    if most is not None and sendable > most:
        raise InputError(
            f"it would go to {sendable:,} people, and max_recipients is {most:,}",
            file=campaign.file,
            fix="Raise it, or send another edition to a shorter list.",
        )


def lacks_approval(ledger: Ledger, connection: Connection, campaign: Campaign, row: CampaignRow) -> bool:
    """Whether nothing may be sent because nobody has approved the plan; it waits for that then."""
    if row.state is CampaignState.AWAITING_APPROVAL:
        return True
    if campaign.approval != "required" or ledger.approval(row) is not None:
        return False
    control.await_approval(connection, row)
    return True


def _changes(row: CampaignRow, campaign: Campaign) -> list[str]:
    """What is not as it was planned any more: such an edition is sent as it was, or not at all."""
    changed = [
        key
        for key, before, now in (
            ("sender_id", row.sender_id, campaign.sender_id),
            ("category", row.category, campaign.category.value),
            ("message", row.message, campaign.message),
            ("[suppression] transactional", row.transactional, campaign.suppression.transactional),
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
