"""How many segments a text takes, and what makes it take more: one text at a time.

The alphabet and its extension table are those of 3GPP TS 23.038 (GSM 03.38) without national shift tables, the room of
a segment follows from TS 23.040: 140 octets, less 6 for the header that joins the parts of a longer message. This is
the readable reference; `pipelines.messages` does the same for whole frames.

A text is counted as it is: CR and LF are one septet each. (Rendering a campaign's message writes every line break as
one LF, see `pipelines.templates`.)
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from mambo_io.errors import InputError

# The default alphabet in code order, 0x00 to 0x7F. 0x1B, the escape to the extension table, is no character of a text.
# ruff: noqa: RUF001 - look-alikes of Latin letters and quotes are the very subject of these tables
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
# Sent as an escape and a second septet, so they count double.
EXTENSION = "\f^{}\\[~]|€"

# Characters that a reader does not see. At the ends of a text they say nothing, and each forces UCS-2.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_LINE_BREAKS = "\v\x85\u2028\u2029"
_SPACES = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"

# What a plain telephone would have typed. Punctuation and white space only: a letter such as ŋ is never touched.
_PLAIN = {
    **dict.fromkeys("‘’‚‛′‹›`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_LINE_BREAKS, "\n"),
    **dict.fromkeys(INVISIBLE, ""),
}

_OUTSIDE = re.compile(f"[^{re.escape(BASIC + EXTENSION)}]")
# A letter and a combining accent are one thing to a reader: `e` + U+0301 is the é of the alphabet, written in two.
_FORCING = re.compile(f"[A-Za-z][\u0300-\u036f]|{_OUTSIDE.pattern}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Encoding(StrEnum):
    """How a message travels; the value is the word in frames and on screens."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


# Units that a message of one segment holds, and that one part of a longer message holds.
SINGLE = {Encoding.GSM_7: 160, Encoding.UCS_2: 70}
PART = {Encoding.GSM_7: 153, Encoding.UCS_2: 67}


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a text. `units` are septets with escapes (GSM-7) or UTF-16 code units (UCS-2)."""

    encoding: Encoding
    units: int
    segments: int  # 0 for an empty text


@dataclass(frozen=True, slots=True)
class ForcingCharacter:
    """A character outside the alphabet: it makes the whole message UCS-2."""

    character: str  # one character, or a letter with its combining accent
    name: str  # its Unicode name
    positions: tuple[int, ...]  # 1-based, in characters of the text
    replacement: str | None  # what `smart_encode` writes; empty for invisible characters, None for letters and symbols


@dataclass(frozen=True, slots=True)
class ForcingCost(ForcingCharacter):
    """What a forcing character costs: the saving if it alone were replaced, 0 while others force UCS-2 as well."""

    saved_segments: int
    saved_ugx: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a person may want to know about the size and price of one text, for one recipient."""

    encoding: Encoding
    units: int
    segments: int
    room: int  # units that still fit into the last segment
    cost_ugx: int
    double: dict[str, int]  # characters that count double (GSM-7 only), and how often each stands in the text
    forcing: tuple[ForcingCost, ...]
    saved_segments: int  # if every forcing character were replaced, with or without a `replacement`
    saved_ugx: int
    smart: Measure | None  # what `smart_encode` makes of it; None where it changes nothing


def measure(text: str) -> Measure:
    """Encoding, units and segments of `text`.

    A segment holds 160 septets or 70 UTF-16 code units; a part of several holds 153 or 67, and neither an escape pair
    nor a surrogate pair is cut in two. InputError for half a surrogate pair, which no message can carry.
    """
    return _pack(text)[0]


def forcing_characters(text: str) -> list[ForcingCharacter]:
    """The characters that force `text` into UCS-2, in order of first appearance; empty for a GSM-7 text."""
    positions: dict[str, list[int]] = {}
    for found in _FORCING.finditer(text):
        positions.setdefault(found.group(), []).append(found.start() + 1)
    return [ForcingCharacter(piece, _name(piece), tuple(at), _replacement(piece)) for piece, at in positions.items()]


