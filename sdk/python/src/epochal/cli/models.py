"""`epochal models`: the registry; as it is, and as it was at any moment."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RegistryService

from epochal.cli import model_files, promotions, registry_policies
from epochal.cli.model_names import ModelArgument, any_name, metrics_text, model_name
from epochal.cli.output import Column, Output, show_list, show_one, when
from epochal.cli.past import AsOfOption, moment
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument
from epochal.names import last_part

app = typer.Typer(
    no_args_is_help=True, help="Models: register, read, sign, promote, approve, go back."
)
for _part in (promotions.app, model_files.app):
    app.registered_commands.extend(_part.registered_commands)
app.add_typer(registry_policies.app, name="policy")

_FIELDS = [
    Column[pb.Model]("ID", lambda model: last_part(model.name), "bold"),
    Column[pb.Model]("LATEST", lambda model: str(model.latest_version), right=True),
    Column[pb.Model]("ALIASES", lambda model: _aliases(model)),
    Column[pb.Model]("DESCRIPTION", lambda model: model.description),
    Column[pb.Model]("CREATED", lambda model: when(model.create_time)),
]

_VERSION = [
    Column[pb.ModelVersion]("VERSION", lambda version: str(version.version), "bold", right=True),
    Column[pb.ModelVersion]("STAGE", lambda version: version.stage),
    Column[pb.ModelVersion]("ALIASES", lambda version: " ".join(version.aliases)),
    Column[pb.ModelVersion]("RUN", lambda version: last_part(version.run)),
    Column[pb.ModelVersion]("ARTIFACT", lambda version: version.artifact_path),
    Column[pb.ModelVersion]("DIGEST", lambda version: version.digest[:19]),
    Column[pb.ModelVersion]("DESCRIPTION", lambda version: version.description),
    Column[pb.ModelVersion]("BY", lambda version: version.creator),
    Column[pb.ModelVersion]("CREATED", lambda version: when(version.create_time)),
]

_ONE_VERSION = [
    *_VERSION,
    Column[pb.ModelVersion]("FLAVOR", lambda version: version.flavor),
    Column[pb.ModelVersion]("METRICS", lambda version: metrics_text(version)),
    Column[pb.ModelVersion]("FILES", lambda version: str(version.file_count or "")),
    Column[pb.ModelVersion]("SIGNED BY", lambda version: " ".join(version.signed_by)),
    Column[pb.ModelVersion](
        "TAGS", lambda version: "  ".join(f"{k}={v}" for k, v in sorted(version.tags.items()))
    ),
]


@app.command("ls")
def list_models(
    project: ProjectOption = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the models of a project.

    For example:

        epochal models ls -p vision

        epochal models ls --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        request = pb.ListModelsRequest(parent=opened.project, as_of=moment(as_of))
        found = opened.paged(RegistryService.LIST_MODELS, request, lambda page: page.models, limit)
        nothing = f"no models in {opened.project}; a run registers one with log_model(register=)"
        show_list(found, _FIELDS, output, nothing)


@app.command("get")
def get_model(
    model: ModelArgument,
    project: ProjectOption = "",
    as_of: AsOfOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show one model with its aliases, or one version: MODEL/VERSION.

    For example:

        epochal models get digits

        epochal models get digits/3 --as-of 4711 -o json
    """
    with session(project) as opened:
        name, at = any_name(opened, model), moment(as_of)
        if "/versions/" in name:
            version = pb.GetModelVersionRequest(name=name, as_of=at)
            found = opened.client.call(RegistryService.GET_MODEL_VERSION, version)
            show_one(found, _ONE_VERSION, output)
            return
        request = pb.GetModelRequest(name=name, as_of=at)
        show_one(opened.client.call(RegistryService.GET_MODEL, request), _FIELDS, output)


@app.command("versions")
def list_versions(
    model: ModelArgument,
    project: ProjectOption = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the versions of a model, newest first.

    For example:

        epochal models versions digits -o json
    """
    with session(project) as opened:
        found = opened.paged(
            RegistryService.LIST_MODEL_VERSIONS,
            pb.ListModelVersionsRequest(parent=model_name(opened, model), as_of=moment(as_of)),
            lambda page: page.model_versions,
            limit,
        )
        show_list(found, _VERSION, output, f"no versions of {model}")


@app.command("alias")
def alias_model(
    model: ModelArgument,
    alias: Annotated[str, typer.Argument(help="Such as champion.")],
    version: Annotated[int, typer.Argument(help="Version to hold it.", min=0)] = 0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the alias instead.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Point an alias to a version, or remove it.

    For example:

        epochal models alias digits champion 3

        epochal models alias digits challenger --delete
    """
    if bool(version) == delete:
        raise InvalidArgument("give either the version to hold the alias, or --delete")
    with session(project) as opened:
        name = model_name(opened, model)
        if delete:
            done = opened.client.call(
                RegistryService.DELETE_MODEL_ALIAS,
                pb.DeleteModelAliasRequest(name=name, alias=alias),
            )
        else:
            done = opened.client.call(
                RegistryService.SET_MODEL_ALIAS,
                pb.SetModelAliasRequest(name=name, alias=alias, version=version),
            )
    show_one(done, _FIELDS, output)


def _aliases(model: pb.Model) -> str:
    return "  ".join(f"{alias}->{model.aliases[alias]}" for alias in sorted(model.aliases))
