"""Ingest at full speed through a whole platform whose programs are killed one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import epochal
import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home
from epochal_proto.v1.services import RunService, TrackingService
from whole_platform import kill, started

pytestmark = pytest.mark.faults

COLUMN = 2_000
METRICS = 4


@pytest.fixture
def own_platform(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Home, Connection]]:
    """A platform whose programs the test may kill."""
    with started(shared_folder) as (home, connection):
        monkeypatch.setenv("EPOCHAL_URL", connection.url)
        monkeypatch.setenv("EPOCHAL_TOKEN", connection.token)
        monkeypatch.setenv("EPOCHAL_PROJECT", connection.project)
        monkeypatch.setenv("EPOCHAL_SPOOL", str(shared_folder / "spool"))
        monkeypatch.setenv("EPOCHAL_CAPTURE", "0")
        monkeypatch.setenv("EPOCHAL_SYSTEM_METRICS_S", "0")
        monkeypatch.setenv("EPOCHAL_FINISH_TIMEOUT_S", "120")
        yield home, connection


def test_no_point_is_lost_or_doubled_whatever_is_killed_under_load(
    own_platform: tuple[Home, Connection],
) -> None:
    home, connection = own_platform
    killed = threading.Event()
    rounds = 0

    def load(run: epochal.Run) -> None:
        nonlocal rounds
        while not killed.is_set() or rounds < 50:
            first = rounds * COLUMN
            for metric in range(METRICS):
                run.log_series(f"m{metric}", [float(first)] * COLUMN, range(first, first + COLUMN))
            rounds += 1
            while run.pending_points > 100_000:
                killed.wait(0.005)

    with epochal.init(name="under fire", strict=True) as run:
        loading = threading.Thread(target=load, args=(run,))
        loading.start()
        try:
            for unit in ("tracker", "gateway", "nats", "postgres", "tracker"):
                before = run._telemetry.persisted_batch
                assert run._telemetry._sender is not None
                run._telemetry._sender.wait_for_news(before, 60)
                assert run._telemetry.persisted_batch > before, f"going on before {unit} is killed"
                kill(home, unit)
                control.wait_ready(home, lambda _: None)
        finally:
            killed.set()
            loading.join()
    with Client(connection) as client:
        shown = client.call(RunService.GET_RUN, pb.GetRunRequest(name=run.name))
        assert shown.status == pb.RUN_STATUS_SUCCEEDED
        assert not shown.incomplete_producers
        assert not shown.data_lost
        wanted = rounds * COLUMN
        assert {m.points for m in shown.metrics.values()} == {wanted}
        for metric in range(METRICS):
            token, steps = "", []
            while True:
                page = client.call(
                    TrackingService.GET_METRIC_SERIES,
                    pb.GetMetricSeriesRequest(
                        run=run.name, metric=f"m{metric}", page_size=100_000, page_token=token
                    ),
                )
                steps += page.steps
                token = page.next_page_token
                if not token:
                    break
            assert steps == list(range(wanted))
