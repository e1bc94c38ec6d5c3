"""`mambo` with a fault put into it, for the test that the judge finds one.

What a dead process left in flight goes back to planned, as a queue would do: it is called again, whether or not the
API did it.
"""

from __future__ import annotations

from sqlalchemy import update

from mambo_io import statements
from mambo_io.model import ChunkState
from mambo_io.tables import chunks

# Only as a program of its own: imported, it would put the fault into the process of the tests.
if __name__ == "__main__":
    statements.ORPHANED_CHUNKS = (
        update(chunks).where(chunks.c.state == ChunkState.IN_FLIGHT).values(state=ChunkState.PLANNED)
    )
    from pipelines.cli import main

    main()
