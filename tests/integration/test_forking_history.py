"""A living platform forked into a sandbox: it shows all there was, and does none of it again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import epochal_proto.v1 as pb
import httpx
import pytest
import pytest_asyncio
from epochal import audit_verifier, config
from epochal.client import Client
from epochal.errors import FailedPrecondition, Unauthenticated
from epochal_embedded import control
from epochal_embedded.demo.receiver import Receiver
from epochal_embedded.errors import NotRunning
from epochal_embedded.home import Home
from epochal_embedded.sandboxes.databases import database_of
from epochal_proto.v1.services import (
    AuditService,
    GraphService,
    NotificationService,
    ProjectService,
    ProofService,
    RegistryService,
    RunService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

ORG = "orgs/default"
SLEEPER = b"""
version: 1.1
kind: component
name: sleeper
run: {kind: job, container: {command: ["sleep", "3600"]}}
"""
QUICK = b"""
version: 1.1
kind: component
name: quick
run: {kind: job, container: {command: ["true"]}}
"""
TICKER = b"""
version: 1.1
kind: operation
name: ticker
schedule: {kind: interval, frequency: 1}
component:
  run: {kind: job, container: {command: ["true"]}}
"""


@dataclass(frozen=True)
class Sandbox:
    """A fork that runs, its source, and what was going on there at the fork."""

    source: Platform
    fork: Platform
    made: dict[str, object]
    project: str
    running: str
    tracked: str
    schedule: str
    heard: Receiver

    @property
    def position(self) -> int:
        """The last position of both."""
        return int(str(self.made["position"]))


def up(home: Home) -> Platform:
    control.start(home)
    control.wait_ready(home, lambda _: None)
    connection = config.read(home.client)
    assert connection is not None
    return Platform(home, connection, connection.url)


def down(home: Home) -> None:
    with contextlib.suppress(NotRunning):
        control.stop(home, lambda _: None)


def command(*arguments: str, code: int = 0) -> str:
    """Runs one command as a process of its own; returns what it printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", *arguments],
        env=kept | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout


def begin(client: Client, project: str, spec: bytes) -> str:
    return client.call(RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, spec=spec)).name


def run_of(client: Client, name: str) -> pb.Run:
    return client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))


def events_after(client: Client, position: int) -> list[pb.AuditEvent]:
    """All events of the organisation beyond a position."""
    found: list[pb.AuditEvent] = []
    request = pb.ListEventsRequest(parent=ORG, page_size=1000)
    while True:
        page = client.call(AuditService.LIST_EVENTS, request)
        found += [event for event in page.events if event.position > position]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="epochal-sandbox-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox(platform: Platform, folder: Path) -> AsyncIterator[Sandbox]:
    """A fork of a platform with a process that runs, a schedule and a webhook."""
    heard = Receiver("a secret of this test")
    url = heard.start()
    project = f"{ORG}/projects/f-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent=ORG, project_id=project.split("/")[-1]),
        )
        webhook = pb.WebhookChannel(url=url, secret="a secret of this test")
        admin.call(
            NotificationService.CREATE_SUBSCRIPTION,
            pb.CreateSubscriptionRequest(
                parent=project,
                channel=pb.Channel(webhook=webhook),
                occasions=[pb.OCCASION_RUN_SUCCEEDED, pb.OCCASION_RUN_STOPPED],
            ),
        )
        running = begin(admin, project, SLEEPER)
        tracked = admin.call(
            RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
        ).name
        admin.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=tracked, tags={"of": "fork"}))
        points = [pb.MetricPoint(metric="loss", value=1 / (1 + n), step=n) for n in range(50)]
        admin.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=tracked, points=points))
        admin.call(
            RegistryService.CREATE_MODEL,
            pb.CreateModelRequest(parent=project, model_id="digits", description="reads digits"),
        )
        schedule = begin(admin, project, TICKER)
        await until(lambda: run_of(admin, running).status == pb.RUN_STATUS_RUNNING, 60)
        await until(lambda: len(heard.deliveries) >= 2, 60)
    home = Home(folder / "sandbox")
    try:
        made = command(
            *("audit", "fork", "--home", str(platform.home.root), "--to", str(home.root)),
            *("--objects", "link", "--telemetry", "-o", "json"),
        )
        fork = up(home)
        yield Sandbox(platform, fork, json.loads(made), project, running, tracked, schedule, heard)
    finally:
        down(home)
        with platform.client() as admin:
            for name in (schedule, running):
                admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=name))
        heard.stop()


