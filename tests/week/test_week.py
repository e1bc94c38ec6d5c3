"""A week of campaigns in one folder, from Monday to Sunday, with all that may happen in one: by a real Prefect server,
`mambo serve` and the sandbox, on a clock that is moved from one event to the next.

What is to come of it stands in `WEEK`. At the end the ledger, Prefect's record and the sandbox's are held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mambo_io.ledger import Ledger
from mambo_io.sandbox import SandboxHandle
from mambo_io.sandbox.faults import Delay
from mambo_io.store import Store
from mambo_io.window import KAMPALA
from pipelines.reconciliation import cut, read_books
from pipelines.schedule import edition_of
from support.checker import check
from support.moved_clock import MONDAY, MovedClock
from support.prefect_server import PrefectServer
from support.sandboxed import UNREACHABLE, environment, people, rows
from support.served_folder import ServedFolder

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
DAY_LIMIT_UGX, BUDGET_UGX, SEGMENT_UGX = 8_000, 2_500, 50

FAST = "calls_per_second = 0\ncanary_size = 2\n"
ONE_BY_ONE = f"{FAST}chunk_size = 2\nconcurrency = 1\n"
IN_PAIRS = f"{FAST}chunk_size = 3\nconcurrency = 2\n"
AFTER_NOON = 'window = "12:00-20:00"\n'  # so that the reminders have the day's money first
# So that what has to happen between two calls does, on any machine.
SLOWLY, SLOWER = ([Delay(after_s=seconds, times=None)] for seconds in (4, 8))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def edition(name: str, *when: int) -> str:
    return f"{name}/{edition_of(at(*when), KAMPALA)}"


def reminder(day: int) -> str:
    return f"A reminder for {at(day, 0):%Y-%m-%d}."


APPROVED = edition("approved", MON, 9)
BUDGET = edition("budget", MON, 19, 30)
EVENING = edition("evening", MON, 19, 30)
PAUSED = edition("paused", MON, 19, 30)
EVERYBODY = edition("everybody", TUE, 12)
NEW = edition("new", THU, 9)
MOVED = edition("moved", THU, 9)
KILLED = edition("killed", THU, 15)
ORPHANED = edition("orphaned", THU, 15)
LATE = edition("late", THU, 18)
TWICE = edition("twice", SAT, 9)


@dataclass(frozen=True)
class Story:
    """What has become of an edition at the end of the week: on which days its people were messaged, and how its runs
    ended."""

    text: str
    people: int
    days: tuple[int, ...]
    runs: tuple[str, ...]


WEEK = {
    **{edition("reminders", day, 9): Story(reminder(day), 6, (day,), ("Completed",)) for day in range(7)},
    APPROVED: Story("approved.", 8, (MON,), ("Stopped", "Completed")),
    BUDGET: Story("budget.", 60, (MON, TUE, WED), ("Stopped", "Stopped", "Completed")),
    EVENING: Story("evening.", 40, (MON, TUE), ("Stopped", "Completed")),
    PAUSED: Story("paused.", 40, (MON, TUE), ("Stopped", "Completed")),
    EVERYBODY: Story("everybody.", 255, (TUE, WED, THU), ("Stopped", "Stopped", "Completed")),
    NEW: Story("new.", 6, (THU,), ("Completed",)),
    MOVED: Story("moved.", 6, (THU,), ("Completed",)),
    KILLED: Story("killed.", 30, (THU,), ("Crashed", "Completed")),
    ORPHANED: Story("orphaned.", 40, (THU,), ("Completed",)),
    LATE: Story("late.", 10, (), ("Skipped",)),
    TWICE: Story("twice.", 40, (SAT,), ("Completed", "Failed")),
}


@pytest.fixture
def week(
    clock: MovedClock,
    engine: PrefectServer,
    follower: dict[str, str],
    store_url: str,
    start_sandbox: Callable[..., SandboxHandle],
    tmp_path: Path,
) -> Iterator[ServedFolder]:
    """The folder as it lies there on Monday at seven."""
    api = start_sandbox(unsupported_prefix=(UNREACHABLE,))
    settings = {
        **follower,
        **environment(api, store_url),
        "PREFECT_API_URL": engine.url,
        "MAMBO_MAX_COST_PER_DAY_UGX": str(DAY_LIMIT_UGX),
    }
    folder = tmp_path / "campaigns"
    folder.mkdir()
    served = ServedFolder(folder, clock, engine, api, store_url, settings)

    def once(name: str, block: int, *when: int, sending: str, top: str = "") -> None:
        count = next(story.people for known, story in WEEK.items() if known.startswith(f"{name}/"))
        listed = people(count, block=block, unreachable=range(10, count, 11) if name == "everybody" else ())
        served.write(name, listed, schedule=f'at = "{at(*when):%Y-%m-%d %H:%M}"', sending=sending, top=top)

    write_reminders(served, MON)
    once("approved", 20, MON, 9, sending=IN_PAIRS, top='approval = "required"')
    once("budget", 21, MON, 19, 30, sending=ONE_BY_ONE)
    once("evening", 22, MON, 19, 30, sending=ONE_BY_ONE)
    once("paused", 23, MON, 19, 30, sending=ONE_BY_ONE)
    once("everybody", 24, TUE, 12, sending=f"{FAST}chunk_size = 10\n{AFTER_NOON}")
    once("moved", 25, SUN, 10, sending=IN_PAIRS)
    once("killed", 26, THU, 15, sending=IN_PAIRS)
    once("orphaned", 27, THU, 15, sending=ONE_BY_ONE)
    once("late", 28, THU, 18, sending=IN_PAIRS)
    once("twice", 29, SAT, 9, sending=ONE_BY_ONE)
    try:
        yield served
    finally:
        served.close()


@pytest.mark.timeout(900)
def test_a_week(week: ServedFolder) -> None:
    program = week.serve()
    monday(week)
    tuesday(week)
    wednesday(week)
    thursday(week)
    program.kill()
    program = week.serve()  # as a service manager does
    thursday_evening(week)
    week.stop(program)
    week.clock.move_to(at(FRI, 8))  # past the time of `late`
    program = week.serve()
    friday(week)
    saturday(week)
    sunday(week)
    week.stop(program)

    everybody_got_it_once(week)
    in_their_windows_on_their_days(week)
    to_the_shilling(week)
    went_on_by_themselves(week)


def monday(week: ServedFolder) -> None:
    """One waits for a person's yes. In the evening the window stops two, and a person another one."""
    week.come(at(MON, 9))
    reminders_went(week, MON)
    week.until_ended(APPROVED, "Stopped")
    week.mambo("approve", "approved", "--by", "Grace")
    week.until_ended(APPROVED, "Stopped", "Completed")

    week.api.set_faults(SLOWLY)
    week.come(at(MON, 19, 30))
    week.until(lambda: all(map(week.in_flight, ["budget.", "evening.", "paused."])))
    week.mambo("pause", "paused", "--by", "Grace")
    week.api.set_faults(SLOWER)
    week.until_next_call("budget.", "evening.")  # both are out when the window closes
    week.clock.move_to(at(MON, 20))
    week.api.set_faults([])
    for each in (BUDGET, EVENING, PAUSED):
        week.until_ended(each, "Stopped")