def smart_encode(text: str) -> str:
    """`text` with plain quotes, dashes, dots and spaces, if that makes it a GSM-7 message; otherwise `text` as it is.

    Replaced are quotes of every shape (also the backtick and primes), dashes, the ellipsis, tabs, spaces of other
    widths (NBSP), line breaks of other systems; invisible characters go, a letter with a combining accent becomes the
    one character it stands for (Unicode NFC). No letter or symbol changes what it looks like. Where one of those needs
    UCS-2 anyway, or the replacements would take more segments (`...` is longer than `…`), they would buy nothing.
    """
    plain = _FORCING.sub(lambda found: _plain(found.group(), otherwise=found.group()), text)
    after = measure(plain)
    pays = after.encoding is Encoding.GSM_7 and after.segments <= measure(text).segments
    return plain if pays else text


def explain(text: str, *, price_per_segment_ugx: int = 50) -> Explanation:
    """The size and price of `text` and what each unusual character does to them. InputError as in `measure`."""
    now, room = _pack(text)

    def saved_without(*pieces: str) -> int:
        """Segments saved with `pieces` replaced, what has no replacement by some letter of the alphabet."""
        changed = _FORCING.sub(
            lambda found: _plain(found.group(), otherwise="x") if found.group() in pieces else found.group(), text
        )
        return max(0, now.segments - measure(changed).segments)

    forcing = []
    for found in forcing_characters(text):
        alone = saved_without(found.character)
        forcing.append(
            ForcingCost(
                found.character,
                found.name,
                found.positions,
                found.replacement,
                saved_segments=alone,
                saved_ugx=alone * price_per_segment_ugx,
            )
        )
    together = saved_without(*(cost.character for cost in forcing))
    smart = smart_encode(text)
    gsm_7 = now.encoding is Encoding.GSM_7
    return Explanation(
        encoding=now.encoding,
        units=now.units,
        segments=now.segments,
        room=room,
        cost_ugx=now.segments * price_per_segment_ugx,
        double={character: text.count(character) for character in EXTENSION if gsm_7 and character in text},
        forcing=tuple(forcing),
        saved_segments=together,
        saved_ugx=together * price_per_segment_ugx,
        smart=measure(smart) if smart != text else None,
    )


def _pack(text: str) -> tuple[Measure, int]:
    """The measure of `text`, and the units that its last segment has left."""
    if half := _SURROGATE.search(text):
        raise InputError(
            f"character {half.start() + 1} of the text is half a surrogate pair, which is no character",
            fix="Type it anew, or save the file as UTF-8.",
        )
    if _OUTSIDE.search(text) is None:
        encoding = Encoding.GSM_7
        widths = [2 if character in EXTENSION else 1 for character in text]
    else:
        encoding = Encoding.UCS_2
        widths = [2 if character > "\uffff" else 1 for character in text]
    units = sum(widths)
    if units <= SINGLE[encoding]:
        return Measure(encoding, units, 1 if text else 0), SINGLE[encoding] - units
    segments, room = 1, PART[encoding]
    for width in widths:
        if width > room:
            segments, room = segments + 1, PART[encoding]
        room -= width
    return Measure(encoding, units, segments), room


def _replacement(piece: str) -> str | None:
    if piece in _PLAIN:
        return _PLAIN[piece]
    composed = unicodedata.normalize("NFC", piece)
    return composed if _OUTSIDE.search(composed) is None else None


def _plain(piece: str, *, otherwise: str) -> str:
    replacement = _replacement(piece)
    return otherwise if replacement is None else replacement


def _name(piece: str) -> str:
    if piece == "\t":
        return "TAB"  # Unicode names no control characters
    names = [unicodedata.name(character, f"U+{ord(character):04X}") for character in piece]
    return " + ".join(names)
