"""Segments of the archived log: every stored column of a range of events, compressed.

    segments/000000000001-000000020000.jsonl.gz
    checkpoints/SIZE, checkpoint       signed notes; the newest covers the last segment
    archive.json                       name of the log, size, every key that signed

The first line of a segment is its head: format, first and last position, the link of the hash chain
before the first event and at the last. Then a line an event, as an audit bundle has it
(`events.jsonl`): what is stored, byte for byte, nothing decoded. The same events give the same
bytes. gzip and JSON, so that whoever restores in ten years needs nothing of ours.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from epochal_kernel.errors import DataLoss
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.chain import leaf
from epochal_kernel.log.events import EventRecord

FORMAT: Final = "epochal-log-segment/1"
ARCHIVE: Final = "epochal-log-archive/1"
MANIFEST: Final = "archive.json"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME: Final = re.compile(r"segments/(\d{12})-(\d{12})\.jsonl\.gz")


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of events and the chain before it; every link within was checked."""

    before: bytes
    records: Sequence[EventRecord]
    digests: Sequence[bytes]


def segment_name(first: int, last: int) -> str:
    """Return the path of a segment."""
    return f"segments/{first:012d}-{last:012d}.jsonl.gz"


def ordered(names: Sequence[str]) -> list[str]:
    """Return the segments among names that make up the log, one after the other.

    After a crash one stretch may be there twice, in part: the longest from each position on counts.

    Raises:
        DataLoss: a position is in none of them.
    """
    longest: dict[int, int] = {}
    for name in names:
        if found := _NAME.fullmatch(name):
            first, last = int(found[1]), int(found[2])
            longest[first] = max(last, longest.get(first, 0))
    chosen: list[str] = []
    position = 1
    while position in longest:
        chosen.append(segment_name(position, longest[position]))
        position = longest[position] + 1
    if longest and position <= max(longest.values()):
        raise DataLoss(f"the segment that begins with position {position} is missing")
    return chosen


def written(before: bytes, records: Sequence[EventRecord]) -> bytes:
    """Return the bytes of a segment: the same for the same events.

    Args:
        before: the link of the chain before the first.
        records: at least one, without a gap.
    """
    head = {
        "format": FORMAT,
        "first": records[0].position,
        "last": records[-1].position,
        "chain_before": before.hex(),
        "chain": records[-1].chain.hex(),
    }
    lines = [_line(head), *(_line(row_of(record)) for record in records)]
    return gzip.compress(b"".join(lines), 6, mtime=0)


def read(name: str, data: bytes, link: bytes, after: int) -> Segment:
    """Return the events of a segment that follows on from a link of the chain.

    Raises:
        DataLoss: it is not as it was written; names the first position that is not.
    """
    try:
        lines = gzip.decompress(data).splitlines()
        head = json.loads(lines[0])
        before, first, last = bytes.fromhex(head["chain_before"]), head["first"], head["last"]
        known = head["format"] == FORMAT
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataLoss(f"{name} cannot be read, from position {after + 1} on: {error}") from error
    if not known or segment_name(first, last) != name or first != after + 1:
        raise DataLoss(f"{name} is not what its name says, from position {after + 1} on")
    if before != link:
        raise DataLoss(f"{name} does not follow on from position {after}")
    records: list[EventRecord] = []
    digests: list[bytes] = []
    for position, line in enumerate(lines[1:], start=first):
        try:
            record = record_of(json.loads(line))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise DataLoss(f"{name}: event {position} does not read: {error}") from error
        digest = leaf(record)
        link = hashlib.sha256(link + digest).digest()
        if record.position != position or record.chain != link:
            raise DataLoss(f"{name}: event {position} is not as recorded")
        records.append(record)
        digests.append(digest)
    if len(records) != last - first + 1 or head.get("chain") != link.hex():
        raise DataLoss(f"{name} ends at position {first + len(records) - 1}, not at {last}")
    return Segment(before, records, digests)


def row_of(record: EventRecord) -> dict[str, object]:
    """Return an event as a line of a segment has it."""
    return {
        "position": record.position,
        "event_id": record.event_id.hex,
        "org_id": record.org_id,
        "category": record.category,
        "stream_id": record.stream_id.hex,
        "version": record.version,
        "type": record.type,
        "payload": base64.b64encode(record.payload).decode("ascii"),
        "actor": record.actor,
        "resource": record.resource,
        "correlation_id": record.correlation_id.hex,
        "causation_id": record.causation_id.hex if record.causation_id else "",
        "traceparent": record.traceparent,
        "recorded_at_us": (record.recorded_at - _EPOCH) // timedelta(microseconds=1),
        "chain": record.chain.hex(),
    }


def record_of(row: Mapping[str, object]) -> EventRecord:
    """Return the event that a line says.

    Raises:
        ValueError, KeyError: it says none.
    """
    causation = str(row["causation_id"])
    return EventRecord(
        position=Position(_whole(row, "position")),
        event_id=UUID(str(row["event_id"])),
        org_id=str(row["org_id"]),
        category=str(row["category"]),
        stream_id=UUID(str(row["stream_id"])),
        version=Version(_whole(row, "version")),
        type=str(row["type"]),
        payload=base64.b64decode(str(row["payload"]), validate=True),
        actor=str(row["actor"]),
        resource=str(row["resource"]),
        correlation_id=UUID(str(row["correlation_id"])),
        causation_id=UUID(causation) if causation else None,
        traceparent=str(row["traceparent"]),
        recorded_at=_EPOCH + timedelta(microseconds=_whole(row, "recorded_at_us")),
        chain=bytes.fromhex(str(row["chain"])),
    )


def _whole(row: Mapping[str, object], name: str) -> int:
    value = row[name]
    if not isinstance(value, int):
        raise ValueError(f"{name} is no number")
    return value


def _line(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
