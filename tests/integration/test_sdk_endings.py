"""How runs end when something else ended them first: what they logged is there all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal_proto.v1.services import RunService, TrackingService
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
POINTS = 200_000

KILLED = f"""
import os, signal, epochal
run = epochal.init()
for step in range({POINTS}):
    run.log_metric("loss", float(step), step)
run._telemetry.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""

TOLD_TO_GO_ON = """
import sys, epochal
run = epochal.init(name="stopped")
for step in range(1000):
    run.log_metric("loss", float(step), step)
print(run.name, flush=True)
sys.stdin.read()
run.log_metric("loss", 1000.0, 1000)
run.finish()
"""


def watched(admin: Client, run: str) -> pb.Run:
    *_, last = admin.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=run), timeout_s=90)
    return last


def points_of(admin: Client, run: str) -> list[int]:
    request = pb.GetMetricSeriesRequest(run=run, metric="loss", page_size=100_000)
    steps: list[int] = []
    while True:
        page = admin.call(TrackingService.GET_METRIC_SERIES, request)
        steps += page.steps
        if not page.next_page_token:
            return steps
        request.page_token = page.next_page_token


def test_a_killed_job_loses_nothing_that_was_packed(admin: Client, platform: Platform) -> None:
    spec = json.dumps(
        {
            "version": 1.1,
            "kind": "component",
            "name": "killed",
            "run": {"kind": "job", "container": {"command": ["python", "-c", KILLED]}},
        }
    )
    run = admin.call(RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, spec=spec.encode()))
    ended = watched(admin, run.name)
    assert (ended.status, ended.exit_code) == (pb.RUN_STATUS_FAILED, -9)
    assert list(ended.incomplete_producers) == []
    assert points_of(admin, run.name) == list(range(POINTS))
    assert not list(platform.home.root.rglob(f"spools/{run.name.rpartition('/')[2]}-*"))


@pytest.fixture
def environment(platform: Platform, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EPOCHAL_")}
    return {
        **kept,
        "EPOCHAL_URL": platform.url,
        "EPOCHAL_TOKEN": platform.token,
        "EPOCHAL_SPOOL": str(tmp_path / "spool"),
    }


def test_a_run_stopped_from_outside_stays_stopped_and_its_process_ends_calmly(
    admin: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TOLD_TO_GO_ON],
        env={**environment, "EPOCHAL_STRICT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stdout is not None
        run = training.stdout.readline().strip()
        admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=run, reason="enough"))
        _, said = training.communicate(timeout=60)
    assert training.returncode == 0, said
    assert [line for line in said.splitlines() if "Traceback" in line] == []
    assert said.splitlines()[1:] == [
        "epochal: the run had been ended from outside, and stays so: what it logged is persisted"
    ]
    ended = watched(admin, run)
    assert (ended.status, ended.message) == (pb.RUN_STATUS_STOPPED, "enough")
    assert points_of(admin, run) == list(range(1001))
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_offline_run_stopped_before_its_sync_stays_stopped(
    admin: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    offline = {**environment, "EPOCHAL_MODE": "offline"}
    run = subprocess.run(
        [sys.executable, "-c", TOLD_TO_GO_ON],
        env=offline, input="", capture_output=True, text=True, check=True, timeout=60,
    ).stdout.strip()  # fmt: skip
    made = pb.CreateRunRequest(
        parent=PROJECT, tracked=pb.TrackedRun(), run_id=run.rpartition("/")[2]
    )
    admin.call(RunService.CREATE_RUN, made)
    admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=run, reason="enough"))
    synced = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "sync"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert synced.returncode == 0, synced.stderr
    assert "stays so" in synced.stderr
    assert watched(admin, run).status == pb.RUN_STATUS_STOPPED
    assert points_of(admin, run) == list(range(1001))
    assert list((tmp_path / "spool").iterdir()) == []
