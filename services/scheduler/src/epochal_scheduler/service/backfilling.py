"""A range of time as an overlay that makes a sweep of an operation: one run for each part."""

from __future__ import annotations

import json
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from pydantic import JsonValue

from epochal_scheduler.domain.schedules.backfills import Every, partitions
from epochal_scheduler.domain.schedules.plans import zone


def backfill_source(given: pb.BackfillRange) -> bytes:
    """Returns the overlay, YAML, that maps the parts of a range to runs.

    Raises:
        InvalidArgument: the range is not one, or has too many parts.
    """
    timezone = given.timezone or "UTC"
    start = _moment("start", given.start, timezone)
    end = _moment("end", given.end, timezone)
    parts = partitions(start, end, Every(given.every), timezone)
    clock = zone(timezone)

    def written(moment: datetime) -> str:
        local = moment.astimezone(clock)
        return local.isoformat() if given.every == Every.HOUR else local.date().isoformat()

    values: list[JsonValue] = []
    for part in parts:
        value: dict[str, JsonValue] = {given.param: written(part.start)}
        if given.end_param:
            value[given.end_param] = written(part.end)
        values.append(value)
    matrix: dict[str, JsonValue] = {
        "kind": "mapping",
        "values": values,
        "concurrency": given.concurrency or 1,
    }
    if given.max_failures:
        percent = min(100.0, 100.0 * given.max_failures / len(parts))
        matrix["earlyStopping"] = [{"kind": "failure_early_stopping", "percent": percent}]
    return json.dumps({"kind": "operation", "isPreset": True, "matrix": matrix}).encode()


def _moment(field: str, text: str, timezone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is no date: write it as 2026-01-31 or 2026-01-31T12:00:00+01:00"
        raise InvalidArgument(
            message, violations=[Violation(f"backfill.{field}", "date", message)]
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone(timezone))
