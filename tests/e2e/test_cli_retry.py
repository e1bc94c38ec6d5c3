"""`mambo retry`: refused calls are planned again by a person's word, and `mambo send` goes on with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Status
from mambo_io.store import Store
from support.cli import SENDABLE, Cli, numbers_of

SEND = ("send", "clinic-day.toml", "--direct", "--yes")
RETRY = ("retry", "clinic-day", "--refused", "--by", "Grace")


@pytest.fixture(scope="module")
def sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox()


@pytest.fixture
def refused(cli: Cli, sandbox: SandboxHandle, store_url: str) -> Cli:
    """A campaign that is complete, and all of it refused."""
    cli.use(sandbox)
    cli.set(STORE=store_url)
    cli.campaign()
    sandbox.set_faults([Status(http_status=400, messages=["The sender ID is not registered"], times=None)])
    assert cli(*SEND).pairs()["refused"] == str(SENDABLE)
    sandbox.set_faults([])
    return cli


def test_it_is_planned_again_and_sent(refused: Cli) -> None:
    nothing = refused(*SEND)
    assert (nothing.code, nothing.pairs()["refused"]) == (3, str(SENDABLE)), "by itself it is not sent again"
    assert nothing.out.startswith("clinic-day/1  complete: the API refused calls; correct the cause and retry them")
    assert "(http_400: The sender ID is not registered)\n" in nothing.out
    assert nothing.next_command == ["retry", "clinic-day", "--edition", "1", "--refused", "--by", "NAME"]
    assert refused("status").code == 3
    assert "complete (refused_calls)\n" in refused("status").out

    said = refused(*nothing.next_command[:-1], "Grace")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("1 API call to 3 people planned again in clinic-day/1.\n")
    assert said.next_command == ["send", "clinic-day.toml", "--direct"]
    assert refused("status", "clinic-day").pairs()["planned"] == str(SENDABLE)

    assert refused(*said.next_command, "--yes").pairs()["accepted"] == str(SENDABLE)
    assert refused("status", "clinic-day").code == 0


def test_a_stop_for_refusals_leads_to_the_retry(cli: Cli, sandbox: SandboxHandle, store_url: str) -> None:
    cli.use(sandbox)
    cli.set(STORE=store_url)
    cli.campaign(numbers_of(6), sending={"chunk_size": 2, "canary_size": 2, "concurrency": 1})
    sandbox.set_faults([Status(http_status=400, messages=["The sender ID is not registered"], times=2)])
    stopped = cli(*SEND)
    assert stopped.out.count("paused: the API refused several calls in a row (http_400: The sender ID") == 1
    retry = ["retry", "clinic-day", "--edition", "1", "--refused", "--by", "NAME"]
    assert (stopped.code, stopped.next_command) == (3, retry)

    rest = cli(*SEND)  # whoever goes on all the same is told at the end
    assert (rest.code, rest.pairs()["accepted"], rest.next_command) == (3, "2", retry)


def test_they_may_be_left_out_for_good(refused: Cli) -> None:
    said = refused("cancel", "clinic-day", "--by", "Grace")
    assert said.out == "clinic-day/1 is cancelled: 1 API call to 3 people will not be made.\n"
    status = refused("status", "clinic-day")
    assert (status.code, status.pairs()["refused"]) == (0, str(SENDABLE))
    assert "Next: " not in status.out
    assert refused.refused(*RETRY) == "clinic-day/1: is cancelled, and its calls stay as they are"


def test_while_it_is_being_sent_nothing_changes(refused: Cli, store_url: str) -> None:
    with Store(store_url) as store, store.writer() as connection, store.lock("clinic-day/1", connection):
        assert "another process is sending clinic-day/1" in refused.refused(*RETRY)
    assert refused("status", "clinic-day").pairs()["refused"] == str(SENDABLE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("retry", "clinic-day", "--by", "Grace"), "needs --refused"),
        (("retry", "clinic-day", "--refused", "--by", " "), "needs a name in --by"),
        (("retry", "clinic-day", "--refused"), "--by"),
        (("retry", "clinic-dya", "--refused", "--by", "Grace"), "Did you mean clinic-day?"),
        ((*RETRY, "--edition", "2"), "clinic-day has no edition 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_told(refused: Cli, arguments: tuple[str, ...], told: str) -> None:
    assert told in refused.refused(*arguments)


def test_where_nothing_was_refused(cli: Cli, sandbox: SandboxHandle) -> None:
    cli.use(sandbox)
    cli.campaign()
    assert cli(*SEND).code == 0
    assert cli.refused(*RETRY) == "clinic-day/1: the API has refused no call of it"
