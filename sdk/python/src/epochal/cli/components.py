"""`epochal components` and `epochal presets`: specs that others refer to."""

from __future__ import annotations

import sys
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ComponentService

from epochal.cli import registry_policies
from epochal.cli.documents import is_preset, read_document
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    errors_console,
    print_json,
    show_list,
    show_one,
    when,
)
from epochal.cli.past import AsOfOption, moment
from epochal.cli.references import component_name
from epochal.cli.session import LimitOption, OutputOption, session
from epochal.cli.specs import FileOption, refused
from epochal.cli.stage_promotions import COMPONENTS, commands
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="Components: specs that others run by hubRef.")
app.registered_commands.extend(commands(COMPONENTS).registered_commands)
app.add_typer(registry_policies.organisation, name="policy")
presets_app = typer.Typer(no_args_is_help=True, help="Presets: specs laid over others by name.")

_FIELDS = [
    Column[pb.Component]("NAME", lambda each: _short(each), "bold"),
    Column[pb.Component]("STAGES", lambda each: " ".join(each.stages)),
    Column[pb.Component]("DIGEST", lambda each: each.digest[:19]),
    Column[pb.Component]("CREATOR", lambda each: each.creator),
    Column[pb.Component]("CREATED", lambda each: when(each.create_time)),
    Column[pb.Component]("DESCRIPTION", lambda each: each.description),
]

NameArgument = Annotated[str, typer.Argument(help="NAME:TAG; the tag is latest when left out.")]
DescriptionOption = Annotated[str, typer.Option(help="Words about it.")]


@app.command("register")
def register(
    name: NameArgument,
    file: FileOption,
    description: DescriptionOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Register a component; a tag other than latest never changes afterwards.

    For example:

        epochal components register train:v1 -f train.yaml

        epochal run --hub train:v1 -P lr=0.1
    """
    _register(name, file, description, output, preset=False)


@app.command("ls")
def list_components(
    name: Annotated[str, typer.Argument(help="Only versions of this one.")] = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List components by name, newest version first.

    For example:

        epochal components ls

        epochal components ls train -o json

        epochal components ls --as-of 2026-03-03T14:00
    """
    _list(name, as_of, limit, output, preset=False)


@app.command("get")
def get(
    name: NameArgument,
    spec: Annotated[bool, typer.Option("--spec", help="Print its text alone.")] = False,
    as_of: AsOfOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show one version of a component, or its text.

    For example:

        epochal components get train:v1

        epochal components get train:v1 --spec > train.yaml

        epochal components get train --as-of 2026-03-03T14:00
    """
    _get(name, spec, as_of, output)


@app.command("delete")
def delete(name: NameArgument) -> None:
    """Delete a version; runs that were compiled from it keep what they were compiled to.

    For example:

        epochal components delete train:v1
    """
    _delete(name)


@app.command("stage")
def stage(
    name: Annotated[str, typer.Argument(help="NAME:TAG.")],
    stage: Annotated[str, typer.Argument(help="Such as Production.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it away instead.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Give a stage to a version now, or fail; `promote` asks and may wait for people.

    It leaves the version that had it. Specs say hubRef: NAME@STAGE.

    For example:

        epochal components stage train:v2 Production -m "twice as fast"

        epochal run --hub train@Production -P lr=0.1

        epochal components stage train:v2 Production --remove
    """
    with session() as opened:
        request = pb.SetComponentStageRequest(
            name=component_name(opened.org, name), stage=stage, reason=reason, removed=remove
        )
        done = opened.client.call(ComponentService.SET_COMPONENT_STAGE, request)
    show_one(done, _FIELDS, output)


@presets_app.command("register")
def register_preset(
    name: NameArgument,
    file: FileOption,
    description: DescriptionOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Register a preset: a file with `isPreset: true` that is laid over operations.

    For example:

        epochal presets register big -f big.yaml

        epochal run -f train.yaml --preset big
    """
    _register(name, file, description, output, preset=True)


@presets_app.command("ls")
def list_presets(
    name: Annotated[str, typer.Argument(help="Only versions of this one.")] = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List presets by name, newest version first.

    For example:

        epochal presets ls

        epochal presets ls --as-of 2026-03-03T14:00
    """
    _list(name, as_of, limit, output, preset=True)


@presets_app.command("get")
def get_preset(
    name: NameArgument,
    spec: Annotated[bool, typer.Option("--spec", help="Print its text alone.")] = False,
    as_of: AsOfOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show one version of a preset, or its text.

    For example:

        epochal presets get big --spec

        epochal presets get big --as-of 2026-03-03T14:00
    """
    _get(name, spec, as_of, output)


@presets_app.command("delete")
def delete_preset(name: NameArgument) -> None:
    """Delete a version of a preset.

    For example:

        epochal presets delete big:v1
    """
    _delete(name)


def _register(name: str, file: str, description: str, output: Output, *, preset: bool) -> None:
    document = read_document(file)
    if preset and not is_preset(document):
        raise InvalidArgument(f"{file} is no preset: add `isPreset: true` at its root")
    if not preset and is_preset(document):
        raise InvalidArgument(f"{file} is a preset: use `epochal presets register`")
    with session() as opened:
        full = component_name(opened.org, name)
        parent, _, versioned = full.partition("/components/")
        component, _, tag = versioned.partition("/versions/")
        request = pb.RegisterComponentRequest(
            parent=parent,
            component_id=component,
            tag=tag,
            spec=document.text,
            description=description,
        )
        try:
            made = opened.client.call(ComponentService.REGISTER_COMPONENT, request)
        except InvalidArgument as error:
            raise refused(error, [file]) from None
    show_one(made, _FIELDS, output)


def _list(name: str, as_of: str, limit: int, output: Output, *, preset: bool) -> None:
    with session() as opened:
        request = pb.ListComponentsRequest(
            parent=opened.org, component_id=name, as_of=moment(as_of)
        )
        found = opened.paged(
            ComponentService.LIST_COMPONENTS, request, lambda page: page.components
        )
        chosen = [each for each in found if each.is_preset == preset]
    word = "presets" if preset else "components"
    nothing = f"no {word}; register one with `epochal {word} register NAME:TAG -f FILE`"
    show_list(chosen[: limit or None], _FIELDS, output, nothing)


def _get(name: str, spec: bool, as_of: str, output: Output) -> None:
    with session() as opened:
        request = pb.GetComponentRequest(name=component_name(opened.org, name), as_of=moment(as_of))
        found = opened.client.call(ComponentService.GET_COMPONENT, request)
    if spec:
        sys.stdout.write(found.spec.decode())
    elif output is Output.json:
        shown = as_json(found)
        assert isinstance(shown, dict), "a message is an object"
        print_json(shown | {"spec": found.spec.decode()})
    else:
        show_one(found, _FIELDS, output)


def _delete(name: str) -> None:
    with session() as opened:
        full = component_name(opened.org, name)
        if "/versions/" not in full:
            full = f"{full}/versions/latest"
        request = pb.DeleteComponentRequest(name=full)
        opened.client.call(ComponentService.DELETE_COMPONENT, request)
    errors_console().print(f"{name} is deleted", highlight=False)


def _short(component: pb.Component) -> str:
    return component.name.partition("/components/")[2].replace("/versions/", ":")
