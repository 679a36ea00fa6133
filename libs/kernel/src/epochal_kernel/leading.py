"""One of many: work that a single process of a service does at a time.

Led by a PostgreSQL advisory lock, held by one connection for as long as it lives. The lock saves
work and keeps decisions that look at many things at once from being made twice; what must never
happen twice is fenced where it is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, EpochalError, ResourceExhausted, Unavailable
from epochal_kernel.postgres import Connection, Pool, adapting

STANDBY_S = 0.5
BEAT_S = 1.0

_log = structlog.get_logger(__name__)


class Leader:
    """Runs work while this process leads, and lets another lead when it cannot."""

    def __init__(self, pool: Pool, clock: Clock, role: str) -> None:
        self._pool = pool
        self._clock = clock
        self._role = role
        self.leading = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Stands by, leads when nobody else does, and goes on after every error, until cancelled.

        Args:
            work: endless; begun anew each time this process comes to lead, cancelled when the
                connection that holds the lock is lost.
        """
        while True:
            check_cancelled()
            try:
                with adapting():
                    await self._lead_if_nobody_does(work)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("leader.interrupted", role=self._role, error=error.message)
            await self._clock.sleep(STANDBY_S)

    async def _lead_if_nobody_does(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._pool.acquire() as connection:
            with adapting():
                got = await connection.fetchval(
                    "SELECT pg_try_advisory_lock(hashtext($1))", self._role
                )
            if not got:
                return
            try:
                self.leading = True
                _log.info("leader.leads", role=self._role)
                await self._lead(connection, work)
            finally:
                self.leading = False
                await self._resign(connection)

    async def _lead(self, connection: Connection, work: Callable[[], Awaitable[None]]) -> None:
        async def watched() -> None:
            await work()

        working = asyncio.ensure_future(watched())
        try:
            while not working.done():
                with adapting():
                    await connection.fetchval("SELECT 1")
                await asyncio.wait({working}, timeout=BEAT_S)
            _raise_first(working)
        finally:
            working.cancel()
            await asyncio.wait({working})

    async def _resign(self, connection: Connection) -> None:
        if not connection.is_closed():
            try:
                with adapting():
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", self._role)
            except EpochalError as error:
                _log.debug("leader.not_unlocked", role=self._role, error=error.message)


def _raise_first(working: asyncio.Future[None]) -> None:
    """Raises what ended the work; of a task group's errors the first, when all are the platform's.

    Else an outage of the database while several tasks of the work use it would end the process.
    """
    error = working.exception()
    if isinstance(error, BaseExceptionGroup):
        expected, unexpected = error.split(EpochalError)
        if unexpected is not None:
            raise unexpected
        error = expected
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    if error is not None:
        raise error
