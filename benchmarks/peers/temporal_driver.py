"""Temporal: its dev server, one worker process with its defaults.

The dev server keeps everything in memory unless it is given a file (SQLite): both are measured,
for only with the file is anything left after a restart, as with us.

python temporal_driver.py schedule|orchestrate FOLDER
"""
# mypy: ignore-errors
# The peer is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta
from pathlib import Path

from driving import ONE_BY_ONE, free_port, peak_mb, python, running, say
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

AT_ONCE = 200
NOOPS = {"memory": 1_000, "file": 300}
STEPS = 1_000
LAYERS = 10
# 10,000 took more than four minutes.
CHILDREN = {"memory": 1_000, "file": 300}
# A workflow may have 2,000 children pending and 51,200 events of history; the documentation asks
# for far fewer of both.
BATCH = 500
QUEUE = "bench"
SUBMITTERS = 16
STORES = ("memory", "file")
TIMEOUT = timedelta(seconds=120)


@activity.defn
async def spawn() -> float:
    """Run a process to its end; return when it existed."""
    process = await asyncio.create_subprocess_exec("/bin/true")
    started = time.time()
    await process.wait()
    return started


@activity.defn
async def nothing() -> None:
    """Do nothing, and say that it went well."""


@workflow.defn
class Process:
    """A run with a process."""

    @workflow.run
    async def run(self) -> float:
        """Run it."""
        return await workflow.execute_activity(spawn, start_to_close_timeout=TIMEOUT)


@workflow.defn
class Noop:
    """A run with nothing to do."""

    @workflow.run
    async def run(self) -> int:
        """Run it; return how many events it took until here."""
        await workflow.execute_activity(nothing, start_to_close_timeout=TIMEOUT)
        return workflow.info().get_current_history_length()


@workflow.defn
class Layers:
    """A DAG of layers: each step waits for the one above it."""

    @workflow.run
    async def run(self, width: int, layers: int) -> int:
        """Run it; return how many events it took until here."""

        async def column() -> None:
            for _ in range(layers):
                await workflow.execute_activity(nothing, start_to_close_timeout=TIMEOUT)

        await asyncio.gather(*(column() for _ in range(width)))
        return workflow.info().get_current_history_length()


@workflow.defn
class Sweep:
    """Children in batches, each batch in a fresh history."""

    @workflow.run
    async def run(self, left: int, events: int) -> int:
        """Run a batch and go on; return how many events all took until here."""
        number = min(left, BATCH)
        taken = await asyncio.gather(
            *(workflow.execute_child_workflow(Noop.run) for _ in range(number))
        )
        events += sum(taken) + workflow.info().get_current_history_length()
        if left > number:
            workflow.continue_as_new(args=[left - number, events])
        return events


async def work(address: str) -> None:
    """Serve the queue until killed."""
    client = await connect(address)
    await Worker(
        client,
        task_queue=QUEUE,
        workflows=[Process, Noop, Layers, Sweep],
        activities=[spawn, nothing],
    ).run()


async def connect(address: str) -> Client:
    """Connect as soon as the server listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await Client.connect(address)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


class Bench:
    """Starts workflows at one server."""

    def __init__(self, client: Client, server: int, store: str) -> None:
        self.client = client
        self.server = server
        self.store = store
        self.count = 0
        self.submitting = asyncio.Semaphore(SUBMITTERS)

    async def start(self, what, args=()):
        """Start a workflow under a name of its own."""
        self.count += 1
        name = f"bench-{self.count}"
        async with self.submitting:
            return await self.client.start_workflow(
                what, args=list(args), id=name, task_queue=QUEUE, rpc_timeout=TIMEOUT
            )

    async def run(self, what, *args):
        """Start a workflow and return its result."""
        return await (await self.start(what, args)).result()

    async def schedule(self) -> None:
        """Measure runs with a process each."""
        for _ in range(5):
            await self.run(Process.run)
        started_s = []
        for _ in range(ONE_BY_ONE):
            submitted = time.time()
            started_s.append(await self.run(Process.run) - submitted)
        say("started", store=self.store, started_s=started_s)
        submitted = time.time()
        await asyncio.gather(*(self.run(Process.run) for _ in range(AT_ONCE)))
        say("at_once", store=self.store, runs=AT_ONCE, took_s=time.time() - submitted)

    async def orchestrate(self) -> None:
        """Measure runs without processes."""
        await self.run(Noop.run)
        runs = NOOPS[self.store]
        submitted = time.time()
        events = await asyncio.gather(*(self.run(Noop.run) for _ in range(runs)))
        self.say("noop", runs, submitted, sum(events), "workflows of one activity")
        submitted = time.time()
        events = await self.run(Layers.run, STEPS // LAYERS, LAYERS)
        self.say("dag", STEPS, submitted, events, "activities of one workflow")
        submitted = time.time()
        children = CHILDREN[self.store]
        events = await self.run(Sweep.run, children, 0)
        self.say("sweep", children, submitted, events, f"child workflows, {BATCH} at a time")

    def say(self, case: str, runs: int, submitted: float, events: int, note: str) -> None:
        """Report a case with what the server held."""
        say(
            case,
            store=self.store,
            note=note,
            runs=runs,
            took_s=time.time() - submitted,
            peak_mb=peak_mb(self.server),
            events_per_run=events / runs,
        )


async def main(case: str, folder: Path, store: str) -> None:
    """Start server and worker, measure."""
    address = f"127.0.0.1:{free_port()}"
    server = [
        Path(python()).parent / "temporal", "server", "start-dev", "--headless",
        "--log-level", "error", "--port", address.partition(":")[2],
    ]  # fmt: skip
    if store == "file":
        server += ["--db-filename", folder / "temporal.db"]
    with running(server, folder) as process:
        client = await connect(address)
        with running([python(), __file__, "work", address], folder):
            bench = Bench(client, process.pid, store)
            await (bench.schedule() if case == "schedule" else bench.orchestrate())


if __name__ == "__main__":
    if sys.argv[1] == "work":
        asyncio.run(work(sys.argv[2]))
    else:
        for kept in STORES:
            asyncio.run(main(sys.argv[1], Path(sys.argv[2]), kept))
