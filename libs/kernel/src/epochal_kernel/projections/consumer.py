"""A consumer keeps one service's read model, and its intents, level with the log.

For every batch, in one transaction: lock the checkpoint (a twin waits and then finds it moved),
apply checkpoint+1 and what follows, let reactors write intents, move the checkpoint, commit. Only
then are messages acknowledged. What was seen before is skipped; what is missing, or is not what the
log has at that position, is read from PostgreSQL. So delivery may be lost, late, repeated, shuffled
or of another history, and the broker may be away: the outcome is the same, only slower.

The transaction does not wait for its own fsync. After a power loss both effect and checkpoint are
back where they were, and the log, which did wait, is read again from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    DeadlineExceeded,
    EpochalError,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Position
from epochal_kernel.log.events import Event, EventCodec, EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Connection, Pool, adapting
from epochal_kernel.projections.batch import ProjectionFailed, apply_batch
from epochal_kernel.projections.following import BATCH, Skipped, contiguous
from epochal_kernel.projections.inbox import Inbox
from epochal_kernel.projections.model import BatchReactor, Reactor, ReadModel
from epochal_kernel.projections.pacing import Pace
from epochal_kernel.projections.store import (
    Progress,
    begin_step,
    read_checkpoint,
    write_checkpoint,
)
from epochal_kernel.signals import LogSignal

SKIP_AT_MOST = 10_000
POLL_S = 1.0
ATTEMPTS = 3
PAUSE_S = 0.2

_log = structlog.get_logger(__name__)


class Halted(EpochalError):
    """A consumer met an event it cannot apply, parked it and stopped."""

    grpc_code = "DATA_LOSS"
    default_reason = "CONSUMER_HALTED"


class BatchFailed(Exception):
    """PostgreSQL refused what a batch writes, and does not say for which of its events."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"PostgreSQL refused what {size} events write")


