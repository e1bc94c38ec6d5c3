"""`mambo estimate` and `mambo send --direct` against a sandbox: what they show, when they stop, how they go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

import pipelines
from mambo_io.datasets import reading
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Charge, NoAnswer, SuccessFalse
from mambo_io.window import KAMPALA
from support import raw_server
from support.cli import SENDABLE, Cli, numbers_of

ESTIMATE = ("estimate", "clinic-day.toml")
SEND = ("send", "clinic-day.toml", "--direct", "--yes")
ONE_BY_ONE = {"chunk_size": 1, "canary_size": 1, "concurrency": 1}


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def api(cli: Cli, sandbox: SandboxHandle) -> SandboxHandle:
    """The sandbox of this module's tests, without faults. Each test has a ledger of its own."""
    sandbox.set_faults([])
    cli.use(sandbox)
    return sandbox


@pytest.fixture
def delivered(api: SandboxHandle) -> Callable[[], dict[str, int]]:
    """How many messages each number has got since the test began, as the sandbox says."""
    before = api.deliveries().height

    def count() -> dict[str, int]:
        return dict(Counter(api.deliveries()[before:]["e164"].to_list()))

    return count


# --- estimate --------------------------------------------------------------------------------------------------------


def test_an_estimate_shows_who_gets_what_and_for_how_much(cli: Cli) -> None:
    cli.campaign(message="Dear {first_name|friend}, clinic day is {day}.", sending={"max_cost_ugx": 1_000})

    said = cli(*ESTIMATE)

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("clinic-day/1  from people.csv, sender MamboSMS, category customised\n")
    shown = said.pairs()
    assert shown["Rows"] == "4"
    assert shown["To be messaged"] == "3  Airtel 2, MTN 1"
    assert shown["Rejected"] == "1"
    assert shown["contains_letters"] == "1  letters in the number"
    assert shown["Segments"] == "3"
    assert shown["API calls"] == "3, 3 different texts"
    assert shown["Cost"] == "UGX 150  max_cost_ugx 1,000"
    assert shown["Time"].startswith("about 1 s at any hour, from ")
    assert shown["Balance"] == "not known yet"
    assert "first, dearest text (row 2, GSM-7, 1 segment, UGX 50): Dear Jane, clinic day is Friday.\n" in said.out
    assert "longest text (row 3, GSM-7, 1 segment, UGX 50): Dear friend, clinic day is Monday.\n" in said.out


def test_an_estimate_for_a_program(cli: Cli) -> None:
    cli.campaign()

    said = cli(*ESTIMATE, "--json")

    assert said.out.count("\n") == 1
    facts = said.json
    assert (facts["rows"], facts["sendable"], facts["rejected"]) == (4, 3, {"contains_letters": 1})
    assert (facts["segments"], facts["calls"], facts["texts"], facts["estimated_ugx"]) == (3, 1, 1, 150)
    assert facts["networks"] == {"Airtel": 2, "MTN": 1}
    assert facts["obstacles"] == []
    assert datetime.fromisoformat(facts["starts_at"]).utcoffset() == timedelta(hours=3)


def test_an_estimate_contacts_nobody_and_leaves_nothing_behind(cli: Cli) -> None:
    cli.campaign()
    with raw_server.serving(raw_server.close_at_once) as server:
        cli.set(BASE_URL=server.url, API_KEY="key", USERNAME="jane@example.com", PASSWORD="password")
        before = cli.listing()

        assert cli(*ESTIMATE).code == 0

        assert server.connections == 0
    assert cli.listing() == before


def test_an_estimate_works_where_nothing_was_ever_sent(cli: Cli) -> None:
    """With the default store, whose folder is made by the first send."""
    cli.campaign()
    cli.set(STORE=None)

    assert cli(*ESTIMATE).code == 0
    assert "there is no ledger yet" in cli.refused("status")


