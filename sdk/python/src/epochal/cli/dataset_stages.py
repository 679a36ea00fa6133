"""`epochal datasets stage`, and promotions: which version is the one to use."""

from __future__ import annotations

from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import DatasetStageService

from epochal.cli import registry_policies
from epochal.cli.datasets import app
from epochal.cli.output import Column, Output, show_one, when
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.cli.stage_promotions import DATASETS, commands, dataset_version_name

_FIELDS: Final = [
    Column[pb.DatasetStage]("STAGE", lambda one: one.stage, "bold"),
    Column[pb.DatasetStage]("VERSION", lambda one: one.version.rpartition("/")[2]),
    Column[pb.DatasetStage]("BY", lambda one: one.author),
    Column[pb.DatasetStage]("REASON", lambda one: one.reason),
    Column[pb.DatasetStage]("SINCE", lambda one: when(one.update_time)),
]

app.registered_commands.extend(commands(DATASETS).registered_commands)
app.add_typer(registry_policies.datasets, name="policy")


@app.command("stage")
def stage(
    version: Annotated[str, typer.Argument(help="DATASET@VERSION, or its full name.")],
    stage: Annotated[str, typer.Argument(help="Such as Production.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it away instead.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Give a stage to a version now, or fail; `promote` asks and may wait for people.

    For example:

        epochal datasets stage digits@4f1c2a9be001 Production -m "labels checked"

        epochal datasets stage digits@4f1c2a9be001 Production --remove
    """
    with session(project) as opened:
        request = pb.SetDatasetStageRequest(
            name=dataset_version_name(opened, version), stage=stage, reason=reason, removed=remove
        )
        done = opened.client.call(DatasetStageService.SET_DATASET_STAGE, request)
    show_one(done, _FIELDS, output)
