"""GraphService: questions to the graph at any moment of its history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.projections.graph import node_id
from epochal_lineage.projections.graph_rows import OPEN
from epochal_lineage.services.finding_nodes import FLOW, Starts, find_node, starts_of
from epochal_lineage.services.graph_messages import shown_column, shown_graph, shown_nodes
from epochal_lineage.services.moments import Moments
from epochal_lineage.store.graph import (
    FoundColumn,
    FoundEdge,
    FoundNode,
    GraphStore,
    Scope,
    Steps,
)
from epochal_lineage.traversal import Walked, shortest_path, walk, walk_columns

DEFAULT_DEPTH: Final = 20
DEFAULT_EDGES: Final = 1_000
MOST_EDGES: Final = 100_000
MOST_MODELS: Final = 1_000

_KINDS: Final = frozenset(pb.NodeKind.values()) - {pb.NODE_KIND_UNSPECIFIED}
_SERVED: Final = frozenset({pb.NODE_KIND_DEPLOYMENT})
_HELD: Final = frozenset({pb.NODE_KIND_MODEL_ALIAS, pb.NODE_KIND_MODEL_STAGE})


class GraphQueries:
    """Handlers of GraphService, but for the one that explains."""

    def __init__(self, store: GraphStore, moments: Moments) -> None:
        self._store = store
        self._moments = moments

    async def get_graph_node(
        self, request: pb.GetGraphNodeRequest, context: CallContext
    ) -> pb.GraphNode:
        """Return one node."""
        scope = await self._scope(request.parent, request.as_of, context)
        node = await find_node(self._store, request.node, request.parent, scope)
        (shown,) = await shown_nodes(self._store, [node], scope, {})
        return shown

    async def list_graph_nodes(
        self, request: pb.ListGraphNodesRequest, context: CallContext
    ) -> pb.ListGraphNodesResponse:
        """List nodes by name; every page is of the moment of the first."""
        after, scope = "", await self._scope(request.parent, request.as_of, context)
        if request.page_token:
            position, after = _unpack(request.page_token)
            scope = replace(scope, position=position)
        size = request.page_size or paging.DEFAULT_PAGE
        found = await self._store.by_name(
            scope,
            after,
            set(request.node_kinds) - {pb.NODE_KIND_UNSPECIFIED} or _KINDS,
            request.text,
            node_id(request.family) if request.family else None,
            size + 1,
        )
        page = found[:size]
        return pb.ListGraphNodesResponse(
            nodes=await shown_nodes(self._store, page, scope, {}),
            next_page_token=(
                paging.pack(f"{scope.position} {page[-1].name}") if len(found) > size else ""
            ),
            position=scope.position,
        )

    async def traverse_graph(
        self, request: pb.TraverseGraphRequest, context: CallContext
    ) -> pb.TraverseGraphResponse:
        """Follow the graph from one node; every page is of the moment of the first."""
        scope = await self._scope(request.parent, request.as_of, context)
        passed = 0
        if request.page_token:
            position, number = _unpack(request.page_token)
            if not number.isdigit() or len(number) > 6:
                raise paging.foreign()
            scope, passed = replace(scope, position=position), int(number)
        after = 0
        if request.HasField("since"):
            after = await self._moments.of(request.since, "since", context)
        node = await find_node(self._store, request.node, request.parent, scope)
        jobs = request.grain == pb.LINEAGE_GRAIN_JOB
        starts = await self._starts(node, scope, jobs=jobs)
        size = request.page_size or DEFAULT_EDGES
        walked = await walk(
            self._store,
            scope,
            starts.ids,
            _ways(request.direction, _kinds(request.edge_kinds), after, jobs=jobs),
            request.depth or DEFAULT_DEPTH,
            passed + size,
        )
        edges = list(walked.edges.values())[passed:]
        nodes = await self._ends(edges, scope, [node.id])
        if request.node_kinds:
            nodes = [one for one in nodes if one.kind in request.node_kinds]
        token = paging.pack(f"{scope.position} {passed + size}") if walked.truncated else ""
        shown, bonds = await shown_graph(self._store, nodes, edges, scope, walked.distances)
        return pb.TraverseGraphResponse(
            nodes=shown,
            edges=bonds,
            next_page_token=token,
            position=scope.position,
            starts_cut=starts.cut,
        )

    async def assess_impact(
        self, request: pb.AssessImpactRequest, context: CallContext
    ) -> pb.AssessImpactResponse:
        """Return what something has reached, and which models rely on it."""
        scope = await self._scope(request.parent, request.as_of, context)
        node = await find_node(self._store, request.node, request.parent, scope)
        starts = await starts_of(self._store, node, scope)
        ways = _ways(pb.LINEAGE_DIRECTION_DOWNSTREAM, FLOW, 0, jobs=False)
        depth = request.depth or DEFAULT_DEPTH
        walked = await walk(self._store, scope, starts.ids, ways, depth, MOST_EDGES)
        found = await self._store.nodes(walked.distances, scope)
        begun = set(starts.ids)
        nodes = {one.id: one for one in found if one.id not in begun}
        counts = Counter(one.kind for one in nodes.values())
        live = [one for one in nodes.values() if one.kind in _SERVED and one.until > scope.position]
        return pb.AssessImpactResponse(
            counts=[
                pb.KindCount(kind=cast("pb.NodeKind", kind), count=count)
                for kind, count in sorted(counts.items())
            ],
            models=await self._reached(nodes, walked, scope),
            deployments=await shown_nodes(self._store, live, scope, walked.distances),
            truncated=walked.truncated or starts.cut,
            position=scope.position,
        )

    async def find_graph_path(
        self, request: pb.FindGraphPathRequest, context: CallContext
    ) -> pb.FindGraphPathResponse:
        """Find a shortest way from one node to another, or back."""
        scope = await self._scope(request.parent, request.as_of, context)
        ends = [
            await starts_of(
                self._store,
                await find_node(self._store, name, request.parent, scope, field),
                scope,
            )
            for name, field in ((request.source, "source"), (request.target, "target"))
        ]
        kinds, depth = _kinds(request.edge_kinds), request.depth or DEFAULT_DEPTH
        near, far = ends[0].ids, ends[1].ids
        cut = ends[0].cut or ends[1].cut
        path = await shortest_path(self._store, scope, near, far, kinds, depth, MOST_EDGES)
        if path is None:
            back = await shortest_path(self._store, scope, far, near, kinds, depth, MOST_EDGES)
            path = back and back[::-1]
        if path is None:
            return pb.FindGraphPathResponse(position=scope.position, starts_cut=cut)
        nodes = await self._ends(path, scope, near[:1] if not path else [])
        order = _order(path, near)
        shown, edges = await shown_graph(self._store, nodes, path, scope, order)
        return pb.FindGraphPathResponse(
            found=True, nodes=shown, edges=edges, position=scope.position, starts_cut=cut
        )

    async def traverse_columns(
        self, request: pb.TraverseColumnsRequest, context: CallContext
    ) -> pb.TraverseColumnsResponse:
        """Follow columns of datasets; without a direction, both ways."""
        scope = await self._scope(request.parent, request.as_of, context)
        node = await find_node(self._store, request.dataset, request.parent, scope, "dataset")
        begun = await starts_of(self._store, node, scope)
        starts = [(one, request.column) for one in begun.ids]
        most = request.max_edges or DEFAULT_EDGES
        edges: list[FoundColumn] = []
        truncated = begun.cut
        for upstream in _directions(request.direction):
            some, cut = await walk_columns(
                self._store,
                scope,
                starts,
                upstream,
                request.depth or DEFAULT_DEPTH,
                most - len(edges),
            )
            edges += some
            truncated = truncated or cut
        ids = {one for edge in edges for one in (edge.source, edge.target)}
        names = {one.id: one.name for one in await self._store.nodes(ids, scope)}
        return pb.TraverseColumnsResponse(
            edges=[
                shown_column(edge, names)
                for edge in edges
                if edge.source in names and edge.target in names
            ],
            truncated=truncated,
            position=scope.position,
        )

    async def _scope(self, parent: str, moment: pb.Moment, context: CallContext) -> Scope:
        return Scope.of(parent, await self._moments.of(moment, "as_of", context))

    async def _starts(self, node: FoundNode, scope: Scope, *, jobs: bool) -> Starts:
        if jobs:
            return Starts([node.parent if node.parent.int else node.id])
        return await starts_of(self._store, node, scope)

    async def _ends(
        self, edges: Sequence[FoundEdge], scope: Scope, also: Collection[UUID]
    ) -> list[FoundNode]:
        ids = {one for edge in edges for one in (edge.source, edge.target)} | set(also)
        return await self._store.nodes(ids, scope)

    async def _reached(
        self, nodes: dict[UUID, FoundNode], walked: Walked, scope: Scope
    ) -> list[pb.ReachedModel]:
        found: dict[UUID, pb.ReachedModel] = {
            one.id: pb.ReachedModel(name=one.name, distance=walked.distances[one.id])
            for one in nodes.values()
            if one.kind == pb.NODE_KIND_MODEL_VERSION and one.until > scope.position
        }
        steps = Steps(upstream=False, kinds=(pb.EDGE_KIND_HOLDS, pb.EDGE_KIND_DEPLOYED_AS))
        edges = await self._store.step(list(found), scope, steps, MOST_EDGES)
        others = {
            one.id: one
            for one in await self._store.nodes({edge.target for edge in edges}, scope)
            if one.until > scope.position
        }
        for edge in edges:
            model, other = found[edge.source], others.get(edge.target)
            if other is not None and other.kind in _HELD:
                model.holds.append(other.label)
            elif other is not None:
                model.deployments.append(other.name)
        for model in found.values():
            model.serving = bool(model.holds or model.deployments)
        ordered = sorted(found.values(), key=lambda model: (not model.serving, model.name))
        return ordered[:MOST_MODELS]


def _ways(
    direction: pb.LineageDirection, kinds: tuple[int, ...], after: int, *, jobs: bool
) -> list[Steps]:
    return [
        Steps(upstream=upstream, kinds=kinds, after=after, jobs=jobs)
        for upstream in _directions(direction)
    ]


def _directions(direction: pb.LineageDirection) -> list[bool]:
    """Whether to go upstream, for each way to go."""
    if direction == pb.LINEAGE_DIRECTION_UNSPECIFIED:
        return [True, False]
    return [direction == pb.LINEAGE_DIRECTION_UPSTREAM]


def _kinds(kinds: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(set(kinds) - {pb.EDGE_KIND_UNSPECIFIED})) or FLOW


def _order(path: Sequence[FoundEdge], starts: Collection[UUID]) -> dict[UUID, int]:
    """Where on the way each node lies."""
    if not path:
        return {}
    here = path[0].source if path[0].source in starts else path[0].target
    order: dict[UUID, int] = {}
    for number, edge in enumerate(path):
        order[here] = number
        here = edge.source if edge.target == here else edge.target
    order[here] = len(path)
    return order


def _unpack(token: str) -> tuple[int, str]:
    position, _, rest = paging.unpack(token).partition(" ")
    if not position.isdigit() or len(position) > 18 or not rest:
        raise paging.foreign()
    return min(int(position), OPEN - 1), rest
