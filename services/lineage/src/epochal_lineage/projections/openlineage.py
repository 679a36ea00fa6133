"""What other systems told, as rows: the newest of each facet, and how far a run is.

Rows do not depend on the order in which events come: of a facet the one with the latest event time
stays (between equal times the greater text), an event that ends a run counts after every other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

from epochal_lineage.openlineage.events import LineageEvent, Thing, recorded
from epochal_lineage.openlineage.names import dataset_name, job_name, run_name

_ENDS: Final = frozenset({"COMPLETE", "ABORT", "FAIL"})


@dataclass(frozen=True, slots=True)
class OpenLineageRow:
    """A run, job or dataset; `facets` is {KEY: [TIME, VALUE]} as JSON."""

    name: str
    kind: str
    namespace: str
    title: str
    state: str
    state_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    facets: str


OPENLINEAGE = Table("openlineage_node", OpenLineageRow, ("name",))


@dataclass(frozen=True, slots=True)
class _Told:
    """What an event says of one thing."""

    name: str
    kind: str
    namespace: str
    title: str
    facets: Mapping[str, Any]


class OpenLineageProjector:
    """Projects events of OpenLineage."""

    name = "openlineage"
    tables = (OPENLINEAGE,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """The rows of all that the event is about."""
        if isinstance(event.payload, pb.OpenLineageReceived):
            told = recorded(event.payload.event_json)
            for one in _things(told, event.payload.parent):
                yield OPENLINEAGE.ref(one.name)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what is newer than what is known."""
        if not isinstance(event.payload, pb.OpenLineageReceived):
            return
        told = recorded(event.payload.event_json)
        if told is None:
            return
        for one in _things(told, event.payload.parent):
            row = rows.get(OPENLINEAGE, one.name) or _unknown(one)
            if one.kind == "run":
                row = _further(row, told)
            rows.put(OPENLINEAGE, replace(row, facets=_merged(row.facets, one.facets, told.time)))


def _things(event: LineageEvent | None, project: str) -> Iterator[_Told]:
    if event is None:
        return
    if event.dataset is not None:
        yield _dataset(event.dataset, project)
        return
    assert event.job is not None
    job = event.job
    name = job_name(project, job.namespace, job.name)
    yield _Told(name, "job", job.namespace, job.name, job.facets)
    for one in (*event.inputs, *event.outputs):
        yield _dataset(one, project)
    about = {
        f"{side}/{one.namespace}/{one.name}/{key}": facet
        for side, things in (("inputs", event.inputs), ("outputs", event.outputs))
        for one in things
        for key, facet in one.about.items()
    }
    if event.run_id:
        name = run_name(project, event.run_id)
        facets = {**event.run_facets, **about}
        yield _Told(name, "run", job.namespace, job.name, facets)


def _dataset(one: Thing, project: str) -> _Told:
    name = dataset_name(project, one.namespace, one.name)
    return _Told(name, "dataset", one.namespace, one.name, one.facets)


def _unknown(one: _Told) -> OpenLineageRow:
    return OpenLineageRow(one.name, one.kind, one.namespace, one.title, "", None, None, None, "{}")


def _further(row: OpenLineageRow, event: LineageEvent) -> OpenLineageRow:
    """Move a run on: ends count after all else, then time decides."""
    if event.type == "START":
        row = replace(row, start_time=min(row.start_time or event.time, event.time))
    if event.type in _ENDS:
        row = replace(row, end_time=max(row.end_time or event.time, event.time))
    if not event.type:
        return row
    never = datetime.min.replace(tzinfo=UTC)
    known = (row.state in _ENDS, row.state_time or never, row.state)
    if known < (event.type in _ENDS, event.time, event.type):
        return replace(row, state=event.type, state_time=event.time)
    return row


def _merged(known: str, facets: Mapping[str, Any], time: datetime) -> str:
    if not facets:
        return known
    merged: dict[str, list[Any]] = json.loads(known)
    stamp = time.isoformat(timespec="microseconds")
    for key, value in facets.items():
        before = merged.get(key)
        if before is None or _order(before) < _order([stamp, value]):
            merged[key] = [stamp, value]
    return json.dumps(merged, sort_keys=True)


def _order(entry: list[Any]) -> tuple[str, str]:
    return entry[0], json.dumps(entry[1], sort_keys=True)
