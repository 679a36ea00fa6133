"""The graph as rows: every node, edge and column is there over a range of positions.

The newest row of a node or edge lies in slot 0. When it is revised, or comes back after its end,
the row before moves to the slot of its own position, so that a key known from an event alone finds
what is newest, and a reader of the past finds what was. Ids are made from names, so an edge can be
written before its nodes are read, and a rebuild gives the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef

from epochal_lineage.projections.facts.stating import (
    Column,
    Edge,
    EdgeEnd,
    Fact,
    Node,
    NodeEnd,
    org_of,
    project_of,
)
from epochal_lineage.projections.facts.telling import facts_of
from epochal_lineage.projections.graph_rows import (
    COLUMN_EDGES,
    EDGES,
    NODES,
    OPEN,
    RUN_ARTIFACTS,
    ColumnEdgeRow,
    EdgeRow,
    NodeRow,
    RunArtifactRow,
)

__all__ = ["GraphProjector", "node_id", "project_of"]

_NOBODY: Final = UUID(int=0)
#: More events than a batch has.
_MOST_KEPT: Final = 20_000
_MODELS: Final = frozenset({pb.NODE_KIND_MODEL_VERSION, pb.NODE_KIND_LOGGED_MODEL})


@lru_cache(maxsize=8_192)
@lru_cache(maxsize=65_536)
def node_id(name: str) -> UUID:
    """Return the id of a node: half of the sha256 of its name, too long to find two alike."""
    return UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


class GraphProjector:
    """Projects what events assert; see `facts`."""

    name = "graph"
    tables = (NODES, EDGES, COLUMN_EDGES, RUN_ARTIFACTS)

    def __init__(self) -> None:
        self._own = _Own()

    def touches(self, event: Event) -> Iterable[RowRef]:
        """The newest rows of all that the facts are about."""
        for fact in self._own.first(event):
            match fact:
                case Node(name) | NodeEnd(name):
                    yield NODES.ref(node_id(name), 0)
                case Edge(source, target, kind):
                    yield NODES.ref(node_id(source.name), 0)
                    yield NODES.ref(node_id(target.name), 0)
                    for one in {kind, *_deploying(fact)}:
                        yield _edge_ref(source.name, target.name, one)
                case EdgeEnd(source, target, kind):
                    yield _edge_ref(source, target, kind)
                case Column():
                    yield NODES.ref(node_id(fact.source.name), 0)
                    yield NODES.ref(node_id(fact.target.name), 0)
                    yield COLUMN_EDGES.ref(*COLUMN_EDGES.key_of(_column(fact, event)))

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what the facts add, revise and end."""
        for fact in self._own.again(event):
            match fact:
                case Node():
                    _see(rows, fact, event.position)
                case NodeEnd():
                    _end(rows, fact, event.position)
                case Edge():
                    _see(rows, fact.source, event.position)
                    _see(rows, fact.target, event.position)
                    _bind(rows, fact, event.position)
                case EdgeEnd():
                    row = rows.get(EDGES, *_edge_ref(fact.source, fact.target, fact.kind).key)
                    if row is not None and row.until == OPEN:
                        rows.put(EDGES, replace(row, until=event.position))
                case Column():
                    _see(rows, fact.source, event.position)
                    _see(rows, fact.target, event.position)
                    column = _column(fact, event)
                    if rows.get(COLUMN_EDGES, *COLUMN_EDGES.key_of(column)) is None:
                        rows.put(COLUMN_EDGES, column)
        if isinstance(event.payload, pb.ArtifactLogged):
            logged = event.payload
            rows.put(
                RUN_ARTIFACTS,
                RunArtifactRow(logged.run, logged.path, logged.sha256, logged.size_bytes),
            )


