"""The SQL of a campaign's sender, each statement built once and named.

Parameters begin with `the_` where a column has the same name. Money in UGX, times in microseconds since the epoch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    Select,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from mambo_io.model import CampaignState, ChunkState, ExceptionKind, Verdict
from mambo_io.tables import (
    accounts,
    archives,
    attempts,
    campaigns,
    chunks,
    events,
    recipient_exceptions,
    recipients,
    suppressions,
)

# Why somebody who was planned is left out of a call: the codes of `pipelines.reasons`.
OPTED_OUT = "opted_out"
ALREADY_SENT = "already_sent"

_CAMPAIGN: BindParameter[int] = bindparam("the_campaign")
_CHUNK: BindParameter[int] = bindparam("the_chunk")
_ATTEMPT: BindParameter[int] = bindparam("the_attempt")
_ACCOUNT: BindParameter[str] = bindparam("the_account")


def _is_chunk() -> ColumnElement[bool]:
    return and_(chunks.c.campaign_id == _CAMPAIGN, chunks.c.chunk == _CHUNK)


# Taking a campaign over: a new epoch; what an ended process left in flight is unknown, never planned. What a person
# has to say, or has said for good, stands.
_stands = or_(
    *(
        campaigns.c.state == state
        for state in (CampaignState.AWAITING_APPROVAL, CampaignState.CANCELLED, CampaignState.SKIPPED)
    )
)
TAKE_OVER = (
    update(campaigns)
    .where(campaigns.c.id == _CAMPAIGN)
    .values(
        sender_epoch=campaigns.c.sender_epoch + 1,
        state=case((_stands, campaigns.c.state), else_=literal(CampaignState.SENDING, campaigns.c.state.type)),
        stop_reason=case((_stands, campaigns.c.stop_reason)),
        stop_detail=case((_stands, campaigns.c.stop_detail)),
        ended_at_us=case((_stands, campaigns.c.ended_at_us)),
    )
    .returning(campaigns.c.sender_epoch, campaigns.c.canary, campaigns.c.canary_calls, campaigns.c.settings)
)
# Held for a settlement: nobody sends meanwhile, and nothing is changed of why and since when it stands still.
HOLD = (
    update(campaigns)
    .where(campaigns.c.id == _CAMPAIGN)
    .values(sender_epoch=campaigns.c.sender_epoch + 1)
    .returning(campaigns.c.sender_epoch, campaigns.c.canary, campaigns.c.canary_calls, campaigns.c.settings)
)
ORPHANED_ATTEMPTS = (
    update(attempts)
    .where(attempts.c.campaign_id == _CAMPAIGN, attempts.c.verdict.is_(None))
    .values(verdict=Verdict.UNKNOWN, reason="process_ended", ended_at_us=bindparam("now_us"))
)
ORPHANED_CHUNKS = (
    update(chunks)
    .where(chunks.c.campaign_id == _CAMPAIGN, chunks.c.state == ChunkState.IN_FLIGHT)
    .values(state=ChunkState.UNKNOWN)
)
CHARGED_SO_FAR = select(func.sum(attempts.c.charged_ugx)).where(attempts.c.campaign_id == _CAMPAIGN)
UNKNOWN_LABELS = select(chunks.c.label).where(
    chunks.c.campaign_id == _CAMPAIGN, chunks.c.state == ChunkState.UNKNOWN, chunks.c.label.is_not(None)
)
# One statement for both stores; two campaigns may be the first of their account at the same moment.
ADD_ACCOUNT = text("INSERT INTO accounts (account) VALUES (:the_account) ON CONFLICT (account) DO NOTHING")
CALLS_BY_STATE = (
    select(chunks.c.state, func.count().label("calls"))
    .where(chunks.c.campaign_id == _CAMPAIGN)
    .group_by(chunks.c.state)
)

# The campaign's row is locked for the length of the transaction, the account's as well once a call may be claimed.
OWN_STATE = (
    select(campaigns.c.state, campaigns.c.stop_reason, campaigns.c.held_by, campaigns.c.sender_epoch)
    .where(campaigns.c.id == _CAMPAIGN)
    .with_for_update()
)
ACCOUNT = (
    select(accounts.c.balance_ugx, accounts.c.balance_at_us, accounts.c.next_call_at_us, accounts.c.settling_until_us)
    .where(accounts.c.account == _ACCOUNT)
    .with_for_update()
)
# The newest call of the account that another edition has made after this one. Asked under the lock of the account, as
# all of its calls are recorded: none that has a lower number comes later.
_other = attempts.alias("other")
_NEWEST_ELSEWHERE = (
    select(func.max(_other.c.id))
    .where(_other.c.id > bindparam("seen_to"), _other.c.account == _ACCOUNT, _other.c.campaign_id != _CAMPAIGN)
    .scalar_subquery()
)
# UGX that open calls may have cost: over the account, and over this campaign. And, in the same breath, the above.
EXPOSED = select(
    _NEWEST_ELSEWHERE.label("newest_elsewhere"),
    func.coalesce(func.sum(attempts.c.exposed_ugx), 0).label("of_account"),
    func.coalesce(func.sum(attempts.c.exposed_ugx).filter(attempts.c.campaign_id == _CAMPAIGN), 0).label("of_campaign"),
).where(attempts.c.account == _ACCOUNT, attempts.c.exposed_ugx.is_not(None))
# UGX that the account's calls since then have cost, or may have.
SPENT_SINCE = select(
    (func.coalesce(func.sum(attempts.c.charged_ugx), 0) + func.coalesce(func.sum(attempts.c.exposed_ugx), 0)).label(
        "ugx"
    )
).where(attempts.c.intent_at_us >= bindparam("since_us"), attempts.c.account == _ACCOUNT)
# Of the canaries whose receipts were counted: how many agree with the estimate, and how many there are.
CANARIES = select(
    func.count().filter(attempts.c.agrees == true()).label("agreed"), func.count().label("counted")
).where(attempts.c.campaign_id == _CAMPAIGN, attempts.c.agrees.is_not(None))
SET_CANARY = update(campaigns).where(campaigns.c.id == _CAMPAIGN).values(canary=bindparam("the_canary"))
SET_FIRST_CALL = update(campaigns).where(campaigns.c.id == _CAMPAIGN).values(first_call_at_us=bindparam("now_us"))
SET_END = (
    update(campaigns)
    .where(campaigns.c.id == _CAMPAIGN)
    .values(
        state=bindparam("the_state"),
        stop_reason=bindparam("the_reason"),
        stop_detail=bindparam("the_detail"),
        ended_at_us=bindparam("now_us"),
    )
)
# A person has cancelled the campaign.
CANCEL_PLANNED = (
    update(chunks)
    .where(chunks.c.campaign_id == _CAMPAIGN, chunks.c.state == ChunkState.PLANNED)
    .values(state=ChunkState.CANCELLED)
)
SET_NEXT_CALL = update(accounts).where(accounts.c.account == _ACCOUNT).values(next_call_at_us=bindparam("next_us"))
# Replies of overlapping calls come in any order, so of those the lowest balance counts.
SET_BALANCE = (
    update(accounts)
    .where(
        accounts.c.account == _ACCOUNT,
        or_(
            accounts.c.balance_ugx.is_(None),
            accounts.c.balance_at_us
            < select(attempts.c.intent_at_us).where(attempts.c.id == _ATTEMPT).scalar_subquery(),
            accounts.c.balance_ugx > bindparam("new_balance_ugx"),
        ),
    )
    .values(balance_ugx=bindparam("new_balance_ugx"), balance_at_us=bindparam("now_us"))
)

# The next planned calls, in the order of sending.
PLANNED = (
    select(chunks)
    .where(chunks.c.campaign_id == _CAMPAIGN, chunks.c.state == ChunkState.PLANNED)
    .order_by(chunks.c.chunk)
    .limit(bindparam("most"))
)
PLANNED_CANARIES = PLANNED.where(chunks.c.canary)
# The CASE keeps SQLite from looking for each person twice, once for each half of an OR.
_of_this_or_all = case((suppressions.c.campaign_id == 0, true()), else_=suppressions.c.campaign_id == _CAMPAIGN)


def _people(opt_outs: ColumnElement[bool]) -> Select[Any]:
    """The people of a call, and of each whether one of these opt-outs is theirs, or their number was erased."""
    is_opted_out = exists().where(suppressions.c.msisdn == recipients.c.msisdn, opt_outs)
    is_left_out = or_(recipients.c.msisdn.is_(None), is_opted_out)
    return (
        select(recipients.c.row, recipients.c.msisdn, recipients.c.estimated_ugx, is_left_out)
        .where(recipients.c.campaign_id == _CAMPAIGN, recipients.c.chunk == _CHUNK)
        .order_by(recipients.c.row)
    )


PEOPLE = _people(_of_this_or_all)
PEOPLE_OF_TRANSACTIONAL = _people(suppressions.c.campaign_id == _CAMPAIGN)
_is_last_attempt = and_(
    chunks.c.campaign_id == attempts.c.campaign_id,
    chunks.c.chunk == attempts.c.chunk,
    chunks.c.last_attempt == attempts.c.id,
)
# Who was sent which text, or may have been: whose calls were accepted, are unknown or in flight. Not those whom the API
# called unsupported, and no tests to one's own phone.
SENT = (
    select(recipients.c.msisdn, chunks.c.text_key)
    .select_from(attempts)
    .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
    .join(chunks, _is_last_attempt)
    .join(recipients, and_(recipients.c.campaign_id == chunks.c.campaign_id, recipients.c.chunk == chunks.c.chunk))
    .outerjoin(
        recipient_exceptions,
        and_(
            recipient_exceptions.c.campaign_id == recipients.c.campaign_id,
            recipient_exceptions.c.row == recipients.c.row,
        ),
    )
    .where(
        attempts.c.account == _ACCOUNT,
        attempts.c.intent_at_us >= bindparam("since_us"),
        chunks.c.state.in_([ChunkState.ACCEPTED, ChunkState.UNKNOWN, ChunkState.IN_FLIGHT]),
        or_(recipient_exceptions.c.kind.is_(None), recipient_exceptions.c.kind != ExceptionKind.UNSUPPORTED),
        campaigns.c.is_test == false(),
        recipients.c.msisdn.is_not(None),  # it was erased
    )
)
_own = chunks.alias("own")
# The editions whose people are archived, and to whom the same applies.
ARCHIVED_SINCE = (
    select(archives.c.campaign_id)
    .join(campaigns, campaigns.c.id == archives.c.campaign_id)
    .where(
        exists().where(
            attempts.c.campaign_id == archives.c.campaign_id,
            attempts.c.account == _ACCOUNT,
            attempts.c.intent_at_us >= bindparam("since_us"),
        ),
        campaigns.c.is_test == false(),
    )
    .order_by(archives.c.campaign_id)
)
# Of these, the first that has sent a text of this one in a call that this one has not looked at.
ARCHIVED_ELSEWHERE = (
    select(campaigns.c.name, campaigns.c.edition)
    .select_from(attempts)
    .join(archives, archives.c.campaign_id == attempts.c.campaign_id)
    .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
    .join(chunks, _is_last_attempt)
    .where(
        attempts.c.id > bindparam("seen_to"),
        attempts.c.account == _ACCOUNT,
        attempts.c.campaign_id != _CAMPAIGN,
        attempts.c.intent_at_us >= bindparam("since_us"),
        campaigns.c.is_test == false(),
        chunks.c.state == ChunkState.ACCEPTED,
        chunks.c.text_key != 0,  # it was erased
        chunks.c.text_key.in_(select(_own.c.text_key).where(_own.c.campaign_id == _CAMPAIGN)),
    )
    .order_by(attempts.c.id)
    .limit(1)
)
# Of all who were sent which text, by some calls, to some people.
SENT_BY = SENT.where(
    attempts.c.id.in_(bindparam("the_attempts", expanding=True)),
    chunks.c.text_key == bindparam("the_text_key"),
    recipients.c.msisdn.in_(bindparam("the_msisdns", expanding=True)),
)
# The account's calls by other editions, between two numbers.
CALLS_ELSEWHERE = (
    select(attempts.c.id, attempts.c.campaign_id, attempts.c.chunk)
    .join(campaigns, campaigns.c.id == attempts.c.campaign_id)
    .where(
        attempts.c.id > bindparam("seen_to"),
        attempts.c.id <= bindparam("newest"),
        attempts.c.account == _ACCOUNT,
        attempts.c.campaign_id != _CAMPAIGN,
        attempts.c.intent_at_us >= bindparam("since_us"),
        campaigns.c.is_test == false(),
    )
)
_OTHER_CAMPAIGN: BindParameter[int] = bindparam("the_other")
MSISDNS_ELSEWHERE = select(recipients.c.msisdn).where(
    recipients.c.campaign_id == _OTHER_CAMPAIGN, recipients.c.chunk == _CHUNK
)
# Each side is read by its own key: a text that is common has a hundred thousand calls.
TEXTS_IN_COMMON = (
    select(chunks.c.text_key)
    .where(chunks.c.campaign_id == _CAMPAIGN)
    .intersect(select(chunks.c.text_key).where(chunks.c.campaign_id == _OTHER_CAMPAIGN))
    .limit(1)
)
LEAVE_OUT = (
    update(recipients)
    .where(
        recipients.c.campaign_id == _CAMPAIGN,
        recipients.c.row.in_(bindparam("the_rows", expanding=True)),
    )
    .values(
        reason=bindparam("the_reason"),
        chunk=None,
        message=case((recipients.c.msisdn.is_not(None), bindparam("the_text"))),
        encoding=bindparam("the_encoding"),
    )
)
SHRINK_CHUNK = (
    update(chunks)
    .where(_is_chunk())
    .values(
        recipients_count=bindparam("people_left"),
        expected_ugx=bindparam("cost_left_ugx"),
        state=bindparam("the_state"),
        label=None,
    )
)
MOVE_TO_CHUNK = (
    update(recipients)
    .where(
        recipients.c.campaign_id == _CAMPAIGN,
        recipients.c.row.in_(bindparam("the_rows", expanding=True)),
    )
    .values(chunk=_CHUNK)
)
LAST_CHUNK = select(func.max(chunks.c.chunk)).where(chunks.c.campaign_id == _CAMPAIGN)
ONE_CHUNK = select(chunks).where(_is_chunk())

ADD_ATTEMPT = (
    insert(attempts)
    .values(
        campaign_id=_CAMPAIGN,
        chunk=_CHUNK,
        account=_ACCOUNT,
        run=bindparam("the_run"),
        epoch=bindparam("the_epoch"),
        intent_at_us=bindparam("the_intent_at_us"),
        submitted_count=bindparam("the_submitted_count"),
        expected_ugx=bindparam("the_expected_ugx"),
        exposed_ugx=bindparam("the_expected_ugx"),
    )
    .returning(attempts.c.id)
)
SET_IN_FLIGHT = update(chunks).where(_is_chunk()).values(state=ChunkState.IN_FLIGHT, last_attempt=_ATTEMPT)
SET_CHUNK_STATE = update(chunks).where(_is_chunk()).values(state=bindparam("the_state"))
END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == _ATTEMPT)
    .values(
        {
            column: bindparam(f"the_{column}")
            for column in (
                "verdict",
                "reason",
                "ended_at_us",
                "http_status",
                "api_messages",
                "recipients_count",
                "message_count",
                "sms_sent",
                "charged_ugx",
                "exposed_ugx",
                "charged_each_ugx",
                "unsupported_charged",
                "cost_raw",
                "balance_after_ugx",
                "unsupported_count",
                "consistent",
                "agrees",
                "alarms",
                "raw_reply",
            )
        }
    )
)
# A reply that comes after a take-over: the call is unknown by then, only what was answered is kept.
ADD_EVIDENCE = (
    update(attempts)
    .where(attempts.c.id == _ATTEMPT)
    .values(raw_reply=bindparam("the_raw_reply"), http_status=bindparam("the_http_status"))
)
ADD_EVENT = insert(events)
