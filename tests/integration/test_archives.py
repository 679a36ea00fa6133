"""Telemetry is archived, checked, exported with proofs and restored, as a person does it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import epochal
import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal import config
from epochal.client import Client
from epochal.errors import FailedPrecondition
from epochal_embedded import control
from epochal_embedded.errors import NotRunning
from epochal_embedded.home import Home
from epochal_embedded.sandboxes.databases import server_of
from epochal_embedded.supervisor import lock_home
from epochal_proto.v1.services import (
    ArchiveService,
    AuditService,
    ProjectService,
    RetentionService,
    RunService,
    SeriesService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

POINTS = 300
TWENTY_DAYS_US = 20 * 86_400_000_000


def up(home: Home) -> Platform:
    control.start(home)
    control.wait_ready(home, lambda _: None)
    connection = config.read(home.client)
    assert connection is not None
    return Platform(home, connection, connection.url)


def events_up_to(admin: Client, position: int) -> list[pb.AuditEvent]:
    found: list[pb.AuditEvent] = []
    request = pb.ListEventsRequest(parent="orgs/default", page_size=1_000)
    while True:
        page = admin.call(AuditService.LIST_EVENTS, request)
        found += page.events
        if not page.next_page_token or found[-1].position >= position:
            return [one for one in found if one.position <= position]
        request.page_token = page.next_page_token


def said(events: list[pb.AuditEvent]) -> list[tuple[object, ...]]:
    """What events say; maps have no order."""
    return [
        (one.position, one.event_id, one.type, one.actor, json.loads(one.payload_json))
        for one in events
    ]


def archived_run(admin: Client) -> str:
    """A run of a project of its own whose points were old when they came, and are archived."""
    project = f"orgs/default/projects/a-{uuid4().hex[:8]}"
    admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=project.rpartition("/")[2]),
    )
    kept = pb.Retention(project=project, metrics_days=3, metrics_then=pb.AT_EXPIRY_ARCHIVE)
    admin.call(RetentionService.SET_RETENTION, pb.SetRetentionRequest(retention=kept))
    create = pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
    run = admin.call(RunService.CREATE_RUN, create).name
    old_us = int(time.time() * 1e6) - TWENTY_DAYS_US
    for first in range(0, POINTS, 100):
        points = [
            pb.MetricPoint(metric="loss", step=step, time_us=old_us + step, value=step / 7)
            for step in range(first, first + 100)
        ]
        admin.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=points))
    finish = pb.FinishRunRequest(name=run, status=pb.RUN_STATUS_SUCCEEDED)
    admin.call(RunService.FINISH_RUN, finish)
    return run


def series(admin: Client, run: str) -> pb.MetricSeries:
    request = pb.GetMetricSeriesRequest(run=run, metric="loss")
    return admin.call(TrackingService.GET_METRIC_SERIES, request)


def gone(admin: Client, run: str) -> bool:
    try:
        series(admin, run)
    except FailedPrecondition as error:
        return "epochal runs archive restore" in str(error)
    return False


def verified(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the program in a bundle says, run without anything of ours."""
    command = [sys.executable, "-I", str(folder / "verify.py"), str(folder), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_run_is_archived_checked_proved_offline_and_restored(
    admin: Client, cli: CommandLine, tmp_path: Path
) -> None:
    run = archived_run(admin)
    await until(lambda: gone(admin, run), 60, what="points archived and deleted")
    query = pb.QuerySeriesRequest(parent=run.partition("/runs/")[0], runs=[run[-36:]])
    assert list(admin.call(SeriesService.QUERY_SERIES, query).archived) == [run]
    listed = cli.json("runs", "archive", "ls", run)
    assert [(one["points"], one["sealed"]) for one in listed] == [(str(POINTS), True)]
    checked = cli.json("runs", "archive", "verify", run)
    assert checked == {"objects": 1, "proved": 3, "altered": 0}

    bundle = tmp_path / "run.zip"
    await until(
        lambda: cli("runs", "archive", "export", run, "--out", str(bundle), code=None).code == 0,
        30,
        what="a checkpoint over the archiving",
    )
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(tmp_path / "run")
    done = verified(tmp_path / "run")
    verdict = json.loads(done.stdout)
    assert done.returncode == 0, verdict
    assert (verdict["archived_objects"], verdict["proved_batches"]) == (1, 3)
    assert "1 archived objects" in cli("audit", "verify", "--bundle", str(bundle)).stdout
    (path,) = (tmp_path / "run/archive").iterdir()
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))
    done = verified(tmp_path / "run")
    assert done.returncode == 1
    problem = json.loads(done.stdout)["problem"]
    assert problem.startswith(f"archive object {path.name}: batch 3 is not as it was archived")
    path.unlink()
    assert verified(tmp_path / "run").returncode == 2

    restored = cli("runs", "archive", "restore", run, "--days", "2")
    assert f"{POINTS} points and 0 lines of output" in restored.stdout
    back = series(admin, run)
    assert list(back.steps) == list(range(POINTS))
    assert list(back.values) == [step / 7 for step in range(POINTS)]


