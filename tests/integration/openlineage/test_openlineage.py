"""OpenLineage's producers, unmodified: its own client, dbt on DuckDB, and raw requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid4, uuid5

import epochal_proto.v1 as pb
import httpx
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal.errors import NotFound, PermissionDenied
from epochal_proto.v1.services import GraphService, OpenLineageService, ProjectService
from epochal_testing.waiting import until
from foreign_environments import plain_environment
from platform_world import Platform

FOLDER = Path.home() / ".cache" / "epochal-openlineage"
CLIENT = ("openlineage-python==1.54.0", "openlineage-dbt==1.54.0", "dbt-core==1.11.1",
          "dbt-duckdb==1.11.1", "aiohttp==3.14.3")  # fmt: skip
HERE = Path(__file__).parent
PROJECT = "orgs/default/projects/main"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def python() -> Path:
    return plain_environment(FOLDER, "openlineage", CLIENT)


def event(**more: Any) -> dict[str, Any]:
    return {
        "eventTime": "2026-11-28T12:00:00Z",
        "eventType": "COMPLETE",
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/1-0-0/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid4())},
        "job": {"namespace": "tests", "name": "one"},
        **more,
    }


def post(
    platform: Platform, body: Any, place: str = "lineage", headers: Mapping[str, str] = JSON
) -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {"authorization": f"Bearer {platform.token}", **headers}
    return httpx.post(f"{platform.url}/api/v1/{place}", content=data, headers=own, timeout=60)


async def told(client: Client, node: str) -> pb.OpenLineageNode:
    """What is known of a node, once something is."""
    request = pb.GetOpenLineageRequest(parent=PROJECT, node=node)

    def known() -> pb.OpenLineageNode:
        try:
            return client.call(OpenLineageService.GET_OPEN_LINEAGE, request)
        except NotFound as error:
            raise AssertionError(error) from error

    return await until(known)


def upstream(client: Client, node: str) -> set[str]:
    request = pb.TraverseGraphRequest(
        parent=PROJECT, node=node, direction=pb.LINEAGE_DIRECTION_UPSTREAM
    )
    return {one.name for one in client.call(GraphService.TRAVERSE_GRAPH, request).nodes}


def emit(platform: Platform, python: Path) -> None:
    command = [str(python), str(HERE / "emitting.py"), platform.url, platform.token]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "NO_PROXY": "*"})


async def test_its_own_client_works_by_every_transport(platform: Platform, python: Path) -> None:
    await asyncio.to_thread(emit, platform, python)
    totals = f"{PROJECT}/datasets/warehouse%2Ftotals"
    orders = f"{PROJECT}/datasets/warehouse%2Forders"
    with platform.client() as client:
        for number in range(3):
            run = f"{PROJECT}/runs/0193a000-0000-7000-8000-0000000000a{number}"

            async def failed(run: str = run) -> pb.OpenLineageNode:
                found = await told(client, run)
                assert found.state == "FAIL"
                return found

            found = await until(failed)
            assert (found.state, found.title) == ("FAIL", "totals")
            assert found.end_time.ToJsonString() == "2026-11-28T12:00:02Z"
            facets = {one.key: json.loads(one.value_json) for one in found.facets}
            assert facets["errorMessage"]["message"] == "no disk"
            assert facets["outputs/warehouse/totals/outputStatistics"]["rowCount"] == 3
            assert {orders, f"{orders}/versions/7"} <= upstream(client, run)
            assert run in upstream(client, totals)
        schema = {
            one.key: json.loads(one.value_json) for one in (await told(client, orders)).facets
        }
        assert schema["schema"]["fields"][0]["name"] == "amount"
        request = pb.TraverseColumnsRequest(
            parent=PROJECT,
            dataset=totals,
            column="total",
            direction=pb.LINEAGE_DIRECTION_UPSTREAM,
        )
        columns = client.call(GraphService.TRAVERSE_COLUMNS, request)
        assert {(one.source, one.source_column) for one in columns.edges} == {(orders, "amount")}


def test_dbt_on_duckdb_works(platform: Platform, python: Path, tmp_path: Path) -> None:
    shop = shutil.copytree(HERE / "shop", tmp_path / "shop")
    with platform.client() as client:
        client.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent="orgs/default", project_id="shop"),
        )
    settings = {
        "OPENLINEAGE_URL": platform.url,
        "OPENLINEAGE_ENDPOINT": "api/v1/projects/shop/lineage",
        "OPENLINEAGE_API_KEY": platform.token,
        "OPENLINEAGE_NAMESPACE": "shop",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "DBT_PROFILES_DIR": str(shop),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "NO_PROXY": "*",
    }
    done = subprocess.run(
        [str(python.parent / "dbt-ol"), "build"],
        cwd=shop, env={**os.environ, **settings},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    project = "orgs/default/projects/shop"
    with platform.client() as client:
        listed = client.call(
            GraphService.LIST_GRAPH_NODES, pb.ListGraphNodesRequest(parent=project)
        )
        names = {node.name: node for node in listed.nodes}
        (revenue,) = (name for name in names if name.endswith("revenue") and "/datasets/" in name)
        walk = pb.TraverseGraphRequest(
            parent=project, node=revenue, direction=pb.LINEAGE_DIRECTION_UPSTREAM
        )
        walked = client.call(GraphService.TRAVERSE_GRAPH, walk)
        assert any(node.name.endswith("orders") for node in walked.nodes), names.keys()
        assert any("/runs/" in node.name for node in walked.nodes)


def test_an_event_that_comes_again_is_recorded_once(platform: Platform) -> None:
    one = event()
    positions = {
        post(platform, dict(reversed(one.items()))).headers["epochal-position"],
        post(platform, one).headers["epochal-position"],
        post(platform, [one, one], "lineage/batch").headers["epochal-position"],
    }
    assert len(positions) == 1


def test_a_batch_says_of_each_event_what_became_of_it(platform: Platform) -> None:
    bad = event(job={"namespace": "tests"})
    answer = post(platform, [event(), bad, event(), 5], "lineage/batch")
    assert answer.status_code == 200
    assert answer.json()["status"] == "partial_success"
    assert answer.json()["summary"] == {
        "received": 4,
        "successful": 2,
        "failed": 2,
        "retriable": 0,
        "non_retriable": 2,
    }
    first, second = answer.json()["failed_events"]
    assert (first["index"], second["index"]) == (1, 3)
    assert first["reason"].startswith("job.name: ")
    assert post(platform, [], "lineage/batch").json()["status"] == "success"
    many = post(platform, [event() for _ in range(1_200)], "lineage/batch")
    assert many.json()["summary"]["successful"] == 1_200


def test_what_is_wrong_is_named(platform: Platform) -> None:
    answer = post(platform, event(eventType="DONE"))
    assert answer.status_code == 400
    assert answer.json()["violations"][0]["field"] == "eventType"
    assert post(platform, b"{").status_code == 400
    assert post(platform, b"{}", "lineage/batch").status_code == 400
    zipped = {**JSON, "content-encoding": "gzip"}
    assert post(platform, gzip.compress(json.dumps(event()).encode()), headers=zipped).is_success
    assert post(platform, b"not gzip", headers=zipped).status_code == 400
    bomb = gzip.compress(b"[" + b" " * 70_000_000 + b"]")
    assert post(platform, bomb, "lineage/batch", zipped).status_code == 413
    large = event(job={"namespace": "tests", "name": "large", "facets": {"x": "y" * 9_000_000}})
    one = post(platform, gzip.compress(json.dumps(large).encode()), headers=zipped)
    assert (one.status_code, "at most 4194304 bytes" in one.text) == (400, True)
    both = gzip.compress(json.dumps([large, event()]).encode())
    summed = post(platform, both, "lineage/batch", zipped).json()
    assert [failed["index"] for failed in summed["failed_events"]] == [0]
    assert summed["summary"]["retriable"] == 0
    nobody = {**JSON, "authorization": "Bearer wrong"}
    assert post(platform, event(), headers=nobody).status_code == 401
    assert post(platform, event(), "projects/nowhere/lineage").status_code == 404


async def test_a_run_is_known_by_an_end_alone_and_by_any_id(
    platform: Platform, tmp_path: Path
) -> None:
    own = {"_producer": "https://example.org", "_schemaURL": "https://example.org/x", "x": "[b]é"}
    run = {"runId": "scheduled__2026-11-28", "facets": {"example_own": own}}
    assert post(platform, event(run=run)).is_success
    made = uuid5(NAMESPACE_URL, "openlineage/run/scheduled__2026-11-28")
    with platform.client() as client:
        assert (await told(client, f"{PROJECT}/runs/{made}")).state == "COMPLETE"
    shown = CommandLine(platform, tmp_path)("lineage", "facets", f"runs/{made}")
    assert "run tests one complete" in shown.stdout
    assert '{"x": "[b]é"}' in shown.stdout


async def test_nobody_reads_what_was_told_to_another_organisation(platform: Platform) -> None:
    secret = f"secret-{uuid4().hex}"
    post(platform, event(job={"namespace": "tests", "name": secret}))
    node = f"{PROJECT}/jobs/{quote('tests', safe='')}%2F{secret}"
    with platform.client() as client:
        assert (await told(client, node)).title == secret
        with pytest.raises((PermissionDenied, NotFound)) as caught:
            client.call(
                OpenLineageService.GET_OPEN_LINEAGE,
                pb.GetOpenLineageRequest(parent="orgs/other/projects/main", node=node),
            )
    assert secret not in str(caught.value).replace(node, "")
