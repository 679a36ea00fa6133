"""Evidence for a model version, and exports for other programs, as a person makes them."""

from __future__ import annotations

import csv
import json
import math
import zipfile
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal.errors import FailedPrecondition
from epochal_proto.v1.services import (
    AlertService,
    LineageService,
    PromotionService,
    ProofService,
    RegistryService,
    RunService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

PROJECT = "orgs/default/projects/main"


@pytest.fixture(scope="module")
def model(platform: Platform) -> str:
    """A model with two versions; the first by a run with a dataset, and the champion."""
    model_id = f"evidence-{uuid4().hex[:8]}"
    with platform.client() as admin:
        run = admin.call(
            RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
        ).name
        admin.call(
            LineageService.USE_DATASET,
            pb.UseDatasetRequest(run=run, dataset="digits", uri="s3://data/digits"),
        )
        headers = {"authorization": f"Bearer {platform.token}"}
        httpx.put(
            f"{platform.url}/v1/{run}/artifacts/model", content=b"weights", headers=headers
        ).raise_for_status()
        for _ in range(2):
            admin.call(
                RegistryService.REGISTER_MODEL_VERSION,
                pb.RegisterModelVersionRequest(
                    parent=PROJECT, model_id=model_id, run=run, artifact_path="model"
                ),
            )
        name = f"{PROJECT}/models/{model_id}"
        for version in (1, 2):
            admin.call(
                RegistryService.SET_MODEL_VERSION_STAGE,
                pb.SetModelVersionStageRequest(
                    name=f"{name}/versions/{version}", stage="Production"
                ),
            )
        admin.call(
            RegistryService.SET_MODEL_ALIAS,
            pb.SetModelAliasRequest(name=name, alias="champion", version=1),
        )
        for version in (1, 2):
            admin.call(
                PromotionService.PROMOTE_MODEL_VERSION,
                pb.PromoteModelVersionRequest(
                    name=f"{name}/versions/{version}", stage="Archived", reason="to be compared"
                ),
            )
        _deploy(admin, f"{name}/versions/1")
    return model_id


def _deploy(admin: Client, version: str) -> None:
    """A run that reads the version, and of which the monitor has something to say."""
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    ).name
    admin.call(
        LineageService.USE_MODEL,
        pb.UseModelRequest(run=run, model_version=version),
    )
    point = pb.MetricPoint(metric="latency", value=math.nan)
    admin.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=[point]))


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


async def wait_alert(admin: Client) -> None:
    def raised() -> bool:
        found = admin.call(AlertService.LIST_ALERTS, pb.ListAlertsRequest(parent=PROJECT))
        return any(one.metric == "latency" for one in found.alerts)

    await until(raised, 30)


async def wait_sealed(admin: Client) -> str:
    heads: list[int] = []

    def there() -> str:
        try:
            found = admin.call(
                ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent="orgs/default")
            )
        except FailedPrecondition:
            return ""  # none at all yet
        heads.append(found.head)
        return found.verifier_keys[0] if found.checkpoint.size >= heads[0] else ""

    return await until(there, 70, what="a checkpoint")


async def test_evidence_of_a_version_leads_from_its_data_to_its_moves_and_is_proved(
    cli: CommandLine, admin: Client, model: str, tmp_path: Path
) -> None:
    await wait_alert(admin)
    key = await wait_sealed(admin)
    cli("audit", "bundle", model, "1", "--out", "evidence.zip")
    assert "HOLDS" in cli("audit", "verify", "--bundle", "evidence.zip", "--key", key).stdout
    with zipfile.ZipFile(tmp_path / "evidence.zip") as bundle:
        subject = json.loads(bundle.read("subject.json"))
        rows = [json.loads(line) for line in bundle.read("events.jsonl").splitlines()]
    story = [(one["event"], one["says"].get("name", "")) for one in subject["story"]]
    names = [event for event, _ in story]
    for event in (
        "RunCreated", "DatasetUsed", "ArtifactLogged", "ModelRegistered", "ModelAliasSet"
    ):  # fmt: skip
        assert event in names, names
    assert [one["position"] for one in subject["story"]] == [row["position"] for row in rows]
    versions = {name for event, name in story if event == "ModelVersionStageChanged"}
    assert versions == {f"{PROJECT}/models/{model}/versions/1"}
    assert subject["digest"].startswith("sha256:")
    chapters = subject["chapters"]
    told = {one["position"]: one["event"] for one in subject["story"]}
    assert sorted(place for places in chapters.values() for place in places) == sorted(told)
    assert {told[place] for place in chapters["data"]} == {"DatasetUsed"}
    assert "PromotionCompleted" in {told[place] for place in chapters["approvals"]}
    assert {told[place] for place in chapters["monitoring"]} == {"MetricAlertRaised"}
    assert "ModelVersionUsed" in {told[place] for place in chapters["deployments"]}
    assert len(subject["deployments"]) == 1
    wanted = [one for one in subject["story"] if one["event"] == "PromotionRequested"]
    assert [one["says"]["modelVersion"].rpartition("/")[2] for one in wanted] == ["1"]
    missing = cli("audit", "bundle", model, "9", "--out", "none.zip", code=1)
    assert f"{model}/versions/9" in missing.stderr
    assert not (tmp_path / "none.zip").exists()


def test_events_are_written_for_other_programs(
    cli: CommandLine, model: str, tmp_path: Path
) -> None:
    only = ("--type", "ModelAliasSet", "--resource", f"{PROJECT}/models/{model}")
    for how in ("jsonl", "csv", "cloudevents"):
        cli("audit", "export", "--format", how, *only, "--out", f"moves.{how}")
    (plain,) = map(json.loads, (tmp_path / "moves.jsonl").read_text().splitlines())
    (cloud,) = map(json.loads, (tmp_path / "moves.cloudevents").read_text().splitlines())
    with (tmp_path / "moves.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert plain["payload"]["alias"] == cloud["data"]["alias"] == "champion"
    assert json.loads(row["payload"]) == plain["payload"]
    assert cloud["specversion"] == "1.0"
    assert (cloud["id"], cloud["source"]) == (plain["event_id"], "/orgs/default")
    assert (cloud["type"], cloud["subject"]) == (plain["type"], plain["resource"])
    assert row["time"] == plain["time"] == cloud["time"]
    refused = cli("audit", "export", *only, "--out", "x.zip", code=1)
    assert "without a gap" in refused.stderr
