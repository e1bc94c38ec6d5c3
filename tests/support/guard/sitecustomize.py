"""Python imports a module of this name at its start: here, to put the network guard in place before anything else."""

import network_guard  # noqa: F401 - importing it is what puts it in place
