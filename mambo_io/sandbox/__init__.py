"""A local Mambo API in its own process: the documented contract, an account whose balance moves, and faults on request.

    with running(tmp_path, price_ugx=50) as sandbox:
        requests.post(f"{sandbox.url}/v1/send-sms", headers={"Authorization": sandbox.api_key}, json=...)
        sandbox.deliveries()        # who got what: the sandbox's own record, in its own SQLite file

It is built from the provider's page alone and shares no code with the client, so that either can show the other wrong.
Where the page is silent the answer is a setting (`SandboxOptions`) or a fault (`mambo_io.sandbox.faults`).
`python -m mambo_io.sandbox --folder DIR` starts one by hand; `curl -X POST URL/sandbox/faults` then asks for faults.
"""

from mambo_io.sandbox.handle import SandboxHandle, running
from mambo_io.sandbox.options import SandboxOptions
from mambo_io.sandbox.record import Account, AccountState

__all__ = ["Account", "AccountState", "SandboxHandle", "SandboxOptions", "running"]
