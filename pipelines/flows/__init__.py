"""The Prefect flows: `send_campaign` sends one, `reconcile` adds up every morning what was sent the day before.

Each task is a few lines over the plain functions that the commands call as well. Nothing personal reaches the engine:
parameters are files, editions and days, frames are passed from task to task without being stored, artifacts hold sums,
and what a run raises is made an outline before the engine pickles it. No task retries and none is cached, because the
ledger alone knows what was sent; a flow that is started twice finds the same edition and sends nothing twice.

A flow runs wherever Prefect's settings say. Without PREFECT_API_URL Prefect starts a server of its own and gives it
20 s, which its first start may exceed: set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120. `serve()` offers a
flow in Prefect's pages; a run of `send_campaign` that is cancelled there drains what is in flight.
"""

from pipelines.flows.reconciling import reconcile
from pipelines.flows.sending import progress_listener, send_campaign
from pipelines.flows.steps import told_in_full

__all__ = ["progress_listener", "reconcile", "send_campaign", "told_in_full"]
