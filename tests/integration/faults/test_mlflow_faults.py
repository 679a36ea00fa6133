"""MLflow's unmodified client logs while the platform's programs are killed one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal.config import Connection
from epochal_embedded import control
from epochal_proto.v1.services import RunService, SearchService, TrackingService
from whole_platform import kill, started

sys.path.append(str(Path(__file__).parents[1] / "mlflow"))

from environments import FOLDER, interpreter, surroundings

pytestmark = pytest.mark.faults

SCRIPT = Path(__file__).parent / "mlflow_logging.py"
POINTS = 20


@contextmanager
def logging_client(connection: Connection) -> Iterator[subprocess.Popen[str]]:
    """MLflow's client, which tries again as it does by itself, only sooner."""
    with subprocess.Popen(
        [interpreter("3.17"), SCRIPT],
        env=surroundings(
            MLFLOW_TRACKING_URI=connection.url,
            MLFLOW_TRACKING_TOKEN=connection.token,
            MLFLOW_HTTP_REQUEST_TIMEOUT="5",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="9",
            MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR="1",
            MLFLOW_HTTP_REQUEST_BACKOFF_JITTER="0.1",
        ),
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_mlflows_client_was_acknowledged_is_there_once_whatever_is_killed(
    shared_folder: Path,
) -> None:
    with started(shared_folder) as (home, connection):
        with logging_client(connection) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for unit in ("gateway", "tracker", "nats", "gateway", "tracker"):
                for _ in range(10):
                    line = process.stdout.readline()
                    assert line == "acknowledged\n", f"going on before {unit} is killed: {line!r}"
                kill(home, unit)
                control.wait_ready(home, lambda _: None)
            process.stdin.close()
            *_, last = process.stdout.read().splitlines()
            assert process.wait(60) == 0
        told = json.loads(last)
        with Client(connection) as client:
            search = pb.SearchRunsRequest(parents=["orgs/default"])
            found = client.call(SearchService.SEARCH_RUNS, search).runs
            by_id = {UUID(run.name.rpartition("/")[2]).hex: run.name for run in found}
            for run_id, rounds in told.items():
                assert_once(client, by_id[run_id], rounds["acknowledged"], rounds["refused"])


def assert_once(client: Client, run: str, acknowledged: list[int], refused: list[int]) -> None:
    """Assert that a run has what was acknowledged, and what was refused at most once."""
    assert acknowledged
    shown = client.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
    assert shown.status == pb.RUN_STATUS_SUCCEEDED
    for number in acknowledged:
        assert shown.params[f"p{number}"].string_value == str(number)
        assert shown.tags[f"t{number}"] == str(number)
    steps = [
        step for number in acknowledged for step in range(number * POINTS, (number + 1) * POINTS)
    ]
    request = pb.GetMetricSeriesRequest(run=run, metric="m", page_size=100_000)
    series = client.call(TrackingService.GET_METRIC_SERIES, request)
    assert not series.next_page_token
    assert len(set(series.steps)) == len(series.steps), "no point is there twice"
    assert not set(steps) - set(series.steps), "no acknowledged point is lost"
    unknown = set(series.steps) - set(steps)
    assert {step // POINTS for step in unknown} <= set(refused)
    assert list(series.values) == [float(step) for step in series.steps]
    assert shown.metrics["m"].points == len(series.steps)
