"""The key, the passwords and the numbers of a campaign, searched for in everything that a run leaves behind.

The ledger and the results hold numbers, which is their purpose, and no secret. A run through the engine is looked
through in `tests/flows/test_flow_secrets.py`.
"""

from __future__ import annotations

import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from support import canaries, raw_server
from support.canaries import API_KEY, PASSWORD, STORE_PASSWORD, Found, files_in, rows_in, search
from support.cli import campaign_toml
from support.processes import MAMBO, mambo, run, started

SEND = ("send", "clinic-day.toml", "--direct", "--yes")


@dataclass
class Run:
    """A campaign of canaries in a folder and a home folder of its own, with its ledger in PostgreSQL."""

    folder: Path
    home: Path
    store: str
    postgres_url: str  # of the same database, for the tests
    environment: dict[str, str] = field(default_factory=dict)
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def use(self, url: str) -> None:
        self.environment = {
            "HOME": str(self.home),
            "MAMBO_BASE_URL": url,
            "MAMBO_API_KEY": API_KEY,
            "MAMBO_USERNAME": "jane@example.com",
            "MAMBO_PASSWORD": PASSWORD,
            "MAMBO_STORE": self.store,
        }

    def __call__(self, *arguments: str) -> int:
        found = mambo(*arguments, cwd=self.folder, env=self.environment)
        self.said += [("stdout", found.stdout.encode()), ("stderr", found.stderr.encode())]
        return found.returncode

    @property
    def log(self) -> str:
        (log,) = self.home.rglob("mambo.log")
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        return log.read_text(encoding="utf-8")

    def leaks(self) -> list[Found]:
        """Canaries in what was said, in the home folder with its log, beside the campaign, and in the ledger."""
        beside = ((name, content) for name, content in files_in(self.folder) if not name.endswith("people.csv"))
        return [
            *search(iter(self.said)),
            *search(files_in(self.home)),
            *search(beside),
            *search(rows_in(self.postgres_url), numbers=False),
        ]


@pytest.fixture
def sent(tmp_path: Path, postgres_url: str) -> Run:
    folder, home = tmp_path / "campaign", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "people.csv").write_text(canaries.people(6))
    sending = {"chunk_size": 1, "canary_size": 1, "concurrency": 1}
    (folder / "clinic-day.toml").write_text(campaign_toml(sending=sending))
    return Run(folder, home, canaries.store(postgres_url), postgres_url)


