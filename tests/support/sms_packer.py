"""A slow, plain SMS encoder after 3GPP TS 23.038 and TS 23.040, to judge the segment counter by.

It shares nothing with `pipelines.segments`: its alphabet is written as code points, and it knows of no 160, 153, 70 or
67, only of the 140 octets of a message and the 6 octets of the header that joins several. It really packs the septets,
and `decode` reads each part by itself, as a telephone does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OCTETS = 140
ESCAPE = 0x1B

# TS 23.038, 6.2.1: the code point of each septet, 16 a row; 1B is the escape.
DEFAULT_ALPHABET = """
    0040 00A3 0024 00A5 00E8 00E9 00F9 00EC 00F2 00C7 000A 00D8 00F8 000D 00C5 00E5
    0394 005F 03A6 0393 039B 03A9 03A0 03A8 03A3 0398 039E ---- 00C6 00E6 00DF 00C9
    0020 0021 0022 0023 00A4 0025 0026 0027 0028 0029 002A 002B 002C 002D 002E 002F
    0030 0031 0032 0033 0034 0035 0036 0037 0038 0039 003A 003B 003C 003D 003E 003F
    00A1 0041 0042 0043 0044 0045 0046 0047 0048 0049 004A 004B 004C 004D 004E 004F
    0050 0051 0052 0053 0054 0055 0056 0057 0058 0059 005A 00C4 00D6 00D1 00DC 00A7
    00BF 0061 0062 0063 0064 0065 0066 0067 0068 0069 006A 006B 006C 006D 006E 006F
    0070 0071 0072 0073 0074 0075 0076 0077 0078 0079 007A 00E4 00F6 00F1 00FC 00E0
"""
# TS 23.038, 6.2.1.1: the septet after an escape, and its code point.
EXTENSION_TABLE = "0A:000C 14:005E 28:007B 29:007D 2F:005C 3C:005B 3D:007E 3E:005D 40:007C 65:20AC"

SEPTETS: dict[str, tuple[int, ...]] = {
    chr(int(point, 16)): (code,) for code, point in enumerate(DEFAULT_ALPHABET.split()) if point != "----"
} | {
    chr(int(point, 16)): (ESCAPE, int(code, 16))
    for code, point in (entry.split(":") for entry in EXTENSION_TABLE.split())
}
CHARACTERS = {septets: character for character, septets in SEPTETS.items()}


def is_gsm_7(text: str) -> bool:
    return all(character in SEPTETS for character in text)


class Part(NamedTuple):
    """TP-UDL and TP-UD: the length in septets (GSM-7) or octets (UCS-2), header included, and the octets."""

    length: int
    octets: bytes


def encode(text: str) -> list[Part]:
    """The parts of `text`, each with a header where there are several."""
    if not text:
        return []
    size, pack = (_septets_size, _pack_septets) if is_gsm_7(text) else (_utf_16_size, _pack_utf_16)
    if size(text, header=0) <= OCTETS:
        return [pack(text, b"")]
    parts = [""]
    for character in text:
        if size(parts[-1] + character, header=6) > OCTETS:
            parts.append("")
        parts[-1] += character
    # Element 00: an 8-bit reference number, how many parts there are, and which one this is.
    return [
        pack(part, bytes([5, 0, 3, 0xC7, len(parts) & 0xFF, number & 0xFF])) for number, part in enumerate(parts, 1)
    ]


def decode(parts: Sequence[Part], *, gsm_7: bool) -> str:
    """What a telephone shows: each part is read alone, so a pair that was cut would be lost."""
    header = 6 if len(parts) > 1 else 0
    read = _unpack_septets if gsm_7 else _unpack_utf_16
    return "".join(read(part, header) for part in parts)


def septets(text: str) -> int:
    return sum(len(SEPTETS[character]) for character in text)


def _septets_size(text: str, header: int) -> int:
    return header + -(-(_fill(header) + 7 * septets(text)) // 8)


def _utf_16_size(text: str, header: int) -> int:
    return header + len(text.encode("utf-16-be"))


def _fill(header: int) -> int:
    """Bits between a header and the next septet boundary."""
    return -8 * header % 7


def _pack_septets(text: str, header: bytes) -> Part:
    bits, position = 0, _fill(len(header))
    for character in text:
        for septet in SEPTETS[character]:
            bits |= septet << position
            position += 7
    octets = header + bits.to_bytes((position + 7) // 8, "little")
    return Part((8 * len(header) + position) // 7, octets)


def _unpack_septets(part: Part, header: int) -> str:
    bits = int.from_bytes(part.octets, "little")
    first = (8 * header + _fill(header)) // 7
    codes = iter(bits >> 7 * number & 0x7F for number in range(first, part.length))
    return "".join(CHARACTERS[(code, next(codes)) if code == ESCAPE else (code,)] for code in codes)


def _pack_utf_16(text: str, header: bytes) -> Part:
    octets = header + text.encode("utf-16-be")
    return Part(len(octets), octets)


def _unpack_utf_16(part: Part, header: int) -> str:
    return part.octets[header : part.length].decode("utf-16-be")
