"""`epochal lineage`: what came from what, as a tree."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import LineageService
from rich.text import Text
from rich.tree import Tree

from epochal.cli.openlineage import facets
from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.references import run_name
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.names import project_of

app = typer.Typer(no_args_is_help=True, help="Lineage: what came from what.")
app.command("facets")(facets)


class Direction(StrEnum):
    """Which way to follow the graph."""

    both = "both"
    upstream = "upstream"
    downstream = "downstream"


_DIRECTIONS: Final = {
    Direction.both: pb.LINEAGE_DIRECTION_UNSPECIFIED,
    Direction.upstream: pb.LINEAGE_DIRECTION_UPSTREAM,
    Direction.downstream: pb.LINEAGE_DIRECTION_DOWNSTREAM,
}


@app.command("show")
def show_lineage(
    node: Annotated[
        str, typer.Argument(help="Full name, models/M/versions/N, datasets/..., or a run.")
    ],
    direction: Annotated[Direction, typer.Option(help="Which way.")] = Direction.both,
    depth: Annotated[int, typer.Option(min=0, max=100, help="How far; 0 means 20.")] = 0,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what a run, dataset, artifact or model version came from, and what came of it.

    For example:

        epochal lineage show models/digits/versions/3

        epochal lineage show brave-otter --direction upstream -o json
    """
    with session(project) as opened:
        if node.startswith("orgs/"):
            name = node
        elif "/" in node:
            name = f"{opened.project}/{node}"
        else:
            name = run_name(opened, node)
        request = pb.GetLineageRequest(
            parent=project_of(name), node=name, direction=_DIRECTIONS[direction], depth=depth
        )
        graph = opened.client.call(LineageService.GET_LINEAGE, request)
    if output is Output.json:
        print_json(as_json(graph))
        return
    if direction is not Direction.downstream:
        console().print(_tree(graph, name, upstream=True))
    if direction is not Direction.upstream:
        console().print(_tree(graph, name, upstream=False))
    if graph.truncated:
        errors_console().print("the graph is larger than this; give a smaller --depth")


def _tree(graph: pb.LineageGraph, root: str, *, upstream: bool) -> Tree:
    kinds = {node.name: node.kind for node in graph.nodes}
    following: dict[str, list[str]] = {}
    for edge in graph.edges:
        here, there = (edge.target, edge.source) if upstream else (edge.source, edge.target)
        following.setdefault(here, []).append(there)
    tree = Tree(Text("came from" if upstream else "led to", style="dim"))
    todo = [(tree.add(_label(root, kinds)), root)]
    seen = {root}
    while todo:
        branch, name = todo.pop()
        for other in sorted(following.get(name, ())):
            twig = branch.add(_label(other, kinds))
            if other not in seen:
                seen.add(other)
                todo.append((twig, other))
    return tree


def _label(name: str, kinds: dict[str, pb.NodeKind]) -> Text:
    kind = kinds.get(name, pb.NODE_KIND_UNSPECIFIED)
    word = pb.NodeKind.Name(kind).removeprefix("NODE_KIND_").lower().replace("_", " ")
    short = name.split("/", 4)[-1]
    return Text.assemble((f"{word} ", "dim"), (short, "bold"))
