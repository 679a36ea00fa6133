"""The MLflow door beside MLflow's own server: one client, the same calls, one after the other.

Both servers run on this machine with PostgreSQL that syncs; MLflow's with one worker, its fastest
setting on two cores. The client is the same process image for both, on the same cores. Ratios are
MLflow's time over ours: above 1 ours is faster. The 10,000 runs that are searched are put in place
beforehand: through our scheduler here, by SQL there.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import epochal_proto.v1 as pb
import grpc.aio
import httpx
from epochal.client import Client
from epochal.config import Connection
from epochal_proto.v1.services import ProjectService, RunService, TrackingService

from benchmarks.peers.environments import DEFAULT_FOLDER, MLFLOW, environment_of
from benchmarks.peers.mlflow_server import mlflow_server
from benchmarks.platforms import running_platform
from benchmarks.report import Row, percentile, spread_ms

RUNS = 10_000
AT_ONCE = 64
DRIVER = Path(__file__).parent / "peers" / "mlflow_driver.py"

_MANY_RUNS = """
WITH made AS (
    INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time,
                             last_update_time)
    VALUES ('many', 'mlflow-artifacts:/many', 'active', 0, 0) RETURNING experiment_id
), numbered AS (
    SELECT n, md5(n::text) AS run_uuid FROM generate_series(1, $1::int) AS n
), run AS (
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
                      start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT run_uuid, 'run ' || n, 'UNKNOWN', '', '', 'u', 'RUNNING', n, '', 'active', '',
           experiment_id
      FROM numbered, made
), param AS (
    INSERT INTO params (key, value, run_uuid)
    SELECT 'kind', CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END, run_uuid FROM numbered
), metric AS (
    INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT 'loss', n / $1::float8, 1, run_uuid, 0, false FROM numbered
), latest AS (
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'loss', n / $1::float8, 1, 0, false, run_uuid FROM numbered
)
SELECT experiment_id::text FROM made
"""


async def run(seconds: float) -> list[Row]:
    """Measure both servers, one after the other."""
    python = environment_of("mlflow", MLFLOW, DEFAULT_FOLDER)
    with running_platform() as (_, connection):
        experiment = await _many_runs(connection)
        ours = _drive(python, connection.url, experiment, seconds, connection.token)
    async with mlflow_server(python) as (url, database):
        theirs = _drive(python, url, await _many_runs_by_sql(database), seconds)
    rows: list[Row] = []
    for case, took in ours.items():
        ratio = percentile(theirs[case], 0.5) / percentile(took, 0.5)
        rows.append(Row(case, percentile(took, 0.5) * 1e3, "ms", also=spread_ms(took)))
        name = f"MLflow server, {case}"
        rows.append(
            Row(name, percentile(theirs[case], 0.5) * 1e3, "ms", also=spread_ms(theirs[case]))
        )
        rows.append(Row(f"MLflow / ours, {case}", ratio, "ratio", "> 1"))
    return rows


def _drive(
    python: Path, url: str, experiment: str, seconds: float, token: str = ""
) -> Mapping[str, Sequence[float]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    settings = {"MLFLOW_TRACKING_URI": url, "MLFLOW_DISABLE_TELEMETRY": "true", "NO_PROXY": "*"}
    if token:
        settings["MLFLOW_TRACKING_TOKEN"] = token
    done = subprocess.run(
        [python, DRIVER, experiment, str(seconds)],
        env={**kept, **settings},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["case"]: line["took"] for line in lines}


async def _many_runs(connection: Connection) -> str:
    """Make the runs that are searched; returns their experiment's id."""
    org = "/".join(connection.project.split("/")[:2])
    with Client(connection) as client:
        project = client.call(
            ProjectService.CREATE_PROJECT, pb.CreateProjectRequest(parent=org, project_id="many")
        )
    async with httpx.AsyncClient() as http:
        found = await http.get(f"{connection.url}/.well-known/epochal")
    address = str(found.json()["grpc"])
    metadata = (("authorization", f"Bearer {connection.token}"),)
    places = iter(range(1, RUNS + 1))
    async with grpc.aio.insecure_channel(address) as channel:
        create: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            RunService.CREATE_RUN.path
        )
        log: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            TrackingService.LOG_METRICS.path
        )

        async def make() -> None:
            for n in places:
                kind = pb.Value(string_value="even" if n % 2 == 0 else "odd")
                request = pb.CreateRunRequest(
                    parent=project.name, tracked=pb.TrackedRun(), params={"kind": kind}
                )
                answer = await create(request.SerializeToString(), metadata=metadata)
                points = pb.LogMetricsRequest(
                    run=pb.Run.FromString(answer).name,
                    points=[pb.MetricPoint(metric="loss", value=n / RUNS)],
                )
                await log(points.SerializeToString(), metadata=metadata)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(make())
    return str(project.number)


async def _many_runs_by_sql(database: str) -> str:
    connection = await asyncpg.connect(database)
    try:
        return str(await connection.fetchval(_MANY_RUNS, RUNS))
    finally:
        await connection.execute("ANALYZE")
        await connection.close()
