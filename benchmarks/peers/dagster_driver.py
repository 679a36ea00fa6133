"""Dagster: `dagster dev` with SQLite: web server, daemon, code server, a process for each run.

python dagster_driver.py schedule|orchestrate FOLDER
"""
# mypy: ignore-errors
# The peer is in no environment of the workspace: its types are unknown here.

import os
import subprocess
import sys
import time
from pathlib import Path

from dagster import (
    Config,
    DagsterInstance,
    Definitions,
    DynamicOut,
    DynamicOutput,
    In,
    Nothing,
    graph,
    in_process_executor,
    job,
    op,
)
from driving import CASE_S, ONE_BY_ONE, free_port, peak_mb, python, running, say, wait_for

AT_ONCE = 20
NOOPS = 500
STEPS = 1_000
LAYERS = 10
CHILDREN = 500
JOB = "process"
POLL_S = 0.05
LOAD_S = 60.0
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class Where(Config):
    """Where a run says when its process existed."""

    file: str


@op
def spawn(config: Where) -> None:
    """Run a process to its end; write down when it existed."""
    with subprocess.Popen(["/bin/true"]):
        Path(config.file).write_text(repr(time.time()))


@op(ins={"after": In(Nothing)})
def nothing() -> None:
    """Do nothing, and say that it went well."""


@op
def first() -> None:
    """Do nothing, before everything."""


@op(out=DynamicOut(int))
def children():
    """Yield what the children are made from."""
    for number in range(CHILDREN):
        yield DynamicOutput(number, mapping_key=str(number))


@op
def child(number: int) -> None:
    """Do nothing with a number."""


@job(name=JOB, executor_def=in_process_executor)
def process():
    """Run one process."""
    spawn()


@graph
def noops():
    """Steps that wait for nothing."""
    for number in range(NOOPS):
        first.alias(f"s{number}")()


@graph
def layers():
    """Steps, each after the one above it."""
    width = STEPS // LAYERS
    above = [first.alias(f"s{number}")() for number in range(width)]
    for number in range(width, STEPS):
        above[number % width] = nothing.alias(f"s{number}")(above[number % width])


@graph
def sweep():
    """A step for each output of another."""
    children().map(child)


defs = Definitions(jobs=[process])


def schedule(folder: Path) -> None:
    """Measure runs submitted to the web server's API."""
    from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

    port = free_port()
    server = [python(), "-m", "dagster", "dev", "-p", str(port)]
    server += ["-f", __file__, "-d", str(Path(__file__).parent)]
    with running(server, folder):
        wait_for(f"http://127.0.0.1:{port}/server_info")
        client = DagsterGraphQLClient("127.0.0.1", port_number=port)

        def submit(number: int) -> str:
            config = {"ops": {"spawn": {"config": {"file": str(folder / f"started-{number}")}}}}
            return client.submit_job_execution(JOB, run_config=config)

        def first_run() -> str:
            deadline = time.time() + LOAD_S
            while True:  # the server answers before it has loaded the code
                try:
                    return submit(0)
                except DagsterGraphQLClientError:
                    if time.time() > deadline:
                        raise
                    time.sleep(0.5)

        def ended(run: str) -> bool:
            status = client.get_run_status(run).value
            if status in ("FAILURE", "CANCELED"):
                raise RuntimeError(f"a run ended as {status}")
            return status == "SUCCESS"

        def one(number: int) -> float:
            submitted = time.time()
            run = submit(number)
            while not ended(run):
                time.sleep(POLL_S)
            return float((folder / f"started-{number}").read_text()) - submitted

        warm = first_run()
        while not ended(warm):
            time.sleep(POLL_S)
        until = time.time() + CASE_S
        started_s: list[float] = []
        while len(started_s) < ONE_BY_ONE and time.time() < until:
            started_s.append(one(1 + len(started_s)))
        say("started", started_s=started_s)
        submitted = time.time()
        runs = [submit(1000 + number) for number in range(AT_ONCE)]
        while runs:
            time.sleep(POLL_S * 10)
            runs = [run for run in runs if not ended(run)]
        say("at_once", runs=AT_ONCE, took_s=time.time() - submitted)


def orchestrate() -> None:
    """Measure steps of one run, in this process."""
    with DagsterInstance.get() as instance:
        for case, runs, work, note in (
            ("noop", NOOPS, noops, "steps of one run, in its process"),
            ("dag", STEPS, layers, "steps of one run, in its process"),
            ("sweep", CHILDREN, sweep, "dynamic outputs of one run, in its process"),
        ):
            ready = work.to_job(executor_def=in_process_executor)
            submitted = time.time()
            done = ready.execute_in_process(instance=instance, run_config=QUIET)
            took_s = time.time() - submitted
            events = len(instance.all_logs(done.run_id))
            mb = peak_mb(os.getpid())
            say(case, note=note, runs=runs, took_s=took_s, peak_mb=mb, events_per_run=events / runs)


def main(case: str, folder: Path) -> None:
    """Make the instance's folder, measure."""
    os.environ |= {"DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    if case == "schedule":
        schedule(folder)
    else:
        orchestrate()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
