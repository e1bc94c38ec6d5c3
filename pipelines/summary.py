"""How a campaign edition stands: who got it, what it cost, why that is not the estimate, what happened to the rest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from mambo_io import statements
from mambo_io.calls_left import (
    UnchargedCalls,
    UnknownCall,
    UnverifiedCall,
    last_refusal,
    uncharged_calls,
    unknown_calls,
    unverified_calls,
)
from mambo_io.delivery_counts import Evidence, delivery_counts
from mambo_io.errors import StoreError
from mambo_io.ledger import CampaignRow, Ledger, Totals
from mambo_io.masking import mask_text
from mambo_io.model import FINAL_STATES, NOT_REPORTED, SIGNALLED_TWICE, CampaignState, ChunkState, Outcome, StopReason
from pipelines.judging import is_last_word
from pipelines.opening import command_to_go_on

_BAD_CERTIFICATE = "bad_certificate at "  # begins the detail of a stop by it; the host follows
NOBODY_COUNTED = "nobody in it was counted"  # the detail of a canary that cannot tell anything
UNKNOWN_CALLS = "unknown_calls"  # the stop reason of a campaign of which only unknown calls are left
REFUSED_CALLS = "refused_calls"  # of one that is complete but for calls that the API refused, which a person may retry

# The details of a stop by a signal after which an edition goes on by itself.
SERVICE_STOPPED = "the program that served it was stopped; calls in flight were waited for"
SERVICE_GAVE_UP = "the program that served it was stopped twice; the calls in flight were given up"
SERVICE_STOPS = (SERVICE_STOPPED, SERVICE_GAVE_UP)

PROCESS_ENDED = "process_ended"  # of one that is `sending`, and nobody sends it: killed, or it lost its ledger
RESOLVED = "resolved"  # a settlement or a person put the last unknown calls back into the plan

_DIFFERENCES = {
    ChunkState.PLANNED: "not sent yet",
    ChunkState.IN_FLIGHT: "in flight",
    ChunkState.REFUSED: "refused by the API",
    ChunkState.UNKNOWN: "unknown; may have been charged",
    ChunkState.CANCELLED: "cancelled",
}
_MAY_HAVE_BEEN_CHARGED = (ChunkState.IN_FLIGHT, ChunkState.UNKNOWN)
_UNCHARGED = "accepted, and the charge is not known"

_LEFT_OUT = {
    statements.OPTED_OUT: "opted out after the plan",
    statements.ALREADY_SENT: "sent the same text by another edition after the plan",
}


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """Aggregates only: no number, no name, no text. Money in whole UGX."""

    campaign: str
    edition: str
    account: str
    state: str
    stop_reason: str | None
    stop_detail: str | None
    sent_by: str | None  # who sends it now: grace on office-pc, since … in Kampala; empty where that is not known
    plan_digest: str  # names exactly what was planned, and what a person approves
    erased_at: datetime | None  # since when its numbers and texts are being erased, or gone
    held_by: str | None  # the person who paused it; masked, as people write what they like
    transactional: bool  # does not ask the list of opt-outs
    rows: int
    outcomes: dict[str, int]  # recipients by outcome; adds up to rows
    rejected: dict[str, int]  # rejected rows by reason
    calls: dict[str, int]  # API calls by state
    estimated_ugx: int
    charged_ugx: int
    differences: dict[str, int]  # estimated less charged, by cause
    charge_is_known: bool  # whether no call was, or may have been, charged something that is not known
    uncharged_calls: UnchargedCalls | None  # those accepted of them
    unknown_calls: tuple[UnknownCall, ...]
    unverified_calls: tuple[UnverifiedCall, ...]
    deliveries: dict[str, int]  # accepted recipients by what a provider's export says of them; none was imported: empty
    delivery_evidence: tuple[Evidence, ...]  # others whom it names
    next_command: str | None
    sending_seconds: float

    @property
    def exit_code(self) -> int:
        """0 when nothing is left to do, 3 otherwise."""
        return 0 if self.state in FINAL_STATES and not self.unknown_calls and self.next_command is None else 3

    @property
    def is_half_erased(self) -> bool:
        """Whether an erasure was interrupted: of an edition that is erased nothing else is ever next."""
        return self.erased_at is not None and self.next_command is not None

    @property
    def label(self) -> str:
        return f"{self.campaign}/{self.edition}"


def summarize(ledger: Ledger, campaign: CampaignRow, *, command: str | None = None) -> CampaignSummary:
    """Sum the edition up from the ledger; `command` is what starts it again (None: the ledger knows its file)."""
    sent_by = process_ended = None
    if campaign.state is CampaignState.SENDING:
        with suppress(StoreError):  # whoever may only read may not be able to ask
            sent_by = ledger.store.holder(campaign.label)
            if sent_by is None:
                now = ledger.get(campaign.name, campaign.edition)
                if now.state is not CampaignState.SENDING:  # it came to its end this very moment
                    return summarize(ledger, now, command=command)
                process_ended = PROCESS_ENDED
    totals = ledger.totals(campaign)
    unknown = unknown_calls(ledger.store, campaign)
    differences = {
        _DIFFERENCES[state]: totals.estimates[state] for state in _DIFFERENCES if totals.estimates.get(state)
    }
    unverified = tuple(unverified_calls(ledger.store, campaign)) if Outcome.UNVERIFIED in totals.outcomes else ()
    uncharged = uncharged_calls(ledger.store, campaign)
    if uncharged is not None and uncharged.expected_ugx:
        differences[_UNCHARGED] = uncharged.expected_ugx
    if totals.unsupported_estimate_ugx:
        differences["unsupported, not charged"] = totals.unsupported_estimate_ugx
    # Who is left out after the plan leaves the chunk, and the estimate leaves it, too.
    left_plan = totals.estimated_ugx - sum(
        expected for state, expected in totals.estimates.items() if state is not ChunkState.SPLIT
    )
    if left_plan:
        differences |= {_LEFT_OUT[reason]: ugx for reason, ugx in ledger.left_out(campaign).items()}
    other = totals.estimated_ugx - totals.charged_ugx - sum(differences.values())
    if other:
        differences["price, segments or people counted other than expected"] = other
    with ledger.store.reader() as connection:
        reported = delivery_counts(connection, campaign)
    deliveries: dict[str, int] = {}
    if reported is not None:
        deliveries = {status.value: people for status, people in reported.accepted.items()}
        deliveries[NOT_REPORTED] = totals.outcomes.get(Outcome.ACCEPTED, 0) - sum(deliveries.values())
    refused = _has_refused(ledger, campaign, totals)
    stop_reason, stop_detail = process_ended or campaign.stop_reason, campaign.stop_detail
    if refused and campaign.state is CampaignState.COMPLETE:
        stop_reason, stop_detail = REFUSED_CALLS, last_refusal(ledger.store, campaign)
    return CampaignSummary(
        campaign=campaign.name,
        edition=campaign.edition,
        account=campaign.account,
        state=campaign.state,
        stop_reason=stop_reason,
        stop_detail=stop_detail,
        sent_by=sent_by,
        plan_digest=campaign.plan_digest,
        erased_at=campaign.erased_at,
        held_by=_masked_holder(campaign),
        transactional=campaign.transactional,
        rows=campaign.rows,
        outcomes={outcome.value: count for outcome, count in totals.outcomes.items()},
        rejected=ledger.rejected(campaign),
        calls={state.value: count for state, count in totals.calls.items()},
        estimated_ugx=totals.estimated_ugx,
        charged_ugx=totals.charged_ugx,
        differences=differences,
        charge_is_known=uncharged is None and not any(totals.calls.get(state) for state in _MAY_HAVE_BEEN_CHARGED),
        uncharged_calls=uncharged,
        unknown_calls=tuple(unknown),
        unverified_calls=unverified,
        deliveries=deliveries,
        delivery_evidence=() if reported is None else reported.evidence,
        next_command=_next_command(
            ledger,
            campaign,
            unknown,
            totals.outcomes.get(Outcome.PLANNED, 0),
            command,
            refused=refused,
            at_work=sent_by is not None,
        ),
        sending_seconds=ledger.last_run_seconds(campaign),
    )


def _masked_holder(campaign: CampaignRow) -> str | None:
    if campaign.held_by is None or campaign.state in FINAL_STATES:
        return None
    return mask_text(campaign.held_by)


def _has_refused(ledger: Ledger, campaign: CampaignRow, totals: Totals) -> bool:
    """Whether `mambo retry` would plan calls of it again."""
    may_be_retried = not (campaign.is_test or campaign.erased_at is not None)
    return bool(may_be_retried and totals.calls.get(ChunkState.REFUSED)) and not ledger.is_archived(campaign)


def _next_command(
    ledger: Ledger,
    campaign: CampaignRow,
    unknown: list[UnknownCall],
    planned: int,
    command: str | None,
    *,
    refused: bool,
    at_work: bool,
) -> str | None:
    retry = f"mambo retry {campaign.name} --edition {campaign.edition} --refused --by NAME"
    match campaign.state:
        case _ if campaign.erased_at is not None:
            again = f"mambo erase {campaign.name} --edition {campaign.edition} --by NAME"
            return None if ledger.erasure_ended(campaign) else again
        case CampaignState.COMPLETE if refused:
            return retry
        case CampaignState.COMPLETE | CampaignState.CANCELLED | CampaignState.SKIPPED if not unknown:
            return None
        case _ if campaign.is_test and not unknown:  # its sender was killed; nobody goes on with a test
            return f"mambo cancel {campaign.name} --edition {campaign.edition} --by NAME"
        case _ if campaign.held_by is not None:
            return f"mambo resume {campaign.name} --edition {campaign.edition} --by NAME"
        case CampaignState.SENDING if at_work:
            return None
        case CampaignState.AWAITING_APPROVAL:
            return f"mambo approve {campaign.name} --edition {campaign.edition} --by NAME"
        case _ if campaign.stop_reason == StopReason.CANARY:
            return f"{command} --accept-canary" if command else command_to_go_on(campaign, "--accept-canary")
        case _ if refused and campaign.stop_reason == StopReason.REFUSED_IN_A_ROW:
            return retry
        case _ if unknown and not planned and all(is_last_word(call.evidence) for call in unknown):
            which = f"{campaign.name} {unknown[0].name.rpartition('/')[2]}"
            return f"mambo resolve {which} --accepted|--not-sent --edition {campaign.edition} --by NAME --note WHY"
        case _ if unknown and not planned:
            return f"mambo settle {campaign.name} --edition {campaign.edition}"
        case _:
            return command or command_to_go_on(campaign)


def stop_text(reason: str | None, detail: str | None = None) -> str:
    """Why a run stopped, in words for a person."""
    if reason == StopReason.CANARY and detail == NOBODY_COUNTED:
        return "of the first people the API counted nobody, so the estimate is not confirmed; accept that to go on"
    if reason == StopReason.HOST and detail is not None and detail.startswith(_BAD_CERTIFICATE):
        return f"the certificate of {detail.removeprefix(_BAD_CERTIFICATE)} cannot be trusted; the key was not sent"
    if detail in SERVICE_STOPS:
        return detail
    if reason == StopReason.SIGNAL:
        name, twice, _ = (detail or "a signal").partition(SIGNALLED_TWICE)
        return f"stopped by {name}{twice}; the calls in flight were {'given up' if twice else 'waited for'}"
    words = _STOPS.get(reason or "", reason or "not stopped")
    return f"{words} ({detail})" if detail else words


_STOPS: dict[str, str] = {
    StopReason.NOTHING_LEFT: "nothing is left to do",
    UNKNOWN_CALLS: "everything was sent, but the fate of some calls is unknown; they are not repeated",
    REFUSED_CALLS: "the API refused calls; correct the cause and retry them, or cancel it to leave them out for good",
    PROCESS_ENDED: "its process has ended; starting it again tells what became of the calls in flight",
    RESOLVED: "calls were put back into the plan",
    StopReason.OUTSIDE_WINDOW: "outside the sending window",
    StopReason.BUDGET: "the next call would go over the budget; raise it to go on",
    StopReason.DAY_BUDGET: "the next call would go over what the account may spend in a day; it goes on the next day",
    StopReason.BALANCE: "the account's balance does not cover the next call; top it up to go on",
    StopReason.CANARY: "the first receipt does not agree with the estimate; accept it to go on",
    StopReason.APPROVAL: "nobody has approved what is planned",
    StopReason.TOO_LATE: "its time had passed, so it was not sent",
    StopReason.PAUSED: "somebody paused it",
    StopReason.CANCELLED: "somebody cancelled it",
    StopReason.NO_CONNECTION: "the API could not be reached",
    StopReason.RATE_LIMITED: "the API asks for a longer pause",
    StopReason.UNKNOWN_IN_A_ROW: "several calls in a row got no clear answer",
    StopReason.REFUSED_IN_A_ROW: "the API refused several calls in a row",
    StopReason.ACCOUNT: "the API refuses the account or its key; set that right to go on",
    StopReason.HOST: "what is at this address does not know the call that sends; set MAMBO_BASE_URL right to go on",
    StopReason.API: "the API answered in a way that needs a person",
}
