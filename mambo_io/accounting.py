"""What is recorded about an account besides its calls: balance readings, top-ups, the latch on its credentials."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from sqlalchemy import Connection, insert, select, update

from mambo_io.errors import InputError
from mambo_io.ledger import from_us, to_us
from mambo_io.masking import mask_text
from mambo_io.statements import ACCOUNT, ADD_ACCOUNT
from mambo_io.tables import account_entries, accounts
from mambo_io.window import KAMPALA


def record_reading(
    connection: Connection, account: str, balance_ugx: int, *, who: str, now: datetime, began: datetime | None = None
) -> None:
    """A reading of the balance endpoint (UGX), asked for at `began` and answered by `now`."""
    with connection.begin():
        connection.execute(ADD_ACCOUNT, {"the_account": account})
        connection.execute(
            update(accounts)
            .where(accounts.c.account == account)
            .values(balance_ugx=balance_ugx, balance_at_us=to_us(now))
        )
        _enter(connection, account, "reading", who, now, amount_ugx=balance_ugx, began_us=to_us(began or now))


def record_top_up(
    connection: Connection, account: str, amount_ugx: int, *, day: date, reference: str, who: str
) -> None:
    """Money that came into the account at some moment of a day in Kampala (UGX; negative: that went out).

    It says nothing of the balance, so what the senders of the account know of that stays as it is. Raises `InputError`
    when an entry of the account has the same reference: it would be counted twice.
    """
    began_us = to_us(datetime.combine(day, time(), KAMPALA))
    ended_us = to_us(datetime.combine(day + timedelta(days=1), time(), KAMPALA)) - 1
    e = account_entries.c
    with connection.begin():
        connection.execute(ADD_ACCOUNT, {"the_account": account})
        connection.execute(ACCOUNT, {"the_account": account})  # locks it: two people may enter the same at once
        same = connection.execute(
            select(e.amount_ugx, e.began_us, e.who).where(e.account == account, e.kind == "top_up", e.note == reference)
        ).first()
        if same is not None:
            raise InputError(
                f"was entered before: UGX {same.amount_ugx:,} on {from_us(same.began_us).astimezone(KAMPALA):%Y-%m-%d} "
                f"by {mask_text(same.who)}",
                key="--reference",
                value=reference,
                fix="Nothing was changed. Another top-up needs a reference of its own; `mambo account entries` lists "
                "them.",
            )
        values = {"account": account, "kind": "top_up", "amount_ugx": amount_ugx, "note": reference, "who": who}
        connection.execute(insert(account_entries), values | {"began_us": began_us, "at_us": ended_us})


def set_latch(connection: Connection, account: str, reason: str, *, who: str, now: datetime) -> None:
    """The API refused the account's credentials: nothing asks again until a person clears the latch."""
    with connection.begin():
        connection.execute(ADD_ACCOUNT, {"the_account": account})
        connection.execute(update(accounts).where(accounts.c.account == account).values(credentials_latch=reason))
        _enter(connection, account, "latch", who, now, note=reason)


def clear_latch(connection: Connection, account: str, *, who: str, now: datetime) -> None:
    """A person says that the credentials are right now."""
    with connection.begin():
        connection.execute(ADD_ACCOUNT, {"the_account": account})
        connection.execute(update(accounts).where(accounts.c.account == account).values(credentials_latch=None))
        _enter(connection, account, "latch_cleared", who, now)


def set_settling(connection: Connection, account: str, until: datetime | None) -> None:
    """No sender of the account claims a call before `until`, so that the balance can be read; None: go on."""
    with connection.begin():
        connection.execute(ADD_ACCOUNT, {"the_account": account})
        connection.execute(
            update(accounts)
            .where(accounts.c.account == account)
            .values(settling_until_us=0 if until is None else to_us(until))
        )


def _enter(
    connection: Connection,
    account: str,
    kind: str,
    who: str,
    now: datetime,
    *,
    amount_ugx: int | None = None,
    began_us: int | None = None,
    note: str | None = None,
) -> None:
    connection.execute(
        insert(account_entries),
        {
            "account": account,
            "began_us": began_us,
            "at_us": to_us(now),
            "kind": kind,
            "amount_ugx": amount_ugx,
            "note": note,
            "who": who,
        },
    )