def tuesday(week: ServedFolder) -> None:
    """Two go on by themselves, one of them up to its budget, which is lower now. A person resumes what was paused. At
    noon a campaign begins that costs more than a day may."""
    file = week.folder / "budget.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[sending]", f"[sending]\nmax_cost_ugx = {BUDGET_UGX}"), encoding="utf-8")
    week.clock.move_to(at(TUE, 8))
    week.until_ended(EVENING, "Stopped", "Completed")
    week.until_ended(BUDGET, "Stopped", "Stopped")
    assert week.states(PAUSED) == ["Stopped"]
    spent_ugx = week.sent().filter(text="budget.")["charged_ugx"].sum()
    assert BUDGET_UGX - 2 * SEGMENT_UGX < spent_ugx <= BUDGET_UGX

    week.come(at(TUE, 9))
    week.mambo("resume", "paused", "--by", "Grace")
    week.until_ended(PAUSED, "Stopped", "Completed")
    reminders_went(week, TUE)

    week.come(at(TUE, 12))
    week.until_ended(EVERYBODY, "Stopped")


def wednesday(week: ServedFolder) -> None:
    """A new file comes into the folder, and another one names an earlier time. A person raises the budget, and starts
    what waited for that. What costs more than a day may goes on at noon."""
    week.come(at(WED, 9))
    reminders_went(week, WED)
    schedule = f'at = "{at(THU, 9):%Y-%m-%d %H:%M}"'
    week.write("new", people(6, block=30), schedule=schedule, sending=IN_PAIRS)
    week.write("moved", people(6, block=25), schedule=schedule, sending=IN_PAIRS)
    week.until(lambda: week.is_scheduled("new", at(THU, 9)))  # the folder was looked at
    assert week.states(BUDGET) == ["Stopped", "Stopped"]
    file = week.folder / "budget.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("max_cost_ugx", "# max_cost_ugx"), encoding="utf-8")
    week.engine.start("send-campaign/budget", edition=BUDGET.partition("/")[2])
    week.until_ended(BUDGET, "Stopped", "Stopped", "Completed")

    week.clock.move_to(at(WED, 12))
    week.until_ended(EVERYBODY, "Stopped", "Stopped")


def thursday(week: ServedFolder) -> None:
    """A sender is killed in the middle of two calls, and goes on at once. Two work on when `mambo serve` is killed."""
    week.come(at(THU, 9))
    for each in (NEW, MOVED):
        week.until_ended(each, "Completed")
    reminders_went(week, THU)
    week.clock.move_to(at(THU, 12))
    week.until_ended(EVERYBODY, "Stopped", "Stopped", "Completed")

    week.api.set_faults(SLOWLY)
    week.come(at(THU, 15))
    week.until(lambda: week.in_flight("killed.") == 2)
    week.kill_sender(KILLED)
    week.until(lambda: week.states(KILLED) == ["Crashed", "Running"])
    week.until_next_call("killed.")
    week.until_next_call("orphaned.")


