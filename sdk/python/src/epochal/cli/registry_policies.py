"""`epochal models|datasets|components policy`: what stages and aliases demand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import PromotionService

from epochal.cli.model_names import ReasonOption
from epochal.cli.output import Column, Output, as_json, errors_console, print_json, show_one, when
from epochal.cli.past import AsOfOption, moment
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.errors import InvalidArgument

FileArgument = Annotated[Path, typer.Argument(help="A YAML file, see docs/registry.md.")]
Owner = Callable[[Session], str]

_FIELDS: Final = [
    Column[pb.RegistryPolicy]("VERSION", lambda one: str(one.version or "")),
    Column[pb.RegistryPolicy]("DIGEST", lambda one: one.digest),
    Column[pb.RegistryPolicy]("BY", lambda one: one.author),
    Column[pb.RegistryPolicy]("SINCE", lambda one: when(one.create_time)),
    Column[pb.RegistryPolicy]("REASON", lambda one: one.reason),
]


def _commands(word: str, owner: Owner, says: str) -> typer.Typer:
    """Makes the commands about the policies of one kind of owner."""
    app = typer.Typer(no_args_is_help=True, help=says)
    _reading(app, word, owner)
    _writing(app, word, owner)
    return app


def _examples(says: str, *lines: str) -> str:
    return "\n\n".join([says, "For example:", *(f"    epochal {line}" for line in lines)])


def _reading(app: typer.Typer, word: str, owner: Owner) -> None:
    @app.command(
        "show",
        help=_examples(
            "Print the policy's text as it is in force, as it was, or as one of its versions.",
            f"{word} policy show > policy.yaml",
            f"{word} policy show --as-of 2026-03-03T14:00 -o json",
        ),
    )
    def show(
        version: Annotated[int, typer.Option(help="One of its versions.", min=0)] = 0,
        as_of: AsOfOption = "",
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            request = pb.GetRegistryPolicyRequest(
                name=f"{owner(opened)}/registryPolicy", version=version, as_of=moment(as_of)
            )
            found = opened.client.call(PromotionService.GET_REGISTRY_POLICY, request)
        if output is Output.json:
            print_json(as_json(found))
        elif found.text:
            sys.stdout.write(found.text if found.text.endswith("\n") else f"{found.text}\n")
        else:
            errors_console().print("no policy: any version may have any place", highlight=False)


def _writing(app: typer.Typer, word: str, owner: Owner) -> None:
    def put(
        text: str, reason: str, project: str, output: Output, validate_only: bool = False
    ) -> None:
        with session(project) as opened:
            request = pb.SetRegistryPolicyRequest(
                name=f"{owner(opened)}/registryPolicy",
                text=text,
                reason=reason,
                validate_only=validate_only,
            )
            done = opened.client.call(PromotionService.SET_REGISTRY_POLICY, request)
        show_one(done, _FIELDS, output)

    @app.command(
        "set",
        help=_examples(
            "Put a policy in force; each change is a new version of it, kept for ever.",
            f'{word} policy set policy.yaml -m "two people for production"',
        ),
    )
    def set_policy(
        file: FileArgument,
        reason: ReasonOption = "",
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        put(_text(file, word), reason, project, output)

    @app.command(
        "check",
        help=_examples(
            "Say what is wrong with a policy, and change nothing.",
            f"{word} policy check policy.yaml",
        ),
    )
    def check(
        file: FileArgument, project: ProjectOption = "", output: OutputOption = Output.table
    ) -> None:
        put(_text(file, word), "", project, output, validate_only=True)
        errors_console().print("the policy is right", highlight=False)

    @app.command(
        "unset",
        help=_examples(
            "Take the policy away: then any version may have any place.",
            f'{word} policy unset -m "it is a sandbox now"',
        ),
    )
    def unset(
        reason: ReasonOption, project: ProjectOption = "", output: OutputOption = Output.table
    ) -> None:
        put("", reason, project, output)


def _text(file: Path, word: str) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file} cannot be read: {error}") from None
    if not text.strip():
        raise InvalidArgument(f"{file} is empty: `epochal {word} policy unset` takes a policy away")
    return text


_OF_A_PROJECT: Final = "What stages and aliases of models, and stages of datasets, demand."

#: The policy of a project: one text for its models and its datasets.
app = _commands("models", lambda opened: opened.project, _OF_A_PROJECT)
datasets = _commands("datasets", lambda opened: opened.project, _OF_A_PROJECT)
#: The policy of an organisation, for its components.
organisation = _commands(
    "components", lambda opened: opened.org, "What stages of an organisation's components demand."
)
