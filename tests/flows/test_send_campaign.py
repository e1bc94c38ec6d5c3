"""The flow `send_campaign`, run against a real Prefect server and a real sandbox; the server is asked afterwards."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mambo_io import control
from mambo_io.errors import InputError, Stopped
from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Status, SuccessFalse
from mambo_io.settings import load_settings
from mambo_io.store import Store
from pipelines import flows
from pipelines import prepare as steps
from pipelines.edition import Loaded
from pipelines.engine import send_through_engine
from pipelines.summary import CampaignSummary
from support.checker import check
from support.lists import campaign_of
from support.prefect_server import PrefectServer
from support.sandboxed import environment, people, rows

pytestmark = pytest.mark.xdist_group("engine")

STEPS = [
    "load-recipients",
    "normalize-numbers",
    "validate-recipients",
    "estimate-cost",
    "chunk-recipients",
    "send-chunks",
    "write-results",
]
API_KEY = "a-key-that-nobody-may-see"
PEOPLE = 30


@pytest.fixture(scope="module")
def running_sandbox(start_sandbox: Callable[..., SandboxHandle]) -> SandboxHandle:
    return start_sandbox(balance_ugx=10_000_000, api_key=API_KEY)


@pytest.fixture
def api(running_sandbox: SandboxHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxHandle:
    """The sandbox that this process' settings point at, with an empty ledger."""
    running_sandbox.set_faults([])
    for name, value in environment(running_sandbox, str(tmp_path / "ledger.db")).items():
        monkeypatch.setenv(name, value)
    return running_sandbox


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """`write(name, block, **keys of [sending])` writes a campaign of its own people; gives its file."""

    def write(name: str, block: int, *, count: int = PEOPLE, **keys: object) -> str:
        given = {"window": '"any"', "calls_per_second": 0, "chunk_size": 10, "canary_size": 5, "concurrency": 1, **keys}
        sections = "\n".join(["[sending]", *(f"{key} = {value}" for key, value in given.items())])
        message = f"Hello from {name}."
        campaign = campaign_of(tmp_path, people(count, block=block), name=name, message=message, sections=sections)
        return str(campaign.file)

    return write


def test_a_run_shows_its_steps_and_the_sums(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str], tmp_path: Path
) -> None:
    file = write("steps", 1)
    summary = flows.send_campaign(file, output=str(tmp_path / "results.csv"))
    assert isinstance(summary, CampaignSummary)
    assert summary.outcomes == {"accepted": PEOPLE}
    check(str(tmp_path / "ledger.db"), api, "steps", rows=rows(PEOPLE))

    run = engine.run("steps/1")
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "Completed")
    tasks = engine.task_runs(run, len(STEPS))
    assert [task["name"] for task in tasks] == STEPS
    assert {task["state_name"] for task in tasks} == {"Completed"}
    assert {task["empirical_policy"]["retries"] for task in tasks} == {0}
    assert run["empirical_policy"]["retries"] == 0
    assert run["run_count"] == 1

    [table] = engine.artifacts("summary-steps")
    assert json.loads(table["data"]) == [
        {"figure": "accepted", "value": PEOPLE, "unit": "recipients"},
        {"figure": "estimated", "value": PEOPLE * 50, "unit": "UGX"},
        {"figure": "charged", "value": PEOPLE * 50, "unit": "UGX"},
    ]
    [progress] = engine.artifacts("progress-steps")
    assert progress["data"] == 100
    assert pl.read_csv(tmp_path / "results.csv").height == PEOPLE


def test_a_second_run_sends_nothing(engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]) -> None:
    file = write("twice", 2)
    first = flows.send_campaign(file)
    calls = api.calls().height
    assert flows.send_campaign(file) == first
    assert api.calls().height == calls
    second = engine.run("twice/1")
    assert second["state_name"] == "Completed"
    assert [task["name"] for task in engine.task_runs(second, 2)] == ["send-chunks", "write-results"]
    assert len(engine.artifacts("progress-twice")) == 1, "nothing went on in the second run"


def test_a_run_with_work_left_has_failed_as_stopped_and_the_next_one_goes_on(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str], tmp_path: Path
) -> None:
    file = write("stopped", 3)
    api.set_faults([Status(http_status=401, skip=2)])
    with pytest.raises(Stopped) as stopped:
        flows.send_campaign(file)
    state = engine.run("stopped/1")["state"]
    assert (state["type"], state["name"], state["message"]) == ("FAILED", "Stopped", stopped.value.message)
    assert "stopped/1: 10 accepted, 20 planned; UGX 500 of 1,500." in state["message"]
    assert "Stopped: the API refuses the account or its key" in state["message"]
    assert state["message"].endswith(f"Next: mambo send {file}")

    api.set_faults([])
    assert isinstance(flows.send_campaign(file), CampaignSummary), "nothing is left to do"
    assert engine.run("stopped/1")["state_name"] == "Completed"
    last = max(engine.artifacts("progress-stopped"), key=lambda artifact: artifact["updated"])
    assert last["data"] == 100, "counted over both runs"
    check(str(tmp_path / "ledger.db"), api, "stopped", rows=rows(PEOPLE))


