"""Files in chunks named by their sha256: what two versions share is kept once.

Chunks have a fixed size, so a file that only grew shares all but its last chunk with what it was;
after an insertion in its middle nothing behind that is shared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from epochal.digests import files
from epochal.errors import DataLoss

CHUNK_BYTES: Final = 4 * 1024 * 1024
FORMAT: Final = "epochal-chunks/1"


@dataclass(frozen=True, slots=True)
class ChunkedFile:
    """A file: its place below the folder ("" for a file alone), and its chunks, sha256 as hex."""

    path: str
    size_bytes: int
    chunks: tuple[str, ...]


def chunks_of(source: Path) -> Iterator[tuple[str, Path, int, bytes]]:
    """Every chunk of a file or of all files of a folder: place, file, offset, bytes."""
    folder = source.is_dir()
    found = sorted(files(source)) if folder else [source]
    for file in found:
        place = file.relative_to(source).as_posix() if folder else ""
        with file.open("rb") as opened:
            offset = 0
            while piece := opened.read(CHUNK_BYTES):
                yield place, file, offset, piece
                offset += len(piece)
            if not offset:
                yield place, file, 0, b""


def manifest(listed: list[ChunkedFile]) -> bytes:
    """The list of files and their chunks, as it is kept."""
    document = {
        "format": FORMAT,
        "files": [
            {"path": one.path, "size": one.size_bytes, "chunks": list(one.chunks)} for one in listed
        ],
    }
    return json.dumps(document, indent=1).encode()


def read_manifest(content: bytes) -> list[ChunkedFile]:
    """Reads such a list.

    Raises:
        DataLoss: It is none, or names a file outside the folder.
    """
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise DataLoss(f"the list of chunks has another format: {document['format']}")
        found = [
            ChunkedFile(str(one["path"]), int(one["size"]), tuple(map(str, one["chunks"])))
            for one in document["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss(f"the list of chunks cannot be read: {error}") from error
    for one in found:
        place = PurePosixPath(one.path)
        if place.is_absolute() or ".." in place.parts:
            raise DataLoss(f"the list of chunks names {one.path!r}, which is outside the folder")
    return found


def put_together(listed: list[ChunkedFile], target: Path, read: Callable[[str], bytes]) -> None:
    """Writes the files below `target`, each whole or not at all; `read` brings a chunk.

    Raises:
        DataLoss: A chunk is another than it is called.
    """
    for one in listed:
        file = target / one.path if one.path else target
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.part")
        try:
            with partial.open("wb") as out:
                for name in one.chunks:
                    piece = read(name)
                    if hashlib.sha256(piece).hexdigest() != name:
                        raise DataLoss(f"chunk {name} of {one.path or target.name} is damaged")
                    out.write(piece)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