async def test_nothing_that_the_past_asked_for_is_done_in_a_fork(sandbox: Sandbox) -> None:
    with sandbox.source.client() as source, sandbox.fork.client() as fork:
        # The source goes on: three more ticks are made, executed and told.
        def told() -> set[str]:
            return {
                event.resource
                for event in events_after(source, sandbox.position)
                if event.type.endswith("DeliveryAttempted") and sandbox.project in event.resource
            }

        await until(lambda: len(told()) >= 3, 60)
        # In the fork something new is asked for, and every view has it.
        mine = begin(fork, sandbox.project, QUICK)
        assert run_of(fork, mine).status == pb.RUN_STATUS_QUEUED
        after = events_after(fork, sandbox.position)
        kinds = {event.type.removeprefix("epochal.v1.") for event in after}
        assert kinds == {"TokenIssued", "RunCreated", "RunQueued"}, after
        assert {event.resource for event in after if "Run" in event.type} == {mine}
        # Whatever was heard, the source has told; its log says so just after.
        heard = set(sandbox.heard.deliveries)

        def attempted() -> set[str]:
            return {
                event.resource
                for event in events_after(source, 0)
                if event.type.endswith("DeliveryAttempted")
            }

        await until(lambda: heard <= attempted(), 30)
        explained = fork.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=sandbox.running))
        assert "stays here as it was" in explained.summary
        explained = fork.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=mine))
        assert "EPOCHAL_FORK_ALLOWS=execute" in explained.summary
    processes = {unit.name for unit in _report(sandbox.fork).units}
    assert "agent" not in processes


def test_a_fork_reads_as_its_source_read_at_that_position(sandbox: Sandbox) -> None:
    with sandbox.source.client() as source, sandbox.fork.client() as fork:
        run = run_of(fork, sandbox.running)
        assert run.status == pb.RUN_STATUS_RUNNING, "as it was, though no process of ours runs it"
        there = run_of(source, sandbox.running)
        for one in (run, there):
            one.ClearField("metrics")  # of a process that goes on being measured
        assert run == there
        assert run_of(fork, sandbox.tracked) == run_of(source, sandbox.tracked)
        series = pb.GetMetricSeriesRequest(run=sandbox.tracked, metric="loss")
        curve = fork.call(TrackingService.GET_METRIC_SERIES, series)
        assert len(curve.steps) == 50
        assert curve == source.call(TrackingService.GET_METRIC_SERIES, series)
        model = pb.GetModelRequest(name=f"{sandbox.project}/models/digits")
        assert fork.call(RegistryService.GET_MODEL, model) == source.call(
            RegistryService.GET_MODEL, model
        )
        node = pb.GetGraphNodeRequest(
            parent=ORG, node=sandbox.running, as_of=pb.Moment(position=sandbox.position)
        )
        assert fork.call(GraphService.GET_GRAPH_NODE, node) == source.call(
            GraphService.GET_GRAPH_NODE, node
        )
        past = [
            [
                (event.position, event.event_id, event.actor, json.loads(event.payload_json))
                for event in events_after(client, 0)
                if event.position <= sandbox.position
            ]
            for client in (source, fork)
        ]
        assert past[0] == past[1]
    home = str(sandbox.fork.home.root)
    compared = json.loads(command("audit", "compare", "--home", home, "-o", "json"))
    assert {one["service"] for one in compared} >= {"gateway", "scheduler", "tracker", "lineage"}
    assert all(one["equal"] for one in compared)
    assert sum(one["rows"] for one in compared) > 10


async def test_a_row_that_another_release_makes_otherwise_is_named(sandbox: Sandbox) -> None:
    home, run_id = str(sandbox.fork.home.root), sandbox.running.rpartition("/")[2]
    async with database_of(sandbox.fork.home) as url:
        connection = await asyncpg.connect(url)
        columns = await connection.fetch(
            "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute "
            "WHERE attrelid = 'original_tracker.run'::regclass AND attnum > 0"
        )
        text = next(row["attname"] for row in columns if row["kind"] == "text")
        change = f"UPDATE original_tracker.run SET {text} = 'odd' || {text} WHERE run_id = $1"
        await connection.execute(change, run_id)
        await connection.execute("ALTER TABLE original_tracker.run ADD COLUMN mood text")
        await connection.execute("CREATE TABLE original_tracker.horoscope (sign text)")
        try:
            answer = command("audit", "compare", "--home", home, "-o", "json", code=1)
            shown = command("audit", "compare", "--home", home, code=1)
        finally:
            await connection.execute(
                f"UPDATE original_tracker.run SET {text} = substr({text}, 4) WHERE run_id = $1",
                run_id,
            )
            await connection.execute("ALTER TABLE original_tracker.run DROP COLUMN mood")
            await connection.execute("DROP TABLE original_tracker.horoscope")
            await connection.close()
    compared = {f"{one['service']}.{one['table']}": one for one in json.loads(answer)}
    assert [name for name, one in compared.items() if not one["equal"]] == ["tracker.run"]
    run = compared["tracker.run"]
    assert (run["changed"], run["only_original"], run["only_here"]) == (1, 0, 0)
    assert run["removed"] == ["mood"]
    assert run["first"]["key"] == {"run_id": run_id}
    assert run["first"]["original"][text] == "odd" + run["first"]["here"][text]
    assert compared["tracker.horoscope"]["rows"] is None
    assert run_id in shown


