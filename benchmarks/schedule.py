"""From a submitted file to a started process, alone and with 200 runs submitted at once.

Every run is a real process of the platform's own agent. The times are the platform's: `start_time`
is taken by the agent when the process exists, `end_time` when the run is over for everyone. The
client shares the cores, so it asks for what is left at most once a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import epochal_proto.v1 as pb
from epochal.client import Client
from epochal_proto.v1.services import RunService
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.platforms import running_platform
from benchmarks.report import Row, percentile

ONE_BY_ONE = 30
WARM_UP = 5
AT_ONCE = 200
SUBMITTERS = 16
POLL_S = 1.0
WATCH_S = 300.0
UNFINISHED = "status:created|queued|scheduled|starting|running|retrying|stopping"
COMMANDS = {"silent": "[/bin/true]", "with a line of output": "[/bin/echo, done]"}


async def run(seconds: float) -> list[Row]:
    """Measure on a platform of its own; how long it takes does not depend on `seconds`."""
    return await asyncio.to_thread(_measure)


def _measure() -> list[Row]:
    with running_platform() as (_, connection), Client(connection) as client:
        bench = _Bench(client, connection.project)
        rows = list(bench.one_by_one())
        for name, command in COMMANDS.items():
            rows.append(bench.at_once(name, command))
        return rows


class _Bench:
    """Submits runs to one platform."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project

    def one_by_one(self) -> Iterator[Row]:
        """Submit runs one after another, each when the one before is over."""
        command = COMMANDS["silent"]
        for _ in range(WARM_UP):
            self._watch(self._submit(command))
        started_s: list[float] = []
        ended_s: list[float] = []
        for _ in range(ONE_BY_ONE):
            submitted_at = time.time()
            ended = self._watch(self._submit(command))
            ended_s.append(time.time() - submitted_at)
            started_s.append(_seconds(ended.start_time) - submitted_at)
        load = {"load_1m": os.getloadavg()[0]}
        for name, share, target in (
            ("p50", 0.5, "<= 60 ms"),
            ("p95", 0.95, "<= 120 ms"),
            ("p99", 0.99, ""),
        ):
            value = percentile(started_s, share) * 1e3
            yield Row(f"submit -> process started, {name}", value, "ms", target, load)
        yield Row("submit -> end seen by the client, p50", percentile(ended_s, 0.5) * 1e3, "ms")

    def at_once(self, name: str, command: str) -> Row:
        """Submit many runs at once and wait until the last is over."""
        submitted_at = time.time()
        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            names = set(submitters.map(self._submit, [command] * AT_ONCE))
        submitting_s = time.time() - submitted_at
        while self._unfinished():
            time.sleep(POLL_S)
        runs = [run for run in self._newest(AT_ONCE) if run.name in names]
        succeeded = sum(run.status == pb.RUN_STATUS_SUCCEEDED for run in runs)
        if succeeded != AT_ONCE:
            raise RuntimeError(f"{AT_ONCE - succeeded} of {AT_ONCE} runs did not succeed")
        took_s = max(_seconds(run.end_time) for run in runs) - submitted_at
        starts_s = [_seconds(run.start_time) - submitted_at for run in runs]
        also = {
            "submitting_s": submitting_s,
            "start_p50_s": percentile(starts_s, 0.5),
            "load_1m": os.getloadavg()[0],
        }
        label = f"{AT_ONCE} runs at once, a process each, {name}"
        return Row(label, AT_ONCE / took_s, "runs/s", ">= 40 runs/s", also)

    def _submit(self, command: str) -> str:
        spec = (
            "version: 1.1\nkind: component\nname: bench\n"
            f"run:\n  kind: job\n  container:\n    command: {command}\n"
        )
        request = pb.CreateRunRequest(parent=self._project, spec=spec.encode())
        return self._client.call(RunService.CREATE_RUN, request).name

    def _watch(self, run: str) -> pb.Run:
        request = pb.WatchRunRequest(name=run)
        *_, last = self._client.stream(RunService.WATCH_RUN, request, timeout_s=WATCH_S)
        return last

    def _unfinished(self) -> bool:
        request = pb.ListRunsRequest(parent=self._project, filter=UNFINISHED, page_size=1)
        return bool(self._client.call(RunService.LIST_RUNS, request).runs)

    def _newest(self, count: int) -> list[pb.Run]:
        request = pb.ListRunsRequest(parent=self._project, page_size=count)
        return list(self._client.call(RunService.LIST_RUNS, request).runs)


def _seconds(time_: Timestamp) -> float:
    return time_.ToNanoseconds() / 1e9
