"""How large a Parquet file is once it is unfolded: it says so, and polars does not pass it on before it reads it.

The footer is a Thrift struct, `FileMetaData`, in the compact protocol.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What `read_footer` raises for bytes that are no footer. RecursionError: structs within structs without end.
DAMAGE = (ValueError, LookupError, TypeError, RecursionError)

_END_BYTES = 8  # the footer's length in four bytes, and PAR1
_MOST_BYTES = 1 << 22  # 30 columns in 1,000 row groups take as much

# Field numbers of the specification.
_FILE_SCHEMA, _FILE_ROW_GROUPS = 2, 4
_GROUP_COLUMNS, _GROUP_ROWS = 1, 3
_CHUNK_META_DATA = 3
_META_UNCOMPRESSED_BYTES = 6


@dataclass(frozen=True)
class Footer:
    columns: int  # those inside of others, too
    rows: int
    uncompressed_bytes: int


def read_footer(path: Path) -> Footer | None:
    """What the file says of itself; None for a footer that is too long to be one of a list of people."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
        length = int.from_bytes(end[:4], "little")
        if end[4:] != b"PAR1" or length > size - _END_BYTES:
            raise ValueError("no footer")
        if length > _MOST_BYTES:
            return None
        file.seek(size - _END_BYTES - length)
        found = _Compact(file.read(length)).struct()
    groups = found[_FILE_ROW_GROUPS]
    chunks = (column[_CHUNK_META_DATA] for group in groups for column in group[_GROUP_COLUMNS])
    return Footer(
        columns=len(found[_FILE_SCHEMA]) - 1,
        rows=sum(group[_GROUP_ROWS] for group in groups),
        uncompressed_bytes=sum(chunk[_META_UNCOMPRESSED_BYTES] for chunk in chunks),
    )


class _Compact:
    """Reads Thrift's compact protocol: a struct as a dictionary by field number. Doubles and texts are left out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15)
        return fields

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2:  # true, false: said by the kind itself
                return None
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                self._at += 8
                return None
            case 8:
                length = self._varint()
                self._at += length
                return None
            case 9 | 10:
                return self._list()
            case 12:
                return self.struct()
            case _:  # maps: the format has none
                raise ValueError(f"type {kind}")

    def _list(self) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if head & 15 in (1, 2):  # in a list each of them takes a byte
            return [self._byte() for _ in range(count)]
        return [self._value(head & 15) for _ in range(count)]

    def _byte(self) -> int:
        byte = self._data[self._at]  # IndexError at the end
        self._at += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("no 64-bit number")
        return value | byte << shift

    def _integer(self) -> int:
        """Zigzag: 0, -1, 1, -2 …"""
        value = self._varint()
        return value >> 1 ^ -(value & 1)
