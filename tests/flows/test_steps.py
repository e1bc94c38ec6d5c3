"""What the engine logs of a run, where nobody reads it any more."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from pipelines.flows.steps import mask_engine_logs

pytestmark = pytest.mark.xdist_group("engine")  # which is loaded there


@pytest.fixture
def console() -> Iterator[logging.Handler]:
    """The engine's, writing into a pipe whose reader was killed."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    handler = PrefectConsoleHandler(stream)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    with suppress(BrokenPipeError):
        stream.close()


def test_a_run_outlives_the_program_that_reads_what_it_says(
    console: logging.Handler, caplog: pytest.LogCaptureFixture
) -> None:
    mask_engine_logs()
    for said in ("the first", "the second"):
        logging.getLogger("sender").warning(said)
    assert [record.message for record in caplog.records] == ["the first", "the second"]
