"""The writer: points of many calls in one transaction, and each call answered when it is committed.

What comes in while a transaction is under way makes up the next one, so the price of a commit is
shared by all who wait for it, and one alone waits for nobody. No event is written: a call must cost
no more than its points. The producer's opening and its seal are events, once, by the sealer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, Internal, InvalidArgument, ResourceExhausted

from epochal_tracker.feeding import SummaryFeed, summary_of
from epochal_tracker.packing import pack
from epochal_tracker.signals import RunBells
from epochal_tracker.store.writing import NewRequest, WriteStore

#: Points that go into one transaction, and that may wait for one.
TOGETHER = 50_000
WAITING = 1_000_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: NewRequest
    columns: Sequence[pb.PointColumn]
    answer: asyncio.Future[None]


class PointWriter:
    """Writes points that came without a spool."""

    def __init__(
        self,
        store: WriteStore,
        bells: RunBells,
        clock: Clock,
        feed: SummaryFeed | None = None,
    ) -> None:
        self._store = store
        self._bells = bells
        self._feed = feed
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._points = 0
        self._wake = asyncio.Event()

    async def write(
        self, run_id: UUID, points: Sequence[pb.MetricPoint], request_id: UUID | None
    ) -> None:
        """Write points of a run and return when they are committed.

        Points within a call that are the same in metric, step, time and value are one. Of two calls
        with one request_id the first counts.

        Raises:
            ResourceExhausted: too many points wait already, or the database's disk is full.
            Unavailable: the database does not answer; the same request_id makes it safe to retry.
            InvalidArgument: the database refuses the points.
        """
        if self._points + len(points) > WAITING:
            raise ResourceExhausted(
                f"{self._points} points wait for the database already: send fewer at a time, or "
                "use the SDK, which keeps them on disk meanwhile",
                reason="POINT_QUEUE_FULL",
                retry_after_s=1.0,
            )
        packed = pack(points, int(self._clock.now().timestamp() * 1e6))
        count = sum(column.points for column in packed.columns)
        digest = hashlib.sha256(packed.SerializeToString()).digest()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request = NewRequest(run_id, request_id, digest, count)
        self._queue.append(_Waiting(request, packed.columns, answer))
        self._points += count
        self._wake.set()
        await answer

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                check_cancelled()
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                if taken := self._take():
                    await self._write(taken)
        finally:
            for waiting in self._queue:
                waiting.answer.cancel()

    def _take(self) -> list[_Waiting]:
        """Take what goes together; a retry waits until its first try has an outcome."""
        taken: list[_Waiting] = []
        later: list[_Waiting] = []
        requests: set[tuple[UUID, UUID]] = set()
        points = 0
        while self._queue and points < TOGETHER:
            waiting = self._queue.popleft()
            request = waiting.request
            if request.request_id is not None:
                key = (request.run_id, request.request_id)
                if key in requests:
                    later.append(waiting)
                    continue
                requests.add(key)
            points += request.points
            if waiting.answer.cancelled():
                self._points -= request.points
            else:
                taken.append(waiting)
        self._queue.extendleft(reversed(later))
        return taken

    async def _write(self, taken: Sequence[_Waiting]) -> None:
        try:
            claimed = await self._store.write(
                [waiting.request for waiting in taken],
                [waiting.columns for waiting in taken],
                self._clock.now().date(),
            )
        except Internal as error:
            # PostgreSQL refuses a value. Alone, each call answers for itself only.
            if len(taken) > 1:
                for waiting in taken:
                    await self._write([waiting])
                return
            self._answer(taken, InvalidArgument(f"these points cannot be stored: {error.message}"))
        except EpochalError as error:
            self._answer(taken, error)
        else:
            self._bells.ring({waiting.request.run_id for waiting in taken})
            self._answer(taken, None)
            if self._feed is None:
                return
            await self._feed.tell(
                summary_of(
                    taken[one.place].request.run_id,
                    one.producer,
                    one.batch,
                    taken[one.place].columns,
                )
                for one in claimed
            )

    def _answer(self, taken: Sequence[_Waiting], error: EpochalError | None) -> None:
        for waiting in taken:
            self._points -= waiting.request.points
            if waiting.answer.done():
                continue
            if error is None:
                waiting.answer.set_result(None)
            else:
                waiting.answer.set_exception(error)
