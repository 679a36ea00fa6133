"""What a record's bytes are called as a file."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

import epochal_proto.v1 as pb

_SUFFIXES = {
    "application/vnd.apache.parquet": ".parquet",
    "image/apng": ".apng",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/markdown": ".md",
    "text/html": ".html",
    "text/plain": ".txt",
    "audio/wav": ".wav",
}


def suffix_of(record: pb.Record) -> str:
    """The suffix of a file with the bytes of a record, such as ".png"."""
    known = _SUFFIXES.get(record.media_type) or mimetypes.guess_extension(record.media_type)
    own = PurePosixPath(record.path).suffix if record.offset == 0 else ""
    return known or own or ".bin"
