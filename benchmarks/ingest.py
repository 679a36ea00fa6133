"""Metric ingest, from the SDK's call to rows that PostgreSQL has made durable.

The whole path: `log_series` / `log_metric`, packing, spool on disk, gateway, JetStream with fsync,
the tracker's sink, commit, seal. The clock stops when the seal is answered, which is when every
point is in PostgreSQL. Peers: a bare COPY of the same bytes into the same database (no batches
remembered, no summaries, no cursor, no broker), and MLflow's own client and server for as long as
`seconds` says, with four callers at once and as many points a call as it takes.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import random
import subprocess
import time
from pathlib import Path
from uuid import UUID

import asyncpg
import epochal
import epochal_proto.v1 as pb
from epochal.client import Client
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home
from epochal_proto.v1.services import RunService

from benchmarks.peers.environments import DEFAULT_FOLDER, MLFLOW, environment_of
from benchmarks.peers.mlflow_server import mlflow_server
from benchmarks.platforms import running_platform
from benchmarks.report import Row

LONG = 8_192
LONG_COLUMNS = 1_500
RUNS, METRICS, POINTS, ROUNDS = 64, 200, 50, 8
RANDOM = random.Random(7)
POINTS_DRIVER = Path(__file__).parent / "peers" / "mlflow_points_driver.py"


async def run(seconds: float) -> list[Row]:
    """Measure long columns, a realistic mix, and the peer."""
    rows = await asyncio.to_thread(measure)
    python = environment_of("mlflow", MLFLOW, DEFAULT_FOLDER)
    async with mlflow_server(python) as (url, _):
        theirs = await asyncio.to_thread(mlflow_points, python, url, seconds)
    rows.append(Row("MLflow server, long columns by log_batch", theirs, "points/s"))
    rows.append(Row("long columns / MLflow server", rows[0].value / theirs, "ratio", ">= 500"))
    return rows


def measure() -> list[Row]:
    """Measure with the SDK in this process and the platform beside it."""
    with running_platform() as (home, connection):
        os.environ["EPOCHAL_URL"] = connection.url
        os.environ["EPOCHAL_TOKEN"] = connection.token
        os.environ["EPOCHAL_PROJECT"] = connection.project
        os.environ["EPOCHAL_SPOOL"] = str(home.root / "spool")
        long, name = long_columns()
        mix = realistic_mix()
        check_complete(connection, name, LONG_COLUMNS * LONG)
        raw = asyncio.run(raw_copy(home, name))
    return [
        Row(f"long columns ({LONG} points)", long, "points/s", ">= 4,000,000 points/s"),
        Row(
            f"mix ({RUNS} runs x {METRICS} metrics x {POINTS} points)",
            mix,
            "points/s",
            ">= 1,000,000 points/s",
        ),
        Row("bare COPY of the long columns' bytes", raw, "points/s"),
        Row("long columns / bare COPY", long / raw, "ratio"),
    ]


def long_columns() -> tuple[float, str]:
    """Log long columns of noise; return points/s and the run's name."""
    values = array.array("d", (RANDOM.random() for _ in range(LONG)))
    started = time.perf_counter()
    with epochal.init(name="long columns", strict=True) as one:
        for column in range(LONG_COLUMNS):
            first = column // 50 * LONG
            one.log_series(f"m{column % 50}", values, range(first, first + LONG))
            pace(one)
    return LONG_COLUMNS * LONG / (time.perf_counter() - started), one.name


def mlflow_points(python: Path, url: str, seconds: float) -> float:
    """Log long columns by MLflow's client to a server; return points/s."""
    done = subprocess.run(
        [python, POINTS_DRIVER, str(seconds)],
        env={**os.environ, "MLFLOW_TRACKING_URI": url, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["points"] / told["seconds"])


def pace(one: epochal.Run) -> None:
    """Wait while the SDK has more than it packs in about a tenth of a second."""
    while one.pending_points > 500_000:
        time.sleep(0.002)


def realistic_mix() -> float:
    """Log many metrics of many runs, a flush's worth a round; return points/s."""
    runs = [epochal.init(name=f"mix {number}", strict=True) for number in range(RUNS)]
    values = array.array("d", (RANDOM.random() for _ in range(POINTS)))
    started = time.perf_counter()
    for turn in range(ROUNDS):
        steps = range(turn * POINTS, (turn + 1) * POINTS)
        for one in runs:
            for metric in range(METRICS):
                one.log_series(f"layer{metric}/loss", values, steps)
            pace(one)
    for one in runs:
        one.finish()
    return RUNS * METRICS * POINTS * ROUNDS / (time.perf_counter() - started)


def check_complete(connection: Connection, name: str, points: int) -> None:
    """Fail unless every point is there: a fast loss is no result."""
    with Client(connection) as client:
        found = client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    stored = sum(summary.points for summary in found.metrics.values())
    if stored != points:
        raise RuntimeError(f"{stored} of {points} points arrived")


async def raw_copy(home: Home, name: str) -> float:
    """COPY the same chunks into a table of the same shape; return points/s."""
    run_id = UUID(name.rpartition("/")[2])
    database = await asyncpg.connect(database_url(home))
    try:
        rows = [
            tuple(row)
            for row in await database.fetch(
                "SELECT * FROM tracker.metric_chunk WHERE run_id = $1", run_id
            )
        ]
        await database.execute(
            "CREATE TABLE raw_chunk (LIKE tracker.metric_chunk INCLUDING STORAGE);"
            "CREATE INDEX ON raw_chunk (run_id, metric, first_step)"
        )
        points = 0
        started = time.perf_counter()
        for first in range(0, len(rows), 512):
            batch = rows[first : first + 512]
            await database.copy_records_to_table("raw_chunk", records=batch)
            points += sum(row[10] for row in batch)
        return points / (time.perf_counter() - started)
    finally:
        await database.close()


def database_url(home: Home) -> str:
    """Return the address of the embedded platform's database."""
    report = control.observe(home)
    assert report is not None
    (postgres,) = (unit for unit in report.units if unit.name == "postgres")
    password = (home.root / "postgres" / "password").read_text().strip()
    return f"postgresql://epochal:{password}@127.0.0.1:{postgres.port}/epochal"
