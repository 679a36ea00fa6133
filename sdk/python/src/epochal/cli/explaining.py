"""`epochal runs explain`, `children`, `outputs`: why a run is where it is, and what it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService
from rich.text import Text
from rich.tree import Tree

from epochal.cli.families import counts, ordered_children
from epochal.cli.output import (
    Output,
    as_json,
    between,
    console,
    errors_console,
    number,
    print_json,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.cli.statuses import PIPELINES, status_colour, status_text
from epochal.values import from_value

_DEEPEST: Final = 10
_IN_ORDER: Final = 10_000


@app.command("explain")
def explain(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Say why a run is where it is: what it waits for, who is ahead, why it was skipped or reused.

    For example:

        epochal runs explain brave-otter

        epochal runs explain brave-otter -o json
    """
    with session(project) as opened:
        request = pb.ExplainRunRequest(name=run_name(opened, run))
        found = opened.client.call(RunService.EXPLAIN_RUN, request)
    if output is Output.json:
        print_json(as_json(found))
        return
    screen = console()
    word = pb.RunStatus.Name(found.status).removeprefix("RUN_STATUS_").lower()
    rest = found.summary.removeprefix(word)
    screen.print(Text.assemble((word, "bold"), rest if rest != found.summary else f": {rest}"))
    if found.position:
        place = f"place {found.position}"
        told = [] if place in found.summary else [f"{place} in its queue"]
        if found.ahead:
            told.append(f"{len(found.ahead)} ahead")
        if told:
            screen.print(", ".join(told), highlight=False)
    if found.estimated_start_time.seconds:
        screen.print(f"may start about {when(found.estimated_start_time)}", highlight=False)
    for item in found.items:
        line = Text.assemble("  ", (item.kind, "cyan"), "  ", item.message)
        if item.resource and item.resource not in item.message:
            line.append(f"  {item.resource}", "dim")
        if item.time.seconds:
            line.append(f"  {when(item.time)}", "dim")
        screen.print(line)
    screen.print(f"[dim]as of position {found.at_position} of the log[/]", highlight=False)


@app.command("children")
def children(
    run: RunArgument,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="Children to show of each; 0 means all.")
    ] = 50,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what a pipeline made, as a tree with counts.

    For example:

        epochal runs children nightly-churn

        epochal runs children big-sweep -n 0 -o json
    """
    with session(project) as opened:
        name = run_name(opened, run)
        root = opened.client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
        if output is Output.json:
            print_json([as_json(child) for child in ordered_children(opened, root, limit)])
            return
        found = _all(opened, root)
        if not found:
            errors_console().print(f"{root.display_name} has no children", highlight=False)
            return
        tree = Tree(_line(root, found))
        _grow(opened, tree, found, limit, 1)
    console().print(tree)


@app.command("outputs")
def outputs(
    run: RunArgument,
    output_name: Annotated[str, typer.Argument(help="One output, to print its value.")] = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show the declared outputs of a run.

    For example:

        epochal runs outputs brave-otter

        epochal runs outputs brave-otter loss
    """
    with session(project) as opened:
        request = pb.GetRunRequest(name=run_name(opened, run))
        found = opened.client.call(RunService.GET_RUN, request)
    values = {name: from_value(value) for name, value in sorted(found.outputs.items())}
    if output_name:
        if output_name not in values:
            some = ", ".join(values) or "none"
            errors_console().print(
                f"[bold red]error:[/] {found.display_name} has no output {output_name!r}: {some}",
                highlight=False,
            )
            raise typer.Exit(1)
        values = {output_name: values[output_name]}
    if output is Output.json:
        print_json(values)
    elif output_name:
        typer.echo(values[output_name])
    elif not values:
        errors_console().print(f"{found.display_name} has no outputs", highlight=False)
    else:
        for name, value in values.items():
            console().print(Text.assemble((name, "bold"), f"  {value}"))


def _all(opened: Session, run: pb.Run) -> list[pb.Run]:
    return ordered_children(opened, run, _IN_ORDER)


def _grow(opened: Session, tree: Tree, found: Sequence[pb.Run], limit: int, depth: int) -> None:
    for child in found[: limit or None]:
        below = _all(opened, child) if child.kind in PIPELINES and depth < _DEEPEST else []
        branch = tree.add(_line(child, below))
        _grow(opened, branch, below, limit, depth + 1)
    if limit and len(found) > limit:
        tree.add(f"[dim]and {len(found) - limit} more: -n 0 shows all[/]")


def _line(run: pb.Run, below: Sequence[pb.Run]) -> Text:
    name = run.step or (f"#{run.iteration}" if run.iteration else run.display_name)
    line = Text.assemble(
        (name, "bold"), "  ", (status_text(run), status_colour(run)), "  ", (run.uid[:13], "dim")
    )
    if took := between(run.start_time, run.end_time):
        line.append(f"  {took}")
    if run.origin_kind in {"fork", "cache"}:
        line.append(f"  reused from {run.origin.rpartition('/')[2][:13]}", "dim")
    if run.params and not run.step:
        pairs = ((key, from_value(value)) for key, value in sorted(run.params.items()))
        line.append("  " + " ".join(f"{key}={_short(value)}" for key, value in pairs))
    if below:
        line.append(f"  ({counts(below)})")
    elif run.message and run.status != pb.RUN_STATUS_SUCCEEDED:
        line.append(f"  {run.message.strip().splitlines()[0]}", "dim")
    return line


def _short(value: str | int | float | bool) -> str:
    return number(value) if isinstance(value, float) else str(value)
