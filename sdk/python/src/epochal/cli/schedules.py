"""`epochal schedules`: what runs by the clock, and when."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal.cli.decisions import ReasonOption, change, show_state
from epochal.cli.documents import read_document
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
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.cli.specs import refused
from epochal.cli.statuses import status_text
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="Schedules: what runs by the clock.")

_LIVE = "status:~succeeded, status:~failed, status:~stopped"

_FIELDS = [
    Column[pb.Run]("ID", lambda run: run.uid[:13], "dim"),
    Column[pb.Run]("NAME", lambda run: run.display_name, "bold"),
    Column[pb.Run]("STATUS", status_text),
    Column[pb.Run]("PAUSED", lambda run: "yes" if run.paused else ""),
    Column[pb.Run]("CREATED", lambda run: when(run.create_time)),
    Column[pb.Run]("CREATOR", lambda run: run.creator),
]


@app.command("ls")
def list_schedules(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also those that have ended.")] = False,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the schedules of a project.

    For example:

        epochal schedules ls

        epochal schedules ls --all -o json
    """
    conditions = "kind:schedule" if all_ else f"kind:schedule, {_LIVE}"
    with session(project) as opened:
        request = pb.ListRunsRequest(parent=opened.project, filter=conditions)
        found = opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit)
        show_list(
            found, _FIELDS, output, "no schedules; one is a polyaxonfile with `schedule` that runs"
        )


@app.command("preview")
def preview(
    run: Annotated[str, typer.Argument(help="A schedule that runs; or give -f.")] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="A polyaxonfile, not run yet.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="Ticks.")] = 10,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show when a schedule fires next, in its own time zone; starts nothing.

    For example:

        epochal schedules preview -f nightly.yaml -n 5

        epochal schedules preview nightly -o json
    """
    if bool(run) == bool(file):
        raise InvalidArgument("give a schedule that runs, or -f FILE")
    with session(project) as opened:
        request = pb.PreviewScheduleRequest(parent=opened.project, count=count)
        if file:
            request.spec = read_document(file).text
        else:
            request.name = run_name(opened, run)
        try:
            found = opened.client.call(RunService.PREVIEW_SCHEDULE, request)
        except InvalidArgument as error:
            raise refused(error, [file or run]) from None
    if output is Output.json:
        print_json(as_json(found))
        return
    if not found.times:
        errors_console().print("it fires no more", highlight=False)
    for time in found.times:
        console().print(_in_zone(time, found.timezone), highlight=False)


@app.command("pause")
def pause(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Let a schedule start nothing until it is unpaused.

    For example:

        epochal schedules pause nightly --reason "holidays"
    """
    with session(project) as opened:
        request = pb.PauseRunRequest(reason=reason)
        show_state(change(opened, RunService.PAUSE_RUN, request, run), output)


@app.command("unpause")
def unpause(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Let a paused schedule go on; its `catchup` says what happens to missed ticks.

    For example:

        epochal schedules unpause nightly
    """
    with session(project) as opened:
        request = pb.UnpauseRunRequest(reason=reason)
        show_state(change(opened, RunService.UNPAUSE_RUN, request, run), output)


def _in_zone(time: Timestamp, timezone: str) -> str:
    moment = time.ToDatetime(tzinfo=UTC)
    try:
        moment = moment.astimezone(ZoneInfo(timezone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):  # this machine does not know it
        timezone = "UTC"
    return f"{moment:%a %Y-%m-%d %H:%M:%S %z} {timezone or 'UTC'}"
