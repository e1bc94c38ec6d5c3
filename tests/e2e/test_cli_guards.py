"""Guards from the command line: each stops a campaign before money is spent, and lets it go on where it stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mambo_io.sandbox import SandboxHandle
from support.cli import Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
CALLS_OF_5 = {"chunk_size": 5, "canary_size": 5, "concurrency": 1}


@pytest.fixture
def api(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    started = start_sandbox()
    cli.use(started)
    return started


def executed(api: SandboxHandle) -> int:
    """The calls that cost money."""
    return api.calls()["executed_at"].drop_nulls().len()


# --- the day ---------------------------------------------------------------------------------------------------------


def test_the_day_of_an_account_is_shared_by_its_campaigns(cli: Cli, api: SandboxHandle) -> None:
    cli.set(MAX_COST_PER_DAY_UGX="749")
    cli.campaign(numbers_of(5))
    assert cli(*SEND).code == 0  # UGX 250

    cli.campaign(numbers_of(15), message="Another text.", sending=CALLS_OF_5)
    expected = cli("estimate", "clinic-day.toml", "--edition", "2").out
    assert "(MAMBO_MAX_COST_PER_DAY_UGX, 749) UGX 499 are left on 20" in expected
    assert "it would stop before a call that goes over it, and go on the next day." in expected
    stopped = cli(*SEND, "--edition", "2")
    assert stopped.code == 3
    assert "paused: the next call would go over what the account may spend in a day" in stopped.out
    assert "MAMBO_MAX_COST_PER_DAY_UGX is 749; UGX 500 of 20" in stopped.out, "one shilling short of three calls"
    assert executed(api) == 2
    assert stopped.next_command == ["send", "clinic-day.toml", "--edition", "2", "--direct"]
    assert cli(*SEND, "--edition", "2").code == 3
    assert executed(api) == 2

    cli.set(MAX_COST_PER_DAY_UGX="249")
    never = cli("estimate", "clinic-day.toml", "--edition", "3").out
    assert "A call of UGX 250 is more than MAMBO_MAX_COST_PER_DAY_UGX, 249, so it would never be made." in never

    cli.set(MAX_COST_PER_DAY_UGX="1_250")
    assert "Warning" not in cli("estimate", "clinic-day.toml", "--edition", "3", "--allow-repeat").out
    cli.set(MAX_COST_PER_DAY_UGX="1_000")
    assert cli(*SEND, "--edition", "2").code == 0
    assert (executed(api), cli("status", "clinic-day", "--json").json["charged_ugx"]) == (4, 750)


# --- balance ---------------------------------------------------------------------------------------------------------


def test_a_reading_before_the_first_call_spares_a_call_that_the_account_cannot_pay(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle]
) -> None:
    cli.use(api := start_sandbox(balance_ugx=249))
    cli.campaign(numbers_of(10), sending=CALLS_OF_5)
    stopped = cli(*SEND)
    assert stopped.code == 3
    assert "the account's balance does not cover the next call; top it up to go on (UGX 249)" in stopped.out
    assert set(api.calls()["endpoint"]) == {"balance"}, "the API was not asked to send anything"

    api.change_account(top_up_ugx=251)
    assert cli(*SEND).code == 0
    assert executed(api) == 2


def test_credentials_that_are_refused_are_no_reason_not_to_send(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(5))
    cli.set(PASSWORD="wrong")
    assert cli(*SEND).code == 0
    assert cli.refused("balance").startswith("the API refused these credentials before")


# --- repeats ---------------------------------------------------------------------------------------------------------


def test_who_is_sent_the_text_by_another_edition_while_this_one_rests_is_left_out(cli: Cli, api: SandboxHandle) -> None:
    cli.set(MAX_COST_PER_DAY_UGX="250")
    cli.campaign(numbers_of(10), sending=CALLS_OF_5)
    assert cli(*SEND).code == 3
    cli.set(MAX_COST_PER_DAY_UGX=None)
    others = cli(*SEND, "--edition", "2", "--json").json
    assert (others["rejected"], others["outcomes"]["accepted"]) == ({"already_sent": 5}, 5)

    done = cli(*SEND)
    assert done.code == 0
    assert done.pairs()["sent the same text by another edition after the plan"] == "UGX 250"
    assert done.pairs()["already_sent"].startswith("5 ")
    assert executed(api) == 2, "one call each"
    assert set(api.deliveries()["e164"].value_counts()["count"]) == {1}

    cli.campaign(numbers_of(10), sending=CALLS_OF_5)
    assert cli(*SEND, "--edition", "3", "--allow-repeat").code == 0
    assert executed(api) == 4, "nobody is left out of a plan that allows it"


# --- size ------------------------------------------------------------------------------------------------------------


def test_max_recipients_is_asked_again_when_a_campaign_goes_on(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(10), sending=CALLS_OF_5 | {"max_cost_ugx": 499})
    refused = cli(*SEND)
    assert (refused.code, "max_cost_ugx is 499" in refused.err) == (2, True)

    cli.campaign(numbers_of(10), sending=CALLS_OF_5)
    cli.set(MAX_COST_PER_DAY_UGX="499")
    assert cli(*SEND).code == 3
    cli.set(MAX_COST_PER_DAY_UGX=None)
    cli.campaign(numbers_of(10), sending=CALLS_OF_5, max_recipients=9)
    assert "clinic-day.toml: it would go to 10 people, and max_recipients is 9. Raise it" in cli.refused(*SEND)
    assert executed(api) == 1
    cli.campaign(numbers_of(10), sending=CALLS_OF_5, max_recipients=10)
    assert cli(*SEND).code == 0
    assert executed(api) == 2


# --- approval --------------------------------------------------------------------------------------------------------


def test_what_is_approved_is_what_is_sent(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(5), approval="required")
    planned = cli("send", "clinic-day.toml", "--direct")  # nobody is asked, because nothing is sent
    assert planned.code == 3
    assert "clinic-day/1  awaiting_approval: nobody has approved what is planned\n" in planned.out
    assert planned.next_command == ["approve", "clinic-day", "--edition", "1", "--by", "NAME"]
    digest = cli("status", "clinic-day", "--json").json["plan_digest"]
    assert f"Plan {digest}: nothing is sent before `mambo approve`." in planned.out
    assert cli(*SEND).code == 3
    assert cli("status", "clinic-day", "--json").json["plan_digest"] == digest
    assert executed(api) == 0

    other = "0" * len(digest)
    assert cli.refused("approve", "clinic-day", "--by", "Grace", "--digest", other).startswith("clinic-day/1, --digest")
    approved = cli("approve", "clinic-day", "--by", "Grace", "--digest", digest)
    assert approved.code == 0
    assert approved.pairs() | {"Message": ""} == {
        "clinic-day/1": "from people.csv, sender MamboSMS, category customised, planned "
        + approved.out.partition("planned ")[2].partition("\n")[0],
        "Rows": "5",
        "To be messaged": "5",
        "Segments": "5",
        "API calls": "1",
        "Cost": "UGX 250",
        "Message": "",
        "Plan": digest,
    }
    assert cli(*approved.next_command, "--yes").code == 0
    assert executed(api) == 1


def test_another_list_after_the_approval_has_to_be_approved_anew(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(5), approval="required")
    cli(*SEND)
    cli("approve", "clinic-day", "--by", "Grace")
    cli.campaign(numbers_of(6), approval="required")
    assert "awaiting_approval" in cli(*SEND).out
    assert executed(api) == 0
    assert cli("approve", "clinic-day", "--by", "Grace").pairs()["To be messaged"] == "6"
    assert cli(*SEND).code == 0
    assert executed(api) == 1


def test_a_campaign_that_has_begun_waits_when_approval_is_asked_for_later(cli: Cli, api: SandboxHandle) -> None:
    cli.set(MAX_COST_PER_DAY_UGX="250")
    cli.campaign(numbers_of(10), sending=CALLS_OF_5)
    assert cli(*SEND).code == 3
    cli.set(MAX_COST_PER_DAY_UGX=None)
    cli.campaign(numbers_of(10), sending=CALLS_OF_5, approval="required")
    assert "awaiting_approval" in cli(*SEND).out
    assert executed(api) == 1
    cli("approve", "clinic-day", "--by", "Grace")
    assert cli(*SEND).code == 0
    assert executed(api) == 2
