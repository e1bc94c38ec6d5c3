"""Texts of messages, each another one: plain ones, and such with pairs around the cuts between parts."""

from __future__ import annotations

import random

_WORDS = (
    "clinic",
    "day",
    "is",
    "Friday",
    "please",
    "bring",
    "your",
    "card",
    "and",
    "Nakato's",
    "book",
    "at",
    "8am",
    "free",
)
_ESCAPED = "€[]{}|^~\\"
_EMOJI = "\U0001f600\U0001f389\U0001f64f\U0001f489\U0001f3e5"
_ODD = "\u014b\u2019\u2013\u2026\u201c"
_GSM_7_PART, _UCS_2_PART = 153, 67


def around_the_cuts(texts: int) -> list[str]:
    """Distinct texts of 40 to 400 characters; two thirds UCS-2, half of all with escapes or emoji around the cuts."""
    dice = random.Random(153)
    made: dict[str, None] = {}
    while len(made) < texts:
        made[_text(dice, ucs_2=dice.random() < 2 / 3, pairs=dice.random() < 1 / 2)] = None
    return list(made)


def _text(dice: random.Random, *, ucs_2: bool, pairs: bool) -> str:
    size = dice.randint(40, 400)
    text = list(" ".join(dice.choices(_WORDS, k=size // 3 + 1)).ljust(size, ".")[:size])
    if ucs_2:
        text[dice.randrange(size)] = dice.choice(_ODD)
    if pairs:
        # The last unit of a part, and its neighbours; each pair before it has shifted the cut by one.
        part = _UCS_2_PART if ucs_2 else _GSM_7_PART
        for number, cut in enumerate(range(part - 1, size, part - 1)):
            text[min(size - 1, max(0, cut - number + dice.randint(-1, 1)))] = dice.choice(_EMOJI if ucs_2 else _ESCAPED)
    return "".join(text)
