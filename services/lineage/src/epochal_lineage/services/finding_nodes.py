"""Finding the nodes that a caller names, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation

from epochal_lineage.projections.facts.stating import artifact
from epochal_lineage.projections.graph import node_id
from epochal_lineage.store import graph
from epochal_lineage.store.graph import FoundNode, GraphStore, Scope

FAMILIES: Final = frozenset({pb.NODE_KIND_JOB, pb.NODE_KIND_DATASET_FAMILY, pb.NODE_KIND_MODEL})

#: Edges that do not lead from data to data; a walk follows them only when it is asked to.
CONTROL: Final = frozenset({pb.EDGE_KIND_TRIGGERED, pb.EDGE_KIND_CONTAINS, pb.EDGE_KIND_RESTARTED})
FLOW: Final = tuple(sorted(set(pb.EdgeKind.values()) - CONTROL - {pb.EDGE_KIND_UNSPECIFIED}))


async def find_node(
    store: GraphStore, name: str, parent: str, scope: Scope, field: str = "node"
) -> FoundNode:
    """Return the node of a name; that of an artifact without its version is the newest one.

    Raises:
        InvalidArgument: the name does not lie in `parent`.
        NotFound: there is none, or none yet; another organisation's is never looked at.
    """
    if not name.startswith(f"{parent}/"):
        raise InvalidArgument(
            f"{field} must lie in {parent}",
            violations=[Violation(field, "inside_parent", f"starts with {parent}/")],
        )
    names = [name]
    run, found, path = name.partition("/artifacts/")
    if found:
        names += [artifact(run, path, row.sha256.hex()) for row in await store.artifacts(run, path)]
    ids = [node_id(one) for one in names]
    nodes = {node.id: node for node in await store.nodes(ids, scope)}
    for one in ids:
        if one in nodes:
            return nodes[one]
    raise NotFound(f"there is no {name} in the graph", resource=name)


@dataclass(frozen=True, slots=True)
class Starts:
    """Where a walk starts, and whether a family has older members that it leaves out."""

    ids: list[UUID]
    cut: bool = False


async def starts_of(store: GraphStore, node: FoundNode, scope: Scope) -> Starts:
    """Return where a walk from a node starts: a family stands for all its runs or versions."""
    if node.kind not in FAMILIES:
        return Starts([node.id])
    members = await store.members(node.id, scope)
    cut = len(members) > graph.MOST_MEMBERS
    return Starts([node.id, *sorted(members[: graph.MOST_MEMBERS])], cut)
