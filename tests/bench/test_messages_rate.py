"""`measure_messages` against a plain exact scan in Python, and against `smsutil`.

The ratios decide nothing. The others are timed on a part of the texts. `smsutil` is wrong on
texts with the escape itself (U+001B) and on an empty one; neither is among these.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import polars as pl
import pytest
import smsutil

from pipelines.messages import measure_messages
from pipelines.segments import measure
from support import text_mixes
from support.sms_packer import SEPTETS

TEXTS, TEXTS_OF_THE_OTHERS = 300_000, 30_000
TURNS = 7


def scan(text: str) -> tuple[str, int]:
    """Encoding and segments, counted character by character."""
    gsm_7 = all(character in SEPTETS for character in text)
    single, part = (160, 153) if gsm_7 else (70, 67)
    units = filled = 0
    parts = 1
    for character in text:
        width = len(SEPTETS[character]) if gsm_7 else 1 + (character > "\uffff")
        units += width
        if filled + width > part:
            parts, filled = parts + 1, 0
        filled += width
    return "GSM-7" if gsm_7 else "UCS-2", 1 if units <= single else parts


def reference(text: str) -> tuple[str, int]:
    """The readable reference of the package."""
    measured = measure(text)
    return measured.encoding.value, measured.segments


def by_smsutil(text: str) -> tuple[str, int]:
    split = smsutil.split(text)
    return {"gsm0338": "GSM-7", "utf_16_be": "UCS-2"}[split.encoding], len(split.parts)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("other", "wanted"), [(scan, 12), (reference, 12), (by_smsutil, 25)])
def test_messages_rate(table_row: Callable[..., None], other: Callable[[str], tuple[str, int]], wanted: int) -> None:
    """300,000 texts of 40 to 400 characters, each another one."""
    texts = text_mixes.around_the_cuts(TEXTS)
    frame = pl.DataFrame({"message": texts})
    sample = texts[:TEXTS_OF_THE_OTHERS]

    other_s, ours_s = [], []
    for _ in range(TURNS):
        started = time.perf_counter()
        by_other = [other(text) for text in sample]
        other_s.append((time.perf_counter() - started) * TEXTS / TEXTS_OF_THE_OTHERS)
        started = time.perf_counter()
        measured = measure_messages(frame)
        ours_s.append(time.perf_counter() - started)

    assert measured.head(TEXTS_OF_THE_OTHERS).select("encoding", "segments").rows() == by_other
    assert measured["segments"].to_list() == [measure(text).segments for text in texts]
    ratios = [theirs / ours for theirs, ours in zip(other_s, ours_s, strict=True)]
    table_row(
        f"measure_messages, {TEXTS:,} texts",
        f"{other.__name__} ({median(other_s):.1f} s)",
        wanted=f"at least {wanted} times",
        reached=f"{median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}), {median(ours_s):.2f} s",
    )
