"""A campaign's message to one's own phone, before it goes to everybody.

It is an edition of its own, `test-1`, `test-2` and so on, of one recipient: so the ledger keeps it, its cost counts in
every budget, in the balance and in a settlement, and every guard is asked. It is marked as a test, so that it is never
taken for the campaign's own edition, and the repeat guard leaves nobody out because of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import polars as pl

from mambo_io import control
from mambo_io.errors import InputError
from mambo_io.ledger import Ledger
from mambo_io.model import FINAL_STATES, Outcome
from mambo_io.settings import MamboSettings
from pipelines import prepare as steps
from pipelines.campaign import Campaign
from pipelines.edition import Prepared
from pipelines.opening import open_store
from pipelines.reasons import Reason
from pipelines.runs import send_edition, who
from pipelines.summary import CampaignSummary, stop_text, summarize


def prepare_test(campaign: Campaign, number: str, *, ledger: Ledger | None) -> Prepared:
    """The message of the first row that would be sent, to `number` instead; nothing is written.

    Who was sent it before does not matter. Raises `InputError` when `number` is no mobile number of Uganda or has opted
    out, and when nobody in the list would be messaged.
    """
    edition = next(name for name in map("test-{}".format, count(1)) if _is_free(ledger, campaign.name, name))
    # Kept columns are somebody else's; and whoever is to approve a campaign may want to see it on a phone.
    recipients = campaign.recipients.model_copy(update={"keep": ()})
    campaign = campaign.model_copy(update={"approval": "none", "recipients": recipients})
    loaded = steps.load_recipients(campaign)
    people = steps.validate(steps.normalize(campaign, loaded))
    everybody = steps.estimate(campaign, loaded, people, edition=edition, account="", ledger=ledger, allow_repeat=True)
    sendable = everybody.people.filter(pl.col("reject_reason").is_null())["row"]
    if sendable.is_empty():
        raise InputError("would be sent to nobody: every row is rejected", file=campaign.file)
    its_row = pl.col("row") == sendable[0]
    source = loaded.source.filter(its_row).with_columns(pl.lit(number).alias("phone_raw"))
    one = replace(loaded, source=source)
    person = steps.validate(steps.normalize(campaign, one))
    priced = steps.estimate(campaign, one, person, edition=edition, account="", ledger=ledger, allow_repeat=True)
    if (reason := priced.people["reject_reason"].item()) is not None:
        raise InputError(f"cannot be messaged: {Reason(reason).meaning}", key="--test-to", value=number)
    return Prepared(campaign, edition, one, priced, steps.chunk(campaign, priced.people), is_test=True)


def send_test(prepared: Prepared, settings: MamboSettings, *, command: str) -> CampaignSummary:
    """Send what `prepare_test` has made. One that a guard stops is cancelled, because nobody goes on with a test.

    Raises `InputError` (nothing was sent) and `Stopped`; every other end is told by the summary.
    """
    campaign, edition = prepared.campaign, prepared.edition
    summary = send_edition(campaign, settings, edition=edition, prepared=prepared, command=command)
    if summary.state in FINAL_STATES or not summary.outcomes.get(Outcome.PLANNED):
        return summary
    why = stop_text(summary.stop_reason, summary.stop_detail)
    with open_store(settings) as store, store.writer() as connection:
        ledger = Ledger(store)
        control.cancel(
            connection, ledger.get(campaign.name, edition), who=who(), note=f"a test; {why}", now=datetime.now(UTC)
        )
        ended = summarize(ledger, ledger.get(campaign.name, edition), command=command)
    return replace(ended, stop_reason=summary.stop_reason, stop_detail=summary.stop_detail)


def _is_free(ledger: Ledger | None, name: str, edition: str) -> bool:
    return ledger is None or ledger.find(name, edition) is None
