"""What a ledger carries: a program that sends a campaign through its `Sender` as fast as the ledger takes it, no HTTP.

python -m support.carrying STORE NAME ACCOUNT    # says `ready`, waits for a line, then says how many calls a second
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from mambo_io.call_ends import CallEnd
from mambo_io.planning import write_plan
from mambo_io.store import Store
from support.ledgers import NO_LIMITS, Run, good_reply, plan

CALLS = 1500
PEOPLE_A_CALL = 10


def main() -> None:
    url, name, account = sys.argv[1:]
    planned = plan(*[PEOPLE_A_CALL] * CALLS, name=name, account=account, message=f"Clinic day of {name}.")
    with Store(url) as store, store.writer() as connection:
        run = Run(connection, write_plan(connection, planned, who="bench"), limits=NO_LIMITS)
        print("ready", flush=True)
        sys.stdin.readline()
        began, ends = time.perf_counter(), list[CallEnd]()
        while True:
            run.now = datetime.now(UTC)
            calls = run.exchange(*ends, want=1).calls
            if not calls:
                break
            ends = [run.end(call, good_reply(call, balance_ugx=1_000_000)) for call in calls]
        print(CALLS / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
