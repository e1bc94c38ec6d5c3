"""Python imports a module of this name at its start: here, in a worker whose flow runs stop at a point of a call.

RIGGED_AT is one of the points of `rigged_mambo`, RIGGED_NTH how often a run comes by before it stops (SIGSTOP).
"""

import os

import network_guard  # noqa: F401 - importing it is what puts it in place

if "PREFECT__FLOW_RUN_ID" in os.environ:  # the worker itself makes no calls
    import signal

    from support.rigged_mambo import Trap, watch_calls, watch_commits

    trap = Trap(os.environ["RIGGED_AT"], int(os.environ["RIGGED_NTH"]), signal.SIGSTOP)
    watch_commits(trap)
    watch_calls(trap)
