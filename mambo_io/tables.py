"""The ledger's tables and the results view, once for SQLite and PostgreSQL.

State is kept at the grain at which the API answers: the call. A recipient's outcome is derived from its chunk by the
view `results`, so it cannot disagree. Times are integers: microseconds since the epoch, UTC (`…_at_us`). Money is
whole Uganda shillings (`…_ugx`). A number is kept as the integer of its E.164 digits (`msisdn`).
"""

from __future__ import annotations

from typing import Any, assert_never

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    case,
    cast,
    event,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from mambo_io.model import (
    NOT_REPORTED,
    CampaignState,
    CanaryState,
    ChunkState,
    Delivery,
    ExceptionKind,
    Outcome,
    Verdict,
)

SCHEMA_VERSION = 3  # `upgrades.py` says what each version changed

metadata = MetaData()

# SQLite gives rowids only to a column whose type is exactly INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


def _enum(values: type) -> Enum:
    """A StrEnum stored by its value, as text with a check, so that both stores refuse a state that does not exist."""
    return Enum(
        values,
        native_enum=False,
        create_constraint=True,
        values_callable=lambda states: [state.value for state in states],
        name=f"known_{values.__name__.lower()}",
    )


ledger_meta = Table(
    "ledger_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("balance_ugx", BigInteger),  # the last one known, the lowest of overlapping replies
    Column("balance_at_us", BigInteger),
    Column("next_call_at_us", BigInteger, nullable=False, server_default="0"),  # the account's rate limit
    Column("settling_until_us", BigInteger, nullable=False, server_default="0"),  # no call before it: a reading is made
    Column("credentials_latch", Text),  # why the balance endpoint refused; no reading until a person clears it
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("state", _enum(CampaignState), nullable=False),
    Column("stop_reason", Text),
    Column("stop_detail", Text),  # the code of the call that stopped it, and what the API said
    Column("sender_epoch", BigInteger, nullable=False, server_default="0"),
    Column("canary", _enum(CanaryState), nullable=False),
    Column("canary_calls", Integer, nullable=False),  # counted receipts that must agree before the rest is sent
    Column("content_digest", Text, nullable=False),  # number and text pairs before opt-outs, category, sender
    Column("plan_digest", Text, nullable=False),  # what a person approves: the calls and their cost
    Column("source", Text, nullable=False),  # the recipients file as it was named
    Column("source_digest", Text, nullable=False),  # of its bytes
    Column("sender_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("message", Text, nullable=False),  # with its merge fields
    Column(
        "settings", Text, nullable=False
    ),  # JSON: the campaign file's keys at the plan, and where that lay at the newest start
    Column("kept_columns", Text, nullable=False),  # JSON list
    Column("versions", Text, nullable=False),  # JSON: of the libraries that decide numbers and frames
    Column("rows", BigInteger, nullable=False),
    Column("sendable", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("segments", BigInteger, nullable=False),  # over all sendable recipients
    Column("estimated_ugx", BigInteger, nullable=False),
    Column("planned_at_us", BigInteger, nullable=False),
    Column("first_call_at_us", BigInteger),
    Column("ended_at_us", BigInteger),
    Column("held_by", Text),  # the person who paused it; nothing is sent until a person lets it go on
    Column("is_test", Boolean, nullable=False, server_default=false()),  # the message to one's own phone
    Column("erased_at_us", BigInteger),  # since when its numbers and texts are being erased, or gone
    UniqueConstraint("name", "edition"),
    sqlite_autoincrement=True,  # who approves or pauses a plan that was replaced does not mean the one after it
)

recipients = Table(
    "recipients",
    metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("phone_raw", Text),
    Column("msisdn", BigInteger),
    Column("network_guess", Text),
    Column("reason", Text),  # a Reason code; null when the row is to be sent
    Column("chunk", BigInteger),
    Column("message", Text),  # only of a rejected row that had a text: the others' stands on their chunk
    Column("encoding", Text),
    Column("segments", Integer),
    Column("estimated_ugx", BigInteger),
    Column("kept", Text),  # JSON object of the kept columns
    Index("recipients_of_chunk", "campaign_id", "chunk", "row", "msisdn", "estimated_ugx"),  # all that a claim reads
    sqlite_with_rowid=False,
)

# Few of the rows, and in the order in which they are counted.
rejected_recipients = Index(
    "rejected_recipients",
    recipients.c.campaign_id,
    recipients.c.reason,
    sqlite_where=recipients.c.reason.is_not(None),
    postgresql_where=recipients.c.reason.is_not(None),
)

chunks = Table(
    "chunks",
    metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("chunk", BigInteger, primary_key=True, autoincrement=False),
    Column("parent", BigInteger),  # the chunk that was split
    Column("label", Integer),  # which of the sizes that tell concurrent calls apart
    Column("canary", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_key", BigInteger, nullable=False),  # 64 bits of the text's BLAKE2b digest
    Column("encoding", Text, nullable=False),
    Column("segments", Integer, nullable=False),
    Column("recipients_count", Integer, nullable=False),
    Column("expected_ugx", BigInteger, nullable=False),
    Column("state", _enum(ChunkState), nullable=False),
    Column("last_attempt", BigInteger),
    Index("chunks_by_state", "campaign_id", "state", "chunk"),
    Index("chunks_by_text", "text_key"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), nullable=False),
    Column("chunk", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("intent_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("submitted_count", Integer, nullable=False),
    Column("expected_ugx", BigInteger, nullable=False),
    Column("verdict", _enum(Verdict)),  # null while in flight
    Column("reason", Text),
    Column("http_status", Integer),
    Column("api_messages", Text),
    Column("recipients_count", BigInteger),
    Column("message_count", BigInteger),
    Column("sms_sent", BigInteger),
    Column("charged_ugx", BigInteger),  # null while unknown
    Column("exposed_ugx", BigInteger),  # what the call may cost while that is unknown; null once it is known
    Column("charged_each_ugx", BigInteger),  # per charged recipient, rounded down; the rest stands on the lowest rows
    Column("unsupported_charged", Boolean, nullable=False, server_default=false()),  # all were: they share the charge
    Column("cost_raw", Text),  # a cost that is not a whole number of shillings, as it came
    Column("balance_after_ugx", BigInteger),
    Column("unsupported_count", BigInteger),
    Column("consistent", Boolean),
    Column("agrees", Boolean),  # a counted canary receipt, with the estimate
    Column("alarms", Text),
    Column("evidence", Text),  # of an unknown call: what the account's balance, or a person, says of it
    Column("raw_reply", Text),
    Index("attempts_of_chunk", "campaign_id", "chunk"),
    CheckConstraint("(verdict IS NULL) = (ended_at_us IS NULL)", name="ended_has_verdict"),
)
Index(
    "open_attempts",
    attempts.c.account,
    attempts.c.campaign_id,
    sqlite_where=attempts.c.exposed_ugx.is_not(None),
    postgresql_where=attempts.c.exposed_ugx.is_not(None),
)
# All that a day's spending is summed from. Not by account first: the open calls of one have an index of their own.
attempts_by_time = Index(
    "attempts_by_time",
    attempts.c.intent_at_us,
    attempts.c.account,
    attempts.c.charged_ugx,
    attempts.c.exposed_ugx,
)

recipient_exceptions = Table(
    "recipient_exceptions",
    metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_id", BigInteger),
    Column("kind", _enum(ExceptionKind)),  # null: only the remainder differs
    Column("remainder_ugx", BigInteger, nullable=False, server_default="0"),
    Column("estimated_ugx", BigInteger),  # the recipient's own; null where it was not at hand, as in version 1
    sqlite_with_rowid=False,
)

unsupported = Table(
    "unsupported",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("attempt_id", BigInteger, ForeignKey("attempts.id"), nullable=False, index=True),
    Column("raw", Text, nullable=False),  # as the API wrote it
    Column("row", BigInteger),  # null: no recipient of that call
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_id", BigInteger, nullable=False),  # the call that was reported on; of a later one it says nothing
    Column("status", _enum(Delivery), nullable=False),
    Column("status_raw", Text, nullable=False),  # as the export wrote it
    Column("reported_at_us", BigInteger),  # null: the export does not say
    Column("source", Text, nullable=False),  # the name of the export
    Column("imported_at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Campaign editions whose people stand in a file and, but for those with an exception, no longer in `recipients`.
archives = Table(
    "archives",
    metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("file", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),  # SHA-256 of the file's bytes
    Column("archived_at_us", BigInteger, nullable=False),
    Column("rejected", Text, nullable=False),  # JSON: rows by reason
    Column("left_out", Text, nullable=False),  # JSON: UGX estimated of those left out after the plan, by reason
    sqlite_with_rowid=False,
)

account_entries = Table(
    "account_entries",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("account", Text, nullable=False),
    Column("began_us", BigInteger),  # of a reading: when it was asked for; of a top-up: when its day began
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # reading, top_up, latch, latch_cleared
    Column("amount_ugx", BigInteger),
    Column("note", Text),  # of a top-up: its reference
    Column("who", Text, nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("msisdn", BigInteger, primary_key=True, autoincrement=False),
    Column("campaign_id", BigInteger, primary_key=True, autoincrement=False),  # 0: every campaign
    Column("since_us", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("campaign_id", BigInteger),
    Column("account", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("detail", Text),
)

# Without statistics SQLite would find the next planned call, and the people of a call, by walking the primary key past
# all that is done. These say what is true of any campaign of some size: sqlite_stat1's (table, index, rows and the mean
# rows for each further column of the index).
SQLITE_STATISTICS = (
    ("recipients", "recipients", "1000000 100000 1"),
    ("recipients", "recipients_of_chunk", "1000000 100000 100 1 1 1"),
    ("chunks", "chunks", "10000 1000 1"),
    ("chunks", "chunks_by_state", "10000 1000 200 1"),
    ("chunks", "chunks_by_text", "10000 10"),
)


def outcome_of_chunk(state: ChunkState) -> Outcome:
    """What a chunk's state says of each of its recipients that has no exception of its own."""
    match state:
        case ChunkState.PLANNED:
            return Outcome.PLANNED
        case ChunkState.IN_FLIGHT:
            return Outcome.IN_FLIGHT
        case ChunkState.ACCEPTED:
            return Outcome.ACCEPTED
        case ChunkState.REFUSED:
            return Outcome.REFUSED
        case ChunkState.UNKNOWN:
            return Outcome.UNKNOWN
        case ChunkState.CANCELLED:
            return Outcome.CANCELLED
        case ChunkState.SPLIT | ChunkState.SKIPPED:
            # Nobody stands in these: a split chunk's recipients moved to its children, a skipped one's are left out.
            return Outcome.REJECTED
        case _:
            assert_never(state)


def was_called(state: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a chunk in this state has an attempt that says something of its recipients."""
    return state.in_([literal_column(f"'{each}'") for each in ("in_flight", "accepted", "refused", "unknown")])


def kept_value(name: str, dialect: str) -> ColumnElement[str | None]:
    """The value of one kept column of a recipient; null where it was empty, or is not kept."""
    if dialect == "postgresql":
        value: ColumnElement[str | None] = cast(recipients.c.kept, JSON)[name].as_string()
        return value
    # Not by a JSON path, in which a column's name with a quotation mark cannot be written.
    cells = func.json_each(recipients.c.kept).table_valued("key", "value")
    return select(cells.c.value).where(cells.c.key == name).scalar_subquery()


def _results_view() -> Select[Any]:
    """One row per recipient of every campaign edition; the columns are described in `pipelines.frames`."""
    r, c, k, a, x, d = recipients.c, chunks.c, campaigns.c, attempts.c, recipient_exceptions.c, deliveries.c
    outcome = case(
        (r.reason.is_not(None), literal_column(f"'{Outcome.REJECTED}'")),
        (x.kind.is_not(None), cast(x.kind, Text)),  # unsupported, unverified: the outcome's own word
        *(
            (c.state == literal_column(f"'{state}'"), literal_column(f"'{outcome_of_chunk(state)}'"))
            for state in ChunkState
        ),
    )
    reason = case(
        (r.reason.is_not(None), r.reason),
        (x.kind.is_not(None), cast(x.kind, Text)),
        (c.state.in_([literal_column(f"'{state}'") for state in ("planned", "in_flight", "accepted")]), null()),
        (c.state == literal_column("'cancelled'"), literal_column("'cancelled'")),
        else_=a.reason,
    )
    shares_charge = and_(
        c.state == literal_column("'accepted'"),
        or_(x.kind.is_(None), x.kind != literal_column(f"'{ExceptionKind.UNSUPPORTED}'"), a.unsupported_charged),
    )
    charged = case(
        (shares_charge, a.charged_each_ugx + func.coalesce(x.remainder_ugx, 0)),
        (and_(c.state == literal_column("'accepted'"), a.charged_ugx.is_not(None)), 0),
        else_=null(),
    )
    is_accepted = and_(r.reason.is_(None), x.kind.is_(None), c.state == literal_column("'accepted'"))
    delivery = case((is_accepted, func.coalesce(cast(d.status, Text), literal_column(f"'{NOT_REPORTED}'"))))
    called = was_called(c.state)
    return (
        select(
            k.id.label("campaign_id"),
            k.name.label("campaign"),
            k.edition,
            r.row,
            r.phone_raw,
            (literal_column("'+'") + cast(r.msisdn, Text)).label("e164"),
            r.network_guess,
            outcome.label("outcome"),
            reason.label("reason"),
            # Whose number was erased has no text any more, though others in the call may still have it.
            case((r.msisdn.is_not(None), func.coalesce(r.message, c.text)), else_=r.message).label("message"),
            func.coalesce(r.encoding, c.encoding).label("encoding"),
            r.segments,
            r.estimated_ugx,
            charged.label("charged_ugx"),
            r.chunk,
            case((called, a.id)).label("attempt"),
            case((called, a.intent_at_us)).label("sent_at_us"),
            delivery.label("delivery"),
            r.kept,
        )
        .select_from(recipients)
        .join(campaigns, k.id == r.campaign_id)
        .outerjoin(chunks, and_(c.campaign_id == r.campaign_id, c.chunk == r.chunk))
        .outerjoin(attempts, a.id == c.last_attempt)
        .outerjoin(recipient_exceptions, and_(x.campaign_id == r.campaign_id, x.row == r.row))
        .outerjoin(deliveries, and_(d.campaign_id == r.campaign_id, d.row == r.row, d.attempt_id == c.last_attempt))
    )


class CreateResults(ExecutableDDLElement):
    """`CREATE VIEW results`, written in each store's own words."""

    query = _results_view()


@compiles(CreateResults)
def _create_results(element: CreateResults, compiler: DDLCompiler, **_: Any) -> str:
    return f"CREATE VIEW results AS {compiler.sql_compiler.process(element.query, literal_binds=True)}"


create_results = CreateResults()
drop_results = text("DROP VIEW results")
event.listen(metadata, "after_create", create_results)

# The view as it is read. Of a metadata of its own: `metadata.create_all` would make a table of it.
results = Table("results", MetaData(), *(Column(each.name, each.type) for each in CreateResults.query.selected_columns))
