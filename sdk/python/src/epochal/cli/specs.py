"""`epochal run` and `epochal check`: what takes a polyaxonfile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService

from epochal.cli.failures import show_issues, spec_issues
from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.cli.statuses import status_text
from epochal.cli.watching import exit_code, wait, watch
from epochal.errors import EpochalError, InvalidArgument
from epochal.values import parse_value

_MAX_BYTES: Final = 1024 * 1024

FileOption = Annotated[
    str, typer.Option("--file", "-f", help="The polyaxonfile; '-' reads standard input.")
]
ParamsOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-P", help="NAME=VALUE; may be given again. JSON values are typed."),
]


def run(
    file: FileOption,
    params: ParamsOption = None,
    name: Annotated[str, typer.Option(help="Name for people; made up when left out.")] = "",
    tags: Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE or NAME.")] = None,
    watch_: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it: status, metrics and output.")
    ] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Run a polyaxonfile on the platform's agents.

    With --watch the command ends as the run does: exit code 0 when it succeeded. With -o json it
    then prints the ended run and nothing else. Ctrl-C ends only the watching.

    For example:

        epochal run -f train.yaml

        epochal run -f train.yaml -P lr=0.1 -P optimizer=adam --tag team=vision --watch
    """
    spec = _read(file)
    with session(project) as opened:
        request = pb.CreateRunRequest(
            parent=opened.project,
            spec=spec,
            display_name=name,
            params={key: parse_value(value) for key, value in _pairs(params, "-P").items()},
            tags=_pairs(tags, "--tag", bare="true"),
        )
        try:
            created = opened.client.call(RunService.CREATE_RUN, request)
        except InvalidArgument as error:
            raise _refused(error, file) from None
        if output is Output.json:
            ended = wait(opened.client, created) if watch_ else created
            print_json(as_json(ended))
            raise typer.Exit(exit_code(ended) if watch_ else 0)
        console().print(
            f"[bold]{created.display_name}[/] {status_text(created)}  {created.name}",
            highlight=False,
        )
        if watch_:
            raise typer.Exit(watch(opened.client, created))
        errors_console().print(
            f"follow it with `epochal runs logs -f {created.uid[:13]}`", highlight=False
        )


def check(
    file: FileOption,
    params: ParamsOption = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Compile a polyaxonfile and start nothing: shows mistakes with their lines.

    For example:

        epochal check -f train.yaml

        epochal check -f train.yaml -P lr=0.1 -o json
    """
    spec = _read(file)
    with session(project) as opened:
        compiled = _compile(opened, spec, params, file)
    show_issues(file, list(compiled.warnings), colour="yellow")
    if output is Output.json:
        print_json(as_json(compiled))
        return
    console().print_json(compiled.compiled_json)
    errors_console().print(f"[green]{file} is valid[/]  {compiled.digest}", highlight=False)


def _compile(
    opened: Session, spec: bytes, params: list[str] | None, file: str
) -> pb.CompileOperationResponse:
    request = pb.CompileOperationRequest(
        parent=opened.project,
        spec=spec,
        params={key: parse_value(value) for key, value in _pairs(params, "-P").items()},
    )
    try:
        return opened.client.call(RunService.COMPILE_OPERATION, request)
    except InvalidArgument as error:
        raise _refused(error, file) from None


def _refused(error: InvalidArgument, file: str) -> EpochalError | typer.Exit:
    issues = spec_issues(error)
    if not issues:
        return error
    show_issues(file, issues, colour="red")
    count = "one mistake" if len(issues) == 1 else f"{len(issues)} mistakes"
    errors_console().print(f"[bold red]error:[/] {file} has {count}; nothing was started")
    return typer.Exit(1)


def _read(file: str) -> bytes:
    try:
        spec = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"cannot read {file}: {error.strerror}") from error
    if len(spec) > _MAX_BYTES:
        raise InvalidArgument(f"{file} has {len(spec)} bytes; a polyaxonfile has at most 1 MiB")
    return spec


def _pairs(given: list[str] | None, option: str, bare: str = "") -> dict[str, str]:
    pairs = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not name or not (equals or bare):
            raise InvalidArgument(f"{option} takes NAME=VALUE, not {each!r}")
        pairs[name] = value if equals else bare
    return pairs
