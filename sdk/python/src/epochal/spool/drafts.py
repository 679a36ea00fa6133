"""Records on disk before they are packed: files that survive the death of the process.

<folder>/records/000000000001.spool   frames (`spool.records`), one a draft

The body of a frame: u32 length of the Record, u16 of the suffix, Record, suffix, content.
A record whose `path` is set has its bytes in `files/` under their digest, and no content here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb

from epochal.spool.records import frame, scan

_LENGTHS: Final = struct.Struct("<IH")
_KIND: Final = 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that waits, with its bytes."""

    record: pb.Record
    suffix: str
    content: bytes


class DraftFile:
    """The file that drafts are written to now; one thread at a time."""

    def __init__(self, folder: Path, first: int) -> None:
        """Makes a file whose first draft has this number."""
        folder.mkdir(exist_ok=True, mode=0o700)
        self.path = folder / f"{first:012}.spool"
        self._file = self.path.open("ab", buffering=0)
        self.drafts = 0
        self.size_bytes = 0

    def write(self, number: int, draft: Draft) -> None:
        """Writes one draft; when this returns, it survives the death of the process.

        Raises:
            OSError: The disk is full or gone.
        """
        body = draft.record.SerializeToString()
        suffix = draft.suffix.encode()
        framed = frame(
            number, _KIND, _LENGTHS.pack(len(body), len(suffix)) + body + suffix + draft.content
        )
        self._file.write(framed)
        self.drafts += 1
        self.size_bytes += len(framed)

    def close(self) -> None:
        """Closes the file; it stays on disk."""
        self._file.close()


def draft_files(folder: Path) -> list[Path]:
    """The files of drafts in a folder, oldest first."""
    return sorted(folder.glob("*.spool"))


def read_drafts(file: Path) -> Iterator[Draft]:
    """Reads the drafts of a file, up to a torn end."""
    data = file.read_bytes()
    for place in scan(data):
        start = place.offset + _LENGTHS.size
        length, suffix = _LENGTHS.unpack_from(data, place.offset)
        middle = start + length + suffix
        yield Draft(
            pb.Record.FromString(data[start : start + length]),
            data[start + length : middle].decode(),
            data[middle : place.end],
        )
