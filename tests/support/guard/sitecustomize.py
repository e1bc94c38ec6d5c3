"""Python imports a module of this name at its start: here, to put the network guard in place before anything else.

A test that moves the clock (`support.moved_clock`) says by a variable which one this process has to follow.
"""

import os

import network_guard  # noqa: F401 - importing it is what puts it in place

if clock_file := os.environ.get("TEST_CLOCK_FILE"):
    from followed_clock import follow

    follow(clock_file)

    # A PostgreSQL server's clock stays real, and a sender whose clock is not that of its ledger does not send.
    import mambo_io.store

    mambo_io.store.Store.check_clock = lambda *_: None  # type: ignore[method-assign] # of this process alone