def test_unknown_calls_are_work_left(engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]) -> None:
    file = write("unknown", 4)
    api.set_faults([Status(http_status=500, skip=2)])
    with pytest.raises(Stopped):
        flows.send_campaign(file)
    with pytest.raises(Stopped):
        flows.send_campaign(file)
    assert [run["state_name"] for run in engine.runs("unknown/1")] == ["Stopped", "Stopped"]
    assert (
        api.calls().filter(pl.col("message") == "Hello from unknown.").height
        == api.deliveries().filter(pl.col("text") == "Hello from unknown.")["call_id"].n_unique()
    )


def test_an_edition_has_a_run_name_of_its_own(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]
) -> None:
    flows.send_campaign(write("editions", 5), "march")
    assert engine.run("editions/march")["state_name"] == "Completed"


def test_changed_content_fails_and_says_what_changed(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]
) -> None:
    file = write("changed", 6)
    api.set_faults([Status(http_status=401, skip=2)])
    with pytest.raises(Stopped):
        flows.send_campaign(file)
    write("changed", 7)
    with pytest.raises(InputError, match=r"changed/1 has begun, and the recipients in people.csv changed since"):
        flows.send_campaign(file)
    state = engine.run("changed/1")["state"]
    assert (state["type"], state["name"]) == ("FAILED", "Failed")
    assert "the recipients in people.csv changed since" in state["message"]


def test_what_was_not_approved_is_not_sent(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]
) -> None:
    calls = api.calls().height
    with pytest.raises(InputError, match="not what was approved"):
        flows.send_campaign(write("approved", 8), approved="the digest of another estimate")
    assert engine.run("approved/1")["state_name"] == "Failed"
    assert api.calls().height == calls


def _no_file(file: str) -> None:
    Path(file).unlink()


def _no_toml(file: str) -> None:
    Path(file).write_text("name = wrong", encoding="utf-8")


def _no_column(file: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    Path(file).write_text(text.replace("Hello from", "Hello {first_name} from"), encoding="utf-8")


def _over_budget(file: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    Path(file).write_text(text.replace("[sending]", "[sending]\nmax_cost_ugx = 100"), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_no_file, "there is no such campaign file"),
        (_no_toml, "line 1 cannot be read"),
        (_no_column, "no such column"),
        (_over_budget, "max_cost_ugx is 100"),
    ],
)
def test_wrong_input_fails_and_says_what_is_wrong(
    spoil: Callable[[str], None], told: str, engine: PrefectServer, api: SandboxHandle, write: Callable[..., str]
) -> None:
    name = spoil.__name__.strip("_").replace("_", "-")
    file, calls = write(name, 9), api.calls().height
    spoil(file)
    with pytest.raises(InputError, match=told):
        flows.send_campaign(file)
    state = engine.run(f"{name}/1")["state"]
    assert (state["type"], state["name"]) == ("FAILED", "Failed")
    assert told in state["message"]
    assert api.calls().height == calls


# --- what the engine gets to know -------------------------------------------------------------------------------------


