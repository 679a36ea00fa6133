"""Event files, record by record: TFRecord framing, checked, up to what is written by now.

A record is u64 length, u32 masked CRC-32C of it, the bytes, u32 masked CRC-32C of them
(tensorflow/core/lib/io/record_writer.h), little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from epochal.errors import DataLoss

_LENGTH: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
#: Beyond this a record's own checksum is not worked out: it is done in Python.
CHECKED_BYTES: Final = 256 * 1024
_MOST_BYTES: Final = 1 << 30


def _table() -> tuple[int, ...]:
    made = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        made.append(number)
    return tuple(made)


_TABLE: Final = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4), rotated and added to as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@dataclass(slots=True)
class EventFile:
    """One file and how far it was read."""

    path: Path
    offset: int = field(default=0)

    def read(self) -> Iterator[bytes]:
        """Yields the records that are whole by now; a later call goes on after them.

        Raises:
            DataLoss: A record is not what was written.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while True:
                head = file.read(_LENGTH.size)
                if len(head) < _LENGTH.size:
                    return
                length, crc = _LENGTH.unpack(head)
                if masked_crc(head[:8]) != crc or length > _MOST_BYTES:
                    raise self._damaged()
                body = file.read(length + _CRC.size)
                if len(body) < length + _CRC.size:
                    return
                data = body[:length]
                if length <= CHECKED_BYTES and masked_crc(data) != _CRC.unpack(body[length:])[0]:
                    raise self._damaged()
                self.offset = file.tell()
                yield data

    def _damaged(self) -> DataLoss:
        return DataLoss(f"{self.path} is damaged at byte {self.offset}; what was before is logged")


def event_files(folder: Path) -> list[Path]:
    """The event files below a folder, or the one that is named, oldest first."""
    if folder.is_file():
        return [folder]
    return sorted(folder.rglob("*tfevents*"))
