"""Live watching: summaries of batches, judged by rules, counted by windows, alerts in the log.

Summaries are told to the feed as the tracker tells them, faster than they can be judged. The clock
stops when the monitor knows every point of every run. Each run has five rules over four metrics,
one of which is raised and resolved. The peer is a bare JetStream consumer that reads and
acknowledges the same messages, and judges nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import nats
from epochal.client import Client
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_proto.v1.services import AlertService, RunService
from epochal_tracker.feeding import PARTITIONS, TOPIC, SummaryFeed
from faust_jetstream import places

from benchmarks.platforms import cpu_s, peak_mb, running_platform
from benchmarks.report import Row

RUNS, BATCHES, METRICS, POINTS = 64, 500, 4, 50


async def run(seconds: float) -> list[Row]:
    """Measure the monitor of a whole platform, then the peer."""
    del seconds  # the workload has a size, not a duration
    with running_platform() as (home, connection):
        names = await asyncio.to_thread(prepared, connection)
        url = broker_url(home)
        summaries = told(names)
        before = cpu_s(home, "monitor")
        judged = await watched(connection, url, names, summaries)
        taken = {"cpu_us": (cpu_s(home, "monitor") - before) / len(summaries) * 1e6}
        memory = peak_mb(home, "monitor")
        bare = await consumed(url, len(summaries))
    note = f"{RUNS} runs, {METRICS} metrics, 5 rules, an alert raised and resolved per run"
    return [
        Row("monitor", judged, "summaries/s", ">= 5,000 summaries/s", taken, note),
        Row("a bare consumer of the same messages", bare, "messages/s"),
        Row("monitor, memory", memory, "MiB"),
    ]


def prepared(connection: Connection) -> list[str]:
    """Create the runs and declare their rules."""
    names: list[str] = []
    jump = pb.ChangeCondition(percent=1e15, over_batches=10)
    rules = [
        pb.AlertRule(name="high", metric="m0", threshold=pb.ThresholdCondition(above=1e6)),
        pb.AlertRule(name="flat", metric="m1", plateau=pb.PlateauCondition(points=10**9)),
        pb.AlertRule(name="jumps", metric="m2", change=jump),
        pb.AlertRule(name="silent", stall=pb.StallCondition(seconds=3600)),
    ]
    with Client(connection) as client:
        for _ in range(RUNS):
            request = pb.CreateRunRequest(parent=connection.project, tracked=pb.TrackedRun())
            names.append(client.call(RunService.CREATE_RUN, request).name)
            declared = pb.DeclareAlertRulesRequest(run=names[-1], rules=rules)
            client.call(AlertService.DECLARE_ALERT_RULES, declared)
    return names


def told(names: Sequence[str]) -> list[pb.BatchSummary]:
    """Make the summaries: batch by batch, the runs in turn."""
    producers = {name: uuid4().bytes for name in names}
    return [
        pb.BatchSummary(
            run=UUID(name.rpartition("/")[2]).bytes,
            producer=producers[name],
            batch=batch,
            columns=_columns(batch, 2e6 if batch == BATCHES // 2 else math.sin(batch)),
        )
        for batch in range(1, BATCHES + 1)
        for name in names
    ]


def _columns(batch: int, value: float) -> pb.ColumnSummaries:
    return pb.ColumnSummaries(
        metrics=[f"m{metric}" for metric in range(METRICS)],
        points=[POINTS] * METRICS,
        last_steps=[batch * POINTS] * METRICS,
        last_times_us=[int(time.time() * 1e6)] * METRICS,
        mins=[value] * METRICS,
        maxs=[value] * METRICS,
        lasts=[value] * METRICS,
        odds=[0] * METRICS,
    )


async def watched(
    connection: Connection, url: str, names: Sequence[str], summaries: Sequence[pb.BatchSummary]
) -> float:
    """Tell the summaries and wait until the monitor knows them; return summaries/s."""
    bus = Bus(url, "benchmark")
    running = asyncio.create_task(bus.run())
    await bus.wait_connected(timeout_s=10)
    started = time.perf_counter()
    await SummaryFeed(bus, SystemClock()).tell(summaries)
    await asyncio.to_thread(known, connection, names)
    seconds = time.perf_counter() - started
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return len(summaries) / seconds


def known(connection: Connection, names: Sequence[str]) -> None:
    """Wait until the monitor has counted every point, and see that each alert was raised once."""
    expected = BATCHES * METRICS * POINTS
    with Client(connection) as client:
        for name in names:
            request = pb.GetRunActivityRequest(run=name)
            while client.call(AlertService.GET_RUN_ACTIVITY, request).points < expected:
                time.sleep(0.05)
        for name in names:
            found = client.call(AlertService.LIST_ALERTS, pb.ListAlertsRequest(parent=name)).alerts
            if [(one.rule, one.HasField("resolve_time")) for one in found] != [("high", True)]:
                raise RuntimeError(f"{name}: {found}")


async def consumed(url: str, count: int) -> float:
    """Read and acknowledge what lies in the feed; return messages/s."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        read = 0
        started = time.perf_counter()
        for partition in range(PARTITIONS):
            subject = f"{places.subject_of(TOPIC, partition, None, compacted=False)}"
            consumer = await jetstream.pull_subscribe(subject, durable=f"bare-{partition}")
            while True:
                try:
                    messages = await consumer.fetch(200, timeout=0.5)
                except TimeoutError:
                    break
                for message in messages:
                    pb.BatchSummary.FromString(message.data)
                    await message.ack()
                read += len(messages)
                last = time.perf_counter()
        if read != count:
            raise RuntimeError(f"{read} of {count} messages")
        return count / (last - started - 0.5 * (PARTITIONS - 1))
    finally:
        await client.close()


def broker_url(home: Home) -> str:
    """Return the address of the embedded platform's broker."""
    report = control.observe(home)
    assert report is not None
    (broker,) = (unit for unit in report.units if unit.name == "nats")
    token = (home.root / "nats" / "token").read_text().strip()
    return f"nats://{token}@127.0.0.1:{broker.port}"
