"""The ledger is moved, archived, lost: as its users see it."""

from __future__ import annotations

from collections.abc import Callable

from mambo_io.sandbox import SandboxHandle
from support.cli import Cli

RESOLVE = ("--accepted", "--by", "Grace", "--note", "the provider has it")
SEND = ("send", "clinic-day.toml", "--direct", "--yes")


def test_a_campaign_goes_on_from_where_its_ledger_was_moved(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle], postgres_url: str
) -> None:
    api = start_sandbox()
    cli.use(api)
    cli.campaign(sending={"chunk_size": 1, "canary_size": 1})
    cli.set(MAX_COST_PER_DAY_UGX="100")
    assert cli(*SEND).code == 3, "that is for two of three"

    said = cli("store", "move", postgres_url, "--by", "Grace")
    assert said.code == 0, said
    assert "only-for-tests" not in said.out + said.err
    assert "Read back and compared, row by row: 1 campaign edition, 4 people, UGX 100 charged" in said.out
    for refused in (SEND, ("store", "move", postgres_url, "--by", "Grace"), ("pause", "clinic-day", "--by", "Grace")):
        assert "the ledger was moved to postgresql+psycopg://mambo:***@" in cli.refused(*refused)
    assert "Here is how it stood when it was moved:" in cli("status").out
    assert "moved to: postgresql" in cli("store", "info").out

    cli.set(STORE=postgres_url, MAX_COST_PER_DAY_UGX=None)
    assert cli(*SEND).code == 0
    assert cli("status", "clinic-day").pairs()["accepted"] == "3"
    assert api.deliveries().height == 3, "nobody was messaged twice"
    assert "moved" in cli("events").out


def test_a_ledger_that_was_deleted_and_a_backup_in_its_place_are_told_by_every_look(
    cli: Cli, start_sandbox: Callable[..., SandboxHandle]
) -> None:
    api = start_sandbox()
    cli.use(api)
    cli.campaign(sending={"chunk_size": 1, "canary_size": 1})
    cli.set(MAX_COST_PER_DAY_UGX="100")
    assert cli(*SEND).code == 3
    assert cli("store", "backup", "backup.db").code == 0
    for end in ("", "-wal", "-shm"):
        (cli.folder / f"ledger.db{end}").unlink(missing_ok=True)
    for command in (("status",), ("estimate", "clinic-day.toml"), SEND):
        assert cli.refused(*command).startswith(
            "ledger.db: the ledger is gone; 2 calls were made from it. Put it back, "
        )

    assert cli("store", "restore", "backup.db").code == 0
    told = "The ledger is a backup, put in place on "
    for look in (("status",), ("status", "clinic-day")):
        said = cli(*look)
        assert (said.code, said.out.count(told), said.next_command) == (3, 1, ["store", "confirm", "--by", "NAME"])
    assert "the ledger is a backup, put in place on" in cli.refused(*SEND)
    assert cli("store", "confirm", "--by", "Grace").code == 0
    said = cli("status", "clinic-day")
    assert (told in said.out, said.next_command[0]) == (False, "send")
    assert "clinic-day/1  restore_confirmed by Grace" in cli("events", "clinic-day").out


def test_archived_people_are_read_and_not_messaged_again(cli: Cli, start_sandbox: Callable[..., SandboxHandle]) -> None:
    api = start_sandbox()
    cli.use(api)
    cli.campaign()
    assert cli(*SEND).code == 0
    looked_at = [
        ("status", "clinic-day"),
        ("results", "clinic-day", "--edition", "1", "--output", "results.csv"),
        ("report", "clinic-day/1", "--output", "report.csv"),
    ]
    said = [cli(*command).out for command in looked_at]
    files = [(cli.folder / name).read_bytes() for name in ("results.csv", "report.csv")]

    archive = ("store", "archive", "--output", "archive", "--by", "Grace")
    assert "There is nothing to archive." in cli(*archive, "--older-than", "30d").out
    assert "clinic-day/1: 4 people archived" in cli(*archive, "clinic-day").out
    assert [cli(*command).out for command in looked_at] == said
    assert [(cli.folder / name).read_bytes() for name in ("results.csv", "report.csv")] == files
    assert "bring-back clinic-day --edition 1" in cli.refused("resolve", "clinic-day", "c0001", *RESOLVE)

    cli.campaign(sending={"repeat_guard_days": 30})
    cli(*SEND, "--edition", "2")
    assert cli("status", "clinic-day", "--edition", "2", "--json").json["rejected"]["already_sent"] == 3
    # The same text is planned when the guard looks back 0 days, and is to look further before it is sent.
    other = {"name": "flour-day", "approval": "required"}
    cli.campaign(**other, sending={"repeat_guard_days": 0})
    cli(*SEND)
    cli("approve", "flour-day", "--by", "Grace")
    cli.campaign(**other, sending={"repeat_guard_days": 30})
    assert cli.refused(*SEND) == (
        "clinic-day.toml, repeat_guard_days: looks further back than the plan did (0 days), and clinic-day/1, "
        "which has sent a text of it, is archived by now. Set it to 0, or bring its people back: mambo store "
        "bring-back clinic-day --edition 1 --by NAME."
    )

    (cli.folder / "archive").rename(cli.folder / "elsewhere")
    told = cli.refused("results", "clinic-day", "--edition", "1", "--output", "again.csv")
    assert (
        "archive/campaign=clinic-day/edition=1/recipients.parquet: the archive of this edition cannot be read" in told
    )
    (cli.folder / "elsewhere").rename(cli.folder / "archive")
    assert cli("store", "bring-back", "clinic-day", "--edition", "1", "--by", "Grace").code == 0
    assert cli(*looked_at[1]).code == 0
    assert (cli.folder / "results.csv").read_bytes() == files[0]
    assert "archived" in cli("events", "clinic-day", "--edition", "1").out
    assert api.deliveries().height == 3
