"""`epochal runs archive`: telemetry that retention moved to the object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ArchiveService
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from epochal.auditing.telemetry_archives import check, objects_of, write
from epochal.cli.audit import need_cryptography
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    size,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app as runs
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.errors import NotFound, Unavailable

app = typer.Typer(no_args_is_help=True, help="Telemetry that retention moved to the object store.")
runs.add_typer(app, name="archive")

_KINDS = {pb.TELEMETRY_KIND_POINTS: "points", pb.TELEMETRY_KIND_LOGS: "logs"}
_FIELDS = [
    Column[pb.ArchivedObject]("OBJECT", lambda one: one.sha256[:16], "bold"),
    Column[pb.ArchivedObject]("OF", lambda one: _KINDS.get(one.kind, "?")),
    Column[pb.ArchivedObject]("PRODUCER", lambda one: one.producer[:8]),
    Column[pb.ArchivedObject]("BATCHES", lambda one: f"{one.first_batch}-{one.last_batch}"),
    Column[pb.ArchivedObject]("ITEMS", lambda one: str(one.points or one.log_lines), right=True),
    Column[pb.ArchivedObject]("SIZE", lambda one: size(one.size_bytes), right=True),
    Column[pb.ArchivedObject]("SEALED", lambda one: "yes" if one.sealed else "no"),
    Column[pb.ArchivedObject]("ALTERED", lambda one: str(one.altered or ""), right=True),
    Column[pb.ArchivedObject]("ARCHIVED", lambda one: when(one.archive_time)),
]


@app.command("ls")
def ls(
    run: RunArgument,
    limit: LimitOption = 50,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """List the objects that a run's telemetry is archived in.

    SEALED ones are proved against the seal of the run's end. ALTERED counts batches that had been
    joined, or deleted in part, before the project archived.

    For example:

        epochal runs archive ls 0190f5c8

        epochal runs archive ls 0190f5c8 -n 0 -o json
    """
    with session(project) as opened:
        request = pb.ListArchiveRequest(run=run_name(opened, run))
        found = opened.paged(ArchiveService.LIST_ARCHIVE, request, lambda page: page.objects, limit)
        show_list(found, _FIELDS, output, "nothing of it is archived")


@app.command("verify")
def verify(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Fetch every object of a run and check each batch in it; exit code 1 when one is damaged.

    Checked is what the platform says of the run's tree. To have the events proved too, and
    without the platform: epochal runs archive export, then epochal audit verify --bundle.

    For example:

        epochal runs archive verify 0190f5c8

        epochal runs archive verify 0190f5c8 -o json
    """
    need_cryptography()
    with session(project) as opened, _progress() as bars:
        name = run_name(opened, run)
        objects = list(objects_of(opened.client, name))
        if not objects:
            raise NotFound(f"nothing of {name} is archived")
        proved = altered = 0
        for one in bars.track(objects, description="verifying"):
            found = check(opened.client, name, one)
            proved, altered = proved + found[0], altered + found[1]
    if output is Output.json:
        print_json({"objects": len(objects), "proved": proved, "altered": altered})
        return
    told = f", {altered} as they were when they were archived" if altered else ""
    console().print(
        f"[green]intact[/]  {len(objects)} objects: {proved} batches are as they came{told}",
        highlight=False,
    )


@app.command("export")
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The .zip to write.")],
    project: ProjectOption = "",
) -> None:
    """Write all that is archived of a run, with proofs, to be checked by anybody offline.

    The .zip holds the program that checks it, which needs Python and `cryptography`. Writing it is
    for those who may read the audit.

    For example:

        epochal runs archive export 0190f5c8 --out run.zip

        epochal audit verify --bundle run.zip --key "$KEY"
    """
    need_cryptography()
    with session(project) as opened:
        objects, events = write(opened.client, opened.org, run_name(opened, run), out)
    console().print(
        f"{out} has {objects} objects and {events} events with their proofs; check it with "
        f"epochal audit verify --bundle {out}",
        highlight=False,
    )


@app.command("restore")
def restore(
    run: RunArgument,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Keep it that long.")] = 7,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Bring archived metrics and output back, so that curves and logs show them again.

    Every object is checked before anything is changed. After the days retention takes it again; it
    stays archived meanwhile. Interrupted, nothing has come back: run it again.

    For example:

        epochal runs archive restore 0190f5c8

        epochal runs archive restore 0190f5c8 --days 30
    """
    last: pb.RestoreArchiveResponse | None = None
    with session(project) as opened, _progress() as bars:
        name = run_name(opened, run)
        bar = bars.add_task("checking", total=None)
        request = pb.RestoreArchiveRequest(run=name, days=days)
        for last in opened.client.stream(ArchiveService.RESTORE_ARCHIVE, request):
            doing = "restoring" if last.checked == last.objects else "checking"
            done = last.checked + last.restored
            bars.update(bar, description=doing, completed=done, total=2 * last.objects)
    if last is None or last.restored < last.objects:
        raise Unavailable("the restoration ended before its end; nothing came back: run it again")
    if output is Output.json:
        print_json(as_json(last))
        return
    console().print(
        f"{last.points} points and {last.log_lines} lines of output of {name} are back until "
        f"{when(last.until)}",
        highlight=False,
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors_console(),
        transient=True,
    )
