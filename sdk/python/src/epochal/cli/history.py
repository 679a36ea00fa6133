"""`epochal events`: who did what, when; and events of one's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AuditService, RunService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal.cli.output import Column, Output, as_json, console, print_json, show_list, when
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.cli.specs import parsed
from epochal.errors import InvalidArgument

app = typer.Typer(help="Events: who did what, when; and events of your own, for triggers.")

_FIELDS = [
    Column[pb.AuditEvent]("POSITION", lambda event: str(event.position), right=True),
    Column[pb.AuditEvent]("TIME", lambda event: when(event.record_time)),
    Column[pb.AuditEvent]("EVENT", lambda event: event.type.rsplit(".", 1)[-1], "bold"),
    Column[pb.AuditEvent]("ACTOR", lambda event: event.actor),
    Column[pb.AuditEvent]("RESOURCE", lambda event: event.resource.split("/", 2)[-1]),
]


@app.callback(invoke_without_command=True)
def events(
    context: typer.Context,
    actor: Annotated[str, typer.Option(help="Only by, such as users/alice.")] = "",
    resource: Annotated[str, typer.Option(help="Only on this and what is below it.")] = "",
    types: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Such as RunQueued; again for more.")
    ] = None,
    since: Annotated[str, typer.Option(help="Not before, such as 2026-11-23T12:00.")] = "",
    until: Annotated[str, typer.Option(help="Before.")] = "",
    permission: Annotated[
        str, typer.Option(help="Only what this permission allows, such as run.approve.")
    ] = "",
    correlation: Annotated[str, typer.Option(help="Only what one request caused: its UUID.")] = "",
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the events of the organisation: who did what, when.

    For example:

        epochal events --newest -n 20

        epochal events --actor users/alice --type ModelAliasSet --since 2026-11-01

        epochal events --permission access.manage --newest

        epochal events --resource orgs/default/projects/vision -o json
    """
    if context.invoked_subcommand is not None:
        return
    with session() as opened:
        request = pb.ListEventsRequest(
            parent=opened.org,
            actor=actor,
            resource=resource,
            types=types or [],
            start_time=time_stamp(since),
            end_time=time_stamp(until),
            correlation_id=correlation,
            permission=permission,
            descending=newest,
        )
        found = opened.paged(AuditService.LIST_EVENTS, request, lambda page: page.events, limit)
        show_list(found, _FIELDS, output, "no such events")


@app.command("emit")
def emit(
    kind: Annotated[str, typer.Argument(help="Such as data-arrived.")],
    attributes: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", help="NAME=VALUE that triggers filter by and use."),
    ] = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Emit an event of your own: it fires the triggers that watch `events.KIND`.

    For example:

        epochal events emit data-arrived -a rows=20 -a table=sales
    """
    with session(project) as opened:
        request = pb.EmitEventRequest(
            parent=opened.project, kind=kind, attributes=parsed(attributes, "-a")
        )
        found = opened.client.call(RunService.EMIT_EVENT, request)
    if output is Output.json:
        print_json(as_json(found))
    else:
        console().print(f"{kind} is event {found.position} of the log", highlight=False)


def time_stamp(text: str) -> Timestamp | None:
    """Reads a time; nothing means none.

    Raises:
        InvalidArgument: It is no time.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(f"{text!r} is not a time such as 2026-11-23T12:00") from None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp
