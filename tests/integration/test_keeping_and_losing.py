"""Telemetry that is logged at once, lost, hidden, thinned or deleted, through every part."""

from __future__ import annotations

import json
from uuid import uuid4

import epochal
import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import FailedPrecondition, NotFound
from epochal_proto.v1.services import (
    ArtifactService,
    AuditService,
    ProjectService,
    RegistryService,
    RetentionService,
    RunService,
    SeriesService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

PROJECT = "orgs/default/projects/main"


@pytest.fixture(autouse=True)
def environment(platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("EPOCHAL_URL", platform.url)
    monkeypatch.setenv("EPOCHAL_TOKEN", platform.token)
    monkeypatch.setenv("EPOCHAL_PROJECT", PROJECT)
    monkeypatch.setenv("EPOCHAL_CAPTURE", "0")
    monkeypatch.setenv("EPOCHAL_SPOOL", f"{tmp_path}/spool")


def tracked(admin: Client) -> str:
    request = pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    return admin.call(RunService.CREATE_RUN, request).name


def read(admin: Client, run: str) -> pb.Run:
    return admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))


async def test_points_logged_over_rest_are_read_at_once_and_sealed_after_the_end(
    platform: Platform, admin: Client
) -> None:
    run = tracked(admin)
    headers = {"authorization": f"Bearer {platform.token}"}
    body = {
        "points": [
            {"metric": "loss", "step": "1", "value": 0.5},
            {"metric": "loss", "step": "2", "value": "NaN"},
        ],
        "requestId": str(uuid4()),
    }
    async with httpx.AsyncClient(base_url=f"{platform.url}/v1/", headers=headers) as client:
        for _ in range(2):
            answer = await client.post(f"{run}:logMetrics", json=body)
            assert answer.status_code == 200, answer.text
            series = (await client.get(f"{run}/metrics/loss")).json()
            assert series["values"] == [0.5, "NaN"]
    finish = pb.FinishRunRequest(name=run, status=pb.RUN_STATUS_SUCCEEDED)
    assert not admin.call(RunService.FINISH_RUN, finish).incomplete_producers
    events = pb.ListEventsRequest(
        parent="orgs/default", resource=run, types=["ProducerOpened", "TelemetrySealed"]
    )

    def sealed() -> bool:
        return len(admin.call(AuditService.LIST_EVENTS, events).events) == 2

    await until(sealed, 20, what="the seal of what came without a spool")
    late = pb.LogMetricsRequest(run=run, points=[pb.MetricPoint(metric="test", value=1.0)])
    admin.call(TrackingService.LOG_METRICS, late)
    assert read(admin, run).metrics["test"].last == 1.0


def test_a_run_that_goes_on_from_a_checkpoint_shows_each_step_once(admin: Client) -> None:
    with epochal.init(name="first half") as first:
        first.log_series("loss", [float(n) for n in range(100)])
    with epochal.init(run=first.id, resume="truncate", from_step=50) as second:
        second.log_series("loss", [-1.0] * 10, range(50, 60))
    shown = read(admin, first.name)
    assert (shown.metrics["loss"].points, shown.metrics["loss"].last_step) == (60, 59)
    assert shown.status == pb.RUN_STATUS_SUCCEEDED
    assert not shown.incomplete_producers
    request = pb.GetMetricSeriesRequest(run=first.name, metric="loss")
    series = admin.call(TrackingService.GET_METRIC_SERIES, request)
    assert list(series.steps) == list(range(60))
    assert list(series.values[50:]) == [-1.0] * 10


def test_what_the_sdk_had_to_drop_is_shown_on_the_run(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_SPOOL_MAX_MB", "0.00005")
    with epochal.init() as run:
        run.log_series("loss", [1.5, 2.5, 3.25])
    (lost,) = read(admin, run.name).data_lost
    assert lost.startswith("3 points: the spool holds its limit")


def test_series_of_two_runs_are_drawn_in_one_call(admin: Client) -> None:
    runs = []
    for offset in (0.0, 5.0):
        with epochal.init() as run:
            run.log_series("train/loss", [offset + n / 7 for n in range(20_000)])
            run.log_series("train/acc", [offset])
        runs.append(run)
    request = pb.QuerySeriesRequest(
        parent=PROJECT,
        runs=[run.id for run in runs],
        metrics=["train/*"],
        max_points=200,
        thinning=pb.THINNING_LTTB,
    )
    curves = admin.call(SeriesService.QUERY_SERIES, request).curves
    assert [(curve.run, curve.metric, curve.points) for curve in curves] == [
        (run.name, metric, points)
        for run in runs
        for metric, points in (("train/acc", 1), ("train/loss", 20_000))
    ]
    assert all(len(curve.values) <= 200 for curve in curves)
    assert (curves[3].first, curves[3].last) == (5.0, 5.0 + 19_999 / 7)


def test_metrics_are_tailed_over_sse(platform: Platform, admin: Client) -> None:
    with epochal.init() as run:
        run.log_series("loss", [1.0, 2.0, 3.0])
        run.log_metric("acc", 0.5)
    headers = {"authorization": f"Bearer {platform.token}"}
    found: dict[str, list[float]] = {}
    with httpx.stream(
        "GET", f"{platform.url}/v1/{run.name}/metrics:tail", headers=headers, timeout=30
    ) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                for series in json.loads(line.removeprefix("data: ")).get("series", []):
                    found.setdefault(series["metric"], []).extend(series["values"])
    assert found == {"loss": [1.0, 2.0, 3.0], "acc": [0.5]}


def test_a_purged_run_keeps_its_story_and_nothing_else(
    platform: Platform, admin: Client, tmp_path: object
) -> None:
    with epochal.init() as run:
        run.log_series("loss", [1.0, 2.0, 3.0])
        run.log_model({"w": 1}, register=f"m{uuid4().hex[:8]}")
    purge = pb.PurgeRunRequest(run=run.name, reason="asked to")
    with pytest.raises(FailedPrecondition, match="versions/1"):
        admin.call(RetentionService.PURGE_RUN, purge)
    with epochal.init() as other:
        other.log_series("loss", [1.0, 2.0, 3.0])
        other.log_model({"w": uuid4().hex})
        unfinished = pb.PurgeRunRequest(run=other.name, reason="asked to")
        with pytest.raises(FailedPrecondition, match="has not ended"):
            admin.call(RetentionService.PURGE_RUN, unfinished)
    gone = admin.call(RetentionService.PURGE_RUN, unfinished)
    assert (gone.points, gone.artifacts > 0) == (3, True)
    shown = read(admin, other.name)
    assert shown.HasField("purge_time")
    assert not shown.metrics
    listed = pb.ListArtifactsRequest(run=other.name)
    assert not admin.call(ArtifactService.LIST_ARTIFACTS, listed).artifacts
    with pytest.raises(NotFound):
        admin.call(
            TrackingService.GET_METRIC_SERIES,
            pb.GetMetricSeriesRequest(run=other.name, metric="loss"),
        )
    assert admin.call(RegistryService.LIST_MODELS, pb.ListModelsRequest(parent=PROJECT)).models, (
        "what is registered stays"
    )


def test_a_project_keeps_what_it_says(admin: Client) -> None:
    name = f"orgs/default/projects/k-{uuid4().hex[:8]}"
    admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=name.rpartition("/")[2]),
    )
    said = pb.Retention(project=name, metrics_days=90, logs_days=7)
    admin.call(RetentionService.SET_RETENTION, pb.SetRetentionRequest(retention=said))
    asked = pb.GetRetentionRequest(project=name)
    assert admin.call(RetentionService.GET_RETENTION, asked) == said
