"""Promotions with gates beside MLflow's own server, which has none.

One caller, one call after the other, each moves the alias or stage from one version to the other.
Our policy asks for a threshold, one against the holder, and looks at a freeze; every move stores
its evaluation. The same REST calls go to MLflow's server (PostgreSQL that syncs, one worker).
Ratios are MLflow's time over ours: above 1 ours is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import epochal_proto.v1 as pb
import httpx
from epochal.client import Client
from epochal.config import Connection
from epochal_proto.v1.services import (
    ComponentService,
    PromotionService,
    RegistryService,
    RunService,
    StageService,
    TrackingService,
)

from benchmarks.peers.environments import DEFAULT_FOLDER, MLFLOW, environment_of
from benchmarks.peers.mlflow_server import mlflow_server
from benchmarks.platforms import running_platform
from benchmarks.report import Row, percentile, spread_ms

NAME = "raced"
GATES = 'gates: {metrics: ["metrics.acc >= 0.5", "metrics.acc > holder.metrics.acc - 1"]}'
FREEZE = "freezes: [{reason: holidays, zone: Europe/Berlin, cron: '0 0 1 1 *', hours: 1}]"
WARM_UP = 10


async def run(seconds: float) -> list[Row]:
    """Measure ours, then MLflow's server."""
    python = environment_of("mlflow", MLFLOW, DEFAULT_FOLDER)
    rows: list[Row] = []
    with running_platform() as (_, connection):
        with Client(connection) as client:
            versions = _prepare(client, connection)
            took = _measure(lambda turn: _promote(client, versions[turn % 2]), seconds)
            rows.append(_row("promote with gates, gRPC", took))
            staged = _prepare_components(client, connection)
            took = _measure(lambda turn: _promote_component(client, staged[turn % 2]), seconds)
            rows.append(_row("promote a component with gates, gRPC", took))
            took = _measure(lambda turn: _preview(client, versions[turn % 2]), seconds)
            rows.append(_row("preview of a promotion, gRPC", took))
        ours = _door(connection.url, seconds, connection.token)
    async with mlflow_server(python) as (url, _):
        _prepare_mlflow(url)
        theirs = _door(url, seconds)
    for case, took in ours.items():
        rows.append(_row(f"{case}, REST with gates", took))
        rows.append(_row(f"MLflow server, {case}", theirs[case]))
        ratio = percentile(theirs[case], 0.5) / percentile(took, 0.5)
        rows.append(Row(f"MLflow / ours, {case}", ratio, "ratio", "> 1"))
    return rows


def _row(case: str, took: list[float]) -> Row:
    return Row(case, percentile(took, 0.5) * 1e3, "ms", also=spread_ms(took))


def _prepare(client: Client, connection: Connection) -> list[str]:
    """Make a model of two versions, measured, and the policy; returns the versions."""
    org = "/".join(connection.project.split("/")[:2])
    project = f"{org}/projects/main"
    text = (
        f"stages: {{Production: {{{GATES}}}, Staging: {{{GATES}}}}}\n"
        f"aliases: {{champion: {{{GATES}}}}}\n{FREEZE}\n"
    )
    client.call(
        PromotionService.SET_REGISTRY_POLICY,
        pb.SetRegistryPolicyRequest(name=f"{project}/registryPolicy", text=text),
    )
    names: list[str] = []
    for acc in (0.8, 0.9):
        run = client.call(
            RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
        ).name
        points = [pb.MetricPoint(metric="acc", value=acc)]
        client.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=points))
        request = pb.RegisterModelVersionRequest(
            parent=project, model_id=NAME, run=run, source="s3://models/raced"
        )
        names.append(client.call(RegistryService.REGISTER_MODEL_VERSION, request).name)
    return names


def _prepare_components(client: Client, connection: Connection) -> list[str]:
    """Register two versions of a component, and the policy of their organisation."""
    org = "/".join(connection.project.split("/")[:2])
    text = f"components: {{stages: {{Production: {{from: [None, Production]}}}}}}\n{FREEZE}\n"
    client.call(
        PromotionService.SET_REGISTRY_POLICY,
        pb.SetRegistryPolicyRequest(name=f"{org}/registryPolicy", text=text),
    )
    names: list[str] = []
    for tag in ("v1", "v2"):
        request = pb.RegisterComponentRequest(
            parent=org, component_id=NAME, tag=tag, spec=b"kind: component\nname: raced\n"
        )
        names.append(client.call(ComponentService.REGISTER_COMPONENT, request).name)
    return names


def _prepare_mlflow(url: str) -> None:
    with httpx.Client(base_url=f"{url}/api/2.0/mlflow", timeout=30) as http:
        http.post("/registered-models/create", json={"name": NAME}).raise_for_status()
        for _ in range(2):
            body = {"name": NAME, "source": "s3://models/raced"}
            http.post("/model-versions/create", json=body).raise_for_status()


def _promote(client: Client, version: str) -> None:
    request = pb.PromoteModelVersionRequest(name=version, alias="champion")
    done = client.call(PromotionService.PROMOTE_MODEL_VERSION, request)
    assert done.state == pb.PROMOTION_STATE_COMPLETED, done


def _promote_component(client: Client, version: str) -> None:
    request = pb.PromoteVersionRequest(name=version, stage="Production")
    done = client.call(StageService.PROMOTE_VERSION, request)
    assert done.state == pb.PROMOTION_STATE_COMPLETED, done


def _preview(client: Client, version: str) -> None:
    request = pb.PromoteModelVersionRequest(name=version, stage="Production", validate_only=True)
    client.call(PromotionService.PROMOTE_MODEL_VERSION, request)


def _door(url: str, seconds: float, token: str = "") -> dict[str, list[float]]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"{url}/api/2.0/mlflow", headers=headers, timeout=30) as http:

        def alias(turn: int) -> None:
            body = {"name": NAME, "alias": "champion", "version": str(1 + turn % 2)}
            http.post("/registered-models/alias", json=body).raise_for_status()

        def stage(turn: int) -> None:
            body = {
                "name": NAME,
                "version": str(1 + turn % 2),
                "stage": "Production",
                "archive_existing_versions": True,
            }
            http.post("/model-versions/transition-stage", json=body).raise_for_status()

        return {
            "set an alias": _measure(alias, seconds),
            "transition a stage": _measure(stage, seconds),
        }


def _measure(call: Callable[[int], None], seconds: float) -> list[float]:
    for turn in range(WARM_UP):
        call(turn)
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call(len(took))
        took.append(time.perf_counter() - start)
    return took
