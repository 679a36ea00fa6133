"""`epochal artifacts`: the files of a run, up and down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ArtifactService

from epochal.artifacts import ArtifactDoor
from epochal.cli.output import (
    Column,
    Output,
    errors_console,
    show_list,
    size,
    transfer_progress,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.digests import file_sha256
from epochal.errors import InvalidArgument, NotFound
from epochal.files import named_files

app = typer.Typer(no_args_is_help=True, help="Files of a run: list, download, upload.")

_FIELDS = [
    Column[pb.Artifact]("PATH", lambda artifact: artifact.path, "bold"),
    Column[pb.Artifact]("SIZE", lambda artifact: size(artifact.size_bytes), right=True),
    Column[pb.Artifact]("KIND", lambda artifact: artifact.kind),
    Column[pb.Artifact]("TYPE", lambda artifact: artifact.media_type),
    Column[pb.Artifact]("DIGEST", lambda artifact: artifact.digest[:19]),
    Column[pb.Artifact]("CREATED", lambda artifact: when(artifact.create_time)),
]


@app.command("ls")
def list_artifacts(
    run: RunArgument,
    prefix: Annotated[str, typer.Argument(help="Only paths that start so.")] = "",
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the files of a run.

    For example:

        epochal artifacts ls brave-otter

        epochal artifacts ls brave-otter model/ -o json
    """
    with session(project) as opened:
        request = pb.ListArtifactsRequest(run=run_name(opened, run), path_prefix=prefix)
        found = opened.paged(
            ArtifactService.LIST_ARTIFACTS, request, lambda page: page.artifacts, limit
        )
        show_list(found, _FIELDS, output, "no artifacts")


@app.command("get")
def download(
    run: RunArgument,
    path: Annotated[str, typer.Argument(help="A file, or a folder and all below it.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write into.")] = Path("."),
    project: ProjectOption = "",
) -> None:
    """Download files of a run; each is checked against its recorded digest.

    For example:

        epochal artifacts get brave-otter model/model.joblib

        epochal artifacts get brave-otter model --to ./champion
    """
    with session(project) as opened, transfer_progress() as bars:
        name = run_name(opened, run)
        request = pb.ListArtifactsRequest(run=name, path_prefix=path)
        wanted = [
            artifact
            for artifact in opened.paged(
                ArtifactService.LIST_ARTIFACTS, request, lambda page: page.artifacts
            )
            if artifact.path == path or artifact.path.startswith(f"{path.rstrip('/')}/")
        ]
        if not wanted:
            raise NotFound(f"no artifact {path!r}: see `epochal artifacts ls {run}`")
        door = ArtifactDoor(opened.client)
        for artifact in wanted:
            bar = bars.add_task(artifact.path, total=artifact.size_bytes)
            door.get(
                name,
                artifact.path,
                to / artifact.path,
                digest=artifact.digest,
                progress=lambda sent, bar=bar: bars.advance(bar, sent),  # type: ignore[misc]  # default binds the loop's bar
            )
        door.close()
    errors_console().print(f"{len(wanted)} files in {to.resolve()}", highlight=False)


@app.command("put")
def upload(
    run: RunArgument,
    source: Annotated[Path, typer.Argument(help="File or folder on this machine.")],
    name: Annotated[str, typer.Option(help="Path under the run; its own name if left out.")] = "",
    kind: Annotated[str, typer.Option(help="Such as file, data or model.")] = "file",
    project: ProjectOption = "",
) -> None:
    """Upload a file or folder to a run.

    For example:

        epochal artifacts put brave-otter report.html

        epochal artifacts put brave-otter ./plots --name figures
    """
    if not source.exists():
        raise InvalidArgument(f"there is no file or folder {source}")
    files = list(named_files(source, name or source.resolve().name))
    with session(project) as opened, transfer_progress() as bars:
        target = run_name(opened, run)
        door = ArtifactDoor(opened.client)
        for file, path in files:
            bar = bars.add_task(path, total=file.stat().st_size)
            door.put(
                target,
                path,
                file,
                sha256=file_sha256(file),
                kind=kind,
                progress=lambda sent, bar=bar: bars.advance(bar, sent),  # type: ignore[misc]  # default binds the loop's bar
            )
        door.close()
    errors_console().print(f"{len(files)} files uploaded to {target}", highlight=False)