@pytest.fixture(scope="module")
def api(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(api_key=API_KEY, username="jane@example.com", password=PASSWORD)


def test_a_run_that_succeeds(sent: Run, api: SandboxHandle) -> None:
    sent.use(api.url)

    assert [sent(*SEND), sent("balance"), sent("status")] == [0] * 3

    assert api.deliveries().height == 6, "the key was the right one"
    assert "clinic-day/1: a run begins" in sent.log
    assert "clinic-day/1: complete" in sent.log
    assert [sent("report", "--output", f"report.{ending}") for ending in ("html", "csv")] == [0, 0]
    assert sent.leaks() == []

    assert sent("results", "clinic-day", "--output", "results.csv") == 0
    assert {Path(leak.where).name for leak in sent.leaks()} == {"results.csv"}
    assert search(files_in(sent.folder), numbers=False) == []


def echoing(status: str, reply: str) -> raw_server.Behaviour:
    """Answer with all that was asked, head and body, where `reply` says `…`."""

    async def behave(call: raw_server.Call) -> None:
        await call.request()
        asked = call.requests[-1].decode().replace("\\", "\\\\").replace('"', '\\"').replace("\r\n", "\\n")
        await call.say(raw_server.http(reply.replace("…", asked).encode(), status))

    return behave


@pytest.mark.parametrize(
    ("status", "reply", "stop"),
    [
        pytest.param("401 Unauthorized", '{"statusCode": 401, "success": false, "messages": ["no: …"], "data": []}',
                     "account", id="refused account"),
        pytest.param("400 Bad Request", '{"statusCode": 400, "success": false, "messages": ["no: …"], "data": []}',
                     "refused_in_a_row", id="refused calls"),
        pytest.param("500 Internal Server Error", "<html>…</html>", "unknown_in_a_row", id="unknown calls"),
    ],
)  # fmt: skip
def test_a_run_that_fails_at_a_server_that_repeats_what_it_is_told(
    sent: Run, status: str, reply: str, stop: str
) -> None:
    with raw_server.serving(echoing(status, reply)) as server:
        sent.use(server.url)

        assert sent(*SEND) == 3
        assert sent("status", "--json") == 3
        assert sent("report", "--output", "report.html") == 0
        heard = b"".join(server.requests)
    assert search(iter([("the server", heard)])), "it was told the canaries, and so could repeat them"
    assert f"clinic-day/1: paused, {stop}" in sent.log
    assert ("clinic-day/1/c0001: unknown, " in sent.log) == (stop == "unknown_in_a_row")
    assert sent.leaks() == []


def test_a_run_that_is_killed(sent: Run, api: SandboxHandle) -> None:
    sent.use(api.url)
    before = api.calls().height
    api.set_faults([Delay(after_s=60, skip=1)])

    with started(*MAMBO, *SEND, cwd=sent.folder, env=sent.environment) as process:
        while api.calls().height < before + 2:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        sent.said.append(("output", process.stdout.read().encode()))
    api.set_faults([])

    assert sent("status") == 3
    assert "clinic-day/1: a run begins" in sent.log
    assert sent.leaks() == []
    assert sent(*SEND) in (0, 3), "settled by the balance, or not"
    assert sent.log.count("clinic-day/1: a run begins") == 2
    assert sent.leaks() == []


DEFECT = """
import os
from pipelines import prepare
from pipelines.cli import main

def defect(*_):
    try:
        raise KeyError(os.environ["MAMBO_API_KEY"])
    except KeyError as error:
        raise ValueError(os.environ["MAMBO_PASSWORD"], os.environ["MAMBO_STORE"], open("people.csv").read()) from error

prepare.load_recipients = defect
main()
"""


def test_a_defect_whose_exception_holds_all_of_it(sent: Run, api: SandboxHandle) -> None:
    sent.use(api.url)

    found = run(sys.executable, "-c", DEFECT, *SEND, cwd=sent.folder, env=sent.environment)

    assert found.returncode == 1
    for told in (found.stderr, sent.log):
        assert "in defect" in told
        assert "KeyError\nand then\n" in told
        assert "ValueError\n" in told
    assert f"with {next(sent.home.rglob('mambo.log'))}, which holds" in found.stderr
    sent.said.append(("stderr", found.stderr.encode()))
    assert sent.leaks() == []


@pytest.mark.parametrize(
    "planted",
    [
        API_KEY,
        canaries.people(1),
        "+256772900000",
        '{"key": "canary\\/key\\"<7f31&\\\\"}',
        "canary/password&quot;&lt;c902&amp;\\",
        f"postgresql://jane:{quote(STORE_PASSWORD, safe='')}@127.0.0.1/ledger",
    ],
    ids=["key", "07…", "+256…", "as PHP writes JSON", "in HTML", "in a URL"],
)
def test_the_search_finds_what_is_there(sent: Run, planted: str) -> None:
    (sent.home / "other.log").write_text(f"2026-11-22 {planted} and more")

    assert {Path(leak.where).name for leak in sent.leaks()} == {"other.log"}


def test_the_search_looks_into_the_ledger_too(sent: Run) -> None:
    with canaries.connect(sent.postgres_url) as connection:
        connection.execute("CREATE TABLE replies (raw TEXT)")
        connection.execute("INSERT INTO replies VALUES (%s)", [f"no: {API_KEY}"])

    assert sent.leaks() == [Found(API_KEY, "replies")]
