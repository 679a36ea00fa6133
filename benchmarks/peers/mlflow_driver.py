"""Runs in MLflow's own environment: the same client calls, whichever server answers.

    python mlflow_driver.py EXPERIMENT_OF_MANY_RUNS SECONDS

Prints one line of JSON for each case: its name, and the seconds of every call.
"""
# mypy: ignore-errors
# The peer is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities import Metric

WARM_UP = 5
HISTORY_POINTS = 100_000


def main() -> None:
    """Measure every case."""
    experiment, seconds = sys.argv[1], float(sys.argv[2])
    client = MlflowClient()
    mine = client.create_experiment(f"bench-{time.time_ns()}")
    run = client.create_run(mine).info.run_id
    step = iter(range(10**9))
    measure("create run", seconds, lambda: client.create_run(mine))
    measure("log_metric", seconds, lambda: client.log_metric(run, "m", 0.5, step=next(step)))
    measure("log_batch of 1,000 metrics", seconds, lambda: batch(client, run, next(step)))
    search = "metrics.loss < 0.5 AND params.kind = 'even'"
    measure(
        "search 10,000 runs: filter, sort, 100 of them",
        seconds,
        lambda: full(client.search_runs([experiment], search, 1, 100, ["metrics.loss ASC"]), 100),
    )
    long = client.create_run(mine).info.run_id
    for start in range(0, HISTORY_POINTS, 1000):
        points = [
            Metric("h", float(n), 1_700_000_000_000 + n, n) for n in range(start, start + 1000)
        ]
        client.log_batch(long, metrics=points)
    measure(
        "history of 100,000 points",
        seconds,
        lambda: full(client.get_metric_history(long, "h"), HISTORY_POINTS),
    )


def measure(case: str, seconds: float, call: Callable[[], object]) -> None:
    """Call again and again, print how long each took."""
    for _ in range(WARM_UP if "history" not in case else 1):
        call()
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took) < 3:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    print(json.dumps({"case": case, "took": took}), flush=True)


def batch(client: MlflowClient, run: str, number: int) -> None:
    """Log 1,000 points of ten metrics."""
    now = int(time.time() * 1000)
    points = [Metric(f"b{n % 10}", n / 7, now, number * 1000 + n) for n in range(1000)]
    client.log_batch(run, metrics=points)


def full(found: list[object], size: int) -> None:
    """Assert that an answer is whole."""
    assert len(found) == size, len(found)


if __name__ == "__main__":
    main()
