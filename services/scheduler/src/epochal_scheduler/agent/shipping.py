"""Log lines of one attempt to the TELEMETRY stream, in order and without loss.

Batches are numbered without gaps and sent one at a time, each until the broker has it; lines that
come meanwhile make the next batch larger. When more waits than may be held in memory, `full` tells
the reader to stop until there is `room`, and the process waits in its next write. A process that
says nothing has no producer, which spares the platform two events of each such run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import zstandard
from epochal_kernel.clock import Clock

from epochal_scheduler.agent.ports import LogPort

LINGER_S = 0.1
MAX_BATCH_CHARS = 400_000
MAX_WAITING_CHARS = 16_000_000


def producer_of(run: str, attempt: int) -> str:
    """Returns the producer of an attempt's log lines: the same whoever asks."""
    return str(uuid5(UUID(run.rpartition("/")[2]), f"agent-log/{attempt}"))


class LogShipper:
    """Takes lines, ships batches."""

    def __init__(self, run: str, attempt: int, port: LogPort, clock: Clock) -> None:
        self.full = asyncio.Event()
        self.room = asyncio.Event()
        self._run = run
        self._producer = producer_of(run, attempt)
        self._port = port
        self._clock = clock
        self._waiting: deque[pb.LogLine] = deque()
        self._waiting_chars = 0
        self._sent_lines = 0
        self._batch = 0
        self._epoch = 1
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._refused = False
        self._compressor = zstandard.ZstdCompressor()

    def add(self, stream: str, text: str) -> None:
        """Adds a line, with the time of now."""
        if self._refused:
            return
        time_us = int(self._clock.now().timestamp() * 1_000_000)
        self._waiting.append(pb.LogLine(time_us=time_us, stream=stream, text=text))
        self._count(len(text) + 16)
        self._changed.set()

    def close(self) -> None:
        """Says that no line will follow; `run` then ships the rest, seals and returns."""
        self._closing.set()
        self._changed.set()

    def give_up(self) -> None:
        """Drops all lines from now on: the platform refuses them."""
        self._refused = True
        self._waiting.clear()
        self._count(-self._waiting_chars)

    async def run(self) -> None:
        """Ships until closed.

        Raises:
            EpochalError: the platform refuses the producer for good.
        """
        await self._changed.wait()
        if not self._waiting:
            return
        cursor = await self._port.open(self._run, self._producer)
        self._epoch, self._batch = max(1, cursor.epoch), cursor.persisted_batch
        while self._waiting or not self._closing.is_set():
            await self._changed.wait()
            await self._linger()
            self._changed.clear()
            while self._waiting:
                await self._port.publish(self._next_batch())
        await self._port.seal(self._run, self._producer, self._batch)

    def _count(self, chars: int) -> None:
        self._waiting_chars += chars
        if self._waiting_chars > MAX_WAITING_CHARS:
            self.room.clear()
            self.full.set()
        else:
            self.full.clear()
            self.room.set()

    async def _linger(self) -> None:
        """Gives a batch time to grow, unless the end has come or it is large already."""
        if self._waiting_chars < MAX_BATCH_CHARS:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._closing.wait()

    def _next_batch(self) -> pb.TelemetryBatch:
        block, size = pb.LogBlock(), 0
        while self._waiting and (size == 0 or size < MAX_BATCH_CHARS):
            line = self._waiting.popleft()
            size += len(line.text) + 16
            block.lines.append(line)
        self._count(-size)
        lines = pb.LogLines(
            lines=len(block.lines),
            first_line=self._sent_lines,
            block=self._compressor.compress(block.SerializeToString()),
        )
        self._sent_lines += len(block.lines)
        self._batch += 1
        return pb.TelemetryBatch(
            run=self._run,
            producer=self._producer,
            epoch=self._epoch,
            batch=self._batch,
            kind=pb.TELEMETRY_KIND_LOGS,
            payload=lines.SerializeToString(),
        )
