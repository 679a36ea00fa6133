"""Names: which stream a partition is, which subject a message has, which partition a key goes to.

A topic's name may hold what a stream's may not, so it is written in base32 without padding where a
name is more than letters, digits, "_" and "-"; "=" marks such a name, which no plain name has.
"""

from __future__ import annotations

import base64
import re
import zlib

PREFIX = "FAUST"
SUBJECTS = "faust"
#: Header that has a message's key, in hex.
KEY = "Faust-Key"

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")


def word(topic: str) -> str:
    """Return a topic's name as a part of streams' and subjects' names."""
    if _PLAIN.match(topic):
        return topic
    return "=" + base64.b32encode(topic.encode()).decode().rstrip("=")


def stream_of(topic: str, partition: int) -> str:
    """Return the name of the stream that is a partition."""
    return f"{PREFIX}_{word(topic)}_{partition}"


def subjects_of(topic: str, partition: int, *, compacted: bool) -> str:
    """Return the subjects of a partition's stream."""
    plain = f"{SUBJECTS}.{word(topic)}.{partition}"
    return f"{plain}.*" if compacted else plain


def subject_of(topic: str, partition: int, key: bytes | None, *, compacted: bool) -> str:
    """Return the subject of a message; in a compacted stream each key has one of its own."""
    plain = f"{SUBJECTS}.{word(topic)}.{partition}"
    if not compacted:
        return plain
    return f"{plain}.{base64.urlsafe_b64encode(key or b'').decode().rstrip('=') or '-'}"


def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition that a key goes to; the first for no key."""
    return zlib.crc32(key or b"") % partitions
