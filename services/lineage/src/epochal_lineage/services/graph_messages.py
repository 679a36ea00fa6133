"""The graph as clients see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb

from epochal_lineage.store.graph import (
    EventRef,
    FoundColumn,
    FoundEdge,
    FoundNode,
    GraphStore,
    Scope,
)


async def shown_nodes(
    store: GraphStore,
    nodes: Collection[FoundNode],
    scope: Scope,
    distances: Mapping[UUID, int],
) -> list[pb.GraphNode]:
    """Return nodes with the events that made them, nearest first, then by name."""
    events = await store.events({node.first for node in nodes})
    ordered = sorted(nodes, key=lambda node: (distances.get(node.id, 0), node.name))
    return [_node(node, scope, events, distances.get(node.id, 0)) for node in ordered]


async def shown_edges(
    store: GraphStore, edges: Sequence[FoundEdge], names: Mapping[UUID, str]
) -> list[pb.GraphEdge]:
    """Return edges with the events that made them, those only whose ends have names."""
    kept = [edge for edge in edges if edge.source in names and edge.target in names]
    events = await store.events({edge.position for edge in kept})
    return [_edge(edge, names, events) for edge in kept]


def shown_column(edge: FoundColumn, names: Mapping[UUID, str]) -> pb.ColumnEdge:
    """Return a column edge."""
    return pb.ColumnEdge(
        source=names[edge.source],
        source_column=edge.source_column,
        target=names[edge.target],
        target_column=edge.target_column,
        via=edge.via,
        transformation=cast("pb.ColumnTransformation", edge.transformation),
        description=edge.description,
        masking=edge.masking,
        position=edge.position,
    )


def _node(
    node: FoundNode, scope: Scope, events: Mapping[int, EventRef], distance: int
) -> pb.GraphNode:
    shown = pb.GraphNode(
        name=node.name,
        kind=cast("pb.NodeKind", node.kind),
        display_name=node.label,
        digest=node.digest,
        uri=node.uri,
        parent=node.parent_name,
        position=node.first,
        end_position=node.until if node.until <= scope.position else 0,
        distance=distance,
    )
    if (made := events.get(node.first)) is not None:
        shown.event_id = str(made.event_id)
        shown.time.FromDatetime(made.recorded_at)
    return shown


def _edge(
    edge: FoundEdge, names: Mapping[UUID, str], events: Mapping[int, EventRef]
) -> pb.GraphEdge:
    shown = pb.GraphEdge(
        source=names[edge.source],
        target=names[edge.target],
        kind=cast("pb.EdgeKind", edge.kind),
        position=edge.position,
        count=edge.edges,
        last_position=edge.last,
    )
    if (made := events.get(edge.position)) is not None:
        shown.event_id = str(made.event_id)
        shown.time.FromDatetime(made.recorded_at)
    return shown
