"""Walking the graph level by level: cycle safe, bounded in depth and in edges.

One query a level with the ids of the level's new nodes, the visited set in memory: no node is
expanded twice, whatever cycles there are, and the walk stops as soon as it has enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from epochal_lineage.store.graph import FoundColumn, FoundEdge, Scope, Steps

EdgeKey = tuple[UUID, UUID, int]


class Edges(Protocol):
    """Where edges are found."""

    async def step(
        self, ids: Sequence[UUID], scope: Scope, steps: Steps, limit: int
    ) -> list[FoundEdge]:
        """Return edges at some nodes, in an order that is always the same."""
        ...


class ColumnEdges(Protocol):
    """Where column edges are found."""

    async def columns(
        self, columns: Sequence[tuple[UUID, str]], scope: Scope, *, upstream: bool, limit: int
    ) -> list[FoundColumn]:
        """Return column edges at some columns, in an order that is always the same."""
        ...


@dataclass(slots=True)
class Walked:
    """Edges in the order they were met, how far each node is, and whether a limit cut it short."""

    edges: dict[EdgeKey, FoundEdge] = field(default_factory=dict)
    distances: dict[UUID, int] = field(default_factory=dict)
    truncated: bool = False


async def walk(
    graph: Edges,
    scope: Scope,
    starts: Sequence[UUID],
    ways: Sequence[Steps],
    depth: int,
    most: int,
) -> Walked:
    """Follow edges from some nodes, each of the ways a walk of its own from the same ones."""
    walked = Walked(distances=dict.fromkeys(starts, 0))
    for steps in ways:
        seen, level = set(starts), list(starts)
        for distance in range(1, depth + 1):
            if not level or walked.truncated:
                break
            edges = await graph.step(level, scope, steps, most + 1)
            reached: dict[UUID, None] = {}
            for edge in edges:
                key = (edge.source, edge.target, edge.kind)
                if key not in walked.edges and len(walked.edges) >= most:
                    walked.truncated = True
                    break
                walked.edges.setdefault(key, edge)
                other = edge.source if steps.upstream else edge.target
                if other not in seen:
                    seen.add(other)
                    reached[other] = None
                    walked.distances.setdefault(other, distance)
            level = list(reached)
    return walked


async def shortest_path(
    graph: Edges,
    scope: Scope,
    source: Sequence[UUID],
    target: Sequence[UUID],
    kinds: tuple[int, ...],
    depth: int,
    most: int,
) -> list[FoundEdge] | None:
    """Find a shortest way along the data from one of the sources to one of the targets.

    Searches from both ends, always the smaller one, so that a hub near one end costs little.
    Returns None when there is none of `depth` edges at most, or none among `most` edges looked at.
    """
    sides = (
        _Side(Steps(upstream=False, kinds=kinds), dict.fromkeys(source), list(source)),
        _Side(Steps(upstream=True, kinds=kinds), dict.fromkeys(target), list(target)),
    )
    met = set(source) & set(target)
    looked = 0
    for _ in range(depth):
        if met:
            break
        near, far = sorted(sides, key=lambda side: len(side.level) or most)
        if not near.level:
            near, far = far, near
        if not near.level or not far.level or looked >= most:
            return None
        edges = await graph.step(near.level, scope, near.steps, most - looked)
        looked += len(edges)
        near.take(edges)
        met = set(near.level) & far.came.keys()
    if not met:
        return None
    middle = min(
        met, key=lambda node: (len(sides[0].trail(node)) + len(sides[1].trail(node)), node)
    )
    return [*reversed(sides[0].trail(middle)), *sides[1].trail(middle)]


@dataclass(slots=True)
class _Side:
    steps: Steps
    came: dict[UUID, FoundEdge | None]
    level: list[UUID]

    def take(self, edges: Sequence[FoundEdge]) -> None:
        """Go on to the nodes that are new."""
        self.level = []
        for edge in edges:
            other = edge.source if self.steps.upstream else edge.target
            if other not in self.came:
                self.came[other] = edge
                self.level.append(other)

    def trail(self, node: UUID) -> list[FoundEdge]:
        """Return the edges from a node back to where this side began."""
        trail: list[FoundEdge] = []
        while (edge := self.came[node]) is not None:
            trail.append(edge)
            node = edge.target if self.steps.upstream else edge.source
        return trail


async def walk_columns(
    graph: ColumnEdges,
    scope: Scope,
    starts: Sequence[tuple[UUID, str]],
    upstream: bool,
    depth: int,
    most: int,
) -> tuple[list[FoundColumn], bool]:
    """Follow columns; returns edges in the order they were met, and whether `most` cut it short."""
    found: dict[FoundColumn, None] = {}
    seen, level = set(starts), list(starts)
    for _ in range(depth):
        if not level:
            break
        edges = await graph.columns(level, scope, upstream=upstream, limit=most + 1)
        level = []
        for edge in edges:
            if edge not in found and len(found) >= most:
                return list(found), True
            found[edge] = None
            here = (edge.source, edge.source_column) if upstream else _target(edge)
            if here not in seen:
                seen.add(here)
                level.append(here)
    return list(found), False


def _target(edge: FoundColumn) -> tuple[UUID, str]:
    return (edge.target, edge.target_column)
