"""Reading long series: whole, a range, thinned; and what the tracker's memory grows to.

The series are logged by the SDK, so they lie in chunks as training leaves them. Each read is a
request over gRPC through the gateway, its answer decoded by the client on the same cores.
"""

from __future__ import annotations

import array
import asyncio
import os
import random
import time
from collections.abc import Callable

import epochal
import epochal_proto.v1 as pb
from epochal.client import Client
from epochal_proto.v1.services import SeriesService, TrackingService

from benchmarks.platforms import peak_mb, running_platform
from benchmarks.report import Row, spread_ms

SIZES = (100_000, 1_000_000, 10_000_000)
COLUMN = 8_192
RANDOM = random.Random(7)


async def run(seconds: float) -> list[Row]:
    """Measure each size."""
    return await asyncio.to_thread(measure, seconds)


def measure(seconds: float) -> list[Row]:
    """Measure with the client in this process and the platform beside it."""
    rows: list[Row] = []
    with running_platform() as (home, connection):
        os.environ["EPOCHAL_URL"] = connection.url
        os.environ["EPOCHAL_TOKEN"] = connection.token
        os.environ["EPOCHAL_PROJECT"] = connection.project
        os.environ["EPOCHAL_SPOOL"] = str(home.root / "spool")
        with epochal.init(name="long series", strict=True) as one:
            for size in SIZES:
                log(one, f"m{size}", size)
        rows.append(Row("tracker, after ingest", peak_mb(home, "tracker"), "MiB"))
        with Client(connection) as client:
            for size in SIZES:
                rows += reads(client, one, size, seconds)
        rows.append(Row("tracker, after reading", peak_mb(home, "tracker"), "MiB"))
    return rows


def log(one: epochal.Run, metric: str, size: int) -> None:
    """Log a walk of so many points."""
    value, first = 0.0, 0
    while first < size:
        count = min(COLUMN, size - first)
        values = array.array("d")
        for _ in range(count):
            value += RANDOM.gauss(0.0, 1.0)
            values.append(value)
        one.log_series(metric, values, range(first, first + count))
        first += count
        while one.pending_points > 500_000:
            time.sleep(0.002)


def reads(client: Client, one: epochal.Run, size: int, seconds: float) -> list[Row]:
    """Measure the reads of one series."""
    metric = f"m{size}"

    def thinned(thinning: pb.Thinning) -> None:
        request = pb.QuerySeriesRequest(
            parent=one.project, runs=[one.id], metrics=[metric], max_points=1_000, thinning=thinning
        )
        (curve,) = client.call(SeriesService.QUERY_SERIES, request).curves
        if curve.points != size or not 4 < len(curve.values) <= 1_000:
            raise RuntimeError(f"{curve.points} points, {len(curve.values)} drawn")

    def span() -> None:
        start = RANDOM.randrange(size - 10_000)
        request = pb.GetMetricSeriesRequest(
            run=one.name, metric=metric, start_step=start, end_step=start + 9_999
        )
        found = client.call(TrackingService.GET_METRIC_SERIES, request)
        if len(found.values) != 10_000:
            raise RuntimeError(f"{len(found.values)} points in the range")

    def whole() -> None:
        token, points = "", 0
        while True:
            request = pb.GetMetricSeriesRequest(
                run=one.name, metric=metric, page_size=100_000, page_token=token
            )
            page = client.call(TrackingService.GET_METRIC_SERIES, request)
            points += len(page.values)
            token = page.next_page_token
            if not token:
                break
        if points != size:
            raise RuntimeError(f"{points} points in all")

    name = f"{size:,} points"
    target = "p95 <= 100 ms" if size == 1_000_000 else ""
    rows = [
        timed(f"{name}, MINMAX to 1,000", lambda: thinned(pb.THINNING_MINMAX), seconds, target),
        timed(f"{name}, LTTB to 1,000", lambda: thinned(pb.THINNING_LTTB), seconds, target),
        timed(f"{name}, a range of 10,000", span, seconds),
    ]
    if size <= 1_000_000:
        rows.append(timed(f"{name}, all of them", whole, seconds))
    return rows


def timed(name: str, call: Callable[[], None], seconds: float, target: str = "") -> Row:
    """Repeat a call for some time, at least five times; return its p95."""
    call()
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while len(taken) < 5 or time.perf_counter() < ends:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    p95 = sorted(taken)[int(len(taken) * 0.95)]
    return Row(name, p95 * 1e3, "ms p95", target, spread_ms(taken))