async def test_what_the_sdk_sends_is_archived_as_it_came(
    platform: Platform,
    admin: Client,
    cli: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = f"s-{uuid4().hex[:8]}"
    name = f"orgs/default/projects/{project}"
    admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=project),
    )
    kept = pb.Retention(
        project=name,
        metrics_days=30,
        metrics_then=pb.AT_EXPIRY_ARCHIVE,
        logs_days=30,
        logs_then=pb.AT_EXPIRY_ARCHIVE,
    )
    admin.call(RetentionService.SET_RETENTION, pb.SetRetentionRequest(retention=kept))
    settings = {
        "URL": platform.url,
        "TOKEN": platform.token,
        "PROJECT": name,
        "SPOOL": str(tmp_path / "spool"),
    }
    for key, value in settings.items():
        monkeypatch.setenv(f"EPOCHAL_{key}", value)
    with epochal.init() as run:
        run.log_series("noise", [math.sin(n) ** 3 for n in range(20_000)])
        run.log_series("flat", [0.25] * 5_000)
        for n in range(300):
            run.log_metric("odd", {0: math.nan, 1: math.inf, 2: -0.0}.get(n % 7, n / 3), step=n)
        print("a line of output")
    listing = pb.ListArchiveRequest(run=run.name)

    def archived() -> list[pb.ArchivedObject]:
        found = list(admin.call(ArchiveService.LIST_ARCHIVE, listing).objects)
        assert sum(one.points for one in found) == 25_300, found
        return found

    objects = await until(archived, 30, what="archived though its days are not over")
    assert all(one.sealed and not one.altered for one in objects)
    checked = cli.json("runs", "archive", "verify", run.name)
    assert checked["proved"] > 0
    assert checked["altered"] == 0


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


async def test_a_platform_is_made_of_what_is_archived_of_another(
    platform: Platform,
    admin: Client,
    cli: CommandLine,
    restored_home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = archived_run(admin)
    await until(lambda: gone(admin, run), 60, what="points archived and deleted")
    (newest,) = [
        one
        for one in admin.call(ArchiveService.LIST_ARCHIVE, pb.ListArchiveRequest(run=run)).objects
    ]
    place = Path(unquote(urlsplit(os.environ["EPOCHAL_AUDIT_ARCHIVE"]).path))

    def size() -> int:
        manifest = place / "archive.json"
        found = int(json.loads(manifest.read_text())["size"]) if manifest.exists() else 0
        return found if found >= newest.position else 0

    await until(size, 60, what="the log archived")
    verdict = cli.json("audit", "verify", "--archive", str(place))
    assert verdict["holds"]
    assert verdict["size"] >= newest.position
    lock = lock_home(restored_home)
    async with server_of(restored_home) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "epochal_lineage.restoring", place.as_uri()),
            *("--key", verdict["key"], "--names", os.environ["EPOCHAL_AUDIT_ARCHIVE_NAMES"]),
            env={**os.environ, "EPOCHAL_DATABASE_URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
    lock.release()
    restored = int(told.split()[0])
    assert restored >= verdict["size"]
    monkeypatch.setenv("EPOCHAL_OBJECT_STORE_URL", platform.home.objects.as_uri())
    with up(restored_home).client() as other:
        assert said(events_up_to(other, restored)) == said(events_up_to(admin, restored))
        assert gone(other, run), "the view knows that it is archived"
        request = pb.RestoreArchiveRequest(run=run)
        *_, last = other.stream(ArchiveService.RESTORE_ARCHIVE, request)
        assert last.points == POINTS
        assert list(series(other, run).values) == [step / 7 for step in range(POINTS)]
        proved = list(other.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest()))[-1]
        assert proved.intact
        later = events_up_to(other, 10**9)[-1]
        assert later.type.endswith("TelemetryRestored"), "it goes on by itself"
        assert later.position > restored
    manifest = json.loads((place / "archive.json").read_text())
    assert "/fork/" not in manifest["origin"], "it does not write into the other's archive"


@pytest.fixture
def restored_home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="epochal-restored-"))
    folder.chmod(0o711)
    home = Home(folder / "home")
    yield home
    with contextlib.suppress(NotRunning):
        control.stop(home, lambda _: None)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("given", [["--metrics-then", "archive"], ["--metrics", "9"]])
def test_what_happens_to_old_metrics_is_said_on_the_command_line(
    cli: CommandLine, admin: Client, given: list[str]
) -> None:
    project = f"r-{uuid4().hex[:8]}"
    request = pb.CreateProjectRequest(parent="orgs/default", project_id=project)
    admin.call(ProjectService.CREATE_PROJECT, request)
    done = cli("projects", "set-retention", project, *given, code=None)
    if given[0] == "--metrics":
        assert "9 days" in done.stdout
        told = cli("projects", "set-retention", project, "--metrics-then", "archive")
        assert "9 days, then archived" in told.stdout
    else:
        assert done.code != 0
        assert "what is kept for ever is never archived" in done.stderr
