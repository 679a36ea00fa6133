"""The Faust application: an agent over summaries, a table of watches, a table of windows.

For each batch of messages: effects first (alerts into the log), then the tables, then Faust's
acknowledgement. A process that dies in between sees the messages again and finds that their effects
are there. A broker that loses its memory ends the application; a new one begins with empty tables
and reads from PostgreSQL what it has not seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
import faust
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, Unavailable
from epochal_kernel.log.reader import LogReader
from epochal_kernel.projections.store import Progress
from faust_jetstream import configure
from faust_jetstream.places import partition_of
from google.protobuf.message import DecodeError

from epochal_tracker.domain.judging import stalled_after_s
from epochal_tracker.feeding import PARTITIONS, TOPIC
from epochal_tracker.monitoring.proposing import Proposer
from epochal_tracker.monitoring.store import Cursor, MonitorStore, Watched
from epochal_tracker.monitoring.watching import Watch, next_batch, observe

TOGETHER = 1000
WITHIN_S = 0.25
WINDOW_S = 10.0
WINDOW_US = int(WINDOW_S * 1e6)
WINDOWS_KEPT_S = 6 * WINDOW_S
TICK_S = 1.0
#: What share of the time the ticks may take, however many runs are live.
TICKING = 0.1
#: How often it is looked whether the feed has kept something back.
SWEEP_S = 5.0
#: How long it is read what was kept back, at a time.
SWEEPING_S = 10.0
#: How long after its end a run is looked at.
AFTERWARDS = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


class Monitor:
    """Watches runs."""

    def __init__(
        self,
        store: MonitorStore,
        proposer: Proposer,
        log: LogReader,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._store = store
        self._proposer = proposer
        self._log = log
        self._progress = progress
        self._clock = clock
        self._watches: Any = None
        self._windows: Any = None
        # Messages and clock both change watches, and wait for the log in between.
        self._lock = asyncio.Lock()
        self._rests_until_s = 0.0

    def application(self, broker: str, folder: Path, worker: int, workers: int) -> faust.App:
        """Return the Faust application of this worker."""
        clock = self._clock
        app = faust.App(
            "epochal-monitor",
            broker=broker,
            store="memory://",
            topic_partitions=PARTITIONS,
            topic_disable_leader=True,
            broker_commit_interval=1.0,
            stream_wait_empty=False,
            web_enabled=False,
            datadir=str(folder),
            key_serializer="raw",
            value_serializer="raw",
        )
        configure(app, worker=worker, workers=workers)
        topic = app.topic(
            TOPIC, partitions=PARTITIONS, key_serializer="raw", value_serializer="raw"
        )
        # By key, not by the message at hand: many are taken together, and the clock ticks too.
        options: dict[str, Any] = {"partitions": PARTITIONS, "use_partitioner": True}
        self._watches = app.Table(
            "watches", default=bytes, key_type=str, value_type=bytes, **options
        )
        points = app.Table("points", default=int, key_type=str, value_type=int, **options)
        self._windows = points.tumbling(
            timedelta(seconds=WINDOW_S), expires=timedelta(seconds=WINDOWS_KEPT_S)
        )

        @app.agent(topic)
        async def watch(stream: Any) -> None:
            async for events in stream.take_events(TOGETHER, within=WITHIN_S):
                await self._observe(events)

        @app.timer(interval=SWEEP_S, on_leader=False)  # type: ignore[untyped-decorator]  # as below
        async def sweep() -> None:
            await self._sweep(worker, workers)

        @app.timer(interval=TICK_S)  # type: ignore[untyped-decorator]  # Faust does not type it
        async def tick() -> None:
            began_s = clock.monotonic()
            if began_s >= self._rests_until_s:
                await self._tick()
                self._rests_until_s = began_s + (clock.monotonic() - began_s) / TICKING

        return app

    def watch_of(self, run_id: UUID) -> Watch:
        """Return what is known of a run; of one that is not watched, nothing.

        Raises:
            Unavailable: no application has begun yet.
        """
        if self._watches is None:
            raise Unavailable("the monitor has not begun yet", reason="MONITOR_STARTS")
        return Watch.unpack(self._watches.get(str(run_id)) or b"")

    def points_per_second(self, run_id: UUID) -> float:
        """Return how many points a second came in the last full window."""
        before = self._clock.now().timestamp() - WINDOW_S
        return float(self._windows.relative_to(before)[str(run_id)].value()) / WINDOW_S

    async def _observe(self, events: Sequence[Any]) -> None:
        # What was declared before a batch was sent is known before the batch is judged.
        await self._progress.wait_for((await self._log.head()).position)
        by_run: dict[UUID, list[pb.BatchSummary]] = {}
        for event in events:
            summary = _summary(event.value)
            if summary is not None:
                by_run.setdefault(UUID(bytes=summary.run), []).append(summary)
        for run_id, watched in (await self._store.watched(by_run)).items():
            async with self._lock:
                await self._take(run_id, watched, by_run[run_id])

    async def _take(
        self, run_id: UUID, watched: Watched, summaries: Sequence[pb.BatchSummary]
    ) -> None:
        watch = self.watch_of(run_id)
        came: Counter[float] = Counter()
        for summary in summaries:
            while (after := next_batch(watch, summary) - 1) < summary.batch - 1:
                producer = UUID(bytes=summary.producer)
                missed = await self._store.missed(run_id, producer, after, summary.batch - 1)
                if not missed:
                    break
                for one in missed:
                    watch = await self._judge(run_id, watched, watch, one, came)
            watch = await self._judge(run_id, watched, watch, summary, came)
            if watch.stalled:
                producer = UUID(bytes=summary.producer)
                words, about = "points come again", f"{producer} {summary.batch}"
                await self._proposer.resolve_all(run_id, watched, watch.stalled, words, about)
                watch = replace(watch, stalled=())
        self._keep(run_id, watch, came)

    def _keep(self, run_id: UUID, watch: Watch, came: Mapping[float, int]) -> None:
        """Write what is known of a run, and count the points that came: by window, its start."""
        now_s = self._clock.now().timestamp()
        for start_s, points in came.items():
            # What is caught up may be of any time: nobody asks for windows of long ago, and Faust
            # takes the window that begins at 0 for none.
            if abs(now_s - start_s) <= WINDOWS_KEPT_S:
                self._windows.relative_to(start_s)[str(run_id)] += points
        self._watches[str(run_id)] = watch.pack()

    async def _sweep(self, worker: int, workers: int) -> None:
        """Judge what the feed did not tell: the end of a run has no later batch to show a gap.

        After the broker lost its memory that is all that live runs ever sent: those with the least
        to read come first, for a bounded time, and one that cannot be judged holds up no other.
        """
        try:
            cursors = await self._store.cursors(self._clock.now() - AFTERWARDS)
            late = [
                one
                for one in cursors
                if partition_of(str(one.run_id).encode(), PARTITIONS) % workers == worker
                and self._behind(one) > 0
            ]
            if not late:
                return
            await self._progress.wait_for((await self._log.head()).position)
            runs = await self._store.watched({one.run_id for one in late})
        except EpochalError as error:
            _log.warning("monitor.sweep_waits", error=error.message)
            return
        until_s = self._clock.monotonic() + SWEEPING_S
        for one in sorted(late, key=self._behind):
            if self._clock.monotonic() >= until_s:
                return
            if one.run_id in runs:
                await self._catch_up(runs[one.run_id], one, until_s)

    def _behind(self, cursor: Cursor) -> int:
        """Return how many batches of a producer were not judged."""
        return cursor.batch - self.watch_of(cursor.run_id).seen.get(cursor.producer.hex, 0)

    async def _catch_up(self, watched: Watched, cursor: Cursor, until_s: float) -> None:
        """Judge the batches of a producer that were not, a page at a time, until then."""
        try:
            while self._behind(cursor) > 0 and self._clock.monotonic() < until_s:
                if not await self._catch_up_a_page(watched, cursor):
                    return
        except EpochalError as error:
            _log.warning("monitor.run_waits", run=watched.name, error=error.message)

    async def _catch_up_a_page(self, watched: Watched, cursor: Cursor) -> bool:
        run_id, producer = cursor.run_id, cursor.producer
        async with self._lock:
            watch = self.watch_of(run_id)
            came: Counter[float] = Counter()
            after = watch.seen.get(producer.hex, 0)
            missed = await self._store.missed(run_id, producer, after, cursor.batch)
            for one in missed:
                watch = await self._judge(run_id, watched, watch, one, came)
            self._keep(run_id, watch, came)
        return bool(missed)

    async def _judge(
        self,
        run_id: UUID,
        watched: Watched,
        watch: Watch,
        summary: pb.BatchSummary,
        came: Counter[float],
    ) -> Watch:
        before = watch.points
        watch, proposals = observe(watch, watched.rules, summary)
        if watch.points > before:
            came[summary.time_us // WINDOW_US * WINDOW_S] += watch.points - before
        for proposal in proposals:
            producer = UUID(bytes=summary.producer)
            await self._proposer.propose(run_id, watched, proposal, producer, summary.batch)
        return watch

    async def _tick(self) -> None:
        """Look for runs from which nothing comes, and let go of those that have ended."""
        now_us = int(self._clock.now().timestamp() * 1e6)
        keys = list(self._watches.keys())
        runs = await self._store.watched(UUID(key) for key in keys)
        for key in keys:
            run_id = UUID(key)
            watched = runs.get(run_id)
            if watched is None:
                continue
            try:
                async with self._lock:
                    await self._look_at(run_id, watched, self.watch_of(run_id), now_us)
            except EpochalError as error:
                _log.warning("monitor.tick_waits", run=watched.name, error=error.message)
                return

    async def _look_at(self, run_id: UUID, watched: Watched, watch: Watch, now_us: int) -> None:
        if watched.end_time is not None:
            if self._clock.now() - watched.end_time > AFTERWARDS + timedelta(seconds=SWEEP_S):
                words, about = "the run has ended", watched.end_time.isoformat()
                await self._proposer.resolve_all(run_id, watched, None, words, about)
                del self._watches[str(run_id)]
            return
        for rule in watched.rules.values():
            if rule.WhichOneof("condition") != "stall" or rule.name in watch.stalled:
                continue
            limit_s = stalled_after_s(rule.stall, watch.pause_s)
            if watch.last_us and now_us - watch.last_us > limit_s * 1e6:
                await self._proposer.stalled(run_id, watched, rule, watch.last_us, watch.last_step)
                watch = replace(watch, stalled=(*watch.stalled, rule.name))
                self._keep(run_id, watch, {})


def _summary(data: bytes) -> pb.BatchSummary | None:
    """Return a summary; what is none is logged and left out: what it told will be read."""
    try:
        summary = pb.BatchSummary.FromString(data)
        UUID(bytes=summary.run)
        UUID(bytes=summary.producer)
        _check(summary.columns)
    except (DecodeError, ValueError) as error:
        _log.error("monitor.unreadable_summary", error=repr(error))
        return None
    return summary


def _check(columns: pb.ColumnSummaries) -> None:
    """Check that every list has a place for every metric.

    Raises:
        ValueError: one is shorter or longer.
    """
    for field in columns.DESCRIPTOR.fields:
        if len(getattr(columns, field.name)) != len(columns.metrics):
            raise ValueError(f"{field.name} has not a place for every metric")
