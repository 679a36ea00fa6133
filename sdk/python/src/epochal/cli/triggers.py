"""`epochal triggers`: what runs when something happens."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService

from epochal.cli.documents import read_document
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    between,
    errors_console,
    print_json,
    show_list,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.cli.specs import refused
from epochal.cli.statuses import status_text
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="Triggers: what runs when something happens.")

_LIVE = "status:~succeeded, status:~failed, status:~stopped"

_FIELDS = [
    Column[pb.Run]("ID", lambda run: run.uid[:13], "dim"),
    Column[pb.Run]("NAME", lambda run: run.display_name, "bold"),
    Column[pb.Run]("STATUS", status_text),
    Column[pb.Run]("PAUSED", lambda run: "yes" if run.paused else ""),
    Column[pb.Run]("CREATED", lambda run: when(run.create_time)),
    Column[pb.Run]("CREATOR", lambda run: run.creator),
]

_MATCHES = [
    Column[pb.TriggerMatch]("POSITION", lambda match: str(match.position), right=True),
    Column[pb.TriggerMatch]("TIME", lambda match: when(match.time)),
    Column[pb.TriggerMatch]("EVENT", lambda match: match.kind, "bold"),
    Column[pb.TriggerMatch]("RESOURCE", lambda match: match.resource.split("/", 4)[-1]),
    Column[pb.TriggerMatch]("FIRES", lambda match: "yes" if match.fires else "no"),
    Column[pb.TriggerMatch]("WHY", lambda match: match.reason),
]

_HISTORY = [
    Column[pb.Run]("FIRED", lambda run: when(run.create_time)),
    Column[pb.Run]("BECAUSE OF", lambda run: " ".join(map(_edge, run.edges))),
    Column[pb.Run]("RUN", lambda run: run.uid[:13], "dim"),
    Column[pb.Run]("STATUS", status_text),
    Column[pb.Run]("TOOK", lambda run: between(run.start_time, run.end_time), right=True),
]


@app.command("ls")
def list_triggers(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also those that have ended.")] = False,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the triggers of a project.

    For example:

        epochal triggers ls
    """
    conditions = "kind:trigger" if all_ else f"kind:trigger, {_LIVE}"
    with session(project) as opened:
        request = pb.ListRunsRequest(parent=opened.project, filter=conditions)
        found = opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit)
        show_list(
            found, _FIELDS, output, "no triggers; one is a polyaxonfile with `events` that runs"
        )


@app.command("test")
def dry_run(
    run: Annotated[str, typer.Argument(help="A trigger that runs; or give -f.")] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="A polyaxonfile, not run yet.")] = "",
    events: Annotated[
        int, typer.Option("--events", min=0, max=100_000, help="Newest events to look at.")
    ] = 1000,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show which of the newest events would have fired a trigger, and why; starts nothing.

    For example:

        epochal triggers test -f retrain.yaml

        epochal triggers test retrain --events 10000 -o json
    """
    if bool(run) == bool(file):
        raise InvalidArgument("give a trigger that runs, or -f FILE")
    with session(project) as opened:
        request = pb.TestTriggerRequest(parent=opened.project, events=events)
        if file:
            request.spec = read_document(file).text
        else:
            request.name = run_name(opened, run)
        try:
            found = opened.client.call(RunService.TEST_TRIGGER, request)
        except InvalidArgument as error:
            raise refused(error, [file or run]) from None
    if output is Output.json:
        print_json(as_json(found))
        return
    show_list(found.matches, _MATCHES, output, "none of them is of a kind it watches")
    fire = sum(match.fires for match in found.matches)
    errors_console().print(f"{fire} of {found.events} events would fire it", highlight=False)


@app.command("history")
def history(
    run: RunArgument,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List what a trigger has started, newest first, and because of which event.

    For example:

        epochal triggers history retrain
    """
    with session(project) as opened:
        name = run_name(opened, run)
        request = pb.ListRunsRequest(
            parent="/".join(name.split("/")[:4]), filter=f"pipeline:{name.rpartition('/')[2]}"
        )
        found = opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit)
        show_list(found, _HISTORY, output, "it has not fired yet: see `epochal triggers test`")


def _edge(edge: pb.RunEdge) -> str:
    return f"{edge.kind} {edge.source.rpartition('/')[2]}"
