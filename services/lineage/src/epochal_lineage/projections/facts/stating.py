"""The facts there are, and the names of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import epochal_proto.v1 as pb

MAX_COLUMN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Node:
    """Something is there.

    Empty fields say nothing: they leave what is known. What differs from what is known makes a
    revision, so that a reader of the past sees what was known then.

    Attributes:
        kind: what it is; 0 leaves what is known.
        parent: name of what it is a run or a version of.
        implied: an edge speaks of it: it is made if it is unknown, and changed by nothing here.
        back: it is there again. Without it, and without a kind, what has ended stays so.
    """

    name: str
    kind: int = pb.NODE_KIND_UNSPECIFIED
    digest: str = ""
    uri: str = ""
    label: str = ""
    parent: str = ""
    implied: bool = False
    back: bool = False


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """Something is not there any more.

    Attributes:
        kind: ends it only if it is of this kind; 0 whatever it is.
    """

    name: str
    kind: int = pb.NODE_KIND_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Edge:
    """Two things are bound, in the direction data flows. Both become known by it."""

    source: Node
    target: Node
    kind: int


@dataclass(frozen=True, slots=True)
class EdgeEnd:
    """Two things are not bound any more."""

    source: str
    target: str
    kind: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a version of a dataset comes from a column of another.

    Attributes:
        via: name of the run that did it, or of the job.
        transformation: a `ColumnTransformation`.
    """

    source: Node
    source_column: str
    target: Node
    target_column: str
    via: str
    transformation: int
    description: str = ""
    masking: bool = False


Fact = Node | NodeEnd | Edge | EdgeEnd | Column


def project_of(name: str) -> str:
    """Return the project that a resource name lies in."""
    return "/".join(name.split("/")[:4])


def org_of(name: str) -> str:
    """Return the organisation that a resource name lies in."""
    return "/".join(name.split("/")[:2])


def implied(name: str, kind: int, parent: str = "") -> Node:
    """Return a node as an edge implies it."""
    return Node(name, kind, parent=parent, implied=True)


def run_node(name: str) -> Node:
    """Return a run as an edge implies it."""
    return implied(name, pb.NODE_KIND_RUN)


def dataset_node(name: str) -> Node:
    """Return a version of a dataset as an edge implies it."""
    return implied(name, pb.NODE_KIND_DATASET, family_of(name))


def version_node(name: str) -> Node:
    """Return a model version as an edge implies it."""
    return implied(name, pb.NODE_KIND_MODEL_VERSION, family_of(name))


def family_of(version: str) -> str:
    """Return the dataset or model of which this is a version; empty when it is none of one."""
    return version.rpartition("/versions/")[0]


def artifact(run: str, path: str, digest: str) -> str:
    """Return the name of the version of an artifact that has this digest, "sha256:HEX"."""
    return f"{run}/artifacts/{path}@{digest.removeprefix('sha256:')[:12]}"
