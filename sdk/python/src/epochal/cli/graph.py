"""`epochal lineage`: upstream, downstream, impact, path, columns and why, as of any moment."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from rich.text import Text
from rich.tree import Tree

from epochal.cli.graph_options import (
    DIRECTIONS,
    AlongOption,
    AsOfOption,
    DepthOption,
    JobsOption,
    KindOption,
    MostOption,
    NodeArgument,
    OrgOption,
    SinceOption,
    edges,
    kinds,
)
from epochal.cli.lineage import Direction, app
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    when,
)
from epochal.cli.past import moment
from epochal.cli.references import run_name
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.lineage import Lineage

_NODE = [
    Column[pb.GraphNode]("DISTANCE", lambda one: str(one.distance), right=True),
    Column[pb.GraphNode]("KIND", lambda one: _kind(one.kind)),
    Column[pb.GraphNode]("NAME", lambda one: _short(one.name), "bold"),
    Column[pb.GraphNode]("CALLED", lambda one: one.display_name),
    Column[pb.GraphNode]("SINCE", lambda one: when(one.time)),
    Column[pb.GraphNode]("ENDED AT", lambda one: str(one.end_position or ""), right=True),
]
_MODEL = [
    Column[pb.ReachedModel]("MODEL VERSION", lambda one: _short(one.name), "bold"),
    Column[pb.ReachedModel]("SERVING", lambda one: "yes" if one.serving else "no"),
    Column[pb.ReachedModel]("HOLDS", lambda one: ", ".join(one.holds)),
    Column[pb.ReachedModel](
        "DEPLOYED AS", lambda one: ", ".join(_short(name) for name in one.deployments)
    ),
    Column[pb.ReachedModel]("DISTANCE", lambda one: str(one.distance), right=True),
]
_COLUMN = [
    Column[pb.ColumnEdge]("FROM", lambda one: f"{_short(one.source)} {one.source_column}"),
    Column[pb.ColumnEdge]("TO", lambda one: f"{_short(one.target)} {one.target_column}", "bold"),
    Column[pb.ColumnEdge]("HOW", lambda one: _how(one)),
    Column[pb.ColumnEdge]("BY", lambda one: _short(one.via)),
    Column[pb.ColumnEdge]("AT", lambda one: str(one.position), right=True),
]


_CUT = "it has more than 10000 versions or runs: only the newest were followed; name one of them"


@app.command("upstream")
def upstream(
    node: NodeArgument,
    depth: DepthOption = 0,
    as_of: AsOfOption = "",
    since: SinceOption = "",
    along: AlongOption = None,
    kind: KindOption = None,
    jobs: JobsOption = False,
    limit: MostOption = 1_000,
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what something came from.

    For example:

        epochal lineage upstream models/digits/versions/3

        epochal lineage upstream models/digits/versions/3 --as-of 2026-11-23T12:00 --kind dataset

        epochal lineage upstream jobs/train --jobs --since 2026-11-01 -o json
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).walk(
            _node(opened, node),
            upstream=True,
            depth=depth,
            as_of=moment(as_of),
            since=moment(since),
            edge_kinds=edges(along),
            node_kinds=kinds(kind),
            jobs=jobs,
            limit=limit,
        )
    _show_walk(found, output)


@app.command("downstream")
def downstream(
    node: NodeArgument,
    depth: DepthOption = 0,
    as_of: AsOfOption = "",
    since: SinceOption = "",
    along: AlongOption = None,
    kind: KindOption = None,
    jobs: JobsOption = False,
    limit: MostOption = 1_000,
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what came of something.

    For example:

        epochal lineage downstream datasets/raw

        epochal lineage downstream brave-otter --kind model-version -o json

        epochal lineage downstream brave-otter --along triggered --along contains
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).walk(
            _node(opened, node),
            upstream=False,
            depth=depth,
            as_of=moment(as_of),
            since=moment(since),
            edge_kinds=edges(along),
            node_kinds=kinds(kind),
            jobs=jobs,
            limit=limit,
        )
    _show_walk(found, output)


@app.command("impact")
def impact(
    node: NodeArgument,
    depth: DepthOption = 0,
    as_of: AsOfOption = "",
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what something has reached, and which of these models are still served.

    For example:

        epochal lineage impact datasets/raw/versions/3f2a9c114a5e

        epochal lineage impact datasets/raw --org --as-of 4711 -o json
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).impact(
            _node(opened, node), depth=depth, as_of=moment(as_of)
        )
    if output is Output.json:
        print_json(as_json(found))
        return
    counted = ", ".join(f"{one.count} {_kind(one.kind)}" for one in found.counts)
    console().print(f"reached: {counted or 'nothing'}", highlight=False)
    show_list(found.models, _MODEL, output, "No model version came of it.")
    for deployment in found.deployments:
        console().print(f"serving now: {_short(deployment.name)}", highlight=False)
    if found.truncated:
        errors_console().print("there is more than 100000 edges: something may be left out")


@app.command("path")
def path(
    source: NodeArgument,
    target: NodeArgument,
    depth: DepthOption = 0,
    as_of: AsOfOption = "",
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show a shortest way between two things.

    For example:

        epochal lineage path datasets/raw models/digits/versions/3

        epochal lineage path datasets/raw models/digits/versions/3 -o json
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).path(
            _node(opened, source), _node(opened, target), depth=depth, as_of=moment(as_of)
        )
    if output is Output.json:
        print_json(as_json(found))
        return
    if not found.found:
        errors_console().print("There is no way between them that short.")
        if found.starts_cut:
            errors_console().print(_CUT)
        raise typer.Exit(1)
    show_list(found.nodes, _NODE, output, "")


@app.command("columns")
def columns(
    dataset: Annotated[str, typer.Argument(help="Full name, datasets/D or datasets/D/versions/V.")],
    column: Annotated[str, typer.Argument(help="Column; all when left out.")] = "",
    direction: Annotated[Direction, typer.Option(help="Which way.")] = Direction.both,
    depth: DepthOption = 0,
    as_of: AsOfOption = "",
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what columns of a dataset came from, and what came of them.

    For example:

        epochal lineage columns datasets/clean age --direction upstream

        epochal lineage columns datasets/clean -o json
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).columns(
            dataset, column, direction=DIRECTIONS[direction], depth=depth, as_of=moment(as_of)
        )
    if output is Output.json:
        print_json(as_json(found))
        return
    show_list(found.edges, _COLUMN, output, "Nothing is known of where columns come from or go.")
    if found.truncated:
        errors_console().print("there is more; give a smaller --depth or a column")


@app.command("why")
def why(
    node: NodeArgument,
    depth: Annotated[int, typer.Option(min=0, max=20, help="How deep; 0 means 8.")] = 0,
    as_of: AsOfOption = "",
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Tell why a run, a model version or a deployment is there: requests, triggers, approvals.

    For example:

        epochal lineage why models/digits/versions/3

        epochal lineage why brave-otter -o json
    """
    with session(project) as opened:
        found = Lineage(opened.client, opened.project, whole_org=org).why(
            _node(opened, node), depth=depth, as_of=moment(as_of)
        )
    if output is Output.json:
        print_json(as_json(found))
        return
    tree = Tree(Text(_short(node), style="bold"))
    branches = {-1: tree}
    for cause in found.causes:
        branches[cause.number] = branches[cause.explains].add(_told(cause))
    console().print(tree)
    if found.truncated:
        errors_console().print("there are more than 500 causes; give a smaller --depth")


