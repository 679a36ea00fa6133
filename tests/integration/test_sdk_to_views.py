"""What a program on a laptop logs is what every view shows: metrics, files, models, lineage."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import NotFound
from epochal_proto.v1.services import (
    AuditService,
    LineageService,
    RegistryService,
    RunService,
    TrackingService,
)
from platform_world import Platform

PROJECT = "orgs/default/projects/main"

PROGRAM = """
import math, pathlib, sys, epochal
model = sys.argv[1]
with epochal.init(name="laptop", params={"lr": 0.1, "depth": 3, "flag": True}) as run:
    run.use_dataset("digits", "s3://data/digits", digest="sha256:" + "ab" * 32)
    for step in range(500):
        run.log_metric("val/loss?", 1 / (step + 1), step)
    run.log_metrics({"odd": math.nan}, 0)
    run.log_metrics({"odd": math.inf}, 1)
    run.log_metrics({"odd": -2.5}, 2)
    run.log_metrics({"odd": math.nan}, 3)
    run.set_tag("team", "vision")
    run.log_param("late", "yes")
    pathlib.Path("notes.txt").write_text("hello")
    run.log_artifact("notes.txt", "docs/notes.txt")
    pathlib.Path("weights.bin").write_bytes(b"weights")
    run.log_model("weights.bin", name="model", register=model, alias="champion")
    print(run.name, flush=True)
"""


def environment(platform: Platform, folder: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
    return (
        kept
        | {
            "EPOCHAL_URL": platform.url,
            "EPOCHAL_TOKEN": platform.token,
            "EPOCHAL_PROJECT": PROJECT,
            "EPOCHAL_SPOOL": str(folder / "spool"),
            "EPOCHAL_CONFIG": str(folder / "none.json"),
            "EPOCHAL_QUIET": "1",
        }
        | more
    )


def program(text: str, folder: Path, env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def logged(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run made by a program, and the model it registered."""
    folder = tmp_path_factory.mktemp("laptop")
    model = f"digits-{uuid4().hex[:8]}"
    return program(PROGRAM, folder, environment(platform, folder), model), model


def test_the_run_shows_what_was_logged(admin: Client, logged: tuple[str, str]) -> None:
    run = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=logged[0]))
    assert (run.display_name, run.status) == ("laptop", pb.RUN_STATUS_SUCCEEDED)
    assert list(run.incomplete_producers) == []
    assert run.params["lr"] == pb.Value(double_value=0.1)
    assert run.params["depth"] == pb.Value(int_value=3)
    assert run.params["flag"] == pb.Value(bool_value=True)
    assert run.params["late"] == pb.Value(string_value="yes")
    assert run.tags["team"] == "vision"
    odd = run.metrics["odd"]
    assert math.isnan(odd.last)
    assert (odd.min, odd.max, odd.points, odd.last_step) == (-2.5, math.inf, 4, 3)


def test_a_series_is_read_in_pages_and_ranges(
    admin: Client, platform: Platform, logged: tuple[str, str]
) -> None:
    request = pb.GetMetricSeriesRequest(run=logged[0], metric="val/loss?", page_size=97)
    steps: list[int] = []
    values: list[float] = []
    while True:
        page = admin.call(TrackingService.GET_METRIC_SERIES, request)
        steps += page.steps
        values += page.values
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert steps == list(range(500))
    assert values == [1 / (step + 1) for step in range(500)]
    some = httpx.get(
        f"{platform.url}/v1/{logged[0]}/metrics/val%2Floss%3F",
        params={"startStep": "10", "endStep": "12"},
        headers={"authorization": f"Bearer {platform.token}"},
    ).json()
    assert some["steps"] == ["10", "11", "12"]
    odd = httpx.get(
        f"{platform.url}/v1/{logged[0]}/metrics/odd",
        headers={"authorization": f"Bearer {platform.token}"},
    ).json()
    assert odd["values"] == ["NaN", "Infinity", -2.5, "NaN"]
    with pytest.raises(NotFound):
        admin.call(
            TrackingService.GET_METRIC_SERIES,
            pb.GetMetricSeriesRequest(run=logged[0], metric="never"),
        )


def test_a_search_finds_the_run_by_all_it_has(admin: Client, logged: tuple[str, str]) -> None:
    wanted = (
        "name:laptop, status:succeeded, params.lr:<=0.1, params.late:yes, tags.team:vision, "
        'metrics."val/loss?":<0.01'
    )
    found = admin.call(RunService.LIST_RUNS, pb.ListRunsRequest(parent=PROJECT, filter=wanted))
    assert logged[0] in [run.name for run in found.runs]
    none = admin.call(
        RunService.LIST_RUNS,
        pb.ListRunsRequest(parent=PROJECT, filter=f"{wanted}, metrics.odd:>0"),
    )
    assert logged[0] not in [run.name for run in none.runs]  # its last value is no number


