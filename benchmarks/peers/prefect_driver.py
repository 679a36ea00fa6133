"""Prefect: its server with SQLite, a flow served by `flow.serve`, everything else as it comes.

python prefect_driver.py schedule|orchestrate FOLDER
"""
# mypy: ignore-errors
# The peer is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from driving import CASE_S, ONE_BY_ONE, free_port, peak_mb, python, running, say, wait_for

AT_ONCE = 20
NOOPS = 500
STEPS = 1_000
LAYERS = 10
CHILDREN = 500
NAME = "bench"
POLL_S = 0.05
# Without a bound there is a thread for every task.
THREADS = 32


def make():
    """Return the flows; Prefect reads its settings when it is imported."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.futures import wait
    from prefect.runtime import flow_run
    from prefect.task_runners import ThreadPoolTaskRunner

    runner = ThreadPoolTaskRunner(max_workers=THREADS)

    @task(cache_policy=NO_CACHE)
    def nothing(number: int = 0) -> None:
        return None

    @flow(task_runner=runner)
    def noops(number: int) -> str:
        wait([nothing.submit() for _ in range(number)])
        return flow_run.id

    @flow(task_runner=runner)
    def layers(width: int, number: int) -> str:
        above = [nothing.submit() for _ in range(width)]
        for _ in range(number - 1):
            above = [nothing.submit(wait_for=[step]) for step in above]
        wait(above)
        return flow_run.id

    @flow(task_runner=runner)
    def sweep(number: int) -> str:
        wait(nothing.map(range(number)))
        return flow_run.id

    return noops, layers, sweep


def process(file: str) -> None:
    """Run a process to its end; write down when it existed."""
    with subprocess.Popen(["/bin/true"]):
        Path(file).write_text(repr(time.time()))


def serve() -> None:
    """Serve the deployment until killed."""
    from prefect import flow

    flow(process).serve(name=NAME)


class Bench:
    """Submits runs of the deployment."""

    def __init__(self, client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.count = 0
        self.deployment = None

    async def find(self) -> None:
        """Wait until the deployment is registered."""
        from prefect.exceptions import ObjectNotFound

        while True:
            try:
                found = await self.client.read_deployment_by_name(f"process/{NAME}")
                self.deployment = found.id
                return
            except ObjectNotFound:
                await asyncio.sleep(0.2)

    async def submit(self):
        """Submit a run; return its id and the file of its time."""
        self.count += 1
        file = self.folder / f"started-{self.count}"
        run = await self.client.create_flow_run_from_deployment(
            self.deployment, parameters={"file": str(file)}
        )
        return run.id, file

    async def ended(self, run) -> bool:
        """Return whether a run is over; it must have gone well."""
        state = (await self.client.read_flow_run(run)).state
        if state.is_final() and not state.is_completed():
            raise RuntimeError(f"a run ended as {state}")
        return state.is_completed()

    async def one(self) -> float:
        """Return how long a run took to its process."""
        submitted = time.time()
        run, file = await self.submit()
        while not await self.ended(run):  # noqa: ASYNC110  # there is nothing to wait for but time
            await asyncio.sleep(POLL_S)
        return float(file.read_text()) - submitted

    async def schedule(self) -> None:
        """Measure runs with a process each."""
        await self.one()
        until = time.time() + CASE_S
        started_s = []
        while len(started_s) < ONE_BY_ONE and time.time() < until:
            started_s.append(await self.one())
        say("started", note="runner polls every 10 s (its default)", started_s=started_s)
        submitted = time.time()
        runs = [run for run, _ in await asyncio.gather(*(self.submit() for _ in range(AT_ONCE)))]
        while runs:
            await asyncio.sleep(POLL_S * 10)
            runs = [run for run in runs if not await self.ended(run)]
        say("at_once", runs=AT_ONCE, took_s=time.time() - submitted)


def orchestrate(server: int) -> None:
    """Measure task runs of one flow, in this process, until the server has them all.

    A flow goes on, and ends, before the server has heard of its tasks: they are events on the way.
    """
    noops, layers, sweep = make()
    noops(10)
    for case, runs, work, note in (
        ("noop", NOOPS, lambda: noops(NOOPS), "tasks of one flow"),
        ("dag", STEPS, lambda: layers(STEPS // LAYERS, LAYERS), "tasks of one flow"),
        ("sweep", CHILDREN, lambda: sweep(CHILDREN), "tasks of one flow, by map"),
    ):
        submitted = time.time()
        flow = work()
        flow_s = time.time() - submitted
        while (known := completed(flow)) < runs and time.time() - submitted < CASE_S:
            time.sleep(POLL_S * 10)
        took_s = time.time() - submitted
        say(case, note=note, runs=known, took_s=took_s, flow_s=flow_s, peak_mb=peak_mb(server))


def completed(flow: str) -> int:
    """Return how many tasks of a flow's run the server knows to have gone well."""
    wanted = {
        "flow_runs": {"id": {"any_": [str(flow)]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    request = urllib.request.Request(
        os.environ["PREFECT_API_URL"] + "/task_runs/count",
        json.dumps(wanted).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(response.read())


async def schedule(folder: Path) -> None:
    """Serve the deployment and submit to it."""
    from prefect import get_client

    with running([python(), __file__, "serve"], folder):
        async with get_client() as client:
            bench = Bench(client, folder)
            await bench.find()
            await bench.schedule()


def main(case: str, folder: Path) -> None:
    """Start the server, measure."""
    port = free_port()
    os.environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    server = [python(), "-m", "prefect", "server", "start", "--no-ui", "--port", str(port)]
    with running(server, folder) as process:
        wait_for(f"http://127.0.0.1:{port}/api/health")
        if case == "schedule":
            asyncio.run(schedule(folder))
        else:
            orchestrate(process.pid)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(sys.argv[1], Path(sys.argv[2]))