class Listener(Protocol):
    """Keeps something in memory level with the read model; called after every commit."""

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Take note that the read model went from `before` to `position` by these events.

        `before` further on than the last `position` means that another process took some.
        """
        ...


class Consumer:
    """One per service: all its projectors and reactors behind one checkpoint."""

    def __init__(
        self,
        *,
        pool: Pool,
        model: ReadModel,
        reactors: Sequence[Reactor | BatchReactor],
        inbox: Inbox,
        signal: LogSignal,
        progress: Progress,
        codec: EventCodec,
        clock: Clock,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._listeners = tuple(listeners)
        self._pool = pool
        self._model = model
        self._reactors = tuple(r for r in reactors if not isinstance(r, BatchReactor))
        self._batch_reactors = tuple(r for r in reactors if isinstance(r, BatchReactor))
        self._inbox = inbox
        self._signal = signal
        self._progress = progress
        self._codec = codec
        self._clock = clock
        self._name = model.service
        self._pause = asyncio.Lock()
        self._reached = 0
        self._cut = False
        self._pace = Pace()
        self._level = Skipped(0, Position(0))
        self.halted: Halted | None = None

    @property
    def paused(self) -> asyncio.Lock:
        """Held while a batch is applied; hold it to keep the read model still."""
        return self._pause

    async def run(self) -> None:
        """Follow the log until cancelled, or until an event cannot be applied.

        After parking an event the consumer stays halted: `halted` says why, and everything that
        waits for a later position times out. Nothing is ever skipped.
        """
        async with asyncio.TaskGroup() as tasks:
            position = await self._checkpoint()
            self._level = Skipped(position, position)
            self._progress.reached(position)
            puller = tasks.create_task(self._inbox.run(position))
            try:
                await self._follow()
            except Halted as error:
                self.halted = error
                _log.error("consumer.halted", consumer=self._name, error=error.message)
            puller.cancel()

    async def _follow(self) -> None:
        while True:
            check_cancelled()
            taken = self._inbox.take()
            try:
                applied = await self._step([record for record, _ in taken])
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("consumer.interrupted", consumer=self._name, error=error.message)
                await self._clock.sleep(PAUSE_S)
                continue
            if taken:
                await taken[-1][1].acknowledge()
            if not applied or self._is_level(applied, [record for record, _ in taken]):
                await self._wait()
                await self._linger()

    def _is_level(self, applied: int, taken: Sequence[EventRecord]) -> bool:
        """Whether nothing is known of that is still to be applied; the poll finds the unknown."""
        if self._cut or applied >= BATCH:
            return False
        known = max([self._signal.position, *(record.position for record in taken)])
        return known <= self._progress.position

    async def _linger(self) -> None:
        """Let a batch grow while events come one after another, unless somebody waits for them.

        See `pacing.Pace`.
        """
        left_s = self._pace.left_s(self._clock.monotonic())
        if left_s > 0:
            await self._progress.wait_awaited(left_s)

    async def _step(self, records: list[EventRecord]) -> int:
        """Apply what follows the checkpoint; return how many events that was."""
        limit = BATCH
        attempt = 1
        while True:
            try:
                async with self._pause:
                    self._cut = limit < BATCH
                    return await self._skip(records) or await self._apply_next(records, limit)
            except BatchFailed as error:
                limit = error.size // 2  # the half without it applies; alone it is found out
            except ProjectionFailed as error:
                before = error.position - self._reached - 1
                if before > 0:
                    limit = before  # what comes before it can be applied
                    continue
                if attempt == ATTEMPTS:
                    await self._park(error.position, attempt, error)
                    raise Halted(
                        f"{error}: {error.__cause__!r}; it is parked, nothing after it is applied"
                    ) from error
                attempt += 1
                await self._clock.sleep(PAUSE_S)

    async def _skip(self, records: list[EventRecord]) -> int:
        """Pass over events nobody here looks at, without a transaction; return how many.

        What is passed over is remembered in memory only: after a crash it is passed over again.
        """
        if self._model.interests is None or self._level.size >= SKIP_AT_MOST:
            return 0
        before = self._level.upto
        following = contiguous(records, before)
        if not following or any(self._model.looks_at(record.type) for record in following):
            return 0
        with adapting():
            if not await _is_logged(self._pool, following[-1]):
                return 0
        position = following[-1].position
        self._level = Skipped(self._level.checkpoint, position)
        await self._tell(before, (), position)
        return len(following)

    async def _tell(self, before: int, events: Sequence[Event], position: Position) -> None:
        for listener in self._listeners:
            await listener.follow(before, events, position)
        self._progress.reached(position)
        self._pace.told(self._clock.monotonic())

    async def _apply_next(self, records: list[EventRecord], limit: int) -> int:
        started = self._clock.monotonic()
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                checkpoint = await begin_step(connection, self._name)
                position = before = self._level.beyond(checkpoint)
                self._reached = position
                events: list[Event] = []
                following = contiguous(records, position)[:limit]
                if not following or not await _is_logged(connection, following[-1]):
                    following = await LogReader(connection).page(position, limit)
                if following:
                    events = await self._decode(following)
                    await self._apply(connection, events)
                    position = events[-1].position
                    await write_checkpoint(connection, self._name, position)
                    failpoint("consumer.before_commit")
        failpoint("consumer.after_commit")
        self._pace.applied(started, self._clock.monotonic())
        self._level = Skipped(position if events else checkpoint, position)
        await self._tell(before, events, position)
        return len(events)

    async def _apply(self, connection: Connection, events: Sequence[Event]) -> None:
        try:
            with adapting():
                await apply_batch(connection, self._model, events)
                for reactor in self._batch_reactors:
                    await self._react_all(connection, reactor, events)
                for event in events:
                    for single in self._reactors:
                        await self._react(connection, single, event)
        except Internal as error:
            if len(events) > 1:
                raise BatchFailed(len(events)) from error
            raise ProjectionFailed(events[0].position, events[0].type, "store") from error

    async def _react_all(
        self, connection: Connection, reactor: BatchReactor, events: Sequence[Event]
    ) -> None:
        try:
            with adapting():
                await reactor.react_all(connection, events)
        except (Unavailable, DeadlineExceeded, ResourceExhausted):
            raise
        except Exception as error:
            if len(events) > 1:
                raise BatchFailed(len(events)) from error
            raise ProjectionFailed(events[0].position, events[0].type, reactor.name) from error

    async def _react(self, connection: Connection, reactor: Reactor, event: Event) -> None:
        try:
            with adapting():
                await reactor.react(connection, event)
        except (Unavailable, DeadlineExceeded, ResourceExhausted):
            raise
        except Exception as error:
            raise ProjectionFailed(event.position, event.type, reactor.name) from error

    async def _decode(self, records: Sequence[EventRecord]) -> list[Event]:
        """Decode up to the first event that cannot be; that one fails when it comes first."""
        events: list[Event] = []
        for record in records:
            try:
                events.append(await self._codec.decode(record))
            except EpochalError as error:
                if events:
                    break
                raise ProjectionFailed(record.position, record.type, "codec") from error
        return events

    async def _park(self, position: int, attempts: int, error: ProjectionFailed) -> None:
        with adapting():
            async with self._pool.acquire() as connection:
                await connection.execute(
                    f"INSERT INTO {self._model.service}.parked AS p (consumer, position, attempts, "
                    "error) VALUES ($1, $2, $3, $4) ON CONFLICT (consumer, position) DO UPDATE "
                    "SET attempts = p.attempts + EXCLUDED.attempts, error = EXCLUDED.error",
                    self._name,
                    position,
                    attempts,
                    f"{error}: {error.__cause__!r}",
                )

    async def _checkpoint(self) -> Position:
        while True:
            try:
                with adapting():
                    async with self._pool.acquire() as connection:
                        return await read_checkpoint(connection, self._name)
            except Unavailable as error:
                _log.warning("consumer.interrupted", consumer=self._name, error=error.message)
                await self._clock.sleep(PAUSE_S)

    async def _wait(self) -> None:
        """Wait for a message, a local append, or the next poll."""
        position = self._progress.position
        local = asyncio.create_task(self._signal.wait_beyond(position, POLL_S))
        remote = asyncio.create_task(self._inbox.wait(POLL_S))
        try:
            await asyncio.wait({local, remote}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            local.cancel()
            remote.cancel()


async def _is_logged(connection: Connection | Pool, record: EventRecord) -> bool:
    """Whether the log has this very event there; its chain vouches for those before it.

    After the database was restored to the past, the broker still sends events of the time since.
    """
    chain = await connection.fetchval(
        "SELECT chain FROM log.event WHERE position = $1", record.position
    )
    return bool(chain == record.chain)
