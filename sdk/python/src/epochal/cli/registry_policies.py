"""`epochal models policy`: what stages and aliases demand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import PromotionService

from epochal.cli.model_names import ReasonOption
from epochal.cli.output import Column, Output, as_json, errors_console, print_json, show_one, when
from epochal.cli.past import moment
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="What stages and aliases of a project demand.")

FileArgument = Annotated[Path, typer.Argument(help="A YAML file, see docs/registry.md.")]

_FIELDS: Final = [
    Column[pb.RegistryPolicy]("VERSION", lambda one: str(one.version or "")),
    Column[pb.RegistryPolicy]("DIGEST", lambda one: one.digest),
    Column[pb.RegistryPolicy]("BY", lambda one: one.author),
    Column[pb.RegistryPolicy]("SINCE", lambda one: when(one.create_time)),
    Column[pb.RegistryPolicy]("REASON", lambda one: one.reason),
]


@app.command("show")
def show(
    version: Annotated[int, typer.Option(help="One of its versions.", min=0)] = 0,
    as_of: Annotated[str, typer.Option("--as-of", help="A time or a position of the log.")] = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Print the policy's text as it is in force, as it was, or as one of its versions.

    For example:

        epochal models policy show > policy.yaml

        epochal models policy show --as-of 2026-03-03T14:00 -o json
    """
    with session(project) as opened:
        request = pb.GetRegistryPolicyRequest(
            name=f"{opened.project}/registryPolicy", version=version, as_of=moment(as_of)
        )
        found = opened.client.call(PromotionService.GET_REGISTRY_POLICY, request)
    if output is Output.json:
        print_json(as_json(found))
    elif found.text:
        sys.stdout.write(found.text if found.text.endswith("\n") else f"{found.text}\n")
    else:
        errors_console().print("no policy: any version may have any place", highlight=False)


@app.command("set")
def set_policy(
    file: FileArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Put a policy in force; each change is a new version of it, kept for ever.

    For example:

        epochal models policy set policy.yaml -m "two people for production"
    """
    _set(_text(file), reason, project, output, only_check=False)


@app.command("check")
def check(
    file: FileArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Say what is wrong with a policy, and change nothing.

    For example:

        epochal models policy check policy.yaml
    """
    _set(_text(file), "", project, output, only_check=True)
    errors_console().print("the policy is right", highlight=False)


@app.command("unset")
def unset(
    reason: ReasonOption, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Take the policy away: then any version may have any place.

    For example:

        epochal models policy unset -m "the project is a sandbox now"
    """
    _set("", reason, project, output, only_check=False)


def _set(text: str, reason: str, project: str, output: Output, *, only_check: bool) -> None:
    with session(project) as opened:
        request = pb.SetRegistryPolicyRequest(
            name=f"{opened.project}/registryPolicy",
            text=text,
            reason=reason,
            validate_only=only_check,
        )
        done = opened.client.call(PromotionService.SET_REGISTRY_POLICY, request)
    show_one(done, _FIELDS, output)


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file} cannot be read: {error}") from None
    if not text.strip():
        raise InvalidArgument(f"{file} is empty: `epochal models policy unset` takes a policy away")
    return text
