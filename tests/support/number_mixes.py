"""Columns of telephone numbers as lists have them, every row another person: a common mix, and a dirty one."""

from __future__ import annotations

import random

from data.make_examples import BEGINNINGS, REJECTED, REPAIRED, spell

_COMMON = ("0{n}",) * 50 + ("256{n}",) * 20 + ("+256{n}",) * 15
_SPACED = ("0{a} {b}{c}", "0{a} {b} {c}", "0{a}-{b}-{c}", "+256 {a} {b}{c}", "256-{a}-{b}{c}", "0{a} {b}-{c}")


def realistic(rows: int) -> list[str]:
    """50% `07…`, 20% `256…`, 15% `+256…`, 9% with spaces or dashes, 6% other forms, and wrong and damaged ones."""
    return _written(rows, [(0.85, _COMMON), (0.09, _SPACED), (0.06, REPAIRED + REJECTED)])


def dirty(rows: int) -> list[str]:
    """60% in the common forms; the others take turns in every repair and every reason of the example lists."""
    return _written(rows, [(0.6, _COMMON), (0.4, REPAIRED + REJECTED)])


def _written(rows: int, shares: list[tuple[float, tuple[str, ...]]]) -> list[str]:
    dice = random.Random(256)
    beginnings = BEGINNINGS.split()
    chosen = dice.choices([forms for _, forms in shares], [share for share, _ in shares], k=rows)
    return [
        spell(dice.choice(forms), f"{dice.choice(beginnings)}{person:07}"[:9])
        for forms, person in zip(chosen, dice.sample(range(10_000_000), rows), strict=True)
    ]
