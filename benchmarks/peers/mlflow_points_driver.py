"""Runs in MLflow's own environment: points by `log_batch`, as many at once as a call may carry.

    python mlflow_points_driver.py SECONDS

Prints one line of JSON: how many points were answered, and in how many seconds.
"""
# mypy: ignore-errors
# The peer is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient
from mlflow.entities import Metric

#: What one call may carry.
AT_ONCE = 1_000
LONG = 8_192
COLUMNS = 50
CALLERS = 4


def main() -> None:
    """Log the long columns of the ingest benchmark for a while."""
    seconds = float(sys.argv[1])
    client = MlflowClient()
    experiment = client.create_experiment(f"points-{time.time_ns()}")
    runs = [client.create_run(experiment).info.run_id for _ in range(CALLERS)]
    dice = random.Random(7)
    values = [dice.random() for _ in range(LONG)]
    for run in runs:
        client.log_batch(run, metrics=points(values, 0)[:AT_ONCE])
    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        counts = list(pool.map(lambda run: log(client, run, values, began + seconds), runs))
    took = time.perf_counter() - began
    print(json.dumps({"points": sum(counts), "seconds": took}), flush=True)


def log(client: MlflowClient, run: str, values: list[float], until: float) -> int:
    """Log column after column until a time; return how many points were answered."""
    count = 0
    for turn in range(10**6):
        column = points(values, turn)
        for first in range(0, LONG, AT_ONCE):
            part = column[first : first + AT_ONCE]
            client.log_batch(run, metrics=part)
            count += len(part)
            if time.perf_counter() >= until:
                return count
    return count


def points(values: list[float], turn: int) -> list[Metric]:
    """Return a column of as many points as one of the benchmark has."""
    first = turn // COLUMNS * LONG
    now_ms = time.time_ns() // 1_000_000
    name = f"m{turn % COLUMNS}"
    return [Metric(name, value, now_ms, first + n) for n, value in enumerate(values)]


if __name__ == "__main__":
    main()
