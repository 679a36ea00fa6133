"""`epochal check` and `epochal schema`: what a polyaxonfile comes to, and what may stand in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
import yaml
from epochal_proto.v1.services import RunService
from rich.syntax import Syntax

from epochal.cli.failures import show_issues
from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.cli.specs import (
    FilesOption,
    ParamsOption,
    PresetsOption,
    parsed,
    read_sources,
    refused,
)
from epochal.errors import InvalidArgument


def check(
    files: FilesOption = None,
    params: ParamsOption = None,
    presets: PresetsOption = None,
    lint: Annotated[
        bool, typer.Option("--lint", help="Print findings alone; a warning fails, too.")
    ] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Compile a polyaxonfile and start nothing: shows mistakes with their lines.

    For example:

        epochal check -f train.yaml

        epochal check -f train.yaml -f gpu.yaml -P lr=0.1 -o json

        epochal check --lint -f train.yaml
    """
    with session(project) as opened:
        sources = read_sources(opened, files or [], presets=presets or [])
        request = pb.CompileOperationRequest(
            parent=opened.project,
            spec=sources.spec,
            overlays=sources.overlays,
            files=sources.files,
            params=parsed(params),
        )
        try:
            compiled = opened.client.call(RunService.COMPILE_OPERATION, request)
        except InvalidArgument as error:
            raise refused(error, sources.labels) from None
    show_issues(sources.labels, list(compiled.warnings), colour="yellow")
    if output is Output.json:
        print_json(as_json(compiled))
    elif not lint:
        text = yaml.safe_dump(json.loads(compiled.compiled_json), sort_keys=False)
        if sys.stdout.isatty():
            console().print(Syntax(text, "yaml", background_color="default"))
        else:
            sys.stdout.write(text)
    count = len(compiled.warnings)
    if lint and count:
        some = "one warning" if count == 1 else f"{count} warnings"
        errors_console().print(f"[bold red]error:[/] {sources.labels[0]} has {some}")
        raise typer.Exit(1)
    errors_console().print(
        f"[green]{sources.labels[0]} is valid[/]  {compiled.digest}", highlight=False
    )


def schema(
    to: Annotated[Path | None, typer.Option("--to", help="File to write it to.")] = None,
) -> None:
    """Print the JSON Schema of polyaxonfiles, for editors.

    An editor with the YAML language server reads it from a first line such as
    `# yaml-language-server: $schema=epochal.schema.json`.

    For example:

        epochal schema --to epochal.schema.json
    """
    with session() as opened:
        found = opened.client.call(RunService.GET_SPEC_SCHEMA, pb.GetSpecSchemaRequest())
    text = json.dumps(json.loads(found.json), indent=2, ensure_ascii=False) + "\n"
    if to is None:
        sys.stdout.write(text)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"cannot write {to}: {error.strerror}") from error
    errors_console().print(f"the schema is in {to}", highlight=False)
