"""The send loop against a real sandbox that misbehaves: what it does next, and what the ledger says afterwards.

Calls are made one at a time unless a test says otherwise, so that "the fourth call" is a certain one: three canaries of
five people come first, then calls of ten. After each test the ledger is compared with the sandbox's own record.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mambo_io import sandbox, sender
from mambo_io.client import boot_time_s
from mambo_io.ledger import Ledger
from mambo_io.model import StopReason
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import (
    Altered,
    AnyFault,
    Charge,
    Delay,
    Garbled,
    NoAnswer,
    Status,
    SuccessFalse,
    UnsupportedForm,
)
from mambo_io.store import Store
from mambo_io.window import KAMPALA, Window
from pipelines import sending
from pipelines.alerts import of_crash, run_of
from pipelines.opening import open_ledger
from pipelines.prepare import prepare
from pipelines.runs import begun_edition, send_edition
from pipelines.summary import REFUSED_CALLS, UNKNOWN_CALLS, CampaignSummary, stop_text
from support.checker import check
from support.lists import campaign_of
from support.processes import MAMBO, started
from support.sandboxed import UNREACHABLE, environment, people, rows, settings

PEOPLE = 45
FOURTH = 3  # calls to skip before the fault
BEFORE, CALL = 15, 10  # people in the calls before it, and in it
_BLOCKS = itertools.count()


class Case:
    """One campaign of its own people, and its ledger."""

    def __init__(self, folder: Path, api: SandboxHandle, *, unreachable: Collection[int] = (), **keys: object) -> None:
        self.api, self.folder, self.store = api, folder, str(folder / "ledger.db")
        block = next(_BLOCKS)
        name, people_csv = f"case-{block}", people(PEOPLE, block=block, unreachable=unreachable)
        standard = {"window": '"any"', "calls_per_second": 0, "chunk_size": 10, "canary_size": 5, "concurrency": 1}
        sections = "\n".join(["[sending]", *(f"{key} = {value}" for key, value in {**standard, **keys}.items())])
        self.campaign = campaign_of(folder, people_csv, name=name, message=f"Hello, {name}.", sections=sections)

    def send(self, **options: Any) -> CampaignSummary:
        """As `mambo send --direct` does."""
        api = settings(self.api, self.store)
        ledger = open_ledger(api)
        prepared = None
        if begun_edition(ledger, self.campaign, "1", api) is None:
            prepared = prepare(self.campaign, edition="1", account=api.account, ledger=ledger)
        return send_edition(self.campaign, api, edition="1", prepared=prepared, command="mambo send", **options)

    def check(self, *, most_unknown: int = 0, complete: bool = True) -> None:
        name, numbers = self.campaign.name, rows(PEOPLE)
        check(self.store, self.api, name, rows=numbers, most_unknown=most_unknown, complete=complete)

    def results(self) -> pl.DataFrame:
        with Store(self.store) as store:
            return Ledger(store).results(Ledger(store).get(self.campaign.name))


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000, unsupported_prefix=(UNREACHABLE,))


@pytest.fixture
def api(running_sandbox: SandboxHandle) -> SandboxHandle:
    running_sandbox.set_faults([])
    return running_sandbox


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for hundredths of a second."""
    monkeypatch.setattr(sending, "_FIRST_BACK_OFF_S", 0.01)
    monkeypatch.setattr(sending, "_LONGEST_BACK_OFF_S", 0.05)


def test_everybody_gets_the_message_once_at_the_price_that_was_estimated(api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api, concurrency=3)
    summary = case.send()
    assert (summary.state, summary.stop_reason, summary.exit_code) == ("complete", None, 0)
    assert summary.outcomes == {"accepted": PEOPLE}
    assert summary.charged_ugx == summary.estimated_ugx == PEOPLE * 50
    case.check()


def test_no_more_calls_are_out_than_are_allowed(api: SandboxHandle, tmp_path: Path) -> None:
    api.set_faults([Delay(after_s=0.03, times=None)])
    before = api.calls().height
    case = Case(tmp_path, api, concurrency=3)
    case.send()
    calls = api.calls()[before:]
    out_with = [
        calls.filter((pl.col("received_at") <= at) & (pl.col("answered_at") > at)).height for at in calls["received_at"]
    ]
    assert max(out_with) == 3
    assert out_with[0] == 1, "nothing is out with the canary"
    case.check()


