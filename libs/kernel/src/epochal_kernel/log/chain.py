"""The hash chain over the log, computed apart from the database.

Each event's leaf is sha256 over its columns in a fixed binary form; each link is
sha256(link before || leaf). `log.leaf` in sql/0001_log.sql computes the same in SQL: the two are
written apart on purpose, so that a test can hold one against the other and a verifier needs no
database.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from epochal_kernel.ids import NIL, Position
from epochal_kernel.log.events import EventRecord

#: The link before the first event.
GENESIS = bytes(32)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def leaf(record: EventRecord) -> bytes:
    """Return the 32-byte hash of what an event says, its chain left out."""
    hasher = hashlib.sha256(struct.pack(">q", record.position))
    hasher.update(record.event_id.bytes)
    for text in (record.org_id, record.category):
        _add(hasher, text.encode())
    hasher.update(record.stream_id.bytes)
    hasher.update(struct.pack(">i", record.version))
    for data in (record.type.encode(), record.payload, record.actor.encode()):
        _add(hasher, data)
    _add(hasher, record.resource.encode())
    hasher.update(record.correlation_id.bytes)
    hasher.update((record.causation_id or NIL).bytes)
    _add(hasher, record.traceparent.encode())
    micros = (record.recorded_at - _EPOCH) // timedelta(microseconds=1)
    hasher.update(struct.pack(">q", micros))
    return hasher.digest()


def first_bad(
    records: Iterable[EventRecord], after: Position, link: bytes
) -> tuple[bytes, Position | None, str]:
    """Check that records follow on from `after` and that each link is right.

    Args:
        records: events in order, the first at `after` + 1.
        after: position of the last event already checked.
        link: its chain, or `GENESIS`.

    Returns:
        The last right link, the first position that is not as recorded (or None), and what is
        wrong with it.
    """
    expected = after + 1
    for record in records:
        if record.position != expected:
            return link, Position(expected), f"position {expected} is missing"
        link_here = hashlib.sha256(link + leaf(record)).digest()
        if link_here != record.chain:
            return link, record.position, "the stored hash is not the hash of what is stored"
        link = link_here
        expected += 1
    return link, None, ""


def _add(hasher: hashlib._Hash, data: bytes) -> None:
    hasher.update(struct.pack(">i", len(data)))
    hasher.update(data)
