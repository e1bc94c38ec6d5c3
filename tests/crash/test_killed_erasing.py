"""`mambo store archive`, `bring-back` and `mambo erase`, killed: nobody is lost, and in the end nobody is left.

After every kill all readers say what they said before; when it is ended, no file has anything of the people.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import TimeoutExpired

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mambo_io.ledger import Ledger
from mambo_io.model import CampaignState
from mambo_io.store import Store
from pipelines import reconciliation
from pipelines.archive import archive
from support.database_files import DatabaseFiles
from support.kills import kill_seed
from support.ledgers import NOON, Run, good_reply, plan
from support.postgres import PostgresServer
from support.processes import MAMBO, mambo, run, started
from support.rigged_mambo import RIGGED

PERSONAL = ("phone_raw", "e164", "message", "first_name")
ARCHIVE = ("store", "archive", "clinic-day", "--output", "archive", "--by", "Amos")
BRING_BACK = ("store", "bring-back", "clinic-day", "--by", "Amos")
ERASE = ("erase", "clinic-day", "--by", "Amos", "--yes")
EDITIONS = max(1, int(os.environ.get("KILLS", "0")) // 16)  # each with twelve kills at most


@dataclass
class Hunted:
    """Campaigns that were sent: editions of clinic-day, to be archived and erased, and flour-day, which stays."""

    files: DatabaseFiles
    people: int
    editions: int = 1
    kills: int = 0
    seen: dict[str, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with Store(self.files.url, create=True) as store, store.writer() as connection:
            to_send = [("clinic-day", f"{edition + 1}", "Zebedee", 772) for edition in range(self.editions)]
            for name, edition, first_name, network in (*to_send, ("flour-day", "1", "Wilhelmina", 701)):
                sizes = [self.people // 5] * 5
                kept = {"first_name": [first_name] * self.people}
                planned = plan(*sizes, name=name, edition=edition, message=f"Of {name}.", kept=kept)
                numbers = [f"{network}{row:06d}" for row in range(self.people)]
                [recipients] = planned.recipients
                recipients = recipients.with_columns(
                    e164="+256" + pl.Series(numbers), phone_raw="0" + pl.Series(numbers)
                )
                sent = Run.of(connection, replace(planned, recipients=[recipients]))
                for call in sent.claim(len(sizes)):
                    sent.settle(call, good_reply(call))
                sent.sender.finish(CampaignState.COMPLETE, None, NOON)
        self.seen = self.look()

    def look(self) -> dict[str, pl.DataFrame]:
        """What is read; of the people of a campaign that is being erased, what is not personal."""
        with Store(self.files.url) as store:
            ledger, books = Ledger(store), reconciliation.read_books(store)
            frames = {
                "people": reconciliation.by_reason(books),
                "campaigns": reconciliation.by_campaign(books),
                "networks": reconciliation.by_network(books),
                "calls": reconciliation.by_call(books).drop("messages"),
                "balances": reconciliation.balance_chain(books),
            }
            for campaign in ledger.campaigns():
                results = ledger.results(campaign)
                frames[campaign.label] = results if campaign.erased_at is None else results.drop(PERSONAL)
        return frames

    def check(self) -> None:
        for name, frame in self.look().items():
            assert_frame_equal(frame, self.seen[name].select(frame.columns))

    def kill_at(self, point: str, command: tuple[str, ...]) -> None:
        done = run(*RIGGED, "--at", point, *command, cwd=self.files.folder, env=self.environment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        self.kills += 1
        self.check()

    def kill_after(self, after_s: float, command: tuple[str, ...]) -> bool:
        """False when it had come to its end before."""
        with started(*MAMBO, *command, cwd=self.files.folder, env=self.environment) as process:
            try:
                process.wait(after_s)
            except TimeoutExpired:
                process.kill()
                process.wait()
        self.check()
        self.kills += process.returncode == -signal.SIGKILL
        return process.returncode == -signal.SIGKILL

    def end(self, command: tuple[str, ...]) -> float:
        """How long it took, in seconds."""
        began = time.monotonic()
        done = mambo(*command, cwd=self.files.folder, env=self.environment)
        took_s = time.monotonic() - began
        assert done.returncode == 0 or "is not archived" in done.stderr, done.stderr
        self.check()
        return took_s

    def archive(self) -> None:
        """In this process, which is quicker."""
        with Store(self.files.url) as store:
            campaign = Ledger(store).get("clinic-day")
            archive(store, [campaign], self.files.folder / "archive", who="Amos", now=datetime.now(UTC))
        self.check()

    def archived(self) -> set[Path]:
        return {path for path in (self.files.folder / "archive").rglob("*") if path.is_file()}

    def nobody_is_left(self) -> None:
        sought = {"Zebedee", "Of clinic-day.", *(f"772{row:06d}" for row in range(0, self.people, self.people // 5))}
        others = {"Wilhelmina", "Of flour-day.", *(each.replace("772", "701") for each in sought if each.isdecimal())}
        assert self.files.found(sought | others) == others
        assert self.archived() == set()

    @property
    def environment(self) -> dict[str, str]:
        return {"MAMBO_STORE": self.files.url}


@pytest.fixture(params=["sqlite", "postgresql"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseFiles:
    if request.param == "sqlite":
        return DatabaseFiles(str(tmp_path / "ledger.db"), tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return DatabaseFiles(request.getfixturevalue("postgres_url"), tmp_path, server)


def test_killed_between_file_and_ledger_nobody_is_lost_before_and_nobody_left_after(files: DatabaseFiles) -> None:
    """The points at which the two say different things; each of them on both stores: `make crash`."""
    hunted = Hunted(files, people=100)
    if files.server is None:
        hunted.archive()
        hunted.kill_at("after_brought_back", ERASE)
        assert hunted.archived(), "which nobody reads any more"
        hunted.kill_at("after_overwriting", ERASE)
    else:
        hunted.kill_at("before_archived", ARCHIVE)
        assert hunted.archived(), "of which the ledger does not know yet"
        hunted.archive()
        hunted.kill_at("mid_removing", ERASE)
        assert hunted.archived(), "half of it zeros"
    hunted.end(ERASE)
    hunted.nobody_is_left()


@pytest.mark.timeout(300)
@pytest.mark.skipif("KILLS" not in os.environ, reason="takes a while: `make crash` does it")
def test_killed_at_every_point_in_turn(files: DatabaseFiles) -> None:
    hunted = Hunted(files, people=100)
    for command, points in (
        (ARCHIVE, ("mid_export", "after_replacing", "before_archived", "after_archived")),
        (BRING_BACK, ("before_brought_back", "after_brought_back", "mid_removing")),
        (ARCHIVE, ("mid_export",)),
        (ERASE, ("mid_removing", "before_erasing", "after_erasing", "before_overwriting", "before_erased")),
    ):
        for point in points:
            hunted.kill_at(point, command)
        if command != ARCHIVE or "after_archived" in points:  # what was half archived is erased, too
            hunted.end(command)
    hunted.nobody_is_left()


@pytest.mark.timeout(120 + 60 * EDITIONS)
@pytest.mark.skipif("KILLS" not in os.environ, reason="takes a while: `make crash` does it")
def test_killed_at_any_instant(files: DatabaseFiles, record_property: Callable[[str, object], None]) -> None:
    """The commands as people start them."""
    seed = kill_seed()
    chance = random.Random(seed)
    hunted = Hunted(files, people=9000, editions=EDITIONS + 1)
    start_s = hunted.end(("status",))
    took_s = {command: hunted.end((*command, "--edition", "1")) for command in (ARCHIVE, BRING_BACK, ARCHIVE, ERASE)}
    for edition in range(2, EDITIONS + 2):
        for command in (ARCHIVE, BRING_BACK, ARCHIVE, ERASE):
            of_edition = (*command, "--edition", f"{edition}")
            for _ in range(3):
                if not hunted.kill_after(chance.uniform(start_s * 0.7, took_s[command]), of_edition):
                    break  # it had come to its end
            hunted.end(of_edition)
    hunted.nobody_is_left()
    store = "sqlite" if files.server is None else "postgresql"
    record_property("crash", f"archived and erased on {store}: {hunted.kills} kills  (KILL_SEED={seed})")
