"""What one `log_metric` costs the training thread, with the platform there and with it gone.

The run is a real one: a packer and a sender work beside the loop, in the same interpreter, on the
same cores as the platform. Means are of a thousand calls each; the slowest single call shows
whether it ever waits.
"""

from __future__ import annotations

import asyncio
import os
import time

import epochal
from epochal_embedded import control

from benchmarks.platforms import running_platform
from benchmarks.report import Row, percentile

CALLS = 500_000
METRICS = 10
PACE = 50_000  # calls a burst; the pause after it is a training step that computes
PAUSE_S = 0.2


async def run(seconds: float) -> list[Row]:
    """Measure with the platform up, then down."""
    del seconds  # the workload has a size, not a duration
    return await asyncio.to_thread(measure)


def measure() -> list[Row]:
    """Measure one run over the loss of its platform."""
    with running_platform() as (home, connection):
        os.environ["EPOCHAL_URL"] = connection.url
        os.environ["EPOCHAL_TOKEN"] = connection.token
        os.environ["EPOCHAL_PROJECT"] = connection.project
        os.environ["EPOCHAL_SPOOL"] = str(home.root / "spool")
        one = epochal.init(name="what a call costs")
        rows = [calls("platform there", one)]
        control.stop(home, lambda _: None)
        rows.append(calls("platform gone", one))
        if one.dropped_points:
            raise RuntimeError(f"{one.dropped_points} points were dropped")
        control.start(home)
        control.wait_ready(home, lambda _: None)
        one.finish()
    return rows


def calls(name: str, one: epochal.Run) -> Row:
    """Call many times in bursts; return the mean in microseconds."""
    metrics = [f"layer/{number}" for number in range(METRICS)]
    means: list[float] = []
    slowest = 0.0
    for burst in range(0, CALLS, PACE):
        for first in range(burst, burst + PACE, 1_000):
            began = time.perf_counter()
            for step in range(first, first + 1_000):
                one.log_metric(metrics[step % METRICS], 0.5, step)
            means.append((time.perf_counter() - began) * 1e3)  # of a thousand: ms are us
        for step in range(1_000):  # single calls cost two clock readings more
            began = time.perf_counter()
            one.log_metric("single", 0.5, step)
            slowest = max(slowest, time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return Row(
        f"log_metric, {name}",
        sum(means) / len(means),
        "us",
        "<= 2 us",
        {
            "p50_us": percentile(means, 0.5),
            "p99_us": percentile(means, 0.99),
            "slowest_ms": slowest * 1e3,
        },
    )
