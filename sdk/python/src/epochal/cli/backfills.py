"""`epochal backfill`: run an operation for each part of a range of time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from epochal.cli.families import counts, ordered_children
from epochal.cli.launching import UploadOption, announce, create, sent_along
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    between,
    console,
    errors_console,
    print_json,
    show_list,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, Session, session
from epochal.cli.specs import FilesOption, PresetsOption, parsed, read_sources
from epochal.cli.statuses import ENDED, status_text
from epochal.cli.watching import exit_code, goes_on, wait
from epochal.values import from_value

app = typer.Typer(
    no_args_is_help=True, help="Backfills: one operation for each hour, day, week or month."
)


class Every(StrEnum):
    """Length of a part."""

    hour = "hour"
    day = "day"
    week = "week"
    month = "month"


_LISTED = [
    Column[pb.Run]("ID", lambda run: run.uid[:13], "dim"),
    Column[pb.Run]("NAME", lambda run: run.display_name, "bold"),
    Column[pb.Run]("STATUS", lambda run: f"{status_text(run)}{', paused' if run.paused else ''}"),
    Column[pb.Run]("CREATED", lambda run: when(run.create_time)),
    Column[pb.Run]("TOOK", lambda run: between(run.create_time, run.end_time), right=True),
]


@app.command("create")
def create_backfill(
    param: Annotated[str, typer.Option("--param", help="Parameter that gets a part's start.")],
    start: Annotated[str, typer.Option("--from", help="Start, such as 2026-01-01.")],
    end: Annotated[str, typer.Option("--to", help="End, not included.")],
    every: Annotated[Every, typer.Option(help="Length of a part.")] = Every.day,
    files: FilesOption = None,
    params: Annotated[
        list[str] | None, typer.Option("-P", help="NAME=VALUE of other parameters; again.")
    ] = None,
    presets: PresetsOption = None,
    end_param: Annotated[str, typer.Option(help="Parameter that gets a part's end.")] = "",
    timezone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    concurrency: Annotated[int, typer.Option(min=1, help="Parts at once.")] = 1,
    max_failures: Annotated[
        int, typer.Option(min=0, help="Parts that may fail before no other begins; 0: any.")
    ] = 0,
    name: Annotated[str, typer.Option(help="Name for people; made up when left out.")] = "",
    queue: Annotated[str, typer.Option(help="Queue; the spec's if left out.")] = "",
    upload: UploadOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow its progress.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Run an operation once for each part of a range, oldest first.

    A backfill is paused, unpaused, stopped and resumed as any run: `epochal runs pause ID`.

    For example:

        epochal backfill create -f daily.yaml --param day --from 2026-01-01 --to 2026-02-01

        epochal backfill create --param month --every month --from 2025-01-01 --to 2026-01-01 -w

        epochal backfill create --param day --from 2026-01-01 --to 2027-01-01 --max-failures 2
    """
    with session(project) as opened:
        sources = read_sources(opened, files or [], presets=presets or [])
        request = pb.CreateRunRequest(
            parent=opened.project,
            spec=sources.spec,
            overlays=sources.overlays,
            files=sources.files,
            params=parsed(params),
            display_name=name,
            queue=queue,
            backfill=pb.BackfillRange(
                param=param,
                start=start,
                end=end,
                every=every.value,
                timezone=timezone,
                concurrency=concurrency,
                max_failures=max_failures,
                end_param=end_param,
            ),
        )
        made = create(opened, request, sources, sent_along(sources, upload))
        if output is Output.json and not watch:
            print_json(as_json(made))
            return
        if output is not Output.json:
            announce(made)
        if watch:
            _watch(opened, made, output)
        else:
            errors_console().print(
                f"see how far it is with `epochal backfill status {made.uid[:13]}`",
                highlight=False,
            )


@app.command("ls")
def list_backfills(
    project: ProjectOption = "", limit: LimitOption = 50, output: OutputOption = Output.table
) -> None:
    """List backfills, newest first.

    For example:

        epochal backfill ls -o json
    """
    with session(project) as opened:
        request = pb.ListRunsRequest(parent=opened.project, filter="kind:backfill")
        found = opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit)
        show_list(found, _LISTED, output, "no backfills; make one with `epochal backfill create`")


@app.command("status")
def status(
    run: RunArgument,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow its progress.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show how far a backfill is, and each of its parts.

    For example:

        epochal backfill status january

        epochal backfill status january --watch
    """
    with session(project) as opened:
        request = pb.GetRunRequest(name=run_name(opened, run))
        found = opened.client.call(RunService.GET_RUN, request)
        if watch:
            _watch(opened, found, output)
        parts = ordered_children(opened, found)
    if output is Output.json:
        print_json({"run": as_json(found), "parts": [as_json(part) for part in parts]})
        return
    paused = ", paused" if found.paused else ""
    console().print(
        f"[bold]{found.display_name}[/] {status_text(found)}{paused}, {counts(parts)}",
        highlight=False,
    )
    columns = [
        Column[pb.Run]("PART", lambda part: str(part.iteration), right=True),
        Column[pb.Run]("PARAMS", _params),
        Column[pb.Run]("STATUS", status_text),
        Column[pb.Run]("ID", lambda part: part.uid[:13], "dim"),
        Column[pb.Run]("TOOK", lambda part: between(part.start_time, part.end_time), right=True),
    ]
    show_list(parts, columns, output, "no part has begun")


def _params(part: pb.Run) -> str:
    pairs = ((name, from_value(value)) for name, value in sorted(part.params.items()))
    return "  ".join(f"{name}={value}" for name, value in pairs)


def _watch(opened: Session, run: pb.Run, output: Output) -> None:
    """Follows a backfill to its end, and ends as it does."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors_console(),
        transient=True,
    ) as bars:
        bar = bars.add_task(run.display_name, total=None)

        def show(seen: pb.Run) -> None:
            parts = ordered_children(opened, seen)
            done = sum(part.status in ENDED for part in parts)
            bars.update(bar, completed=done, total=len(parts) or None, description=_word(seen))

        try:
            ended = wait(opened.client, run, show)
        except KeyboardInterrupt:
            goes_on(run)
            raise typer.Exit(130) from None
    if output is Output.json:
        print_json(as_json(ended))
    else:
        parts = ordered_children(opened, ended)
        console().print(
            f"{ended.display_name} {status_text(ended)}, {counts(parts)}", highlight=False
        )
    raise typer.Exit(exit_code(ended))


def _word(run: pb.Run) -> str:
    return f"{run.display_name} {status_text(run)}"
