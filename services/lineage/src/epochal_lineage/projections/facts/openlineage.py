"""What an event of OpenLineage asserts: jobs, runs, datasets, columns, and how they are bound.

Facts name only what the event itself says, and say the same of the same thing in every event, so
events may come in any order and more than once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event

from epochal_lineage.openlineage.events import LineageEvent, Thing, recorded
from epochal_lineage.openlineage.names import dataset_name, job_name, run_name, version_name
from epochal_lineage.projections.facts.stating import (
    MAX_COLUMN,
    Column,
    Edge,
    Fact,
    Node,
)

Json = Any

#: What a field of `columnLineage` says by type and subtype.
_HOW: Final[Mapping[str, int]] = {
    "IDENTITY": pb.COLUMN_TRANSFORMATION_IDENTITY,
    "TRANSFORMATION": pb.COLUMN_TRANSFORMATION_TRANSFORMATION,
    "AGGREGATION": pb.COLUMN_TRANSFORMATION_AGGREGATION,
    "JOIN": pb.COLUMN_TRANSFORMATION_JOIN,
    "GROUP_BY": pb.COLUMN_TRANSFORMATION_GROUP_BY,
    "FILTER": pb.COLUMN_TRANSFORMATION_FILTER,
    "SORT": pb.COLUMN_TRANSFORMATION_SORT,
    "WINDOW": pb.COLUMN_TRANSFORMATION_WINDOW,
    "CONDITIONAL": pb.COLUMN_TRANSFORMATION_CONDITIONAL,
}


def received(event: Event) -> Iterator[Fact]:
    """All that an event says."""
    told = event.payload
    assert isinstance(told, pb.OpenLineageReceived)
    said = recorded(told.event_json)
    return iter(()) if said is None else _told(said, told.parent)


def _told(event: LineageEvent, project: str) -> Iterator[Fact]:
    if event.dataset is not None:
        yield from _dataset(event.dataset, project)
        yield from _into_dataset(event.dataset, project, dataset_name_of(event.dataset, project))
        return
    assert event.job is not None
    job = job_node(event.job.namespace, event.job.name, project)
    yield job
    doer = job
    if event.run_id:
        doer = run_node(event.run_id, event.job.namespace, event.job.name, project)
        yield doer
        yield from _around(event.run_facets, doer, job, project)
    for one in event.inputs:
        yield from _dataset(one, project)
        for source in _versions(one, project):
            yield Edge(source, doer, pb.EDGE_KIND_USED)
    for one in event.outputs:
        yield from _dataset(one, project)
        for target in _versions(one, project):
            yield Edge(doer, target, pb.EDGE_KIND_PRODUCED)
        yield from _into_dataset(one, project, doer.name)
    yield from _explicit(event.job.facets.get("lineage"), job, project)


def job_node(namespace: str, name: str, project: str) -> Node:
    """Return a job as every event states it."""
    return Node(job_name(project, namespace, name), pb.NODE_KIND_JOB, label=name)


def run_node(run_id: str, namespace: str, name: str, project: str) -> Node:
    """Return a run as every event implies it: one of our own stays what it is."""
    job = job_name(project, namespace, name)
    kind = pb.NODE_KIND_RUN
    return Node(run_name(project, run_id), kind, label=name, parent=job, implied=True)


def dataset_name_of(one: Thing, project: str) -> str:
    """Return the resource name of a dataset."""
    return dataset_name(project, one.namespace, one.name)


def _family(namespace: str, name: str, project: str) -> Node:
    resource = dataset_name(project, namespace, name)
    return Node(resource, pb.NODE_KIND_DATASET_FAMILY, uri=f"{namespace}/{name}", label=name)


def _dataset(one: Thing, project: str) -> Iterator[Fact]:
    """A dataset, and the other names it goes by."""
    family = _family(one.namespace, one.name, project)
    yield family
    for other in _list(_facet(one.facets, "symlinks").get("identifiers")):
        names = _names(other)
        if names and names != (one.namespace, one.name):
            alias = _family(*names, project)
            yield alias
            yield Edge(alias, family, pb.EDGE_KIND_DERIVED)
            yield Edge(family, alias, pb.EDGE_KIND_DERIVED)


def _versions(one: Thing, project: str) -> Iterator[Node]:
    """What an edge of a dataset is bound to: the dataset, and its version if it was said."""
    family = _family(one.namespace, one.name, project)
    yield family
    version = _facet(one.facets, "version").get("datasetVersion")
    if isinstance(version, str) and version:
        name = version_name(family.name, version)
        yield Node(name, pb.NODE_KIND_DATASET, label=one.name, parent=family.name)


def _around(facets: Mapping[str, Json], run: Node, job: Node, project: str) -> Iterator[Fact]:
    """The run that started this one, and those it waited for or made wait."""
    parent = _facet(facets, "parent")
    for above in (parent, _object(parent.get("root"))):
        names = _names(_object(above.get("job")))
        run_id = _object(above.get("run")).get("runId")
        if names and isinstance(run_id, str) and run_id:
            yield job_node(*names, project)
            outer = run_node(run_id, *names, project)
            if above is parent and outer.name != run.name:
                yield Edge(outer, run, pb.EDGE_KIND_CONTAINS)
    dependencies = _facet(facets, "jobDependencies")
    for side in ("upstream", "downstream"):
        for one in _list(dependencies.get(side)):
            names = _names(_object(_object(one).get("job")))
            if not names:
                continue
            other = job_node(*names, project)
            yield other
            run_id = _object(_object(one).get("run")).get("runId")
            if isinstance(run_id, str) and run_id:
                other = run_node(run_id, *names, project)
            here = run if other.kind == pb.NODE_KIND_RUN else job
            pair = (other, here) if side == "upstream" else (here, other)
            if other.name != here.name:
                yield Edge(*pair, pb.EDGE_KIND_TRIGGERED)


def _into_dataset(one: Thing, project: str, via: str) -> Iterator[Fact]:
    """What a dataset's columns, or all of it, are made of."""
    target = _family(one.namespace, one.name, project)
    columns = _facet(one.facets, "columnLineage")
    for column, made in _object(columns.get("fields")).items():
        old = _object(made).get("transformationType")
        for source in _list(_object(made).get("inputFields")):
            yield from _column(source, column, target, via, old, project)
    for source in _list(columns.get("dataset")):
        yield from _column(source, "*", target, via, None, project)
    yield from _explicit(one.facets.get("lineage"), target, project, via)