class _Own:
    """The facts about the organisation that an event is of; it may tell of no other.

    A batch asks twice for each event, what is touched and what is written: the facts are kept from
    the one to the other, for they may come out of a large text.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, UUID], list[Fact]] = {}

    def first(self, event: Event) -> list[Fact]:
        """Return the facts, and keep them."""
        home = f"orgs/{event.org_id}"
        facts = [
            fact for fact in facts_of(event) if all(org_of(name) == home for name in _names(fact))
        ]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[event.position, event.event_id] = facts
        return facts

    def again(self, event: Event) -> list[Fact]:
        """Return the facts, for the last time."""
        kept = self._kept.pop((event.position, event.event_id), None)
        if kept is not None:
            return kept
        facts = self.first(event)
        self._kept.pop((event.position, event.event_id))
        return facts


def _names(fact: Fact) -> tuple[str, ...]:
    match fact:
        case Node(name) | NodeEnd(name):
            return (name,)
        case Edge(source, target):
            return (source.name, target.name)
        case EdgeEnd(source, target):
            return (source, target)
        case Column():
            return (fact.source.name, fact.target.name)


def _see(rows: Rows, fact: Node, position: int) -> None:
    key = (node_id(fact.name), 0)
    row = rows.get(NODES, *key)
    if row is None:
        if fact.kind:
            rows.put(NODES, _new(fact, position))
        return
    if fact.implied or (row.until != OPEN and not fact.kind and not fact.back):
        return
    told = replace(
        row,
        kind=fact.kind or row.kind,
        digest=fact.digest or row.digest,
        uri=fact.uri or row.uri,
        label=fact.label or row.label,
        parent=node_id(fact.parent) if fact.parent else row.parent,
        parent_name=fact.parent or row.parent_name,
        implied=False,
        until=OPEN,
    )
    if told == row:
        return
    if row.implied and row.until == OPEN:
        rows.put(NODES, told)  # it is the event that was missing, nothing is revised
        return
    if row.position != position:
        rows.put(NODES, replace(row, slot=row.position, until=min(row.until, position)))
    rows.put(NODES, replace(told, position=position))


def _new(fact: Node, position: int) -> NodeRow:
    return NodeRow(
        id=node_id(fact.name),
        slot=0,
        name=fact.name,
        kind=fact.kind,
        org=org_of(fact.name),
        project=project_of(fact.name),
        digest=fact.digest,
        uri=fact.uri,
        label=fact.label,
        parent=node_id(fact.parent) if fact.parent else _NOBODY,
        parent_name=fact.parent,
        implied=fact.implied,
        first=position,
        position=position,
        until=OPEN,
    )


def _end(rows: Rows, fact: NodeEnd, position: int) -> None:
    row = rows.get(NODES, node_id(fact.name), 0)
    if row is not None and row.until == OPEN and (not fact.kind or row.kind == fact.kind):
        rows.put(NODES, replace(row, until=position))


def _bind(rows: Rows, fact: Edge, position: int) -> None:
    kind = fact.kind
    target = rows.get(NODES, node_id(fact.target.name), 0)
    assert target is not None
    if _deploying(fact) and target.kind == pb.NODE_KIND_DEPLOYMENT:
        kind = pb.EDGE_KIND_DEPLOYED_AS
    key = _edge_ref(fact.source.name, fact.target.name, kind).key
    row = rows.get(EDGES, *key)
    if row is not None and row.until == OPEN:
        return
    if row is not None:
        rows.put(EDGES, replace(row, slot=row.position))
    crosses = project_of(fact.source.name) != project_of(fact.target.name)
    rows.put(
        EDGES,
        EdgeRow(
            source=node_id(fact.source.name),
            target=node_id(fact.target.name),
            kind=kind,
            slot=0,
            crosses=crosses,
            position=position,
            until=OPEN,
        ),
    )


def _deploying(fact: Edge) -> tuple[int, ...]:
    """A model that a service reads is deployed as it."""
    reads = fact.kind == pb.EDGE_KIND_USED and fact.source.kind in _MODELS
    return (pb.EDGE_KIND_DEPLOYED_AS,) if reads else ()


def _edge_ref(source: str, target: str, kind: int) -> RowRef:
    return EDGES.ref(node_id(source), node_id(target), kind, 0)


def _column(fact: Column, event: Event) -> ColumnEdgeRow:
    return ColumnEdgeRow(
        target=node_id(fact.target.name),
        target_column=fact.target_column,
        source=node_id(fact.source.name),
        source_column=fact.source_column,
        via=fact.via,
        transformation=fact.transformation,
        description=fact.description,
        masking=fact.masking,
        crosses=project_of(fact.source.name) != project_of(fact.target.name),
        position=event.position,
    )