def thursday_evening(week: ServedFolder) -> None:
    """It has been started anew. The senders are at work still, and get no second ones beside them."""
    week.until_next_call("orphaned.")
    week.api.set_faults([])
    week.until_ended(ORPHANED, "Completed")
    week.until_ended(KILLED, "Crashed", "Completed")
    assert "2 calls of an ended process are unknown" in week.mambo("events", "killed")  # which the money told, then


def friday(week: ServedFolder) -> None:
    """What was due while nothing ran is skipped."""
    week.until_ended(LATE, "Skipped")
    week.come(at(FRI, 9))
    reminders_went(week, FRI)


def saturday(week: ServedFolder) -> None:
    """The folder is served twice, and one edition is started by a person while it is being sent."""
    second = week.serve()
    week.api.set_faults(SLOWLY)
    week.come(at(SAT, 9))
    week.until(lambda: week.in_flight("twice.") > 0)
    again = week.engine.start("send-campaign/twice", edition=TWICE.partition("/")[2])
    week.until(lambda: week.engine.final_state(again) is not None)
    week.api.set_faults([])
    week.until_ended(TWICE, "Completed", "Failed")
    reminders_went(week, SAT)
    week.stop(second)


def sunday(week: ServedFolder) -> None:
    week.come(at(SUN, 9))
    reminders_went(week, SUN)


def write_reminders(week: ServedFolder, day: int) -> None:
    """The list of those who come that day: other people each time."""
    head, *numbers = people(6, block=10 + day).split()
    listed = [f"{head},day", *(f"{number},{at(day, 0):%Y-%m-%d}" for number in numbers)]
    top = 'message = "A reminder for {day}."'
    week.write("reminders", "\n".join([*listed, ""]), schedule='cron = "0 9 * * *"', sending=IN_PAIRS, top=top)


def reminders_went(week: ServedFolder, day: int) -> None:
    """Today's were sent; the clinic writes tomorrow's list."""
    week.until_ended(edition("reminders", day, 9), "Completed")
    write_reminders(week, day + 1)


def everybody_got_it_once(week: ServedFolder) -> None:
    with Store(week.store) as opened:
        assert {row.label: row.state for row in Ledger(opened).campaigns()} == {
            label: "skipped" if label == LATE else "complete" for label in WEEK
        }
    for label, story in WEEK.items():
        name, its_edition = label.split("/")
        listed = rows(story.people) if story.days else ()  # the list of a skipped one is not read
        check(week.store, week.api, name, its_edition, rows=listed)
    assert {label: week.states(label) for label in WEEK} == {label: list(story.runs) for label, story in WEEK.items()}


def in_their_windows_on_their_days(week: ServedFolder) -> None:
    sent = week.sent()
    days = {
        text: sorted({(when.date() - MONDAY.date()).days for when in its["at"]})
        for (text,), its in sent.group_by("text")
    }
    assert days == {story.text: list(story.days) for story in WEEK.values() if story.days}
    noon = pl.when(pl.col("text") == "everybody.").then(12).otherwise(8)
    assert sent.filter(~pl.col("at").dt.hour().is_between(noon, 20, closed="left")).is_empty()


def to_the_shilling(week: ServedFolder) -> None:
    campaigns = {story.text: label.partition("/")[0] for label, story in WEEK.items()}
    sent = week.sent().with_columns(
        pl.col("at").dt.date().alias("day"), pl.col("text").replace_strict(campaigns).alias("campaign")
    )
    truth = sent.group_by("day", "campaign").agg(pl.col("charged_ugx").sum()).sort("day", "campaign")
    with Store(week.store) as opened:
        told = cut(read_books(opened), "day", "campaign").select("day", "campaign", "charged_ugx")
    assert told.drop_nulls().to_dicts() == truth.to_dicts()
    assert truth["charged_ugx"].sum() == week.api.account().charged_ugx
    week.mambo("reconcile", "--from", f"{at(MON, 0):%Y-%m-%d}", "--to", f"{at(SUN, 0):%Y-%m-%d}")  # nothing differs

    by_day = {day: its["charged_ugx"].sum() for (day,), its in truth.group_by("day")}
    assert max(by_day.values()) <= DAY_LIMIT_UGX
    for day in (TUE, WED):  # not one further call had room
        assert DAY_LIMIT_UGX - by_day[at(day, 0).date()] < 10 * SEGMENT_UGX


def went_on_by_themselves(week: ServedFolder) -> None:
    assert sorted(week.went_on()) == [
        (APPROVED, "approved by a person"),
        (BUDGET, "outside_window"),
        (EVENING, "outside_window"),
        (EVERYBODY, "day_budget"),
        (EVERYBODY, "day_budget"),
        (KILLED, "its process ended"),
        (PAUSED, "resumed by a person"),
    ]
