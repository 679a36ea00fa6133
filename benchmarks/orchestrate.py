"""Pipelines at scale: runs a second, a 10,000-trial sweep and a 1,000-step DAG, without processes.

The agent runs with `EPOCHAL_AGENT_EXECUTOR=noop`: it claims each run and says at once that it
started and ended well, so what is measured is the platform. Every run goes the whole way through
log, queue, bus and read models. Events per run and the scheduler's peak memory are the log's and
the kernel's own figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import epochal_proto.v1 as pb
from epochal.client import Client
from epochal_embedded.home import Home
from epochal_proto.v1.services import AuditService, RunService

from benchmarks.platforms import peak_mb, running_platform
from benchmarks.report import Row

AT_ONCE = 1_000
SUBMITTERS = 16
TRIALS = 10_000
STEPS = 1_000
LAYERS = 10
SLOTS = "256"
WATCH_S = 600.0
_NOOP = {"EPOCHAL_AGENT_EXECUTOR": "noop", "EPOCHAL_AGENT_SLOTS": SLOTS}
# Equal runs are reused inside pipelines unless told otherwise.
_JOB: Mapping[str, object] = {
    "cache": {"disable": True},
    "run": {"kind": "job", "container": {"command": ["true"]}},
}


async def run(seconds: float) -> list[Row]:
    """Measure on a platform of its own; how long it takes does not depend on `seconds`."""
    return await asyncio.to_thread(_measure)


def _measure() -> list[Row]:
    with (
        _environment(_NOOP),
        running_platform() as (home, connection),
        Client(connection) as client,
    ):
        bench = _Bench(client, connection.project, home)
        return [bench.runs(), bench.dag(), bench.sweep()]


class _Bench:
    """Submits work to one platform."""

    def __init__(self, client: Client, project: str, home: Home) -> None:
        self._client = client
        self._project = project
        self._home = home
        self._watch(self._submit(_JOB))  # imports and caches are paid for once

    def runs(self) -> Row:
        """Submit runs one by one from many clients, and wait for the last."""
        before = self._head()
        started = time.perf_counter()
        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            names = list(submitters.map(lambda _: self._submit(_JOB), range(AT_ONCE)))
        submitted_s = time.perf_counter() - started
        for name in names[:: AT_ONCE // 10]:
            self._watch(name)
        while self._unfinished():
            time.sleep(0.1)
        took_s = time.perf_counter() - started
        also = self._also(before, AT_ONCE) | {"submitting_s": submitted_s}
        return Row(f"{AT_ONCE} runs, no-op executor", AT_ONCE / took_s, "runs/s", ">= 300", also)

    def dag(self) -> Row:
        """Run a DAG of layers, each step after one of the layer before."""
        steps: list[dict[str, object]] = []
        width = STEPS // LAYERS
        for number in range(STEPS):
            step: dict[str, object] = {"name": f"s{number}", "dagRef": "work"}
            if number >= width:
                step["dependencies"] = [f"s{number - width}"]
            steps.append(step)
        component = {"name": "work", "kind": "component", **_JOB}
        spec = {"run": {"kind": "dag", "operations": steps, "components": [component]}}
        return self._pipeline(f"{STEPS}-step DAG, {LAYERS} layers", spec, STEPS, "< 5 s")

    def sweep(self) -> Row:
        """Run a random search."""
        spec = {
            "kind": "operation",
            "matrix": {
                "kind": "random",
                "numRuns": TRIALS,
                "params": {"lr": {"kind": "uniform", "value": [0, 1]}},
            },
            "component": {"inputs": [{"name": "lr", "type": "float"}], **_JOB},
        }
        return self._pipeline(f"{TRIALS}-trial sweep", spec, TRIALS, "< 40 s")

    def _pipeline(self, label: str, spec: Mapping[str, object], runs: int, target: str) -> Row:
        before = self._head()
        started = time.perf_counter()
        ended = self._watch(self._submit(spec))
        took_s = time.perf_counter() - started
        if ended.status != pb.RUN_STATUS_SUCCEEDED:
            raise RuntimeError(
                f"{label} ended as {pb.RunStatus.Name(ended.status)}: {ended.message}"
            )
        return Row(label, took_s, "s", target, self._also(before, runs))

    def _also(self, before: int, runs: int) -> dict[str, float]:
        return {
            "events_per_run": (self._head() - before) / runs,
            "scheduler_peak_mb": peak_mb(self._home, "scheduler"),
            "load_1m": os.getloadavg()[0],
        }

    def _submit(self, spec: Mapping[str, object]) -> str:
        document = {"version": 1.1, "kind": "component", "name": "bench", **spec}
        text = json.dumps(document).encode()
        request = pb.CreateRunRequest(parent=self._project, spec=text)
        return self._client.call(RunService.CREATE_RUN, request).name

    def _watch(self, run: str) -> pb.Run:
        request = pb.WatchRunRequest(name=run)
        *_, last = self._client.stream(RunService.WATCH_RUN, request, timeout_s=WATCH_S)
        return last

    def _unfinished(self) -> bool:
        request = pb.ListRunsRequest(
            parent=self._project,
            filter="status:created|queued|scheduled|starting|running",
            page_size=1,
        )
        return bool(self._client.call(RunService.LIST_RUNS, request).runs)

    def _head(self) -> int:
        request = pb.ListEventsRequest(
            parent=self._project.partition("/projects/")[0], page_size=1, descending=True
        )
        events = self._client.call(AuditService.LIST_EVENTS, request).events
        return events[0].position if events else 0


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
