"""Rows of the graph, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from epochal_kernel.projections.tables import Table

#: End of what has not ended: greater than any position.
OPEN: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NodeRow:
    """What was known of a thing from `position` on, up to and without `until`.

    Attributes:
        slot: 0 for the newest row of the node, its own position for those before.
        parent: what it is a run or a version of; the nil UUID for nothing.
        implied: only edges have spoken of it.
        first: position of the first event that spoke of it.
    """

    id: UUID
    slot: int
    name: str
    kind: int
    org: str
    project: str
    digest: str
    uri: str
    label: str
    parent: UUID
    parent_name: str
    implied: bool
    first: int
    position: int
    until: int


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A bond between two things from `position` on, up to and without `until`.

    Attributes:
        slot: 0 for the newest row of the edge, its own position for those before.
        crosses: whether it leads from one project to another.
    """

    source: UUID
    target: UUID
    kind: int
    slot: int
    crosses: bool
    position: int
    until: int


@dataclass(frozen=True, slots=True)
class ColumnEdgeRow:
    """A column that comes from a column, as first told at `position`."""

    target: UUID
    target_column: str
    source: UUID
    source_column: str
    via: str
    transformation: int
    description: str
    masking: bool
    crosses: bool
    position: int


@dataclass(frozen=True, slots=True)
class RunArtifactRow:
    """The newest bytes at one path of a run."""

    run: str
    path: str
    sha256: bytes
    size_bytes: int = 0


NODES = Table("graph_node", NodeRow, ("id", "slot"))
EDGES = Table("graph_edge", EdgeRow, ("source", "target", "kind", "slot"))
COLUMN_EDGES = Table(
    "column_edge",
    ColumnEdgeRow,
    ("target", "target_column", "source", "source_column", "via", "transformation"),
)
RUN_ARTIFACTS = Table("run_artifact", RunArtifactRow, ("run", "path"))
