"""What the agent records beside a run: what it is made of, what it uses; and what it cleans up."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import epochal_proto.v1 as pb
import pytest
from agent_fakes import (
    OTHER,
    RUN,
    FakeLogs,
    FakeScheduler,
    FakeStore,
    executing,
    host,
    work_item,
)
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import PermissionDenied
from epochal_scheduler.agent import capacity, measuring
from epochal_scheduler.agent.capturing import hardware
from epochal_scheduler.agent.cleaning import Cleaner
from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.holding import Holdings
from epochal_scheduler.agent.interpreters import Interpreters
from epochal_scheduler.agent.launching import plan_launch
from epochal_scheduler.agent.listening import listen
from epochal_scheduler.agent.measuring import encode, usage_producer_of
from epochal_scheduler.agent.pretending import NoopExecutor
from epochal_scheduler.agent.settings import AgentSettings
from epochal_scheduler.agent.usage import UsageMeter, gpus, parse_gpus
from epochal_testing.waiting import until

HOME = RUN.rpartition("/")[2]


async def captured(item, folder, store=None):
    async with executing(item, folder, store=store) as (_, scheduler, _logs, _task):
        pass
    assert scheduler.exited.exit_code == 0, scheduler.exited.message
    (capture,) = scheduler.captures
    return capture


async def test_a_run_records_what_it_is_made_of(tmp_path):
    item = work_item(
        "pass",
        container="env: [{name: PYTHONHASHSEED, value: '3'}]",
        io=[{"name": "seed", "type": "int", "value": 7, "isInput": True}],
    )
    capture = await captured(item, tmp_path)
    assert list(capture.command) == [sys.executable, "-c", "pass"]
    assert capture.working_dir == str(tmp_path / "runs" / HOME)
    assert (capture.run, capture.attempt) == (RUN, 1)
    assert capture.spec_digest.startswith("sha256:")
    assert capture.interpreter.startswith("CPython 3.")
    assert capture.packages["pytest"] == pytest.__version__
    assert dict(capture.seeds) == {"param:seed": "7", "PYTHONHASHSEED": "3"}
    assert int(capture.hardware["cpu_count"]) == os.cpu_count()
    assert list(capture.missing) == ["the code is in no git repository and was not uploaded"]


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


async def test_code_is_known_by_commit_and_difference(tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    git(code, "init", "--quiet", "--initial-branch=main")
    git(code, "remote", "add", "origin", "https://me:secret@host/o/code.git")
    (code / "a.py").write_text("one\n")
    git(code, "add", "a.py")
    git(code, "commit", "--quiet", "-m", "first")
    (code / "a.py").write_text("two\n")
    store = FakeStore()
    item = work_item("pass", container=f"workingDir: {code}")
    capture = await captured(item, tmp_path / "agent", store)
    assert capture.git.url == "https://host/o/code.git"
    assert capture.git.commit == git(code, "rev-parse", "HEAD").strip()
    assert (capture.git.branch, capture.git.dirty) == ("main", True)
    assert b"-one\n+two" in store.files[RUN, capture.git.diff_path]
    assert not list((tmp_path / "agent" / "runs" / HOME).glob(".capture*"))


async def test_inputs_and_uploads_are_known_by_digest(tmp_path):
    store = FakeStore({(OTHER, "outputs/a"): b"A", (RUN, "upload/a.py"): b""})
    uid = OTHER.rpartition("/")[2]
    item = work_item("pass", run={"init": [{"artifacts": {"files": [f"{uid}/outputs/a"]}}]})
    item.upload = RUN
    capture = await captured(item, tmp_path, store)
    assert set(capture.inputs) == {f"{uid}/outputs/a", f"{HOME}/upload/a.py"}


async def test_a_program_that_is_no_python_says_so(tmp_path):
    item = work_item("")
    plan = json.loads(item.compiled_json)
    plan["run"]["container"] = {"command": ["true"]}
    item.compiled_json = json.dumps(plan)
    capture = await captured(item, tmp_path)
    assert "true is no Python: its packages are not known" in capture.missing


async def test_a_capture_that_is_refused_does_not_hurt_the_run(tmp_path):
    class Refusing(FakeScheduler):
        async def record_capture(self, capture):
            raise PermissionDenied("no")

    async with executing(work_item("pass"), tmp_path, Refusing()) as (_, scheduler, *_rest):
        pass
    assert scheduler.exited.exit_code == 0


async def test_arguments_that_are_no_text_harm_nothing(tmp_path, monkeypatch):
    inherited = host(tmp_path).inherited
    strange = {**inherited, "NUMPY_SEED": "\udcff"}
    monkeypatch.setattr("agent_fakes.host", lambda folder: replace(host(folder), inherited=strange))
    async with executing(work_item("pass"), tmp_path) as (_, scheduler, *_rest):
        pass
    assert scheduler.exited.exit_code == 0
    assert scheduler.captures[0].seeds["NUMPY_SEED"] == "?"


async def test_a_capture_that_nobody_takes_does_not_keep_an_agent_from_leaving(tmp_path):
    class Silent(FakeScheduler):
        async def record_capture(self, capture):
            await asyncio.Event().wait()

    async with executing(work_item("pass"), tmp_path, Silent()) as (held, scheduler, *_):
        await until(lambda: "exited" in scheduler.told, 10)
        held.stop("the agent was shut down")
    assert scheduler.exited.exit_code == 0


async def test_an_interpreter_is_asked_again_when_its_packages_change(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "one-1.0.dist-info").mkdir()
    container = f"env: [{{name: PYTHONPATH, value: {folder}}}]"
    launch = plan_launch(work_item("pass", container=container), host(tmp_path))
    launch.home.mkdir(parents=True)
    asked = Interpreters()
    first = await asked.find(launch)
    assert first.packages["one"] == "1.0"
    assert await asked.find(launch) is first
    (folder / "two-2.0.dist-info").mkdir()
    assert (await asked.find(launch)).packages["two"] == "2.0"


def test_the_name_of_the_machine_can_be_hashed():
    assert len(hardware({"EPOCHAL_HASH_HOSTNAME": "1"})["hostname"]) == 16
    assert hardware({"EPOCHAL_HASH_HOSTNAME": "0"}) == hardware({})


class PointsAndLines(FakeLogs):
    """Keeps points apart from lines."""

    def __init__(self):
        super().__init__()
        self.points = []
        self.seals = {}

    async def publish(self, batch):
        if batch.kind == pb.TELEMETRY_KIND_POINTS:
            assert batch.producer == usage_producer_of(RUN, 1)
            self.points.append(batch)
        else:
            await super().publish(batch)

    async def seal(self, run, producer, last_batch):
        self.seals[producer] = last_batch


async def test_what_a_process_uses_is_measured_and_sealed(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "FIRST_S", 0.05)
    monkeypatch.setattr(measuring, "EVERY_S", 0.05)
    logs = PointsAndLines()
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    async with executing(work_item(code), tmp_path, logs=logs) as (held, scheduler, *_):
        await until(lambda: len(logs.points) > 3, 10)
        held.stop("enough")
    assert scheduler.told == ["started", "exited"]
    assert [batch.batch for batch in logs.points] == list(range(1, len(logs.points) + 1))
    assert logs.seals[usage_producer_of(RUN, 1)] == len(logs.points)
    last = pb.PointColumns.FromString(logs.points[-1].payload)
    values = {column.metric: column.last for column in last.columns}
    assert values["sys/processes"] >= 2
    assert values["sys/memory_bytes"] > 1e6
    assert values["sys/cpu_percent"] > 0


async def test_a_short_run_is_not_measured(tmp_path):
    logs = PointsAndLines()
    async with executing(work_item("print('x')"), tmp_path, logs=logs):
        pass
    assert logs.points == []
    assert usage_producer_of(RUN, 1) not in logs.seals


async def test_nothing_is_measured_when_the_spec_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "FIRST_S", 0)
    logs = PointsAndLines()
    item = work_item("import time; time.sleep(0.3)", plugins={"collectResources": False})
    async with executing(item, tmp_path, logs=logs):
        pass
    assert logs.points == []


def test_columns_are_what_the_tracker_reads():
    columns = pytest.importorskip("epochal_tracker.columns")
    rows = [(0, 10, 1.5), (1, 20, -2.0), (2, 35, 1e300)]
    column = encode("sys/x", rows)
    points = columns.decode_points(column)
    assert points.steps.tolist() == [0, 1, 2]
    assert points.times_us.tolist() == [10, 20, 35]
    assert points.values.tolist() == [1.5, -2.0, 1e300]
    assert (column.min, column.max, column.last, column.last_step) == (-2.0, 1e300, 1e300, 2)


def test_a_process_that_is_gone_uses_nothing():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert UsageMeter(process.pid).sample(1.0) == {}


def test_gpus_are_read():
    assert parse_gpus("0, 50, 1024\n1, [N/A], 2\n") == {
        "sys/gpu.0.utilization_percent": 50.0,
        "sys/gpu.0.memory_bytes": 1024 * 2.0**20,
        "sys/gpu.1.memory_bytes": 2 * 2.0**20,
    }


class TurnedClock(SystemClock):
    ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


async def test_a_run_s_folder_goes_when_its_time_is_over(tmp_path):
    item = work_item("open('kept', 'w')")
    item.ttl_s = 60
    async with executing(item, tmp_path):
        pass
    clock = TurnedClock()
    cleaner = Cleaner(tmp_path, clock)
    assert (cleaner.sweep(), (tmp_path / "runs" / HOME / "kept").exists()) == (0, True)
    clock.ahead = timedelta(seconds=61)
    assert (cleaner.sweep(), (tmp_path / "runs" / HOME).exists()) == (1, False)
    assert cleaner.sweep() == 0
    assert not (tmp_path / "expired").exists()


async def test_a_run_that_goes_on_keeps_its_folder(tmp_path):
    item = work_item("open('kept', 'a')")
    item.ttl_s = 60
    async with executing(item, tmp_path):
        pass
    item.attempt, item.ttl_s = 2, 0
    async with executing(item, tmp_path):
        pass
    clock = TurnedClock()
    clock.ahead = timedelta(seconds=61)
    assert Cleaner(tmp_path, clock).sweep() == 0
    assert (tmp_path / "runs" / HOME / "kept").exists()


async def test_an_executor_that_pretends_reports_a_start_and_an_end():
    scheduler, released = FakeScheduler(), asyncio.Event()
    await NoopExecutor(scheduler, SystemClock()).execute(HeldAttempt(work_item("")), released)
    assert scheduler.told == ["started", "exited"]
    assert scheduler.exited.exit_code == 0
    assert released.is_set()
    fenced = FakeScheduler(refuses={"started"})
    await NoopExecutor(fenced, SystemClock()).execute(HeldAttempt(work_item("")), released)
    assert fenced.told == ["started"]


def test_an_agent_tells_its_labels_and_what_it_has(monkeypatch):
    monkeypatch.setenv("EPOCHAL_NATS_URL", "nats://x")
    monkeypatch.setenv("EPOCHAL_AGENT_LABELS", "zone=a, gpu=a100")
    labels = AgentSettings().labels
    assert labels == {"zone": "a", "gpu": "a100"}
    holdings = Holdings("agents/x", ["default"], 4, labels, pb.Resources(gpus=2))
    held = HeldAttempt(work_item(""))
    holdings.add(held)
    request = holdings.request()
    assert (dict(request.labels), request.slots, request.free_slots) == (labels, 4, 3)
    assert request.capacity.gpus == 2
    assert holdings.of_run(HOME) is held
    assert holdings.of_run("x") is None


SMI = """#!/bin/sh
case "$1" in
  --list-gpus) echo "GPU 0: A100"; echo "GPU 1: A100";;
  *) echo "0, 50, 1024";;
esac
"""


async def test_gpus_are_asked_for_where_there_are_any(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await gpus() == {}
    assert capacity.measure().gpus == 0
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    found = await gpus()
    assert found["sys/gpu.0.utilization_percent"] == 50.0
    has = capacity.measure()
    assert has.gpus == 2
    assert has.cpu_millis >= 1000
    assert has.memory_bytes > 0


async def test_an_agent_hears_that_its_services_are_used(nats_url):
    bus, holdings = Bus(nats_url, "test"), Holdings("agents/x", ["default"], 4)
    held = HeldAttempt(work_item(""))
    holdings.add(held)
    running = [asyncio.create_task(bus.run()), asyncio.create_task(listen(bus, holdings))]
    await bus.wait_connected(timeout_s=10)

    async def heard():
        await bus.client.publish("activity.v1.another-run", b"")
        await bus.client.publish(f"activity.v1.{HOME}", b"")
        return held.active.is_set()

    await until(heard, 10)
    for task in reversed(running):
        task.cancel()
        await asyncio.wait({task})
