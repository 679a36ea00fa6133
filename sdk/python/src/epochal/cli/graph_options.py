"""How the graph is asked on the command line: names of nodes and edges, options in common."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, cast

import epochal_proto.v1 as pb
import typer

from epochal.cli.lineage import Direction

NodeArgument = Annotated[
    str,
    typer.Argument(help="Full name, models/M/versions/N, datasets/D, jobs/J, ..., or a run."),
]
DepthOption = Annotated[int, typer.Option(min=0, max=100, help="How far; 0 means 20.")]
AsOfOption = Annotated[
    str, typer.Option("--as-of", help="A position, or a time such as 2026-11-23T12:00; now.")
]
OrgOption = Annotated[
    bool, typer.Option("--org", help="In the whole organisation, not only the project.")
]


class EdgeName(StrEnum):
    """How two nodes are bound."""

    used = "used"
    produced = "produced"
    registered_as = "registered-as"
    trained = "trained"
    ran = "ran"
    derived = "derived"
    deployed_as = "deployed-as"
    holds = "holds"
    reused = "reused"
    triggered = "triggered"
    contains = "contains"
    restarted = "restarted"


class NodeName(StrEnum):
    """What a node is."""

    run = "run"
    dataset = "dataset"
    artifact = "artifact"
    model_version = "model-version"
    logged_model = "logged-model"
    job = "job"
    dataset_family = "dataset-family"
    model = "model"
    deployment = "deployment"
    feature_set = "feature-set"
    code = "code"
    model_alias = "model-alias"
    model_stage = "model-stage"


DIRECTIONS: Final = {
    Direction.both: pb.LINEAGE_DIRECTION_UNSPECIFIED,
    Direction.upstream: pb.LINEAGE_DIRECTION_UPSTREAM,
    Direction.downstream: pb.LINEAGE_DIRECTION_DOWNSTREAM,
}
AlongOption = Annotated[
    list[EdgeName] | None,
    typer.Option("--along", help="Only along these edges; again for more. All data flow."),
]
KindOption = Annotated[
    list[NodeName] | None,
    typer.Option("--kind", help="Show only these nodes; again for more."),
]
SinceOption = Annotated[
    str, typer.Option("--since", help="Only along edges made after this position or time.")
]
JobsOption = Annotated[
    bool, typer.Option("--jobs", help="Jobs, datasets and models: the union over the window.")
]
MostOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many edges.")]


def edges(names: list[EdgeName] | None) -> list[pb.EdgeKind]:
    """Returns what the edges are on the wire."""
    values = (pb.EdgeKind.Value(f"EDGE_KIND_{_upper(name)}") for name in names or ())
    return [cast("pb.EdgeKind", value) for value in values]


def kinds(names: list[NodeName] | None) -> list[pb.NodeKind]:
    """Returns what the nodes are on the wire."""
    values = (pb.NodeKind.Value(f"NODE_KIND_{_upper(name)}") for name in names or ())
    return [cast("pb.NodeKind", value) for value in values]


def _upper(name: StrEnum) -> str:
    return name.value.upper().replace("-", "_")