@app.command("nodes")
def nodes(
    kind: KindOption = None,
    text: Annotated[str, typer.Option(help="Only names with this in them.")] = "",
    family: Annotated[str, typer.Option(help="Only versions or runs of this.")] = "",
    as_of: AsOfOption = "",
    org: OrgOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """List what the graph knows, by name.

    For example:

        epochal lineage nodes --kind deployment

        epochal lineage nodes --family jobs/train --as-of 4711 -o json
    """
    with session(project) as opened:
        graph = Lineage(opened.client, opened.project, whole_org=org)
        found = graph.nodes(kinds(kind), text=text, family=family, as_of=moment(as_of))
        show_list(found, _NODE[1:], output, "Nothing of that kind is known.")


def _show_walk(found: pb.TraverseGraphResponse, output: Output) -> None:
    if output is Output.json:
        print_json(as_json(found))
        return
    show_list(found.nodes, _NODE, output, "Nothing of that kind is in reach.")
    if found.next_page_token:
        errors_console().print("there is more; give a greater --limit or a smaller --depth")
    if found.starts_cut:
        errors_console().print(_CUT)


def _node(opened: Session, node: str) -> str:
    if node.startswith("orgs/") or "/" in node:
        return node
    return run_name(opened, node)


def _kind(kind: pb.NodeKind) -> str:
    return pb.NodeKind.Name(kind).removeprefix("NODE_KIND_").lower().replace("_", " ")


def _how(edge: pb.ColumnEdge) -> str:
    name = pb.ColumnTransformation.Name(edge.transformation)
    word = name.removeprefix("COLUMN_TRANSFORMATION_").lower().replace("unspecified", "")
    return " ".join(filter(None, (word, "masked" if edge.masking else "", edge.description)))


def _short(name: str) -> str:
    return name.split("/", 4)[-1] if name.startswith("orgs/") else name


def _told(cause: pb.Cause) -> Text:
    return Text.assemble(
        (f"{cause.relation} ", "dim"),
        (cause.actor, "bold"),
        f"  {cause.type} of {_short(cause.resource)}",
        (f"  {cause.detail}" if cause.detail else "", "italic"),
        (f"  {when(cause.time)}, position {cause.position}", "dim"),
    )
