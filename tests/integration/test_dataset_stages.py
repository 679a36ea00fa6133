"""Stages of datasets: one version has one, and each move is an event."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal import errors
from epochal.client import Client
from epochal_proto.v1.services import DatasetStageService, LineageService, RunService
from platform_world import Platform

PROJECT = "orgs/default/projects/main"


def test_one_version_of_a_dataset_has_a_stage(
    admin: Client, platform: Platform, tmp_path: Path
) -> None:
    cli, name = CommandLine(platform, tmp_path), f"staged-{uuid4().hex[:8]}"
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    ).name
    versions = [
        admin.call(
            LineageService.USE_DATASET,
            pb.UseDatasetRequest(
                run=run, dataset=name, uri=f"s3://d/{n}", digest=f"sha256:{n * 64}"
            ),
        ).name
        for n in ("a", "b")
    ]

    def give(version: str, removed: bool = False) -> pb.DatasetStage:
        request = pb.SetDatasetStageRequest(
            name=version, stage="Production", reason="labels checked", removed=removed
        )
        return admin.call(DatasetStageService.SET_DATASET_STAGE, request)

    for version in versions:
        given = give(version)
        assert (given.version, given.reason) == (version, "labels checked")
    dataset, _, last = versions[1].partition("/versions/")
    (listed,) = admin.call(
        DatasetStageService.LIST_DATASET_STAGES, pb.ListDatasetStagesRequest(parent=dataset)
    ).stages
    assert listed.version == versions[1]
    shown = json.loads(cli("datasets", "stages", name, "-p", "main", "-o", "json").stdout)
    assert [one["version"] for one in shown] == [versions[1]]
    with pytest.raises(errors.FailedPrecondition, match="is not in Production"):
        give(versions[0], removed=True)
    cli("datasets", "stage", f"{name}@{last}", "Production", "--remove", "-p", "main")
    with pytest.raises(errors.NotFound):
        give(f"{dataset}/versions/none")
