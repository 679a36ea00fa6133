"""OpenLineage's door: events posted one at a time and in batches, as dbt and Airflow post them.

Each run is told twice, START and COMPLETE, with a schema of ten columns and column lineage: about 4
KB an event. An answer comes when the event is in the log. The client shares the cores. There is no
peer in Python to post to; what bounds it is the log, whose rate `append` measures.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
from epochal.config import Connection

from benchmarks.platforms import running_platform
from benchmarks.report import Row, spread_ms

CALLERS = 16
BATCH = 100
COLUMNS = 10
_PRODUCER = "https://example.org/benchmark"
_FACETS = "https://openlineage.io/spec/facets"


async def run(seconds: float) -> list[Row]:
    """Measure both ways on a platform of its own."""
    with running_platform() as (_, connection):
        rows = [await _singly(connection, seconds), await _batches(connection, seconds)]
    return rows


async def _singly(connection: Connection, seconds: float) -> Row:
    took: list[float] = []
    events = _events()
    end = time.perf_counter() + seconds

    async def post(http: httpx.AsyncClient) -> None:
        while time.perf_counter() < end:
            body = json.dumps(next(events))
            started = time.perf_counter()
            answer = await http.post("/api/v1/lineage", content=body)
            took.append(time.perf_counter() - started)
            answer.raise_for_status()

    started = time.perf_counter()
    async with _client(connection) as http, asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(post(http))
    rate = len(took) / (time.perf_counter() - started)
    also = {**spread_ms(took), "load_1m": os.getloadavg()[0]}
    return Row(f"one event a request, {CALLERS} callers", rate, "events/s", also=also)


async def _batches(connection: Connection, seconds: float) -> Row:
    events = _events()
    posted = 0
    started = time.perf_counter()
    async with _client(connection) as http:
        while time.perf_counter() - started < seconds:
            body = json.dumps([next(events) for _ in range(BATCH)])
            answer = await http.post("/api/v1/lineage/batch", content=body)
            if answer.json()["summary"]["successful"] != BATCH:
                raise RuntimeError(answer.text[:500])
            posted += BATCH
    rate = posted / (time.perf_counter() - started)
    return Row(f"batches of {BATCH}, one caller", rate, "events/s")


def _client(connection: Connection) -> httpx.AsyncClient:
    headers = {
        "authorization": f"Bearer {connection.token}",
        "content-type": "application/json",
    }
    return httpx.AsyncClient(base_url=connection.url, headers=headers, timeout=60)


def _events() -> Iterator[dict[str, Any]]:
    for number in count():
        run_id = str(uuid4())
        for kind in ("START", "COMPLETE"):
            yield _event(kind, run_id, number)


def _event(kind: str, run_id: str, number: int) -> dict[str, Any]:
    source = {"namespace": "warehouse", "name": f"raw_{number % 997}"}
    columns = [f"column_{place}" for place in range(COLUMNS)]
    schema = _facet(
        "1-2-0/SchemaDatasetFacet",
        fields=[{"name": name, "type": "int"} for name in columns],
    )
    lineage = _facet(
        "1-2-0/ColumnLineageDatasetFacet",
        fields={name: {"inputFields": [{**source, "field": name}]} for name in columns},
    )
    target = {
        "namespace": "warehouse",
        "name": f"table_{number % 499}",
        "facets": {"schema": schema, "columnLineage": lineage},
    }
    return {
        "eventType": kind,
        "eventTime": "2026-11-28T12:00:00Z",
        "producer": _PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id},
        "job": {"namespace": "benchmark", "name": f"job_{number % 499}"},
        "inputs": [{**source, "facets": {"schema": schema}}],
        "outputs": [target],
    }


def _facet(schema: str, **fields: object) -> dict[str, object]:
    return {"_producer": _PRODUCER, "_schemaURL": f"{_FACETS}/{schema}.json", **fields}