def test_no_number_and_no_secret_reaches_the_engine(
    engine: PrefectServer,
    api: SandboxHandle,
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [line[1:] for line in people(PEOPLE, block=10).split()[1:]]  # without the 0 in front: in every form

    # It completes; it stops at a reply that quotes a number and the key; the input is wrong where a number stands.
    flows.send_campaign(write("private", 10), output=str(tmp_path / "results.csv"))
    write("private-stopped", 10)
    api.set_faults([SuccessFalse(message=f"0{numbers[0]} is not in order, key {API_KEY}", status_code=401)])
    with pytest.raises(Stopped):
        flows.send_campaign(str(tmp_path / "private-stopped.toml"), allow_repeat=True)
    file = Path(write("private-wrong", 10))
    file.write_text(file.read_text(encoding="utf-8").replace("Hello", f"Hello {{0{numbers[0]}}}"), encoding="utf-8")
    with pytest.raises(InputError, match="no such column"):
        flows.send_campaign(str(file), allow_repeat=True)

    # And there is a defect, whose exception holds a row.
    def defect(*_: Any) -> Any:
        raise ValueError(f"row 2: 0{numbers[0]} {API_KEY[:0]}")

    monkeypatch.setattr(steps, "validate", defect)
    write("private-defect", 10)
    with pytest.raises(RuntimeError, match=r"ValueError$"):
        flows.send_campaign(str(tmp_path / "private-defect.toml"), allow_repeat=True)

    engine.task_runs(engine.run("private/1"), len(STEPS))  # all is recorded
    known = engine.everything()
    # What this looks for would be found: the message of a pickled exception, a log, a parameter, an artifact's text.
    for told in ("no such column", ", in defect", "private-defect.toml", "is not in order, key"):
        assert told.encode() in known, told
    for secret in (API_KEY, api.password, *numbers):
        assert secret.encode() not in known


def test_nothing_of_a_list_or_a_text_reaches_the_engine_and_all_of_an_error_its_own_terminal(
    engine: PrefectServer,
    api: SandboxHandle,
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list without column names, a text with a slip in it, a defect whose exception holds a row."""
    names, text, defect = (write(f"untold-{what}", 10) for what in ("names", "text", "defect"))
    (tmp_path / "people.csv").write_text("n/a,Zebediahx Okellox,HIV positivex\n0772123401,a,b\n", encoding="utf-8")
    for file, old, new in (
        (names, "[recipients]", '[recipients]\nphone = "phone"'),
        (text, "Hello from", "Dear {first_name, your hivresultx from"),
    ):
        Path(file).write_text(Path(file).read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")  # or it would quieten this process
    with pytest.raises(InputError) as outline:
        flows.send_campaign(names)
    full = []
    for file in (names, text):
        with pytest.raises(InputError) as told_here:  # as `mambo send` does it
            send_through_engine(
                Path(file),
                load_settings(),
                edition="1",
                approved=None,
                allow_repeat=False,
                accept_canary=False,
                command="mambo send",
                on_progress=lambda *_: None,
            )
        full.append(told_here.value.message)

    quoted = ["Zebediahx", "Okellox", "positivex", "your hi"]
    assert outline.value.message == f"{names}, [recipients] phone: is no column of people.csv"
    assert full[0].endswith("Its columns: n/a, Zebediahx Okellox, HIV positivex.")
    assert "'{first_name, your hi'" in full[1]

    def fail(*_: Any) -> Any:
        raise ValueError(f"row 2: {quoted}")

    monkeypatch.setattr(steps, "load_recipients", fail)
    with pytest.raises(RuntimeError, match=r"ValueError$"), flows.told_in_full():
        flows.send_campaign(defect)

    for name in ("names", "text", "defect"):
        engine.runs(f"untold-{name}/1")
    known = engine.everything()
    for told in ("is no column of people.csv", "(character 6 of the text)", ", in fail"):
        assert told.encode() in known, told
    assert [each for each in quoted if each.encode() in known] == []


def test_frames_are_passed_on_as_they_are_and_nothing_keeps_them(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine looks into what tasks are given and give back, for futures; it copies and keeps nothing of it."""
    given: list[pl.LazyFrame] = []
    gave: list[weakref.ref[pl.LazyFrame]] = []
    load, normalize = steps.load_recipients, steps.normalize

    def watched_load(campaign: Any) -> Any:
        loaded = load(campaign)
        gave.append(weakref.ref(loaded.source))
        return loaded

    def watched_normalize(campaign: Any, loaded: Loaded) -> pl.DataFrame:
        given.append(loaded.source)
        return normalize(campaign, loaded)

    monkeypatch.setattr(steps, "load_recipients", watched_load)
    monkeypatch.setattr(steps, "normalize", watched_normalize)
    storage = engine.home / "storage"
    before = set(storage.iterdir()) if storage.exists() else set()
    flows.send_campaign(write("frames", 11))
    assert given.pop() is gave[0]()
    gc.collect()
    assert gave[0]() is None, "something holds the frame after the run"
    assert (set(storage.iterdir()) if storage.exists() else set()) == before


def test_a_run_that_awaits_approval_or_is_paused_stops_and_the_next_one_goes_on(
    engine: PrefectServer, api: SandboxHandle, write: Callable[..., str], tmp_path: Path
) -> None:
    file = Path(write("approved", 40))
    file.write_text('approval = "required"\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(Stopped, match=r"nobody has approved what is planned\. Next: mambo approve approved"):
        flows.send_campaign(str(file))
    with Store(str(tmp_path / "ledger.db")) as store, store.writer() as connection:
        campaign = Ledger(store).get("approved")
        control.approve(connection, campaign, who="Grace", digest=None, now=datetime.now(UTC))
        control.hold(connection, campaign, who="Grace", note=None, now=datetime.now(UTC))
    with pytest.raises(Stopped, match="A person has paused it"):
        flows.send_campaign(str(file))
    assert {engine.run("approved/1")["state_name"]} == {"Stopped"}
    assert api.deliveries().filter(pl.col("text") == "Hello from approved.").is_empty()

    with Store(str(tmp_path / "ledger.db")) as store, store.writer() as connection:
        control.resume(connection, campaign, who="Grace", note=None, now=datetime.now(UTC))
    assert isinstance(summary := flows.send_campaign(str(file)), CampaignSummary)
    assert summary.outcomes == {"accepted": PEOPLE}
