"""`epochal runs records`: images, histograms, tables and the like of a run, and their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RecordService

from epochal.artifacts import ArtifactDoor
from epochal.cli.output import Column, Output, errors_console, show_list, size
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.records.packs import file_name
from epochal.records.reading import suffix_of

_FIELDS = [
    Column[pb.Record]("ID", lambda record: record.id, "dim"),
    Column[pb.Record]("KIND", lambda record: record.kind),
    Column[pb.Record]("NAME", lambda record: record.series, "bold"),
    Column[pb.Record]("STEP", lambda record: str(record.step), right=True),
    Column[pb.Record]("SIZE", lambda record: size(record.size_bytes), right=True),
    Column[pb.Record]("TYPE", lambda record: record.media_type),
    Column[pb.Record]("CAPTION", lambda record: record.caption),
]
_SERIES = [
    Column[pb.RecordSeries]("KIND", lambda series: series.kind),
    Column[pb.RecordSeries]("NAME", lambda series: series.series, "bold"),
    Column[pb.RecordSeries]("COUNT", lambda series: str(series.count), right=True),
    Column[pb.RecordSeries]("LAST STEP", lambda series: str(series.latest.step), right=True),
]


@app.command("records")
def records(
    run: RunArgument,
    kind: Annotated[str, typer.Option(help="Only these, such as image or histogram.")] = "",
    name: Annotated[str, typer.Option(help="Only of this name, such as val/samples.")] = "",
    from_step: Annotated[int | None, typer.Option(help="Only from this step on.")] = None,
    to_step: Annotated[int | None, typer.Option(help="Only up to this step.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Download those found into this folder.")
    ] = None,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List what a run logged besides numbers; without a filter, how many there are of each name.

    For example:

        epochal runs records brave-otter

        epochal runs records brave-otter --kind image --name val/samples -o json

        epochal runs records brave-otter --kind image --from-step 90 --to ./images
    """
    with session(project) as opened:
        target = run_name(opened, run)
        if not (kind or name or to) and from_step is None and to_step is None:
            series = opened.paged(
                RecordService.LIST_RECORD_SERIES,
                pb.ListRecordSeriesRequest(run=target),
                lambda page: page.series,
                limit,
            )
            show_list(series, _SERIES, output, "no records")
            return
        found = opened.paged(
            RecordService.LIST_RECORDS,
            pb.ListRecordsRequest(
                run=target, kind=kind, series=name, from_step=from_step, to_step=to_step
            ),
            lambda page: page.records,
            limit,
        )
        if to is None:
            show_list(found, _FIELDS, output, "no records")
            return
        door = ArtifactDoor(opened.client)
        saved = 0
        for record in found:
            file = to / file_name(record, suffix_of(record))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(door.read_record(target, record))
            saved += 1
        door.close()
    errors_console().print(f"{saved} files in {to.resolve()}", highlight=False)
