"""`epochal run`: start an operation of a file, of the registry, or of options alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService

from epochal.cli import inline, uploads
from epochal.cli.documents import Document, Mount, mounts
from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.cli.specs import (
    FilesOption,
    ParamsOption,
    PresetsOption,
    Sources,
    pairs,
    parsed,
    read_sources,
    refused,
)
from epochal.cli.statuses import status_text
from epochal.cli.tailing import follow, print_lines
from epochal.cli.watching import exit_code, goes_on, wait, watch
from epochal.errors import InvalidArgument

UploadOption = Annotated[
    bool, typer.Option("--upload", "-u", help="Send this folder; the run begins in a copy.")
]


def run(
    files: FilesOption = None,
    params: ParamsOption = None,
    name: Annotated[str, typer.Option(help="Name for people; made up when left out.")] = "",
    tags: Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE or NAME.")] = None,
    presets: PresetsOption = None,
    hub: Annotated[str, typer.Option(help="A registered component: NAME:TAG, ORG/NAME:TAG.")] = "",
    url: Annotated[str, typer.Option(help="A component of the web, where that is allowed.")] = "",
    cmd: Annotated[str, typer.Option(help="A line of shell to run, without a file.")] = "",
    env: Annotated[list[str] | None, typer.Option(help="With --cmd: NAME=VALUE.")] = None,
    image: Annotated[str, typer.Option(help="With --cmd: kept for clusters.")] = "",
    cpu: Annotated[str, typer.Option(help="With --cmd: such as 2 or 500m.")] = "",
    memory: Annotated[str, typer.Option(help="With --cmd: such as 2Gi.")] = "",
    gpu: Annotated[str, typer.Option(help="With --cmd: how many.")] = "",
    port: Annotated[
        list[int] | None, typer.Option(help="With --cmd: a port it answers on; makes a service.")
    ] = None,
    hparams: Annotated[
        list[str] | None,
        typer.Option("--hparams", "-H", help="NAME=KIND:VALUE; makes a sweep. Again for more."),
    ] = None,
    matrix_kind: Annotated[
        str, typer.Option(help=f"One of {', '.join(inline.MATRIX_KINDS)}; chosen if left out.")
    ] = "",
    matrix_concurrency: Annotated[int, typer.Option(min=0, help="Trials at once.")] = 0,
    matrix_num_runs: Annotated[int, typer.Option(min=0, help="Trials in all.")] = 0,
    matrix_metric: Annotated[str, typer.Option(help="NAME or NAME:maximize.")] = "",
    upload: UploadOption = False,
    upload_from: Annotated[
        Path | None, typer.Option("--upload-from", help="Send this folder or file instead.")
    ] = None,
    upload_to: Annotated[str, typer.Option(help="Folder of the run that it comes to.")] = "",
    cache: Annotated[
        bool | None, typer.Option("--cache/--no-cache", help="Reuse equal runs, or never.")
    ] = None,
    approval: Annotated[bool, typer.Option("--approval", help="Wait for an approval.")] = False,
    queue: Annotated[str, typer.Option(help="Queue, such as gpu; the spec's if left out.")] = "",
    priority: Annotated[int, typer.Option(min=-1000, max=1000, help="Greater goes first.")] = 0,
    watch_: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it: status, metrics and output.")
    ] = False,
    logs: Annotated[bool, typer.Option("--logs", "-l", help="Follow its output alone.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Run a polyaxonfile on the platform's agents.

    Without -f, --hub, --url and --cmd it takes epochal.yaml or polyaxonfile.yaml of this folder.
    With --watch or --logs the command ends as the run does: exit code 0 when it succeeded. With -o
    json it then prints the ended run and nothing else. Ctrl-C ends only the watching.

    An upload leaves out what .epochalignore (else .polyaxonignore, else .gitignore) names.

    For example:

        epochal run -f train.yaml

        epochal run -f train.yaml -f gpu.yaml -P lr=0.1 --tag team=vision --watch

        epochal run -u --cmd "python train.py" --env EPOCHS=3 --logs

        epochal run --hub train:v2 --preset big --queue gpu --priority 5 --no-cache

        epochal run -f train.yaml -H lr=loguniform:-5,-1 --matrix-metric loss --matrix-num-runs 20
    """
    base = _base(hub, url, cmd)
    options = {"--env": env, "--image": image, "--port": port, "--cpu": cpu}
    options |= {"--memory": memory, "--gpu": gpu}
    if wrong := next((option for option, value in options.items() if value and not cmd), ""):
        raise InvalidArgument(f"{wrong} goes with --cmd; a file says it itself")
    if cmd:
        base = inline.command_operation(
            cmd,
            env=pairs(env, "--env"),
            resources={"cpu": cpu, "memory": memory, "gpu": gpu},
            ports=port or [],
            image=image,
        )
    overlay = inline.matrix_overlay(
        pairs(hparams, "--hparams"),
        kind=matrix_kind,
        concurrency=matrix_concurrency,
        num_runs=matrix_num_runs,
        metric=matrix_metric,
    )
    with session(project) as opened:
        sources = read_sources(
            opened, files or [], base=base, presets=presets or [], overlay=overlay
        )
        request = pb.CreateRunRequest(
            parent=opened.project,
            spec=sources.spec,
            overlays=sources.overlays,
            files=sources.files,
            display_name=name,
            params=parsed(params),
            tags=pairs(tags, "--tag", bare="true"),
            cache={None: pb.CACHE_USE_UNSPECIFIED, True: pb.CACHE_USE_ON, False: pb.CACHE_USE_OFF}[
                cache
            ],
            needs_approval=approval,
            queue=queue,
            priority=priority,
        )
        sent = sent_along(sources, upload, upload_from, upload_to)
        created = create(opened, request, sources, sent)
        _finish(opened, created, output, watched=watch_, logged=logs)


