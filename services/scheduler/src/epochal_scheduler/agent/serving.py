"""Keeps an agent's slots busy until it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError
from epochal_kernel.failpoints import failpoint
from google.protobuf.message import DecodeError

from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.holding import Holdings
from epochal_scheduler.agent.ports import Scheduler
from epochal_scheduler.agent.pulling import Puller, Work, ensure_consumer

WAIT_ONE_QUEUE_S = 5.0
WAIT_MANY_QUEUES_S = 0.5
RETRY_S = 0.25

_log = structlog.get_logger(__name__)


class AttemptExecutor(Protocol):
    """What runs attempts that were claimed."""

    @property
    def scheduler(self) -> Scheduler:
        """Where attempts are claimed."""
        ...

    async def execute(self, held: HeldAttempt, released: asyncio.Event) -> None:
        """Runs an attempt; `released` is set when another may take its slot."""
        ...


@dataclass(slots=True)
class Server:
    """Pulls from queues into slots; an attempt lives on when its slot is free again."""

    bus: Bus
    executor: AttemptExecutor
    holdings: Holdings
    queues: Sequence[str]
    slots: int
    clock: Clock
    _taking: set[tuple[str, int, int]] = field(default_factory=set)

    async def run(self, drain: asyncio.Event, drain_s: float) -> None:
        """Serves until `drain` is set; then takes no more and waits for what runs.

        What still runs after `drain_s` is ended; the scheduler retries it elsewhere.
        """
        async with asyncio.TaskGroup() as attempts:
            free = asyncio.Semaphore(self.slots)
            async with asyncio.TaskGroup() as fetching:
                workers = [
                    fetching.create_task(self._work(queue, free, attempts))
                    for queue in self.queues
                    for _ in range(self.slots)
                ]
                await drain.wait()
                self.holdings.draining = True
                for worker in workers:
                    worker.cancel()
            closing = attempts.create_task(self._close(drain_s))
            closing.add_done_callback(lambda _: _log.info("agent.drained"))

    async def _close(self, drain_s: float) -> None:
        deadline = self.clock.monotonic() + drain_s
        while (self._taking or len(self.holdings)) and self.clock.monotonic() < deadline:
            await self.clock.sleep(RETRY_S / 5)
        for held in self.holdings:
            held.stop("the agent was shut down")

    async def _work(self, queue: str, free: asyncio.Semaphore, attempts: asyncio.TaskGroup) -> None:
        wait_s = WAIT_ONE_QUEUE_S if len(self.queues) == 1 else WAIT_MANY_QUEUES_S
        while True:
            try:
                await self.bus.wait_connected(timeout_s=None)
                await ensure_consumer(self.bus, queue)
                async with Puller(self.bus, queue) as puller:
                    while True:
                        async with free:
                            work = await puller.next(wait_s)
                            if work is not None:
                                released = asyncio.Event()
                                attempts.create_task(self._take(work, released))
                                await released.wait()
            except EpochalError as error:
                _log.debug("agent.cannot_pull", queue=queue, error=error.message)
            await self.clock.sleep(RETRY_S)

    async def _take(self, work: Work, released: asyncio.Event) -> None:
        try:
            item = pb.WorkItem.FromString(work.body)
        except DecodeError:
            _log.error("agent.work_unreadable", size_bytes=len(work.body))
            await _settle(work)
            released.set()
            return
        key = (item.run, item.attempt, item.fence)
        held = HeldAttempt(item)
        if key in self._taking:
            released.set()  # it came again while it is being taken: the first taking decides
            return
        self._taking.add(key)
        try:
            mine = await self.executor.scheduler.claim(held.ref)
            failpoint("agent.after_claim")
            await _settle(work)
            if mine and self.holdings.add(held):
                _log.info("agent.claimed", run=item.run, attempt=item.attempt)
                await self.executor.execute(held, released)
        finally:
            self._taking.discard(key)
            self.holdings.remove(held)
            released.set()


async def _settle(work: Work) -> None:
    """Removes an item from its queue; if that fails it comes again and is refused then."""
    try:
        await work.taken()
    except EpochalError as error:
        _log.debug("agent.not_acknowledged", error=error.message)
