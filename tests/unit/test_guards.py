"""The walls around the tests: no other host, nothing of the person's own settings."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from network_guard import OutsideContact
from support.environment import GUARD, REPOSITORY, isolate
from support.processes import run

TEST_NET = "192.0.2.1"  # RFC 5737: an address that is nobody's
TEST_NET_V6 = "2001:db8::1"


@pytest.fixture
def refused() -> Iterator[Callable[[], list[str]]]:
    """The contacts refused since the last look; those looked at do not fail the test."""

    def take() -> list[str]:
        log = Path(os.environ["NETWORK_GUARD_LOG"])
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    yield take
    assert take() == [], "contacts that the test did not look at"


CONTACTS: dict[str, Callable[[], object]] = {
    "socket.getaddrinfo example.org": lambda: socket.getaddrinfo("example.org", 443),
    "socket.gethostbyname example.org": lambda: socket.gethostbyname("example.org"),
    f"socket.connect {TEST_NET}": lambda: socket.socket().connect((TEST_NET, 443)),
    f"socket.connect {TEST_NET_V6}": lambda: socket.socket(socket.AF_INET6).connect((TEST_NET_V6, 443)),
    f"socket.sendto {TEST_NET}": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"?", (TEST_NET, 53)),
    f"socket.getaddrinfo {TEST_NET}": lambda: httpx.get(f"http://{TEST_NET}/", trust_env=False),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the sockets above are left to the garbage collector
@pytest.mark.parametrize("contact", CONTACTS)
def test_a_contact_with_another_host_is_refused(contact: str, refused: Callable[[], list[str]]) -> None:
    with pytest.raises(OutsideContact):
        CONTACTS[contact]()
    assert refused() == [contact]


def test_loopback_is_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        client.connect(str(tmp_path / "socket"))


def test_a_name_that_cannot_exist_fails_as_a_resolver_fails_it() -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://mambo.invalid/", trust_env=False)


def test_a_child_process_is_guarded_too(tmp_path: Path, refused: Callable[[], list[str]]) -> None:
    child = run(sys.executable, "-c", "import socket; socket.getaddrinfo('example.org', 443)", cwd=tmp_path)
    assert "OutsideContact: socket.getaddrinfo: example.org is not this machine" in child.stderr
    assert refused() == ["socket.getaddrinfo example.org"]


def test_a_contact_whose_refusal_is_swallowed_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_telemetry.py").write_text(
        "import contextlib, socket\n"
        "def test_that_phones_home():\n"
        "    with contextlib.suppress(Exception):\n"
        "        socket.getaddrinfo('telemetry.example.org', 443)\n",
        encoding="utf-8",
    )
    tests = run(
        *(sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path),
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(GUARD), str(REPOSITORY / "tests")])},
    )
    assert tests.returncode == 1
    assert "refused contacts with other hosts:\nsocket.getaddrinfo telemetry.example.org" in tests.stdout


def test_settings_profiles_and_proxies_of_the_person_are_cleared(tmp_path: Path) -> None:
    environment = {
        "HOME": "/home/amina",
        "HTTPS_PROXY": "http://proxy.example.org:3128",
        "http_proxy": "http://proxy.example.org:3128",
        "MAMBO_API_KEY": "a-real-key",
        "PATH": "/usr/bin",
        "PGPASSWORD": "a-real-password",
        "PREFECT_API_URL": "https://prefect.example.org/api",
        "XDG_DATA_HOME": "/home/amina/.local/share",
    }
    isolate(environment, home=tmp_path)
    assert environment.keys() == {"HOME", "NETWORK_GUARD_LOG", "PATH", "PYTHONPATH"}
    assert environment["HOME"] == str(tmp_path)


def test_the_tests_run_in_an_empty_folder_away_from_home() -> None:
    assert list(Path.cwd().iterdir()) == []
    assert Path.cwd().is_relative_to(Path.home())
    assert not REPOSITORY.is_relative_to(Path.home())
