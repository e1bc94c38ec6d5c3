"""`normalize_numbers` against a plain loop of `phonenumbers`: parse, is_valid, format.

The ratios decide nothing. The loop is timed on a part of the rows, and its answers there are
compared: where it names a number of Uganda and we do not, or the other way round, the rule book says so too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import phonenumbers
import polars as pl
import pytest
from phonenumbers import NumberParseException, PhoneNumberFormat

from pipelines.number_rules import judge_number
from pipelines.numbers import normalize_numbers
from support import number_mixes

ROWS, ROWS_OF_THE_LOOP = 1_000_000, 50_000
TURNS = 7


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("mix", "wanted"), [(number_mixes.realistic, 200), (number_mixes.dirty, 30)])
def test_numbers_rate_against_a_plain_loop(
    table_row: Callable[..., None], mix: Callable[[int], list[str]], wanted: int
) -> None:
    """A million people, each once."""
    typed = mix(ROWS)
    frame = pl.DataFrame({"phone": typed})
    sample = typed[:ROWS_OF_THE_LOOP]

    # The two take turns, and the median of the turns' ratios counts: a shared machine is slow for seconds at a time.
    loop_s, ours_s = [], []
    for _ in range(TURNS):
        started = time.perf_counter()
        by_loop = [_plain(text) for text in sample]
        loop_s.append((time.perf_counter() - started) * ROWS / ROWS_OF_THE_LOOP)
        started = time.perf_counter()
        judged = normalize_numbers(frame)
        ours_s.append(time.perf_counter() - started)

    by_rules = [judge_number(text) for text in sample]
    ours = judged.head(ROWS_OF_THE_LOOP).select("e164", "network_guess", "reject_reason").rows()
    assert ours == [(verdict.e164, verdict.network_guess, verdict.reason) for verdict in by_rules]
    others = sum(verdict.e164 != answer for verdict, answer in zip(by_rules, by_loop, strict=True))
    ratios = [loop / our for loop, our in zip(loop_s, ours_s, strict=True)]
    table_row(
        f"normalize_numbers, {mix.__name__} mix, {ROWS:,} rows",
        f"plain loop of phonenumbers ({median(loop_s):.1f} s)",
        wanted=f"at least {wanted} times",
        reached=f"{median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}), {median(ours_s):.2f} s; "
        f"a rule of ours decides {others / ROWS_OF_THE_LOOP:.1%}",
    )


def _plain(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, "UG")
    except NumberParseException:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if phonenumbers.is_valid_number(number) else None