def test_rejected_rows_as_a_file(cli: Cli) -> None:
    cli.campaign(recipients={"keep": ["first_name"]})

    said = cli(*ESTIMATE, "--rejected", "rejected.csv")

    assert (said.code, said.err) == (0, "1 rejected row in rejected.csv\n")
    rejected = pl.read_csv(cli.folder / "rejected.csv", infer_schema=False).to_dicts()
    (row,) = rejected
    assert row["row"] == "4"
    assert row["phone_raw"] == "O772123457"
    assert row["reject_reason"] == "contains_letters"
    assert row["first_name"] == "Bob"


def test_a_text_is_shown_as_it_is_sent(cli: Cli) -> None:
    """Nothing in it is markup, however it looks, and no line is broken where a terminal would break it."""
    text = "[bold]Come[/bold] :smile: {{day}} " + "and bring your card " * 20
    cli.campaign(message=text.strip(), max_segments=5)

    said = cli(*ESTIMATE)

    expected = text.strip().replace("{{", "{").replace("}}", "}")
    assert any(line.endswith(expected) for line in said.out.splitlines())


def test_whether_it_ends_inside_the_window(cli: Cli) -> None:
    cli.campaign(sending={"window": "00:00-23:59", "calls_per_second": 0})
    assert "inside the window 00:00-23:59, from " in cli(*ESTIMATE).out

    cli.campaign(numbers_of(100), sending={"window": "09:00-09:01", "calls_per_second": 0.1, "chunk_size": 1})
    said = cli(*ESTIMATE)
    assert "about 17 min, not within one day of the window 09:00-09:01, from " in said.out
    assert cli(*ESTIMATE, "--json").json["ends_in_window"] is False


# --- send ------------------------------------------------------------------------------------------------------------


