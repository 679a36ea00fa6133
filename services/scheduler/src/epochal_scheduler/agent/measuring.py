"""Measurements of an attempt to the TELEMETRY stream, as a producer of its own.

Nothing happens in the first seconds of a run, so short ones cost nothing. Later points are sent in
larger batches: a run of days need not have a chunk for every ten seconds.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from contextlib import suppress
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import structlog
import zstandard
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError

from epochal_scheduler.agent.ports import LogPort
from epochal_scheduler.agent.usage import UsageMeter, gpus

FIRST_S = 5.0
EVERY_S = 10.0
MOST_SAMPLES = 6
SAMPLES_TO_GROW = 30

_log = structlog.get_logger(__name__)


def usage_producer_of(run: str, attempt: int) -> str:
    """Returns the producer of an attempt's measurements: the same whoever asks."""
    return str(uuid5(UUID(run.rpartition("/")[2]), f"agent-usage/{attempt}"))


class UsageShipper:
    """Measures while the process runs, ships, and seals when told that it has ended."""

    def __init__(self, run: str, attempt: int, port: LogPort, clock: Clock) -> None:
        self._opened = False
        self._run = run
        self._producer = usage_producer_of(run, attempt)
        self._port = port
        self._clock = clock
        self._epoch = 1
        self._batch = 0
        self._samples = 0
        self._sending: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, int, dict[str, float]]] = []

    async def measure(self, pid: int) -> None:
        """Measures a process tree until cancelled; a refusal costs the measurements only."""
        await self._clock.sleep(FIRST_S)
        meter = UsageMeter(pid)
        try:
            while True:
                values = await asyncio.to_thread(meter.sample, self._clock.monotonic())
                if not values:
                    return
                values |= await gpus()
                time_us = int(self._clock.now().timestamp() * 1_000_000)
                self._waiting.append((self._samples, time_us, values))
                self._samples += 1
                if len(self._waiting) >= min(MOST_SAMPLES, 1 + self._samples // SAMPLES_TO_GROW):
                    self._sending = asyncio.create_task(self._send())
                    # Shielded: a batch that was begun is sent, whatever ends the measuring.
                    await asyncio.shield(self._sending)
                await self._clock.sleep(EVERY_S)
        except EpochalError as error:
            _log.warning("agent.usage_refused", run=self._run, error=error.message)

    async def seal(self) -> None:
        """Sends what waits and seals, if anything was sent at all."""
        if self._sending is None:
            return
        with suppress(EpochalError):
            await self._sending
            if self._waiting:
                await self._send()
            await self._port.seal(self._run, self._producer, self._batch)

    async def _send(self) -> None:
        if not self._opened:
            self._opened = True
            cursor = await self._port.open(self._run, self._producer)
            self._epoch, self._batch = max(1, cursor.epoch), cursor.persisted_batch
        columns = defaultdict[str, list[tuple[int, int, float]]](list)
        for step, time_us, values in self._waiting:
            for metric, value in values.items():
                columns[metric].append((step, time_us, value))
        self._waiting.clear()
        payload = pb.PointColumns(columns=[encode(name, rows) for name, rows in columns.items()])
        self._batch += 1
        await self._port.publish(
            pb.TelemetryBatch(
                run=self._run,
                producer=self._producer,
                epoch=self._epoch,
                batch=self._batch,
                kind=pb.TELEMETRY_KIND_POINTS,
                payload=payload.SerializeToString(),
            )
        )


def encode(metric: str, rows: list[tuple[int, int, float]]) -> pb.PointColumn:
    """Encodes (step, time in microseconds, value) as telemetry.proto has it, in step order."""
    steps, times, values = zip(*rows, strict=True)
    count = len(rows)
    raw = struct.pack(f"<{count}d", *values)
    shuffled = b"".join(raw[byte::8] for byte in range(8))
    compress = zstandard.ZstdCompressor(level=1).compress
    return pb.PointColumn(
        metric=metric,
        points=count,
        steps=compress(_deltas(steps)),
        times=compress(_deltas(times)),
        values=compress(shuffled),
        first_step=steps[0],
        last_step=steps[-1],
        first_time_us=times[0],
        last_time_us=times[-1],
        min=min(values),
        max=max(values),
        last=values[-1],
    )


def _deltas(numbers: tuple[int, ...]) -> bytes:
    before = (0, *numbers[:-1])
    differences = [number - last for number, last in zip(numbers, before, strict=True)]
    return struct.pack(f"<{len(numbers)}q", *differences)