async def test_the_tree_of_a_fork_continues_what_its_source_signed_under_a_name_of_its_own(
    sandbox: Sandbox,
) -> None:
    async with database_of(sandbox.fork.home) as url:
        connection = await asyncpg.connect(url)
        note, verifiers = await connection.fetchrow("SELECT checkpoint, verifiers FROM log.fork")
        await connection.close()
    source_head = audit_verifier.read_checkpoint(note)
    assert any(audit_verifier.read_key(key).signed(source_head) for key in verifiers)
    with sandbox.fork.client() as fork:
        request = pb.GetProofRequest(parent=ORG, from_size=source_head.size)

        def proof() -> pb.GetProofResponse | None:
            try:
                found = fork.call(ProofService.GET_PROOF, request)
            except FailedPrecondition:
                return None  # not that much is sealed yet
            return found if found.checkpoint.size > sandbox.position else None

        found = await until(proof, 30)
        signed = fork.call(ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=ORG))
    assert found is not None
    fork_head = audit_verifier.read_checkpoint(found.checkpoint.note)
    assert audit_verifier.consistency_holds(
        source_head.size,
        fork_head.size,
        source_head.root,
        fork_head.root,
        [bytes.fromhex(one) for one in found.hashes],
    )
    assert fork_head.origin.startswith(f"{source_head.origin}/fork/")
    assert not set(signed.verifier_keys) & set(verifiers), "it signs with a key of its own"
    assert not any(audit_verifier.read_key(key).signed(fork_head) for key in verifiers)


def test_tokens_of_the_source_open_the_source_only(sandbox: Sandbox) -> None:
    request = pb.ListRunsRequest(parent=sandbox.project)
    with sandbox.fork.client(sandbox.source.token) as stranger, pytest.raises(Unauthenticated):
        stranger.call(RunService.LIST_RUNS, request)
    with sandbox.source.client(sandbox.fork.token) as stranger, pytest.raises(Unauthenticated):
        stranger.call(RunService.LIST_RUNS, request)
    with sandbox.fork.client() as own:
        assert own.call(RunService.LIST_RUNS, request).runs


def test_a_fork_says_that_it_is_one(sandbox: Sandbox) -> None:
    home = str(sandbox.fork.home.root)
    told = json.loads(command("status", "--home", home, "-o", "json"))
    assert told["fork"]["position"] == sandbox.position
    shown = " ".join(command("status", "--home", home).split())
    assert "This is a fork of" in shown
    assert "nothing in it acts" in shown
    found = httpx.get(f"{sandbox.fork.url}/.well-known/epochal", timeout=10)
    assert found.json()["fork"]["position"] == sandbox.position


def test_a_subscription_of_a_fork_tells_nobody_even_when_it_is_tried(
    sandbox: Sandbox,
) -> None:
    webhook = pb.WebhookChannel(url="http://127.0.0.1:9/hook", secret="a secret of this test")
    with sandbox.fork.client() as fork:
        made = fork.call(
            NotificationService.CREATE_SUBSCRIPTION,
            pb.CreateSubscriptionRequest(
                parent=sandbox.project,
                channel=pb.Channel(webhook=webhook),
                occasions=[pb.OCCASION_RUN_SUCCEEDED],
            ),
        )
        tried = fork.call(
            NotificationService.TEST_SUBSCRIPTION, pb.TestSubscriptionRequest(name=made.name)
        )
        fork.call(
            NotificationService.DELETE_SUBSCRIPTION,
            pb.DeleteSubscriptionRequest(name=made.name),
        )
    assert not tried.delivered
    assert "is a fork and tells nobody" in tried.outcome


async def test_a_fork_that_is_allowed_executes_its_own_runs_and_never_those_of_the_past(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(sandbox.fork.home)
    monkeypatch.setenv("EPOCHAL_FORK_ALLOWS", "execute")
    fork = up(sandbox.fork.home)
    try:
        with fork.client() as client:
            before = client.call(
                AuditService.LIST_EVENTS,
                pb.ListEventsRequest(parent=ORG, page_size=1, descending=True),
            ).events[0]
            own = begin(client, sandbox.project, QUICK)
            await until(lambda: run_of(client, own).status == pb.RUN_STATUS_SUCCEEDED, 60)
            ticking = begin(client, sandbox.project, TICKER)

            def ticks() -> int:
                runs = client.call(
                    RunService.LIST_RUNS,
                    pb.ListRunsRequest(parent=sandbox.project, page_size=1000),
                ).runs
                return sum(1 for run in runs if run.pipeline == ticking)

            await until(lambda: ticks() >= 3, 60)
            client.call(RunService.STOP_RUN, pb.StopRunRequest(name=ticking))
            happened = events_after(client, before.position)
            assert run_of(client, sandbox.running).status == pb.RUN_STATUS_RUNNING
            assert run_of(client, sandbox.schedule).status == pb.RUN_STATUS_RUNNING
        past = {sandbox.running, sandbox.schedule}
        assert not [event for event in happened if event.resource in past]
        made = [event for event in happened if event.type.endswith("RunCreated")]
        assert not [event for event in made if sandbox.schedule in event.payload_json]
        assert not [event for event in happened if event.type.endswith("DeliveryAttempted")]
    finally:
        monkeypatch.delenv("EPOCHAL_FORK_ALLOWS")
        down(sandbox.fork.home)
        up(sandbox.fork.home)


def _report(platform: Platform) -> control.PlatformReport:
    report = control.observe(platform.home)
    assert report is not None
    return report
