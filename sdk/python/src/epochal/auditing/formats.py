"""Events for other programs: JSON Lines, CSV, CloudEvents 1.0 in JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from datetime import UTC
from enum import StrEnum
from typing import IO, Final

import epochal_proto.v1 as pb


class Format(StrEnum):
    """How events are written."""

    bundle = "bundle"
    jsonl = "jsonl"
    csv = "csv"
    cloudevents = "cloudevents"


COLUMNS: Final = (
    "position",
    "time",
    "type",
    "actor",
    "resource",
    "event_id",
    "correlation_id",
    "causation_id",
    "category",
    "stream_id",
    "version",
    "payload",
)

#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def write(events: Iterable[pb.AuditEvent], to: IO[str], how: Format) -> int:
    """Writes events, one a line, and returns how many.

    Args:
        events: As the platform lists them.
        to: A text file opened with newline="".
        how: Not `bundle`, which is no text.
    """
    if how is Format.csv:
        return _write_csv(events, to)
    line = _LINES[how]
    count = 0
    for event in events:
        to.write(json.dumps(line(event), ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    return count


def _write_csv(events: Iterable[pb.AuditEvent], to: IO[str]) -> int:
    writer = csv.writer(to)
    writer.writerow(COLUMNS)
    count = 0
    for event in events:
        row = _plain(event)
        row["payload"] = event.payload_json
        writer.writerow([_cell(row[name]) for name in COLUMNS])
        count += 1
    return count


def _plain(event: pb.AuditEvent) -> dict[str, object]:
    return {
        "position": event.position,
        "time": _time(event),
        "type": event.type,
        "actor": event.actor,
        "resource": event.resource,
        "event_id": event.event_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "category": event.category,
        "stream_id": event.stream_id,
        "version": event.version,
        "payload": json.loads(event.payload_json or "{}"),
    }


def _cloud_event(event: pb.AuditEvent) -> dict[str, object]:
    found: dict[str, object] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": f"/{event.name.partition('/events/')[0]}",
        "type": event.type,
        "subject": event.resource,
        "time": _time(event),
        "datacontenttype": "application/json",
        "position": event.position,
        "actor": event.actor,
        "correlationid": event.correlation_id,
        "data": json.loads(event.payload_json or "{}"),
    }
    if event.causation_id:
        found["causationid"] = event.causation_id
    return found


_LINES: Final[dict[Format, Callable[[pb.AuditEvent], dict[str, object]]]] = {
    Format.jsonl: _plain,
    Format.cloudevents: _cloud_event,
}


def _time(event: pb.AuditEvent) -> str:
    moment = event.record_time.ToDatetime(tzinfo=UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
