"""Walking the graph level by level: cycle safe, bounded in depth and in edges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb

from epochal_lineage.projections.rows import EdgeRow
from epochal_lineage.store.graph import GraphStore

_Step = Callable[[Sequence[str], str, int], Awaitable[list[EdgeRow]]]


@dataclass(frozen=True, slots=True)
class Walked:
    """Edges met, in the order they were met, and whether the limit cut the walk short."""

    edges: list[EdgeRow]
    truncated: bool


async def walk(
    store: GraphStore,
    project: str,
    start: str,
    direction: pb.LineageDirection,
    depth: int,
    max_edges: int,
) -> Walked:
    """Follow edges from a node; both directions are two walks from the same node."""
    steps: list[_Step] = []
    if direction != pb.LINEAGE_DIRECTION_DOWNSTREAM:
        steps.append(store.upstream)
    if direction != pb.LINEAGE_DIRECTION_UPSTREAM:
        steps.append(store.downstream)
    found: dict[tuple[str, str, int], EdgeRow] = {}
    truncated = False
    for step in steps:
        upstream = step == store.upstream
        seen, level = {start}, [start]
        for _ in range(depth):
            edges = await step(level, project, max_edges + 1)
            reached: dict[str, None] = {}
            for edge in edges:
                key = (edge.source, edge.target, edge.kind)
                if key not in found and len(found) >= max_edges:
                    truncated = True
                    break
                found[key] = edge
                other = edge.source if upstream else edge.target
                if other not in seen:
                    seen.add(other)
                    reached[other] = None
            level = list(reached)
            if truncated or not level:
                break
    return Walked(list(found.values()), truncated)
