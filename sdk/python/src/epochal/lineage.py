"""Asking the graph of lineage from Python: what came from what, as of any moment.

    with epochal.Client(config.find()) as client:
        graph = Lineage(client, "orgs/acme/projects/vision")
        for edge in graph.walk("models/digits/versions/3", upstream=True).edges:
            print(edge.source, "->", edge.target)
        for model in graph.impact("datasets/raw").models:
            print(model.name, "serves" if model.serving else "")

Nodes are named in full, or from the project on. Answers are the platform's own messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import epochal_proto.v1 as pb
from epochal_proto.v1.services import GraphService

from epochal import names
from epochal.client import Client

#: A position of the log, a time, or None for now.
Moment = int | datetime | pb.Moment | None


class Lineage:
    """The graph of a project, or of a whole organisation for who may read lineage in all of it."""

    def __init__(self, client: Client, project: str, *, whole_org: bool = False) -> None:
        self._client = client
        self._project = project
        self._parent = names.org_of(project) if whole_org else project

    def node(self, node: str, *, as_of: Moment = None) -> pb.GraphNode:
        """One node.

        Raises:
            NotFound: There is none of this name, or was none then.
        """
        request = pb.GetGraphNodeRequest(
            parent=self._parent, node=self._full(node), as_of=moment(as_of)
        )
        return self._client.call(GraphService.GET_GRAPH_NODE, request)

    def nodes(
        self,
        kinds: Iterable[pb.NodeKind] = (),
        *,
        text: str = "",
        family: str = "",
        as_of: Moment = None,
    ) -> Iterator[pb.GraphNode]:
        """Nodes by name: of these kinds, with this text in it, runs or versions of a family."""
        request = pb.ListGraphNodesRequest(
            parent=self._parent,
            node_kinds=kinds,
            text=text,
            family=self._full(family) if family else "",
            as_of=moment(as_of),
            page_size=1000,
        )
        while True:
            page = self._client.call(GraphService.LIST_GRAPH_NODES, request)
            yield from page.nodes
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def walk(
        self,
        node: str,
        *,
        upstream: bool,
        depth: int = 0,
        as_of: Moment = None,
        since: Moment = None,
        edge_kinds: Iterable[pb.EdgeKind] = (),
        node_kinds: Iterable[pb.NodeKind] = (),
        jobs: bool = False,
        limit: int = 1_000,
    ) -> pb.TraverseGraphResponse:
        """What a node came from, or what came of it.

        Args:
            node: Where to start; a dataset, model or job stands for all its versions or runs.
            upstream: Against the direction data flows.
            depth: How many edges far; 0 means 20.
            as_of: As it stood then.
            since: Only along edges that were made after this.
            edge_kinds: Only along these; by default along all through which data flows.
            node_kinds: Only these are in the answer.
            jobs: Jobs, datasets and models instead of their runs and versions.
            limit: At most so many edges; `next_page_token` is set when there are more.

        `starts_cut` is set when the node has more versions or runs than the walk began at.

        Raises:
            NotFound: There is no such node.
        """
        way = pb.LINEAGE_DIRECTION_UPSTREAM if upstream else pb.LINEAGE_DIRECTION_DOWNSTREAM
        request = pb.TraverseGraphRequest(
            parent=self._parent,
            node=self._full(node),
            direction=way,
            depth=depth,
            as_of=moment(as_of),
            since=moment(since) if since not in (None, pb.Moment()) else None,
            edge_kinds=edge_kinds,
            node_kinds=node_kinds,
            grain=pb.LINEAGE_GRAIN_JOB if jobs else pb.LINEAGE_GRAIN_UNSPECIFIED,
        )
        whole, nodes = pb.TraverseGraphResponse(), dict[str, pb.GraphNode]()
        while True:
            request.page_size = min(limit - len(whole.edges), 10_000)
            page = self._client.call(GraphService.TRAVERSE_GRAPH, request)
            nodes |= {one.name: one for one in page.nodes}
            whole.edges.extend(page.edges)
            whole.position, whole.next_page_token = page.position, page.next_page_token
            whole.starts_cut = page.starts_cut
            if not page.next_page_token or len(whole.edges) >= limit:
                break
            request.page_token = page.next_page_token
        whole.nodes.extend(sorted(nodes.values(), key=lambda one: (one.distance, one.name)))
        return whole

    def impact(self, node: str, *, depth: int = 0, as_of: Moment = None) -> pb.AssessImpactResponse:
        """What a node has reached: how much of each kind, and which models rely on it.

        Raises:
            NotFound: There is no such node.
        """
        request = pb.AssessImpactRequest(
            parent=self._parent, node=self._full(node), depth=depth, as_of=moment(as_of)
        )
        return self._client.call(GraphService.ASSESS_IMPACT, request)

    def path(
        self, source: str, target: str, *, depth: int = 0, as_of: Moment = None
    ) -> pb.FindGraphPathResponse:
        """A shortest way between two nodes, whichever way data flows.

        Raises:
            NotFound: There is no such node.
        """
        request = pb.FindGraphPathRequest(
            parent=self._parent,
            source=self._full(source),
            target=self._full(target),
            depth=depth,
            as_of=moment(as_of),
        )
        return self._client.call(GraphService.FIND_GRAPH_PATH, request)

    def columns(
        self,
        dataset: str,
        column: str = "",
        *,
        direction: pb.LineageDirection = pb.LINEAGE_DIRECTION_UNSPECIFIED,
        depth: int = 0,
        as_of: Moment = None,
    ) -> pb.TraverseColumnsResponse:
        """What columns of a dataset came from, and what came of them.

        Raises:
            NotFound: There is no such dataset.
        """
        request = pb.TraverseColumnsRequest(
            parent=self._parent,
            dataset=self._full(dataset),
            column=column,
            direction=direction,
            depth=depth,
            as_of=moment(as_of),
        )
        return self._client.call(GraphService.TRAVERSE_COLUMNS, request)

    def why(self, node: str, *, depth: int = 0, as_of: Moment = None) -> pb.ExplainNodeResponse:
        """Why a run, a model version or a deployment is there: each cause after what it explains.

        Raises:
            NotFound: There is no such node.
        """
        request = pb.ExplainNodeRequest(
            parent=self._parent, node=self._full(node), depth=depth, as_of=moment(as_of)
        )
        return self._client.call(GraphService.EXPLAIN_NODE, request)

    def _full(self, node: str) -> str:
        return node if node.startswith("orgs/") else f"{self._project}/{node}"


def moment(at: Moment) -> pb.Moment:
    """A moment as the platform takes it; a time without a zone is in this machine's."""
    if isinstance(at, pb.Moment):
        return at
    if isinstance(at, datetime):
        found = pb.Moment()
        found.time.FromDatetime(at.astimezone(UTC))
        return found
    return pb.Moment(position=at or 0)
