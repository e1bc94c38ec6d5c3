"""Small campaigns over small lists of people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mambo_io.ledger import Ledger
from mambo_io.store import Store
from pipelines.campaign import Campaign, load_campaign
from pipelines.edition import Prepared
from pipelines.prepare import prepare

ACCOUNT = "main"


def campaign_of(
    folder: Path,
    people: str | None,
    *,
    name: str = "clinic-day",
    message: str = "Clinic day is Friday.",
    top: str = "",
    recipients: str = "",
    sections: str = "",
    path: str = "people.csv",
) -> Campaign:
    """A campaign file over the list `people` (CSV text; None: `path` is there already), both written into `folder`.

    `top` and `recipients` are further lines of the file and of its section `[recipients]`, `sections` what follows.
    Lines of `top` replace the standard ones with the same key.
    """
    standard = {"name": name, "sender_id": "MamboSMS", "category": "customised", "message": message}
    given = {line.partition("=")[0].strip() for line in top.splitlines()}
    lines = [f"{key} = {_toml(value)}" for key, value in standard.items() if key not in given]
    lines += [top, "[recipients]", f"path = {_toml(path)}", recipients, sections]
    if people is not None:
        (folder / path).write_text(people, encoding="utf-8")
    file = folder / f"{name}.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return load_campaign(file)


def prepared_of(
    folder: Path,
    people: str | None,
    *,
    edition: str = "1",
    ledger: Ledger | None = None,
    allow_repeat: bool = False,
    **campaign: Any,
) -> Prepared:
    """That campaign, prepared; the further arguments are those of `campaign_of`."""
    spec = campaign_of(folder, people, **campaign)
    return prepare(spec, edition=edition, account=ACCOUNT, ledger=ledger, allow_repeat=allow_repeat)


def reasons(prepared: Prepared) -> dict[int, str | None]:
    """Why each row is not sent, by its number; None for those who are."""
    return dict(prepared.frame.select("row", "reject_reason").iter_rows())


@contextmanager
def new_ledger(folder: Path) -> Iterator[Ledger]:
    """An empty ledger in `folder`."""
    with Store(str(folder / "ledger.db"), create=True) as store:
        yield Ledger(store)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
