"""Tells a receiver of OpenLineage what happens here: every event at least once, in order.

How far the receiver is stands in the database and moves on after each page of the log. What it
refuses as wrong is logged and left out; when it is away, busy or does not know us, the same page is
sent again later, however long that takes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
import httpx
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, Unavailable
from epochal_kernel.ids import Position
from epochal_kernel.log.events import Event, EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.model import event_types
from epochal_kernel.signals import LogSignal

from epochal_lineage.openlineage.telling import TOLD, run_of, told
from epochal_lineage.store.openlineage import ReceiverStore

PAGE: Final = 500
IDLE_S: Final = 5.0
TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
KNOWN_RUNS: Final = 10_000

#: Answers that are about us or about now, not about the event.
_AGAIN: Final = frozenset({401, 403, 404, 408, 425, 429})

_log = structlog.get_logger(__name__)


class Emitter:
    """Posts events to one URL."""

    def __init__(
        self,
        pool: Pool,
        signal: LogSignal,
        codec: EventCodec,
        clock: Clock,
        *,
        url: str,
        api_key: str,
        namespace: str,
    ) -> None:
        self._reader = LogReader(pool)
        self._store = ReceiverStore(pool)
        self._signal = signal
        self._codec = codec
        self._clock = clock
        self._url = url
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._namespace = namespace
        self._created: OrderedDict[str, pb.RunCreated | None] = OrderedDict()

    async def run(self) -> None:
        """Emit for ever, from the end of the log on when the receiver is a new one."""
        pause_s = FIRST_PAUSE_S
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as http:
            while True:
                try:
                    position = await self.step(http)
                    pause_s = FIRST_PAUSE_S
                except EpochalError as error:
                    _log.warning("openlineage.receiver_waits", error=error.message)
                    await self._clock.sleep(pause_s)
                    pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                    continue
                await self._signal.wait_beyond(position, IDLE_S)

    async def step(self, http: httpx.AsyncClient) -> int:
        """Send all that the receiver was not sent; return how far it is.

        Raises:
            EpochalError: the receiver or the database is not to be had; what was sent is noted.
        """
        position = await self._store.position(self._url)
        if position is None:
            position = (await self._reader.head()).position
            await self._store.reached(self._url, position)
        while records := await self._reader.page(Position(position), PAGE):
            for record in records:
                if record.type in _TYPES:
                    await self._emit(http, await self._codec.decode(record))
            position = records[-1].position
            await self._store.reached(self._url, position)
        return position

    async def _emit(self, http: httpx.AsyncClient, event: Event) -> None:
        run = run_of(event)
        created = await self._beginning(run) if run else None
        if created is None:
            return
        pipeline = await self._beginning(created.pipeline) if created.pipeline else None
        try:
            message = told(event, created, self._namespace, pipeline)
            answer = await http.post(self._url, json=message, headers=self._headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"the receiver does not answer: {type(error).__name__}") from error
        if answer.status_code in _AGAIN or answer.status_code >= 500:
            raise Unavailable(f"the receiver answered {answer.status_code}")
        if not answer.is_success:
            _log.error(
                "openlineage.event_refused",
                position=event.position,
                status=answer.status_code,
                said=answer.text[:500],
            )

    async def _beginning(self, run: str) -> pb.RunCreated | None:
        """Return how a run began; None for one that the log does not know."""
        if run in self._created:
            self._created.move_to_end(run)
            return self._created[run]
        created: pb.RunCreated | None = None
        async for record in self._reader.stream("run", UUID(run.rpartition("/")[2])):
            payload = (await self._codec.decode(record)).payload
            if isinstance(payload, pb.RunCreated):
                created = payload
                break
        self._created[run] = created
        if len(self._created) > KNOWN_RUNS:
            self._created.popitem(last=False)
        return created


_TYPES: Final = event_types(*TOLD)
