"""`docs/compose.yaml`: the words of each container are the programs' own, and what it names is there.

Nothing is put into a container here. `make machines` starts the same commands in the same environment, on this machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from shutil import copy, copytree, which
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for the tests alone
from platformdirs.unix import Unix
from prefect.settings import Settings
from sqlalchemy import make_url

from mambo_io.places import parse_url
from mambo_io.settings import MamboSettings
from support.compose import COMPOSE, FILE, OURS, SERVICES, commands, environment
from support.environment import REPOSITORY
from support.prefect_words import check_words
from support.processes import run

MACHINES = (REPOSITORY / "docs" / "machines.md").read_text(encoding="utf-8")
DOCKERFILE = SERVICES["worker"]["build"]["dockerfile_inline"]
COPIED = " ".join(re.findall(r"^ *COPY (.*) \S+$", DOCKERFILE, re.MULTILINE)).split()
# What the head of the file says of the files beside it: `prefect.env   NAME=VALUE, and others`.
BESIDE = {
    name: dict(re.findall(r"([A-Z][A-Z_]+)(?:=(\S+?))?(?=,| and |$)", told))
    for name, told in re.findall(r"^# +(\w+\.env) +(.*)$", FILE.read_text(encoding="utf-8"), re.MULTILINE)
}
COMMANDS = [command for service in OURS for command in commands(service)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_is_one_of_prefect_and_of_the_page(command: Sequence[str]) -> None:
    assert command[0] == "prefect"
    check_words(command[1:])
    assert " ".join(command).removesuffix(" --overwrite") in MACHINES


def test_each_variable_is_a_setting_that_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Prefect nor `mambo` says a word of a variable that it does not know."""
    for service in OURS:
        beside = BESIDE.get(SERVICES[service].get("env_file"), {})
        for name, value in (environment(service) | beside).items():
            if name.startswith("PREFECT_"):
                with monkeypatch.context() as given:
                    given.delenv(name, raising=False)
                    before = Settings().model_dump(exclude_unset=True)
                    given.setenv(name, value)
                    assert Settings().model_dump(exclude_unset=True) != before, name
            else:
                assert name == "DO_NOT_TRACK" or name.removeprefix("MAMBO_").lower() in MamboSettings.model_fields


def test_the_files_beside_it_are_those_that_are_asked_for() -> None:
    assert BESIDE.keys() == {service["env_file"] for service in SERVICES.values() if "env_file" in service}
    assert BESIDE["mambo.env"].keys() == {"MAMBO_STORE", "MAMBO_API_KEY"}
    assert parse_url(BESIDE["mambo.env"]["MAMBO_STORE"]).get_backend_name() == "postgresql"


def test_databases_and_addresses_are_those_of_the_other_containers() -> None:
    database = SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    [created] = re.findall(r"CREATE DATABASE (\w+);", COMPOSE["configs"]["ledger"]["content"])
    for url, name in (
        (BESIDE["prefect.env"]["PREFECT_API_DATABASE_CONNECTION_URL"], database),
        (BESIDE["mambo.env"]["MAMBO_STORE"], created),
    ):
        assert (make_url(url).host, make_url(url).database, make_url(url).username) == ("postgres", name, "postgres")

    port = Settings().server.api.port  # `prefect server start` listens there
    assert SERVICES["prefect"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    [asked] = re.findall(r"http://\S+/health", SERVICES["prefect"]["healthcheck"]["test"][-1])
    addresses = {service: environment(service)["PREFECT_API_URL"] for service in ("tend", "worker")}
    for url in (asked, environment("prefect")["PREFECT_SERVER_UI_API_URL"], *addresses.values()):
        assert urlsplit(url).port == port
    for service, url in addresses.items():
        assert SERVICES[service]["depends_on"] == {urlsplit(url).hostname: {"condition": "service_healthy"}}
    assert SERVICES["prefect"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert all("healthcheck" in SERVICES[service] for service in ("prefect", "postgres"))


def test_the_containers_find_what_they_are_given() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", ())]
        assert {volume for volume in volumes if not volume.startswith(".")} <= set(COMPOSE["volumes"])
    deployments = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    folders = {value for deployment in deployments for value in deployment["parameters"].values() if "/" in value}
    mounted = {volume.split(":")[1] for volume in SERVICES["worker"]["volumes"]}
    assert folders <= mounted, "the folders of prefect.yaml"
    data = Unix("mambo-pipelines", appauthor=False).user_data_path.relative_to(Path.home())
    assert f"/root/{data}" in mounted, "where replies are kept that the ledger did not take"


def test_no_secret_stands_in_it() -> None:
    secret = re.compile("password|api_key|connection_url|mambo_store", re.IGNORECASE)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not secret.search(name) or (name.endswith("_FILE") and value.startswith("/run/secrets/")), name
            assert not name.endswith("_FILE") or Path(value).name in service["secrets"]


def test_the_image_is_built_of_what_is_copied_into_it(tmp_path: Path) -> None:
    """The wheel, that is; the rest is pip's, which is asked for PostgreSQL's driver and what a report is drawn with."""
    for name in COPIED:
        source = REPOSITORY / name
        (copytree if source.is_dir() else copy)(source, tmp_path / name)
    built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert {"prefect.yaml", "requirements.txt"} <= set(COPIED), "for `prefect deploy`, and for pip"
    [extras] = re.findall(r"pip install .*--constraint requirements\.txt '\.\[(.*)\]'$", DOCKERFILE, re.MULTILINE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) == {"postgres", "reports"}, "`every-morning` of prefect.yaml writes a page"
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert f"pip install 'mambo-pipelines[{extras}]'" in MACHINES


# Its run takes a moment to end when it is told to, and nobody asks after it then.
WORKER = """
import subprocess, sys
subprocess.Popen(["sh", "-c", "trap 'sleep 0.2; echo drained; exit' TERM; echo ready; while :; do sleep 0.05; done"])
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux" or which("pgrep") is None, reason="the containers are Linux, with procps")
def test_a_worker_stops_when_its_runs_have_ended() -> None:
    """By the words of the file, which are those of the page for a service: runs are told to end, and waited for."""
    [hook] = SERVICES["worker"]["pre_stop"]
    *shell, script = hook["command"]
    assert shell == ["sh", "-c"]
    assert script.replace("--runstates DRST ", "").replace("--parent 1", "--parent $MAINPID") in MACHINES
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        mine = script.replace("--parent 1", f"--parent {worker.pid}")
        subprocess.run([*shell, mine], check=False, timeout=30)
        assert worker.communicate("")[0] == "drained\n"
