"""After an erasure: the read model is made again, from events that no longer say who it was.

The pseudonym takes the place of the name wherever a projector put it, whatever the table; nothing
has to know where names are. Every process of a service notices by itself, one of them rebuilds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import epochal_proto.v1 as pb
import structlog

from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from epochal_kernel.log.events import Event, EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.subjects import BELIEVED_S
from epochal_kernel.postgres import Pool, adapting
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rebuild import renew

POLL_S: Final = 10.0

#: Stands for the log itself among the services that have forgotten.
LOG: Final = "log"

#: Seconds that one statement over the whole log may take.
PATIENCE_S: Final = 3_600

_log = structlog.get_logger(__name__)

_ERASED = (
    "SELECT s.pseudonym, f.service IS NULL FROM log.subject s LEFT JOIN log.forgotten f "
    "ON f.pseudonym = s.pseudonym AND f.service = $1 WHERE s.erased_at IS NOT NULL"
)
# A remembered request is the hash of all it said: who knows the rest could try names against it.
_BLUR = (
    "UPDATE log.command c SET request_sha256 = sha256(uuid_send(gen_random_uuid())) "
    "FROM log.event e WHERE e.position = c.first_position AND (e.actor = ANY($1) "
    "OR e.category = 'access' AND EXISTS (SELECT FROM unnest($1::text[]) AS one "
    "WHERE position(convert_to(one, 'UTF8') IN e.payload) > 0))"
)
_DONE = (
    "INSERT INTO log.forgotten (service, pseudonym) SELECT $1, unnest($2::text[]) "
    "ON CONFLICT DO NOTHING"
)

#: Told when no table of the service has the names any more: drop them from memory too.
Forget = Callable[[], Awaitable[None]]


class Forgetting:
    """Sees to it that a service forgets who was erased; a listener, and a background task."""

    def __init__(
        self,
        pool: Pool,
        model: ReadModel,
        codec: EventCodec,
        ledger: Ledger,
        clock: Clock,
        told: Sequence[Forget] = (),
    ) -> None:
        self._pool = pool
        self._model = model
        self._codec = codec
        self._ledger = ledger
        self._clock = clock
        self._told = tuple(told)
        self._known: frozenset[str] | None = None
        self._woken = asyncio.Event()

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Wake up when somebody was erased."""
        if any(isinstance(event.payload, pb.SubjectErased) for event in events):
            self._woken.set()

    async def run(self) -> None:
        """Forget who was erased, until cancelled."""
        while True:
            try:
                await self._step()
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("forgetting.interrupted", error=error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
                    # The event comes first, its effect on log.subject a moment later.
                    await self._clock.sleep(1)
            self._woken.clear()

    async def _step(self) -> None:
        erased, still_open = await self._erased()
        if self._known is None:
            self._known = erased - still_open
        if erased <= self._known:
            return
        # Until then some process may still believe in a name, and write it.
        await self._clock.sleep(BELIEVED_S + 1)
        if still_open:
            await self._renew(sorted(still_open))
            if (await self._erased())[1] & still_open:
                self._woken.set()  # another process of the service is at it
                return
        self._ledger.forget()
        for forget in self._told:
            await forget()
        self._known = erased

    async def _renew(self, pseudonyms: list[str]) -> None:
        """Rebuild without these names, unless another process of the service is at it."""
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                lock = f"{self._model.service}.forgetting"
                if not await connection.fetchval(
                    "SELECT pg_try_advisory_xact_lock(hashtext($1))", lock
                ):
                    return
                _log.info("forgetting.begins", subjects=len(pseudonyms))
                await self._blur(pseudonyms)
                if await renew(self._pool, self._model, self._codec):
                    await connection.execute(_DONE, self._model.service, pseudonyms)
                    _log.info("forgetting.done", subjects=len(pseudonyms))

    async def _blur(self, pseudonyms: list[str]) -> None:
        """Make remembered requests of and about them say nothing, once for all services."""
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtext('log.forgetting'))", timeout=PATIENCE_S
                )
                done = await connection.fetch(_ERASED, LOG)
                fresh = [row[0] for row in done if row[1] and row[0] in pseudonyms]
                if fresh:
                    await connection.execute(_BLUR, fresh, timeout=PATIENCE_S)
                    await connection.execute(_DONE, LOG, fresh)

    async def _erased(self) -> tuple[frozenset[str], frozenset[str]]:
        """All who were erased, and those of them whom this service has not forgotten yet."""
        with adapting():
            rows = await self._pool.fetch(_ERASED, self._model.service)
        return frozenset(row[0] for row in rows), frozenset(row[0] for row in rows if row[1])
