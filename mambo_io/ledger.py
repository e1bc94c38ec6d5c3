"""Reading the ledger: which campaigns there are, what became of their calls, what they cost.

Nothing here writes. Plans are written by `planning.py`, calls by `sender.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, and_, bindparam, func, select

from mambo_io import statements
from mambo_io.archives import archive_of
from mambo_io.errors import InputError
from mambo_io.masking import mask_text
from mambo_io.model import FINAL_STATES, CampaignState, CanaryState, ChunkState, ExceptionKind, Outcome
from mambo_io.store import Store
from mambo_io.tables import (
    accounts,
    attempts,
    campaigns,
    chunks,
    events,
    recipient_exceptions,
    recipients,
    suppressions,
)
from mambo_io.window import KAMPALA

if TYPE_CHECKING:  # loading polars takes longer than summing millions of rows up; only frames need it
    import polars as pl

US = 1_000_000  # microseconds in a second
PLAN_REPLACED = "plan_replaced"  # the event between those of an earlier plan of the edition and those of this one
RUN_ENDS = (CampaignState.PAUSED, CampaignState.COMPLETE, "send_ended", PLAN_REPLACED)  # no sender is at work after it
SENT_FROM = "sent_from"  # in a campaign's settings: the campaign file of its newest run, and how that was started


def to_us(at: datetime) -> int:
    """An aware time as the ledger keeps it: whole microseconds since the epoch, UTC."""
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * US)


def from_us(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / US, UTC)


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """One campaign edition as the ledger knows it."""

    id: int
    name: str
    edition: str
    account: str
    host: str
    state: CampaignState
    stop_reason: str | None
    stop_detail: str | None
    canary: CanaryState
    content_digest: str
    plan_digest: str
    source: str
    source_digest: str
    sender_id: str
    category: str
    message: str
    kept_columns: tuple[str, ...]
    rows: int
    sendable: int
    calls: int
    segments: int
    estimated_ugx: int
    planned_at: datetime
    first_call_at: datetime | None
    ended_at: datetime | None
    held_by: str | None  # the person who paused it
    is_test: bool
    transactional: bool  # does not ask the list of opt-outs
    erased_at: datetime | None  # since when its numbers and texts are being erased, or gone
    file: Path | None  # the campaign file that it was sent from last, in full; None: that is not known
    direct: bool  # sent without the engine then

    @property
    def label(self) -> str:
        """`clinic-day/1`, as screens and run names say it."""
        return f"{self.name}/{self.edition}"

    @property
    def begun(self) -> bool:
        """Whether a call was made: from then on the content is frozen."""
        return self.first_call_at is not None

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent of it: it is finished, or a person holds it.

        Of a list in which everybody was turned away nothing was sent; a corrected one may take its place.
        """
        finished = self.state in FINAL_STATES and (self.begun or self.state is not CampaignState.COMPLETE)
        return finished or self.held_by is not None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes to the plan of one edition."""

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of one campaign edition, by call. `outcomes` counts recipients and adds up to `rows`."""

    rows: int
    outcomes: dict[Outcome, int]
    calls: dict[ChunkState, int]
    estimated_ugx: int
    charged_ugx: int
    estimates: dict[ChunkState, int]  # UGX, by the state of the call
    unsupported_estimate_ugx: int  # of recipients the API called unsupported, in calls that cost less for it
    exposed_ugx: int  # what calls in flight, unknown or of unknown cost may have cost

    @property
    def left(self) -> int:
        """Recipients whose outcome is still open."""
        return sum(self.outcomes.get(state, 0) for state in (Outcome.PLANNED, Outcome.IN_FLIGHT, Outcome.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Start:
    """That somebody has begun to send: who, on which machine, and when."""

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OptOut:
    """That somebody wants no messages: since when at the latest, and where that is known from."""

    since: datetime
    source: str


_ROWS = func.count().label("rows")
REJECTED = (
    select(recipients.c.reason, _ROWS)
    .where(recipients.c.campaign_id == bindparam("the_campaign"), recipients.c.reason.is_not(None))
    .group_by(recipients.c.reason)
    .order_by(_ROWS.desc(), recipients.c.reason)
)


class Ledger:
    """The read side of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def campaigns(self) -> list[CampaignRow]:
        """Every campaign edition, the newest plan first."""
        with self.store.reader() as connection:
            rows = connection.execute(
                select(campaigns)
                .where(campaigns.c.state != CampaignState.PLANNING)
                .order_by(campaigns.c.planned_at_us.desc(), campaigns.c.id.desc())
            )
            return [campaign_row(row) for row in rows]

    def find(self, name: str, edition: str | None = None) -> CampaignRow | None:
        """The edition asked for, or the newest one that is no test; None when there is none."""
        return next((row for row in self._editions(name) if edition in (None, row.edition)), None)

    def _editions(self, name: str) -> list[CampaignRow]:
        """The newest first, tests to one's own phone last."""
        return sorted((row for row in self.campaigns() if row.name == name), key=lambda row: row.is_test)

    def get(self, name: str, edition: str | None = None) -> CampaignRow:
        """Like `find`, but raises `InputError` that lists the near names."""
        editions = self._editions(name)
        if not editions:
            known = self.campaigns()
            near = difflib.get_close_matches(name, {row.name for row in known}, n=3, cutoff=0.4)
            fix = f"Did you mean {' or '.join(near)}?" if near else "`mambo status` lists the campaigns."
            raise InputError(f"there is no campaign {mask_text(name)} in {self.store.name}", fix=fix)
        for row in editions:
            if edition in (None, row.edition):
                return row
        raise InputError(
            f"{name} has no edition {mask_text(str(edition))}",
            fix=f"It has: {', '.join(row.edition for row in editions)}.",
        )

    def unsettled(self) -> list[CampaignRow]:
        """The campaign editions with calls that are unknown, or in flight (of an ended process, perhaps)."""
        open_states = (ChunkState.UNKNOWN, ChunkState.IN_FLIGHT)
        with self.store.reader() as connection:
            ids = set(
                connection.scalars(select(chunks.c.campaign_id).where(chunks.c.state.in_(open_states)).distinct())
            )
        return [row for row in self.campaigns() if row.id in ids]

    def totals(self, campaign: CampaignRow) -> Totals:
        with self.store.reader() as connection:
            return totals_of(connection, campaign)

    def rejected(self, campaign: CampaignRow) -> dict[str, int]:
        """Rejected rows by reason, the most frequent first."""
        with self.store.reader() as connection:
            if (archive := archive_of(connection, campaign.id)) is not None:
                return archive.rejected
            rows = connection.execute(REJECTED, {"the_campaign": campaign.id})
            return {row.reason: row.rows for row in rows}

    def left_out(self, campaign: CampaignRow) -> dict[str, int]:
        """The estimate (UGX) of those who were planned and left out of their calls since, by reason."""
        r = recipients.c
        with self.store.reader() as connection:
            if (archive := archive_of(connection, campaign.id)) is not None:
                return archive.left_out
            rows = connection.execute(
                select(r.reason, func.sum(r.estimated_ugx))
                .where(
                    r.campaign_id == campaign.id,
                    r.reason.in_([statements.OPTED_OUT, statements.ALREADY_SENT]),
                    r.estimated_ugx.is_not(None),  # nothing was estimated of whom the plan turned away
                )
                .group_by(r.reason)
                .order_by(r.reason.desc())
            )
            return {reason: int(ugx) for reason, ugx in rows}

    def is_archived(self, campaign: CampaignRow) -> bool:
        """Whether its people stand in a file of `mambo store archive`."""
        with self.store.reader() as connection:
            return archive_of(connection, campaign.id) is not None

    def settlement_keys(self, campaign: CampaignRow) -> dict[str, Any]:
        """The section `[settlement]` of the campaign file, as it was at the plan."""
        with self.store.reader() as connection:
            kept = connection.scalar(select(campaigns.c.settings).where(campaigns.c.id == campaign.id))
        return dict(json.loads(kept or "{}").get("settlement", {}))

    def planned_guard_days(self, campaign: CampaignRow) -> int:
        """How many days back the plan looked for who was sent the same text."""
        with self.store.reader() as connection:
            kept = connection.scalar(select(campaigns.c.settings).where(campaigns.c.id == campaign.id))
        return int(json.loads(kept or "{}").get("sending", {}).get("repeat_guard_days", 0))

    def last_run_seconds(self, campaign: CampaignRow) -> float:
        """From the first intent of the newest run to its last answer."""
        a = attempts.c
        last_call = select(func.max(a.id)).where(a.campaign_id == campaign.id).scalar_subquery()
        newest = select(a.run).where(a.id == last_call).scalar_subquery()
        with self.store.reader() as connection:
            first, last = connection.execute(
                select(func.min(a.intent_at_us), func.max(a.ended_at_us)).where(
                    a.campaign_id == campaign.id, a.run == newest
                )
            ).one()
        return 0.0 if first is None or last is None else (last - first) / US

    def last_sign(self, campaign: CampaignRow) -> datetime:
        """When its sender was last known to be at work: at a call's intent or end, or at the plan."""
        a = attempts.c
        query = select(func.max(a.intent_at_us), func.max(a.ended_at_us)).where(a.campaign_id == campaign.id)
        with self.store.reader() as connection:
            signs = [sign for sign in connection.execute(query).one() if sign is not None]
        return max([campaign.planned_at, *map(from_us, signs)])

    def starts(self, campaign: CampaignRow) -> list[Start]:
        """The runs that have begun to send it since one came to an end, the oldest first: the newest may be at work."""
        e = events.c
        of_it = e.campaign_id == campaign.id
        ended = select(func.max(e.id)).where(of_it, e.kind.in_(RUN_ENDS)).scalar_subquery()
        query = select(e.who, e.at_us).where(of_it, e.kind == "send_started", e.id > func.coalesce(ended, 0))
        with self.store.reader() as connection:
            return [Start(row.who, from_us(row.at_us)) for row in connection.execute(query.order_by(e.id))]

    def settlements(self, campaign: CampaignRow) -> int:
        """How often it was held for a settlement, which keeps senders away meanwhile."""
        e = events.c
        query = select(func.count()).where(e.campaign_id == campaign.id, e.kind == "settling_started")
        with self.store.reader() as connection:
            return connection.scalar(query) or 0

    def last_balance(self, account: str) -> tuple[int, datetime] | None:
        """The last balance known of the account (UGX) and when."""
        with self.store.reader() as connection:
            row = connection.execute(
                select(accounts.c.balance_ugx, accounts.c.balance_at_us).where(accounts.c.account == account)
            ).one_or_none()
        return None if row is None or row.balance_ugx is None else (row.balance_ugx, from_us(row.balance_at_us))

    def spent_since(self, account: str, since: datetime) -> int:
        """UGX that the account's calls since then have cost, or may have."""
        with self.store.reader() as connection:
            found = connection.scalar(statements.SPENT_SINCE, {"the_account": account, "since_us": to_us(since)})
        return int(found or 0)

    def approval(self, campaign: CampaignRow) -> Approval | None:
        """Who approved the plan of this edition, and when; None while nobody has. Not who approved an earlier plan."""
        e = events.c
        of_it = e.campaign_id == campaign.id
        replaced = select(func.max(e.id)).where(of_it, e.kind == PLAN_REPLACED).scalar_subquery()
        with self.store.reader() as connection:
            row = connection.execute(
                select(e.who, e.at_us)
                .where(of_it, e.kind == "approved", e.id > func.coalesce(replaced, 0))
                .order_by(e.id.desc())
                .limit(1)
            ).one_or_none()
        return None if row is None else Approval(row.who, from_us(row.at_us))

    def opt_out(self, msisdn: int) -> OptOut | None:
        """What the list of opt-outs says of a number (digits of E.164); None where it is not on it."""
        with self.store.reader() as connection:
            return opt_out_of(connection, msisdn)

    def erasure_ended(self, campaign: CampaignRow) -> bool:
        """Whether nothing is left of the people of an edition that is being erased."""
        its_end = select(events.c.id).where(events.c.campaign_id == campaign.id, events.c.kind == "erased")
        with self.store.reader() as connection:
            return connection.scalar(its_end.limit(1)) is not None

    def credentials_latch(self, account: str) -> str | None:
        """Why the balance endpoint refused the account's credentials, until a person clears it."""
        with self.store.reader() as connection:
            return connection.scalar(select(accounts.c.credentials_latch).where(accounts.c.account == account))

    def newest_attempt(self, account: str) -> int:
        """The number of the newest call of the account; 0 when there is none."""
        with self.store.reader() as connection:
            newest = connection.scalar(
                select(attempts.c.id).where(attempts.c.account == account).order_by(attempts.c.id.desc()).limit(1)
            )
        return newest or 0

    def sent_pairs(self, account: str, since: datetime, *, other_than: tuple[str, str]) -> pl.DataFrame:
        """Who was sent which text since then: `msisdn`, `text_key` (both Int64), distinct.

        Counts calls that are accepted, unknown or in flight (recipients the API called unsupported excepted), of every
        campaign edition of the account but the one named `other_than`, and tests to one's own phone. Whoever was erased
        is not known any more.
        """
        import polars as pl

        is_other = ~and_(campaigns.c.name == other_than[0], campaigns.c.edition == other_than[1])
        account_and_time = {"the_account": account, "since_us": to_us(since)}
        with self.store.reader() as connection, connection.begin():
            rows = connection.execute(statements.SENT.where(is_other).distinct(), account_and_time).all()
            archived = connection.scalars(statements.ARCHIVED_SINCE.where(is_other), account_and_time).all()
            from_archives = [_archived_pairs(connection, campaign_id, since) for campaign_id in archived]
        in_ledger = pl.DataFrame(
            [tuple(row) for row in rows], schema={"msisdn": pl.Int64, "text_key": pl.Int64}, orient="row"
        )
        return pl.concat([in_ledger, *from_archives]).unique()

    def results(self, campaign: CampaignRow) -> pl.DataFrame:
        """The results view of one campaign edition, in the order of its rows; kept columns unpacked behind it."""
        import polars as pl

        return pl.concat(self.result_pieces(campaign))

    def result_pieces(self, campaign: CampaignRow) -> Generator[pl.DataFrame]:
        """`results` piece by piece, all of one state of the ledger: millions of rows have no room at once."""
        from mambo_io.result_rows import Edition, result_pieces

        edition = Edition(campaign.id, campaign.name, campaign.edition, campaign.kept_columns)
        with self.store.reader() as connection, connection.begin():
            archive = archive_of(connection, campaign.id)
            yield from result_pieces(connection, edition) if archive is None else archive.pieces()


on_list = suppressions.c.campaign_id == 0  # what is of no campaign holds for every one


def opt_out_of(connection: Connection, msisdn: int) -> OptOut | None:
    s = suppressions.c
    row = connection.execute(select(s.since_us, s.source).where(on_list, s.msisdn == msisdn)).one_or_none()
    return None if row is None else OptOut(from_us(row.since_us), row.source)


def _archived_pairs(connection: Connection, campaign_id: int, since: datetime) -> pl.DataFrame:
    """Whom an archived edition was sent which text since then: `msisdn`, `text_key` (Int64)."""
    import polars as pl

    archive = archive_of(connection, campaign_id)
    assert archive is not None, "what is listed as archived is"
    texts = connection.execute(select(chunks.c.chunk, chunks.c.text_key).where(chunks.c.campaign_id == campaign_id))
    text_keys = pl.LazyFrame(
        [tuple(row) for row in texts], schema={"chunk": pl.Int64, "text_key": pl.Int64}, orient="row"
    )
    was_sent = pl.col("outcome").is_in([Outcome.ACCEPTED.value, Outcome.UNVERIFIED.value])
    return (
        archive.table()
        .filter(was_sent, pl.col("sent_at") >= since.astimezone(KAMPALA), pl.col("e164").is_not_null())
        .join(text_keys, on="chunk")
        .select(pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias("msisdn"), "text_key")
        .unique()
        .collect()
    )


def call_name(campaign: CampaignRow, chunk: int) -> str:
    """`clinic-day/1/c0007`: how screens and messages name an API call."""
    return f"{campaign.label}/c{chunk:04d}"


def campaign_row(row: Row[Any]) -> CampaignRow:
    values = row._mapping
    sent_from = json.loads(values["settings"]).get(SENT_FROM, {})
    return CampaignRow(
        **{key: values[key] for key in CampaignRow.__slots__ if key in values and key != "kept_columns"},
        kept_columns=tuple(json.loads(values["kept_columns"])),
        transactional=is_transactional(values["settings"]),
        planned_at=from_us(values["planned_at_us"]),
        first_call_at=_maybe(values["first_call_at_us"]),
        ended_at=_maybe(values["ended_at_us"]),
        erased_at=_maybe(values["erased_at_us"]),
        file=Path(sent_from["file"]) if sent_from else None,
        direct=bool(sent_from.get("direct", False)),
    )


def is_transactional(settings: str) -> bool:
    """Whether a plan with these `settings` (JSON) does not ask the list of opt-outs."""
    return bool(json.loads(settings).get("suppression", {}).get("transactional", False))


def _maybe(at_us: int | None) -> datetime | None:
    return None if at_us is None else from_us(at_us)


def totals_of(connection: Connection, campaign: CampaignRow) -> Totals:
    """Sums by call: the cost of this does not grow with the recipients, only with the calls and with who differs."""
    by_state = connection.execute(
        select(chunks.c.state, func.count(), func.sum(chunks.c.recipients_count), func.sum(chunks.c.expected_ugx))
        .where(chunks.c.campaign_id == campaign.id)
        .group_by(chunks.c.state)
    ).all()
    a, x = attempts.c, recipient_exceptions.c
    counts = (func.count().filter(x.kind == kind) for kind in ExceptionKind)  # a GROUP BY would sort them first
    of_kinds = connection.execute(select(*counts).where(x.campaign_id == campaign.id)).one()
    exceptions = dict(zip(ExceptionKind, of_kinds, strict=True))
    charged, exposed = connection.execute(
        select(func.sum(a.charged_ugx), func.sum(a.exposed_ugx)).where(a.campaign_id == campaign.id)
    ).one()
    in_the_plan = (
        select(recipients.c.estimated_ugx)
        .where(recipients.c.campaign_id == x.campaign_id, recipients.c.row == x.row)
        .scalar_subquery()
    )
    uncharged = connection.scalar(
        select(func.sum(func.coalesce(x.estimated_ugx, in_the_plan)))
        .join_from(recipient_exceptions, attempts, a.id == x.attempt_id)
        .where(x.campaign_id == campaign.id, x.kind == ExceptionKind.UNSUPPORTED, a.charged_ugx < a.expected_ugx)
    )
    people = {
        state: int(total) for state, _, total, _ in by_state if state not in (ChunkState.SPLIT, ChunkState.SKIPPED)
    }
    outcomes = {
        Outcome.REJECTED: campaign.rows - sum(people.values()),
        Outcome.UNSUPPORTED: exceptions[ExceptionKind.UNSUPPORTED],
        Outcome.UNVERIFIED: exceptions[ExceptionKind.UNVERIFIED],
        Outcome.ACCEPTED: people.get(ChunkState.ACCEPTED, 0) - sum(exceptions.values()),
        Outcome.PLANNED: people.get(ChunkState.PLANNED, 0),
        Outcome.IN_FLIGHT: people.get(ChunkState.IN_FLIGHT, 0),
        Outcome.UNKNOWN: people.get(ChunkState.UNKNOWN, 0),
        Outcome.REFUSED: people.get(ChunkState.REFUSED, 0),
        Outcome.CANCELLED: people.get(ChunkState.CANCELLED, 0),
    }
    return Totals(
        rows=campaign.rows,
        outcomes={outcome: count for outcome, count in outcomes.items() if count},
        calls={state: count for state, count, *_ in by_state},
        estimated_ugx=campaign.estimated_ugx,
        estimates={state: int(expected) for state, _, _, expected in by_state},
        unsupported_estimate_ugx=int(uncharged or 0),
        charged_ugx=int(charged or 0),
        exposed_ugx=int(exposed or 0),
    )