def create(
    opened: Session, request: pb.CreateRunRequest, sources: Sources, sent: Sequence[Mount] = ()
) -> pb.Run:
    """Creates a run and sends what it waits for.

    Raises:
        EpochalError: It was refused.
        typer.Exit: Its spec has mistakes; they are printed.
    """
    with uploads.packed(sent) as upload:
        request.awaits_upload = upload is not None
        try:
            created = opened.client.call(RunService.CREATE_RUN, request)
        except InvalidArgument as error:
            raise refused(error, sources.labels) from None
        return created if upload is None else uploads.send(opened.client, created, upload)


def announce(created: pb.Run) -> None:
    """Says that a run was made, what it waits for, and how it is followed."""
    console().print(
        f"[bold]{created.display_name}[/] {status_text(created)}  {created.name}", highlight=False
    )
    if "approval" in created.holds:
        errors_console().print(
            f"it waits for an approval: `epochal runs approve {created.uid[:13]}`", highlight=False
        )


def _finish(
    opened: Session, created: pb.Run, output: Output, *, watched: bool, logged: bool
) -> None:
    if output is Output.json:
        ended = wait(opened.client, created) if watched or logged else created
        print_json(as_json(ended))
        raise typer.Exit(exit_code(ended) if watched or logged else 0)
    announce(created)
    if watched:
        raise typer.Exit(watch(opened.client, created))
    if logged:
        try:
            follow(opened.client, created.name, lambda lines: print_lines(lines, output))
            ended = wait(opened.client, created)
        except KeyboardInterrupt:
            goes_on(created)
            raise typer.Exit(130) from None
        raise typer.Exit(exit_code(ended))
    errors_console().print(
        f"follow it with `epochal runs logs -f {created.uid[:13]}`", highlight=False
    )


def _base(hub: str, url: str, cmd: str) -> Document | None:
    if sum(map(bool, (hub, url, cmd))) > 1:
        raise InvalidArgument("give one of --hub, --url and --cmd")
    if hub:
        return inline.hub_operation(hub)
    return inline.url_operation(url) if url else None


def sent_along(
    sources: Sources, upload: bool, source: Path | None = None, to: str = ""
) -> list[Mount]:
    """What is uploaded with a run: what its files mount, and what options ask for.

    Raises:
        InvalidArgument: There is no such folder, or the options do not fit.
    """
    found = mounts(sources.documents)
    if source is not None and not source.exists():
        raise InvalidArgument(f"--upload-from: there is no {source}")
    if upload or source is not None:
        found.append(Mount((source or Path.cwd()).resolve(), to))
    elif to:
        raise InvalidArgument("--upload-to goes with --upload or --upload-from")
    return found
