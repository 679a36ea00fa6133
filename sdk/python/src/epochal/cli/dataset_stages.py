"""`epochal datasets stage` and `stages`: which version is the one to use."""

from __future__ import annotations

from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import DatasetStageService

from epochal.cli.datasets import app
from epochal.cli.output import Column, Output, show_list, show_one, when
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.errors import InvalidArgument

_FIELDS: Final = [
    Column[pb.DatasetStage]("STAGE", lambda one: one.stage, "bold"),
    Column[pb.DatasetStage]("VERSION", lambda one: one.version.rpartition("/")[2]),
    Column[pb.DatasetStage]("BY", lambda one: one.author),
    Column[pb.DatasetStage]("REASON", lambda one: one.reason),
    Column[pb.DatasetStage]("SINCE", lambda one: when(one.update_time)),
]


@app.command("stage")
def stage(
    version: Annotated[str, typer.Argument(help="DATASET@VERSION, or its full name.")],
    stage: Annotated[str, typer.Argument(help="Such as Production.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it away instead.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Give a stage to a version of a dataset; it leaves the one that had it.

    For example:

        epochal datasets stage digits@4f1c2a9be001 Production -m "labels checked"

        epochal datasets stage digits@4f1c2a9be001 Production --remove
    """
    with session(project) as opened:
        request = pb.SetDatasetStageRequest(
            name=_version(opened, version), stage=stage, reason=reason, removed=remove
        )
        done = opened.client.call(DatasetStageService.SET_DATASET_STAGE, request)
    show_one(done, _FIELDS, output)


@app.command("stages")
def stages(
    dataset: Annotated[str, typer.Argument(help="Its name, or its full name.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """List the stages of a dataset with the versions that have them.

    For example:

        epochal datasets stages digits -o json
    """
    with session(project) as opened:
        name = dataset if "/" in dataset else f"{opened.project}/datasets/{dataset}"
        found = opened.paged(
            DatasetStageService.LIST_DATASET_STAGES,
            pb.ListDatasetStagesRequest(parent=name),
            lambda page: page.stages,
        )
        show_list(found, _FIELDS, output, f"{dataset} has no stages")


def _version(opened: Session, text: str) -> str:
    if "/" in text:
        return text
    dataset, at, version = text.partition("@")
    if not at or not version:
        raise InvalidArgument(f"{text!r} names no version: write DATASET@VERSION")
    return f"{opened.project}/datasets/{dataset}/versions/{version}"
