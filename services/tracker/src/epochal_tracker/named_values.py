"""Parameters, outputs and tags as rows of one narrow table, which searches find by value.

The read model shows them out of the run's own row; here each is once more, as text and, when it is
one, as a number. A text that is written as a number counts as one: clients of MLflow log all
parameters as text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.projections.rows import Rows
from google.protobuf.message import Message

from epochal_tracker.domain.comparing import value_text
from epochal_tracker.rows import RUN_FIELDS, RunFieldRow, RunRow

_NUMBER: Final = re.compile(
    r"[+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][+-]?\d{1,3})?", re.ASCII
)


#: Events that change named values: most events change none.
KINDS: Final = (
    pb.RunCreated,
    pb.ParamsLogged,
    pb.TagsSet,
    pb.RunOutputsRecorded,
    pb.RunReused,
)


def write(rows: Rows, run: RunRow, payload: Message) -> None:
    """Write what an event changes; `run` is the run before it, or as it was created."""
    for row in _values(run, payload):
        rows.put(RUN_FIELDS, row)
    match payload:
        case pb.RunCreated():
            _put_tags(rows, run, payload.tags)
        case pb.TagsSet():
            set_to, removed = tags_of(payload)
            _put_tags(rows, run, set_to)
            for name in removed:
                rows.delete(RUN_FIELDS, run.run_id, "t", name)
        case _:
            pass


def tags_of(event: pb.TagsSet) -> tuple[dict[str, str], list[str]]:
    """Return the tags that an event sets, empty ones among them, and the names it removes."""
    set_to = {name: value for name, value in event.tags.items() if value}
    set_to |= dict.fromkeys(event.emptied, "")
    return set_to, [name for name in event.tags if name not in set_to]


def number_of(value: pb.Value) -> float | None:
    """Return the number that a value is, None for none and for NaN."""
    match value.WhichOneof("kind"):
        case "int_value":
            number = float(value.int_value)
        case "double_value":
            number = value.double_value
        case "string_value" if _NUMBER.fullmatch(value.string_value):
            number = float(value.string_value)
        case _:
            return None
    return None if math.isnan(number) else number


def _put_tags(rows: Rows, run: RunRow, tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        rows.put(RUN_FIELDS, RunFieldRow(run.run_id, "t", name, value, None))


def _values(run: RunRow, payload: Message) -> Iterator[RunFieldRow]:
    match payload:
        case pb.RunCreated():
            yield from _rows(run.run_id, "p", payload.params)
        case pb.ParamsLogged():
            known = json.loads(run.params)
            new = {name: value for name, value in payload.params.items() if name not in known}
            yield from _rows(run.run_id, "p", new)
        case pb.RunOutputsRecorded() | pb.RunReused():
            yield from _rows(run.run_id, "o", payload.outputs)
        case _:
            return


def _rows(run_id: UUID, kind: str, values: Mapping[str, pb.Value]) -> Iterator[RunFieldRow]:
    for name, value in values.items():
        yield RunFieldRow(run_id, kind, name, value_text(value), number_of(value))
