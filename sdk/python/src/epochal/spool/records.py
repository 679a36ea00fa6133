"""One record of a spool file: a header with length and checksum, then the bytes.

Layout, little endian: u32 length of the body, u32 crc32 (IEEE) of what follows it, u64 number,
u8 kind, body. A record that is cut short or fails its checksum ends the file: it is the torn tail
of a write that never finished, and nothing was promised about it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FRAME: Final = struct.Struct("<II")
_KEY: Final = struct.Struct("<QB")
HEADER_BYTES: Final = _FRAME.size + _KEY.size


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies in its file: number, kind, offset and length of the body."""

    number: int
    kind: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset of the byte after it."""
        return self.offset + self.length


def frame(number: int, kind: int, body: bytes) -> bytes:
    """The bytes of one record."""
    key = _KEY.pack(number, kind)
    return _FRAME.pack(len(body), zlib.crc32(body, zlib.crc32(key))) + key + body


def scan(data: bytes) -> Iterator[Place]:
    """Finds the whole records from the start of a file, up to the first that is not whole."""
    start = 0
    while start + HEADER_BYTES <= len(data):
        length, checksum = _FRAME.unpack_from(data, start)
        offset = start + HEADER_BYTES
        end = offset + length
        if end > len(data) or zlib.crc32(data[start + _FRAME.size : end]) != checksum:
            return
        number, kind = _KEY.unpack_from(data, start + _FRAME.size)
        yield Place(number, kind, offset, length)
        start = end
