"""`prefect.yaml`: what it names is there. `make machines` deploys it for real."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own, for one test
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