def test_lineage_leads_from_the_dataset_to_the_model_and_back(
    admin: Client, logged: tuple[str, str]
) -> None:
    run, model = logged
    version = f"{PROJECT}/models/{model}/versions/1"
    dataset = f"{PROJECT}/datasets/digits/versions/{'ab' * 6}"

    def walk(node: str, direction: pb.LineageDirection, **more: int) -> pb.LineageGraph:
        return admin.call(
            LineageService.GET_LINEAGE,
            pb.GetLineageRequest(parent=PROJECT, node=node, direction=direction, **more),
        )

    down = walk(dataset, pb.LINEAGE_DIRECTION_DOWNSTREAM)
    assert {run, version} <= {node.name for node in down.nodes}
    up = walk(version, pb.LINEAGE_DIRECTION_UPSTREAM)
    assert {run, dataset} <= {node.name for node in up.nodes}
    assert not up.truncated
    kinds = {(edge.source, edge.target): edge.kind for edge in up.edges}
    assert kinds[dataset, run] == pb.EDGE_KIND_USED
    assert kinds[run, version] == pb.EDGE_KIND_TRAINED
    near = walk(version, pb.LINEAGE_DIRECTION_UPSTREAM, depth=1)
    assert dataset not in {node.name for node in near.nodes}
    cut = walk(run, pb.LINEAGE_DIRECTION_UNSPECIFIED, max_edges=1)
    assert (len(cut.edges), cut.truncated) == (1, True)
    with pytest.raises(NotFound):
        walk(f"{PROJECT}/runs/{uuid4()}", pb.LINEAGE_DIRECTION_UPSTREAM)


def test_the_registry_shows_version_and_alias(admin: Client, logged: tuple[str, str]) -> None:
    run, model = logged
    name = f"{PROJECT}/models/{model}"
    found = admin.call(RegistryService.GET_MODEL, pb.GetModelRequest(name=name))
    assert (found.latest_version, dict(found.aliases)) == (1, {"champion": 1})
    version = admin.call(
        RegistryService.GET_MODEL_VERSION, pb.GetModelVersionRequest(name=f"{name}/versions/1")
    )
    assert (version.run, list(version.aliases)) == (run, ["champion"])
    gone = admin.call(
        RegistryService.DELETE_MODEL_ALIAS,
        pb.DeleteModelAliasRequest(name=name, alias="champion"),
    )
    assert dict(gone.aliases) == {}
    back = admin.call(
        RegistryService.SET_MODEL_ALIAS,
        pb.SetModelAliasRequest(name=name, alias="champion", version=1),
    )
    assert dict(back.aliases) == {"champion": 1}
    for missing in (f"{name}/versions/2", f"{name}x/versions/1"):
        with pytest.raises(NotFound):
            admin.call(RegistryService.GET_MODEL_VERSION, pb.GetModelVersionRequest(name=missing))


def test_the_seal_in_the_log_is_over_the_points_there_are(
    admin: Client, logged: tuple[str, str]
) -> None:
    events = admin.call(
        AuditService.LIST_EVENTS,
        pb.ListEventsRequest(parent="orgs/default", resource=logged[0], types=["TelemetrySealed"]),
    ).events
    sealed = [json.loads(event.payload_json) for event in events]
    assert sum(int(one.get("points", 0)) for one in sealed) == 504
    assert all(one["merkleRoot"] for one in sealed)


def test_a_file_comes_back_with_its_digest(platform: Platform, logged: tuple[str, str]) -> None:
    answer = httpx.get(
        f"{platform.url}/v1/{logged[0]}/artifacts/docs/notes.txt",
        headers={"authorization": f"Bearer {platform.token}"},
    )
    assert answer.content == b"hello"
    assert answer.headers["etag"] == f'"sha256:{hashlib.sha256(b"hello").hexdigest()}"'


OFFLINE = """
import epochal
with epochal.init(name="offline", mode="offline", params={"a": 1}) as run:
    for step in range(100):
        run.log_metric("loss", float(step), step)
    print(run.name, flush=True)
"""


def test_what_was_logged_offline_is_there_after_a_sync(
    platform: Platform, admin: Client, tmp_path: Path
) -> None:
    away = environment(platform, tmp_path, EPOCHAL_URL="http://127.0.0.1:1")
    run = program(OFFLINE, tmp_path, away)
    with pytest.raises(NotFound):
        admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
    for _ in range(2):  # a second sync finds nothing to do
        done = subprocess.run(
            [str(Path(sys.executable).with_name("epochal")), "sync"],
            env=environment(platform, tmp_path), capture_output=True, text=True, timeout=100,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
        assert (found.status, found.metrics["loss"].points) == (pb.RUN_STATUS_SUCCEEDED, 100)
