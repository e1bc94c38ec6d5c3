"""The repeat guard inside a claim: who was sent the same text by another campaign edition after the plan was made.

The plan has left out whom the account's calls had reached by then, up to a call that it remembers; what other editions
have called since is looked at here. Calls of an account are recorded under the lock of its row, so in the order of
their numbers, and a claim holds that lock: what it does not see has not been recorded. A call that is in flight, or
unknown, counts as sent.

Of an archived edition a claim would see calls, and nobody in them. While an edition is not finished nothing that has a
text of it is archived; what was archived before that, and after the plan had looked, stops it before it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from mambo_io import statements
from mambo_io.ledger import CampaignRow, to_us
from mambo_io.prepared import Prepared
from mambo_io.tables import campaigns

_NEVER = 2**63 - 1  # after this there are no calls
DAY_US = 24 * 3600 * 1_000_000


class Repeats:
    """What one sender knows of the calls of other editions. Asked inside its claims, the account's row being locked.

    `planned` are the settings of the plan: `allow_repeat`, `repeats_seen_to` (the account's newest call when the plan
    looked for repeats; null: it did not), and how many days back it looked.
    """

    def __init__(self, sql: Prepared, account: str, planned: Mapping[str, Any]) -> None:
        self._sql = sql
        self._account = account
        self._planned = planned
        self._seen_to: int | None = None
        self._is_related: dict[int, bool] = {}  # by campaign id: whether it has a text of this one
        self._attempts: dict[int, tuple[int, ...]] = {}  # by msisdn: of related campaigns, since the plan

    def seen_to(self, days: int) -> int:
        """The call up to which all are known. `days`: how long a text counts; 0 when it never does."""
        seen_by_plan = _seen_by(self._planned, days)
        if seen_by_plan == _NEVER:
            return _NEVER
        if self._seen_to is None:
            self._seen_to = seen_by_plan
        return self._seen_to

    def note_own(self, attempt: int) -> None:
        """This sender has recorded a call, durably; in the same claim it had looked at all before it."""
        if self._seen_to is not None:
            self._seen_to = attempt

    def look(self, newest: int, since_us: int) -> None:
        """Take in what other editions have called, up to the call `newest`."""
        found = self._sql.tuples(statements.CALLS_ELSEWHERE, seen_to=self._seen_to, newest=newest, since_us=since_us)
        for attempt, campaign, chunk in found:
            if campaign not in self._is_related:
                in_common = self._sql.tuples(statements.TEXTS_IN_COMMON, the_other=campaign)
                self._is_related[campaign] = bool(in_common)
            if not self._is_related[campaign]:
                continue
            this = (attempt,)
            for (msisdn,) in self._sql.tuples(statements.MSISDNS_ELSEWHERE, the_other=campaign, the_chunk=chunk):
                self._attempts[msisdn] = self._attempts.get(msisdn, ()) + this
        self._seen_to = newest

    def sent(self, msisdns: Iterable[int], text_key: int, since_us: int) -> frozenset[int]:
        """Whom of these another edition has sent the text since then, or may have, as it stands now."""
        if not self._attempts:
            return frozenset()
        known = [msisdn for msisdn in msisdns if msisdn in self._attempts]
        if not known:
            return frozenset()
        rows = self._sql.connection.execute(
            statements.SENT_BY,
            {
                "the_account": self._account,
                "the_attempts": sorted({attempt for msisdn in known for attempt in self._attempts[msisdn]}),
                "the_text_key": text_key,
                "the_msisdns": known,
                "since_us": since_us,
            },
        )
        return frozenset(row.msisdn for row in rows)


def archived_repeats(connection: Connection, campaign: CampaignRow, *, days: int, now: datetime) -> str | None:
    """An archived edition (`clinic-day/1`) that has sent a text of `campaign` in these days and after its plan looked.

    The plan has been written. The account's row is locked, as when an edition is archived: what is not found here was
    not archived yet, and is not while `campaign` is unfinished.
    """
    its = {"the_campaign": campaign.id, "the_account": campaign.account}
    with connection.begin():
        connection.execute(statements.ACCOUNT, its)
        planned = json.loads(
            connection.scalar(select(campaigns.c.settings).where(campaigns.c.id == campaign.id)) or "{}"
        )
        looked = {"seen_to": _seen_by(planned, days), "since_us": to_us(now) - days * DAY_US}
        found = connection.execute(statements.ARCHIVED_ELSEWHERE, its | looked).one_or_none()
    return None if found is None else f"{found.name}/{found.edition}"


def _seen_by(planned: Mapping[str, Any], days: int) -> int:
    """The call up to which a plan with these settings has looked `days` back."""
    if planned.get("allow_repeat") or not days:
        return _NEVER
    if days > int(planned.get("sending", {}).get("repeat_guard_days", 0)):  # it has not seen enough
        return 0
    return int(planned.get("repeats_seen_to") or 0)
