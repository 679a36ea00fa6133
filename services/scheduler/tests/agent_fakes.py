"""A scheduler and a log port in memory, and real launches of this interpreter."""

import asyncio
import hashlib
import json
import os
import sys
from contextlib import asynccontextmanager

import epochal_proto.v1 as pb
import yaml
import zstandard
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import NotFound
from epochal_scheduler.agent.capturing import Capturer
from epochal_scheduler.agent.cleaning import Cleaner
from epochal_scheduler.agent.collecting import Collector
from epochal_scheduler.agent.executing import Executor
from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.hosting import ServiceHost
from epochal_scheduler.agent.interpreters import Interpreters
from epochal_scheduler.agent.launching import Host
from epochal_scheduler.agent.marks import find_marked
from epochal_scheduler.agent.ports import ModelFiles, Stored
from epochal_scheduler.agent.preparing import Preparer
from epochal_scheduler.agent.salvaging import Salvager
from epochal_scheduler.agent.shipping import producer_of
from epochal_scheduler.agent.supervising import Supervisor

PROJECT = "orgs/acme/projects/vision"
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"
OTHER = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000002"
# What this test process starts has a mark of its own: others may test beside it.
MARK = f"mark-of-test-{os.getpid()}"
# Asked once for all tests, as an agent asks once for all runs.
INTERPRETERS = Interpreters()


class FakeScheduler:
    """Takes every report and notes it; refuses those named in `refuses`."""

    def __init__(self, refuses=()):
        self.told = []
        self.refuses = set(refuses)
        self.exited = None
        self.service = None
        self.stop_reasons = []
        self.captures = []
        self.on_exit = lambda: None

    async def report_service(self, attempt, host, ports):
        self.service = (host, tuple(ports))
        return "service" not in self.refuses

    async def request_stop(self, run, reason):
        self.stop_reasons.append(reason)
        return True

    async def record_capture(self, capture):
        self.captures.append(capture)

    async def claim(self, attempt):
        self.told.append("claim")
        return "claim" not in self.refuses

    async def report_started(self, attempt, at):
        self.told.append("started")
        return "started" not in self.refuses

    async def report_exited(self, attempt, exited):
        self.on_exit()
        self.told.append("exited")
        self.exited = exited
        return "exited" not in self.refuses


class FakeLogs:
    """Keeps batches; `gate` holds `open` back, `broken` makes publishing wait for ever."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches = []
        self.sealed = None
        self.refusal = None

    async def open(self, run, producer):
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return pb.ProducerCursor(run=run, producer=producer, epoch=1)

    async def publish(self, batch):
        assert batch.producer in {producer_of(RUN, 1), producer_of(RUN, 2)}
        self.batches.append(batch)

    async def seal(self, run, producer, last_batch):
        self.sealed = last_batch

    def lines(self):
        found = []
        for number, batch in enumerate(self.batches, start=1):
            assert batch.batch == number
            lines = pb.LogLines.FromString(batch.payload)
            assert lines.first_line == len(found)
            block = pb.LogBlock.FromString(zstandard.decompress(lines.block))
            assert lines.lines == len(block.lines)
            found += [(line.stream, line.text) for line in block.lines]
        return found


class FakeStore:
    """Artifacts in memory, by run and path; away or refusing when told so."""

    def __init__(self, files=None, trouble=None):
        self.files = dict(files or {})
        self.trouble = trouble
        self.sent = []
        self.used = []

    async def list(self, token, run, prefix):
        assert token == "epr_x"
        if self.trouble is not None:
            raise self.trouble
        return [
            Stored(path, digest_of(data), len(data))
            for (owner, path), data in sorted(self.files.items())
            if owner == run and path.startswith(prefix)
        ]

    async def get(self, token, run, path, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.files[run, path])
        return digest_of(self.files[run, path])

    async def put(self, token, run, path, file, kind):
        if self.trouble is not None:
            raise self.trouble
        self.sent.append(path)
        self.files[run, path] = file.read_bytes()

    async def model_version(self, token, model, wanted):
        if wanted != "champion":
            raise NotFound(f"{model} has no alias {wanted!r}")
        return ModelFiles(f"{model}/versions/2", OTHER, "model/digits/")

    async def use_model(self, token, run, version):
        if self.trouble is not None:
            raise self.trouble
        self.used.append((run, version))


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def work_item(code, timeout_s=0, container="", run=None, **more):
    """A work item that runs Python code; `run` and `more` are fields of the operation."""
    fields = yaml.safe_load(container) if container else {}
    fields = {**fields, "command": ["python", "-c"], "args": [code]}
    plan = {"version": 1.1, "kind": "compiled_operation", "queue": "default", "io": [], **more}
    plan["run"] = {"kind": "job", "container": fields, **(run or {})}
    return pb.WorkItem(
        run=RUN, attempt=1, fence=1, compiled_json=json.dumps(plan),
        timeout_s=timeout_s, run_token="epr_x",
    )  # fmt: skip


def host(folder):
    inherited = {"PATH": os.environ["PATH"], "EPOCHAL_RUN_TOKEN_SECRET": "hidden"}
    return Host(folder, "http://localhost:1", sys.executable, MARK, inherited)


def executor_of(folder, scheduler, logs, store, grace_s=5.0, salvage_s=20.0):
    """An executor with real processes, and fakes of all that is the platform's."""
    return Executor(
        scheduler,
        logs,
        Preparer(host(folder), store, Cleaner(folder, SystemClock())),
        Supervisor(grace_s),
        Salvager(sys.executable, salvage_s),
        Collector(store),
        Capturer(scheduler, store, SystemClock(), INTERPRETERS),
        ServiceHost(scheduler, "127.0.0.1", SystemClock()),
        Cleaner(folder, SystemClock()),
        SystemClock(),
    )


@asynccontextmanager
async def executing(item, folder, scheduler=None, logs=None, store=None, **limits):
    """Runs an attempt; leaving waits for its end and that nothing of it is left."""
    scheduler, logs = scheduler or FakeScheduler(), logs or FakeLogs()
    executor = executor_of(folder, scheduler, logs, store or FakeStore(), **limits)
    held = HeldAttempt(item)
    task = asyncio.create_task(executor.execute(held, asyncio.Event()))
    yield held, scheduler, logs, task
    async with asyncio.timeout(20):
        await task
    assert not list(find_marked(f"EPOCHAL_AGENT_MARK={MARK}"))


async def run_item(item, folder, store=None):
    """Runs an attempt to its end; returns what was told, and the lines by stream."""
    async with executing(item, folder, store=store) as (_, scheduler, logs, _task):
        pass
    return scheduler.exited, logs.lines()