def test_a_campaign_from_the_estimate_to_the_results(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign()

    said = cli(*SEND)

    assert (said.code, said.err) == (0, "")
    assert f"Host 127.0.0.1, account sandbox, store {cli.folder}/ledger.db\n" in said.out
    assert "clinic-day/1  complete\n" in said.out
    shown = said.pairs()
    assert (shown["accepted"], shown["rejected"], shown["contains_letters"][0]) == ("3", "1", "1")
    assert (shown["Estimated"], shown["Charged"]) == ("UGX 150", "UGX 150")
    assert said.out.endswith("Results: mambo results clinic-day --edition 1 --output clinic-day-1.xlsx\n")
    assert delivered() == {"+256772123456": 1, "+256701234567": 1, "+256752123458": 1}


def test_a_list_that_has_no_room_in_memory_is_sent_like_any_other(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the file for each step: numbers, texts, the rows of the plan."""
    monkeypatch.setattr(reading, "HELD_BYTES", 0)
    cli.campaign(message="Dear {first_name|friend}, clinic day is {day}.", recipients={"keep": ["day"]})

    assert cli(*SEND).code == 0

    assert delivered() == {"+256772123456": 1, "+256701234567": 1, "+256752123458": 1}
    table = pipelines.results("clinic-day")
    assert table.select("row", "outcome", "message", "day").rows() == [
        (2, "accepted", "Dear Jane, clinic day is Friday.", "Friday"),
        (3, "accepted", "Dear friend, clinic day is Monday.", "Monday"),
        (4, "rejected", None, "Friday"),
        (5, "accepted", "Dear Amos, clinic day is Friday.", "Friday"),
    ]


def test_a_complete_edition_is_not_sent_again(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign()
    first = cli(*SEND, "--json").json

    again = cli("send", "clinic-day.toml")  # nobody has to be asked for nothing, and no engine is started for it

    assert again.code == 0
    assert again.out.endswith(
        "Edition 1 is complete; nothing was sent now. A new one goes to those who were not sent the same text lately: "
        "mambo send clinic-day.toml --edition 2\n"
    )
    assert cli(*SEND, "--json").json == first
    assert sum(delivered().values()) == SENDABLE


def test_the_last_line_is_for_a_program(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()

    said = cli(*SEND, "--json")

    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    facts = said.json
    assert (facts["campaign"], facts["edition"], facts["account"], facts["state"]) == (
        "clinic-day", "1", "sandbox", "complete",
    )  # fmt: skip
    assert facts["outcomes"] == {"accepted": 3, "rejected": 1}
    assert (facts["rows"], facts["estimated_ugx"], facts["charged_ugx"]) == (4, 150, 150)
    assert (facts["calls"], facts["differences"], facts["unknown_calls"]) == ({"accepted": 1}, {}, [])
    assert facts["next_command"] is None
    assert 0 < facts["sending_seconds"] < 60


def test_a_second_edition_leaves_out_who_was_sent_the_same_text(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign(numbers_of(2))
    cli(*SEND)
    cli.campaign(numbers_of(3))

    facts = cli(*SEND, "--edition", "2", "--json").json

    assert facts["outcomes"] == {"accepted": 1, "rejected": 2}
    assert facts["rejected"] == {"already_sent": 2}
    assert delivered() == {"+256772100000": 1, "+256772100001": 1, "+256772100002": 1}


def test_allow_repeat_sends_the_same_text_again(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign(numbers_of(2))
    cli(*SEND)

    assert cli(*ESTIMATE, "--edition", "2", "--json").json["sendable"] == 0
    assert cli(*ESTIMATE, "--edition", "2", "--allow-repeat", "--json").json["sendable"] == 2
    assert cli(*SEND, "--edition", "2", "--allow-repeat").code == 0
    assert delivered() == {"+256772100000": 2, "+256772100001": 2}


def test_an_estimate_of_what_has_begun_says_so(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign()
    cli(*SEND)

    said = cli(*ESTIMATE)

    assert "Warning: Edition 1 has begun (complete), so sending it goes on with what is left of it" in said.out
    assert f"Balance         UGX {api.account().balance_ugx:,} at " in said.out


# --- stops -----------------------------------------------------------------------------------------------------------


def test_a_first_receipt_that_disagrees_waits_for_a_person(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign(numbers_of(5), sending={"canary_size": 2})
    api.set_faults([Charge(price_ugx=60, times=None)])

    said = cli(*SEND)

    assert said.code == 3
    assert (
        "clinic-day/1  paused: the first receipt does not agree with the estimate; accept it to go on "
        "(estimated UGX 100, charged UGX 120)\n"
    ) in said.out
    assert said.next_command == ["send", "clinic-day.toml", "--direct", "--accept-canary"]
    assert sum(delivered().values()) == 2
    assert cli(*SEND).code == 3, "asking again is no way around it"
    assert sum(delivered().values()) == 2

    accepted = cli(*said.next_command, "--yes")

    assert accepted.code == 0
    assert accepted.pairs()["price, segments or people counted other than expected"] == "UGX -50"
    assert set(delivered().values()) == {1}
    assert len(delivered()) == 5


def test_outside_the_window_it_says_when_it_opens(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    opens = (datetime.now(KAMPALA) + timedelta(hours=6)).replace(minute=0)
    cli.campaign(sending={"window": f"{opens:%H}:00-{opens:%H}:01"})

    said = cli(*SEND)

    assert said.code == 3
    assert (
        f"clinic-day/1  paused: outside the sending window (it is {opens:%H}:00-{opens:%H}:01 in Kampala, "
        f"and opens on {opens:%Y-%m-%d} at {opens:%H}:00)\n"
    ) in said.out
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]
    assert delivered() == {}

    cli.campaign(sending={"window": "any"})
    assert cli(*said.next_command, "--yes").code == 0
    assert len(delivered()) == SENDABLE


def test_the_budget_is_a_hard_stop(cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]) -> None:
    """The estimate fits; the prices that are really charged do not."""
    api.set_faults([Charge(price_ugx=60, times=None)])
    cli.campaign(sending={"max_cost_ugx": 160, **ONE_BY_ONE})
    cli(*SEND)

    said = cli(*SEND, "--accept-canary")

    assert said.code == 3
    assert "paused: the next call would go over the budget; raise it to go on (max_cost_ugx is 160)\n" in said.out
    assert said.pairs()["Charged"] == "UGX 120"
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]

    cli.campaign(sending={"max_cost_ugx": 200, **ONE_BY_ONE})
    assert cli(*SEND).code == 0
    assert set(delivered().values()) == {1}


def test_a_balance_that_does_not_last(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    """The balance of the last receipt stops the next call before it is made; without one, the API refuses it."""
    poor = start_sandbox(balance_ugx=120)
    cli.use(poor)
    cli.set(USERNAME=None, PASSWORD=None)  # or else it is read beforehand
    cli.campaign(sending=ONE_BY_ONE)

    said = cli(*SEND)

    assert said.code == 3
    assert "paused: the account's balance does not cover the next call; top it up to go on (UGX 20)\n" in said.out
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]
    assert poor.calls().height == 2

    refused = cli(*said.next_command, "--yes")
    assert refused.code == 3
    assert (
        "paused: the API refuses the account or its key; set that right to go on (insufficient_balance: " in refused.out
    )
    assert (poor.calls().height, poor.deliveries().height) == (3, 2)

    poor.change_account(top_up_ugx=100)
    assert cli(*said.next_command, "--yes").code == 0
    assert poor.deliveries()["e164"].n_unique() == poor.deliveries().height == SENDABLE


def test_a_key_that_the_api_does_not_know(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign()
    cli.set(API_KEY="secret-but-wrong")

    said = cli(*SEND)

    assert said.code == 3
    assert "paused: the API refuses the account or its key; set that right to go on (" in said.out
    assert "secret-but-wrong" not in said.out + said.err
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]
    assert delivered() == {}

    cli.use(api)
    assert cli(*said.next_command, "--yes").code == 0
    assert len(delivered()) == SENDABLE


def test_refusals_in_a_row_stop_it(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign(numbers_of(6), sending=ONE_BY_ONE)
    api.set_faults([SuccessFalse(message="Message contains a blocked word.", skip=1, times=2)])

    said = cli(*SEND)

    assert said.code == 3
    assert "paused: the API refused several calls in a row (refused: Message contains a blocked word.)\n" in said.out
    assert said.pairs()["refused"] == "2"
    # What was refused is not sent again by itself.
    assert cli(*SEND, "--json").json["outcomes"] == {"accepted": 4, "refused": 2}


def test_calls_without_an_answer_are_named_and_never_repeated(
    cli: Cli, api: SandboxHandle, delivered: Callable[[], dict[str, int]]
) -> None:
    cli.campaign(numbers_of(6), sending=ONE_BY_ONE)
    api.set_faults([NoAnswer(executes=False, skip=1, times=2)])

    said = cli(*SEND)

    assert said.code == 3
    assert "paused: several calls in a row got no clear answer (" in said.out
    assert "Unknown: API call clinic-day/1/c0002 of " in said.out
    assert "Unknown: API call clinic-day/1/c0003 of " in said.out
    assert ", 1 person, UGX 50 (" in said.out
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]

    rest = cli(*said.next_command, "--yes")
    assert rest.code == 3, "two of them are unknown still"
    assert "paused: everything was sent, but the fate of some calls is unknown; they are not repeated\n" in rest.out
    assert rest.pairs()["unknown; may have been charged"] == "UGX 100"
    assert rest.next_command[:3] == ["resolve", "clinic-day", "c0002"]
    # There is nothing to agree to any more, so nobody is asked; here nobody could be.
    assert cli("send", "clinic-day.toml", "--direct").code == 3
    assert set(delivered().values()) == {1}
    assert len(delivered()) == 4

    status = cli("settle", "clinic-day")
    assert status.code == 3, "nothing is missing from the balance, and that alone proves nothing"
    assert status.out.count("Unknown: API call clinic-day/1/c000") == 2
    unknown = pipelines.results("clinic-day").filter(pl.col("outcome") == "unknown")
    assert unknown.height == 2
    assert unknown["charged_ugx"].to_list() == [None, None]


def test_everybody_turned_away_is_nothing_to_send(cli: Cli, api: SandboxHandle) -> None:
    cli.campaign("phone\nO772123456\n0414123456\n")

    said = cli(*SEND)

    assert said.code == 0
    assert "Warning: Nobody would be messaged: every row is rejected.\n" in said.out
    assert said.pairs()["rejected"] == "2"

    # Nothing was ever sent, so the corrected list is no second edition.
    cli.campaign("phone\n0772123456\n0414123456\n")
    assert cli(*SEND, "--json").json["outcomes"] == {"accepted": 1, "rejected": 1}