def test_the_rate_holds(api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api, calls_per_second=10)
    summary = case.send()
    calls = sum(summary.calls.values())
    assert summary.sending_seconds >= (calls - 2) / 10, "one late call may be made good, no more"
    case.check()


@dataclass(frozen=True)
class Story:
    """What the fourth call comes to, and what follows from that."""

    fault: AnyFault
    outcomes: dict[str, int]
    stop: str | None  # None: the campaign is complete
    unreachable: Collection[int] = ()
    said: str = ""  # in the reason of the people concerned


ALL = {"accepted": PEOPLE}
ONE_UNKNOWN = {"accepted": PEOPLE - CALL, "unknown": CALL}
STOPPED_AT_ONE_UNKNOWN = {"accepted": BEFORE, "planned": PEOPLE - BEFORE - CALL, "unknown": CALL}
STOPPED_BEFORE = {"accepted": BEFORE, "planned": PEOPLE - BEFORE}
THREE = (15, 16, 17)  # all in the fourth call

STORIES = {
    # Nobody knows: it is never repeated, and the rest is sent. Where it was done, the next balance tells.
    "500": Story(Status(http_status=500, skip=FOURTH), ONE_UNKNOWN, UNKNOWN_CALLS),
    "500 in HTML, done": Story(Status(http_status=502, html=True, executes=True, skip=FOURTH), ALL, None),
    "answer lost, done": Story(NoAnswer(executes=True, skip=FOURTH), ALL, None),
    "answer lost, not done": Story(NoAnswer(executes=False, skip=FOURTH), ONE_UNKNOWN, UNKNOWN_CALLS),
    "cut JSON": Story(Garbled(form="cut_json", skip=FOURTH), ALL, None),
    "cut body": Story(Garbled(form="cut_body", skip=FOURTH), ALL, None),
    "empty body": Story(Garbled(form="empty", skip=FOURTH), ALL, None),
    "no answer in time": Story(Delay(after_s=2, skip=FOURTH), ALL, None),
    # Nobody knows, and it is no passing trouble: nothing more is sent.
    "408": Story(Status(http_status=408, skip=FOURTH), STOPPED_AT_ONE_UNKNOWN, StopReason.API),
    # Refused: this call, and only this.
    "400": Story(
        Status(http_status=400, messages=["message is required"], skip=FOURTH),
        {"accepted": PEOPLE - CALL, "refused": CALL},
        REFUSED_CALLS,
        said="http_400",
    ),
    "success false": Story(
        SuccessFalse(message="Sender ID is not registered", skip=FOURTH),
        {"accepted": PEOPLE - CALL, "refused": CALL},
        REFUSED_CALLS,
        said="refused",
    ),
    # Refused because of the account: nobody is told off for it, and nothing more is sent.
    "401": Story(Status(http_status=401, skip=FOURTH), STOPPED_BEFORE, StopReason.ACCOUNT),
    "403 in HTML": Story(Status(http_status=403, html=True, skip=FOURTH), STOPPED_BEFORE, StopReason.ACCOUNT),
    "no money, in words": Story(
        SuccessFalse(message="Insufficient SMS balance.", skip=FOURTH), STOPPED_BEFORE, StopReason.ACCOUNT
    ),
    "suspended, in words": Story(
        SuccessFalse(message="Account is inactive or suspended.", skip=FOURTH), STOPPED_BEFORE, StopReason.ACCOUNT
    ),
    # Not sent: made again.
    "429": Story(Status(http_status=429, headers={"Retry-After": "0"}, skip=FOURTH), ALL, None),
    "429 for an hour": Story(
        Status(http_status=429, headers={"Retry-After": "3600"}, skip=FOURTH), STOPPED_BEFORE, StopReason.RATE_LIMITED
    ),
    # Accepted, with something to tell.
    "unsupported": Story(
        Delay(skip=FOURTH), {"accepted": PEOPLE - 3, "unsupported": 3}, None, unreachable=THREE, said="unsupported"
    ),
    **{
        f"unsupported as {form}": Story(
            UnsupportedForm(form=form, skip=FOURTH), {"accepted": PEOPLE - 3, "unsupported": 3}, None, unreachable=THREE
        )
        for form in ("international", "integers", "objects", "joined")
    },
    "unsupported as a count": Story(
        UnsupportedForm(form="count", skip=FOURTH),
        {"accepted": PEOPLE - CALL, "unverified": CALL},
        None,
        unreachable=THREE,
        said="unverified",
    ),
    "unsupported that was not in the call": Story(
        UnsupportedForm(form="stranger", skip=FOURTH),
        {"accepted": BEFORE, "unsupported": 3, "unverified": CALL - 3, "planned": PEOPLE - BEFORE - CALL},
        StopReason.API,
        unreachable=THREE,
    ),
    "one counted too few": Story(
        Altered(add={"recipients_count": -1}, skip=FOURTH), {"accepted": PEOPLE - CALL, "unverified": CALL}, None
    ),
    "one counted too many": Story(
        Altered(add={"recipients_count": 1}, skip=FOURTH),
        {"accepted": BEFORE, "unverified": CALL, "planned": PEOPLE - BEFORE - CALL},
        StopReason.API,
    ),
    "another price": Story(Charge(price_ugx=70, skip=FOURTH), ALL, None),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
@pytest.mark.usefixtures("fast")
def test_what_becomes_of_one_call(story: Story, api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api, unreachable=story.unreachable, timeout_s=1)
    api.set_faults([story.fault])
    summary = case.send()
    assert [fault["played"] for fault in api.faults()] == [1]
    assert (summary.outcomes, summary.stop_reason) == (story.outcomes, story.stop)
    reasons = set(case.results().filter(pl.col("outcome").is_in(["accepted", "planned"]).not_())["reason"])
    assert all(story.said in reason for reason in reasons)
    case.check(most_unknown=1, complete=story.stop is None)
    if story.stop is None:
        return

    # Sent again, it goes on with what is planned, and with nothing else.
    api.set_faults([])
    again = case.send()
    assert again.outcomes.get("planned", 0) == 0
    kept = {outcome: count for outcome, count in story.outcomes.items() if outcome not in ("accepted", "planned")}
    assert {outcome: count for outcome, count in again.outcomes.items() if outcome != "accepted"} == kept
    case.check(most_unknown=1)


@pytest.mark.parametrize(
    ("fault", "stop", "outcomes"),
    [
        (
            Status(http_status=500, skip=FOURTH, times=2),
            StopReason.UNKNOWN_IN_A_ROW,
            {"accepted": BEFORE, "unknown": 2 * CALL, "planned": PEOPLE - BEFORE - 2 * CALL},
        ),
        (
            Status(http_status=400, skip=FOURTH, times=2),
            StopReason.REFUSED_IN_A_ROW,
            {"accepted": BEFORE, "refused": 2 * CALL, "planned": PEOPLE - BEFORE - 2 * CALL},
        ),
        (
            Status(http_status=429, headers={"Retry-After": "0"}, times=None),
            StopReason.RATE_LIMITED,
            {"planned": PEOPLE},
        ),
    ],
    ids=["unknown", "refused", "rate limited"],
)
def test_trouble_in_a_row_pauses(
    fault: AnyFault, stop: StopReason, outcomes: dict[str, int], api: SandboxHandle, tmp_path: Path
) -> None:
    case = Case(tmp_path, api, calls_per_second=1000)
    api.set_faults([fault])
    summary = case.send()
    assert (summary.state, summary.stop_reason, summary.exit_code) == ("paused", stop, 3)
    assert summary.outcomes == outcomes
    case.check(most_unknown=2, complete=False)


def test_a_campaign_file_that_is_renamed_meanwhile_is_named_as_it_is_then(api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api)
    file, renamed = case.campaign.file, tmp_path / "renamed.toml"
    api.set_faults([Status(http_status=500, skip=FOURTH, times=2)])
    summary = case.send(on_progress=lambda *_: file.exists() and file.rename(renamed))
    assert summary.next_command == f"mambo send {renamed}"
    # So is it to whom an alert tells of the run, which began with the file as it was.
    run = replace(run_of(file, "1"), campaign=case.campaign.name, settings=settings(api, case.store))
    assert of_crash(run).next_command == summary.next_command


def test_after_an_unknown_call_the_others_are_made_one_at_a_time(api: SandboxHandle, tmp_path: Path) -> None:
    api.set_faults([Status(http_status=500, skip=FOURTH), Delay(after_s=0.02, times=None)])
    before = api.calls().height
    case = Case(tmp_path, api, concurrency=3)
    case.send()
    calls = api.calls()[before:]
    out_at_the_time = calls.filter(pl.col("received_at") < calls["answered_at"][FOURTH]).height
    later = calls[out_at_the_time:]
    assert later.height >= 2
    assert (later["received_at"][1:] >= later["answered_at"][:-1]).all()
    case.check(most_unknown=1)


def test_a_call_that_is_too_large_is_halved_until_it_fits(
    start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api = start_sandbox(max_recipients=2)
    case = Case(tmp_path, api, concurrency=3)
    summary = case.send()
    assert (summary.state, summary.outcomes) == ("complete", ALL)
    assert api.calls().filter(pl.col("executed_at").is_not_null())["submitted"].max() == 2
    case.check()


def test_a_call_to_one_person_that_is_too_large_stops(api: SandboxHandle, tmp_path: Path) -> None:
    api.set_faults([Status(http_status=413, times=None)])
    case = Case(tmp_path, api)
    summary = case.send()
    assert (summary.stop_reason, summary.outcomes) == (StopReason.API, {"planned": PEOPLE})
    case.check(complete=False)


def test_calls_that_are_slowed_down_together_are_one_trouble(api: SandboxHandle, tmp_path: Path) -> None:
    """One rest, and half the rate; not one for each, which would end the run."""
    together = sending.MAX_TRIES_IN_A_ROW
    api.set_faults([Status(http_status=429, headers={"Retry-After": "1"}, skip=1, times=together)])
    case = Case(tmp_path, api, concurrency=together, calls_per_second=1000)
    summary = case.send()
    assert (summary.state, summary.outcomes) == ("complete", ALL)
    case.check()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def sandbox_to_come(tmp_path: Path) -> Iterator[tuple[SandboxHandle, Callable[[], None]]]:
    """A sandbox that nobody has started yet, and what starts it."""
    folder, port = tmp_path / "sandbox", free_port()
    with contextlib.ExitStack() as stack:
        with sandbox.running(folder, port=port) as handle:
            pass

        def start() -> None:
            stack.enter_context(sandbox.running(folder, port=port))

        yield handle, start


@pytest.mark.usefixtures("fast")
def test_without_a_connection_nothing_is_sent_and_the_run_gives_up(
    sandbox_to_come: tuple[SandboxHandle, Callable[[], None]], tmp_path: Path
) -> None:
    api, start = sandbox_to_come
    case = Case(tmp_path, api)
    summary = case.send()
    assert (summary.stop_reason, summary.outcomes) == (StopReason.NO_CONNECTION, {"planned": PEOPLE})
    case.check(complete=False)

    start()
    assert case.send().outcomes == ALL
    case.check()


@pytest.mark.usefixtures("fast")
def test_an_intent_that_has_grown_too_old_is_not_sent(
    api: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine was suspended between the commit and the call."""
    before = api.calls().height
    monkeypatch.setattr(sender, "boot_time_s", lambda: boot_time_s() - 3600)
    case = Case(tmp_path, api)
    summary = case.send()
    assert (summary.stop_detail, summary.outcomes) == ("intent_too_old", {"planned": PEOPLE})
    assert api.calls().height == before
    case.check(complete=False)


@pytest.mark.usefixtures("fast")
def test_a_run_goes_on_when_the_server_comes_back(
    sandbox_to_come: tuple[SandboxHandle, Callable[[], None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_TRIES_IN_A_ROW", 1_000_000)
    api, start = sandbox_to_come
    case = Case(tmp_path, api)
    begun = threading.Event()

    def come_back() -> None:
        begun.wait()
        start()

    server = threading.Thread(target=come_back)
    server.start()
    summary = case.send(on_progress=lambda *_: begun.set())
    server.join()
    assert (summary.state, summary.outcomes) == ("complete", ALL)
    assert sum(summary.calls.values()) > 0
    case.check()


def test_an_account_without_money_pauses_and_a_top_up_goes_on(
    start_sandbox: Callable[..., SandboxHandle], tmp_path: Path
) -> None:
    api = start_sandbox(balance_ugx=100)
    case = Case(tmp_path, api)
    summary = case.send()
    assert (summary.stop_reason, summary.outcomes) == (StopReason.ACCOUNT, {"planned": PEOPLE}), "the API refused"
    assert api.calls().height == 1
    case.check(complete=False)

    api.change_account(top_up_ugx=900)
    summary = case.send()
    assert (summary.stop_reason, summary.outcomes) == (StopReason.BALANCE, STOPPED_BEFORE), "no need to ask the API"
    assert api.calls()["executed_at"].null_count() == 1
    case.check(complete=False)

    api.change_account(top_up_ugx=10_000)
    assert case.send().outcomes == ALL
    case.check()


def test_a_call_that_the_api_does_later_is_not_made_a_second_time(api: SandboxHandle, tmp_path: Path) -> None:
    api.set_faults([NoAnswer(executes=True, executes_after_s=1, skip=FOURTH)])
    case = Case(tmp_path, api)
    assert case.send().outcomes == ONE_UNKNOWN
    case.send()
    unknown = case.results().filter(pl.col("outcome") == "unknown")["e164"].implode()
    while api.deliveries().filter(pl.col("e164").is_in(unknown)).is_empty():
        time.sleep(0.05)
    case.check(most_unknown=1)


class OpensSoon:
    """A window that has not opened yet, at whatever hour the test runs."""

    def __init__(self, seconds: float) -> None:
        self.opens = datetime.now(KAMPALA) + timedelta(seconds=seconds)

    def is_open(self, at: datetime) -> bool:
        return at >= self.opens

    def next_opening(self, at: datetime) -> datetime:
        return max(at.astimezone(KAMPALA), self.opens)


@pytest.mark.parametrize(("outside_window", "seconds"), [("pause", 3600), ("wait", 0.3)])
def test_outside_the_window(
    outside_window: str, seconds: float, api: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path, api, outside_window=f'"{outside_window}"')
    window = OpensSoon(seconds)
    monkeypatch.setattr(Window, "parse", lambda _: window)
    summary = case.send()
    if outside_window == "pause":
        assert (summary.stop_reason, summary.outcomes) == (StopReason.OUTSIDE_WINDOW, {"planned": PEOPLE})
    else:
        assert (summary.state, summary.outcomes) == ("complete", ALL)
        assert all(at >= window.opens for at in case.results()["sent_at"])
    case.check(complete=outside_window == "wait")


def test_it_runs_where_an_event_loop_runs_already_as_in_a_notebook(api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api)

    async def notebook() -> CampaignSummary:
        return case.send()

    assert asyncio.run(notebook()).outcomes == ALL
    case.check()


# --- signals, to a real process ---------------------------------------------------------------------------------------


@pytest.fixture
def sending_process(
    api: SandboxHandle, tmp_path: Path
) -> Iterator[tuple[Case, Callable[[float], subprocess.Popen[str]]]]:
    """A campaign, and what starts `mambo send` and waits until two calls are out, which take this long (seconds)."""
    case = Case(tmp_path, api, concurrency=2, canary_size=5)
    before = api.calls().height
    with contextlib.ExitStack() as stack:

        def start(call_s: float) -> subprocess.Popen[str]:
            api.set_faults([Delay(after_s=call_s, skip=1, times=None)])
            command = (*MAMBO, "send", case.campaign.file, "--direct", "--yes", "--json")
            process = stack.enter_context(started(*command, cwd=tmp_path, env=environment(api, case.store)))
            while api.calls().height < before + 3:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.02)
            return process

        yield case, start


STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_waits_for_the_calls_that_are_out(
    number: signal.Signals, sending_process: tuple[Case, Callable[[float], subprocess.Popen[str]]]
) -> None:
    case, start = sending_process
    process = start(0.5)
    process.send_signal(number)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 3, told
    assert f'"stop_reason": "signal", "stop_detail": "{number.name}"' in told
    case.check(complete=False)
    assert case.results().filter(pl.col("outcome") == "accepted").height > 5, "the calls that were out are accepted"

    case.api.set_faults([])
    assert case.send().outcomes == ALL
    case.check()


def test_a_second_signal_gives_up_the_calls_that_are_out_and_no_others(
    sending_process: tuple[Case, Callable[[float], subprocess.Popen[str]]],
) -> None:
    case, start = sending_process
    process = start(15)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)  # it waits for what is out
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=10)
    assert process.returncode == 3, told
    assert '"stop_reason": "signal", "stop_detail": "SIGINT, twice"' in told
    assert stop_text("signal", "SIGINT, twice") == "stopped by SIGINT, twice; the calls in flight were given up"
    unknown = case.results().filter(pl.col("outcome") == "unknown")
    assert unknown["chunk"].n_unique() == 2
    case.check(most_unknown=2, complete=False)

    case.api.set_faults([])
    assert case.send().outcomes == ALL, "they had been done, as the balance behind the next call tells"
    case.check()


def test_what_nohup_ignores_stays_ignored(api: SandboxHandle, tmp_path: Path) -> None:
    case = Case(tmp_path, api)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        summary = case.send(on_progress=lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (summary.state, summary.outcomes) == ("complete", ALL)
    case.check()
