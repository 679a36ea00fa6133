"""Packs: many small records in one artifact, an ordinary ZIP file that stores its members as is.

Members are not compressed, so a record is read by a Range request at its offset, and the whole is
still opened by any tool. The same records give the same bytes: a pack made again after a crash is
the same artifact.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb

#: Bytes of a local file header before the name (APPNOTE.TXT 4.3.7).
_HEADER: Final = 30
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
MOST_RECORDS: Final = 500
MOST_BYTES: Final = 256 * 1024


def file_name(record: pb.Record, suffix: str) -> str:
    """The name of a record's own file, in ASCII: its id makes it unique."""
    parts = [_UNSAFE.sub("_", part).strip(".") or "_" for part in record.series.split("/") if part]
    series = "/".join(parts)[:200] or "_"
    return f"{record.kind}/{series}/{record.step}-{record.id}{suffix}"


def write_pack(
    file: Path, path: str, members: Iterable[tuple[pb.Record, str, bytes]]
) -> list[pb.Record]:
    """Writes records with their bytes into a pack and returns them with their places in it.

    Args:
        file: to write.
        path: of the artifact it will be.
        members: records, suffixes of their names, bytes.

    Raises:
        OSError: The disk is full or gone.
    """
    placed = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for record, suffix, content in members:
            info = zipfile.ZipInfo(file_name(record, suffix), _EPOCH)
            archive.writestr(info, content)
            record.path = path
            record.offset = info.header_offset + _HEADER + len(info.filename)
            placed.append(record)
    return placed


def in_batches(records: Sequence[pb.Record]) -> Iterable[list[pb.Record]]:
    """Cuts records into requests of a size that is far below every limit."""
    batch: list[pb.Record] = []
    size = 0
    for record in records:
        bytes_ = record.ByteSize()
        if batch and (len(batch) == MOST_RECORDS or size + bytes_ > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += bytes_
    if batch:
        yield batch


def digest(content: bytes) -> bytes:
    """The sha256 of some bytes."""
    return hashlib.sha256(content).digest()
