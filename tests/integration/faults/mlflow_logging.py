"""Logs through MLflow's client until its standard input ends, and tells what was acknowledged.

python mlflow_logging.py

A line "acknowledged" for each call that returned; at the end one line of JSON: by run the rounds
that were acknowledged and those that were refused.
"""

import json
import sys
import threading

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

POINTS = 20
client = MlflowClient()
ending = threading.Event()
told = {}


def rounds(run_id, log):
    """Log round after round: metrics of the next steps, a parameter and a tag."""
    known = told[run_id] = {"acknowledged": [], "refused": []}
    number = 0
    while not ending.is_set():
        steps = range(number * POINTS, (number + 1) * POINTS)
        metrics = [Metric("m", float(step), 1_700_000_000_000 + step, step) for step in steps]
        try:
            log(run_id, metrics, number)
            known["acknowledged"].append(number)
            print("acknowledged", flush=True)
        except Exception as error:  # whatever the client raises, the round is not acknowledged
            known["refused"].append(number)
            print(f"refused: {error}", file=sys.stderr, flush=True)
        number += 1


def waited_for(run_id, metrics, number):
    """Log in one call, and wait for its answer."""
    params, tags = [Param(f"p{number}", str(number))], [RunTag(f"t{number}", str(number))]
    client.log_batch(run_id, metrics, params, tags)


def in_the_background(run_id, metrics, number):
    """Log by the client's queue, which makes batches of its own."""
    halves = metrics[: POINTS // 2], metrics[POINTS // 2 :]
    params, tags = [Param(f"p{number}", str(number))], [RunTag(f"t{number}", str(number))]
    begun = [client.log_batch(run_id, half, synchronous=False) for half in halves]
    begun.append(client.log_batch(run_id, params=params, tags=tags, synchronous=False))
    for one in begun:
        one.wait()


def main():
    """Log in two threads, one in each way, until the test has seen enough."""
    experiment = client.create_experiment("under fire")
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    threads = [
        threading.Thread(target=rounds, args=(run_id, log))
        for run_id, log in zip(runs, (waited_for, in_the_background), strict=True)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()
    mlflow.flush_async_logging()
    for run_id in runs:
        client.set_terminated(run_id)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
