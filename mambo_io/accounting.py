"""What is recorded about an account besides its calls: balance readings, and the latch on its credentials."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, update

from mambo_io.ledger import to_us
from mambo_io.statements import ADD_ACCOUNT
from mambo_io.tables import account_entries, accounts


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