def _column(
    source: Json, column: str, target: Node, via: str, old: Json, project: str
) -> Iterator[Fact]:
    names, field = _names(source), _object(source).get("field")
    if not names or not isinstance(field, str):
        return
    origin = _family(*names, project)
    for how in _list(_object(source).get("transformations")) or [{"type": old or ""}]:
        said = _object(how)
        description = said.get("description")
        yield Column(
            origin,
            field[:MAX_COLUMN],
            target,
            column[:MAX_COLUMN],
            via,
            _how(said),
            description[:MAX_COLUMN] if isinstance(description, str) else "",
            said.get("masking") is True,
        )


def _how(said: Mapping[str, Json]) -> int:
    for name in (said.get("subtype"), said.get("type")):
        if isinstance(name, str) and name.upper() in _HOW:
            return _HOW[name.upper()]
    return pb.COLUMN_TRANSFORMATION_UNSPECIFIED


def _explicit(facet: Json, target: Node, project: str, via: str = "") -> Iterator[Fact]:
    """The `lineage` facet: what goes into a dataset or job, said outright."""
    said = _object(facet)
    for one in _list(said.get("inputs")):
        yield from _flows(one, target, project)
    for column, made in _object(said.get("fields")).items():
        for one in _list(_object(made).get("inputs")):
            if isinstance(_object(one).get("field"), str):
                yield from _column(one, column, target, via or target.name, None, project)
            else:
                yield from _flows(one, target, project)
    for entry in _list(said.get("entries")):
        yield from _entry(_object(entry), target, project, via)


def _entry(entry: Mapping[str, Json], own: Node, project: str, via: str) -> Iterator[Fact]:
    names = _names(entry)
    if entry.get("type") == "DATASET" and names:
        target = _family(*names, project)
        yield target
        yield from _explicit(entry, target, project, via or own.name)
    elif entry.get("type") == "JOB":
        target = job_node(*names, project) if names else own
        yield target
        run_id = entry.get("runId")
        if names and isinstance(run_id, str) and run_id:
            target = run_node(run_id, *names, project)
        yield from _explicit({"inputs": entry.get("inputs")}, target, project)


def _flows(source: Json, target: Node, project: str) -> Iterator[Fact]:
    names = _names(source)
    if not names:
        return
    kind = _object(source).get("type")
    origin = job_node(*names, project) if kind == "JOB" else _family(*names, project)
    if origin.name == target.name:
        return
    yield origin
    if origin.kind == pb.NODE_KIND_JOB:
        made = target.kind == pb.NODE_KIND_DATASET_FAMILY
        yield Edge(origin, target, pb.EDGE_KIND_PRODUCED if made else pb.EDGE_KIND_TRIGGERED)
    else:
        read = target.kind in (pb.NODE_KIND_JOB, pb.NODE_KIND_RUN)
        yield Edge(origin, target, pb.EDGE_KIND_USED if read else pb.EDGE_KIND_DERIVED)


def _names(value: Json) -> tuple[str, str] | None:
    fields = _object(value)
    namespace, name = fields.get("namespace"), fields.get("name")
    if isinstance(namespace, str) and isinstance(name, str) and namespace and name:
        return namespace, name
    return None


def _facet(facets: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    facet = _object(facets.get(key))
    return {} if facet.get("_deleted") else facet


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
