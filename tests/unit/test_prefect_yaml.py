"""`prefect.yaml` and `docs/compose.yaml`: what they name is there. `make machines` uses the same words for real."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for one test
from platformdirs.unix import Unix
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from support.environment import REPOSITORY

DEPLOYMENTS = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: str(deployment["name"]))
def test_a_deployment_is_a_flow_with_its_parameters_and_schedules(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
    assert isinstance(flow, Flow)
    inspect.signature(flow).bind(**deployment["parameters"])
    for schedule in deployment["schedules"]:
        (CronSchedule if "cron" in schedule else IntervalSchedule).model_validate(schedule)
    assert deployment["work_pool"]["name"] == "mambo"


COMPOSE = yaml.safe_load((REPOSITORY / "docs" / "compose.yaml").read_text(encoding="utf-8"))
MACHINES = (REPOSITORY / "docs" / "machines.md").read_text(encoding="utf-8")


def test_the_containers_run_what_the_page_tells_to_type() -> None:
    commands = [
        command
        for service in COMPOSE["services"].values()
        for command in service.get("command", "").removeprefix("sh -c ").strip('"').split(" && ")
        if command
    ]
    assert len(commands) == 4
    for command in commands:
        assert command.removesuffix(" --overwrite") in MACHINES, command
    [stop] = COMPOSE["services"]["worker"]["pre_stop"]
    assert stop["command"][-1].replace("--parent 1", "--parent $MAINPID").replace("sleep 1", "sleep 0.5") in MACHINES


def test_the_containers_find_what_they_are_given() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", ())]
        assert {volume for volume in volumes if not volume.startswith(".")} <= set(COMPOSE["volumes"])
    copied = re.findall(r"^ *COPY (.*) \S+$", services["worker"]["build"]["dockerfile_inline"], re.MULTILINE)
    for name in " ".join(copied).split():
        assert (REPOSITORY / name).exists(), name
    folders = {value for deployment in DEPLOYMENTS for value in deployment["parameters"].values() if "/" in value}
    mounted = {volume.split(":")[1] for volume in services["worker"]["volumes"]}
    assert folders <= mounted, "the folders of prefect.yaml"
    data = Unix("mambo-pipelines", appauthor=False).user_data_path.relative_to(Path.home())
    assert f"/root/{data}" in mounted, "where replies are kept that the ledger did not take"


def test_no_secret_stands_in_it() -> None:
    secret = re.compile("password|api_key|connection_url|mambo_store", re.IGNORECASE)
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not secret.search(name) or (name.endswith("_FILE") and value.startswith("/run/secrets/")), name
